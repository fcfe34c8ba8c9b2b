//! Identities of clients behind proxies: which are believed, which are refused, and what is recorded.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::{Action, AuditEvent, AuditSink, FanOut, Memory, Proof, RecordError};
use countersign::gate::Vouched;
use countersign::identity::DnsName;
use countersign::integration::http::{
    ForwardedIdentity, IdentityHeader, ProxiedIdentity, ProxiedIdentityError, XfccField, peer_in,
};
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{self, Issued, TestCa};
use countersign::trust::{Crls, Revocation};
use countersign::{Acceptor, Certificate, ConnectionInfo, Decision, Peer, Update, policy};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustls_pki_types::CertificateDer;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use support::forwarded::{Cast, FORMATS, Format, Headers, encoded, forwarded, verified_by_aws};

const fn header_of(format: Format) -> IdentityHeader {
    match format {
        Format::ClientCert => IdentityHeader::ClientCert,
        Format::Xfcc => IdentityHeader::Xfcc,
        Format::AwsAlb => IdentityHeader::AwsAlb,
        Format::Nginx => IdentityHeader::NGINX,
        Format::Haproxy => IdentityHeader::HAPROXY,
    }
}

fn name(name: &str) -> DnsName {
    name.parse().unwrap()
}

/// A server behind `edge.example`, which proxies for the cast.
struct Behind {
    ca: TestCa,
    cast: Cast,
    acceptor: Acceptor<DnsName>,
    deny_list: DenyList<DnsName>,
    audit: Memory,
    edge: Issued,
}

impl Behind {
    fn new() -> Self {
        Self::with(Memory::new(), |audit| Box::new(audit))
    }

    fn with(audit: Memory, sink: impl FnOnce(Memory) -> Box<dyn AuditSink>) -> Self {
        let ca = TestCa::new("Root");
        let cast = Cast::new(&ca);
        let deny_list = DenyList::new();
        let allowed = ["client.example", "other.example", "edge.example"].map(name);
        // The intermediate is known, since nginx forwards the leaf alone.
        let trust = ca.trust();
        let issuing = Certificate::from_der(&cast.issuing.certificate_der()).unwrap();
        let trust = trust.with_intermediate(issuing);
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::exact(allowed))
            .deny_list(&deny_list)
            .audit(sink(audit.clone()))
            .build()
            .unwrap();
        let edge = ca.leaf().dns("edge.example").issue();
        Self {
            ca,
            cast,
            acceptor,
            deny_list,
            audit,
            edge,
        }
    }

    fn proxied(&self, format: Format) -> ProxiedIdentity<DnsName> {
        let edge = policy::exact([name("edge.example")]);
        ProxiedIdentity::new(&self.acceptor).from_proxies(edge, header_of(format))
    }

    fn peer(&self, own: &str, issued: &Issued) -> Peer<DnsName> {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 4711));
        let info = ConnectionInfo::default().with_remote_addr(address);
        testing::peer_of(name(own), &self.ca, issued, info)
    }

    /// A request over the proxy's connection.
    fn request(&self, headers: &Headers) -> Parts {
        self.request_of(self.peer("edge.example", &self.edge), headers)
    }

    fn request_of(&self, peer: Peer<DnsName>, headers: &Headers) -> Parts {
        let mut parts = parts(headers);
        parts.extensions.insert(peer);
        parts
    }

    fn last_event(&self) -> Arc<AuditEvent> {
        Arc::clone(self.audit.events().last().unwrap())
    }
}

fn parts(headers: &Headers) -> Parts {
    let mut request = Request::get("/v1/invoices").body(()).unwrap();
    *request.headers_mut() = map_of(headers);
    request.into_parts().0
}

