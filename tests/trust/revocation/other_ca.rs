//! Lists that bear an issuer's name and are not its own.

use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::testing::{CrlBuilder, Issued, KeyType, TestCa, der};
use countersign::trust::{ChainError, ChainVerifier, Crls, StatusError};
use countersign::{Acceptor, TrustStore, Update, policy};

use super::support::{crl, crls, error, hours, says, verifier};

/// Two authorities of one name, and a leaf of each with the same serial number.
struct Namesakes {
    ours: TestCa,
    theirs: TestCa,
}

impl Namesakes {
    fn new() -> Self {
        let ours = TestCa::new("Same Name");
        let theirs = ours.same_name_other_key();
        Self { ours, theirs }
    }

    fn trust(&self) -> TrustStore {
        self.ours.trust().and(self.theirs.trust())
    }
}

const SERIAL: &[u8] = &[0x11, 0x22];

fn unknown(verifier: &ChainVerifier, peer: &Issued) -> StatusError {
    match error(verifier, peer) {
        ChainError::UnknownRevocationStatus { cause, certificate } => {
            assert_eq!(certificate, peer.certificate());
            cause
        }
        other => panic!("{other}"),
    }
}

/// Theirs is listed first or last, is newer and has the higher number: it affects no certificate.
#[test]
fn a_list_of_another_ca_of_the_same_name_affects_no_certificate() {
    let ca = Namesakes::new();
    let ours = ca.ours.leaf().serial(SERIAL).issue();
    let theirs = ca.theirs.leaf().serial(SERIAL).issue();
    let our_list = ca.ours.crl();
    let their_list = ca
        .theirs
        .crl()
        .this_update(hours(0))
        .number(99)
        .revoke(SERIAL);
    for lists in [
        [their_list.clone(), our_list.clone()],
        [our_list.clone(), their_list],
    ] {
        for trust in [ca.trust(), ca.theirs.trust().and(ca.ours.trust())] {
            let both = verifier(trust, crls(lists.clone()));
            assert_eq!(says(&both, &ours), "good");
            assert_eq!(says(&both, &theirs), "revoked");
        }
        let only_ours = verifier(ca.ours.trust(), crls(lists));
        assert_eq!(says(&only_ours, &ours), "good");
        assert_eq!(says(&only_ours, &theirs), "bad_signature");
    }
    // The other way round: theirs admits every peer, and ours does not.
    let verifier = verifier(
        ca.trust(),
        crls([ca.theirs.crl().number(99), our_list.revoke(SERIAL)]),
    );
    assert_eq!(says(&verifier, &ours), "revoked");
    assert_eq!(says(&verifier, &theirs), "good");
}

/// A list with a signature algorithm that no provider supports.
fn of_unknown_algorithm(ca: &TestCa) -> Crl {
    let mut list = ca.crl().build().to_vec();
    let sha256 = der::oid("1.2.840.10045.4.3.2");
    for at in 0..list.len() - sha256.len() {
        if list[at..].starts_with(&sha256) {
            list[at + sha256.len() - 1] = 9;
        }
    }
    Crl::from_der(&list).unwrap()
}

#[test]
fn with_a_namesakes_list_alone_the_status_is_unknown() {
    let ca = Namesakes::new();
    let (ours, theirs) = (ca.ours.leaf().issue(), ca.theirs.leaf().issue());
    let only_theirs = verifier(ca.trust(), crls([ca.theirs.crl()]));
    assert_eq!(unknown(&only_theirs, &ours), StatusError::OtherKey);
    assert_eq!(says(&only_theirs, &theirs), "good");
    let message = error(&only_theirs, &ours).to_string();
    assert!(message.contains("another key signed it"), "{message}");

    let odd = |ca: &TestCa| Crls::new([of_unknown_algorithm(ca)]).unwrap();
    let odd_of_theirs = verifier(ca.trust(), odd(&ca.theirs));
    assert_eq!(unknown(&odd_of_theirs, &ours), StatusError::OtherKey);
    let odd_of_ours = verifier(ca.trust(), odd(&ca.ours));
    let cause = unknown(&odd_of_ours, &ours);
    assert!(
        matches!(cause, StatusError::SignatureAlgorithm { .. }),
        "{cause}"
    );

    let other_name = verifier(ca.trust(), crls([TestCa::new("Other Name").crl()]));
    assert_eq!(unknown(&other_name, &ours), StatusError::NoCrl);
}

