//! Hostile certificates in the audit trail: each attempt is one line of JSON, and no character in the
//! line can mislead its reader.
//!
//! The first byte is the length of a text, which is the server name, the ALPN protocol and the second
//! certificate. The bytes after the text are the first certificate.
#![no_main]

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use countersign::audit::{AuditEvent, FanOut, Json};
use countersign::pki::Certificate;
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, policy};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;

/// The bytes that were written since the last attempt.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

static FIXTURE: LazyLock<(Acceptor<String>, Written)> = LazyLock::new(|| {
    let ca = TestCa::new("Root");
    let written = Written::default();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        // An extractor that accepts everything unchanged.
        .identify(|certificate: &Certificate| {
            let subject = certificate.subject().attributes();
            let values = subject.iter().map(|attribute| attribute.value());
            Ok(values.map(String::from_utf8_lossy).collect::<String>())
        })
        .authorize(policy::allow_any())
        .audit(FanOut::new().and(Json::new(written.clone())).and(bounded))
        .audit_refusals_per_second(None)
        .build()
        .expect("an acceptor");
    (acceptor, written)
});

/// The text of an event is bounded too.
fn bounded(event: &AuditEvent) {
    let text = event.to_string();
    assert!(text.len() <= AuditEvent::MAX_TEXT, "{} bytes", text.len());
}

fuzz_target!(|input: &[u8]| {
    let Some((&length, rest)) = input.split_first() else {
        return;
    };
    let (text, der) = rest.split_at(rest.len().min(length.into()));
    let (acceptor, written) = &*FIXTURE;
    let info = ConnectionInfo::default()
        .with_server_name(String::from_utf8_lossy(text).into_owned())
        .with_alpn(text);
    let chain = [CertificateDer::from(der), CertificateDer::from(text)];
    // No trusted authority signed the chain.
    let refused = acceptor.control().admit_chain(&chain, info).unwrap_err();
    for text in [refused.to_string(), format!("{refused:?}")] {
        assert!(text.len() <= 4096, "{} bytes: {text}", text.len());
    }

    let bytes = std::mem::take(&mut *written.0.lock().unwrap());
    let text = String::from_utf8(bytes).expect("UTF-8");
    let line = text.strip_suffix('\n').expect("a whole line");
    assert!(line.len() <= AuditEvent::MAX_JSON, "{} bytes", line.len());
    let misleads = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!line.contains(misleads), "{line:?}");
    let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(event["event"]["action"], "chain_refused");
    assert_eq!(event["event"]["outcome"], "failure");
    assert_eq!(
        event["countersign"]["certificates"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
});
