//! Issued certificates, verified by rustls-webpki.

mod hostile;
#[cfg(feature = "tokio")]
mod reads;

use super::*;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use std::net::IpAddr;
use std::time::Duration;
use webpki::{
    CertRevocationList, DerTypeId, EndEntityCert, Error, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationCheckDepth, RevocationOptionsBuilder,
    anchor_from_trusted_cert,
};

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs::default_provider;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring::default_provider;

fn verify(root: &TestCa, leaf: &Issued) -> Result<(), Error> {
    verify_with(root, leaf, KeyUsage::client_auth(), UnixTime::now(), None)
}

fn verify_with(
    root: &TestCa,
    leaf: &Issued,
    usage: KeyUsage,
    time: UnixTime,
    crl: Option<&CertificateRevocationListDer<'_>>,
) -> Result<(), Error> {
    let root = root.certificate_der();
    let crl: Option<CertRevocationList<'_>> = crl
        .map(|der| OwnedCertRevocationList::from_der(der))
        .transpose()?
        .map(Into::into);
    let crls: Vec<_> = crl.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build()
    });
    EndEntityCert::try_from(leaf.leaf_der())?
        .verify_for_usage(
            default_provider().signature_verification_algorithms.all,
            &[anchor_from_trusted_cert(&root)?],
            &leaf.chain()[1..],
            time,
            usage,
            revocation,
            None,
        )
        .map(|_| ())
}

fn key_types() -> &'static [KeyType] {
    use KeyType::*;
    if cfg!(feature = "aws-lc-rs") {
        &[
            P256, P384, Ed25519, Rsa2048, Rsa4096, MlDsa44, MlDsa65, MlDsa87,
        ]
    } else {
        &[P256, P384, Ed25519]
    }
}

fn count(haystack: &CertificateDer<'_>, needle: &[u8]) -> usize {
    haystack
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}

#[test]
fn chains_verify_with_every_key_type() {
    for &key in key_types() {
        let root = TestCa::builder("Root").key(key).root();
        let issuing = root.intermediate("Issuing");
        assert_eq!(root.chain_der(), []);
        assert_eq!(issuing.chain_der(), [issuing.certificate_der()]);
        for ca in [&root, &issuing] {
            let leaf = ca.leaf().dns("a.example").issue();
            assert_eq!(verify(&root, &leaf), Ok(()), "{key:?} {ca:?}");
        }
        let own = issuing.leaf().key(key).issue();
        assert_eq!(verify(&root, &own), Ok(()), "{key:?}");
        default_provider()
            .key_provider
            .load_private_key(own.key_der())
            .unwrap();
    }
}

#[test]
fn every_kind_of_name_is_accepted() {
    let root = TestCa::new("Root");
    let leaf = root
        .leaf()
        .common_name("Zoë")
        .multi_valued_rdn(&[("2.5.4.10", 0x0c, b"O"), ("2.5.4.11", 0x0c, b"OU")])
        .dns("a.example")
        .spiffe("spiffe://example.org/a")
        .email("a@example.org")
        .ip(IpAddr::from([127, 0, 0, 1]))
        .ip(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]))
        .upn("a@corp.example")
        .directory_name(&der::common_name("Dir"))
        .registered_id("1.2.3.4")
        .issue();
    assert_eq!(verify(&root, &leaf), Ok(()));
    let cert = EndEntityCert::try_from(leaf.leaf_der()).unwrap();
    assert_eq!(cert.valid_dns_names().collect::<Vec<_>>(), ["a.example"]);
    assert_eq!(
        cert.valid_uri_names().collect::<Vec<_>>(),
        ["spiffe://example.org/a"]
    );
}

#[test]
fn a_chain_needs_its_intermediates() {
    let root = TestCa::new("Root");
    let leaf = root.intermediate("One").intermediate("Two").leaf().issue();
    assert_eq!(leaf.chain().len(), 3);
    assert_eq!(verify(&root, &leaf), Ok(()));
    assert_eq!(verify(&root, &leaf.leaf_only()), Err(Error::UnknownIssuer));
}

#[test]
fn impostors_and_forgeries_are_rejected() {
    let root = TestCa::new("Root");
    let impostor = root.same_name_other_key();
    assert_eq!(impostor.subject_der(), root.subject_der());
    let bad_signature = Err(Error::InvalidSignatureForPublicKey);
    assert_eq!(verify(&root, &impostor.leaf().issue()), bad_signature);
    let forged = root.leaf().signature(vec![0x30, 0x00]).issue();
    assert_eq!(verify(&root, &forged), bad_signature);
    let own = root.leaf().common_name("me").self_signed();
    assert_eq!(own.chain().len(), 1);
    assert_eq!(verify(&root, &own), Err(Error::UnknownIssuer));
}

