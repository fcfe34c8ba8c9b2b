//! Paths through a PKI with cross-certificates, loops, namesakes and CRLs, for several trust domains and by
//! both profiles: what is admitted, rustls-webpki and OpenSSL admit also; what only we reject has a
//! documented reason.
#![no_main]

mod shared;

use countersign::Certificate;
use countersign::Side;
use countersign::identity::{IdentityExtractor as _, SpiffeId};
use countersign::pki::Crl;
use countersign::trust::{Anchor, ChainError, VerifiedChain};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use shared::pki;
#[cfg(feature = "openssl")]
use shared::pki::OF_ANOTHER;
use shared::pki::{
    BY_DOMAIN, Chosen, LEAF_ONLY, MORE_INTERMEDIATES, PKI, STRICT, UNKNOWN_IS_GOOD, URIS,
};
use shared::text::refused;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

fuzz_target!(|input: &[u8]| {
    let Some(chosen) = PKI.choose(input) else {
        return;
    };
    let Some(verifier) = chosen.verifier() else {
        return;
    };
    let ours = verifier.verify(&chosen.chain, chosen.now);
    let theirs = webpki(&chosen, None);
    match &ours {
        Ok(chain) => {
            // The library stops after a number of signatures, and has no path building of ours before it.
            let has_given_up = matches!(
                theirs,
                Err(webpki::Error::MaximumSignatureChecksExceeded
                    | webpki::Error::MaximumPathBuildCallsExceeded)
            );
            // It rejects every URI below a constraint of URIs, which we compare (RFC 5280 section
            // 4.2.1.10). OpenSSL does, too.
            let mut issuers = chain.certificates().iter().skip(1);
            let has_uri_constraint = issuers
                .any(|it| it.subject().to_string() == format!("CN={URIS}"))
                && rejects_a_name(&only(&chosen, chain));
            assert!(
                theirs.is_ok() || has_given_up || has_uri_constraint,
                "{theirs:?}: {chain:?}"
            );
            path_is_whole(&chosen, chain);
            not_revoked(&chosen, chain);
            #[cfg(feature = "openssl")]
            by_openssl(&chosen, chain);
        }
        Err(error) => {
            refused(error);
            if theirs.is_ok() {
                stricter(&chosen, error);
            }
        }
    }
    // The verdict depends on nothing but the input.
    assert_eq!(
        verifier.verify(&chosen.chain, chosen.now).is_ok(),
        ours.is_ok()
    );
});

/// The verdict of rustls-webpki, without CRLs or with one.
fn webpki(chosen: &Chosen, crl: Option<&CertRevocationList<'_>>) -> Result<(), webpki::Error> {
    let mut chain = chosen.chain.clone();
    if chain.is_empty() {
        return Err(webpki::Error::BadDer);
    }
    if chosen.has(MORE_INTERMEDIATES) {
        chain.push(pki::more().der().clone().into_owned());
    }
    let (leaf, intermediates) = chain.split_first().expect("not empty");
    let leaf_read = Certificate::from_der(leaf).ok();
    let anchors: Vec<TrustAnchor<'_>> = roots_of(chosen, leaf_read.as_ref())
        .iter()
        .map(|root| webpki::anchor_from_trusted_cert(root).expect("a root"))
        .collect();
    let usage = match chosen.side {
        Side::Client => KeyUsage::client_auth(),
        _ => KeyUsage::server_auth(),
    };
    let lists: Vec<_> = crl.into_iter().collect();
    let depth = if chosen.has(LEAF_ONLY) {
        RevocationCheckDepth::EndEntity
    } else {
        RevocationCheckDepth::Chain
    };
    let options = RevocationOptionsBuilder::new(&lists).ok();
    let options = options.map(|options| {
        options
            .with_depth(depth)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Ignore)
            .build()
    });
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            algorithms.all,
            &anchors,
            intermediates,
            chosen.now,
            usage,
            options,
            None,
        )
        .map(drop)
}

/// The roots that count for this leaf.
fn roots_of<'c>(chosen: &'c Chosen, leaf: Option<&Certificate>) -> &'c [CertificateDer<'static>] {
    let domain = leaf.and_then(|leaf| SpiffeId::extractor().extract(leaf).ok());
    chosen.roots_for(domain.as_ref().map(|id| id.trust_domain().as_str()))
}

/// Below one of its roots, a choice with one path has a name that rustls-webpki does not permit. With several
/// roots, its error is the one of the last.
fn rejects_a_name(only: &Chosen) -> bool {
    only.roots.iter().any(|root| {
        let below = Chosen {
            roots: vec![root.clone()],
            chain: only.chain.clone(),
            crls: Vec::new(),
            ..*only
        };
        webpki(&below, None) == Err(webpki::Error::NameConstraintViolation)
    })
}

/// The path begins with the leaf, has no certificate twice, and only those that were presented or configured.
fn path_is_whole(chosen: &Chosen, chain: &VerifiedChain) {
    let path: Vec<&[u8]> = chain
        .certificates()
        .iter()
        .map(|it| it.der().as_ref())
        .collect();
    assert_eq!(path[0], chosen.chain[0].as_ref());
    for (place, der) in path.iter().enumerate() {
        assert!(!path[..place].contains(der), "twice on a path");
        let is_configured = chosen.has(MORE_INTERMEDIATES) && pki::more().der().as_ref() == *der;
        assert!(is_configured || chosen.chain.iter().any(|given| given.as_ref() == *der));
    }
    for pair in chain.certificates().windows(2) {
        assert_eq!(pair[0].issuer(), pair[1].subject());
    }
    assert!(
        chain
            .certificates()
            .iter()
            .all(|it| it.not_after() >= chain.not_after())
    );
    assert!(chain.not_after() >= chosen.now);
}

