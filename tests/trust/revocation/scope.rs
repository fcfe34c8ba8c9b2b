//! Lists that are about some of their issuer's certificates (RFC 5280 section 5.2.5).

use countersign::testing::{CrlBuilder, Issued, TestCa, der};
use countersign::trust::{ChainError, ChainVerifier, StatusError};

use super::support::{crls, error, hours, says, serial, verifier};

/// Fields of an issuing distribution point.
pub(crate) const ONLY_END_ENTITIES: &[u8] = &[0x81, 1, 0xff];
pub(crate) const ONLY_AUTHORITIES: &[u8] = &[0x82, 1, 0xff];

pub(crate) fn with_scope(list: CrlBuilder, fields: &[&[u8]]) -> CrlBuilder {
    list.extension("2.5.29.28", true, &der::sequence(fields))
}

/// `DistributionPointName` with these names in full, as a field of either extension.
pub(crate) fn at(names: &[Vec<u8>]) -> Vec<u8> {
    der::tlv(0xa0, der::tlv(0xa0, names.concat()))
}

pub(crate) fn uri(text: &str) -> Vec<u8> {
    der::tlv(0x86, text)
}

const ONE: &str = "http://crl.example/1.crl";
const TWO: &str = "http://crl.example/2.crl";
const ELSEWHERE: &str = "ldap://directory.example/cn=list";

/// The list that is published at this place only.
fn shard(ca: &TestCa, place: &str) -> CrlBuilder {
    with_scope(ca.crl(), &[&at(&[uri(place)])])
}

/// A leaf whose certificate names these distribution points.
fn leaf(ca: &TestCa, points: &[Vec<u8>]) -> Issued {
    let value = der::sequence(points);
    ca.leaf().extension("2.5.29.31", false, &value).issue()
}

fn point(fields: &[&[u8]]) -> Vec<u8> {
    der::sequence(fields)
}

#[track_caller]
fn assert_out_of_scope(verifier: &ChainVerifier, peer: &Issued) {
    let error = error(verifier, peer);
    let is_it = matches!(
        error,
        ChainError::UnknownRevocationStatus {
            cause: StatusError::OutOfScope { .. }
                | StatusError::OtherKind { .. }
                | StatusError::SomeReasons { .. },
            ..
        }
    );
    assert!(is_it, "{error}");
}

/// Lists for end entities and for authorities are asked about their own kind only.
#[test]
fn lists_by_kind_of_certificate() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let below = issuing.leaf().issue();
    let direct = root.leaf().issue();
    let users = || with_scope(root.crl(), &[ONLY_END_ENTITIES]);
    let authorities = || with_scope(root.crl(), &[ONLY_AUTHORITIES]);
    let with = |lists: Vec<CrlBuilder>| {
        let lists = lists.into_iter().chain([issuing.crl()]);
        verifier(root.trust(), crls(lists))
    };

    let only_users = with(vec![users()]);
    assert_eq!(says(&only_users, &direct), "good");
    assert_out_of_scope(&only_users, &below);
    let only_authorities = with(vec![authorities()]);
    assert_out_of_scope(&only_authorities, &direct);
    assert_eq!(says(&only_authorities, &below), "good");

    for lists in [vec![users(), authorities()], vec![authorities(), users()]] {
        let both = with(lists);
        assert_eq!(says(&both, &direct), "good");
        assert_eq!(says(&both, &below), "good");
    }
    let issuing_serial = serial(&issuing);
    let revoked = with(vec![users(), authorities().revoke(&issuing_serial)]);
    assert_eq!(says(&revoked, &direct), "good");
    assert_eq!(says(&revoked, &below), "revoked");
    let revoked = with(vec![users().revoke(direct.serial()), authorities()]);
    assert_eq!(says(&revoked, &direct), "revoked");
    assert_eq!(says(&revoked, &below), "good");
}

/// A newer list of one scope does not displace the list of another.
#[test]
fn a_list_gives_way_to_one_of_its_own_scope_only() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().issue();
    let revoking = with_scope(root.crl(), &[ONLY_END_ENTITIES]).revoke(leaf.serial());
    let newer = || root.crl().this_update(hours(0)).number(9);
    let of_authorities = with_scope(newer(), &[ONLY_AUTHORITIES]);
    let of_all = newer();
    let of_users = with_scope(newer(), &[ONLY_END_ENTITIES]);
    for (newer, verdict) in [
        (of_authorities, "revoked"),
        (of_all, "revoked"),
        (of_users, "good"),
    ] {
        for lists in [
            [revoking.clone(), newer.clone()],
            [newer.clone(), revoking.clone()],
        ] {
            assert_eq!(says(&verifier(root.trust(), crls(lists)), &leaf), verdict);
        }
    }
}

