//! Our connector, by a name of the server's for each session: it keeps them by name, and few for
//! each.

use countersign::gate::ServerNameVerification;
use countersign::identity::DnsName;
use countersign::testing::{Accepted, Connected, handshake};
use countersign::{ConnectError, Connector, HandshakeError, Resumption, policy};
use rustls::AlertDescription;
use tokio::io::AsyncReadExt as _;

use super::ATTEMPTS;
use support::causes::{CAUSES, World};
use support::{Version, exchange_and_close, provider};

#[tokio::test(start_paused = true)]
async fn tls13_stateful() {
    none_gets_in(Version::Tls13, Resumption::Stateful).await;
}

#[tokio::test(start_paused = true)]
async fn tls13_stateless() {
    none_gets_in(Version::Tls13, Resumption::Stateless).await;
}

#[tokio::test(start_paused = true)]
async fn tls12_stateful() {
    none_gets_in(Version::Tls12, Resumption::Stateful).await;
}

#[tokio::test(start_paused = true)]
async fn tls12_stateless() {
    none_gets_in(Version::Tls12, Resumption::Stateless).await;
}

async fn none_gets_in(version: Version, resumption: Resumption) {
    for cause in CAUSES {
        let world = World::new(cause, resumption);
        let connector = Connector::builder()
            .credentials(world.client.credentials())
            .trust(world.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .server_names(ServerNameVerification::ByPolicy)
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let call = async |number: usize| {
            let name = format!("{number}.example");
            handshake(&world.acceptor, &connector, &name).await
        };

        for number in 0..=ATTEMPTS {
            assert!(!admitted(call(number).await).await, "{cause:?}");
        }
        assert!(admitted(call(ATTEMPTS).await).await, "{cause:?}: resumes");

        world.happen();
        let refusal = cause.refusal();
        for number in 0..ATTEMPTS {
            let (server, client) = call(number).await;
            assert_eq!(server.unwrap_err().reason(), refusal.reason, "{cause:?}");
            let (resumed, alert) = refused(client).await;
            assert_eq!(alert, refusal.alert, "{cause:?}");
            // By TLS 1.2, a full handshake does not even end.
            let full = Some(false).filter(|_| version == Version::Tls13);
            let expected = if refusal.resumed { Some(true) } else { full };
            assert_eq!(resumed, expected, "{cause:?}");
        }

        world.make_up();
        let resumed = admitted(call(ATTEMPTS).await).await;
        assert_eq!(resumed, cause.leaves_the_session(), "{cause:?}");
    }
}

/// Whether the admitted client resumed, on which both sides must agree.
async fn admitted((server, client): (Accepted<DnsName>, Connected<DnsName>)) -> bool {
    let server_saw = server.as_ref().unwrap().peer().connection().is_resumed();
    let client_saw = client.as_ref().unwrap().peer().connection().is_resumed();
    assert_eq!(server_saw, client_saw);
    exchange_and_close(server, client).await;
    server_saw
}

/// Whether the refused client had resumed, if it got that far, and the alert.
async fn refused(client: Connected<DnsName>) -> (Option<bool>, AlertDescription) {
    let (resumed, error) = match client {
        Err(ConnectError::Handshake(error)) => (None, error),
        Err(other) => panic!("the client refused: {other}"),
        Ok(mut stream) => {
            let error = stream.read_u8().await.expect_err("the client was refused");
            let resumed = stream.peer().connection().is_resumed();
            (Some(resumed), error.downcast::<HandshakeError>().unwrap())
        }
    };
    (resumed, error.alert().unwrap())
}
