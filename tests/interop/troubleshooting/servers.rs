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
            "The error is in the server: its policy has a bug. See the panic message on its \
             standard error. A policy that panics admits no client.",
        ),
        Case::new(
            "The audit sink fails",
            calls(world.acceptor().audit(DiskFull)),
            calls(world.acceptor().audit(|_: &AuditEvent| {})),
            "The error is in the server: while the audit sink cannot record events, no client is \
             admitted. Check its disk, or the receiver of its events. A `Queue` bridges a short \
             outage.",
        ),
        Case::new(
            "Too many connections",
            calls(world.acceptor().max_connections(0)),
            calls(world.acceptor().max_connections(1)),
            "The audit events show which peers have the connections. Configure those peers to \
             close idle connections, or raise `max_connections`. The client can connect later.",
        ),
        Case::new(
            "Too many connections of one identity",
            calls(world.acceptor().max_connections_per_identity(0)),
            calls(world.acceptor().max_connections_per_identity(1)),
            "Check why the client opens so many connections, and whether it closes them. Or raise \
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
            "Check which clients begin handshakes and do not finish them (`handshake_timeout`). \
             Raise `max_handshakes`, or use `WhenFull::Wait`. A client that is closed before it \
             has sent data gets an unexpected end of file instead of a reset.",
        ),
        Case::new(
            "Too many handshakes of one address",
            before(true, |door| door.max_handshakes_per_address(1)),
            before(true, |door| door.max_handshakes_per_address(2)),
            "Check which other clients have that address. Behind a proxy, all clients have it: \
             raise `max_handshakes_per_address`.",
        ),
        Case::new(
            "Dropped early",
            before(true, |door| door.early_drop(EarlyDrop::new(1, 100, 1))),
            before(true, |door| door.early_drop(None)),
            "Check which clients of that address or IPv6 /64 network do not finish their \
             handshakes. Behind a load balancer that hides the clients' addresses, all clients \
             have one address: have it send a PROXY header (`proxy_protocol`), or turn early drop off \
             with `early_drop(None)`.",
        ),
        Case::new(
            "An address that is not admitted",
            before(false, |door| {
                door.admit(|address| !address.ip().is_loopback())
            }),
            before(false, |door| {
                door.admit(|address| address.ip().is_loopback())
            }),
            "Check the client's address (a VPN, a NAT), and change the listener's `admit` to \
             return true for it. The certificate was not checked.",
        ),
    ]
}
