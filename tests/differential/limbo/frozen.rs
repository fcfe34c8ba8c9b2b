//! The frozen list of disagreements.

use super::case::{Case, SETS};
use super::ours::Refusal;

/// The lines of `disagreements.txt`: `set | id | accepted or refused | reason`.
pub(crate) struct Frozen {
    entries: Vec<Entry>,
}

struct Entry {
    set: &'static str,
    id: &'static str,
    accepted: bool,
}

impl Frozen {
    pub(crate) fn read(text: &'static str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries: Vec<Entry> = lines.flat_map(read_line).collect();
        for (index, entry) in entries.iter().enumerate() {
            let same = |other: &Entry| other.set == entry.set && other.id == entry.id;
            assert!(
                !entries[..index].iter().any(same),
                "{} is listed twice",
                entry.id
            );
        }
        Self { entries }
    }

    /// What is listed and does not exist.
    pub(crate) fn unknown_ids(&self, set: &str, cases: &[Case]) -> Vec<String> {
        let exists = |entry: &&Entry| cases.iter().any(|case| case.id == entry.id);
        let entries = self.entries.iter().filter(|entry| entry.set == set);
        entries
            .filter(|entry| !exists(entry))
            .map(|entry| format!("{set} {}: listed, but there is no such case", entry.id))
            .collect()
    }

    /// What is wrong with the list about this case, if anything.
    pub(crate) fn compare(
        &self,
        set: &str,
        case: &Case,
        ours: &Result<(), Refusal>,
    ) -> Option<String> {
        let listed = self
            .entries
            .iter()
            .find(|entry| entry.set == set && entry.id == case.id);
        let problem = match (listed, ours.is_ok() != case.expects_success()) {
            (None, false) => return None,
            (None, true) => "disagrees and is not listed",
            (Some(_), false) => "is listed and does not disagree any more",
            (Some(entry), true) if entry.accepted != ours.is_ok() => {
                "is listed the wrong way round"
            }
            (Some(_), true) => return None,
        };
        Some(format!("{set} {}: {problem}: {ours:?}", case.id))
    }
}

/// One entry for each set that the line is about.
fn read_line(line: &'static str) -> Vec<Entry> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [sets, id, verdict, reason] = fields[..] else {
        panic!("not four fields: {line}");
    };
    assert!(!reason.is_empty(), "no reason: {line}");
    let accepted = match verdict {
        "accepted" => true,
        "refused" => false,
        _ => panic!("neither accepted nor refused: {line}"),
    };
    let sets: Vec<_> = SETS
        .into_iter()
        .filter(|set| sets == "both" || sets == *set)
        .collect();
    assert!(!sets.is_empty(), "no such set: {line}");
    sets.into_iter()
        .map(|set| Entry { set, id, accepted })
        .collect()
}
