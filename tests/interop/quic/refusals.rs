//! Who is not admitted: each client sees the right code, and each attempt has one event with the true cause.

use countersign::audit::{Action, Alert, Stage};
use countersign::testing::TestCa;

use crate::clients::{Client, Kind, Seen, application, crypto, kinds};
use crate::world::World;

pub(crate) fn sent(alert: &str) -> Option<Alert> {
    Some(Alert::Sent(alert.to_owned().into()))
}

#[tokio::test]
async fn an_allowed_client_is_answered() {
    for kind in kinds() {
        let mut world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        let hello = "hello client.example, resumed: false";
        assert_eq!(client.call().await, Seen::Answer(hello.into()), "{kind:?}");

        let event = world.only(Action::Admitted, None).await;
        assert_eq!(event.stage, Some(Stage::Open));
        assert_eq!(event.info.alpn(), Some(&b"test/1"[..]));
        assert_eq!(event.info.server_name(), Some("server.example"));
        assert_eq!(event.info.version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert!(event.info.cipher_suite().is_some() && !event.info.is_resumed());
        assert!(event.info.remote_addr().is_some());
        let local_addr = event.info.local_addr();
        assert_eq!(local_addr, Some(world.address));
        let open = world.acceptor.control().connections();
        assert_eq!(open.len(), 1);
        assert_eq!(Some(open[0].id()), event.connection);

        drop((open, client));
        if kind != Kind::Aioquic {
            // aioquic is killed without a word, and the idle timeout would end it.
            let end = world.end().await;
            assert!(end.contains("closed"), "{end}");
            let event = world.only(Action::Closed, Some("closed")).await;
            let traffic = event.traffic.unwrap();
            assert_eq!((traffic.received, traffic.sent), (5, 36));
            assert!(world.acceptor.control().connections().is_empty());
        }
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_that_it_needs_one() {
    for kind in kinds() {
        if kind == Kind::Ours {
            continue; // it always has one
        }
        let world = World::new();
        let mut client = Client::new(kind, &world, None);
        assert_eq!(client.call().await, crypto(kind, 116), "{kind:?}");
        let event = world
            .only(Action::ChainRefused, Some("no_certificate"))
            .await;
        assert_eq!(event.alert, sent("certificate_required"));
        assert_eq!(event.stage, Some(Stage::Chain));
        assert_eq!(event.info.server_name(), Some("server.example"));
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_with_its_cause() {
    for kind in kinds() {
        let world = World::new();
        let other = TestCa::new("Other");
        let issued = other.leaf().dns("client.example").issue();
        let mut client = Client::new(kind, &world, Some(&issued));
        assert_eq!(client.call().await, crypto(kind, 48), "{kind:?}");
        let event = world
            .only(Action::ChainRefused, Some("unknown_issuer"))
            .await;
        assert_eq!(event.alert, sent("unknown_ca"));
        // The true cause, with the certificate that was presented.
        let detail = event.detail.as_deref().unwrap();
        assert!(detail.contains("Other"), "{detail}");
        let leaf = event.certificates[0].certificate().unwrap();
        assert_eq!(leaf.der(), issued.leaf_der());
    }
}

#[tokio::test]
async fn a_denied_client_gets_the_documented_code() {
    for kind in kinds() {
        let world = World::with(|builder| builder, |listener| listener);
        world.acceptor.control().set_policy(support::deny_all);
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        assert_eq!(client.call().await, application(kind, 49), "{kind:?}");
        let event = world.only(Action::Denied, Some("denied")).await;
        assert_eq!(event.alert, sent("access_denied"));
        assert_eq!(event.stage, Some(Stage::Policy));
        assert!(event.identity.is_some());
        assert!(world.acceptor.control().connections().is_empty());
    }
}

#[tokio::test]
async fn a_revoked_client_is_refused_in_the_handshake() {
    for kind in kinds() {
        let world = World::new();
        let (good, revoked) = (world.issue("good.example"), world.issue("bad.example"));
        world.revoke(&[&revoked]);
        let mut client = Client::new(kind, &world, Some(&revoked));
        assert_eq!(client.call().await, crypto(kind, 44), "{kind:?}");
        let event = world.only(Action::ChainRefused, Some("revoked")).await;
        assert_eq!(event.alert, sent("certificate_revoked"));
        // Its twin.
        let mut client = Client::new(kind, &world, Some(&good));
        assert!(matches!(client.call().await, Seen::Answer(_)));
    }
}
