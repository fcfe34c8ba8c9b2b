//! Certificates, keys and CRLs as they are really found, and the verdict on each: what is accepted, what
//! is refused, and with which reason, cause and remedy.
//!
//! Two sets. `made.rs` makes its cases when the test runs; their verdicts are in `cases/made.txt`. The
//! other set is a folder of files made after public bug reports, which is not part of this repository:
//! `CASES_DIR`, or `../shared/cases`. Each case is a folder with a `CASE.txt`, which says what is
//! expected; our verdicts are in `cases/verdicts.txt`. Where they disagree, `cases/disagreements.txt`
//! says why.
//!
//! After a change of texts, `RENEW_VERDICTS=1 cargo test -p countersign-differential-tests cases` writes
//! both snapshots and `manual/refusals.md` anew. Read the difference before it is committed.

mod expected;
mod found;
mod made;
mod ours;
mod page;
mod snapshot;

use std::collections::BTreeSet;

use expected::{Expectations, Expected};
use ours::Verdict;
use snapshot::{Entry, Snapshot};

/// At most this share of the cases in the folder may disagree, in percent.
const DISAGREEMENTS: usize = 5;

#[test]
fn each_case_that_we_make_has_the_verdict_of_the_snapshot() {
    let entries: Vec<_> = made::cases()
        .iter()
        .map(|case| Entry::of_made(&case.name, &case.what, &case.verdict()))
        .collect();
    assert_each_once(&entries);
    let snapshot = Snapshot::read("made.txt");
    let names = snapshot.other_names(&entries);
    let problems = [snapshot.compare_or_renew(&entries), names].concat();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn each_case_of_the_folder_has_the_verdict_that_is_expected() {
    let Some(folder) = found::folder() else {
        return;
    };
    let cases = found::load(&folder);
    let expectations = Expectations::read();
    let (mut entries, mut problems, mut disagreeing) = (Vec::new(), Vec::new(), BTreeSet::new());
    for case in &cases {
        for attempt in case.attempts() {
            let verdict = case.verdict(&attempt);
            let name = attempt.name(case);
            entries.push(Entry::new(&name, &case.what, &verdict));
            let Some(expected) = expectations.of(&name, case) else {
                let expects = &case.expects;
                problems.push(format!("{name}: not in expected.txt, and CASE.txt is neither \"ok\" nor \"refused\": {expects}"));
                continue;
            };
            problems.extend(expectations.contradiction(&name, case));
            let disagrees = expected.disagreement(&verdict);
            if disagrees.is_some() {
                disagreeing.insert(&case.name);
            }
            problems.extend(expectations.compare(&name, disagrees, &verdict));
        }
    }
    eprintln!("{} of {} cases disagree", disagreeing.len(), cases.len());
    if disagreeing.len() * 100 >= cases.len() * DISAGREEMENTS {
        problems.push(format!(
            "{} of {} cases disagree, which is {DISAGREEMENTS} % or more",
            disagreeing.len(),
            cases.len()
        ));
    }
    problems.extend(Snapshot::read("verdicts.txt").compare_or_renew(&entries));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Without the folder, too: the lists in this repository are about the same cases.
#[test]
fn each_listed_case_has_a_verdict_and_few_disagree() {
    let expectations = Expectations::read();
    let verdicts = Snapshot::read("verdicts.txt");
    let mut problems = Vec::new();
    for name in expectations.names() {
        if !verdicts.has(name) {
            problems.push(format!("{name}: listed, and not in verdicts.txt"));
        }
    }
    let (disagreeing, all) = (expectations.disagreements(), verdicts.len());
    if disagreeing * 100 >= all * DISAGREEMENTS {
        problems.push(format!("{disagreeing} of {all} cases disagree"));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// No error of another crate reaches a user as its `Debug` output, such as `TrailingData(Certificate)`.
#[test]
fn no_text_is_a_debug_dump() {
    let is_dump = |word: &str| {
        let name = word.split_once('(').map_or("", |(name, _)| name);
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().any(char::is_lowercase)
    };
    assert!(is_dump("TrailingData(Certificate)") && !is_dump("onlyContainsCACerts"));
    for text in [
        include_str!("cases/made.txt"),
        include_str!("cases/verdicts.txt"),
    ] {
        let texts = text
            .lines()
            .filter(|line| line.starts_with("    cause") || line.starts_with("    remedy"));
        for line in texts {
            assert!(!line.contains("unexpected error"), "{line}");
            assert!(!line.split_whitespace().any(is_dump), "{line}");
        }
    }
}

#[test]
fn a_case_without_an_expectation_is_a_problem() {
    let case = |expects: &str| found::Case::of_text("zz", &format!("expect: {expects}\n"));
    let expectations = Expectations::read();
    let of = |expects: &str| expectations.of("zz", &case(expects));
    assert!(matches!(of("ok"), Some(Expected::Accepted)));
    assert!(matches!(
        of("refused, naming the OID"),
        Some(Expected::Refused(_))
    ));
    assert!(matches!(
        of("denied (deny_listed)"),
        Some(Expected::Refused(_))
    ));
    assert!(of("openssl accepts").is_none());
    assert!(of("okay").is_none());
    assert!(of("").is_none());
}

#[test]
fn an_expectation_is_about_verdict_reason_and_words() {
    let refused = Verdict::refused(
        "the chain is verified",
        &countersign::TrustStore::from_pem("").unwrap_err(),
    );
    let expected = |line: &str| Expectations::parse(line).of_name("zz").unwrap();
    let agrees = |line: &str| expected(line).disagreement(&refused).is_none();
    let reason = refused.reason().unwrap();
    assert!(agrees("zz | refused | | "));
    assert!(agrees(&format!("zz | {reason} | | ")));
    assert!(!agrees("zz | another_reason | | "));
    assert!(!agrees("zz | accepted | | "));
    assert!(!agrees("zz | refused | words that no text has | "));
}

fn assert_each_once(entries: &[Entry]) {
    let names: BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
    assert_eq!(names.len(), entries.len(), "two cases have one name");
}
