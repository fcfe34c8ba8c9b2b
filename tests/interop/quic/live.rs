//! Open connections: cut when their peers are no longer admitted, and drained.

use std::time::Duration;

use countersign::audit::Action;
use countersign::policy::DenyEntry;

use crate::clients::{Client, Seen, application, kinds};
use crate::world::World;

#[tokio::test]
async fn a_denied_peer_is_cut_at_once() {
    for kind in kinds() {
        let mut world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        assert!(matches!(client.call().await, Seen::Answer(_)));
        world.only(Action::Admitted, None).await;

        let entry = DenyEntry::Identity("client.example".parse().unwrap());
        assert!(world.denied.insert(entry));
        // It is closed when the change returns, whatever the application does.
        assert!(world.acceptor.control().connections().is_empty());
        assert_eq!(client.closed().await, application(kind, 49), "{kind:?}");
        let end = world.end().await;
        assert!(end.contains("no longer admitted"), "{end}");
        let events = world.events(2).await;
        let actions: Vec<_> = events.iter().map(|it| (it.action, it.reason)).collect();
        assert_eq!(
            actions,
            [
                (Action::Cut, Some("deny_listed")),
                (Action::Closed, Some("deny_listed"))
            ]
        );
    }
}

#[tokio::test]
async fn a_revoked_peer_is_cut_with_its_own_code() {
    for kind in kinds() {
        let mut world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        assert!(matches!(client.call().await, Seen::Answer(_)));
        world.revoke(&[&issued]);
        assert_eq!(client.closed().await, application(kind, 44), "{kind:?}");
        let end = world.end().await;
        assert!(end.contains("revoked"), "{end}");
    }
}

#[tokio::test]
async fn a_shutdown_drains_and_then_closes_without_a_rejection() {
    for kind in kinds() {
        let mut world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        assert!(matches!(client.call().await, Seen::Answer(_)));
        let handle = world.handle.clone();
        let shutdown = tokio::spawn(async move {
            handle.shutdown(Duration::from_millis(300)).await;
        });
        assert_eq!(client.closed().await, application(kind, 0), "{kind:?}");
        shutdown.await.unwrap();
        let end = world.end().await;
        assert!(end.contains("the listener shut down"), "{end}");
        let events = world.events(4).await;
        let actions: Vec<_> = events.iter().map(|it| (it.action, it.reason)).collect();
        assert_eq!(
            actions,
            [
                (Action::Admitted, None),
                (Action::Draining, Some("shut_down")),
                (Action::Cut, Some("shut_down")),
                (Action::Closed, Some("shut_down")),
            ],
            "{kind:?}"
        );
    }
}
