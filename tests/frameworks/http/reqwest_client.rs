//! reqwest over a connector's exported configuration.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::builder::{Builder, ClientSide};
use countersign::gate::ServerNameVerification;
use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{Issued, TestCa};
use countersign::{ConnectError, Connector, Decision, Peer, TrustStore, Update, policy};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ServerConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use support::http::{
    ALPN, Running, WhoAmI, acceptor, cause, connector, deny_all, is_access_denied, name, serve,
};
use support::raw_server::AnyClient;

/// A client that connects anew for each request.
fn client(connector: &Connector<DnsName>) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(connector.clone().into_authorizing_rustls_config())
        .https_only(true)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

async fn ask(client: &reqwest::Client, server: &Running) -> Result<String, reqwest::Error> {
    client.get(server.url("/")).send().await?.text().await
}

/// What rustls says of a server that was refused.
fn refused(error: &reqwest::Error) -> Option<CertificateError> {
    match cause::<rustls::Error>(error)? {
        rustls::Error::InvalidCertificate(error) => Some(error.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn the_server_knows_its_client_and_no_session_is_resumed() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    for (alpn, version) in ALPN.into_iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        let client = client(&alice);
        for _ in 0..3 {
            let said = ask(&client, &server).await.unwrap();
            assert_eq!(said, format!("alice.example resumed=false {version}"));
        }
    }
    // The twin: this server resumes sessions with clients that do.
    let alice = connector(&ca, "alice.example", "h2").build().unwrap();
    for resumed in ["resumed=false", "resumed=true"] {
        let client = countersign::integration::hyper::Client::new(alice.clone());
        let response = client
            .request(support::http::get(&server.url("/")))
            .await
            .unwrap();
        assert!(support::http::text(response).await.contains(resumed));
    }
}

#[tokio::test]
async fn a_client_that_is_denied_sees_the_alert() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, deny_all).build().unwrap();
    let service = WhoAmI::default();
    let server = serve(&acceptor, service.clone()).await;
    for alpn in ALPN {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        let error = ask(&client(&alice), &server).await.unwrap_err();
        assert!(is_access_denied(&error), "{error:?}");
    }
    assert_eq!(service.count(), 0);
}

/// A server of plain rustls, with this certificate and this key, that reports the result of each handshake.
async fn raw_server(
    shown: &Issued,
    key_of: &Issued,
    alpn: &str,
) -> (String, JoinHandle<Result<(), rustls::Error>>) {
    raw_server_that(Arc::new(AnyClient), shown, key_of, alpn).await
}

async fn raw_server_that(
    clients: Arc<dyn ClientCertVerifier>,
    shown: &Issued,
    key_of: &Issued,
    alpn: &str,
) -> (String, JoinHandle<Result<(), rustls::Error>>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider
        .key_provider
        .load_private_key(key_of.key_der())
        .unwrap();
    let certified = CertifiedKey::new(shown.chain().to_vec(), key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![alpn.into()];
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", tcp.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (tcp, _) = tcp.accept().await.unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        match tls.accept(tcp).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.downcast::<rustls::Error>().unwrap()),
        }
    });
    (url, serving)
}

/// TLS 1.3, or only TLS 1.2.
fn versions(
    builder: impl Fn() -> Builder<ClientSide, DnsName>,
) -> [Builder<ClientSide, DnsName>; 2] {
    let mut tls12: CryptoProvider = rustls::crypto::aws_lc_rs::default_provider();
    tls12.cipher_suites.retain(|suite| suite.tls13().is_none());
    [builder(), builder().allow_tls12().crypto_provider(tls12)]
}

/// Counts how often it is asked.
fn counting(count: &Arc<AtomicUsize>, answer: bool) -> impl countersign::Policy<DnsName> + use<> {
    let count = Arc::clone(count);
    move |_: &Peer<DnsName>| {
        count.fetch_add(1, Ordering::SeqCst);
        if answer {
            Decision::allow("counted")
        } else {
            Decision::deny("counted")
        }
    }
}

