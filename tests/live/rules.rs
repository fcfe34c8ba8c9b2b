//! Rules reach connections that are open.

mod clock;
mod paths;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::Crls;
use countersign::{Connector, Decision, HandshakeError, Peer, TlsStream, Update, policy};
use rustls::AlertDescription;
use rustls_pki_types::UnixTime;
use support::{
    SERVER, VERSIONS, acceptor, connector, connector_with, deny_all, handshake, provider,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

type Stream = TlsStream<DuplexStream, DnsName>;

/// What a read of a stream that was cut says.
fn close_reason(error: io::Error) -> CloseReason {
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    error.downcast::<CloseReason>().expect("it says why")
}

/// The alert that a read of the other side gets; `None` for close_notify.
async fn alert_at(stream: &mut Stream) -> Option<AlertDescription> {
    match stream.read_u8().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(error) => match error.downcast::<HandshakeError>() {
            Ok(HandshakeError::Alert(alert)) => Some(alert.alert()),
            other => panic!("{other:?}"),
        },
        Ok(byte) => panic!("read {byte}"),
    }
}

/// Both streams work.
async fn echo(server: &mut Stream, client: &mut Stream) {
    server.write_all(b"s").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
    client.write_all(b"c").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
}

/// Both ends of a stream that was cut on the server's side.
async fn cut(mut server: Stream, mut client: Stream) -> (CloseReason, Option<AlertDescription>) {
    let (server, alert) = tokio::join!(
        async { close_reason(server.read_u8().await.expect_err("cut")) },
        alert_at(&mut client)
    );
    (server, alert)
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_cuts_the_peers_that_it_denies_and_no_other() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let open = async |name: &str| {
            let connector = connector(&ca, name)
                .allow_tls12()
                .crypto_provider(provider(version))
                .build()
                .unwrap();
            let (server, client) = handshake(&acceptor, &connector).await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            echo(&mut server, &mut client).await;
            (server, client)
        };
        let (mut good_server, mut good_client) = open("good.example").await;
        let (bad_server, bad_client) = open("bad.example").await;
        assert_eq!(acceptor.control().connections().len(), 2);

        acceptor
            .control()
            .set_policy(policy::exact(["good.example".parse().unwrap()]));
        let (why, alert) = cut(bad_server, bad_client).await;
        assert_eq!(why.reason(), "denied");
        assert_eq!(alert, Some(AlertDescription::AccessDenied), "{version:?}");
        echo(&mut good_server, &mut good_client).await;
        let left = acceptor.control().connections();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].peer().identity().as_str(), "good.example");
        assert_eq!(left[0].id(), good_server.id());
    }
}

/// A task that waits in a read is woken; a writer gets the error at once.
#[tokio::test(start_paused = true)]
async fn a_waiting_reader_is_woken() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let (mut reader, mut writer) = tokio::io::split(server.unwrap());
    let mut client = client.unwrap();
    let reading = tokio::spawn(async move { close_reason(reader.read_u8().await.unwrap_err()) });
    tokio::task::yield_now().await;
    acceptor.control().set_policy(deny_all);
    assert_eq!(
        close_reason(writer.write_all(b"x").await.unwrap_err()).reason(),
        "denied"
    );
    assert_eq!(
        alert_at(&mut client).await,
        Some(AlertDescription::AccessDenied)
    );
    drop(client);
    let why = timeout(Duration::from_secs(5), reading).await.unwrap();
    assert_eq!(why.unwrap().reason(), "denied");
}

