//! The audit trail's schema.

use countersign::audit::{AuditEvent, JSON_SCHEMA};
use jsonschema::Validator;
use serde_json::Value;

pub fn of_events() -> Validator {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).expect("the schema is JSON");
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).expect("it is a schema")
}

/// The event's line of JSON is one, and what the schema allows; here it is read.
pub fn assert_valid(schema: &Validator, event: &AuditEvent) -> Value {
    assert_valid_line(schema, &event.to_json())
}

/// So is this line.
pub fn assert_valid_line(schema: &Validator, line: &str) -> Value {
    assert!(!line.contains(['\n', '\r']), "{line}");
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let problems: Vec<String> = schema
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}\nin {line}");
    value
}