#[test]
fn usages_constraints_and_times_are_enforced() {
    let root = TestCa::new("Root");
    assert_eq!(verify(&root, &root.leaf().client_only().issue()), Ok(()));
    assert!(matches!(
        verify(&root, &root.leaf().server_only().issue()),
        Err(Error::RequiredEkuNotFoundContext(_))
    ));
    let none = root.leaf().extended_key_usage(None).key_usage(None);
    assert_eq!(verify(&root, &none.basic_constraints(None).issue()), Ok(()));
    assert_eq!(
        verify(&root, &root.leaf().ca().issue()),
        Err(Error::CaUsedAsEndEntity)
    );
    assert!(matches!(
        verify(&root, &root.leaf().expired().issue()),
        Err(Error::CertExpired { .. })
    ));
    assert!(matches!(
        verify(&root, &root.leaf().not_yet_valid().issue()),
        Err(Error::CertNotValidYet { .. })
    ));
    let short = TestCa::builder("Short").path_len(Some(0)).signed_by(&root);
    assert_eq!(verify(&root, &short.leaf().issue()), Ok(()));
    assert_eq!(
        verify(&root, &short.intermediate("Too deep").leaf().issue()),
        Err(Error::PathLenConstraintViolated)
    );
    let fake = TestCa::builder("Fake")
        .no_basic_constraints()
        .signed_by(&root);
    assert_eq!(
        verify(&root, &fake.leaf().issue()),
        Err(Error::EndEntityUsedAsCa)
    );
    let limited = TestCa::builder("Limited")
        .extended_key_usage(&["1.3.6.1.5.5.7.3.1"])
        .signed_by(&root);
    assert!(verify(&root, &limited.leaf().issue()).is_err());
    // permittedSubtrees: dNSName "ok.example".
    let subtree = der::sequence(&[der::tlv(0x82, "ok.example")]);
    let constrained = TestCa::builder("Constrained")
        .name_constraints(&der::sequence(&[der::tlv(0xa0, subtree)]))
        .signed_by(&root);
    let inside = constrained.leaf().dns("a.ok.example").issue();
    assert_eq!(verify(&root, &inside), Ok(()));
    assert_eq!(
        verify(&root, &constrained.leaf().dns("a.example").issue()),
        Err(Error::NameConstraintViolation)
    );
}

#[test]
fn certificates_after_2049_verify() {
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    let (start, middle, end) = (at(2_524_607_000), at(2_600_000_000), at(2_700_000_000));
    let root = TestCa::builder("Root").validity(start, end).root();
    let leaf = root.leaf().validity(start, end).issue();
    let usage = KeyUsage::client_auth();
    assert_eq!(verify_with(&root, &leaf, usage, middle, None), Ok(()));
}

#[test]
fn version_1_is_rejected() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().version(1).dns("a.example").issue();
    assert_eq!(count(leaf.leaf_der(), b"a.example"), 0);
    assert_eq!(verify(&root, &leaf), Err(Error::UnsupportedCertVersion));
    let odd = root.leaf().version(1).extension("1.2.3", false, b"here");
    assert_eq!(count(odd.issue().leaf_der(), b"here"), 1);
    // A v1 root is a valid anchor.
    let old = TestCa::builder("Old").version(1).root();
    assert_eq!(verify(&old, &old.leaf().issue()), Ok(()));
}