/// The choice with the certificates of our path alone, as rustls-webpki is free to find another one.
fn only(chosen: &Chosen, chain: &VerifiedChain) -> Chosen {
    let path = chain.certificates().iter();
    Chosen {
        flags: chosen.flags & !MORE_INTERMEDIATES & !BY_DOMAIN,
        chain: path.map(|it| it.der().clone().into_owned()).collect(),
        roots: roots_of(chosen, chain.certificates().first()).to_vec(),
        crls: Vec::new(),
        ..*chosen
    }
}

/// A CRL that rustls-webpki finds a certificate of the path on is not the only one of its issuer.
fn not_revoked(chosen: &Chosen, chain: &VerifiedChain) {
    let read: Vec<Crl> = chosen
        .crls
        .iter()
        .filter_map(|der| Crl::from_der(der).ok())
        .collect();
    if read.is_empty() {
        return;
    }
    if !chosen.has(UNKNOWN_IS_GOOD) {
        // Each has a list of its issuer.
        let depth = if chosen.has(LEAF_ONLY) {
            1
        } else {
            chain.certificates().len()
        };
        for certificate in &chain.certificates()[..depth] {
            assert!(
                read.iter()
                    .any(|list| list.issuer() == certificate.issuer())
            );
        }
    }
    let only = only(chosen, chain);
    for der in &chosen.crls {
        let (Ok(list), Ok(theirs)) = (Crl::from_der(der), OwnedCertRevocationList::from_der(der))
        else {
            continue;
        };
        if list.this_update() > chosen.now {
            continue;
        }
        let found = webpki(&only, Some(&theirs.into()));
        if matches!(found, Err(webpki::Error::CertRevoked)) {
            let others = read.iter().filter(|other| other.issuer() == list.issuer());
            assert!(
                others.count() > 1,
                "revoked by {list}, and accepted: {chain:?}"
            );
        }
    }
}

/// What we reject and rustls-webpki accepts, by the rules that the manual has.
fn stricter(chosen: &Chosen, error: &ChainError) {
    let is_documented = match error.reason() {
        // No handshake can be signed with such a key, or the key can sign certificates.
        "no_digital_signature" | "end_entity_may_sign" | "ca_as_end_entity" => true,
        "chain_too_long" => chosen.chain.len() > 10,
        // Certificates beside the path are read too.
        "malformed_certificate" | "v1_certificate" => true,
        "no_trust_domain" | "unknown_trust_domain" => chosen.has(BY_DOMAIN),
        "breaks_rfc5280" => chosen.has(STRICT),
        "revoked" | "unknown_revocation_status" | "crl_expired" | "may_not_sign_crls" => {
            !chosen.crls.is_empty()
        }
        // RFC 5280 section 4.2.1.3: webpki does not look at an issuer's keyUsage.
        "issuer_may_not_sign" => true,
        _ => false,
    };
    assert!(is_documented, "only we reject it: {error:?}");
}

/// OpenSSL's verdict on the path that we have found, without CRLs.
#[cfg(feature = "openssl")]
fn by_openssl(chosen: &Chosen, chain: &VerifiedChain) {
    use openssl::stack::Stack;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::verify::X509VerifyFlags;
    use openssl::x509::{X509, X509PurposeId, X509StoreContext};

    /// X509_V_ERR_CERT_HAS_EXPIRED.
    const EXPIRED: i32 = 10;

    let read = |der: &[u8]| X509::from_der(der);
    let path = chain.certificates();
    let Anchor::Root { .. } = chain.anchor() else {
        return;
    };
    let leaf = read(path[0].der()).expect("a certificate");
    let mut untrusted = Stack::new().expect("a stack");
    for issuer in &path[1..] {
        untrusted
            .push(read(issuer.der()).expect("a certificate"))
            .expect("a place");
    }
    let mut store = X509StoreBuilder::new().expect("a store");
    for root in &chosen.roots {
        let root: &CertificateDer<'_> = root;
        store
            .add_cert(read(root).expect("a certificate"))
            .expect("a root");
    }
    // Every root of ours is an anchor, whether or not it is self-signed.
    store
        .set_flags(X509VerifyFlags::PARTIAL_CHAIN)
        .expect("flags");
    let mut parameters = openssl::x509::verify::X509VerifyParam::new().expect("parameters");
    parameters.set_time(i64::try_from(chosen.now.as_secs()).expect("a time"));
    parameters
        .set_purpose(match chosen.side {
            Side::Client => X509PurposeId::SSL_CLIENT,
            _ => X509PurposeId::SSL_SERVER,
        })
        .expect("a purpose");
    store.set_param(&parameters).expect("parameters");
    let mut context = X509StoreContext::new().expect("a context");
    let (is_good, why) = context
        .init(&store.build(), &leaf, &untrusted, |context| {
            Ok((context.verify_cert()?, context.error()))
        })
        .expect("a verdict");
    // OpenSSL demands that a keyIdentifier is the issuer's. To us it is a hint (RFC 5280 section 4.2.1.1).
    let key_ids = path[0].extensions().iter();
    let mut key_ids = key_ids.filter(|extension| extension.oid() == "2.5.29.35");
    let of_another = key_ids.any(|extension| extension.value().ends_with(OF_ANOTHER));
    // To OpenSSL, the second of notAfter is too late. To RFC 5280, it is the last one (section 4.1.2.5).
    let is_last_second =
        why.as_raw() == EXPIRED && path.iter().any(|it| it.not_after() == chosen.now);
    assert!(
        is_good || of_another || is_last_second,
        "OpenSSL: {why}: {chain:?}"
    );
}
