//! Updates that would put an earlier list into the place of a later one.

use countersign::audit::{Action, Memory};
use countersign::identity::DnsName;
use countersign::testing::{CrlBuilder, TestCa, der};
use countersign::trust::{CrlRollback, Revocation};
use countersign::{Acceptor, BuildError, Connector, Update, policy};

use super::freshness::list;
use super::scope::{ONLY_AUTHORITIES, ONLY_END_ENTITIES, with_scope};
use super::support::{crls, hours, seconds_after};

/// A gate of either side that has these lists.
enum Door {
    Acceptor(Acceptor<DnsName>),
    Connector(Connector<DnsName>),
}

impl Door {
    fn update(&self, revocation: impl Into<Revocation>) -> Result<u64, BuildError> {
        self.apply(Update::new().revocation(revocation))
    }

    fn apply(&self, update: Update) -> Result<u64, BuildError> {
        match self {
            Self::Acceptor(acceptor) => acceptor.control().update(update),
            Self::Connector(connector) => connector.control().update(update),
        }
    }

    fn generation(&self) -> u64 {
        match self {
            Self::Acceptor(acceptor) => acceptor.control().generation(),
            Self::Connector(connector) => connector.control().generation(),
        }
    }
}

fn doors(ca: &TestCa, lists: &[CrlBuilder], trail: &Memory) -> [Door; 2] {
    let credentials = || ca.leaf().dns("a.example").issue().credentials();
    let lists = || crls(lists.iter().cloned());
    let acceptor = Acceptor::builder()
        .credentials(credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(lists())
        .audit(trail.clone());
    let connector = Connector::builder()
        .credentials(credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(lists())
        .audit(trail.clone());
    [
        Door::Acceptor(acceptor.build().unwrap()),
        Door::Connector(connector.build().unwrap()),
    ]
}

/// What an update from the first lists to the second returns: a generation, or a reason.
fn update(ca: &TestCa, from: &[CrlBuilder], to: &[CrlBuilder]) -> Result<u64, &'static str> {
    let [acceptor, connector] = doors(ca, from, &Memory::new());
    let to = || crls(to.iter().cloned());
    let results = [acceptor, connector].map(|door| door.update(to()).map_err(|e| e.reason()));
    assert_eq!(results[0], results[1]);
    results[0]
}

const REFUSED: Result<u64, &str> = Err("crl_rolled_back");

#[test]
fn an_update_to_an_earlier_crl_is_rejected_and_recorded() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    for door in doors(&ca, &[list(&ca, 1, 2)], &trail) {
        let error = door.update(crls([list(&ca, 2, 1)])).unwrap_err();
        assert!(matches!(error, BuildError::CrlRolledBack { .. }), "{error}");
        for words in [
            "CRL 01 of \"CN=Root\"",
            "is older than CRL 02",
            "Revocation::rollback(",
        ] {
            let message = error.to_string();
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
        assert_eq!(door.generation(), 1, "nothing has changed");
        let [event] = &trail.take()[..] else {
            panic!("one event");
        };
        assert_eq!(event.action, Action::ReloadRefused);
        assert_eq!(event.reason, Some("crl_rolled_back"));
        assert_eq!(event.detail, Some(error.to_string()));
        assert_eq!(event.generation, 1);

        // The twins: the same list once more, and a later one.
        assert_eq!(door.update(crls([list(&ca, 1, 2)])).unwrap(), 2);
        assert_eq!(door.update(crls([list(&ca, 0, 3)])).unwrap(), 3);
        assert!(trail.take().is_empty());
    }
}

#[test]
fn a_rollback_that_the_update_allows_is_recorded() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    for door in doors(&ca, &[list(&ca, 1, 2)], &trail) {
        let allowing = |number| {
            let lists = crls([list(&ca, 2, number)]);
            Revocation::new(lists).rollback(CrlRollback::Allow)
        };
        assert_eq!(door.update(allowing(1)).unwrap(), 2);
        let [event] = &trail.take()[..] else {
            panic!("one event");
        };
        assert_eq!(event.action, Action::CrlRolledBack);
        assert_eq!(event.reason, Some("crl_rolled_back"));
        assert_eq!(event.generation, 2);
        let detail = event.detail.as_deref().unwrap();
        assert!(detail.starts_with("CRL 01 of \"CN=Root\""), "{detail}");
        assert!(detail.contains("replaces CRL 02 of"), "{detail}");

        // What is no rollback is no event: also the same list again, without the permission.
        assert_eq!(door.update(crls([list(&ca, 2, 1)])).unwrap(), 3);
        assert_eq!(door.update(allowing(3)).unwrap(), 4);
        assert!(trail.take().is_empty());
    }
}

