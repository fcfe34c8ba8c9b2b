//! The test vectors of x509-limbo, over our verifier and over plain rustls-webpki.
//!
//! limbo is strict, so our verifier runs with its strict options. Where it still disagrees, the
//! disagreement is listed with its reason in `limbo/disagreements.txt`, and it never disagrees
//! where plain rustls-webpki agrees. The vectors are in the folder `LIMBO_DIR`, or
//! `../shared/limbo`.

mod case;
mod frozen;
mod ours;
mod plain;
mod tally;

use std::path::Path;

use case::{Case, SETS, folder, folder_at, load};
use frozen::Frozen;
use ours::Options;
use tally::Tally;

#[test]
fn every_disagreement_is_known_and_plain_webpki_has_it_too() {
    let Some(folder) = folder() else { return };
    let frozen = Frozen::read(include_str!("limbo/disagreements.txt"));
    let problems = std::thread::scope(|scope| {
        let sets = SETS.map(|set| {
            let (folder, frozen) = (&folder, &frozen);
            scope.spawn(move || problems_of(set, &load(folder, set), frozen))
        });
        sets.map(|set| set.join().unwrap()).concat()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn problems_of(set: &str, cases: &[Case], frozen: &Frozen) -> Vec<String> {
    let mut problems = frozen.unknown_ids(set, cases);
    let (mut of_ours, mut of_plain) = (Tally::default(), Tally::default());
    for case in cases {
        let expected = case.expects_success();
        let ours = ours::decide(case, Options::of_case(case));
        let plain = plain::decide(case);
        of_ours.count(ours.is_ok(), expected);
        of_plain.count(plain.is_ok(), expected);

        problems.extend(frozen.compare(set, case, &ours));
        if ours.is_ok() != expected && plain.is_ok() == expected {
            problems.push(format!(
                "{set} {}: plain rustls-webpki agrees, and we do not: {ours:?}",
                case.id
            ));
        }
    }
    let count = cases.len();
    println!("{set}, {count} cases: ours {of_ours}; plain rustls-webpki {of_plain}");
    problems
}

/// Where plain rustls-webpki is more lenient than limbo, and we are not; those that are a matter
/// of choice pass by default.
#[test]
fn what_plain_webpki_accepts_is_rejected() {
    let Some(folder) = folder() else { return };
    for set in SETS {
        let cases = load(&folder, set);
        for (id, reason, by_default) in CLOSED {
            let case = cases.iter().find(|case| case.id == *id).unwrap();
            let strictly = ours::decide(case, Options::Strict);
            let refused_for = strictly.map_err(|refusal| refusal.reason);
            assert_eq!(refused_for, Err(*reason), "{set} {id}");
            let accepted = ours::decide(case, Options::Default).is_ok();
            assert_eq!(accepted, *by_default == ByDefault::Passes, "{set} {id}");
            assert_eq!(plain::decide(case), Ok(()), "{set} {id}");
        }
    }
}

#[derive(PartialEq, Eq)]
enum ByDefault {
    Refused,
    Passes,
}

const CLOSED: &[(&str, &str, ByDefault)] = &[
    (
        "rfc5280::leaf-ku-keycertsign",
        "end_entity_may_sign",
        ByDefault::Refused,
    ),
    (
        "rfc5280::root-inconsistent-ca-extensions",
        "not_an_issuer",
        ByDefault::Refused,
    ),
    (
        "crl::issuer-missing-crlsign",
        "may_not_sign_crls",
        ByDefault::Refused,
    ),
    ("crl::crlnumber-missing", "crl_number", ByDefault::Refused),
    ("crl::crlnumber-critical", "crl_number", ByDefault::Refused),
    (
        "webpki::eku::ee-without-eku",
        "wrong_extended_key_usage",
        ByDefault::Passes,
    ),
    (
        "rfc5280::san::noncritical-with-empty-subject",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::san::underscore-dns",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    ("rfc5280::serial::zero", "breaks_rfc5280", ByDefault::Passes),
    (
        "rfc5280::serial::too-long",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::ca-empty-subject",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::aki::leaf-missing-aki",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::aki::intermediate-missing-aki",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::ski::intermediate-missing-ski",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::nc::not-allowed-in-ee-critical",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::nc::not-allowed-in-ee-noncritical",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
    (
        "rfc5280::pc::ica-noncritical-pc",
        "breaks_rfc5280",
        ByDefault::Passes,
    ),
];

#[test]
fn without_the_vectors_the_test_is_skipped() {
    assert_eq!(folder_at(Path::new("no-such-folder"), false), None);
}

#[test]
#[should_panic(expected = "no-such-folder is missing, and CI must not skip tests")]
fn without_the_vectors_the_test_fails_in_ci() {
    folder_at(Path::new("no-such-folder"), true);
}
