//! The pages that name tests name tests that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const THREAT_MODEL: &str = include_str!("../../manual/threat_model.md");
const KNOWN_BUGS: &str = include_str!("../../manual/known_bugs.md");

#[test]
fn every_promise_of_the_threat_model_names_tests_that_exist() {
    let rows = rows(THREAT_MODEL, "test");
    assert!(
        rows.len() > 60,
        "{}: has the page another form?",
        rows.len()
    );
    assert_eq!(without_tests(&rows), Vec::<String>::new());
}

#[test]
fn every_published_bug_names_tests_that_exist() {
    let rows = rows(KNOWN_BUGS, "test");
    assert!(
        rows.len() >= 60,
        "{}: has the page another form?",
        rows.len()
    );
    assert_eq!(without_tests(&rows), Vec::<String>::new());
    let mut known = Vec::new();
    for row in &rows {
        let bugs = numbers(&row[0]);
        assert!(!bugs.is_empty(), "no number of a bug: {}", row[0]);
        known.extend(bugs);
    }
    let count = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), count, "a bug is there twice");
    assert!(count >= 90, "only {count} numbers were found");
}

/// The cells of the tables whose last column has this name.
fn rows(page: &str, last: &str) -> Vec<Vec<String>> {
    let (mut rows, mut is_on) = (Vec::new(), false);
    for line in page.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|it| it.strip_suffix(" |")) else {
            is_on &= line.starts_with("|---");
            continue;
        };
        let cells: Vec<String> = cells.split(" | ").map(str::to_owned).collect();
        if is_on {
            rows.push(cells);
        } else {
            is_on = cells.last().is_some_and(|name| name == last);
        }
    }
    rows
}

/// The rows that name no test, and the tests that do not exist.
fn without_tests(rows: &[Vec<String>]) -> Vec<String> {
    let (mut problems, mut sources) = (Vec::new(), BTreeMap::new());
    for row in rows {
        let tests = tests(row.last().unwrap());
        if tests.is_empty() {
            problems.push(format!("no test: {}", row.join(" | ")));
        }
        for (binary, name) in tests {
            let source = sources
                .entry(binary.to_owned())
                .or_insert_with(|| sources_of(binary));
            if !source.contains(&format!("fn {name}(")) {
                problems.push(format!("{binary} has no test {name}"));
            }
        }
    }
    problems
}

/// The tests in a cell, with their binaries: ``live: `one`, `another`; unit: `third` ``.
fn tests(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split("; ").filter_map(|part| part.split_once(": "));
    let parts = parts.filter(|(_, names)| names.starts_with('`'));
    parts
        .flat_map(|(binary, names)| {
            let names = names.split('`').skip(1).step_by(2);
            names.map(move |name| (binary, name))
        })
        .collect()
}

/// Numbers such as `CVE-2009-3555` and `RUSTSEC-2024-0336`.
fn numbers(cell: &str) -> Vec<&str> {
    let words = cell.split([' ', ',']);
    words
        .filter(|word| word.starts_with("CVE-") || word.starts_with("RUSTSEC-"))
        .collect()
}

/// The text of a test binary with its modules, or of the library for `unit`.
fn sources_of(binary: &str) -> String {
    let root = support::workspace();
    if binary == "unit" {
        return text_below(&root.join("src"));
    }
    // The binaries of a package of several are one level deeper; `cli` is that of the tool.
    let folders = ["tests", "tests/frameworks", "examples/cli/tests"];
    let folders = folders.map(|folder| root.join(folder).join(binary));
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

#[test]
fn a_row_without_a_test_and_a_test_that_is_missing_are_found() {
    let page = "| a | test |\n|---|---|\n| x | policy: `the_exact_set`; trust: `no_such` |\n| y | proof |\n\n| b | c |\n|---|---|\n| d | e |\n";
    let rows = rows(page, "test");
    assert_eq!(rows.len(), 2);
    let problems = without_tests(&rows);
    assert_eq!(
        problems,
        ["trust has no test no_such", "no test: y | proof"]
    );
    assert_eq!(
        numbers("CVE-1-2 (a), RUSTSEC-3-4"),
        ["CVE-1-2", "RUSTSEC-3-4"]
    );
}
