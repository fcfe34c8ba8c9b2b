//! The queries of the dashboard and of the alert rules.

use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../examples/observability/grafana.json");
const ALERTS: &str = include_str!("../../../examples/observability/alerts.yml");

pub(crate) struct Query {
    /// Of its panel or alert.
    pub(crate) title: String,
    pub(crate) expr: String,
}

/// Those of all panels and annotations.
pub(crate) fn dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, "the dashboard", &mut found);
    found
}

/// Every `expr` below a value, with the nearest title above it.
fn collect(value: &Value, title: &str, found: &mut Vec<Query>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("title").or_else(|| fields.get("name"));
            let title = name.and_then(Value::as_str).unwrap_or(title);
            for (key, value) in fields {
                match value {
                    Value::String(expr) if key == "expr" => found.push(Query {
                        title: title.to_owned(),
                        expr: expr.clone(),
                    }),
                    other => collect(other, title, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, title, found)),
        _ => {}
    }
}

/// Those of all alert rules. Of YAML, just as much is read as the file has: `expr:` with the rest of
/// the line, or folded (`>-`) over deeper lines.
pub(crate) fn alerts() -> Vec<Query> {
    let mut found: Vec<Query> = Vec::new();
    let (mut title, mut folded) = ("", None);
    for line in ALERTS.lines() {
        let depth = line.len() - line.trim_start().len();
        if let Some(above) = folded
            && depth > above
            && let Some(query) = found.last_mut()
        {
            query.expr.push(' ');
            query.expr.push_str(line.trim());
            continue;
        }
        folded = None;
        let text = line.trim_start();
        if let Some(name) = text.strip_prefix("- alert: ") {
            title = name;
        } else if let Some(expr) = text.strip_prefix("expr: ") {
            if expr == ">-" {
                folded = Some(depth);
            }
            found.push(Query {
                title: title.to_owned(),
                expr: expr.trim_start_matches(">-").to_owned(),
            });
        }
    }
    assert_eq!(found.len(), ALERTS.matches("- alert: ").count());
    found
}

impl Query {
    /// The series of ours that it asks for.
    pub(crate) fn series(&self) -> Vec<&str> {
        let words = self
            .expr
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words
            .filter(|word| word.starts_with("countersign"))
            .collect()
    }

    /// The labels that it selects or groups by.
    pub(crate) fn labels(&self) -> Vec<&str> {
        let grouped = self.expr.split("by (").skip(1);
        let grouped = grouped.filter_map(|rest| rest.split_once(')'));
        let grouped = grouped.flat_map(|(labels, _)| labels.split(',').map(str::trim));
        grouped.chain(labels_of(&self.expr)).collect()
    }
}

/// The labels in all braces of a text. No value in them has a comma or a brace.
pub(crate) fn labels_of(text: &str) -> Vec<&str> {
    let braces = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let pairs = braces.flat_map(|(inside, _)| inside.split(','));
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split(['=', '!']).next().unwrap().trim())
        .collect()
}
