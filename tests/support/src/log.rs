//! Reads the log of the example `server`.

use serde_json::Value;

/// How a line says that a connection came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Admitted,
    /// For this reason.
    Refused(String),
}

/// The outcome of an attempt in a line; other lines are about closed connections and reloads.
///
/// The one place that knows the names of the log's fields.
pub fn outcome(line: &Value) -> Option<Outcome> {
    match action(line) {
        "admitted" => Some(Outcome::Admitted),
        action if ATTEMPTS.contains(&action) => Some(refused(reason(line))),
        _ => None,
    }
}

/// How an attempt to connect can come out, but for the better.
const ATTEMPTS: [&str; 7] = [
    "denied",
    "not_identified",
    "chain_refused",
    "handshake_failed",
    "timed_out",
    "shed",
    "abandoned",
];

/// What happened.
pub fn action(line: &Value) -> &str {
    let action = line["event"]["action"].as_str();
    action.expect("every line has an action")
}

/// Why.
pub fn reason(line: &Value) -> &str {
    let reason = line["event"]["reason"].as_str();
    reason.expect("what is refused or ended has a reason")
}

/// The line for people.
pub fn message(line: &Value) -> &str {
    line["message"].as_str().expect("every line has a message")
}

/// The lines about attempts.
pub fn attempts(lines: Vec<Value>) -> Vec<Value> {
    let mut lines = lines;
    lines.retain(|line| outcome(line).is_some());
    lines
}

/// Of all connections, in their order.
pub fn outcomes(lines: &[Value]) -> Vec<Outcome> {
    lines.iter().filter_map(outcome).collect()
}

pub fn refused(reason: &str) -> Outcome {
    Outcome::Refused(reason.into())
}
