//! The threat model names tests that exist.

use std::fs;
use std::path::Path;

/// In a cell of the table: `live: ` and a name in backticks, then more names of the same binary.
#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = include_str!("../../manual/threat_model.md");
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for part in cell.split("; ") {
            let Some((binary, names)) = part.split_once(": ") else {
                continue;
            };
            if !names.starts_with('`') {
                continue; // the head of a table, or a sentence
            }
            let source = sources_of(binary);
            for name in names.split('`').skip(1).step_by(2) {
                let test = format!("fn {name}(");
                assert!(source.contains(&test), "{binary} has no test {name}");
                named += 1;
            }
        }
    }
    assert!(
        named > 20,
        "only {named} were found: does the page have another form?"
    );
}

/// The text of a test binary with its modules, or of the library for `unit`.
fn sources_of(binary: &str) -> String {
    let root = support::workspace();
    if binary == "unit" {
        return text_below(&root.join("src"));
    }
    // The binaries of a package of several are one level deeper.
    let folders = ["tests", "tests/frameworks"].map(|folder| root.join(folder).join(binary));
    folders.iter().map(|folder| text_below(folder)).collect()
}

fn text_below(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        return String::new();
    };
    let texts = entries.map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text_below(&path)
        } else {
            fs::read_to_string(&path).unwrap_or_default()
        }
    });
    texts.collect()
}
