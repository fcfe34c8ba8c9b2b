//! A JSON body for a terminal.

use std::io::{self, Write};

use serde_json::Value;

use super::LABEL;

/// Writes an object as aligned lines, `key  value`, and any other JSON with indentation.
///
/// JSON escapes control characters, so that a server cannot control the terminal.
pub fn write_json(out: &mut impl Write, body: &Value) -> io::Result<()> {
    let Value::Object(fields) = body else {
        return writeln!(out, "{body:#}");
    };
    let width = fields.keys().map(|key| escaped(key).chars().count());
    let width = width.max().unwrap_or_default();
    for (key, value) in fields {
        let key = escaped(key);
        let value = match value {
            Value::String(text) => escaped(text),
            other => other.to_string(),
        };
        writeln!(out, "{LABEL}{key:<width$}{LABEL:#}  {value}")?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\\' | '\'' | '"' => character.to_string(),
            other => other.escape_debug().to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &Value) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write_json(&mut out, body).expect("written");
        String::from_utf8(out.into_inner()).expect("UTF-8")
    }

    #[test]
    fn an_object_is_aligned_and_cannot_control_the_terminal() {
        let body = serde_json::json!({"tls": "1.3", "identity": "a\u{1b}[2J", "resumed": false});
        assert_eq!(
            written(&body),
            "identity  a\\u{1b}[2J\nresumed   false\ntls       1.3\n"
        );
    }

    #[test]
    fn other_json_is_indented() {
        assert_eq!(written(&serde_json::json!([1])), "[\n  1\n]\n");
    }
}
