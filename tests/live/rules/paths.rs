//! A peer that is verified anew goes by the path that is found then.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::{Anchor, Crls};
use countersign::{Acceptor, Connector, Decision, Peer, TrustStore, Update};
use rustls_pki_types::UnixTime;
use tokio::time::sleep;

use super::{Stream, alert_at, cut, echo};
use support::{acceptor, connector, handshake};

/// A client whose certificate is good for a day, from an intermediate that is for an hour only.
struct World {
    server_ca: TestCa,
    root: TestCa,
    issuer: TestCa,
    client: Issued,
    clock: FixedClock,
}

impl World {
    fn new() -> Self {
        let clock = FixedClock::now();
        let now = clock.time();
        let after =
            |seconds| UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + seconds));
        let root = TestCa::new("Root");
        let issuer = TestCa::builder("Issuer")
            .validity(now, after(3600))
            .signed_by(&root);
        let client = issuer
            .leaf()
            .dns("client.example")
            .validity(now, after(86_400))
            .issue();
        Self {
            server_ca: TestCa::new("Servers"),
            root,
            issuer,
            client,
            clock,
        }
    }

    /// Trusts the client by its own certificate: a path without the issuer.
    fn pin(&self) -> TrustStore {
        TrustStore::empty().pin(&self.client.certificate())
    }

    /// Trusts it by its issuer.
    fn by_root(&self) -> TrustStore {
        let issuer = self.issuer.certificate_der();
        let issuer = countersign::Certificate::from_der(&issuer).unwrap();
        self.root.trust().with_intermediate(issuer)
    }

    fn connector(&self) -> Connector<DnsName> {
        let connector = connector(&self.server_ca, "unused.example")
            .build()
            .unwrap();
        connector
            .control()
            .update(Update::new().credentials(self.client.credentials()))
            .unwrap();
        connector
    }

    fn acceptor(&self, trust: TrustStore, list: &DenyList<DnsName>) -> Acceptor<DnsName> {
        let acceptor = acceptor(&self.server_ca, policy::allow_any())
            .clock(self.clock.clone())
            .deny_list(list)
            .build()
            .unwrap();
        acceptor
            .control()
            .update(Update::new().trust(trust))
            .unwrap();
        acceptor
    }

    async fn open(&self, acceptor: &Acceptor<DnsName>) -> (Stream, Stream) {
        let (server, client) = handshake(acceptor, &self.connector()).await;
        (server.unwrap(), client.unwrap())
    }
}

/// Why the connection drains two hours later, when the issuer has expired.
async fn in_two_hours(world: &World, server: &Stream) -> Option<&'static str> {
    world.clock.advance(Duration::from_secs(7200));
    sleep(Duration::from_secs(3)).await;
    server.draining().why().map(|why| why.reason())
}

#[tokio::test(start_paused = true)]
async fn an_open_connection_expires_with_the_path_that_an_update_finds() {
    for (before_is_pin, after_is_pin, ends) in [
        (true, false, Some("expired")),
        (false, true, None),
        (true, true, None),
        (false, false, Some("expired")),
    ] {
        let case = format!("pinned before: {before_is_pin}, after: {after_is_pin}");
        let world = World::new();
        let trust = |is_pin| if is_pin { world.pin() } else { world.by_root() };
        let acceptor = world.acceptor(trust(before_is_pin), &DenyList::new());
        let (server, _client) = world.open(&acceptor).await;
        acceptor
            .control()
            .update(Update::new().trust(trust(after_is_pin)))
            .unwrap();
        let listed = acceptor.control().connections();
        let path = listed[0].peer().chain();
        let is_pin = *path.anchor() == Anchor::PinnedCertificate;
        assert_eq!(is_pin, after_is_pin, "{case}");
        assert_eq!(path.certificates().len(), 2 - usize::from(after_is_pin));
        assert_eq!(in_two_hours(&world, &server).await, ends, "{case}");
    }
}

/// The old path stays where it still holds.
#[tokio::test(start_paused = true)]
async fn an_open_connection_keeps_a_path_that_is_still_good() {
    let world = World::new();
    let acceptor = world.acceptor(world.by_root(), &DenyList::new());
    let (server, _client) = world.open(&acceptor).await;
    let more = world.by_root().and(TestCa::new("Another").trust());
    acceptor
        .control()
        .update(Update::new().trust(more))
        .unwrap();
    let listed = acceptor.control().connections();
    assert_eq!(listed[0].peer().chain().certificates().len(), 2);
    assert_eq!(in_two_hours(&world, &server).await, Some("expired"));
}