fn map_of(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

async fn identified(
    proxied: &ProxiedIdentity<DnsName>,
    mut parts: Parts,
) -> Result<(Option<Vouched<DnsName>>, Parts), ProxiedIdentityError> {
    let vouched = proxied.identify(&mut parts).await?;
    Ok((vouched, parts))
}

#[tokio::test]
async fn the_client_of_a_proxy_is_the_peer_in_every_format() {
    let behind = Behind::new();
    let mut all: Vec<_> = FORMATS
        .map(|format| (format, forwarded(format, &behind.cast.client)))
        .into();
    all.push((Format::AwsAlb, verified_by_aws(&behind.cast.client)));
    // HAProxy of a resumed session, and with a library that counts the leaf among the chain.
    let chain = behind.cast.client.chain().iter();
    let whole = encoded(&chain.flat_map(|der| der.to_vec()).collect::<Vec<_>>());
    for chain in [String::new(), whole] {
        let mut headers = forwarded(Format::Haproxy, &behind.cast.client);
        headers[1].1 = chain;
        all.push((Format::Haproxy, headers));
    }
    for (format, headers) in all {
        let request = behind.request(&headers);
        let (vouched, parts) = identified(&behind.proxied(format), request).await.unwrap();
        let vouched = vouched.unwrap();
        assert_eq!(
            vouched.peer().identity(),
            &name("client.example"),
            "{format:?}"
        );
        assert_eq!(vouched.proxy().identity(), &name("edge.example"));
        assert_eq!(vouched.rule(), "exact");
        let peer = peer_in::<DnsName>(&parts.extensions).unwrap();
        assert_eq!(peer.identity(), &name("client.example"));
        let proxy = peer.vouched_by().unwrap();
        assert_eq!(proxy.identity(), &name("edge.example"));
        let connection = peer.connection();
        assert_eq!(connection.remote_addr(), None);
        assert_eq!(connection.proxy_addr(), proxy.connection().remote_addr());
        assert!(parts.extensions.get::<Vouched<DnsName>>().is_some());
        assert_eq!(parts.headers.len(), 0, "{format:?}: {:?}", parts.headers);
    }
}

#[tokio::test]
async fn no_forgery_passes() {
    let behind = Behind::new();
    let forgeries = behind.cast.forgeries();
    assert!(forgeries.len() >= 40, "{}", forgeries.len());
    let (mut wrong, mut passed) = (Vec::new(), 0);
    for forgery in &forgeries {
        let proxied = behind.proxied(forgery.format);
        let before = behind.audit.events().len();
        let what = format!("{:?}: {}", forgery.format, forgery.what);
        match identified(&proxied, behind.request(&forgery.headers)).await {
            Ok(_) => {
                passed += 1;
                wrong.push(format!("{what} passed"));
            }
            Err(error) if error.reason() != forgery.reason => {
                wrong.push(format!(
                    "{what}: {} and not {}",
                    error.reason(),
                    forgery.reason
                ));
            }
            Err(_) => {}
        }
        let events = behind.audit.events();
        let [event] = &events[before..] else {
            panic!("{what}: {} events", events.len() - before);
        };
        assert_eq!(event.action, Action::RequestDenied, "{what}");
        assert!(event.to_json().len() <= AuditEvent::MAX_JSON);
    }
    assert_eq!((passed, wrong), (0, Vec::<String>::new()));
}

#[tokio::test]
async fn a_header_from_any_other_peer_is_refused_in_any_spelling() {
    let behind = Behind::new();
    for format in FORMATS {
        let proxied = behind.proxied(format);
        let headers = forwarded(format, &behind.cast.client);
        let spelled: Headers = headers
            .iter()
            .map(|(name, value)| (name.replace('-', "_"), value.clone()))
            .collect();
        for headers in [
            headers,
            spelled,
            forwarded(Format::Xfcc, &behind.cast.other),
        ] {
            let direct = behind.peer("other.example", &behind.cast.other);
            let error = identified(&proxied, behind.request_of(direct, &headers)).await;
            assert_eq!(
                error.unwrap_err().reason(),
                "proxied_identity_not_from_proxy"
            );
        }
        // Without such a header it is served as itself.
        let direct = behind.peer("other.example", &behind.cast.other);
        let headers = vec![("X-Request-Id".to_owned(), "7".to_owned())];
        let (vouched, parts) = identified(&proxied, behind.request_of(direct, &headers))
            .await
            .unwrap();
        assert!(vouched.is_none());
        let peer = peer_in::<DnsName>(&parts.extensions).unwrap();
        assert_eq!(peer.identity(), &name("other.example"));
        assert!(peer.vouched_by().is_none());
        assert_eq!(parts.headers.len(), 1);
    }
}

#[tokio::test]
async fn a_request_without_a_peer_is_refused() {
    let behind = Behind::new();
    let proxied = behind.proxied(Format::Xfcc);
    let headers = forwarded(Format::Xfcc, &behind.cast.client);
    let error = identified(&proxied, parts(&headers)).await.unwrap_err();
    assert_eq!(error.reason(), "no_peer");
}

#[tokio::test]
async fn a_proxy_that_is_named_with_two_headers_is_refused() {
    let behind = Behind::new();
    let edge = || policy::exact([name("edge.example")]);
    let headers = forwarded(Format::ClientCert, &behind.cast.client);
    let twice = behind.proxied(Format::ClientCert);
    let same = twice
        .clone()
        .from_proxies(edge(), IdentityHeader::ClientCert);
    assert!(identified(&same, behind.request(&headers)).await.is_ok());
    let other = twice.from_proxies(edge(), IdentityHeader::Xfcc);
    let error = identified(&other, behind.request(&headers))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "proxied_identity_several_headers");
}