/// A certificate that is shown is not a certificate that is owned.
#[tokio::test]
async fn the_policy_never_sees_a_stolen_certificate() {
    let ca = TestCa::new("Root");
    let (stolen, own) = (
        ca.leaf().dns("localhost").issue(),
        ca.leaf().dns("thief.example").issue(),
    );
    for builder in versions(|| connector(&ca, "alice.example", "http/1.1")) {
        let alice = builder.build().unwrap();
        let asked = Arc::default();
        alice.control().set_policy(counting(&asked, true));
        let (url, serving) = raw_server(&stolen, &own, "http/1.1").await;
        let error = client(&alice).get(&url).send().await.unwrap_err();
        let rustls_says = cause::<rustls::Error>(&error).unwrap();
        assert_eq!(
            *rustls_says,
            rustls::Error::InvalidCertificate(CertificateError::BadSignature)
        );
        assert!(serving.await.unwrap().is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}

/// The twin, and the order: the owner of the key is asked about once, and a refusal comes in time for
/// the alert, and before the request.
#[tokio::test]
async fn the_policy_decides_once_after_the_proof_of_the_key() {
    let ca = TestCa::new("Root");
    let own = ca.leaf().dns("localhost").issue();
    for builder in versions(|| connector(&ca, "alice.example", "http/1.1")) {
        let alice = builder.build().unwrap();
        let asked = Arc::default();
        alice.control().set_policy(counting(&asked, false));
        let (url, serving) = raw_server(&own, &own, "http/1.1").await;
        let error = client(&alice).get(&url).send().await.unwrap_err();
        assert_eq!(
            refused(&error),
            Some(CertificateError::ApplicationVerificationFailure)
        );
        assert_eq!(
            serving.await.unwrap(),
            Err(rustls::Error::AlertReceived(AlertDescription::AccessDenied))
        );
        assert_eq!(asked.load(Ordering::SeqCst), 1);

        alice.control().set_policy(counting(&asked, true));
        let (url, serving) = raw_server(&own, &own, "http/1.1").await;
        // It says nothing after the handshake.
        assert!(client(&alice).get(&url).send().await.is_err());
        assert_eq!(serving.await.unwrap(), Ok(()));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn chain_and_name_are_verified() {
    let (ca, strange) = (TestCa::new("Root"), TestCa::new("Strange Root"));
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    alice.control().set_policy(policy::allow_any());
    let expired = ca.leaf().dns("localhost").expired().issue();
    for (shown, expected, alert) in [
        (
            strange.leaf().dns("localhost").issue(),
            CertificateError::UnknownIssuer,
            AlertDescription::UnknownCA,
        ),
        (
            ca.leaf().dns("other.example").issue(),
            CertificateError::NotValidForName,
            AlertDescription::BadCertificate,
        ),
        (
            expired,
            CertificateError::Expired,
            AlertDescription::CertificateExpired,
        ),
        // Two names where one is wanted.
        (
            ca.leaf().dns("localhost").dns("other.example").issue(),
            CertificateError::ApplicationVerificationFailure,
            AlertDescription::AccessDenied,
        ),
    ] {
        // reqwest's own way to give all of it up changes nothing.
        let careless = reqwest::Client::builder()
            .tls_backend_preconfigured(alice.clone().into_authorizing_rustls_config())
            .tls_danger_accept_invalid_certs(true)
            .tls_danger_accept_invalid_hostnames(true)
            .no_proxy()
            .build()
            .unwrap();
        for client in [client(&alice), careless] {
            let (url, serving) = raw_server(&shown, &shown, "http/1.1").await;
            let error = client.get(&url).send().await.unwrap_err();
            assert_eq!(refused(&error), Some(expected.clone()));
            assert_eq!(
                serving.await.unwrap(),
                Err(rustls::Error::AlertReceived(alert))
            );
        }
    }
}

#[tokio::test]
async fn policy_and_deny_list_reach_the_client_that_exists() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = WhoAmI::default();
    let server = serve(&acceptor, service.clone()).await;
    let denied = DenyList::new();
    let alice = connector(&ca, "alice.example", "h2")
        .deny_list(&denied)
        .build()
        .unwrap();
    let client = client(&alice);
    ask(&client, &server).await.unwrap();

    alice.control().set_policy(deny_all);
    let error = ask(&client, &server).await.unwrap_err();
    assert_eq!(
        refused(&error),
        Some(CertificateError::ApplicationVerificationFailure)
    );
    // What it is asked about.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    alice.control().set_policy(move |peer: &Peer<DnsName>| {
        let connection = peer.connection();
        noted.lock().unwrap().push((
            peer.identity().to_string(),
            connection.server_name().map(str::to_owned),
            connection.is_resumed(),
        ));
        Decision::allow("noted")
    });
    ask(&client, &server).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [("localhost".into(), Some("localhost".into()), false)]
    );

    denied.insert(DenyEntry::Identity(name("localhost")));
    let error = ask(&client, &server).await.unwrap_err();
    assert_eq!(
        refused(&error),
        Some(CertificateError::ApplicationVerificationFailure)
    );
    assert_eq!(seen.lock().unwrap().len(), 1, "the policy was not asked");

    // A policy that cannot run there admits no server.
    denied.remove(&DenyEntry::Identity(name("localhost")));
    ask(&client, &server).await.unwrap();
    alice
        .control()
        .set_async_policy(Allowing, Duration::from_secs(5));
    assert!(ask(&client, &server).await.is_err());
    assert_eq!(service.count(), 3);
}