/// A list in our CA's name that another party could have made, or that was damaged.
#[test]
fn a_forged_list_counts_for_nothing() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let genuine = ca.crl().revoke(revoked.serial());
    let forge = |list: CrlBuilder| {
        let mut der = list.clone().build().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let of_other_key = ca.same_name_other_key().crl();
        let flipped = Crl::from_der(&der);
        let lists = [
            of_other_key.this_update(hours(0)).number(99),
            list.clone().signature(Vec::new()),
            list.clone().signature(vec![0x30, 6, 2, 1, 1, 2, 1, 1]),
            list.signature(vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ];
        let lists = lists.into_iter().map(crl);
        lists.chain(flipped).collect::<Vec<_>>()
    };
    for forged in forge(ca.crl().this_update(hours(0)).number(99)) {
        let alone = Crls::new([forged]).unwrap();
        let forged_only = verifier(ca.trust(), alone.clone());
        for peer in [&good, &revoked] {
            let cause = unknown(&forged_only, peer);
            assert!(
                matches!(cause, StatusError::OtherKey | StatusError::BadSignature),
                "{cause}"
            );
        }
        // It is newer, and must not displace the genuine one.
        let genuine = crls([genuine.clone()]);
        for both in [alone.clone().and(genuine.clone()), genuine.and(alone)] {
            let both = verifier(ca.trust(), both);
            assert_eq!(says(&both, &good), "good");
            assert_eq!(says(&both, &revoked), "revoked");
        }
    }
}

/// Of the lists in a known authority's name, one must be its own, and none may claim to be and not be.
#[test]
fn a_list_of_another_ca_of_the_same_name_affects_no_update_and_a_forged_one_is_rejected() {
    let Namesakes { ours, theirs } = Namesakes::new();
    let acceptor = Acceptor::builder()
        .credentials(ours.leaf().dns("server.example").issue().credentials())
        .trust(ours.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(crls([ours.crl()]))
        .build()
        .unwrap();
    let update = |lists: Vec<CrlBuilder>| {
        let update = Update::new().revocation(crls(lists));
        acceptor
            .control()
            .update(update)
            .map_err(|error| error.reason())
    };
    assert_eq!(update(vec![theirs.crl(), ours.crl()]), Ok(2));
    assert_eq!(update(vec![ours.crl(), theirs.crl().number(99)]), Ok(3));
    assert_eq!(update(vec![TestCa::new("Stranger").crl()]), Ok(4));

    let refused = Err("crl_not_by_issuer");
    assert_eq!(update(vec![theirs.crl()]), refused);
    let forged = ours.crl().number(99).signature(vec![0x30, 0]);
    assert_eq!(update(vec![forged.clone()]), refused);
    assert_eq!(update(vec![ours.crl(), forged.clone()]), refused);
    assert_eq!(update(vec![forged, theirs.crl(), ours.crl()]), refused);
    assert_eq!(update(vec![ours.crl()]), Ok(5));

    let odd = Crls::new([of_unknown_algorithm(&ours)]).unwrap();
    let update = Update::new().revocation(odd);
    let error = acceptor.control().update(update).unwrap_err();
    assert_eq!(error.reason(), "crl_signature_algorithm", "{error}");
}

#[test]
fn lists_are_verified_by_keys_of_every_type() {
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let ca = TestCa::builder("Root").key(key).root();
        let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
        let list = ca.crl().revoke(revoked.serial());
        let genuine = verifier(ca.trust(), crls([list.clone()]));
        assert_eq!(says(&genuine, &good), "good", "{key:?}");
        assert_eq!(says(&genuine, &revoked), "revoked", "{key:?}");
        let forged = verifier(ca.trust(), crls([list.signature(vec![0; 64])]));
        assert_eq!(
            unknown(&forged, &good),
            StatusError::BadSignature,
            "{key:?}"
        );
    }
}
