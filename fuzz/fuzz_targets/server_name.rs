//! Server names against certificates: rustls-webpki and a reader of RFC 9525 agree with us, and a connector
//! admits a server exactly by that.
//!
//! The first line is the server name; each line after it is a name of the certificate, with its kind as the
//! first character.
#![no_main]

mod shared;

use std::net::IpAddr;
use std::sync::LazyLock;

use countersign::identity::Fingerprint;
use countersign::pki::GeneralName;
use countersign::testing::TestCa;
use countersign::trust::ChainVerifier;
use countersign::{ConnectionInfo, Connector, policy};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::ServerName;
use shared::text::refused;
use webpki::EndEntityCert;

static FIXTURE: LazyLock<(TestCa, Connector<Fingerprint>)> = LazyLock::new(|| {
    let root = TestCa::new("Root");
    let connector = Connector::builder()
        .credentials(root.leaf().dns("client.example").issue().credentials())
        .trust(root.trust())
        .identify(Fingerprint::certificate_extractor())
        .authorize(policy::allow_any())
        .build()
        .expect("a connector");
    (root, connector)
});

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(Ok(name)) = lines.next().map(std::str::from_utf8) else {
        return;
    };
    let (root, connector) = &*FIXTURE;
    let mut leaf = root.leaf();
    for line in lines.take(8) {
        let [kind, value @ ..] = line else { continue };
        leaf = match (kind, std::str::from_utf8(value)) {
            (b'd', _) => leaf.general_name(0x82, value),
            (b'u', _) => leaf.general_name(0x86, value),
            (b'c', Ok(value)) => leaf.common_name(value),
            (b'i', Ok(value)) => match value.parse() {
                Ok(address) => leaf.ip(address),
                Err(_) => leaf.general_name(0x87, value.as_bytes()),
            },
            _ => leaf.general_name(kind & 0xbf | 0x80, value),
        };
    }
    let Ok(expected) = ServerName::try_from(name) else {
        return;
    };
    let issued = leaf.issue();
    let Ok(certificate) = countersign::Certificate::from_der(issued.leaf_der()) else {
        return;
    };
    let ours = ChainVerifier::verify_name(&certificate, &expected);
    if let Err(error) = &ours {
        refused(error);
        assert_eq!(error.reason(), "name_mismatch");
    }
    let by_webpki = EndEntityCert::try_from(issued.leaf_der())
        .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&expected).is_ok());
    match certificate.subject_alternative_names() {
        // Names that cannot be read are valid for nothing.
        Err(_) => assert!(ours.is_err()),
        Ok(names) => {
            assert_eq!(ours.is_ok(), by_webpki, "{name}: {names:?}");
            let by_rule = names.iter().any(|present| covers(present, &expected));
            assert!(by_rule || ours.is_err(), "{name}: {names:?}");
            // A name that is no name at all, or cannot be read, hides the others from rustls-webpki, or not.
            let all_plain = names.iter().all(|present| match present {
                GeneralName::Dns(name) => is_plain(name),
                GeneralName::Ip(octets) => matches!(octets.len(), 4 | 16),
                GeneralName::Unreadable { .. } => false,
                _ => true,
            });
            assert!(!all_plain || by_rule == ours.is_ok(), "{name}: {names:?}");
        }
    }
    let info = ConnectionInfo::default().with_server_name(name);
    let admitted = connector.control().admit_chain(issued.chain(), info);
    assert!(admitted.is_err() || ours.is_ok(), "{name}");
    if let Err(error) = admitted {
        refused(&error);
        let is_by_name = error.reason() == "name_mismatch";
        assert!(!is_by_name || ours.is_err());
    }
});

/// RFC 9525 section 6.3, with a wildcard as the whole leftmost label.
fn covers(present: &GeneralName, expected: &ServerName<'_>) -> bool {
    match (present, expected) {
        (GeneralName::Dns(present), ServerName::DnsName(expected)) => {
            let present = String::from_utf8_lossy(present).to_ascii_lowercase();
            let expected = expected.as_ref().to_ascii_lowercase();
            let expected = expected.strip_suffix('.').unwrap_or(&expected);
            let below = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned());
            match present.strip_prefix("*.") {
                Some(parent) => below(expected).as_deref() == Some(parent),
                None => present == *expected,
            }
        }
        (GeneralName::Ip(octets), ServerName::IpAddress(expected)) => {
            let expected = IpAddr::from(*expected);
            match expected {
                IpAddr::V4(address) => address.octets()[..] == **octets,
                IpAddr::V6(address) => address.octets()[..] == **octets,
            }
        }
        _ => false,
    }
}

fn is_plain(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"*.").unwrap_or(name);
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    name.len() < 250
        && labels.len() > 1
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
                && label.first() != Some(&b'-')
                && label.last() != Some(&b'-')
        })
        && labels
            .last()
            .is_some_and(|last| !last.iter().all(u8::is_ascii_digit))
}
