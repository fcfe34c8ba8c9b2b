//! What a server has decided, or fails to do, whatever certificate it is shown.

use std::sync::Arc;

use countersign::audit::{AuditEvent, AuditSink, RecordError};
use countersign::identity::CommonName;
use countersign::{Decision, EarlyDrop, ListenerBuilder, Peer, WhenFull};

use super::cases::{Case, Situation};
use super::doors::Door;
use super::world::{World, built};

/// An audit sink without a place to write to.
struct DiskFull;

impl AuditSink for DiskFull {
    fn record(&self, _: &Arc<AuditEvent>) -> Result<(), RecordError> {
        Err(RecordError::new("no space left on device"))
    }
}

pub(crate) fn cases(world: &World, good: &Situation) -> Vec<Case> {
    let calls = |builder| good.with(|call| call.acceptor = built(builder));
    let before = |is_crowded, options: fn(ListenerBuilder<_>) -> ListenerBuilder<_>| {
        let door = Door {
            options,
            is_crowded,
        };
        good.with(|call| call.door = Some(door))
    };

    vec![
        Case::new(
            "The policy panics",
            calls(world.acceptor_with(|peer: &Peer<CommonName>| {
                let (_, team) = peer.identity().as_str().split_once('@').expect("a team");
                Decision::deny(format!("no peer of {team}"))
            })),
            good.clone(),
            "The fault is the server's: its own policy has a bug; see the panic message on its \
             standard error. A policy that panics admits no client.",
        ),
        Case::new(
            "No record can be made",
            calls(world.acceptor().audit(DiskFull)),
            calls(world.acceptor().audit(|_: &AuditEvent| {})),
            "The fault is the server's: where the audit sink takes no record, no client is admitted. Look \
             at its disk, or at the receiver of its events; a `Queue` bridges a short outage.",
        ),
        Case::new(
            "Too many connections",
            calls(world.acceptor().max_connections(0)),
            calls(world.acceptor().max_connections(1)),
            "See in the audit events which peers hold the connections and let them close those that they \
             do not use, or raise `max_connections`. The client may come back later.",
        ),
        Case::new(
            "Too many connections of one identity",
            calls(world.acceptor().max_connections_per_identity(0)),
            calls(world.acceptor().max_connections_per_identity(1)),
            "Look why the client opens so many, above all whether it closes them; or raise \
             `max_connections_per_identity`. Clients that share an identity share the limit.",
        ),
        Case::new(
            "Too many handshakes at once",
            before(true, |door| {
                door.max_handshakes(1).when_full(WhenFull::Shed)
            }),
            before(true, |door| {
                door.max_handshakes(2).when_full(WhenFull::Shed)
            }),
            "Look who begins handshakes and does not finish them (`handshake_timeout`); raise \
             `max_handshakes`, or let clients wait (`WhenFull::Wait`). A client that is closed before \
             it has spoken sees an unexpected end of file instead of a reset.",
        ),
        Case::new(
            "Too many handshakes of one address",
            before(true, |door| door.max_handshakes_per_address(1)),
            before(true, |door| door.max_handshakes_per_address(2)),
            "Look what else comes from that address; behind a proxy, all clients do: raise \
             `max_handshakes_per_address`.",
        ),
        Case::new(
            "Dropped early",
            before(true, |door| door.early_drop(EarlyDrop::new(1, 100, 1))),
            before(true, |door| door.early_drop(None)),
            "Look what else comes from that address or IPv6 /64 network and does not finish its \
             handshakes. Behind a load balancer that hides the clients' addresses all of them do: turn \
             it off with `early_drop(None)`.",
        ),
        Case::new(
            "From an address that is not admitted",
            before(false, |door| {
                door.admit(|address| !address.ip().is_loopback())
            }),
            before(false, |door| {
                door.admit(|address| address.ip().is_loopback())
            }),
            "Look from which address the client comes (a VPN, a NAT), and have the listener's `admit` \
             take it. The certificate was not looked at.",
        ),
    ]
}
