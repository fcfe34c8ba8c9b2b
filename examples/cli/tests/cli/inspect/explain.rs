//! Configurations with one defect each: the explanation names the cause first, in words for an
//! incident. Run with `INSTA_UPDATE=always` to take new snapshots, and read them before they are
//! committed.

use countersign::Side;
use countersign::TrustStore;
use countersign::pki::Crl;
use countersign::testing::{CrlBuilder, Issued, LeafBuilder, TestCa, TestCaBuilder, der};
use countersign::trust::{Crls, Revocation};
use rustls_pki_types::{ServerName, UnixTime};
use serde_json::{Value, json};

use super::reports::{asking, checked};
use countersign_cli::inspect::report::{Question, Report, parse_time};

fn at(text: &str) -> UnixTime {
    parse_time(text).expect("a time")
}

fn today() -> UnixTime {
    at("2026-11-21T09:30:00Z")
}

fn ten_years(builder: TestCaBuilder) -> TestCaBuilder {
    builder.validity(at("2025-01-01T00:00:00Z"), at("2035-01-01T00:00:00Z"))
}

/// The authorities, and a client's or server's certificate of the one below the root.
struct Pki {
    root: TestCa,
    issuing: TestCa,
}

impl Pki {
    fn named(root: &str, issuing: &str) -> Self {
        let root = ten_years(TestCa::builder(root)).root();
        let issuing = ten_years(TestCa::builder(issuing)).signed_by(&root);
        Self { root, issuing }
    }

    fn new() -> Self {
        Self::named("Example Root", "Example Issuing CA")
    }

    fn leaf(&self) -> LeafBuilder {
        leaf_of(&self.issuing)
    }

    fn question(&self) -> Question {
        Question {
            explain: true,
            ..asking(self.root.trust(), Side::Client, today())
        }
    }

    fn with_crls(&self, of_issuing: CrlBuilder) -> Question {
        let lists = [self.root.crl(), of_issuing].map(|list| {
            let list = list.this_update(at("2026-11-20T00:00:00Z")).build();
            Crl::from_der(&list).expect("a CRL")
        });
        let mut question = self.question();
        if let Ok(trusted) = &mut question.trusted {
            trusted.revocation = Some(Revocation::new(Crls::new(lists).expect("CRLs")));
        }
        question
    }
}

