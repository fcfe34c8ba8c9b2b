//! Issuers of CRLs that are not the issuer's own key: separate keys for CRLs, indirect CRLs.

use countersign::testing::{Issued, KeyUsageBits, TestCa, TestCaBuilder, der};
use rustls_pki_types::CertificateDer;

use super::scope::with_scope;
use super::support::{crls, hours, says_of, verifier};

/// A certificate for CRLs only.
fn for_crls(name: &str) -> TestCaBuilder {
    TestCa::builder(name)
        .key_usage(Some(KeyUsageBits::CRL_SIGN))
        .no_basic_constraints()
}

/// The peer's chain, and certificates of CRL issuers.
fn with<'a>(peer: &Issued, issuers: &[&'a TestCa]) -> Vec<CertificateDer<'a>> {
    let mut chain: Vec<CertificateDer<'a>> = peer
        .chain()
        .iter()
        .map(|der| der.clone().into_owned())
        .collect();
    chain.extend(issuers.iter().map(|issuer| issuer.certificate_der()));
    chain
}

#[test]
fn an_authority_may_have_a_separate_key_for_crls() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let (good, revoked) = (issuing.leaf().issue(), issuing.leaf().issue());
    let signer = for_crls("Issuing").signed_by(&root);
    let lists = || [root.crl(), signer.crl().revoke(revoked.serial())];
    let separate = verifier(root.trust(), crls(lists()));
    assert_eq!(says_of(&separate, &with(&good, &[&signer])), "good");
    assert_eq!(says_of(&separate, &with(&revoked, &[&signer])), "revoked");
    // Without its certificate, the key is unknown.
    let unknown = "unknown_revocation_status";
    assert_eq!(says_of(&separate, good.chain()), unknown);
    // A revoked signer is none.
    let serial = super::support::serial(&signer);
    let [of_root, of_signer] = lists();
    let revoked_signer = verifier(root.trust(), crls([of_root.revoke(&serial), of_signer]));
    assert_eq!(
        says_of(&revoked_signer, &with(&good, &[&signer])),
        "unknown_revocation_status"
    );
}

/// Another authority of the same name, one of another root, and one below do not answer.
#[test]
fn not_every_key_of_the_name_counts() {
    let (root, stranger) = (TestCa::new("Root"), TestCa::new("Root"));
    let issuing = root.intermediate("Issuing");
    let good = issuing.leaf().issue();
    let namesake = TestCa::builder("Issuing").signed_by(&root);
    let of_stranger = for_crls("Issuing").signed_by(&stranger);
    let may_not = TestCa::builder("Issuing")
        .key_usage(Some(KeyUsageBits::DIGITAL_SIGNATURE))
        .no_basic_constraints()
        .signed_by(&root);
    let expired = for_crls("Issuing")
        .validity(hours(-9), hours(-1))
        .signed_by(&root);
    // Its certificate names another issuer than the one that signed it.
    let misnamed = for_crls("Issuing").map_tbs(|mut tbs| {
        let found = tbs.windows(4).position(|part| part == b"Root");
        tbs[found.unwrap()] = b'B';
        tbs
    });
    let misnamed = misnamed.signed_by(&root);
    for signer in [namesake, of_stranger, may_not, expired, misnamed] {
        let verifier = verifier(root.trust(), crls([root.crl(), signer.crl()]));
        let chain = with(&good, &[&signer]);
        assert_eq!(says_of(&verifier, &chain), "unknown_revocation_status");
    }
    // The issuing authority certifies a key in the name of the root, to vouch for its own status.
    let below = for_crls("Root").signed_by(&issuing);
    let own = verifier(root.trust(), crls([issuing.crl(), below.crl()]));
    let chain = with(&good, &[&below]);
    assert_eq!(says_of(&own, &chain), "unknown_revocation_status");
    // An issuer of CRLs does not vouch for its own status.
    let signer = for_crls("Issuing").signed_by(&issuing);
    let own = verifier(root.trust(), crls([root.crl(), signer.crl()]));
    let chain = with(&good, &[&signer]);
    assert_eq!(says_of(&own, &chain), "unknown_revocation_status");
}

/// The new key has a certificate by the old one, which still signs the CRLs.
#[test]
fn the_former_key_of_the_same_authority_answers() {
    let root = TestCa::new("Root");
    let old = root.intermediate("Issuing");
    let new = TestCa::builder("Issuing").signed_by(&old);
    let (good, revoked) = (new.leaf().issue(), new.leaf().issue());
    let by_old = old.crl().revoke(revoked.serial());
    let verifier = verifier(root.trust(), crls([root.crl(), by_old]));
    assert_eq!(says_of(&verifier, good.chain()), "good");
    assert_eq!(says_of(&verifier, revoked.chain()), "revoked");
}

#[test]
fn a_distribution_point_may_name_another_issuer() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let lists = for_crls("Lists").signed_by(&root);
    let name = |ca: &TestCa| der::tlv(0xa4, ca.subject_der());
    let points = der::sequence(&[der::sequence(&[der::tlv(0xa2, name(&lists))])]);
    let leaf = || {
        issuing
            .leaf()
            .extension("2.5.29.31", false, &points)
            .issue()
    };
    let (good, revoked, unnamed) = (leaf(), leaf(), issuing.leaf().issue());
    let issuer = der::extension("2.5.29.29", true, &der::sequence(&[name(&issuing)]));
    let entry = |list: countersign::testing::CrlBuilder| {
        list.revoke_with(revoked.serial(), std::slice::from_ref(&issuer))
    };
    let indirect = || entry(with_scope(lists.crl(), &[&[0x84, 1, 0xff]]));
    let verifier_of = |list| verifier(root.trust(), crls([root.crl(), list]));
    let by_lists = verifier_of(indirect());
    assert_eq!(says_of(&by_lists, &with(&good, &[&lists])), "good");
    assert_eq!(says_of(&by_lists, &with(&revoked, &[&lists])), "revoked");
    let unknown = "unknown_revocation_status";
    // The certificate does not name that issuer, or the list is not indirect.
    assert_eq!(says_of(&by_lists, &with(&unnamed, &[&lists])), unknown);
    let direct = verifier_of(lists.crl());
    assert_eq!(says_of(&direct, &with(&good, &[&lists])), unknown);
}