/// What is on the deny list is looked up along the path that is found.
#[tokio::test(start_paused = true)]
async fn the_path_that_an_update_finds_is_the_one_that_may_be_denied() {
    let (world, list) = (World::new(), DenyList::new());
    let acceptor = world.acceptor(world.pin(), &list);
    let (server, client) = world.open(&acceptor).await;
    let issuer = countersign::Certificate::from_der(&world.issuer.certificate_der()).unwrap();
    list.insert(DenyEntry::Key(issuer.spki_sha256()));
    assert!(server.draining().why().is_none(), "it is not on its path");
    acceptor
        .control()
        .update(Update::new().trust(world.by_root()))
        .unwrap();
    let (why, _) = cut(server, client).await;
    assert_eq!(why.reason(), "deny_listed");
}

/// The trust changes while the policy is asked: the stream has the new path, and expires with it.
#[tokio::test(start_paused = true)]
async fn a_connection_that_opens_while_the_trust_changes_uses_the_new_path() {
    for is_async in [false, true] {
        let world = World::new();
        let acceptor = world.acceptor(world.pin(), &DenyList::new());
        let own: Arc<OnceLock<Acceptor<DnsName>>> = Arc::default();
        let trust = Arc::new(Mutex::new(Some(world.by_root())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let change = {
            let (own, asked) = (own.clone(), asked.clone());
            move |peer: &Peer<DnsName>| {
                let path = peer.chain().certificates().len();
                asked.lock().unwrap().push(path);
                let next = trust.lock().unwrap().take();
                if let Some(next) = next {
                    let acceptor = own.get().unwrap();
                    acceptor
                        .control()
                        .update(Update::new().trust(next))
                        .unwrap();
                }
                Decision::allow("asked")
            }
        };
        if is_async {
            let policy = move |peer: Peer<DnsName>| {
                let change = change.clone();
                async move { change(&peer) }
            };
            acceptor
                .control()
                .set_async_policy(policy, Duration::from_secs(5));
        } else {
            acceptor.control().set_policy(change);
        }
        own.set(acceptor.clone()).unwrap();
        let (server, _client) = world.open(&acceptor).await;
        // The policy has said yes to the path by which the peer is admitted.
        assert_eq!(*asked.lock().unwrap(), [1, 2], "async: {is_async}");
        assert_eq!(server.peer().chain().certificates().len(), 2);
        let listed = acceptor.control().connections();
        assert_eq!(listed[0].peer().chain().certificates().len(), 2);
        assert_eq!(listed[0].generation(), 3);
        assert_eq!(in_two_hours(&world, &server).await, Some("expired"));
    }
}

/// A list that expired in 1970 is stale, and no more than that: each open
/// connection is authorized by it.
#[tokio::test(start_paused = true)]
async fn a_crl_that_expired_in_1970_revokes_and_leaves_no_connection_unexamined() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let mut open = Vec::new();
    let mut serial = Vec::new();
    for name in ["good.example", "revoked.example"] {
        let issued = ca.leaf().dns(name).issue();
        let connector = connector(&ca, "unused.example").build().unwrap();
        connector
            .control()
            .update(Update::new().credentials(issued.credentials()))
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        open.push((server.unwrap(), client.unwrap()));
        serial = issued.serial().to_vec();
    }
    let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
    let crl = ca.crl().revoke(&serial).next_update(epoch).build();
    let crls = Crls::new([Crl::from_der(&crl).unwrap()]).unwrap();
    let update = Update::new().revocation(crls.clone());
    acceptor.control().update(update).unwrap();
    let (server, client) = open.pop().unwrap();
    assert_eq!(cut(server, client).await.0.reason(), "revoked");
    let (mut server, mut client) = open.pop().unwrap();
    echo(&mut server, &mut client).await;
    let late = connector(&ca, "late.example").build().unwrap();
    let (refused, late) = handshake(&acceptor, &late).await;
    assert_eq!(refused.unwrap_err().reason(), "crl_expired");
    alert_at(&mut late.unwrap()).await;
    acceptor
        .control()
        .update(Update::new().revocation(crls))
        .unwrap();
    echo(&mut server, &mut client).await;
}
