//! The headers that we write for a server behind us: our readers get the same chain out of them, and a
//! reader of Envoy's format gets the same names.
//!
//! The first byte chooses the fields of XFCC, the second how the chain is built, the third how long `By` is.
//! What follows are the names of the client's certificate, each with a byte for its kind and a byte for its
//! length.
#![no_main]

mod shared;

use std::sync::LazyLock;

use countersign::identity::Fingerprint;
use countersign::integration::http::{ForwardedIdentity, IdentityHeader, XfccField};
use countersign::pki::GeneralName;
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, Peer, policy};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use shared::text::refused;

struct Fixture {
    root: TestCa,
    issuing: TestCa,
    acceptor: Acceptor<Fingerprint>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing CA");
    let acceptor = Acceptor::builder()
        .credentials(root.leaf().dns("server.example").issue().credentials())
        .trust(root.trust())
        .identify(Fingerprint::certificate_extractor())
        .authorize(policy::allow_any())
        .build()
        .expect("an acceptor");
    Fixture {
        root,
        issuing,
        acceptor,
    }
});

fuzz_target!(|input: &[u8]| {
    let [fields, shape, by, rest @ ..] = input else {
        return;
    };
    let (by, mut names) = rest.split_at(rest.len().min(usize::from(*by)));
    let fixture = &*FIXTURE;
    let ca = if shape & 1 == 0 {
        &fixture.issuing
    } else {
        &fixture.root
    };
    let mut leaf = ca.leaf().common_name("client");
    while let [kind, length, after @ ..] = names {
        let (value, after) = after.split_at(after.len().min(usize::from(*length)));
        names = after;
        leaf = match kind % 4 {
            0 => leaf.general_name(0x82, value),
            1 => leaf.general_name(0x86, value),
            2 => leaf.attribute("2.5.4.3", 0x0c, value),
            _ => leaf.general_name(0x81, value),
        };
    }
    let issued = leaf.issue();
    let info = ConnectionInfo::default();
    let Ok(admission) = fixture.acceptor.control().admit_chain(issued.chain(), info) else {
        return;
    };
    let peer = admission.peer();
    let path: Vec<CertificateDer<'static>> = peer
        .chain()
        .certificates()
        .iter()
        .map(|certificate| certificate.der().clone().into_owned())
        .collect();

    let mut headers = headers_of_a_client();
    let forward = ForwardedIdentity::new().client_cert_chain();
    forward.apply(&mut headers, peer).expect("DER in base64");
    let read = IdentityHeader::ClientCert.read(&headers);
    assert_eq!(read.expect("what we write"), path);
    let mut headers = headers_of_a_client();
    let forward = ForwardedIdentity::new().client_cert();
    forward.apply(&mut headers, peer).expect("DER in base64");
    let read = IdentityHeader::ClientCert.read(&headers);
    assert_eq!(read.expect("what we write"), path[..1]);

    let by = String::from_utf8_lossy(by).into_owned();
    let wanted: Vec<XfccField> = [
        XfccField::By(by),
        XfccField::Hash,
        XfccField::Cert,
        XfccField::Chain,
        XfccField::Subject,
        XfccField::Uri,
        XfccField::Dns,
    ]
    .into_iter()
    .enumerate()
    .filter(|(bit, _)| fields >> bit & 1 == 1)
    .map(|(_, field)| field)
    .collect();
    xfcc(&wanted, peer, &path);
});

/// A client that tries to speak for the proxy.
fn headers_of_a_client() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [
        "client-cert",
        "client_cert",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
    ] {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_static("By=evil"));
    }
    headers.append("connection", HeaderValue::from_static("close, Client-Cert"));
    headers
}

fn xfcc(wanted: &[XfccField], peer: &Peer<Fingerprint>, path: &[CertificateDer<'static>]) {
    let mut headers = headers_of_a_client();
    let forward = ForwardedIdentity::new().xfcc(wanted.iter().cloned());
    let applied = forward.apply(&mut headers, peer);
    let value = headers.get("x-forwarded-client-cert");
    if let Err(error) = applied {
        refused(&error);
        assert_eq!(value, None, "no header is set by an error");
        return;
    }
    let Some(value) = value else {
        assert!(wanted.is_empty() || !has_value(wanted, peer), "{wanted:?}");
        return;
    };
    let value = value.to_str().expect("printable ASCII");
    let fields = envoy(value);
    let of = |key: &str| -> Vec<&str> {
        let fields = fields.iter().filter(|(known, _)| *known == key);
        fields.map(|(_, value)| &**value).collect()
    };
    let leaf = peer.certificate();
    let names = leaf.subject_alternative_names().unwrap_or_default();
    for field in wanted {
        match field {
            XfccField::By(by) => assert_eq!(of("By"), [by]),
            XfccField::Hash => assert_eq!(of("Hash"), [leaf.sha256().to_string()]),
            XfccField::Uri => {
                let uris = names.iter().filter_map(|name| match name {
                    GeneralName::Uri(uri) => std::str::from_utf8(uri).ok(),
                    _ => None,
                });
                assert!(of("URI").into_iter().eq(uris), "{value}");
            }
            XfccField::Dns => {
                let dns = names.iter().filter_map(|name| match name {
                    GeneralName::Dns(name) => std::str::from_utf8(name).ok(),
                    _ => None,
                });
                assert!(of("DNS").into_iter().eq(dns), "{value}");
            }
            XfccField::Subject => assert_eq!(of("Subject").len(), 1),
            _ => {}
        }
    }
    let has = |field| wanted.contains(&field);
    let expected = match (has(XfccField::Cert), has(XfccField::Chain)) {
        (_, true) => Some(path),
        (true, false) => Some(&path[..1]),
        (false, false) => None,
    };
    let read = IdentityHeader::Xfcc.read(&headers);
    match expected {
        Some(expected) if value.len() <= IdentityHeader::MAX => {
            assert_eq!(read.expect("what we write"), expected, "{value}");
        }
        _ => assert!(read.is_err()),
    }
}

/// Whether the element would have a field at all.
fn has_value(wanted: &[XfccField], peer: &Peer<Fingerprint>) -> bool {
    let names = peer.certificate().subject_alternative_names();
    let names = names.unwrap_or_default();
    wanted.iter().any(|field| match field {
        XfccField::Uri => names.iter().any(|it| matches!(it, GeneralName::Uri(_))),
        XfccField::Dns => names.iter().any(|it| matches!(it, GeneralName::Dns(_))),
        _ => true,
    })
}

/// Envoy's documentation: pairs between semicolons, a value with a delimiter is in quotes, and a quote in it
/// has a backslash before it.
fn envoy(value: &str) -> Vec<(&str, String)> {
    let mut fields = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').expect("a value");
        let mut text = String::new();
        let mut characters = after.char_indices();
        let is_quoted = after.starts_with('"');
        if is_quoted {
            characters.next();
        }
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' if is_quoted && after[at..].starts_with("\\\"") => {
                    text.push('"');
                    characters.next();
                }
                '"' if is_quoted => {
                    end = at + 1;
                    break;
                }
                ';' if !is_quoted => {
                    end = at;
                    break;
                }
                ',' if !is_quoted => panic!("a second element: {value}"),
                other => text.push(other),
            }
        }
        fields.push((key, text));
        rest = &after[end..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(';').expect("a semicolon between fields");
        }
    }
    fields
}