struct Allowing;

impl policy::AsyncPolicy<DnsName> for Allowing {
    async fn authorize(&self, _: Peer<DnsName>) -> Decision {
        Decision::allow("everybody")
    }
}

#[tokio::test]
async fn new_credentials_and_trust_reach_the_client_that_exists() {
    let (ca, new) = (TestCa::new("Root"), TestCa::new("New Root"));
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    let client = client(&alice);
    let said = ask(&client, &server).await.unwrap();
    assert!(said.starts_with("alice.example "), "{said}");

    let renamed = ca.leaf().dns("alice-2.example").issue();
    alice
        .control()
        .update(Update::new().credentials(renamed.credentials()))
        .unwrap();
    let said = ask(&client, &server).await.unwrap();
    assert!(said.starts_with("alice-2.example "), "{said}");

    // The server moves to another authority: not before the client believes it.
    let moved = new.leaf().dns("localhost").issue();
    acceptor
        .control()
        .update(Update::new().credentials(moved.credentials()))
        .unwrap();
    let error = ask(&client, &server).await.unwrap_err();
    assert_eq!(refused(&error), Some(CertificateError::UnknownIssuer));
    let both = TrustStore::from_der([ca.certificate_der(), new.certificate_der()]).unwrap();
    alice.control().update(Update::new().trust(both)).unwrap();
    ask(&client, &server).await.unwrap();
}

/// With a pool, and eight at a time, while the client's credentials are replaced over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_reqwest_is_lost_while_credentials_are_replaced() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = serve(&acceptor, WhoAmI::default()).await;
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let client = client(&alice);
                let url = server.url("/");
                tokio::spawn(async move {
                    for _ in 0..30 {
                        let response = client.get(&url).send().await.expect("no request is lost");
                        assert!(response.text().await.unwrap().starts_with("alice.example "));
                    }
                })
            })
            .collect();
        while !asking.iter().all(JoinHandle::is_finished) {
            let own = ca.leaf().dns("alice.example").issue();
            alice
                .control()
                .update(Update::new().credentials(own.credentials()))
                .unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for asking in asking {
            asking.await.unwrap();
        }
    }
}

