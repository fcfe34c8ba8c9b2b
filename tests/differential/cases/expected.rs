//! What is expected of each case, and where we disagree on purpose.

use std::collections::{BTreeMap, BTreeSet};

use super::found::Case;
use super::ours::Verdict;

/// `expected.txt` and `disagreements.txt`.
pub(crate) struct Expectations {
    expected: BTreeMap<String, Expected>,
    /// Whose CASE.txt says otherwise.
    overruled: BTreeSet<String>,
    /// What we say, and why.
    disagreements: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Accepted,
    Refused(Refusal),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    /// Any of these; none for any reason.
    reasons: Vec<String>,
    /// All of these occur in cause or remedy, in upper or lower case.
    words: Vec<String>,
}

impl Expectations {
    pub(crate) fn read() -> Self {
        let mut all = Self::parse(include_str!("expected.txt"));
        for [name, said, why] in lines(include_str!("disagreements.txt")) {
            assert!(!why.is_empty(), "{name}: no reason");
            let before = all.disagreements.insert(name.to_owned(), said.to_owned());
            assert!(before.is_none(), "{name} is listed twice");
        }
        all
    }

    /// Lines of `case | accepted, refused, or its reasons | words of cause and remedy | why CASE.txt is
    /// overruled`.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut expected, mut overruled) = (BTreeMap::new(), BTreeSet::new());
        for [name, verdict, words, why] in lines(text) {
            let list = |text: &str| -> Vec<String> {
                let parts = text.split(';').map(str::trim);
                parts
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect()
            };
            let entry = match verdict {
                "accepted" => Expected::Accepted,
                reasons => Expected::Refused(Refusal {
                    reasons: list(if reasons == "refused" { "" } else { reasons }),
                    words: list(words),
                }),
            };
            let before = expected.insert(name.to_owned(), entry);
            assert!(before.is_none(), "{name} is listed twice");
            if !why.is_empty() {
                overruled.insert(name.to_owned());
            }
        }
        let disagreements = BTreeMap::new();
        Self {
            expected,
            overruled,
            disagreements,
        }
    }

    /// By `expected.txt`, else by the first word of CASE.txt's own expectation.
    pub(crate) fn of(&self, name: &str, case: &Case) -> Option<Expected> {
        let listed = self.of_name(name);
        listed.or_else(|| (name == case.name).then(|| by_first_word(&case.expects))?)
    }

    /// What is wrong with `expected.txt` about this case: it contradicts CASE.txt without a reason, or has a
    /// reason and agrees.
    pub(crate) fn contradiction(&self, name: &str, case: &Case) -> Option<String> {
        let is_accepted = |expected: &Expected| matches!(expected, Expected::Accepted);
        let by_case = by_first_word(&case.expects).filter(|_| name == case.name);
        let listed = self.expected.get(name);
        let contradicts = listed
            .zip(by_case)
            .is_some_and(|(listed, by_case)| is_accepted(listed) != is_accepted(&by_case));
        match (contradicts, self.overruled.contains(name)) {
            (true, false) => Some(format!(
                "{name}: expected.txt overrules CASE.txt without a reason"
            )),
            (false, true) => Some(format!(
                "{name}: expected.txt has a reason to overrule CASE.txt, and agrees"
            )),
            _ => None,
        }
    }

    pub(crate) fn of_name(&self, name: &str) -> Option<Expected> {
        self.expected.get(name).cloned()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.expected
            .keys()
            .chain(self.disagreements.keys())
            .map(String::as_str)
    }

    pub(crate) fn disagreements(&self) -> usize {
        self.disagreements.len()
    }

    /// What is wrong with `disagreements.txt` about this case, if anything.
    pub(crate) fn compare(
        &self,
        name: &str,
        disagrees: Option<String>,
        verdict: &Verdict,
    ) -> Option<String> {
        let said = verdict.reason().unwrap_or("accepted");
        match (self.disagreements.get(name), disagrees) {
            (None, None) => None,
            (None, Some(why)) => Some(format!("{name}: {why}: {verdict:?}")),
            (Some(_), None) => Some(format!("{name}: listed, and does not disagree any more")),
            (Some(listed), Some(_)) if listed == said => None,
            (Some(listed), Some(_)) => Some(format!(
                "{name}: listed as {listed}, and is {said} now: {verdict:?}"
            )),
        }
    }
}

impl Expected {
    /// How the verdict differs from what is expected, if it does.
    pub(crate) fn disagreement(&self, verdict: &Verdict) -> Option<String> {
        match (self, verdict) {
            (Self::Accepted, Verdict::Accepted { .. }) => None,
            (Self::Accepted, Verdict::Refused { .. }) => Some("should be accepted".into()),
            (Self::Refused(_), Verdict::Accepted { .. }) => Some("should be refused".into()),
            (
                Self::Refused(expected),
                Verdict::Refused {
                    reason,
                    cause,
                    remedy,
                    ..
                },
            ) => {
                let reasons = &expected.reasons;
                if !reasons.is_empty() && !reasons.iter().any(|expected| expected == reason) {
                    return Some(format!("should be refused as {}", reasons.join(" or ")));
                }
                let text = format!("{cause}; {remedy}").to_lowercase();
                let missing = expected
                    .words
                    .iter()
                    .find(|word| !text.contains(&word.to_lowercase()));
                missing.map(|word| format!("cause and remedy should say \"{word}\""))
            }
        }
    }
}

fn by_first_word(expects: &str) -> Option<Expected> {
    let word = expects.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    match word {
        "ok" => Some(Expected::Accepted),
        "refused" | "denied" | "revoked" => Some(Expected::Refused(Refusal::default())),
        _ => None,
    }
}

/// The fields of each line; empty lines and those that start with `#` are left out.
fn lines<const FIELDS: usize>(text: &str) -> impl Iterator<Item = [&str; FIELDS]> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        fields
            .try_into()
            .unwrap_or_else(|_| panic!("not {FIELDS} fields: {line}"))
    })
}
