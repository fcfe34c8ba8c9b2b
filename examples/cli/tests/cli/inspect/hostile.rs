//! Reports about good and hostile certificates.

use countersign::testing::{KeyType, KeyUsageBits, LeafBuilder, TestCa, der, oversized_rsa_spki};
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use std::time::Duration;

use super::reports::{assert_says, assert_unreadable, nothing, report_of, report_of_leaf};
use crate::identities::{hex, of_each_kind};
use countersign_cli::inspect::report::Report;

#[test]
fn each_kind_of_identity_is_read() {
    let ca = TestCa::new("Root");
    for named in of_each_kind(&ca) {
        let report = report_of(named.issued.chain_pem());
        assert_eq!(report["problem"], Value::Null);
        let outcome = &report["extractors"][named.kind];
        assert_eq!(outcome["ok"], json!(named.identity), "{report:#}");
        let certificate = &report["certificate"];
        let name = match named.kind {
            "dn" => &certificate["subject"],
            "serial" => &certificate["issuer"],
            _ => &Value::Null,
        };
        assert_eq!(outcome["name"], *name, "{report:#}");
        let other = report_of(named.other.chain_pem());
        let outcome = &other["extractors"][named.kind]["ok"];
        assert!(outcome.is_string(), "{other:#}");
        assert_ne!(*outcome, named.identity);
    }
}

#[test]
fn a_good_certificate_is_reported_completely() {
    let root = TestCa::new("Root");
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let issued = root
        .leaf()
        .common_name("billing")
        .attribute("2.5.4.10", der::UTF8_STRING, "Wörk, Inc.".as_bytes())
        .serial(&[0, 0x9f, 1])
        .validity(at(1_795_253_400), at(2_524_608_000))
        .key_usage(Some(
            KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_AGREEMENT,
        ))
        .extended_key_usage(Some(&["1.3.6.1.5.5.7.3.2", "1.2.3.4"]))
        .spiffe("spiffe://example.org/billing")
        .dns("Billing.example.org")
        .ip("2001:db8::1".parse().expect("an address"))
        .email("b@example.org")
        .upn("bïlling@corp.example")
        .directory_name(&der::sequence(&[der::rdn(&[("2.5.4.3", 0x0c, b"dir")])]))
        .registered_id("1.2.3")
        .issue();
    let report = report_of(issued.chain_pem());
    let certificate = issued.certificate();
    let extension =
        |oid, name, critical: bool| json!({"oid": oid, "name": name, "critical": critical});
    let upn = hex(&der::utf8("bïlling@corp.example"));
    assert_eq!(
        report["certificate"],
        json!({
            "subject": "O=Wörk\\, Inc.,CN=billing",
            "issuer": "CN=Root",
            "serial": "9f01",
            "not_before": "2026-11-21T09:30:00Z",
            "not_after": "2050-01-01T00:00:00Z",
            "sha256": certificate.sha256().to_string(),
            "spki_sha256": certificate.spki_sha256().to_string(),
            "san": [
                {"type": "uri", "value": "spiffe://example.org/billing"},
                {"type": "dns", "value": "Billing.example.org"},
                {"type": "ip", "value": "2001:db8::1", "hex": "20010db8000000000000000000000001"},
                {"type": "email", "value": "b@example.org"},
                {
                    "type": "other",
                    "oid": "1.3.6.1.4.1.311.20.2.3",
                    "value": "bïlling@corp.example",
                    "hex": upn,
                },
                {"type": "directory", "value": "CN=dir"},
                {"type": "registered_id", "value": "1.2.3"},
            ],
            "san_error": null,
            "is_ca": false,
            "is_self_issued": false,
            "version": 3,
            "key_usage": ["digitalSignature", "keyAgreement"],
            "extended_key_usage": ["clientAuth", "1.2.3.4"],
            "public_key": {
                "algorithm": "elliptic curve",
                "bits": null,
                "description": "elliptic curve P-256",
            },
            "signature_algorithm": "ecdsa-with-SHA256 (1.2.840.10045.4.3.2)",
            "extensions": [
                extension("2.5.29.19", "basicConstraints", true),
                extension("2.5.29.15", "keyUsage", true),
                extension("2.5.29.37", "extKeyUsage", false),
                extension("2.5.29.17", "subjectAltName", false),
                extension("2.5.29.35", "authorityKeyIdentifier", false),
            ],
        })
    );
    assert_eq!(
        (&report["problem"], &report["verify"]),
        (&Value::Null, &Value::Null)
    );
}