#[tokio::test(start_paused = true)]
async fn trust_crls_and_deny_list_cut_too() {
    let ca = TestCa::new("Root");
    let other = TestCa::new("Other");
    let leaf = ca.leaf().dns("client.example").issue();
    let fresh = |ca: &TestCa| Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap();
    let revoking = Crl::from_der(&ca.crl().number(2).revoke(leaf.serial()).build()).unwrap();
    let revoking = Crls::new([revoking]).unwrap();
    let both = |ca: &TestCa| ca.trust().and(other.trust());
    for (what, reason, alert) in [
        ("root", "unknown_issuer", AlertDescription::UnknownCA),
        ("crl", "revoked", AlertDescription::CertificateRevoked),
        (
            "no crl",
            "unknown_revocation_status",
            AlertDescription::CertificateUnknown,
        ),
        (
            "serial",
            "deny_listed",
            AlertDescription::CertificateRevoked,
        ),
        ("key", "deny_listed", AlertDescription::CertificateRevoked),
        ("identity", "deny_listed", AlertDescription::AccessDenied),
    ] {
        let list = DenyList::new();
        let acceptor = acceptor(&ca, policy::allow_any())
            .deny_list(&list)
            .build()
            .unwrap();
        let connector = Connector::builder()
            .credentials(leaf.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        // What does not concern the peer leaves it alone.
        acceptor
            .control()
            .update(Update::new().trust(both(&ca)))
            .unwrap();
        acceptor
            .control()
            .update(Update::new().revocation(fresh(&ca)))
            .unwrap();
        list.insert(DenyEntry::Identity("other.example".parse().unwrap()));
        echo(&mut server, &mut client).await;
        assert_eq!(acceptor.control().connections()[0].generation(), 3);

        let certificate = leaf.certificate();
        let serial = countersign::identity::SerialAndIssuer::of(&certificate).unwrap();
        match what {
            "root" => drop(
                acceptor
                    .control()
                    .update(Update::new().trust(other.trust()))
                    .unwrap(),
            ),
            "crl" => drop(
                acceptor
                    .control()
                    .update(Update::new().revocation(revoking.clone()))
                    .unwrap(),
            ),
            "no crl" => drop(
                acceptor
                    .control()
                    .update(Update::new().revocation(fresh(&other)))
                    .unwrap(),
            ),
            "serial" => assert!(list.insert(DenyEntry::Serial(serial))),
            "key" => assert!(list.insert(DenyEntry::Key(certificate.spki_sha256()))),
            _ => list.replace([DenyEntry::Identity("client.example".parse().unwrap())]),
        }
        let (why, seen) = cut(server, client).await;
        assert_eq!((why.reason(), seen), (reason, Some(alert)), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_is_removed_cuts_its_owner() {
    let ca = TestCa::new("Root");
    let leaf = TestCa::new("Stranger").leaf().dns("client.example").issue();
    let pinned = ca.trust().pin(&leaf.certificate());
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    acceptor
        .control()
        .update(Update::new().trust(pinned))
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    connector
        .control()
        .update(Update::new().credentials(leaf.credentials()))
        .unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    acceptor
        .control()
        .update(Update::new().trust(ca.trust()))
        .unwrap();
    let (why, alert) = cut(server.unwrap(), client.unwrap()).await;
    assert_eq!(why.reason(), "unknown_issuer");
    assert_eq!(alert, Some(AlertDescription::UnknownCA));
}

/// A CRL that has merely gone stale ends no open connection, though it admits no new one.
#[tokio::test(start_paused = true)]
async fn age_is_no_revocation() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let crls = || Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap();
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .revocation(crls())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    clock.advance(Duration::from_secs(8 * 86400));
    acceptor
        .control()
        .update(Update::new().revocation(crls()))
        .unwrap();
    echo(&mut server, &mut client).await;
    let (refused, _) = handshake(&acceptor, &connector).await;
    assert_eq!(refused.unwrap_err().reason(), "crl_expired");
}

#[tokio::test(start_paused = true)]
async fn an_expired_chain_drains_and_is_cut() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let now = clock.time();
    let in_an_hour = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 3600));
    let leaf = ca
        .leaf()
        .dns("client.example")
        .validity(now, in_an_hour)
        .issue();
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    connector
        .control()
        .update(Update::new().credentials(leaf.credentials()))
        .unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let draining = server.draining();
    clock.advance(Duration::from_secs(3600));
    let none = timeout(Duration::from_secs(10), draining.clone()).await;
    assert!(none.is_err(), "it is still good in its last second");

    clock.advance(Duration::from_secs(1));
    let why = timeout(Duration::from_secs(2), draining).await.unwrap();
    assert_eq!(why.reason(), "expired");
    echo(&mut server, &mut client).await; // there is time to finish
    let start = tokio::time::Instant::now();
    let (why, alert) = cut(server, client).await;
    assert_eq!(why.reason(), "expired");
    assert_eq!(alert, Some(AlertDescription::CertificateExpired));
    let after = start.elapsed().as_secs();
    assert!((25..=31).contains(&after), "{after} s");
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_maximum_age() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_connection_age(Duration::from_secs(100))
        .drain_time(Duration::from_secs(10))
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let start = tokio::time::Instant::now();
    let (why, alert) = cut(server.unwrap(), client.unwrap()).await;
    assert_eq!(
        (why.reason(), alert),
        ("max_age", None),
        "a plain close_notify"
    );
    let after = start.elapsed().as_secs();
    assert!((98..=112).contains(&after), "{after} s");
    assert!(acceptor.control().connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_async_policy_authorizes_open_connections_and_those_in_progress() {
    let ca = TestCa::new("Root");
    let welcome = Arc::new(AtomicBool::new(true));
    let slow = {
        let welcome = welcome.clone();
        move |_: Peer<DnsName>| {
            let welcome = welcome.clone();
            async move {
                let answer = welcome.load(Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                if answer {
                    Decision::allow("asked")
                } else {
                    Decision::deny("asked")
                }
            }
        }
    };
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    acceptor
        .control()
        .set_async_policy(slow.clone(), Duration::from_secs(5));
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;

    // One is open, of another the answer is under way when the policy changes.
    let under_way = handshake(&acceptor, &connector);
    let change = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        welcome.store(false, Ordering::SeqCst);
        acceptor
            .control()
            .set_async_policy(slow.clone(), Duration::from_secs(5));
    };
    let ((second, _client), ()) = tokio::join!(under_way, change);
    assert_eq!(
        second.unwrap_err().reason(),
        "denied",
        "the new policy's answer"
    );
    let (why, _) = cut(server.unwrap(), client.unwrap()).await;
    assert_eq!(why.reason(), "denied");
}

#[tokio::test(start_paused = true)]
async fn a_connector_watches_its_servers() {
    let ca = TestCa::new("Root");
    let server_leaf = ca.leaf().dns(SERVER).issue();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    acceptor
        .control()
        .update(Update::new().credentials(server_leaf.credentials()))
        .unwrap();
    let connector = connector_with(&ca, "client.example", policy::allow_any())
        .build()
        .unwrap();
    let open = async || {
        let (server, client) = handshake(&acceptor, &connector).await;
        (server.unwrap(), client.unwrap())
    };
    // New credentials: finish, and connect anew.
    let (server, mut client) = open().await;
    let draining = client.draining();
    let own = ca.leaf().dns("client.example").issue();
    connector
        .control()
        .update(Update::new().credentials(own.credentials()))
        .unwrap();
    assert_eq!(draining.await.reason(), "credentials_replaced");
    let why = close_reason(client.read_u8().await.unwrap_err());
    assert_eq!(why.reason(), "credentials_replaced");
    drop(server);
    // A revoked server is left at once.
    let (mut server, mut client) = open().await;
    let crl = Crl::from_der(&ca.crl().revoke(server_leaf.serial()).build()).unwrap();
    connector
        .control()
        .update(Update::new().revocation(Crls::new([crl]).unwrap()))
        .unwrap();
    let (why, seen) = tokio::join!(
        async { close_reason(client.read_u8().await.unwrap_err()) },
        alert_at(&mut server)
    );
    assert_eq!(why.reason(), "revoked");
    assert_eq!(seen, Some(AlertDescription::CertificateRevoked));
}

#[tokio::test(start_paused = true)]
async fn the_application_ends_connections() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    for connection in acceptor.control().connections() {
        connection.close();
    }
    let (why, alert) = cut(server.unwrap(), client.unwrap()).await;
    assert_eq!((why.reason(), alert), ("ended_by_application", None));
}
