//! Which list counts, and until when.

use std::time::Duration;

use countersign::pki::Crl;
use countersign::testing::{CrlBuilder, TestCa, der};
use countersign::trust::{Crls, ExpiredCrl, Revocation};

use super::support::{crl, crls, error, hours, says, says_at, seconds_after, verifier};

/// Issued so many hours ago, with this number.
pub(crate) fn list(ca: &TestCa, hours_ago: i64, number: u64) -> CrlBuilder {
    ca.crl().this_update(hours(-hours_ago)).number(number)
}

/// The two in either order, in every way in which lists are put together.
pub(crate) fn in_either_order(one: &CrlBuilder, other: &CrlBuilder) -> Vec<Crls> {
    let folder = |first: &CrlBuilder, second: &CrlBuilder| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.crl"), first.clone().build()).unwrap();
        std::fs::write(folder.path().join("2.crl"), second.clone().build()).unwrap();
        Crls::from_dir(folder.path()).unwrap()
    };
    [(one, other), (other, one)]
        .into_iter()
        .flat_map(|(first, second)| {
            let pem = first.clone().pem() + &second.clone().pem();
            let first_alone = Crls::from_bytes(first.clone().build().to_vec()).unwrap();
            [
                crls([first.clone(), second.clone()]),
                first_alone.and(crls([second.clone()])),
                Crls::from_bytes(pem).unwrap(),
                folder(first, second),
            ]
        })
        .collect()
}

/// A stale list listed before a fresh one must not be the one that is asked.
#[test]
fn a_fresh_list_counts_beside_a_stale_one() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let stale = list(&ca, 240, 1).next_update(hours(-72));
    let fresh = list(&ca, 1, 2).revoke(revoked.serial());
    for lists in in_either_order(&stale, &fresh) {
        assert_eq!(lists.lists().len(), 2);
        let both = verifier(ca.trust(), lists);
        assert_eq!(says(&both, &revoked), "revoked");
        assert_eq!(says(&both, &good), "good");
    }
    let stale = verifier(ca.trust(), crls([stale]));
    assert_eq!(says(&stale, &revoked), "crl_expired");
    assert_eq!(says(&stale, &good), "crl_expired");
}

/// Both are in force, and the older one has the later nextUpdate and the higher number: what
/// counts is when a list was issued.
#[test]
fn of_two_valid_lists_the_newer_counts() {
    let ca = TestCa::new("Root");
    let (held, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let older = list(&ca, 2, 9)
        .next_update(hours(999))
        .revoke(held.serial());
    let newer = list(&ca, 1, 8)
        .next_update(hours(9))
        .revoke(revoked.serial());
    for lists in in_either_order(&older, &newer) {
        let both = verifier(ca.trust(), lists);
        assert_eq!(says(&both, &held), "good", "released from its hold");
        assert_eq!(says(&both, &revoked), "revoked");
        assert_eq!(says_at(&both, &held, hours(9)), "crl_expired");
    }
    assert_eq!(says(&verifier(ca.trust(), crls([older])), &held), "revoked");
}

/// Numbers are compared as numbers: 256 is over 255 and 10 over 9, and 20 octets over all.
#[test]
fn of_two_lists_of_one_moment_the_higher_number_counts() {
    let ca = TestCa::new("Root");
    let revoked = ca.leaf().issue();
    let huge = |first: u8| {
        let octets = [&[first][..], &[0; 19]].concat();
        ca.crl().this_update(hours(-1)).without_number().extension(
            "2.5.29.20",
            false,
            &der::tlv(0x02, octets),
        )
    };
    for (lower, higher) in [
        (list(&ca, 1, 0), list(&ca, 1, 1)),
        (list(&ca, 1, 9), list(&ca, 1, 10)),
        (list(&ca, 1, 255), list(&ca, 1, 256)),
        (list(&ca, 1, 0x7fff), list(&ca, 1, 0x8000)),
        (list(&ca, 1, u64::MAX), huge(1)),
        (huge(1), huge(0x7f)),
    ] {
        let revoking = |list: &CrlBuilder| list.clone().revoke(revoked.serial());
        for lists in in_either_order(&lower, &revoking(&higher)) {
            assert_eq!(says(&verifier(ca.trust(), lists), &revoked), "revoked");
        }
        for lists in in_either_order(&revoking(&lower), &higher) {
            assert_eq!(says(&verifier(ca.trust(), lists), &revoked), "good");
        }
    }
}

#[test]
fn the_same_list_twice_is_one_list() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let list = ca.crl().revoke(revoked.serial());
    let twice = verifier(ca.trust(), crls([list.clone(), list]));
    assert_eq!(says(&twice, &good), "good");
    assert_eq!(says(&twice, &revoked), "revoked");
}

/// nextUpdate itself is the first second without the list.
#[test]
fn an_expired_list_shows_no_good_status() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let due = hours(-2);
    let lists = crls([list(&ca, 48, 1).next_update(due)]);
    let strict = verifier(ca.trust(), lists.clone());
    let message = error(&strict, &leaf).to_string();
    for words in ["is unknown", "was due to be replaced at 20", "load a newer"] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
    assert_eq!(says_at(&strict, &leaf, seconds_after(due, -1)), "good");
    assert_eq!(says_at(&strict, &leaf, due), "crl_expired");

    let with_grace = |seconds| {
        let choices = Revocation::new(lists.clone()).grace(Duration::from_secs(seconds));
        verifier(ca.trust(), choices)
    };
    let hour = with_grace(3600);
    assert_eq!(says_at(&hour, &leaf, seconds_after(due, 3599)), "good");
    assert_eq!(
        says_at(&hour, &leaf, seconds_after(due, 3600)),
        "crl_expired"
    );
    assert_eq!(says_at(&with_grace(u64::MAX), &leaf, hours(999)), "good");

    let ignored = verifier(
        ca.trust(),
        Revocation::new(lists).expired(ExpiredCrl::Ignore),
    );
    assert_eq!(says_at(&ignored, &leaf, hours(999)), "good");
}

/// Nobody is released because a list is late.
#[test]
fn what_an_expired_list_revokes_is_revoked() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let lists = crls([list(&ca, 48, 1)
        .next_update(hours(-2))
        .revoke(revoked.serial())]);
    let strict = Revocation::new(lists);
    let graceful = strict.clone().grace(Duration::from_secs(24 * 3600));
    let lax = strict.clone().expired(ExpiredCrl::Ignore);
    for (choices, twin) in [(strict, "crl_expired"), (graceful, "good"), (lax, "good")] {
        let verifier = verifier(ca.trust(), choices);
        assert_eq!(says(&verifier, &revoked), "revoked");
        assert_eq!(says(&verifier, &good), twin);
    }
}

/// UTCTime until 2049, GeneralizedTime from then on.
#[test]
fn times_of_both_encodings_are_read() {
    let ca = TestCa::new("Root");
    let list = ca
        .crl()
        .this_update(seconds_after(hours(0), i64::MIN))
        .next_update(seconds_after(hours(0), 100 * 365 * 24 * 3600));
    let parsed: Crl = crl(list.clone());
    assert_eq!(parsed.this_update().as_secs(), 0);
    assert!(parsed.next_update() > hours(99 * 365 * 24));
    assert_eq!(
        says(&verifier(ca.trust(), crls([list])), &ca.leaf().issue()),
        "good"
    );
}