/// What it is, the certificate, and values by their JSON pointers.
type Row = (&'static str, LeafBuilder, Vec<(&'static str, Value)>);

#[test]
fn each_defect_of_a_certificate_is_reported() {
    const CN: &str = "2.5.4.3";
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let id = "spiffe://example.org/a";
    let san = |value: Value| ("/certificate/san", value);
    let error = |kind, reason| (kind, json!(reason));
    let rows: Vec<Row> = vec![
        (
            "two URIs",
            leaf().spiffe(id).uri("https://a.example"),
            vec![
                error("/extractors/spiffe/error", "ambiguous"),
                error("/extractors/uri/error", "ambiguous"),
                ("/certificate/san/1/value", json!("https://a.example")),
            ],
        ),
        (
            "the same name twice",
            leaf().dns("a.example").dns("a.example"),
            vec![error("/extractors/dns/error", "ambiguous")],
        ),
        (
            "a constructed URI",
            leaf().general_name(0xa6, id.as_bytes()),
            vec![
                error("/extractors/spiffe/error", "bad_encoding"),
                san(json!([{"type": "unreadable", "tag": 0xa6, "hex": hex(id.as_bytes())}])),
            ],
        ),
        (
            "a NUL in the common name",
            leaf().common_name("admin\0.example"),
            vec![
                error("/extractors/cn/error", "bad_syntax"),
                error("/extractors/kubernetes/error", "bad_syntax"),
                ("/certificate/subject", json!("CN=admin\\00.example")),
            ],
        ),
        (
            "a common name that is not UTF-8",
            leaf().attribute(CN, der::UTF8_STRING, b"\xff\xfe"),
            vec![
                error("/extractors/cn/error", "bad_encoding"),
                ("/extractors/dn/name", json!("CN=#0c02fffe")),
                ("/certificate/subject", json!("CN=#0c02fffe")),
            ],
        ),
        (
            "a common name that reads backwards",
            leaf().common_name("\u{202e}nimda"),
            vec![
                error("/extractors/cn/error", "forbidden"),
                ("/certificate/subject", json!("CN=\\E2\\80\\AEnimda")),
            ],
        ),
        (
            "a long common name",
            leaf().common_name(&"a".repeat(65)),
            vec![error("/extractors/cn/error", "too_long")],
        ),
        (
            "a wildcard",
            leaf().dns("*.example.org"),
            vec![
                error("/extractors/dns/error", "forbidden"),
                san(json!([{"type": "dns", "value": "*.example.org"}])),
            ],
        ),
        (
            "a DNS name that is not UTF-8",
            leaf().general_name(0x82, b"ex\xe4mple.org"),
            vec![
                error("/extractors/dns/error", "bad_encoding"),
                san(json!([{"type": "dns", "hex": hex(b"ex\xe4mple.org")}])),
            ],
        ),
        (
            "a DNS name that clears the screen",
            leaf().dns("\u{1b}[2Ja.example"),
            vec![
                error("/extractors/dns/error", "bad_syntax"),
                san(json!([{"type": "dns", "value": "\u{1b}[2Ja.example"}])),
            ],
        ),
        (
            "a DNS name of invisible characters",
            leaf().dns("a\u{200b}\u{feff}.example"),
            vec![error("/extractors/dns/error", "bad_syntax")],
        ),
        (
            "an address of five octets",
            leaf().general_name(0x87, &[1, 2, 3, 4, 5]),
            vec![
                error("/extractors/ip/error", "bad_encoding"),
                san(json!([{"type": "ip", "hex": "0102030405"}])),
            ],
        ),
        (
            "an IPv4-mapped address",
            leaf().ip("::ffff:192.0.2.1".parse().expect("an address")),
            vec![("/extractors/ip/ok", json!("::ffff:192.0.2.1"))],
        ),
        (
            "an e-mail address with two @",
            leaf().email("a@b@c.example"),
            vec![error("/extractors/email/error", "bad_syntax")],
        ),
        (
            "a UPN in an IA5String",
            leaf().other_name("1.3.6.1.4.1.311.20.2.3", &der::tlv(0x16, b"a@b.example")),
            vec![
                error("/extractors/upn/error", "bad_encoding"),
                ("/certificate/san/0/value", Value::Null),
                ("/certificate/san/0/type", json!("other")),
            ],
        ),
        (
            "names in two extensions",
            leaf().common_name("alice").dns("a.example").extension(
                "2.5.29.17",
                false,
                &der::sequence(&[der::tlv(0x82, b"b.example")]),
            ),
            vec![
                error("/extractors/dns/error", "ambiguous"),
                ("/extractors/cn/ok", json!("alice")),
                san(Value::Null),
                (
                    "/certificate/san_error",
                    json!("the certificate has two subjectAltName extensions"),
                ),
            ],
        ),
        (
            "names that are not DER",
            leaf().san_der(b"\x30\x80\x82\x01a\0\0".to_vec()),
            vec![
                error("/extractors/dns/error", "bad_encoding"),
                san(Value::Null),
            ],
        ),
        (
            "a CA with a SPIFFE ID",
            leaf().spiffe(id).ca(),
            vec![
                error("/extractors/spiffe/error", "forbidden"),
                ("/extractors/uri/ok", json!(id)),
                ("/certificate/is_ca", json!(true)),
                ("/certificate/key_usage", json!(["keyCertSign"])),
            ],
        ),
        (
            "a leaf that may sign CRLs",
            leaf().spiffe(id).key_usage(Some(KeyUsageBits::CRL_SIGN)),
            vec![error("/extractors/spiffe/error", "forbidden")],
        ),
        (
            "a trust domain",
            leaf().spiffe("spiffe://example.org"),
            vec![error("/extractors/spiffe/error", "forbidden")],
        ),
        (
            "version 1",
            leaf().version(1).common_name("old"),
            vec![
                ("/certificate/version", json!(1)),
                ("/certificate/extensions", json!([])),
                ("/certificate/key_usage", Value::Null),
                ("/certificate/extended_key_usage", Value::Null),
                ("/extractors/cn/ok", json!("old")),
            ],
        ),
        (
            "an empty subject",
            leaf(),
            vec![
                ("/certificate/subject", json!("")),
                ("/certificate/san", json!([])),
                error("/extractors/dn/error", "missing"),
                error("/extractors/cn/error", "missing"),
                error("/extractors/ou/error", "missing"),
                error("/extractors/psd2/error", "missing"),
            ],
        ),
        (
            "a negative serial number",
            leaf().serial(&[0x80]),
            vec![("/certificate/serial", json!("-80"))],
        ),
        (
            "a serial number of 257 octets",
            leaf().serial(&[0x7f; 257]),
            vec![error("/extractors/serial/error", "too_long")],
        ),
        (
            "two common names",
            leaf().common_name("alice").common_name("bob"),
            vec![
                error("/extractors/cn/error", "ambiguous"),
                error("/extractors/kubernetes/error", "ambiguous"),
                ("/certificate/subject", json!("CN=bob,CN=alice")),
            ],
        ),
        (
            "a provider without its statement",
            leaf().attribute("2.5.4.97", der::UTF8_STRING, b"PSDGB-FCA-123456"),
            vec![error("/extractors/psd2/error", "missing")],
        ),
        (
            "an RSA key",
            leaf().key(KeyType::Rsa2048),
            vec![(
                "/certificate/public_key",
                json!({"algorithm": "RSA", "bits": 2048, "description": "RSA 2048 bits"}),
            )],
        ),
        (
            "an RSA key that is too large to compute with",
            leaf().spki_der(oversized_rsa_spki(16_384)),
            vec![("/certificate/public_key/bits", json!(16_384))],
        ),
        (
            "Ed25519",
            leaf().key(KeyType::Ed25519),
            vec![(
                "/certificate/public_key",
                json!({"algorithm": "Ed25519", "bits": null, "description": "Ed25519"}),
            )],
        ),
        (
            "an unknown critical extension",
            leaf().extension("1.2.3.4", true, &der::null()),
            vec![(
                "/certificate/extensions/4",
                json!({"oid": "1.2.3.4", "name": null, "critical": true}),
            )],
        ),
        (
            "no purpose",
            leaf()
                .key_usage(Some(KeyUsageBits::NONE))
                .extended_key_usage(None),
            vec![
                ("/certificate/key_usage", json!([])),
                ("/certificate/extended_key_usage", Value::Null),
            ],
        ),
    ];
    assert!(rows.len() >= 20);
    for (what, leaf, expected) in rows {
        let report = report_of_leaf(leaf);
        assert_says(what, &report, &expected);
        assert_eq!(report["problem"], Value::Null, "{what}");
        // The rest is read all the same.
        assert!(
            report["extractors"]["fingerprint"]["ok"].is_string(),
            "{what}"
        );
    }
}