#[test]
fn crls_verify_and_revoke() {
    let (usage, now) = (KeyUsage::client_auth(), UnixTime::now());
    for &key in &key_types()[..3] {
        let root = TestCa::builder("Root").key(key).root();
        let (good, bad) = (root.leaf().issue(), root.leaf().issue());
        assert_ne!(good.serial(), bad.serial());
        let check =
            |leaf, crl: CrlBuilder| verify_with(&root, leaf, usage, now, Some(&crl.build()));
        let crl = root.crl().number(300).revoke(bad.serial());
        assert_eq!(check(&good, root.crl()), Ok(()));
        assert_eq!(check(&good, crl.clone()), Ok(()));
        assert_eq!(check(&bad, crl.clone()), Err(Error::CertRevoked));
        let forged = Err(Error::InvalidCrlSignatureForPublicKey);
        assert_eq!(check(&bad, crl.signature(vec![0])), forged);
        assert_eq!(check(&good, root.same_name_other_key().crl()), forged);
        let odd = root.crl().extension("1.2.3", true, b"");
        assert_eq!(check(&good, odd), Err(Error::UnsupportedCriticalExtension));
        let stale = root
            .crl()
            .this_update(tbs::from_now(-2 * tbs::HOUR))
            .next_update(tbs::from_now(-tbs::HOUR));
        assert!(matches!(check(&good, stale), Err(Error::CrlExpired { .. })));
    }
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("No CRLs")
        .key_usage(Some(KeyUsageBits::KEY_CERT_SIGN))
        .signed_by(&root);
    let leaf = issuing.leaf().issue();
    assert_eq!(
        verify_with(&root, &leaf, usage, now, Some(&issuing.crl().build())),
        Err(Error::IssuerNotCrlSigner)
    );
    assert!(
        issuing
            .crl()
            .pem()
            .starts_with("-----BEGIN X509 CRL-----\nMI")
    );
}

#[test]
fn malformed_crls_are_built_as_given() {
    let root = TestCa::new("Root");
    let read = |crl: CrlBuilder| OwnedCertRevocationList::from_der(&crl.build()).map(drop);
    let reason = |reason: u8| der::extension("2.5.29.21", false, &[10, 1, reason]);
    for (crl, expected) in [
        (root.crl().version(2), Ok(())),
        (root.crl().version(3), Err(Error::UnsupportedCrlVersion)),
        (root.crl().version(1), Err(Error::BadDer)),
        // The next element is not a time.
        (
            root.crl().without_next_update(),
            Err(Error::TrailingData(DerTypeId::Time)),
        ),
        (root.crl().without_number(), Ok(())),
        (
            root.crl()
                .without_number()
                .extension("2.5.29.20", false, &der::tlv(2, [1; 21])),
            Err(Error::InvalidCrlNumber),
        ),
        (root.crl().revoke_with(&[5], &[reason(1)]), Ok(())),
        (
            root.crl().revoke_with(&[5], &[reason(7)]),
            Err(Error::UnsupportedRevocationReason),
        ),
    ] {
        let shown = format!("{crl:?}");
        assert_eq!(read(crl), expected, "{shown}");
    }
    // A v1 list has no authority key identifier.
    let identifiers = |crl: CrlBuilder| {
        let der = crl.build();
        der.windows(3).filter(|oid| *oid == [0x55, 29, 35]).count()
    };
    assert_eq!(identifiers(root.crl()), 1);
    assert_eq!(identifiers(root.crl().version(1)), 0);
}

#[test]
fn a_cross_signed_authority_is_one_authority() {
    let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
    let by_one = one.intermediate("Issuing");
    let by_two = by_one.cross_signed_by(&two);
    assert_ne!(by_one.certificate_der(), by_two.certificate_der());
    assert_eq!(by_one.subject_der(), by_two.subject_der());
    for (root, issuing, other) in [(&one, &by_one, &two), (&two, &by_two, &one)] {
        let leaf = issuing.leaf().issue();
        assert_eq!(verify(root, &leaf), Ok(()));
        assert_eq!(verify(other, &leaf), Err(Error::UnknownIssuer));
    }
    // A leaf of one is a leaf of the other too: only the chain differs.
    let mut leaf = by_one.leaf().issue();
    leaf.chain[1] = by_two.certificate_der();
    assert_eq!(verify(&two, &leaf), Ok(()));
}

#[test]
fn debug_does_not_print_the_key() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().serial(&[0x12, 0xab]).issue();
    assert_eq!(
        format!("{leaf:?}"),
        "Issued { certificates: 1, serial: [12, ab], .. }"
    );
    assert!(format!("{:?} {:?}", root, root.leaf()).len() < 250);
    assert!(leaf.key_pem().starts_with("-----BEGIN PRIVATE KEY-----\nM"));
    assert_eq!(leaf.chain_pem().matches("BEGIN CERTIFICATE").count(), 1);
}

#[test]
fn all_types_are_send() {
    fn check<T: Send>() {}
    fn check_shared<T: Send + Sync>() {}
    check::<LeafBuilder>();
    check_shared::<(TestCa, TestCaBuilder, CrlBuilder, Issued, FixedClock)>();
}
