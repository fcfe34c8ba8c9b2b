//! Lists whose thisUpdate is ahead of the clock.

use std::time::Duration;

use countersign::testing::TestCa;
use countersign::trust::{ChainError, Revocation, StatusError, UnknownStatus};

use super::freshness::{in_either_order, list};
use super::support::{certificate, crls, error, hours, says, says_at, seconds_after, verifier};

#[test]
fn a_crl_dated_in_the_future_neither_answers_nor_hides_another() {
    let ca = TestCa::new("Root");
    let (revoked, revoked_later) = (ca.leaf().issue(), ca.leaf().issue());
    let year = 365 * 24;
    let genuine = list(&ca, 1, 6).revoke(revoked.serial());
    for number in [5, 6, 7] {
        let future = list(&ca, -year, number)
            .next_update(hours(year + 48))
            .revoke(revoked_later.serial());
        for lists in in_either_order(&genuine, &future) {
            let both = verifier(ca.trust(), lists);
            assert_eq!(says(&both, &revoked), "revoked");
            assert_eq!(says(&both, &revoked_later), "good");
        }
    }
}

/// The positive twin: the same lists, when the time of the later one has come.
#[test]
fn a_crl_dated_in_the_future_counts_once_the_clock_reaches_it() {
    let ca = TestCa::new("Root");
    let (released, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let genuine = list(&ca, 1, 6).revoke(released.serial());
    let future = list(&ca, -24, 7).revoke(revoked.serial());
    for lists in in_either_order(&genuine, &future) {
        let both = verifier(ca.trust(), lists);
        for (time, of_released, of_revoked) in [
            (hours(24), "good", "revoked"),
            (seconds_after(hours(24), -300), "good", "revoked"),
            (seconds_after(hours(24), -301), "revoked", "good"),
            (hours(0), "revoked", "good"),
        ] {
            assert_eq!(says_at(&both, &released, time), of_released);
            assert_eq!(says_at(&both, &revoked, time), of_revoked);
        }
    }
}

#[test]
fn a_crl_dated_in_the_future_alone_leaves_the_status_unknown_and_is_named() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let future = || Revocation::new(crls([list(&ca, -24, 1).revoke(leaf.serial())]));
    let alone = verifier(ca.trust(), future());
    let refused = error(&alone, &leaf);
    let ChainError::UnknownRevocationStatus { ref cause, .. } = refused else {
        panic!("{refused}");
    };
    let StatusError::NotInForce { this_update, .. } = cause else {
        panic!("{cause}");
    };
    assert_eq!(*this_update, hours(24));
    let message = refused.to_string();
    for words in [
        "is not in force until 20",
        "and our clock says 20",
        "correct the clock",
    ] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
    // Neither choice about issuers without lists applies to one that has a list.
    for choices in [
        future().unknown_status(UnknownStatus::Allow),
        future().no_crl_from(&certificate(&ca)),
    ] {
        let lenient = verifier(ca.trust(), choices);
        assert_eq!(says(&lenient, &leaf), "unknown_revocation_status");
    }
    assert_eq!(says_at(&alone, &leaf, hours(24)), "revoked");
}

#[test]
fn the_clocks_may_differ_by_the_tolerance_and_no_more() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let ahead_by = |seconds| {
        let list = ca.crl().this_update(seconds_after(hours(0), seconds));
        Revocation::new(crls([list.revoke(revoked.serial())]))
    };
    let seconds = Duration::from_secs;
    for (choices, counts) in [
        (ahead_by(300), true),
        (ahead_by(301), false),
        (ahead_by(0).clock_tolerance(Duration::ZERO), true),
        (ahead_by(1).clock_tolerance(Duration::ZERO), false),
        (ahead_by(3600).clock_tolerance(seconds(3600)), true),
        (ahead_by(3601).clock_tolerance(seconds(3600)), false),
        (ahead_by(99_999_999).clock_tolerance(Duration::MAX), true),
    ] {
        let verifier = verifier(ca.trust(), choices);
        let unknown = "unknown_revocation_status";
        let (of_good, of_revoked) = if counts {
            ("good", "revoked")
        } else {
            (unknown, unknown)
        };
        assert_eq!(says(&verifier, &good), of_good);
        assert_eq!(says(&verifier, &revoked), of_revoked);
    }
}

/// A forged list hides none either, whatever its time.
#[test]
fn a_forged_crl_dated_in_the_future_is_not_waited_for() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let forged = list(&ca, -24, 9).signature(vec![0x30, 0]);
    let lists = crls([forged.clone(), list(&ca, 1, 1)]);
    assert_eq!(says(&verifier(ca.trust(), lists), &leaf), "good");
    let refused = error(&verifier(ca.trust(), crls([forged])), &leaf);
    let ChainError::UnknownRevocationStatus { cause, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(cause, StatusError::BadSignature);
}