#[tokio::test]
async fn a_policy_of_proxies_that_panics_refuses() {
    let behind = Behind::new();
    let proxied = ProxiedIdentity::new(&behind.acceptor).from_proxies(
        |_: &Peer<DnsName>| -> Decision { panic!("a policy with a bug") },
        IdentityHeader::Xfcc,
    );
    let headers = forwarded(Format::Xfcc, &behind.cast.client);
    let error = identified(&proxied, behind.request(&headers))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "proxied_identity_panicked");
}

#[tokio::test]
async fn a_revoked_client_is_refused_at_its_next_request() {
    let behind = Behind::new();
    for format in FORMATS {
        let proxied = behind.proxied(format);
        let of = |issued| behind.request(&forwarded(format, issued));
        assert!(identified(&proxied, of(&behind.cast.client)).await.is_ok());
        let denied = DenyEntry::Identity(name("client.example"));
        behind.deny_list.insert(denied);
        let error = identified(&proxied, of(&behind.cast.client))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "deny_listed", "{format:?}");
        let event = behind.last_event();
        let identity = event.identity.as_ref().unwrap();
        assert_eq!(
            (&*identity.text, identity.proof),
            ("client.example", Proof::Vouched)
        );
        assert_eq!(event.vouched_by.as_ref().unwrap().text, "edge.example");
        assert!(identified(&proxied, of(&behind.cast.other)).await.is_ok());
        behind.deny_list.replace([]);
        assert!(identified(&proxied, of(&behind.cast.client)).await.is_ok());
    }
    // By a CRL, and by the policy.
    let proxied = behind.proxied(Format::ClientCert);
    let request = || behind.request(&forwarded(Format::ClientCert, &behind.cast.client));
    behind
        .acceptor
        .control()
        .set_policy(policy::exact([name("other.example")]));
    let error = identified(&proxied, request()).await.unwrap_err();
    assert_eq!(error.reason(), "denied");
    behind.acceptor.control().set_policy(policy::allow_any());
    assert!(identified(&proxied, request()).await.is_ok());
    let revoked = behind
        .cast
        .issuing
        .crl()
        .revoke(behind.cast.client.serial());
    let lists = [revoked.build(), behind.ca.crl().build()];
    let crls = Crls::new(lists.map(|list| Crl::from_der(&list).unwrap())).unwrap();
    let update = Update::new().revocation(Revocation::new(crls));
    behind.acceptor.control().update(update).unwrap();
    let error = identified(&proxied, request()).await.unwrap_err();
    assert_eq!(error.reason(), "revoked");
}

