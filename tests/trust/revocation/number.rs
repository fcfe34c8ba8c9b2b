//! Lists without a number, and of version 1, under `CrlNumber::Optional`.

use countersign::identity::DnsName;
use countersign::pki::{Crl, CrlNumber};
use countersign::testing::{CrlBuilder, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Update, policy};

use super::support::{hours, says, seconds_after, verifier};

fn optional(lists: impl IntoIterator<Item = CrlBuilder>) -> Crls {
    let parse = |list: CrlBuilder| Crl::from_der_with(&list.build(), CrlNumber::Optional);
    Crls::new(lists.into_iter().map(|list| parse(list).unwrap())).unwrap()
}

#[test]
fn the_option_loads_them_and_the_error_names_it() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let list = || ca.crl().revoke(revoked.serial());
    for (list, reason) in [
        (list().without_number(), "crl_number"),
        (list().version(1), "v1_crl"),
    ] {
        let bytes = list.clone().build().to_vec();
        let error = Crls::from_bytes(bytes.clone()).unwrap_err();
        assert_eq!(error.reason(), reason);
        for words in ["CrlNumber::Optional", "--crl-number optional"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        let loader = Crls::loader().number(CrlNumber::Optional);
        let verifier = verifier(ca.trust(), loader.from_bytes(bytes).unwrap());
        assert_eq!(says(&verifier, &good), "good");
        assert_eq!(says(&verifier, &revoked), "revoked");
    }
}

/// What is wrong with a number stays an error, and so do extensions of version 1.
#[test]
fn the_option_is_about_a_missing_number_only() {
    let ca = TestCa::new("Root");
    let critical = ca.crl().without_number();
    let critical = critical.extension("2.5.29.20", true, &[2, 1, 1]);
    let version_1 = ca
        .crl()
        .version(1)
        .extension("2.5.29.20", false, &[2, 1, 1]);
    let endless = ca.crl().version(1).without_next_update();
    for (list, reason) in [
        (critical, "crl_number"),
        (version_1, "malformed_crl"),
        (endless, "crl_without_next_update"),
    ] {
        let parsed = Crl::from_der_with(&list.build(), CrlNumber::Optional);
        assert_eq!(parsed.unwrap_err().reason(), reason);
    }
}

#[test]
fn the_newest_counts_by_its_date() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().issue();
    let older = || ca.crl().this_update(hours(-2));
    let newer = || ca.crl().this_update(hours(-1));
    let cases: [(CrlBuilder, CrlBuilder); 3] = [
        (older().without_number(), newer().without_number()),
        (older().version(1), newer()),
        (older().number(9), newer().version(1)),
    ];
    for (older, newer) in cases {
        let revoking = |list: &CrlBuilder| list.clone().revoke(peer.serial());
        for lists in both_orders(revoking(&older), newer.clone()) {
            assert_eq!(says(&verifier(ca.trust(), optional(lists)), &peer), "good");
        }
        for lists in both_orders(older.clone(), revoking(&newer)) {
            let verifier = verifier(ca.trust(), optional(lists));
            assert_eq!(says(&verifier, &peer), "revoked");
        }
    }
}

/// Nothing orders two lists of one second: what either revokes is revoked.
#[test]
fn lists_of_the_same_second_count_together() {
    let ca = TestCa::new("Root");
    let (one, two, good) = (ca.leaf().issue(), ca.leaf().issue(), ca.leaf().issue());
    let list = |peer: &Issued| ca.crl().this_update(hours(-1)).revoke(peer.serial());
    for (first, second) in [
        (list(&one).without_number(), list(&two).without_number()),
        (list(&one).version(1), list(&two)),
        (list(&one), list(&two)), // the same number
    ] {
        for lists in both_orders(first, second) {
            let verifier = verifier(ca.trust(), optional(lists));
            assert_eq!(says(&verifier, &one), "revoked");
            assert_eq!(says(&verifier, &two), "revoked");
            assert_eq!(says(&verifier, &good), "good");
        }
    }
    // The twin: numbers order them.
    for lists in both_orders(list(&one).number(1), list(&two).number(2)) {
        let verifier = verifier(ca.trust(), optional(lists));
        assert_eq!(says(&verifier, &one), "good");
        assert_eq!(says(&verifier, &two), "revoked");
    }
}

#[test]
fn an_earlier_list_without_a_number_is_a_rollback() {
    let ca = TestCa::new("Root");
    let (one, two) = (ca.leaf().issue(), ca.leaf().issue());
    let of_both = |date| {
        ca.crl()
            .this_update(date)
            .revoke(one.serial())
            .revoke(two.serial())
    };
    let of_one = |date| ca.crl().this_update(date).revoke(one.serial());
    let (then, earlier, later) = (hours(-1), hours(-2), seconds_after(hours(-1), 1));
    let without_number = |list: CrlBuilder| list.without_number();
    let version_1 = |list: CrlBuilder| list.version(1);
    for (before, after, outcome) in [
        // An earlier date, with and without a number.
        (
            without_number(of_both(then)),
            without_number(of_both(earlier)),
            ROLLBACK,
        ),
        (of_both(then), version_1(of_both(earlier)), ROLLBACK),
        (
            version_1(of_both(then)),
            of_both(earlier).number(99),
            ROLLBACK,
        ),
        // The same second: it may add entries, and lose none.
        (version_1(of_both(then)), version_1(of_one(then)), ROLLBACK),
        (version_1(of_one(then)), version_1(of_both(then)), Ok(())),
        (
            version_1(of_both(then)),
            without_number(of_both(then)),
            Ok(()),
        ),
        // A later date.
        (version_1(of_both(then)), version_1(of_one(later)), Ok(())),
    ] {
        assert_eq!(update_all(&ca, vec![before], vec![after]), outcome);
    }
}

const ROLLBACK: Result<(), &str> = Err("crl_rolled_back");

/// What an update of an acceptor from the first lists to the second returns.
pub(super) fn update_all(
    ca: &TestCa,
    before: Vec<CrlBuilder>,
    after: Vec<CrlBuilder>,
) -> Result<(), &'static str> {
    let server = ca.leaf().dns("server.example").issue();
    let acceptor = Acceptor::builder()
        .credentials(server.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(optional(before))
        .build()
        .unwrap();
    let update = Update::new().revocation(optional(after));
    let outcome = acceptor.control().update(update);
    outcome.map(drop).map_err(|error| error.reason())
}

fn both_orders(one: CrlBuilder, two: CrlBuilder) -> [[CrlBuilder; 2]; 2] {
    [[one.clone(), two.clone()], [two, one]]
}
