//! Reads source files as tokens, without comments, strings and `mod tests`.

use std::path::{Path, PathBuf};

pub(crate) type Token = String;

/// The code of this crate's modules by their paths below `src/`, without tests.
pub(crate) fn code() -> Vec<(String, Vec<Token>)> {
    let src = support::workspace().join("src");
    let files = rust_files(&src).into_iter().map(|file| {
        let name = file.strip_prefix(&src).expect("below src");
        let name = name.to_str().expect("UTF-8").replace('\\', "/");
        let text = std::fs::read_to_string(&file).expect("the source is text");
        (name, tokens(without_tests(&text)))
    });
    let code: Vec<_> = files.filter(|(name, _)| !is_test(name)).collect();
    assert!(code.len() > 100, "the source was not found");
    code
}

fn is_test(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// How often `pattern`, itself source text, occurs in `tokens`.
pub(crate) fn count(tokens: &[Token], pattern: &str) -> usize {
    let pattern = self::tokens(pattern);
    tokens
        .windows(pattern.len())
        .filter(|window| *window == pattern)
        .count()
}

/// Everything but the `mod tests` at the end of the file.
pub(crate) fn without_tests(source: &str) -> &str {
    const TESTS: &str = "#[cfg(test)]\nmod tests {";
    const END: &str = "\n}\n";
    match source.split_once(TESTS) {
        Some((code, tests))
            if tests
                .find(END)
                .is_none_or(|at| at + END.len() == tests.len()) =>
        {
            code
        }
        _ => source,
    }
}

pub(crate) fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::` and single characters, without comments, strings and spaces.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string_length(rest)
        } else if first == '\'' {
            char_length(rest)
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else if is_word(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let length = end.unwrap_or(rest.len());
            found.push(rest[..length].to_owned());
            length
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// A character, or only the apostrophe of a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars.find(|&(_, c)| c == '\'').map_or(1, |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