/// Concurrent handshakes on few threads are not mixed up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_handshakes_are_authorized_each_for_itself() {
    let ca = TestCa::new("Root");
    let good = acceptor(&ca, policy::allow_any()).build().unwrap();
    let bad = acceptor(&ca, policy::allow_any()).build().unwrap();
    let other = ca.leaf().dns("other.example").issue();
    bad.control()
        .update(Update::new().credentials(other.credentials()))
        .unwrap();
    let (for_good, for_bad) = (WhoAmI::default(), WhoAmI::default());
    let good = serve(&good, for_good.clone()).await;
    let bad = serve(&bad, for_bad.clone()).await;
    // The name is no obstacle: only the policy distinguishes them.
    let alice = connector(&ca, "alice.example", "http/1.1")
        .server_names(ServerNameVerification::ByPolicy)
        .build()
        .unwrap();
    let client = client(&alice);
    let asking: Vec<_> = (0..200)
        .map(|number| {
            let client = client.clone();
            let is_good = number % 2 == 0;
            let url = if is_good { &good } else { &bad }.url("/");
            tokio::spawn(async move { (is_good, client.get(url).send().await.is_ok()) })
        })
        .collect();
    for asking in asking {
        let (is_good, got) = asking.await.unwrap();
        assert_eq!(got, is_good);
    }
    assert_eq!((for_good.count(), for_bad.count()), (100, 0));
}

#[tokio::test]
async fn a_server_that_does_not_ask_for_our_certificate_is_rejected() {
    let ca = TestCa::new("Root");
    let own = ca.leaf().dns("localhost").issue();
    for builder in versions(|| connector(&ca, "alice.example", "http/1.1")) {
        let alice = builder.build().unwrap();
        let nobody = WebPkiClientVerifier::no_client_auth();
        let (url, serving) = raw_server_that(nobody, &own, &own, "http/1.1").await;
        let error = client(&alice).get(&url).send().await.unwrap_err();
        let Some(rustls::Error::Other(cause)) = cause::<rustls::Error>(&error) else {
            panic!("{error:?}");
        };
        let cause = cause.0.downcast_ref::<ConnectError>();
        assert_eq!(cause.map(ConnectError::reason), Some("not_asked"));
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(serving.await.unwrap(), Err(alert));
    }
}

/// What is lost, as the documentation says: who knows it from here need not find it out.
#[tokio::test]
async fn an_open_connection_stays() {
    let ca = TestCa::new("Root");
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    let pooling = reqwest::Client::builder()
        .tls_backend_preconfigured(alice.clone().into_authorizing_rustls_config())
        .no_proxy()
        .build()
        .unwrap();
    ask(&pooling, &server).await.unwrap();
    assert_eq!(alice.control().connections().len(), 0);
    alice.control().set_policy(deny_all);
    ask(&pooling, &server).await.unwrap();
    assert_eq!(
        acceptor.control().connections().len(),
        1,
        "the same connection"
    );
    assert!(
        ask(&client(&alice), &server).await.is_err(),
        "a new one is verified"
    );
}

/// One handle, busy all the time, and nothing of reqwest's pool is turned off.
mod rotating {
    use super::*;
    use countersign::integration::reqwest::Client;

    async fn said(client: &Client<DnsName>, server: &Running) -> Result<String, reqwest::Error> {
        ask(&client.current()?, server).await
    }