fn leaf_of(ca: &TestCa) -> LeafBuilder {
    ca.leaf()
        .common_name("billing")
        .dns("billing.example")
        .serial(&[0x12, 0x34])
        .validity(at("2026-10-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
}

/// The text and the JSON, with what differs in each run left out.
fn explain(issued: &Issued, question: &Question) -> (String, Value) {
    let pem = issued.chain_pem();
    let report = Report::on("billing.pem", Ok(pem.as_bytes()), question);
    let json = checked(&report);
    let findings = json["explain"]["findings"].as_array().expect("explained");
    assert!(!findings.is_empty());
    let text = redacted(&report.to_string());
    // The cause comes first.
    let code = findings[0]["code"].as_str().expect("a code");
    let first = text.lines().nth(2).expect("a verdict");
    assert!(first.ends_with(&format!("({code})")), "{first}");
    (text, json)
}

/// Key identifiers, of 40 digits.
fn redacted(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() {
            digits.push(character);
            continue;
        }
        out.push_str(if digits.len() == 40 {
            "[key id]"
        } else {
            &digits
        });
        digits.clear();
        if character != '\0' {
            out.push(character);
        }
    }
    out
}

fn code(json: &Value) -> &Value {
    &json["explain"]["findings"][0]["code"]
}

/// Asserts the code of the first finding, and compares the snapshot of the explanation.
macro_rules! explained {
    ($issued:expr, $question:expr, $code:literal) => {
        let (text, json) = explain(&$issued, &$question);
        assert_eq!(*code(&json), json!($code), "{text}");
        insta::assert_snapshot!(text);
    };
}

#[test]
fn expired() {
    let pki = Pki::new();
    let issued = pki
        .leaf()
        .validity(at("2026-08-01T00:00:00Z"), at("2026-11-01T00:00:00Z"))
        .issue();
    explained!(issued, pki.question(), "expired");
}

#[test]
fn wrong_ca() {
    let theirs = Pki::named("Other Root", "Other Issuing CA");
    explained!(
        theirs.leaf().issue(),
        Pki::new().question(),
        "untrusted_root"
    );
}

/// The CRL of its issuer is given, so that the issuer must be known.
#[test]
fn missing_intermediate() {
    let pki = Pki::new();
    explained!(
        pki.leaf().issue().leaf_only(),
        pki.with_crls(pki.issuing.crl()),
        "missing_intermediate"
    );
}

/// A URL of the issuer's certificate does not prove that the issuer is an intermediate.
#[test]
fn missing_issuer_that_can_be_fetched() {
    let pki = Pki::new();
    let description = [
        der::oid("1.3.6.1.5.5.7.48.2"),
        der::tlv(0x86, "http://ca.example/issuing.crt"),
    ];
    let access = der::sequence(&[der::sequence(&description)]);
    let leaf = pki.leaf().extension("1.3.6.1.5.5.7.1.1", false, &access);
    explained!(leaf.issue().leaf_only(), pki.question(), "missing_issuer");
}

/// A lone certificate does not show whether its issuer is an intermediate or an unknown root.
#[test]
fn missing_issuer() {
    let pki = Pki::new();
    explained!(
        pki.leaf().issue().leaf_only(),
        pki.question(),
        "missing_issuer"
    );
}

#[test]
fn same_name_other_key() {
    let pki = Pki::new();
    let impostor = pki.root.same_name_other_key();
    explained!(
        leaf_of(&impostor).issue(),
        pki.question(),
        "same_name_other_key"
    );
}

#[test]
fn version_1() {
    let pki = Pki::new();
    explained!(
        pki.leaf().version(1).issue(),
        pki.question(),
        "v1_certificate"
    );
}

#[test]
fn ca_as_leaf() {
    let pki = Pki::new();
    explained!(
        pki.leaf().ca().self_signed(),
        pki.question(),
        "ca_as_end_entity"
    );
}

#[test]
fn wrong_extended_key_usage() {
    let pki = Pki::new();
    explained!(
        pki.leaf().server_only().issue(),
        pki.question(),
        "wrong_extended_key_usage"
    );
}

#[test]
fn wrong_name() {
    let pki = Pki::new();
    let question = Question {
        usage: Side::Server,
        server_name: ServerName::try_from("orders.example").ok(),
        ..pki.question()
    };
    explained!(pki.leaf().issue(), question, "name_mismatch");
}

#[test]
fn key_mismatch() {
    let pki = Pki::new();
    let question = Question {
        key: Some(Ok(pki.leaf().issue().key_der())),
        ..pki.question()
    };
    explained!(pki.leaf().issue(), question, "key_mismatch");
}

#[test]
fn revoked() {
    let pki = Pki::new();
    let issued = pki.leaf().issue();
    let list = pki.issuing.crl().number(7).revoke(issued.serial());
    let question = pki.with_crls(list);
    explained!(issued, question, "revoked");
}

#[test]
fn stale_crl() {
    let pki = Pki::new();
    let list = pki.issuing.crl().next_update(at("2026-11-21T00:00:00Z"));
    explained!(pki.leaf().issue(), pki.with_crls(list), "crl_expired");
}

#[test]
fn clock_wrong() {
    let pki = Pki::new();
    let question = Question {
        now: at("2020-01-01T00:00:07Z"),
        ..pki.question()
    };
    explained!(pki.leaf().issue(), question, "clock_wrong");
}

/// The same set-up with nothing broken, and everything asked.
#[test]
fn nothing_is_wrong() {
    let pki = Pki::new();
    let issued = pki.leaf().issue();
    let question = Question {
        server_name: ServerName::try_from("billing.example").ok(),
        key: Some(Ok(issued.key_der())),
        ..pki.with_crls(pki.issuing.crl())
    };
    let pem = issued.chain_pem();
    let report = Report::on("billing.pem", Ok(pem.as_bytes()), &question);
    assert!(report.is_good());
    let json = checked(&report);
    assert_eq!(json["explain"]["findings"], json!([]));
    insta::assert_snapshot!(report.to_string());
}

#[test]
fn without_chain_or_trust_there_is_no_explanation() {
    let pki = Pki::new();
    let pem = pki.leaf().issue().chain_pem();
    let unasked = Question {
        explain: false,
        ..pki.question()
    };
    let untrusting = Question {
        explain: true,
        ..asking(TrustStore::empty(), Side::Client, today())
    };
    for question in [unasked, untrusting] {
        let report = Report::on("it.pem", Ok(pem.as_bytes()), &question);
        assert_eq!(checked(&report)["explain"], Value::Null);
    }
    let damaged = Report::on(
        "it.pem",
        Ok(&pem.as_bytes()[..pem.len() - 9]),
        &pki.question(),
    );
    assert_eq!(checked(&damaged)["explain"], Value::Null);

    let no_key = Question {
        key: Some(Err("--key key.pem: no such file".into())),
        ..pki.question()
    };
    let report = Report::on("it.pem", Ok(pem.as_bytes()), &no_key);
    assert_eq!(checked(&report)["problem"], "--key key.pem: no such file");
    assert!(!report.is_good());
}