#[test]
fn a_malformed_certificate_is_not_described() {
    const KEY_USAGE: &str = "2.5.29.15";
    let ca = TestCa::new("Root");
    let leaf = || {
        ca.leaf()
            .common_name("alice")
            .spiffe("spiffe://example.org/a")
    };
    let digital_signature = KeyUsageBits::DIGITAL_SIGNATURE.to_der();
    for (what, leaf, why) in [
        (
            "keyUsage twice",
            leaf().extension(KEY_USAGE, true, &digital_signature),
            "keyUsage: the extension occurs twice",
        ),
        (
            "keyUsage of another type",
            leaf()
                .key_usage(None)
                .extension(KEY_USAGE, true, &der::null()),
            "cannot read keyUsage",
        ),
        (
            "extendedKeyUsage that is empty",
            leaf().extended_key_usage(Some(&[])),
            "cannot read extendedKeyUsage",
        ),
        (
            "a subject that is no name",
            leaf().subject_der(der::sequence(&[der::null()])),
            "cannot read the",
        ),
        (
            "no certificate body",
            leaf().map_tbs(|_| der::null()),
            "cannot read the X.509 structure",
        ),
    ] {
        assert_unreadable(what, &report_of_leaf(leaf), why);
    }
    // The positive twin.
    assert!(report_of_leaf(leaf())["certificate"].is_object());
}

#[test]
fn names_cannot_deceive_a_terminal() {
    let ca = TestCa::new("Root");
    let leaf = ca
        .leaf()
        .common_name("\u{202e}nimda\n")
        .dns("\u{1b}[2J\u{200b}a.example")
        .general_name(0x86, b"spiffe://ex\xe4mple.org/")
        .expired();
    let pem = leaf.issue().chain_pem();
    let human = Report::on("dir/\u{1b}[0m.pem", Ok(pem.as_bytes()), &nothing()).to_string();
    for line in [
        "The first certificate of dir/\\u{1b}[0m.pem",
        "  subject       CN=\\E2\\80\\AEnimda\\0A",
        "  names         dns: \\u{1b}[2J\\u{200b}a.example",
        "                uri: #7370696666653a2f2f6578e46d706c652e6f72672f",
        "  cn            bad_syntax    (the common name has a control character)",
    ] {
        assert!(
            human.lines().any(|actual| actual == line),
            "{line}\nis not in\n{human}"
        );
    }
    let until = human.lines().find(|line| line.starts_with("  valid until"));
    assert!(until.expect("a line").ends_with("Z  (expired)"), "{human}");
}
