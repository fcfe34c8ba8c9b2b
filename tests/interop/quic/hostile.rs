//! Peers that stall, flood, send too much, or send data before they are admitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::audit::Action;
use countersign::identity::DnsName;
use countersign::integration::quinn::{AddressValidation, BindError, Listener};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::TestCa;
use countersign::{Decision, EarlyDrop, Peer, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use crate::clients::{Client, Kind, Seen, quinn_client};
use crate::refusals::sent;
use crate::world::{NAME, PATIENCE, World};

/// An endpoint of quinn without this crate.
fn endpoint(world: &World) -> quinn::Endpoint {
    let issued = world.issue("client.example");
    let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    endpoint.set_default_client_config(quinn_client(&world.ca, Some(&issued)));
    endpoint
}

#[tokio::test]
async fn a_listener_without_a_protocol_is_not_bound() {
    let acceptor = support::acceptor(&TestCa::new("Root"), policy::allow_any())
        .alpn(["h2"])
        .build()
        .unwrap();
    let address = ([127, 0, 0, 1], 0).into();
    let bind = |names: &[&str]| {
        let builder = Listener::builder(acceptor.clone()).alpn(names.iter().copied());
        builder.bind(address)
    };
    assert!(matches!(bind(&[]), Err(BindError::NoAlpn)));
    assert!(matches!(bind(&["h3", ""]), Err(BindError::InvalidAlpn)));
    let listener = bind(&["h3"]).unwrap();
    let taken = Listener::builder(acceptor.clone()).alpn(["h3"]);
    let taken = taken.bind(listener.local_addr().unwrap());
    assert!(matches!(taken, Err(BindError::Io(_))));
}

/// The policy takes its time, and the client writes meanwhile: no stream reaches the application.
#[tokio::test]
async fn no_stream_comes_before_the_decision() {
    let (asked, decide) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (world_asked, world_decide) = (asked.clone(), decide.clone());
    let mut world = World::new();
    world.acceptor.control().set_async_policy(
        move |_: Peer<DnsName>| {
            let (asked, decide) = (world_asked.clone(), world_decide.clone());
            async move {
                asked.add_permits(1);
                decide.acquire().await.unwrap().forget();
                Decision::deny("after all")
            }
        },
        PATIENCE,
    );
    let endpoint = endpoint(&world);
    let connection = endpoint
        .connect(world.address, NAME)
        .unwrap()
        .await
        .unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    asked.acquire().await.unwrap().forget();
    // The flow control of the connection allows no more than 128 KiB before the decision.
    let flood = async {
        loop {
            send.write_all(&[7; 8192]).await?;
        }
        #[expect(unreachable_code, reason = "the type of the error")]
        Ok::<_, quinn::WriteError>(())
    };
    let flooded = tokio::time::timeout(Duration::from_millis(300), flood).await;
    assert!(flooded.is_err(), "it has to wait: {flooded:?}");
    let sent = connection.stats().udp_tx.bytes;
    assert!(sent < 200_000, "{sent} bytes were sent");
    assert!(world.acceptor.control().connections().is_empty());
    decide.add_permits(1);
    let error = receive.read_to_end(1024).await.unwrap_err();
    assert!(error.to_string().contains("connection lost"), "{error}");
    world.only(Action::Denied, Some("denied")).await;
    assert!(
        world.ends_now().is_none(),
        "the application got a connection"
    );
}

/// What has arrived before the cut is not read after it, and nothing is written.
#[tokio::test]
async fn after_a_cut_reads_and_writes_fail_at_once() {
    let ca = TestCa::new("Root");
    let list = DenyList::new();
    let acceptor = support::acceptor(&ca, policy::allow_any())
        .deny_list(&list)
        .build()
        .unwrap();
    let builder = Listener::builder(acceptor.clone()).alpn([crate::world::ALPN]);
    let mut listener = builder.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let issued = ca.leaf().dns("client.example").issue();
    let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    endpoint.set_default_client_config(quinn_client(&ca, Some(&issued)));
    let connecting = endpoint
        .connect(listener.local_addr().unwrap(), NAME)
        .unwrap();
    let (connection, accepted) = tokio::join!(connecting, listener.accept());
    let (connection, accepted) = (connection.unwrap(), accepted.unwrap());
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[7; 1000]).await.unwrap();
    let (mut answer, mut question) = accepted.accept_bi().await.unwrap();
    // The first byte is there, and so are the others.
    assert_eq!(question.read_u8().await.unwrap(), 7);
    let waiting = tokio::spawn({
        let accepted = accepted.clone();
        async move { accepted.accept_bi().await.err().map(|error| error.reason()) }
    });
    tokio::task::yield_now().await;

    let entry = DenyEntry::Identity("client.example".parse().unwrap());
    assert!(list.insert(entry));
    let reason = |error: std::io::Error| {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
        let inner = error.into_inner().unwrap();
        let why = inner.downcast::<countersign::live::CloseReason>().unwrap();
        why.reason()
    };
    assert_eq!(reason(question.read_u8().await.unwrap_err()), "deny_listed");
    assert_eq!(
        reason(question.read_chunk(10).await.unwrap_err()),
        "deny_listed"
    );
    assert_eq!(reason(answer.write_u8(1).await.unwrap_err()), "deny_listed");
    assert_eq!(reason(answer.finish().unwrap_err()), "deny_listed");
    assert_eq!(reason(answer.stopped().await.unwrap_err()), "deny_listed");
    assert_eq!(
        accepted.open_bi().await.unwrap_err().reason(),
        "deny_listed"
    );
    assert_eq!(
        accepted.accept_uni().await.unwrap_err().reason(),
        "deny_listed"
    );
    assert_eq!(
        accepted.read_datagram().await.unwrap_err().reason(),
        "deny_listed"
    );
    assert_eq!(
        reason(accepted.send_datagram(Default::default()).unwrap_err()),
        "deny_listed"
    );
    assert!(accepted.channel_binding().is_none());
    assert_eq!(waiting.await.unwrap(), Some("deny_listed"));
    // The application cannot replace the code.
    accepted.close(0_u32.into(), b"all is well");
    let closed = crate::clients::closed_quinn(&connection.closed().await);
    assert_eq!(closed, crate::clients::application(Kind::Quinn, 49));
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_in_time_with_one_event() {
    let world = World::with(
        |builder| builder.handshake_timeout(Duration::from_millis(300)),
        |listener| listener,
    );
    // A first packet, and nothing after it: the answers go to a socket that does not read them.
    stall(&world, 1).await;
    let event = world.only(Action::TimedOut, Some("timed_out")).await;
    assert_eq!(event.info.server_name(), Some(NAME));
    let mut client = Client::new(Kind::Quinn, &world, Some(&world.issue("a.example")));
    assert!(matches!(client.call().await, Seen::Answer(_)));
}

/// Sends the first packets of this many connections, and never answers.
async fn stall(world: &World, count: usize) {
    let proxy = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(world);
    let target = proxy.local_addr().unwrap();
    let mut first = vec![0; 2048];
    let mut sent = std::collections::HashSet::new();
    let mut connecting = Vec::new(); // dropping one would send a packet that closes it
    while sent.len() < count {
        if connecting.len() == sent.len() {
            connecting.push(endpoint.connect(target, NAME).unwrap());
        }
        let (length, from) = proxy.recv_from(&mut first).await.unwrap();
        if from == world.address {
            continue; // an answer, which is not read
        }
        // Further packets of a connection have the same ID of the destination.
        if sent.insert(first[6..26].to_vec()) {
            let packet = &first[..length];
            proxy.send_to(packet, world.address).await.unwrap();
        }
    }
}

#[tokio::test]
async fn stalled_handshakes_make_room_and_addresses_are_proven_when_busy() {
    let world = World::with(
        |builder| builder,
        |listener| {
            listener
                .max_handshakes(4)
                .early_drop(EarlyDrop::new(100, 100, 100))
        },
    );
    stall(&world, 8).await;
    // It proves its address by a Retry packet, and takes the place of the oldest.
    for kind in crate::clients::kinds() {
        let mut client = Client::new(kind, &world, Some(&world.issue("a.example")));
        assert!(matches!(client.call().await, Seen::Answer(_)), "{kind:?}");
    }
    let events = world.events(1).await;
    let admitted = events
        .iter()
        .filter(|event| event.action == Action::Admitted);
    assert_eq!(admitted.count(), crate::clients::kinds().len());
}

#[tokio::test]
async fn a_forged_address_does_not_count_against_the_client_that_has_it() {
    let world = World::with(
        |builder| builder.handshake_timeout(PATIENCE),
        |listener| listener.early_drop(EarlyDrop::new(1, 100, 1)),
    );
    stall(&world, 20).await;
    // From the 17th on, the address has to be proven, which costs the listener nothing.
    let mut client = Client::new(Kind::Quinn, &world, Some(&world.issue("a.example")));
    assert!(matches!(client.call().await, Seen::Answer(_)));
    let stats = world.acceptor.control().stats();
    assert_eq!((stats.in_flight, stats.attempts(), stats.shed), (16, 1, 0));
}

#[tokio::test]
async fn a_listener_may_always_demand_the_proof_of_the_address() {
    let world = World::with(
        |builder| builder,
        |listener| listener.address_validation(AddressValidation::Always),
    );
    for kind in crate::clients::kinds() {
        let mut client = Client::new(kind, &world, Some(&world.issue("a.example")));
        assert!(matches!(client.call().await, Seen::Answer(_)), "{kind:?}");
        assert!(matches!(client.call().await, Seen::Answer(_)), "{kind:?}");
    }
    // A client that cannot receive at its address costs nothing, and is no attempt.
    let before = world.acceptor.control().stats().attempts();
    stall(&world, 5).await;
    let mut client = Client::new(Kind::Quinn, &world, Some(&world.issue("a.example")));
    assert!(matches!(client.call().await, Seen::Answer(_)));
    assert_eq!(world.acceptor.control().stats().attempts(), before + 1);
}

#[tokio::test]
async fn a_filter_of_addresses_and_the_limit_per_address_refuse_before_tls() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    let world = World::with(
        |builder| builder,
        |listener| {
            listener
                .admit(|address| address.port() == 1)
                .on_refused(move |_, error| {
                    assert_eq!(error.reason(), "address_not_admitted");
                    counted.fetch_add(1, Ordering::SeqCst);
                })
        },
    );
    let endpoint = endpoint(&world);
    let error = endpoint
        .connect(world.address, NAME)
        .unwrap()
        .await
        .unwrap_err();
    // CONNECTION_REFUSED.
    let refusal = Seen::Closed {
        code: 2,
        application: false,
    };
    assert_eq!(crate::clients::closed_quinn(&error), refusal);
    world.only(Action::Shed, Some("address_not_admitted")).await;
    assert_eq!(refused.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn too_many_bytes_of_a_handshake_are_refused() {
    let world = World::with(
        |builder| builder.max_handshake_bytes(600),
        |listener| listener,
    );
    let endpoint = endpoint(&world);
    let connected = endpoint.connect(world.address, NAME).unwrap().await;
    let error = match connected {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    // CRYPTO_BUFFER_EXCEEDED.
    let refusal = Seen::Closed {
        code: 0xd,
        application: false,
    };
    assert_eq!(crate::clients::closed_quinn(&error), refusal);
    world
        .only(Action::HandshakeFailed, Some("too_much_received"))
        .await;
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused_with_its_cause() {
    let world = World::new();
    let (stolen, own) = (world.issue("client.example"), world.issue("thief.example"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.ca.certificate_der()).unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(support::provider(support::Version::Tls13))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(support::thief(&stolen, &own));
    config.alpn_protocols = vec![crate::world::ALPN.into()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let connecting = endpoint.connect_with(config, world.address, NAME).unwrap();
    let error = match connecting.await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    assert_eq!(
        crate::clients::closed_quinn(&error),
        crate::clients::crypto(Kind::Quinn, 51)
    );
    world
        .only(Action::HandshakeFailed, Some("key_not_proven"))
        .await;
}

#[tokio::test]
async fn no_common_protocol_is_an_alert() {
    let world = World::with(|builder| builder, |listener| listener.alpn(["another/1"]));
    let endpoint = endpoint(&world);
    let error = endpoint
        .connect(world.address, NAME)
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(
        crate::clients::closed_quinn(&error),
        crate::clients::crypto(Kind::Quinn, 120)
    );
    let event = world.only(Action::HandshakeFailed, Some("tls")).await;
    assert_eq!(event.alert, sent("no_application_protocol"));
}

#[tokio::test]
async fn an_abandoned_attempt_has_its_event() {
    let world = World::new();
    let trail = countersign::audit::Memory::new();
    let connector = crate::world::connector(&world.ca, &world.issue("a.example"), &trail);
    let client = countersign::integration::quinn::Client::builder(connector)
        .alpn([crate::world::ALPN])
        .bind(([127, 0, 0, 1], 0).into())
        .unwrap();
    // Nothing answers there.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let connecting = client.connect(silent.local_addr().unwrap(), NAME);
    let dropped = tokio::time::timeout(Duration::from_millis(50), connecting).await;
    assert!(dropped.is_err());
    let events = trail.take();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].action, events[0].reason),
        (Action::Abandoned, Some("abandoned"))
    );
    assert_eq!(events[0].info.server_name(), Some(NAME));
}
