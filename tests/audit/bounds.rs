//! Whatever a certificate holds, what is written about it is short, and says what was cut.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use countersign::Side;
use countersign::audit::{AuditEvent, AuditSink as _, Memory, Tracing};
use countersign::diagnose::{Case, diagnose};
use countersign::testing::{LeafBuilder, TestCa, der};
use countersign::trust::ChainVerifier;
use countersign::{Acceptor, Certificate, ConnectionInfo, Decision, Peer, policy};
use proptest::prelude::{ProptestConfig, proptest};
use rustls_pki_types::{CertificateDer, UnixTime};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use support::schema;
use support::{Version, raw_client, refused_raw_client, thief};

/// The longest error, as `Display` and as `Debug` print it.
const ERROR: usize = 4096;

type Edit = fn(LeafBuilder) -> LeafBuilder;

/// Certificates that only an attacker issues.
const HOSTILE: [(&str, Edit); 12] = [
    ("many names", |leaf| {
        (0..10_000).fold(leaf, |leaf, at| leaf.dns(&format!("host-{at}.example")))
    }),
    ("a long common name", |leaf| {
        leaf.common_name(&"x".repeat(60_000))
    }),
    ("quotes", |leaf| leaf.common_name(&"\"\\".repeat(30_000))),
    ("control characters", |leaf| {
        let text = "\u{202e}\n\u{1b}[2J".repeat(6_000);
        leaf.common_name(&text).dns(&text).uri(&text)
    }),
    ("a long URI", |leaf| {
        leaf.uri(&format!("spiffe://a/{}", "b".repeat(60_000)))
    }),
    ("a long identifier", |leaf| {
        leaf.extension(&format!("1.3{}", ".9".repeat(30_000)), true, &[5, 0])
    }),
    ("many extensions", |leaf| {
        (0..800).fold(leaf, |leaf, at| {
            leaf.extension(&format!("1.3.9.{at}"), false, &[5, 0])
        })
    }),
    ("a deep name", |leaf| {
        (0..4_000).fold(leaf, |leaf, at| {
            leaf.attribute("2.5.4.11", 0x0c, format!("{at}").as_bytes())
        })
    }),
    ("a wide name", |leaf| {
        leaf.multi_valued_rdn(&vec![("2.5.4.3", 0x0c, &b"part"[..]); 4_000])
    }),
    ("unreadable names", |leaf| {
        let long = format!("1.3{}", ".9".repeat(20_000));
        leaf.attribute(&long, 0x1e, &[0; 20_000])
            .registered_id(&long)
            .other_name(&long, &[5, 0])
            .directory_name(&der::sequence(&[der::common_name(&"y".repeat(20_000))]))
    }),
    ("many purposes", |leaf| {
        let all: Vec<String> = (0..3_000)
            .map(|at| format!("1.3.6.1.4.1.9999.{at}"))
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        leaf.extended_key_usage(Some(&all))
    }),
    ("a long serial number", |leaf| {
        leaf.serial(&[0x8f; 20_000]).common_name("x")
    }),
];

/// An acceptor whose own code copies whatever it is given.
fn credulous(ca: &TestCa, trail: &Memory) -> Acceptor<String> {
    Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(|certificate: &Certificate| {
            let names = certificate.subject_alternative_names().unwrap_or_default();
            Ok(format!("{} {names:?}", certificate.subject()))
        })
        .authorize(|peer: &Peer<String>| Decision::deny(peer.identity().clone()))
        .audit(trail.clone())
        .audit_refusals_per_second(None)
        .build()
        .unwrap()
}

/// What `Tracing` writes of an event: all fields of the line.
fn traced(event: &Arc<AuditEvent>) -> String {
    #[derive(Clone, Default)]
    struct Line(Arc<Mutex<String>>);
    impl Visit for &Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            write!(self.0.lock().unwrap(), "{}={value:?} ", field.name()).unwrap();
        }
    }
    impl Subscriber for Line {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            event.record(&mut &*self);
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }
    let line = Line::default();
    tracing::subscriber::with_default(line.clone(), || Tracing.record(event).unwrap());
    let text = line.0.lock().unwrap();
    text.clone()
}

/// Every text of an event is within its bound, and on one line.
fn assert_bounded(events: &[Arc<AuditEvent>], what: &str) {
    let schema = schema::of_events();
    assert!(!events.is_empty());
    for event in events {
        let (line, json, traced) = (event.to_string(), event.to_json(), traced(event));
        assert!(line.len() <= AuditEvent::MAX_TEXT, "{what}: {}", line.len());
        assert!(json.len() <= AuditEvent::MAX_JSON, "{what}: {}", json.len());
        assert!(
            traced.len() <= AuditEvent::MAX_TEXT,
            "{what}: {}",
            traced.len()
        );
        assert!(
            format!("{event:?}").len() <= 2 * AuditEvent::MAX_JSON,
            "{what}"
        );
        for text in [&line, &json, &traced] {
            assert!(
                !text.contains(['\n', '\u{1b}', '\u{202e}']),
                "{what}: {text}"
            );
        }
        schema::assert_valid(&schema, event);
    }
}

fn assert_short(error: &(impl fmt::Display + fmt::Debug), what: &str) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.len() <= ERROR, "{what}: {} bytes: {text}", text.len());
        assert!(
            !text.contains(['\n', '\u{1b}', '\u{202e}']),
            "{what}: {text}"
        );
    }
}

