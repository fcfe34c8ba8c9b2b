//! Reports in this process, each checked against the schema and the rules for all reports.

use std::sync::LazyLock;

use countersign::Side;
use countersign::TrustStore;
use countersign::testing::LeafBuilder;
use countersign::trust::Trust;
use jsonschema::Validator;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

use countersign_cli::inspect::report::{Question, Report};
use countersign_cli::options::TrustSettings;

pub(crate) const SCHEMA: &str = include_str!("../../../inspect.schema.json");

pub(crate) static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("the schema is one")
});

/// A question without trust.
pub(crate) fn nothing() -> Question {
    asking(TrustStore::empty(), Side::Client, UnixTime::now())
}

pub(crate) fn asking(trust: impl Into<Trust>, usage: Side, now: UnixTime) -> Question {
    Question {
        trusted: Ok(TrustSettings {
            trust: trust.into(),
            revocation: None,
        }),
        usage,
        now,
        explain: false,
        server_name: None,
        key: None,
    }
}

/// The JSON of the report about a file.
pub(crate) fn report_of(bytes: impl AsRef<[u8]>) -> Value {
    report_for(bytes, &nothing())
}

pub(crate) fn report_of_leaf(leaf: LeafBuilder) -> Value {
    report_of(leaf.issue().chain_pem())
}

pub(crate) fn report_for(bytes: impl AsRef<[u8]>, question: &Question) -> Value {
    checked(&Report::on("it.pem", Ok(bytes.as_ref()), question))
}

/// Checks the rules for all reports.
pub(crate) fn checked(report: &Report) -> Value {
    let text = report.to_json();
    let json = parse(&text);

    // Nothing that moves a cursor or hides, neither for people nor for programs.
    assert!(text.chars().all(is_plain), "{text:?}");
    let human = report.to_string();
    let deceives = |character: char| character.is_control() && character != '\n';
    assert!(!human.contains(deceives), "{human:?}");
    assert!(
        !human.contains(['\u{202e}', '\u{200b}', '\u{feff}']),
        "{human:?}"
    );

    // The exit status says nothing that the JSON does not.
    let wrong = json["explain"]["findings"].as_array();
    let connection = &json["connection"];
    let refused = connection["answer"]["code"] != "admitted" && connection["sent_ours"] == true;
    let good = json["problem"].is_null()
        && json["verify"]["error"].is_null()
        && connection["key_proven"] != false
        && !refused
        && wrong.is_none_or(Vec::is_empty);
    assert_eq!(report.is_good(), good, "{text}");
    json
}

/// Parses what the program prints, and holds it to the schema.
pub(crate) fn parse(text: &str) -> Value {
    let json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let problems: Vec<String> = VALIDATOR
        .iter_errors(&json)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}\nin {text}");
    json
}

const fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~' | '\n')
}

/// Checks values by their JSON pointers.
pub(crate) fn assert_says(what: &str, json: &Value, expected: &[(&str, Value)]) {
    for (pointer, wanted) in expected {
        let actual = json.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(actual, wanted, "{what}: {pointer} in {json:#}");
    }
}

/// That no certificate was read, and no identity either, for the reason given.
pub(crate) fn assert_unreadable(what: &str, json: &Value, why: &str) {
    let problem = json["problem"].as_str().unwrap_or_default();
    assert!(problem.contains(why), "{what}: {json:#}");
    assert_eq!(json["certificate"], Value::Null, "{what}");
    let extractors = json["extractors"].as_object().expect("an object");
    assert_eq!(extractors.len(), 14);
    for (name, outcome) in extractors {
        assert_eq!(outcome["error"], json!("bad_encoding"), "{what}: {name}");
        let message = outcome["message"].as_str().expect("text");
        assert!(message.contains(why), "{what}: {name}: {message}");
    }
}