#[test]
fn of_one_number_the_earlier_crl_is_a_rollback() {
    let ca = TestCa::new("Root");
    let at = |seconds| {
        let time = seconds_after(hours(-2), seconds);
        ca.crl().this_update(time).number(7)
    };
    assert_eq!(update(&ca, &[at(0)], &[at(-1)]), REFUSED);
    assert_eq!(update(&ca, &[at(0)], &[at(1)]), Ok(2));
    // 256 is more than 255, however they are written.
    assert_eq!(
        update(&ca, &[list(&ca, 2, 256)], &[list(&ca, 1, 255)]),
        REFUSED
    );
    assert_eq!(
        update(&ca, &[list(&ca, 2, 255)], &[list(&ca, 1, 256)]),
        Ok(2)
    );
}

#[test]
fn crls_of_another_scope_or_key_are_no_rollback() {
    let ca = TestCa::new("Root");
    let scoped = |number, scope| with_scope(list(&ca, 1, number), &[scope]);
    let leaves = |number| scoped(number, ONLY_END_ENTITIES);
    let authorities = |number| scoped(number, ONLY_AUTHORITIES);
    assert_eq!(
        update(
            &ca,
            &[leaves(5), authorities(2)],
            &[authorities(3), leaves(6)]
        ),
        Ok(2)
    );
    assert_eq!(
        update(
            &ca,
            &[leaves(5), authorities(2)],
            &[authorities(3), leaves(4)]
        ),
        REFUSED
    );
    // The numbers of another authority of that name are its own.
    let namesake = ca.same_name_other_key();
    let of_both = |ours, theirs| [list(&ca, 1, ours), list(&namesake, 1, theirs)];
    assert_eq!(update(&ca, &of_both(1, 9), &of_both(2, 9)), Ok(2));
    assert_eq!(
        update(&ca, &of_both(1, 9), &[list(&ca, 1, 2)]),
        Ok(2),
        "a list that is left out is no rollback"
    );
    // Nor need an authority be known: its intermediate may come with a peer.
    assert_eq!(update(&ca, &of_both(1, 9), &of_both(2, 8)), REFUSED);
    let stranger = TestCa::new("Stranger");
    let with_stranger = |number| [list(&ca, 1, 1), list(&stranger, 1, number)];
    assert_eq!(update(&ca, &with_stranger(2), &with_stranger(1)), REFUSED);
    assert_eq!(update(&ca, &with_stranger(2), &with_stranger(3)), Ok(2));
    // Nor need one of two strangers of one name be the other.
    let namesake = stranger.same_name_other_key();
    let of_strangers = |one, other| {
        let of_namesake = list(&namesake, 1, other);
        [list(&ca, 1, 1), list(&stranger, 1, one), of_namesake]
    };
    for next in [of_strangers(4, 9), of_strangers(5, 8)] {
        assert_eq!(update(&ca, &of_strangers(5, 9), &next), REFUSED);
    }
    assert_eq!(update(&ca, &of_strangers(5, 9), &of_strangers(6, 9)), Ok(2));
    // Of several of its lists, the latest one counts, on both sides of the update.
    let several = |numbers: [u64; 2]| numbers.map(|number| list(&stranger, 1, number));
    for lists in [several([2, 4]), several([4, 2])] {
        assert_eq!(update(&ca, &lists, &[list(&stranger, 1, 3)]), REFUSED);
        assert_eq!(update(&ca, &lists, &[list(&stranger, 1, 4)]), Ok(2));
        assert_eq!(update(&ca, &[list(&stranger, 1, 3)], &lists), Ok(2));
    }
}

