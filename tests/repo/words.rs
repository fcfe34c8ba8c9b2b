//! Words and phrases that the sources and the pages do not use: see "Style" in `CONTRIBUTING.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// In sentences and in identifiers, whole words only.
const UNWANTED: [&str; 49] = [
    "whom",
    "whoever",
    "nobody",
    "somebody",
    "anybody",
    "everybody",
    "goodbye",
    "farewell",
    "last words",
    "parted",
    "parting",
    "dialled",
    "dial",
    "dials",
    "judged",
    "judge",
    "judges",
    "judgement",
    "knocks",
    "turned away",
    "let in",
    "lets in",
    "lets it in",
    "is told",
    "are told",
    "told",
    "tells",
    "for ever",
    "meanwhile",
    "therewith",
    "thereof",
    "by itself",
    "by themselves",
    "come to its end",
    "comes to its end",
    "came to its end",
    "come to their end",
    "came to their end",
    "ear for",
    "at the price of",
    "refuses",
    "a choice with a name",
    "leaves behind",
    "left behind",
    "bears",
    "lest",
    "himself",
    "in vain",
    "leaves word",
];

/// Where, what, and why it may stay.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "CONTRIBUTING.md",
        "let in",
        "an example of what not to write",
    ),
    (
        "CONTRIBUTING.md",
        "turned away",
        "an example of what not to write",
    ),
];

/// Files and folders of the workspace.
const PLACES: [&str; 8] = [
    "src",
    "examples",
    "manual",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
];

/// The page with texts that other programs print, and the head of a table of them.
const QUOTING_PAGE: &str = "manual/troubleshooting.md";
const QUOTING_TABLE: &str = "| the client | prints |";

#[test]
fn sources_and_pages_use_plain_words() {
    let root = support::workspace();
    let (mut files, mut found) = (Vec::new(), Vec::new());
    for place in PLACES {
        texts(&root.join(place), &mut files);
    }
    let mut excepted = [false; EXCEPTIONS.len()];
    for file in &files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        let mut text = fs::read_to_string(file).unwrap();
        if name == QUOTING_PAGE {
            text = without_quotations(&text);
        }
        for (line, phrase) in unwanted(&text) {
            let exception = EXCEPTIONS
                .iter()
                .position(|(file, excepted, _)| *file == name && *excepted == phrase);
            match exception {
                Some(index) => excepted[index] = true,
                None => found.push(format!("{name}:{line}: \"{phrase}\"")),
            }
        }
    }
    assert!(found.is_empty(), "write these plainly: {found:#?}");
    assert!(files.len() > 200, "found {} files only", files.len());
    assert_eq!(excepted, [true; EXCEPTIONS.len()], "an exception is unused");
}

/// The files with text at or below this path.
fn texts(path: &Path, found: &mut Vec<PathBuf>) {
    const KINDS: [&str; 9] = ["rs", "md", "toml", "sh", "py", "js", "json", "java", "go"];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_none_or(|name| name != "target") {
                texts(&path, found);
            }
        }
    } else if path
        .extension()
        .is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
    {
        found.push(path.to_owned());
    }
}

/// The page, with empty lines instead of the tables of what other programs print.
fn without_quotations(page: &str) -> String {
    let mut is_quoted = false;
    let lines = page.lines().map(|line| {
        is_quoted = line == QUOTING_TABLE || (is_quoted && line.starts_with('|'));
        if is_quoted { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The unwanted words and phrases with their lines. A phrase may go on in the next line of a comment
/// or a paragraph.
fn unwanted(text: &str) -> Vec<(usize, &'static str)> {
    let words = words(text);
    let mut found = Vec::new();
    for phrase in UNWANTED {
        let phrase_words: Vec<_> = phrase.split(' ').collect();
        for (start, (line, word)) in words.iter().enumerate() {
            let mut here = words[start..].iter().map(|(_, word)| word.as_str());
            let is_sentence = phrase_words
                .iter()
                .all(|of_phrase| here.next() == Some(of_phrase));
            if is_sentence || has_parts(word, &phrase_words) {
                found.push((*line, phrase));
            }
        }
    }
    found
}

/// Whether an identifier contains the words of a phrase.
fn has_parts(word: &str, phrase: &[&str]) -> bool {
    if !word.contains('_') {
        return false;
    }
    let parts: Vec<_> = word.split('_').collect();
    parts.windows(phrase.len()).any(|part| part == phrase)
}

/// Words in lower case, identifiers and hyphenated words as `snake_case`, with their lines. Punctuation between words is an
/// empty word, so that no phrase goes across it.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line
            .trim_start()
            .trim_start_matches(['/', '!', '*', '#', '>']);
        let mut word = String::new();
        let mut before = ' ';
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' {
                if c.is_uppercase() && before.is_lowercase() {
                    word.push('_');
                }
                word.extend(c.to_lowercase());
            } else if c == '-' && before.is_alphanumeric() {
                word.push('_');
            } else {
                if !word.is_empty() {
                    words.push((index + 1, std::mem::take(&mut word)));
                }
                if !c.is_whitespace() && !['`', '*', '\''].contains(&c) {
                    words.push((index + 1, String::new()));
                }
            }
            before = c;
        }
    }
    words
}

#[test]
fn unwanted_words_are_found_in_sentences_and_identifiers() {
    let bad = "/// Nobody may come to\n    /// its end.\nfn is_told() {}\nstruct LastWords;\n";
    let expected = [
        (1, "nobody"),
        (4, "last words"),
        (3, "is told"),
        (3, "told"),
        (1, "come to its end"),
    ];
    assert_eq!(unwanted(bad), expected);
    let good = "/// No peer is admitted: let in-flight requests finish.\nlet incoming = dialog;\n";
    assert_eq!(unwanted(good), []);
    let page = "| the client | prints |\n|---|---|\n| curl | `nobody` |\n\nNobody.\n";
    assert_eq!(unwanted(&without_quotations(page)), [(5, "nobody")]);
}
