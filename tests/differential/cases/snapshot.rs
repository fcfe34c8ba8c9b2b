//! Verdicts as a text that people read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use super::ours::Verdict;

pub(crate) struct Entry {
    pub(crate) name: String,
    text: String,
}

impl Entry {
    /// Of a case that is made anew in each run: without its times and digests.
    pub(crate) fn of_made(name: &str, what: &str, verdict: &Verdict) -> Self {
        let Self { name, text } = Self::new(name, what, verdict);
        let text = comparable(&text);
        Self { name, text }
    }

    pub(crate) fn new(name: &str, what: &str, verdict: &Verdict) -> Self {
        let mut text = format!("{name}\n    what     {what}\n");
        let _ = match verdict {
            Verdict::Accepted { peer: None } => writeln!(text, "    verdict  accepted"),
            Verdict::Accepted { peer: Some(peer) } => {
                writeln!(text, "    verdict  accepted: {peer}")
            }
            Verdict::Refused {
                step,
                reason,
                cause,
                remedy,
            } => writeln!(
                text,
                "    verdict  refused: {reason}, when {step}\n    cause    {cause}\n    remedy   {remedy}"
            ),
        };
        let name = name.to_owned();
        Self { name, text }
    }
}

/// A file with the verdicts of earlier.
pub(crate) struct Snapshot {
    file: PathBuf,
    /// The lines before the first entry.
    head: String,
    entries: BTreeMap<String, String>,
}

impl Snapshot {
    pub(crate) fn read(file: &str) -> Self {
        let file = support::workspace()
            .join("tests/differential/cases")
            .join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        let (head, rest) = text
            .split_once("\n\n")
            .unwrap_or_else(|| (text.trim_end(), ""));
        let entries = rest.split("\n\n").map(|entry| entry.trim_matches('\n'));
        let entries = entries.filter(|entry| !entry.is_empty()).map(|entry| {
            let name = entry.lines().next().unwrap_or_default();
            (name.to_owned(), format!("{entry}\n"))
        });
        let entries = entries.collect();
        Self {
            file,
            head: head.to_owned(),
            entries,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// What differs between the names of the entries and those in the file, unless it is renewed.
    pub(crate) fn other_names(&self, entries: &[Entry]) -> Vec<String> {
        if is_renewing() {
            return Vec::new();
        }
        let names: BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
        let listed: BTreeSet<_> = self.entries.keys().collect();
        let differing = names.symmetric_difference(&listed);
        differing
            .map(|name| {
                format!("{name}: either not made, or not in the snapshot (RENEW_VERDICTS=1)")
            })
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What has changed; or writes the file, when asked to.
    pub(crate) fn compare_or_renew(&self, entries: &[Entry]) -> Vec<String> {
        if is_renewing() {
            let texts = entries.iter().map(|entry| entry.text.as_str());
            let texts: Vec<_> = std::iter::once(&*format!("{}\n", self.head))
                .chain(texts)
                .map(str::to_owned)
                .collect();
            std::fs::write(&self.file, texts.join("\n")).unwrap();
            return Vec::new();
        }
        let changed = entries.iter().filter_map(|entry| {
            let before = self.entries.get(&entry.name);
            // A case of another folder has an expectation, and no snapshot.
            let before = before?;
            (comparable(before) != comparable(&entry.text)).then(|| {
                format!(
                    "changed (RENEW_VERDICTS=1 accepts it):\n{before}now:\n{}",
                    entry.text
                )
            })
        });
        changed.collect()
    }
}

pub(super) fn is_renewing() -> bool {
    std::env::var_os("RENEW_VERDICTS").is_some()
}

/// Without what differs between two makings of the same case: times, and digests of keys.
pub(super) fn comparable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from
            .find(|c: char| !(c.is_ascii_hexdigit() || ":-TZ".contains(c)))
            .unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_time = digits >= 12 && word.contains('T');
        let is_digest = !before.ends_with('#')
            && word.len() >= 16
            && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        out.push_str(if is_time {
            "<time>"
        } else if is_digest {
            "<digest>"
        } else {
            word
        });
        rest = after;
    }
    out.push_str(rest);
    out
}