/// Leaving the list out first, or replacing something else, does not help.
#[test]
fn a_crl_that_was_left_out_is_not_replaced_with_an_earlier_one_either() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    // An authority that is known, and one that is not.
    for (kept, left_out) in [(&other, &ca), (&ca, &other)] {
        let lists = |number| [list(kept, 1, 2), list(left_out, 1, number)];
        for door in doors(&ca, &lists(5), &Memory::new()) {
            let update = |lists: &[CrlBuilder]| {
                let updated = door.update(crls(lists.iter().cloned()));
                updated.map_err(|error| error.reason())
            };
            assert_eq!(update(&[list(kept, 1, 2)]), Ok(2));
            let not_in_force = list(left_out, -24, 9);
            assert_eq!(update(&[list(kept, 1, 2), not_in_force]), Ok(3));
            door.apply(Update::new()).unwrap();
            assert_eq!(update(&lists(4)), REFUSED);
            assert_eq!(update(&lists(5)), Ok(5));
            assert_eq!(update(&lists(4)), REFUSED);
        }
        // What has expired is forgotten: every earlier list has expired before it, or should have.
        let expired = list(left_out, 48, 5).next_update(hours(-1));
        for door in doors(&ca, &[list(kept, 1, 1), expired], &Memory::new()) {
            assert_eq!(door.update(crls([list(kept, 1, 1)])).unwrap(), 2);
            assert_eq!(door.update(crls(lists(4))).unwrap(), 3);
        }
    }
}

/// Neither a delta CRL nor a CRL of another key is the successor of one that is left out.
#[test]
fn a_crl_that_was_left_out_is_remembered_beside_what_does_not_replace_it() {
    let (ca, stranger) = (TestCa::new("Root"), TestCa::new("Stranger"));
    let of_stranger = |number| [list(&ca, 1, 1), list(&stranger, 1, number)];
    let namesake = stranger.same_name_other_key();
    let delta = list(&ca, 1, 6).extension("2.5.29.27", true, &der::integer(5));
    for (before, beside, earlier) in [
        (vec![list(&ca, 1, 5)], vec![delta], vec![list(&ca, 1, 4)]),
        (
            of_stranger(5).to_vec(),
            vec![list(&ca, 1, 1), list(&namesake, 1, 9)],
            of_stranger(4).to_vec(),
        ),
    ] {
        for door in doors(&ca, &before, &Memory::new()) {
            let update = |lists: &[CrlBuilder]| {
                let updated = door.update(crls(lists.iter().cloned()));
                updated.map_err(|error| error.reason())
            };
            assert_eq!(update(&beside), Ok(2));
            assert_eq!(update(&earlier), REFUSED);
            assert_eq!(update(&before), Ok(3));
        }
    }
}

#[test]
fn only_crls_in_force_are_rolled_back() {
    let ca = TestCa::new("Root");
    let future = |number| list(&ca, -24, number);
    assert_eq!(
        update(&ca, &[future(9), list(&ca, 2, 4)], &[list(&ca, 1, 5)]),
        Ok(2),
        "9 has never counted"
    );
    assert_eq!(
        update(&ca, &[list(&ca, 1, 5)], &[future(9), list(&ca, 2, 4)]),
        REFUSED,
        "4 would count, and not 9"
    );
    assert_eq!(
        update(&ca, &[list(&ca, 1, 5)], &[list(&ca, 2, 4), list(&ca, 1, 6)]),
        Ok(2),
        "an earlier one beside a later one does not count"
    );
}
