//! A certificate for each kind of identity that the examples' `--identity` takes.

use std::fmt::Write as _;

use countersign::testing::{Issued, LeafBuilder, TestCa, der};
use sha2::{Digest as _, Sha256};

/// A certificate with an identity of one kind.
pub struct Named {
    /// As `--identity` spells it.
    pub kind: &'static str,
    pub issued: Issued,
    pub identity: String,
    /// The same but for that identity.
    pub other: Issued,
}

/// One for each kind, in the order of the command line's help.
pub fn of_each_kind(ca: &TestCa) -> Vec<Named> {
    let named = |kind, identity: &str, leaf: LeafBuilder, other: LeafBuilder| Named {
        kind,
        issued: leaf.issue(),
        identity: identity.to_owned(),
        other: other.issue(),
    };
    let leaf = || ca.leaf();
    let uri = "https://billing.example.org/";
    let (v4, v6) = ("192.0.2.1", "::ffff:192.0.2.1");
    let ip = |text: &str| leaf().ip(text.parse().expect("an address"));
    let unit = |name: &str| leaf().attribute("2.5.4.11", der::UTF8_STRING, name.as_bytes());
    let group = |leaf: LeafBuilder, name: &str| {
        leaf.attribute("2.5.4.10", der::UTF8_STRING, name.as_bytes())
    };
    let psd2 = "PSDGB-FCA-123456;PSP_AI;GB-FCA;Financial Conduct Authority";
    vec![
        named(
            "spiffe",
            "spiffe://example.org/ns/billing",
            leaf().spiffe("spiffe://example.org/ns/billing"),
            leaf().spiffe("spiffe://example.org/ns/billing/worker"),
        ),
        named(
            "dns",
            "billing.example.org",
            leaf().dns("Billing.Example.org"),
            leaf().dns("shipping.example.org"),
        ),
        named(
            "uri",
            uri,
            leaf().uri(uri),
            leaf().uri("https://billing.example.org"),
        ),
        named(
            "email",
            "Alice@example.org",
            leaf().email("Alice@Example.org"),
            leaf().email("alice@example.org"),
        ),
        named("ip", v4, ip(v4), ip(v6)),
        named(
            "cn",
            "alice",
            leaf().common_name("alice"),
            leaf().common_name("Alice"),
        ),
        named("ou", "Billing", unit("Billing"), unit("Shipping")),
        subject(ca),
        serial(ca),
        fingerprint(ca),
        spki(ca),
        named(
            "upn",
            "alice@corp.example",
            leaf().upn("alice@Corp.example"),
            leaf().upn("bob@corp.example"),
        ),
        named(
            "kubernetes",
            "CN=alice,O=dev,O=ops",
            group(group(leaf().common_name("alice"), "ops"), "dev"),
            group(leaf().common_name("alice"), "dev"),
        ),
        named(
            "psd2",
            psd2,
            provider(ca, "PSDGB-FCA-123456"),
            provider(ca, "PSDGB-FCA-654321"),
        ),
    ]
}

/// The other prints alike, and is written in another string type.
fn subject(ca: &TestCa) -> Named {
    let name = der::sequence(&[der::rdn(&[("2.5.4.3", der::UTF8_STRING, b"alice")])]);
    Named {
        kind: "dn",
        issued: ca.leaf().common_name("alice").issue(),
        identity: format!("#{}", hex(&name)),
        other: ca
            .leaf()
            .attribute("2.5.4.3", der::PRINTABLE_STRING, b"alice")
            .issue(),
    }
}

fn serial(ca: &TestCa) -> Named {
    let issuer = hex(ca.subject_der());
    Named {
        kind: "serial",
        issued: ca.leaf().common_name("alice").serial(&[0x0a, 0x1b]).issue(),
        identity: format!("serial:0a1b issuer:#{issuer}"),
        other: ca.leaf().common_name("alice").serial(&[0x0a, 0x1c]).issue(),
    }
}

fn fingerprint(ca: &TestCa) -> Named {
    let issued = ca.leaf().common_name("alice").issue();
    Named {
        kind: "fingerprint",
        identity: hex(&Sha256::digest(issued.leaf_der())),
        issued,
        other: ca.leaf().common_name("alice").issue(),
    }
}

fn spki(ca: &TestCa) -> Named {
    let issued = ca.leaf().common_name("alice").issue();
    Named {
        kind: "spki",
        identity: hex(&Sha256::digest(issued.certificate().spki())),
        issued,
        other: ca.leaf().common_name("alice").issue(),
    }
}

/// A payment service provider (ETSI TS 119 495).
pub fn provider(ca: &TestCa, identifier: &str) -> LeafBuilder {
    let role = der::sequence(&[der::oid("0.4.0.19495.1.3"), der::utf8("PSP_AI")]);
    let info = der::sequence(&[
        der::sequence(&[role]),
        der::utf8("Financial Conduct Authority"),
        der::utf8("GB-FCA"),
    ]);
    let statement = der::sequence(&[der::oid("0.4.0.19495.2"), info]);
    ca.leaf()
        .attribute("2.5.4.97", der::UTF8_STRING, identifier.as_bytes())
        .extension("1.3.6.1.5.5.7.1.3", false, &der::sequence(&[statement]))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
