//! The schema says something: it fits what is right, and nothing else.

use clap::ValueEnum as _;
use countersign::Side;
use countersign::testing::TestCa;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

use super::reports::{SCHEMA, VALIDATOR, asking, report_for, report_of};
use countersign_cli::inspect::report::Question;
use countersign_cli::options::IdentityKind;

#[test]
fn it_is_a_schema_and_names_every_kind_of_identity() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
        panic!("{error}");
    }
    let mut names: Vec<String> = IdentityKind::value_variants()
        .iter()
        .filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned()))
        .collect();
    assert_eq!(schema["properties"]["extractors"]["required"], json!(names));
    names.sort();
    let properties = schema["properties"]["extractors"]["properties"].as_object();
    let properties: Vec<&String> = properties.expect("an object").keys().collect();
    assert_eq!(properties, names.iter().collect::<Vec<_>>());
}

#[test]
fn a_changed_report_does_not_match_the_schema() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().common_name("alice").dns("a.example.org").issue();
    let question = Question {
        explain: true,
        ..asking(ca.trust(), Side::Client, UnixTime::now())
    };
    let good = report_for(issued.chain_pem(), &question);
    assert!(VALIDATOR.is_valid(&good));
    for (pointer, value) in [
        ("", json!([])),
        ("/problem", json!("")),
        ("/certificate", json!("text")),
        ("/certificate", Value::Null), // but with identities
        ("/certificate/sha256", json!("00")),
        ("/certificate/not_after", json!("tomorrow")),
        ("/certificate/serial", json!(7)),
        ("/certificate/subject", json!("CN=a\u{1b}[2J")),
        ("/certificate/is_ca", json!("no")),
        ("/certificate/san", Value::Null), // but without an error
        ("/certificate/san_error", json!("but there are names")),
        ("/certificate/san/0/type", json!("DNS")),
        ("/certificate/san/0", json!({"type": "dns"})),
        (
            "/certificate/san/0",
            json!({"type": "dns", "value": "a", "oid": "1.2"}),
        ),
        ("/certificate/key_usage/0", json!("everything")),
        ("/certificate/public_key", json!({"algorithm": "RSA"})),
        ("/extractors/cn", Value::Null),
        ("/extractors/cn", json!({"ok": ""})),
        (
            "/extractors/cn",
            json!({"ok": "alice", "error": "missing", "message": "none"}),
        ),
        ("/extractors/cn", json!({"error": "missing"})),
        (
            "/extractors/cn",
            json!({"error": "odd", "message": "of an unknown code"}),
        ),
        ("/explain", json!("ok")),
        ("/explain/findings", json!([{"code": "expired"}])),
        ("/explain/steps", json!([])),
        ("/explain/steps/0/outcome", json!("perhaps")),
        ("/explain/steps/0/detail", json!("two\nlines")),
        ("/verify", json!("ok")),
        ("/verify/ok/path", json!([])),
        (
            "/verify",
            json!({"error": "Not A Code", "message": "refused"}),
        ),
    ] {
        let mut spoiled = good.clone();
        *spoiled.pointer_mut(pointer).expect(pointer) = value;
        assert!(!VALIDATOR.is_valid(&spoiled), "{pointer}: {spoiled:#}");
    }
    for (object, key) in [
        ("", "verify"),
        ("", "problem"),
        ("", "explain"),
        ("/certificate", "issuer"),
        ("/extractors", "psd2"),
        ("/verify/ok", "anchor"),
    ] {
        let mut spoiled = good.clone();
        let fields = spoiled.pointer_mut(object).expect(object).as_object_mut();
        let fields = fields.expect("an object");
        fields.remove(key);
        assert!(!VALIDATOR.is_valid(&spoiled), "{object} without {key}");
        let mut spoiled = good.clone();
        let fields = spoiled.pointer_mut(object).expect(object).as_object_mut();
        fields
            .expect("an object")
            .insert("more".into(), Value::Null);
        assert!(!VALIDATOR.is_valid(&spoiled), "{object} with more");
    }

    let nothing = report_of("");
    assert!(VALIDATOR.is_valid(&nothing));
    for (pointer, value) in [
        ("/problem", Value::Null),
        ("/extractors/cn", json!({"ok": "alice"})),
        ("/extractors/cn/error", json!("missing")),
        ("/verify", good["verify"].clone()),
    ] {
        let mut spoiled = nothing.clone();
        *spoiled.pointer_mut(pointer).expect(pointer) = value;
        assert!(!VALIDATOR.is_valid(&spoiled), "{pointer}");
    }
}
