//! NIST's path validation test suite (PKITS) over our verifier.
//!
//! Each case is an end entity's certificate of the suite, with the settings that its document gives. The
//! issuers and CRLs are found by name. The verdict of every case is in `pkits/verdicts.txt`. A case that
//! we accept and the suite rejects fails the test, whatever that list says. The suite is in the folder
//! `PKITS_DIR`.
//!
//! `PKITS_VERDICTS=<file>` writes the list anew.

mod case;
mod folder;

use std::fmt::Write as _;

use case::all_cases;
use countersign::trust::NameMatching;
use folder::{Folder, folder, folder_at};

#[test]
fn the_verdict_of_every_case_is_known_and_none_is_too_lenient() {
    let Some(folder) = folder() else { return };
    let folder = Folder::read(&folder);
    let cases = all_cases(&folder.end_entities());
    assert_eq!(cases.len(), 247, "a case for each test of the suite");
    let mut verdicts = String::new();
    let mut counts = [0; 3];
    let mut open = Vec::new();
    for case in &cases {
        let verdict = folder.decide(case, NameMatching::Exact);
        let (kind, text) = match &verdict {
            Ok(()) if case.is_valid => (0, "agrees: accepted".to_owned()),
            Err(refusal) if !case.is_valid => (0, format!("agrees: {refusal}")),
            Err(refusal) => (1, format!("CLOSED: {refusal}")),
            Ok(()) => (2, "OPEN: accepted".to_owned()),
        };
        counts[kind] += 1;
        if kind == 2 {
            open.push(case.name());
        }
        writeln!(verdicts, "{} | {text}", case.name()).unwrap();
    }
    let [agreeing, closed, _] = counts;
    let counts = format!("{agreeing} agree, {closed} closed, {} open", open.len());
    println!("PKITS: {counts}");
    let verdicts = format!("{counts}\n\n{verdicts}");
    if let Some(file) = std::env::var_os("PKITS_VERDICTS") {
        std::fs::write(file, &verdicts).unwrap();
    }
    assert_eq!(open, <[String; 0]>::default());
    let known = include_str!("pkits/verdicts.txt");
    for (now, known) in verdicts.lines().zip(known.lines()) {
        assert_eq!(now, known, "pkits/verdicts.txt");
    }
    assert_eq!(verdicts.lines().count(), known.lines().count());
}

/// The cases that the default rejects only because names of issuers are compared as DER. Issuers of CRLs are
/// compared so in any case, which ValidRolloverfromPrintableStringtoUTF8StringTest10 shows.
#[test]
fn names_that_differ_in_encoding_match_by_choice() {
    let Some(folder) = folder() else { return };
    let folder = Folder::read(&folder);
    let cases = all_cases(&folder.end_entities());
    let mut by_choice = Vec::new();
    for case in &cases {
        let exact = folder.decide(case, NameMatching::Exact);
        let verdict = folder.decide(case, NameMatching::Rfc5280);
        assert!(case.is_valid || verdict.is_err(), "{}", case.name());
        if verdict.is_ok() && exact.is_err() {
            by_choice.push(case.name());
        }
    }
    assert_eq!(
        by_choice,
        [
            "ValidNameChainingCapitalizationTest5",
            "ValidNameChainingWhitespaceTest3",
            "ValidNameChainingWhitespaceTest4",
            "ValidUTF8StringCaseInsensitiveMatchTest11",
        ]
    );
}

#[test]
fn without_the_suite_the_test_is_skipped() {
    assert_eq!(
        folder_at(std::path::Path::new("no-such-folder"), false),
        None
    );
}

#[test]
#[should_panic(expected = "no-such-folder is missing, and CI must not skip tests")]
fn without_the_suite_the_test_fails_in_ci() {
    folder_at(std::path::Path::new("no-such-folder"), true);
}