#[tokio::test]
async fn an_asynchronous_policy_decides_too_and_sees_the_proxy() {
    let behind = Behind::new();
    let slow = |peer: Peer<DnsName>| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match peer.vouched_by() {
            Some(_) => Decision::deny("no client behind a proxy"),
            None => Decision::allow("direct"),
        }
    };
    let proxied = behind.proxied(Format::Nginx);
    let headers = forwarded(Format::Nginx, &behind.cast.client);
    assert!(identified(&proxied, behind.request(&headers)).await.is_ok());
    let control = behind.acceptor.control();
    control.set_async_policy(slow, Duration::from_secs(5));
    let error = identified(&proxied, behind.request(&headers))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "denied");
}

#[tokio::test]
async fn a_client_is_recorded_once_for_each_connection_and_set_of_rules() {
    let behind = Behind::new();
    let proxied = behind.proxied(Format::ClientCert);
    let headers = forwarded(Format::ClientCert, &behind.cast.client);
    let ask = async || {
        let asked = identified(&proxied.clone(), behind.request(&headers)).await;
        assert!(asked.is_ok());
    };
    for _ in 0..10 {
        ask().await;
    }
    let events = behind.audit.events();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.action, Action::Vouched);
    let identity = event.identity.as_ref().unwrap();
    assert_eq!(
        (&*identity.text, identity.proof),
        ("client.example", Proof::Vouched)
    );
    assert_eq!(
        event.to_string(),
        "client admitted by the word of a proxy: client.example (vouched): \
         vouched for by edge.example: by the rule \"exact\""
    );
    let json = event.to_json();
    for part in [
        r#""action":"vouched","outcome":"success""#,
        r#""proxy":{"ip":"10.0.0.1","port":4711,"identity":"edge.example"}"#,
        r#""identity":{"value":"client.example","proof":"vouched"}"#,
        r#""user":{"name":"client.example"}"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    support::schema::assert_valid_line(&support::schema::of_events(), &json);
    behind.acceptor.control().set_policy(policy::allow_any());
    ask().await;
    ask().await;
    assert_eq!(behind.audit.events().len(), 2);
}

/// A sink without space.
struct Full;

impl AuditSink for Full {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        match event.action {
            Action::Vouched => Err(RecordError::new("no space")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_recorded_is_refused() {
    let behind = Behind::with(Memory::new(), |memory| {
        Box::new(FanOut::new().and(memory).and(Full))
    });
    let proxied = behind.proxied(Format::ClientCert);
    let headers = forwarded(Format::ClientCert, &behind.cast.client);
    for _ in 0..2 {
        let error = identified(&proxied, behind.request(&headers))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "not_audited");
    }
}

#[tokio::test]
async fn the_layer_answers_403_or_permission_denied() {
    let behind = Behind::new();
    let service = tower::service_fn(|request: Request<()>| async move {
        let peer = peer_in::<DnsName>(request.extensions());
        let who = peer.map(|peer| peer.identity().to_string());
        Ok::<_, Infallible>(Response::new(who.unwrap_or_default()))
    });
    let layered = behind.proxied(Format::Xfcc).layer(service);
    let ask = |headers: Headers, is_grpc: bool| {
        let mut request = Request::from_parts(behind.request(&headers), ());
        if is_grpc {
            *request.version_mut() = Version::HTTP_2;
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert("content-type", grpc);
        }
        layered.clone().oneshot(request)
    };
    let good = forwarded(Format::Xfcc, &behind.cast.client);
    assert_eq!(ask(good, false).await.unwrap().body(), "client.example");
    let refused = ask(Vec::new(), false).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.body(), "");
    let refused = ask(Vec::new(), true).await.unwrap();
    assert_eq!(refused.status(), StatusCode::OK);
    assert_eq!(refused.headers()["grpc-status"], "7");
}

/// Envoy writes an empty URI for a certificate without one.
#[test]
fn an_empty_uri_of_envoy_is_none() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("client.example").issue();
    let mut headers = forwarded(Format::Xfcc, &issued);
    headers[0].1.push_str(";URI=;DNS=client.example");
    let chain = IdentityHeader::Xfcc.read(&map_of(&headers)).unwrap();
    assert_eq!(chain, issued.chain());
}

