//! Lists along a path: authorities that may not sign them, and paths of which one is good.

use countersign::testing::{Issued, KeyUsageBits, TestCa};
use countersign::trust::{ChainError, Revocation, UnknownStatus};
use rustls_pki_types::CertificateDer;

use super::support::{certificate, crls, error, hours, says, says_of, serial, verifier};

/// rustls-webpki asks an intermediate for cRLSign, and a root for nothing: we ask both.
#[test]
fn an_issuer_without_crl_sign_signs_no_list() {
    let may = |usage: Option<KeyUsageBits>| TestCa::builder("Issuer").key_usage(usage);
    let with = Some(KeyUsageBits::KEY_CERT_SIGN | KeyUsageBits::CRL_SIGN);
    let without = Some(KeyUsageBits::KEY_CERT_SIGN);
    let root = TestCa::new("Root");
    for (usage, verdict) in [
        (with, "good"),
        (None, "good"), // no extension, no restriction
        (without, "may_not_sign_crls"),
    ] {
        let as_root = may(usage).root();
        let as_intermediate = may(usage).signed_by(&root);
        for (issuer, anchor, lists) in [
            (&as_root, &as_root, vec![as_root.crl()]),
            (
                &as_intermediate,
                &root,
                vec![root.crl(), as_intermediate.crl()],
            ),
        ] {
            let leaf = issuer.leaf().issue();
            let verifier = verifier(anchor.trust(), crls(lists));
            assert_eq!(says(&verifier, &leaf), verdict, "{issuer:?}");
            if verdict != "good" {
                let error = error(&verifier, &leaf);
                let ChainError::MayNotSignCrls { certificate } = &error else {
                    panic!("{error}")
                };
                assert_eq!(*certificate, leaf.certificate());
                let words = "\"CN=Issuer\" signed a CRL";
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
}

/// What it revokes is not good either, and `Allow` does not make its lists right.
#[test]
fn a_list_without_crl_sign_admits_no_peer() {
    let ca = TestCa::builder("Root")
        .key_usage(Some(KeyUsageBits::KEY_CERT_SIGN))
        .root();
    let (other, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let lists = crls([ca.crl().revoke(revoked.serial())]);
    let allowing = Revocation::new(lists).unknown_status(UnknownStatus::Allow);
    let verifier = verifier(ca.trust(), allowing);
    assert_eq!(says(&verifier, &revoked), "may_not_sign_crls");
    assert_eq!(says(&verifier, &other), "may_not_sign_crls");
}

#[test]
fn a_revoked_intermediate_vouches_for_no_certificate() {
    let root = TestCa::new("Root");
    let upper = root.intermediate("Upper");
    let lower = upper.intermediate("Lower");
    let leaf = lower.leaf().issue();
    let lists = || [root.crl(), upper.crl(), lower.crl()];
    assert_eq!(says(&verifier(root.trust(), crls(lists())), &leaf), "good");
    for (index, revoked) in [(0, &upper), (1, &lower)] {
        let mut lists = lists();
        lists[index] = lists[index].clone().revoke(&serial(revoked));
        let verifier = verifier(root.trust(), crls(lists));
        let ChainError::Revoked {
            certificate: of, ..
        } = error(&verifier, &leaf)
        else {
            panic!("another refusal")
        };
        assert_eq!(of, certificate(revoked), "it names the authority");
    }
    // The serial number of one issuer's certificate on the list of another means nothing.
    let [of_root, of_upper, of_lower] = lists();
    let of_root = of_root.revoke(&serial(&lower)).revoke(leaf.serial());
    let of_upper = of_upper.revoke(&serial(&upper)).revoke(leaf.serial());
    let confused = verifier(root.trust(), crls([of_root, of_upper, of_lower]));
    assert_eq!(says(&confused, &leaf), "good");
}

/// Lists of intermediates that were unknown before the peer sent them.
#[test]
fn lists_of_intermediates_that_only_the_peer_sends() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let namesake = TestCa::builder("Issuing").signed_by(&root);
    let (good, revoked) = (issuing.leaf().issue(), issuing.leaf().issue());
    let of_namesake = namesake.leaf().serial(revoked.serial()).issue();
    let list = issuing.crl().revoke(revoked.serial());
    let verifier_of = |trust| verifier(trust, crls([root.crl(), list.clone()]));
    let sent = verifier_of(root.trust());
    // In our own store it is known beforehand, and the peer may send its leaf alone.
    let stored = verifier_of(root.trust().with_intermediate(certificate(&issuing)));
    for _ in 0..2 {
        for (verifier, good, revoked) in [
            (&sent, good.clone(), revoked.clone()),
            (&stored, good.clone(), revoked.clone()),
            (&stored, good.leaf_only(), revoked.leaf_only()),
        ] {
            assert_eq!(says(verifier, &good), "good");
            assert_eq!(says(verifier, &revoked), "revoked");
            assert_eq!(says(verifier, &of_namesake), "unknown_revocation_status");
        }
    }
}

/// One authority, certified by two roots.
struct CrossSigned {
    one: TestCa,
    two: TestCa,
    by_one: TestCa,
    by_two: TestCa,
    leaf: Issued,
}

impl CrossSigned {
    fn new() -> Self {
        let (one, two) = (TestCa::new("Root One"), TestCa::new("Root Two"));
        let by_one = one.intermediate("Issuing");
        let by_two = by_one.cross_signed_by(&two);
        let leaf = by_one.leaf().issue();
        Self {
            one,
            two,
            by_one,
            by_two,
            leaf,
        }
    }

    /// The leaf with both certificates of its issuer, in either order.
    fn chains(&self) -> [Vec<CertificateDer<'static>>; 2] {
        let leaf = self.leaf.leaf_der();
        let (one, two) = (self.by_one.certificate_der(), self.by_two.certificate_der());
        [
            vec![leaf.clone(), one.clone(), two.clone()],
            vec![leaf.clone(), two, one],
        ]
    }
}

/// A revoked path does not keep another from being found.
#[test]
fn a_cross_signed_issuer_that_one_root_revoked() {
    let ca = CrossSigned::new();
    let of_one = || ca.one.crl();
    let revoked_by_one = of_one().revoke(&serial(&ca.by_one));
    let stale = of_one().this_update(hours(-9)).next_update(hours(-8));
    let issuing = ca.by_one.crl();
    for bad in [Some(revoked_by_one.clone()), Some(stale), None] {
        let lists: Vec<_> = bad
            .into_iter()
            .chain([ca.two.crl(), issuing.clone()])
            .collect();
        for trust in [
            ca.one.trust().and(ca.two.trust()),
            ca.two.trust().and(ca.one.trust()),
        ] {
            let verifier = verifier(trust, crls(lists.clone()));
            for chain in ca.chains() {
                let verified = verifier.verify(&chain, hours(0)).unwrap();
                assert_eq!(verified.certificates()[1], certificate(&ca.by_two));
            }
            // With the bad path alone, it is the bad path.
            assert_ne!(says(&verifier, &ca.leaf), "good");
        }
    }

    // Both revoke it, or its own list does: then no path is left.
    let revoked_by_two = ca.two.crl().revoke(&serial(&ca.by_two));
    let revokes_leaf = issuing.clone().revoke(ca.leaf.serial());
    for lists in [
        [revoked_by_one, revoked_by_two, issuing],
        [of_one(), ca.two.crl(), revokes_leaf],
    ] {
        let trust = ca.one.trust().and(ca.two.trust());
        let verifier = verifier(trust, crls(lists));
        for chain in ca.chains() {
            assert_eq!(says_of(&verifier, &chain), "revoked");
        }
    }
}
