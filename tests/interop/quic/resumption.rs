//! A resumed connection is judged by the rules in force, and counted as resumed.

use countersign::audit::Action;

use crate::clients::{Client, Seen, application, kinds};
use crate::world::World;

#[tokio::test]
async fn a_resumed_connection_is_counted_and_a_denied_one_is_not_admitted() {
    for kind in kinds() {
        let world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        for (resumed, hello) in [
            (false, "hello client.example, resumed: false"),
            (true, "hello client.example, resumed: true"),
        ] {
            assert_eq!(client.call().await, Seen::Answer(hello.into()), "{kind:?}");
            let events = world.events(1).await;
            let admitted: Vec<_> = events
                .iter()
                .filter(|event| event.action == Action::Admitted)
                .collect();
            assert_eq!(admitted.len(), 1, "{events:#?}");
            assert_eq!(admitted[0].info.is_resumed(), resumed);
        }
        assert_eq!(world.acceptor.control().stats().resumed, 1);

        let before = world.acceptor.control().stats();
        world.acceptor.control().set_policy(support::deny_all);
        world.trail.take();
        assert_eq!(client.call().await, application(kind, 49), "{kind:?}");
        let denied = world.events(1).await;
        let denied = denied
            .iter()
            .find(|event| event.action == Action::Denied)
            .expect("an event of the attempt");
        assert_eq!(denied.reason, Some("denied"));
        assert!(denied.info.is_resumed());
        let after = world.acceptor.control().stats();
        assert_eq!(after.attempts(), before.attempts() + 1);
    }
}

#[tokio::test]
async fn a_change_of_trust_ends_all_sessions() {
    for kind in kinds() {
        let world = World::new();
        let issued = world.issue("client.example");
        let mut client = Client::new(kind, &world, Some(&issued));
        assert!(matches!(client.call().await, Seen::Answer(_)));
        world.revoke(&[]);
        let hello = "hello client.example, resumed: false";
        assert_eq!(client.call().await, Seen::Answer(hello.into()), "{kind:?}");
    }
}
