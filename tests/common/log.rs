//! Reads the log of the example `server`.

use serde_json::Value;

/// How a line says that a connection came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted,
    /// For this reason.
    Refused(String),
}

/// What a line says of a connection that was judged; other lines tell of its end, or of a reload.
///
/// The one place that knows the names of the log's fields.
pub(crate) fn outcome(line: &Value) -> Option<Outcome> {
    let text = |field: &str| line[field].as_str();
    match text("outcome").expect("every line has an outcome") {
        "admitted" => Some(Outcome::Admitted),
        "refused" => Some(refused(text("reason").expect("a refusal has a reason"))),
        _ => None,
    }
}

/// Of all connections, in their order.
pub(crate) fn outcomes(lines: &[Value]) -> Vec<Outcome> {
    lines.iter().filter_map(outcome).collect()
}

pub(crate) fn refused(reason: &str) -> Outcome {
    Outcome::Refused(reason.into())
}