    fn handle(connector: &Connector<DnsName>) -> Client<DnsName> {
        Client::configured(connector.clone(), reqwest::ClientBuilder::no_proxy).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_busy_handle_uses_new_credentials_at_once_and_loses_no_request() {
        for alpn in ALPN {
            let ca = TestCa::new("Root");
            let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
            let server = serve(&acceptor, WhoAmI::default()).await;
            let alice = connector(&ca, "alice-0.example", alpn).build().unwrap();
            let client = handle(&alice);
            let newest = Arc::new(AtomicUsize::new(0));
            let stop = Arc::new(AtomicBool::new(false));
            let asking: Vec<_> = (0..8)
                .map(|_| {
                    let (client, url) = (client.clone(), server.url("/"));
                    let (newest, stop) = (Arc::clone(&newest), Arc::clone(&stop));
                    tokio::spawn(async move {
                        let mut sent = 0;
                        while !stop.load(Ordering::SeqCst) {
                            let at_least = newest.load(Ordering::SeqCst);
                            let request = client.current().unwrap().get(&url).send();
                            let response = request.await.expect("no request is lost");
                            let said = response.text().await.expect("nor its answer");
                            let name = said.split(['-', '.']).nth(1).unwrap();
                            let number: usize = name.parse().unwrap();
                            assert!(number >= at_least, "{said}, after {at_least}");
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            for number in 1..=20 {
                let own = ca.leaf().dns(&format!("alice-{number}.example")).issue();
                let update = Update::new().credentials(own.credentials());
                alice.control().update(update).unwrap();
                newest.store(number, Ordering::SeqCst);
                // Some requests of each generation.
                while !said(&client, &server)
                    .await
                    .unwrap()
                    .starts_with(&format!("alice-{number}."))
                {}
            }
            stop.store(true, Ordering::SeqCst);
            let mut sent = 0;
            for asking in asking {
                sent += asking.await.unwrap();
            }
            assert!(sent >= 8);
            println!("{alpn}: {sent} requests, 20 rotations");
        }
    }

    #[tokio::test]
    async fn its_pool_is_kept_while_nothing_changes_and_replaced_when_anything_does() {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = serve(&acceptor, WhoAmI::default()).await;
        let denied = DenyList::new();
        let alice = connector(&ca, "alice.example", "h2")
            .deny_list(&denied)
            .build()
            .unwrap();
        let client = handle(&alice);
        let admitted = || acceptor.control().stats().admitted;
        for _ in 0..3 {
            said(&client, &server).await.unwrap();
        }
        assert_eq!(admitted(), 1);
        // The policy, the deny list, the trust.
        alice
            .control()
            .set_policy(policy::exact([name("localhost")]));
        said(&client, &server).await.unwrap();
        denied.insert(DenyEntry::Identity(name("localhost")));
        let error = said(&client, &server).await.unwrap_err();
        assert_eq!(
            refused(&error),
            Some(CertificateError::ApplicationVerificationFailure)
        );
        denied.remove(&DenyEntry::Identity(name("localhost")));
        said(&client, &server).await.unwrap();
        alice
            .control()
            .update(Update::new().trust(ca.trust()))
            .unwrap();
        said(&client, &server).await.unwrap();
        said(&client, &server).await.unwrap();
        assert_eq!(admitted(), 4);

        // The age.
        let brief = client.clone().max_connection_age(Duration::ZERO);
        said(&brief, &server).await.unwrap();
        said(&brief, &server).await.unwrap();
        assert_eq!(admitted(), 6);
    }

    #[tokio::test]
    async fn its_settings_cannot_turn_tls_off() {
        let ca = TestCa::new("Root");
        let alice = connector(&ca, "alice.example", "h2").build().unwrap();
        let client = Client::configured(alice, |builder| {
            builder
                .no_proxy()
                .https_only(false)
                .tls_danger_accept_invalid_certs(true)
        })
        .unwrap();
        let plain = client.current().unwrap().get("http://localhost:1/").send();
        assert!(plain.await.unwrap_err().is_builder());
        let strange = TestCa::new("Root").leaf().dns("localhost").issue();
        let (url, serving) = raw_server(&strange, &strange, "h2").await;
        let error = client.current().unwrap().get(&url).send().await;
        assert!(refused(&error.unwrap_err()).is_some());
        assert!(serving.await.unwrap().is_err());
    }
}