/// What we send as a proxy is read as it was sent.
#[test]
fn what_forwarded_identity_sends_is_read() {
    let ca = TestCa::new("Root");
    let issuing = ca.intermediate("Issuing CA");
    for leaf in [
        issuing.leaf().dns("client.example"),
        issuing
            .leaf()
            .common_name("a, \"b\"; c=d\\e")
            .uri("urn:a;b,c=d\"e"),
        issuing
            .leaf()
            .uri("spiffe://example.org/a")
            .uri("urn:b")
            .dns("a.example"),
        issuing.leaf(),
    ] {
        let issued = leaf.issue();
        let peer = testing::peer_of((), &ca, &issued, ConnectionInfo::default());
        let every = [
            XfccField::By("spiffe://example.org/edge".into()),
            XfccField::Hash,
            XfccField::Cert,
            XfccField::Chain,
            XfccField::Subject,
            XfccField::Uri,
            XfccField::Dns,
        ];
        for (forward, header) in [
            (
                ForwardedIdentity::new().client_cert_chain(),
                IdentityHeader::ClientCert,
            ),
            (ForwardedIdentity::new().xfcc(every), IdentityHeader::Xfcc),
        ] {
            let mut headers = HeaderMap::new();
            forward.apply(&mut headers, &peer).unwrap();
            assert_eq!(
                header.read(&headers).unwrap(),
                issued.chain(),
                "{headers:?}"
            );
        }
    }
}

/// Whatever is changed in a header, it is an error, or it is read as the same chain: with optional
/// whitespace, or in another spelling of hexadecimal digits.
#[test]
fn no_change_of_a_header_is_read_as_another_chain() {
    let ca = TestCa::new("Root");
    let cast = Cast::new(&ca);
    let known: Vec<CertificateDer<'static>> = [cast.client.chain(), cast.other.chain()].concat();
    let all: Vec<_> = FORMATS
        .map(|format| (header_of(format), forwarded(format, &cast.client)))
        .into();
    let victim: Vec<_> = FORMATS.map(|format| forwarded(format, &cast.other)).into();
    let strategy = (
        0..all.len(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..6_u8,
        32..127_u8,
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(4_000));
    let result = runner.run(&strategy, |(which, at, length, how, byte)| {
        let (header, headers) = &all[which];
        let mut headers = headers.clone();
        let value = &mut headers[0].1;
        let place = at.index(value.len());
        let end = place + length.index(value.len() - place + 1);
        let byte = (byte as char).to_string();
        match how {
            0 => value.replace_range(place..=place, &byte),
            1 => value.insert_str(place, &byte),
            2 => drop(value.drain(place..end)),
            3 => {
                let part = value[place..end].to_owned();
                value.insert_str(place, &part);
            }
            4 => {
                let other = &victim[which][0].1;
                let (from, to) = (place.min(other.len()), end.min(other.len()));
                value.replace_range(place..end, &other[from..to]);
            }
            _ => value.truncate(place),
        }
        match header.read(&map_of(&headers)) {
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
            Ok(chain) => {
                // Changed bytes of a certificate are for the gate, which verifies its signature.
                let leaf = &chain[0];
                let is_other = cast.other.leaf_der() == leaf;
                prop_assert!(!is_other || how == 4, "{leaf:?}");
                prop_assert!(chain.len() <= 10 && !known.is_empty());
            }
        }
        Ok(())
    });
    result.unwrap();
}
