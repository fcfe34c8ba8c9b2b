//! Certificates that would write into the log.

use countersign::audit::{Action, AuditEvent, Json, Memory};
use countersign::identity::CommonName;
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, policy};

use support::schema;

/// What must not reach a terminal or a line-based log as it is.
const MARKS: [char; 9] = [
    '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}',
];

#[test]
fn control_characters_and_bidi_marks_are_escaped_everywhere() {
    let schema = schema::of_events();
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    for mark in MARKS {
        let text = format!("alice{mark}{{\"event\":1}} admin");
        let trail = Memory::new();
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(ca.trust())
            .identify(|certificate: &countersign::Certificate| {
                // An extractor that is less careful than ours.
                let subject = certificate.subject();
                let name = subject.attributes_of("2.5.4.3");
                Ok(name[0].text().unwrap_or_default().into_owned())
            })
            .authorize({
                let text = text.clone();
                move |_: &_| countersign::Decision::deny(text.clone())
            })
            .named(text.clone())
            .audit(trail.clone())
            .build()
            .unwrap();
        let info = || {
            ConnectionInfo::default()
                .with_server_name(text.clone())
                .with_alpn(text.as_bytes())
        };
        for ca in [&ca, &other] {
            let leaf = ca.leaf().common_name(&text).dns(&text).uri(&text).issue();
            acceptor
                .control()
                .admit_chain(leaf.chain(), info())
                .unwrap_err();
        }
        let events = trail.take();
        assert_eq!(events.len(), 2);
        for event in events {
            let line = event.to_json();
            schema::assert_valid(&schema, &event);
            assert!(!line.contains(mark), "{line}");
            assert!(line.contains(&mark.escape_unicode().to_string().replace('\\', "\\\\")));
            assert!(!event.to_string().contains(mark), "{event}");
        }
    }
}

#[test]
fn an_unreadable_certificate_is_recorded_by_its_digest_and_every_line_is_bounded() {
    let schema = schema::of_events();
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let garbage = vec![rustls_pki_types::CertificateDer::from(vec![0x30; 5000]); 40];
    let mut crowded = TestCa::new("Other").leaf().common_name(&"x".repeat(30_000));
    for number in 0..2_000 {
        crowded = crowded.dns(&format!("host-{number}.example"));
    }
    let crowded = crowded.serial(&[0x7f; 4000]).issue();
    for chain in [&garbage[..], crowded.chain()] {
        let decided = acceptor
            .control()
            .admit_chain(chain, ConnectionInfo::default());
        decided.unwrap_err();
        let events = trail.take();
        assert_eq!(events[0].action, Action::ChainRefused);
        let json = schema::assert_valid(&schema, &events[0]);
        let length = events[0].to_json().len();
        assert!(length < AuditEvent::MAX_JSON, "{length} bytes");
        let shown = json["countersign"]["certificates"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(shown, chain.len().min(10));
    }
}

/// Nor is one that a process before has left.
#[test]
fn half_a_line_from_before_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    std::fs::write(&path, "{\"@timestamp\":\"2026-").unwrap();
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
        .audit(Json::to_file(&path).unwrap())
        .build()
        .unwrap();
    let leaf = ca.leaf().common_name("alice").issue();
    for _ in 0..2 {
        let decided = acceptor
            .control()
            .admit_chain(leaf.chain(), ConnectionInfo::default());
        decided.unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let schema = schema::of_events();
    for line in &lines[1..] {
        schema::assert_valid_line(&schema, line);
    }
}

/// A line that was written in part is not continued.
#[test]
fn a_torn_line_does_not_spoil_the_next() {
    struct Full {
        room: usize,
        written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    }
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let count = bytes
                .len()
                .min(std::mem::replace(&mut self.room, usize::MAX));
            if count == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().extend(&bytes[..count]);
            if count < bytes.len() {
                self.room = 0;
            }
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let ca = TestCa::new("Root");
    let written = std::sync::Arc::default();
    let full = Full {
        room: 10,
        written: std::sync::Arc::clone(&written),
    };
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
        .audit(Json::new(full))
        .build()
        .unwrap();
    let leaf = ca.leaf().common_name("alice").issue();
    let admit = || {
        acceptor
            .control()
            .admit_chain(leaf.chain(), ConnectionInfo::default())
    };
    // Its admission is torn, so it is refused, and that line is whole.
    assert_eq!(admit().unwrap_err().reason(), "not_audited");
    admit().unwrap();
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0].len()), (3, 10));
    let schema = schema::of_events();
    let refused = schema::assert_valid_line(&schema, lines[1]);
    assert_eq!(refused["event"]["reason"], "not_audited");
    let admitted = schema::assert_valid_line(&schema, lines[2]);
    assert_eq!(admitted["event"]["action"], "admitted");
}
