//! Every public type has an example, and every public async function states its cancel safety.

use std::fs;
use std::path::{Path, PathBuf};

/// Sealed, so that no other crate can name it.
const UNNAMEABLE: &str = "Stored";

#[test]
fn public_types_have_examples_and_async_functions_their_cancel_safety() {
    let (mut items, mut missing) = (0, Vec::new());
    for file in sources(&support::workspace().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (name, lacks) in documented(&text) {
            items += 1;
            if let Some(lacks) = lacks
                && name != UNNAMEABLE
            {
                missing.push(format!("{}: {name} has no {lacks}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(items > 150, "found {items} only");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The public types and async functions of a file, each with what its documentation lacks.
fn documented(text: &str) -> Vec<(&str, Option<&'static str>)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let kinds = ["pub struct ", "pub enum ", "pub trait "];
        let declared = kinds.iter().find_map(|kind| line.strip_prefix(kind));
        let function = line.trim_start().strip_prefix("pub async fn ");
        let (rest, part, needle) = match (declared, function) {
            (Some(rest), _) => (rest, "example", "```"),
            (None, Some(rest)) => (rest, "\"Cancel safety\"", "# Cancel safety"),
            (None, None) => continue,
        };
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        // Documentation and attributes of an item have no empty line, and follow one or a `{`.
        let has_part = lines[..index]
            .iter()
            .rev()
            .take_while(|line| !line.is_empty() && (is_doc(line) || !line.ends_with('{')))
            .any(|line| is_doc(line) && line.contains(needle));
        found.push((name, (!has_part).then_some(part)));
    }
    found
}

fn is_doc(line: &str) -> bool {
    line.trim_start().starts_with("///")
}

#[test]
fn a_missing_example_is_found() {
    let text = "/// ```\n/// ```\n#[derive(Debug)]\npub struct Shown;\n\n/// A.\npub enum Bare {}\n\n\
                impl Shown {\n    /// # Cancel safety\n    pub async fn safe() {}\n\n    /// B.\n    \
                pub async fn silent() {}\n}\n";
    let expected = [
        ("Shown", None),
        ("Bare", Some("example")),
        ("safe", None),
        ("silent", Some("\"Cancel safety\"")),
    ];
    assert_eq!(documented(text), expected);
}