#[test]
fn hostile_certificates_are_short_in_every_error_sink_and_report() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let acceptor = credulous(&ca, &trail);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(ca.trust(), Side::Client, &provider);
    let servers = ChainVerifier::new(ca.trust(), Side::Server, &provider);
    let name = "server.example".try_into().unwrap();
    for (what, edit) in HOSTILE {
        let leaves = [&ca, &other].map(|ca| ca.leaf());
        let expired = ca.leaf().expired();
        for leaf in leaves.into_iter().chain([expired]) {
            let issued = edit(leaf).issue();
            // Every certificate of it is hostile.
            let crowd = vec![issued.leaf_der().clone(); 10];
            for chain in [issued.chain(), &crowd] {
                let refused = acceptor
                    .control()
                    .admit_chain(chain, ConnectionInfo::default());
                assert_short(&refused.unwrap_err(), what);
                for verifier in [&verifier, &servers] {
                    let case = Case::new(verifier, UnixTime::now()).server_name(&name);
                    let report = diagnose(chain, &case);
                    for finding in report.findings() {
                        assert!(finding.to_string().len() <= 8 * 1024, "{what}: {finding}");
                        let commands: usize = finding.commands().iter().map(String::len).sum();
                        assert!(commands <= 16 * 1024, "{what}: {commands}");
                    }
                    let length = report.to_string().len();
                    assert!(length <= 96 * 1024, "{what}: {length}");
                }
            }
            let leaf = Certificate::from_der(issued.leaf_der()).unwrap();
            assert!(leaf.to_string().len() < 800, "{what}: {leaf}");
            assert!(format!("{leaf:?}").len() < 1024, "{what}: {leaf:?}");
        }
        assert_bounded(&trail.take(), what);
    }
}

/// The twin: what is usual is whole.
#[test]
fn names_of_a_usual_length_are_not_cut() {
    let other = TestCa::new("Other");
    let trail = Memory::new();
    let acceptor = support::acceptor(&TestCa::new("Root"), policy::allow_any());
    let acceptor = acceptor.audit(trail.clone()).build().unwrap();
    let name = "n".repeat(64); // the longest that RFC 5280 allows
    let uri = format!("spiffe://example.org/{}", "a".repeat(200));
    let leaf = (0..20).fold(other.leaf().common_name(&name).uri(&uri), |leaf, at| {
        leaf.dns(&format!("host-{at}.example"))
    });
    let issued = leaf.issue();
    let refused = acceptor
        .control()
        .admit_chain(issued.chain(), ConnectionInfo::default());
    let error = refused.unwrap_err().to_string();
    assert!(error.contains(&name) && !error.contains("(+"), "{error}");
    let events = trail.take();
    let json = schema::assert_valid(&schema::of_events(), &events[0]);
    assert!(!json.to_string().contains("(+"), "{json}");
    let names = &json["tls"]["client"]["x509"]["alternative_names"];
    assert_eq!(names.as_array().unwrap().len(), 21);
    assert_eq!(names[0], uri.as_str());
}

#[test]
fn what_is_cut_says_how_much_is_missing() {
    let trail = Memory::new();
    let acceptor = credulous(&TestCa::new("Root"), &trail);
    let leaf = TestCa::new("Other").leaf().common_name(&"x".repeat(60_000));
    let issued = (0..10_000)
        .fold(leaf, |leaf, at| leaf.dns(&format!("{at}.example")))
        .issue();
    let refused = acceptor
        .control()
        .admit_chain(issued.chain(), ConnectionInfo::default());
    let error = refused.unwrap_err().to_string();
    let cut = format!("CN={}…(+60,017 bytes)\"", "x".repeat(253));
    assert!(error.contains(&cut), "{error}");
    // The name itself, which programs compare and forward, is whole.
    let leaf = Certificate::from_der(issued.leaf_der()).unwrap();
    assert_eq!(leaf.subject().to_string().len(), "CN=".len() + 60_000);
    let json = schema::assert_valid(&schema::of_events(), &trail.take()[0]);
    let names = json["tls"]["client"]["x509"]["alternative_names"]
        .as_array()
        .unwrap();
    assert_eq!(names[32], "… and 9,968 more");
}

#[tokio::test]
async fn a_hostile_certificate_in_a_handshake_is_short_too() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = support::acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    for trusted in [true, false] {
        let issuer = if trusted {
            ca.clone()
        } else {
            TestCa::new("Other")
        };
        let mut leaf = issuer.leaf().common_name(&"\"".repeat(10_000));
        for at in 0..500 {
            leaf = leaf.dns(&format!("{}.example", "\u{202e}".repeat(at % 20)));
        }
        let issued = leaf.issue();
        let config = raw_client(&ca, Version::Tls13, Some(thief(&issued, &issued)));
        let (error, _) = refused_raw_client(&acceptor, config).await;
        let reason = if trusted {
            "identity_ambiguous"
        } else {
            "unknown_issuer"
        };
        assert_eq!(error.reason(), reason);
        assert_short(&error, reason);
        let events = trail.take();
        assert_eq!(events.len(), 1);
        assert_bounded(&events, reason);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_in_a_certificate_makes_a_line_long(
        text in ".{1,40}", times in 1_usize..800, names in 1_usize..60, trusted: bool
    ) {
        let text = text.repeat(times);
        let ca = TestCa::new("Root");
        let issuer = if trusted { ca.clone() } else { TestCa::new(&text) };
        let trail = Memory::new();
        let acceptor = credulous(&ca, &trail);
        let mut leaf = issuer.leaf().common_name(&text);
        for _ in 0..names {
            leaf = leaf.dns(&text).email(&text).uri(&text);
        }
        let info = ConnectionInfo::default()
            .with_server_name(text.clone())
            .with_alpn(text.as_bytes());
        let garbage = CertificateDer::from(text.as_bytes().to_vec());
        let issued = leaf.issue();
        for chain in [issued.chain(), &[garbage]] {
            let refused = acceptor.control().admit_chain(chain, info.clone());
            assert_short(&refused.unwrap_err(), &text);
        }
        assert_bounded(&trail.take(), "a text");
    }
}
