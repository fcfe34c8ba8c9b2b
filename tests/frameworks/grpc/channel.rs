//! The client's channel: which servers it does not call, and its error then.

use std::error::Error;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::HttpsConnector;
use countersign::integration::tonic::{Channel, Http2RequiredError};
use countersign::testing::TestCa;
use countersign::{Connector, policy};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::serving::{BOTH, By, Grpc, h2};
use countersign_frameworks::invoices::InvoicesClient;
use support::http::{
    PATIENCE, acceptor, cause, connector, deny_all, is_access_denied, name, refused_in,
};

async fn create(connector: Connector<DnsName>, endpoint: Endpoint) -> Result<String, Status> {
    let mut client = InvoicesClient::new(Channel::new(connector, endpoint));
    let invoice = timeout(PATIENCE, client.create("ACME")).await.unwrap()?;
    Ok(invoice.made_by)
}

/// With tonic's TLS compiled in (`--test grpc --features tonic/tls-aws-lc`), tonic rejects
/// the URI of every connector but its own. `TONIC_TLS` says that it is.
#[tokio::test]
async fn it_calls_https_whether_or_not_tonic_has_tls_of_its_own() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = Grpc::serve(By::Tonic, &acceptor).await;
    let alice = h2(&ca, "alice.example");
    for _ in 0..2 {
        let made_by = create(alice.clone(), server.endpoint()).await.unwrap();
        assert_eq!(made_by, "alice.example");
    }

    let plain = server.endpoint();
    let connected = plain
        .connect_with_connector(HttpsConnector::new(alice))
        .await;
    if std::env::var_os("TONIC_TLS").is_some() {
        let said = format!("{:?}", connected.unwrap_err());
        assert!(said.contains("HttpsUriWithoutTlsSupport"), "{said}");
    } else {
        connected.unwrap();
    }
}

#[tokio::test]
async fn only_https_is_called() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = Grpc::serve(By::Tonic, &acceptor).await;
    let url = format!("http://localhost:{}", server.address.port());
    let endpoint = Endpoint::from_shared(url).unwrap();
    let status = create(h2(&ca, "alice.example"), endpoint)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(refused_in(&status), Some("not_https"));
}

#[tokio::test]
async fn a_server_that_is_not_admitted_is_not_called() {
    let (ca, strange) = (TestCa::new("Root"), TestCa::new("Strange Root"));
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = Grpc::serve(By::Tonic, &acceptor).await;
    let denying = h2(&ca, "alice.example");
    denying.control().set_policy(deny_all);
    let trusting_others = connector(&ca, "alice.example", "h2").build().unwrap();
    let others = countersign::Update::new().trust(strange.trust());
    trusting_others.control().update(others).unwrap();
    for (connector, reason) in [(denying, "denied"), (trusting_others, "unknown_issuer")] {
        let status = create(connector, server.endpoint()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(refused_in(&status), Some(reason), "{status:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_denied_sees_the_alert() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::exact([name("alice.example")]));
        let acceptor = acceptor.build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let status = create(h2(&ca, "bob.example"), server.endpoint()).await;
        let status = status.unwrap_err();
        assert!(is_access_denied(&status), "{status:?}");
        create(h2(&ca, "alice.example"), server.endpoint())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn http2_must_be_agreed_on() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = Grpc::serve(By::Ours, &acceptor).await;
    for alpn in ["http/1.1", "unheard-of"] {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        let status = create(alice, server.endpoint()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let disagreed = cause::<Http2RequiredError>(&status).is_some();
        // Without a protocol in common, TLS itself fails.
        let failed = refused_in(&status).is_some();
        assert_eq!(
            (disagreed, failed),
            (alpn == "http/1.1", alpn != "http/1.1")
        );
    }
}

/// The endpoint's time limit is for TCP and TLS together.
#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    let ca = TestCa::new("Root");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let endpoint = Endpoint::from_shared(url)
        .unwrap()
        .connect_timeout(Duration::from_millis(200));
    let began = Instant::now();
    let status = create(h2(&ca, "alice.example"), endpoint)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(refused_in(&status), Some("transport"));
    let late = cause::<tokio::time::error::Elapsed>(&status);
    assert!(late.is_some(), "{:?}", status.source());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "not the TLS limit"
    );
}
