//! A known chain is good for as long as each of its certificates and lists is, and not before.

use countersign::pki::Crl;
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::{Crls, ExpiredCrl, Revocation};
use rustls_pki_types::UnixTime;
use std::time::Duration;

use super::support::{Asked, acceptor, says};

/// Seconds after a moment at which all authorities are valid.
struct Timeline {
    start: UnixTime,
    clock: FixedClock,
}

impl Timeline {
    fn new() -> Self {
        let start = UnixTime::now();
        Self {
            start,
            clock: FixedClock::at(start),
        }
    }

    fn at(&self, second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.start.as_secs() + second))
    }
}

/// Verifies at each of these seconds; the extractor shows whether the chain was known.
#[track_caller]
fn assert_verdicts(
    time: &Timeline,
    revocation: Option<Revocation>,
    root: &TestCa,
    peer: &Issued,
    expected: &[(u64, &str, usize)],
) {
    let asked = Asked::default();
    let build = |capacity| {
        let mut builder = acceptor(root, &asked)
            .clock(time.clock.clone())
            .verification_cache(capacity);
        if let Some(revocation) = &revocation {
            builder = builder.revocation(revocation.clone());
        }
        builder.build().unwrap()
    };
    let (remembering, forgetting) = (build(4096), build(0));
    for &(second, verdict, calls) in expected {
        time.clock.set(time.at(second));
        assert_eq!(
            says(remembering.control(), peer.chain()),
            verdict,
            "at {second}"
        );
        assert_eq!(asked.take(), calls, "at {second}");
        assert_eq!(
            says(forgetting.control(), peer.chain()),
            verdict,
            "at {second}"
        );
        assert_eq!(asked.take(), usize::from(verdict == "good"), "at {second}");
    }
}

/// Both ends of a validity are in it; and a clock that goes wrong does not help.
#[test]
fn the_validity_of_the_leaf() {
    let time = Timeline::new();
    let root = TestCa::new("Root");
    let leaf = root.leaf().dns("client.example");
    let leaf = leaf.validity(time.at(100), time.at(200)).issue();
    let expected = [
        (99, "not_yet_valid", 0),
        (100, "good", 1),
        (100, "good", 0),
        (200, "good", 0),
        (201, "expired", 0),
        (1000, "expired", 0),
        (150, "good", 0),
        (99, "not_yet_valid", 0),
        (0, "not_yet_valid", 0),
        (150, "good", 0),
    ];
    assert_verdicts(&time, None, &root, &leaf, &expected);
}

#[test]
fn the_validity_of_an_intermediate() {
    let time = Timeline::new();
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing").validity(time.at(100), time.at(200));
    let issuing = issuing.signed_by(&root);
    let expected = [
        (150, "good", 1),
        (99, "not_yet_valid", 0),
        (100, "good", 0),
        (200, "good", 0),
        (201, "expired", 0),
        (200, "good", 0),
    ];
    let leaf = issuing.leaf().dns("client.example").issue();
    assert_verdicts(&time, None, &root, &leaf, &expected);
    // An upper one; and it is the shortest validity that counts.
    let lower = TestCa::builder("Lower").validity(time.at(0), time.at(300));
    let leaf = lower.signed_by(&issuing).leaf().dns("client.example");
    let leaf = leaf.validity(time.at(120), time.at(400)).issue();
    let expected = [
        (150, "good", 1),
        (200, "good", 0),
        (201, "expired", 0),
        (119, "not_yet_valid", 0),
        (120, "good", 0),
    ];
    assert_verdicts(&time, None, &root, &leaf, &expected);
}

/// A pinned certificate has a validity, too.
#[test]
fn the_validity_of_a_pin() {
    let time = Timeline::new();
    let leaf = TestCa::new("unused").leaf().dns("client.example");
    let leaf = leaf.validity(time.at(100), time.at(200)).self_signed();
    let asked = Asked::default();
    let acceptor = acceptor(&TestCa::new("Root"), &asked)
        .clock(time.clock.clone())
        .build()
        .unwrap();
    let pinned = countersign::TrustStore::empty().pin(&leaf.certificate());
    acceptor
        .control()
        .update(countersign::Update::new().trust(pinned))
        .unwrap();
    for (second, verdict, calls) in [
        (100, "good", 1),
        (200, "good", 0),
        (201, "expired", 0),
        (99, "not_yet_valid", 0),
    ] {
        time.clock.set(time.at(second));
        assert_eq!(
            says(acceptor.control(), leaf.chain()),
            verdict,
            "at {second}"
        );
        assert_eq!(asked.take(), calls, "at {second}");
    }
}

/// The first list of the path to go stale ends what is known, unless stale ones count.
#[test]
fn the_life_of_a_list() {
    let time = Timeline::new();
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.leaf().dns("client.example");
    let leaf = leaf.validity(time.at(0), time.at(1000)).issue();
    let of = |ca: &TestCa, until| Crl::from_der(&ca.crl().next_update(time.at(until)).build());
    for (of_root, of_issuing) in [(200, 300), (300, 200)] {
        let lists = [of(&root, of_root), of(&issuing, of_issuing)];
        let lists = Crls::new(lists.map(Result::unwrap)).unwrap();
        let strict = Revocation::new(lists);
        let expected = [
            (100, "good", 1),
            (199, "good", 0),
            (200, "crl_expired", 0),
            (300, "crl_expired", 0),
            (199, "good", 0),
        ];
        assert_verdicts(&time, Some(strict.clone()), &root, &leaf, &expected);
        let graceful = strict.clone().grace(Duration::from_secs(50));
        let expected = [(100, "good", 1), (249, "good", 0), (250, "crl_expired", 0)];
        assert_verdicts(&time, Some(graceful), &root, &leaf, &expected);
        let lax = strict.expired(ExpiredCrl::Ignore);
        let expected = [(100, "good", 1), (1000, "good", 0), (1001, "expired", 0)];
        assert_verdicts(&time, Some(lax), &root, &leaf, &expected);
    }
}

/// It replaces the list in force, and what was verified before that time is verified again.
#[test]
fn a_list_that_comes_into_force_later_is_consulted_then() {
    let time = Timeline::new();
    let ca = TestCa::new("Root");
    let (revoked, held) = (
        ca.leaf().dns("a.example").issue(),
        ca.leaf().dns("b.example").issue(),
    );
    let parsed = |list: countersign::testing::CrlBuilder| Crl::from_der(&list.build()).unwrap();
    let now = parsed(ca.crl().number(1).revoke(held.serial()));
    let later = ca.crl().number(2).this_update(time.at(1000));
    let later = parsed(later.revoke(revoked.serial()));
    // The tolerance is 300 seconds.
    let revocation = || Revocation::new(Crls::new([now.clone(), later.clone()]).unwrap());
    assert_verdicts(
        &time,
        Some(revocation()),
        &ca,
        &revoked,
        &[
            (0, "good", 1),
            (699, "good", 0),
            (700, "revoked", 0),
            (1000, "revoked", 0),
        ],
    );
    time.clock.set(time.start);
    assert_verdicts(
        &time,
        Some(revocation()),
        &ca,
        &held,
        &[
            (0, "revoked", 0),
            (699, "revoked", 0),
            (700, "good", 1),
            (1000, "good", 0),
            // A clock that is set back: the list is not in force any more.
            (699, "revoked", 0),
        ],
    );
}