#[test]
fn a_shard_counts_for_the_certificates_that_name_its_place() {
    let ca = TestCa::new("Root");
    let of_one = leaf(&ca, &[point(&[&at(&[uri(ONE)])])]);
    let of_two = leaf(&ca, &[point(&[&at(&[uri(TWO)])])]);
    let both = verifier(ca.trust(), crls([shard(&ca, ONE), shard(&ca, TWO)]));
    assert_eq!(says(&both, &of_one), "good");
    assert_eq!(says(&both, &of_two), "good");

    let only_one = verifier(ca.trust(), crls([shard(&ca, ONE)]));
    assert_eq!(says(&only_one, &of_one), "good");
    assert_out_of_scope(&only_one, &of_two);

    let revoked = shard(&ca, ONE).revoke(of_one.serial());
    let revoking = verifier(ca.trust(), crls([shard(&ca, TWO), revoked]));
    assert_eq!(says(&revoking, &of_one), "revoked");
    assert_eq!(says(&revoking, &of_two), "good");

    // A stale shard stops its own certificates only.
    let stale = shard(&ca, ONE)
        .this_update(hours(-9))
        .next_update(hours(-8));
    let one_stale = verifier(ca.trust(), crls([stale, shard(&ca, TWO)]));
    assert_eq!(says(&one_stale, &of_one), "crl_expired");
    assert_eq!(says(&one_stale, &of_two), "good");
}

/// A place can have several names on either side; one in common is enough, and of the kind that
/// makes a list complete for the certificate.
#[test]
fn one_name_in_common_is_enough() {
    let ca = TestCa::new("Root");
    let several = at(&[uri(ELSEWHERE), der::tlv(0x82, "a.example"), uri(ONE)]);
    let several = verifier(ca.trust(), crls([with_scope(ca.crl(), &[&several])]));
    let one = verifier(ca.trust(), crls([shard(&ca, ONE)]));
    let here = at(&[uri(ONE)]);
    let there = at(&[uri(TWO)]);
    for (points, in_scope) in [
        (vec![point(&[&here])], true),
        (vec![point(&[&at(&[uri(TWO), uri(ONE)])])], true),
        (vec![point(&[&there]), point(&[&here])], true),
        (vec![point(&[&there])], false),
        (
            vec![point(&[&at(&[uri("http://crl.example/1.crl/")])])],
            false,
        ),
        (
            vec![point(&[&at(&[uri("HTTP://crl.example/1.crl")])])],
            false,
        ),
        // The same text, but as a DNS name.
        (vec![point(&[&at(&[der::tlv(0x82, ONE)])])], false),
        // Beside a name of a kind that is, and of one that is not.
        (
            vec![point(&[&at(&[der::tlv(0x88, [0x2a]), uri(ONE)])])],
            true,
        ),
        (vec![point(&[&at(&[uri(ONE), der::tlv(0x89, "x")])])], false),
        // Relative to the issuer's name.
        (vec![point(&[&der::tlv(0xa0, der::tlv(0xa1, []))])], false),
        // There is only what was revoked for some reasons.
        (vec![point(&[&here, &[0x81, 2, 5, 0x60]])], false),
        // It is another issuer's list.
        (
            vec![point(&[
                &here,
                &der::tlv(0xa2, der::tlv(0xa4, ca.subject_der())),
            ])],
            false,
        ),
        // No distribution point at all, an empty one, and no DER.
        (vec![], false),
        (vec![point(&[])], false),
        (vec![here.clone()], false),
        (vec![point(&[&here]), vec![0x30]], false),
    ] {
        let peer = leaf(&ca, &points);
        for verifier in [&one, &several] {
            if in_scope {
                assert_eq!(says(verifier, &peer), "good", "{points:02x?}");
            } else {
                assert_out_of_scope(verifier, &peer);
            }
        }
    }
}

/// It may be on any of them, and any that revokes it counts.
#[test]
fn a_certificate_that_names_no_place_is_looked_up_in_every_shard() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let two = shard(&ca, TWO).revoke(revoked.serial());
    let both = verifier(ca.trust(), crls([shard(&ca, ONE), two]));
    assert_eq!(says(&both, &good), "good");
    assert_eq!(says(&both, &revoked), "revoked");
}

/// The list of everything is about certificates with distribution points, too.
#[test]
fn a_list_without_a_scope_is_about_everything() {
    let ca = TestCa::new("Root");
    let peer = leaf(&ca, &[point(&[&at(&[uri(TWO)])])]);
    assert_eq!(says(&verifier(ca.trust(), crls([ca.crl()])), &peer), "good");
    let revoking = crls([shard(&ca, ONE), ca.crl().revoke(peer.serial())]);
    assert_eq!(says(&verifier(ca.trust(), revoking), &peer), "revoked");
    // FALSE, spelled out against DER's default, is no restriction.
    let spelled_out = with_scope(ca.crl(), &[&[0x84, 1, 0], &[0x85, 1, 0]]);
    assert_eq!(
        says(&verifier(ca.trust(), crls([spelled_out])), &peer),
        "good"
    );
}
