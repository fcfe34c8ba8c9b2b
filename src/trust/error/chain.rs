//! Why a peer's certificate chain is rejected.

use std::fmt;

use rustls_pki_types::UnixTime;

use super::{PathError, StatusError};
use crate::identity::IdentityError;
use crate::pki::{
    AlgorithmError, Certificate, CertificateError, DistinguishedName, Excerpt, KeyError, KeyUsage,
    SerialNumber,
};

/// Why a peer's certificate chain is rejected.
///
/// `Display` is one line of at most 4 KiB for any certificates: it cuts each name after 256 bytes and
/// each list after five entries, and marks the cut.
///
/// ```
/// use countersign::pki_types::UnixTime;
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let verifier = ChainVerifier::new(TestCa::new("Ours").trust(), Side::Client, &provider);
/// let peer = TestCa::new("Theirs").leaf().common_name("alice").issue();
/// let error = verifier.verify(peer.chain(), UnixTime::now()).unwrap_err();
/// assert_eq!(error.reason(), "unknown_issuer");
/// assert_eq!(error.certificate(), Some(&peer.certificate()));
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The peer presented no certificate.
    NoCertificate,
    /// The chain has too many certificates.
    TooLong {
        /// How many certificates were presented.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A certificate of the chain cannot be parsed.
    Malformed {
        /// Counted from 1, the leaf.
        position: usize,
        /// What could not be read.
        source: CertificateError,
    },
    /// The leaf or an intermediate is X.509 version 1.
    Version1 {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// An RSA key is larger than the limit: each signature verification with it takes long.
    KeyTooLarge {
        /// The certificate with the key.
        certificate: Certificate,
        /// The modulus' size.
        bits: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The leaf is a CA certificate.
    CaAsEndEntity {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The leaf's keyUsage allows it to sign certificates or CRLs (RFC 5280 section 4.2.1.3).
    EndEntityMaySign {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its keyUsage.
        usage: KeyUsage,
    },
    /// The leaf's keyUsage lacks digitalSignature (RFC 8446 section 4.4.2.2).
    NoDigitalSignature {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its keyUsage.
        usage: KeyUsage,
    },
    /// An intermediate may not sign certificates: it is not a CA, or its keyUsage lacks keyCertSign.
    IssuerMayNotSign {
        /// The intermediate.
        certificate: Certificate,
    },
    /// The leaf or an intermediate has expired.
    Expired {
        /// The expired certificate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
        /// The last second of its validity.
        not_after: UnixTime,
    },
    /// The leaf or an intermediate is not valid yet.
    NotYetValid {
        /// The certificate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
        /// The first second of its validity.
        not_before: UnixTime,
    },
    /// No path leads to a root of the trust store.
    UnknownIssuer {
        /// The last certificate of the path that could be found.
        certificate: Certificate,
        /// The names of the roots in the trust store.
        roots: Excerpt<DistinguishedName>,
        /// The name of a known CA that equals the issuer's by RFC 5280 section 7.1 and is encoded
        /// differently, for example as another type of string.
        alike: Option<DistinguishedName>,
    },
    /// A CA with the issuer's name is known, but its key did not sign the certificate.
    BadSignature {
        /// The certificate that no known key signed. The signatures below it are valid.
        certificate: Certificate,
        /// What its authorityKeyIdentifier says about the key that signed it.
        signer: Signer,
        /// Whether the peer presented the certificate of the CA. Otherwise it is in the trust store.
        is_presented: bool,
    },
    /// The crypto provider cannot verify the signatures of a key on the path. This says nothing about
    /// who made them.
    UnsupportedKey {
        /// The certificate with the key, or, with `root`, the one that the root issued.
        certificate: Certificate,
        /// The root with the key, if its own certificate is not known.
        root: Option<DistinguishedName>,
        /// Why.
        problem: KeyError,
    },
    /// The crypto provider does not support the algorithm with which a certificate is signed.
    UnsupportedAlgorithm {
        /// The certificate.
        certificate: Certificate,
        /// Which algorithm.
        problem: AlgorithmError,
    },
    /// A certificate on the path has a classical key, or a classical key signed it, and the endpoint
    /// requires post-quantum identities
    /// ([`PostQuantum::Only`](crate::trust::PostQuantum::Only)).
    NotPostQuantum {
        /// The certificate.
        certificate: Certificate,
        /// Its key, or the algorithm of its signature, in words.
        algorithm: String,
        /// Whether that is the signature's, and so the issuer's key.
        is_signature: bool,
    },
    /// FIPS 186-5 and FIPS 204 do not approve a key on the path, or the crypto provider verifies its
    /// signatures outside a FIPS module, and the endpoint requires FIPS
    /// ([`require_fips`](crate::builder::Builder::require_fips)).
    NotFips {
        /// The certificate with the key, or the one that the root with the key issued.
        certificate: Certificate,
        /// Why, in words.
        problem: String,
    },
    /// The search for a path reached the limit of signature verifications for one chain.
    TooManyCandidates {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// A CRL of the certificate's issuer lists it.
    Revoked {
        /// The revoked certificate.
        certificate: Certificate,
        /// The number of the CRL, if it has one.
        crl: Option<SerialNumber>,
    },
    /// No CRL has the revocation status of the certificate.
    UnknownRevocationStatus {
        /// The certificate.
        certificate: Certificate,
        /// Why the status is unknown.
        cause: StatusError,
    },
    /// The CRL that has the revocation status of the certificate has expired.
    CrlExpired {
        /// The certificate.
        certificate: Certificate,
        /// The CRL's nextUpdate.
        next_update: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// The issuer signed a CRL, and its keyUsage lacks cRLSign (RFC 5280 section 4.2.1.3).
    MayNotSignCrls {
        /// The certificate whose status is unknown.
        certificate: Certificate,
    },
    /// Trust is by SPIFFE trust domain, and the leaf does not have exactly one SPIFFE ID.
    NoTrustDomain {
        /// The peer's certificate.
        certificate: Certificate,
        /// Why there is no SPIFFE ID.
        error: IdentityError,
    },
    /// Trust is by SPIFFE trust domain, and there is no bundle for the leaf's.
    UnknownTrustDomain {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its trust domain.
        trust_domain: String,
        /// The trust domains that have a bundle.
        known: Excerpt<String>,
    },
    /// The leaf's extendedKeyUsage does not allow this use.
    WrongUsage {
        /// The certificate.
        certificate: Certificate,
        /// `clientAuth` or `serverAuth`.
        wanted: &'static str,
        /// What the certificate allows, by name where the name is known. Empty without the extension.
        present: Excerpt<String>,
    },
    /// The server's certificate is not valid for the server name (RFC 9525).
    NameMismatch {
        /// The server's certificate.
        certificate: Certificate,
        /// The server name that the client connects to.
        expected: String,
        /// The DNS names and IP addresses in the certificate.
        present: Excerpt<String>,
    },
    /// A certificate on the path breaks a rule of RFC 5280 that only
    /// [`Profile::Rfc5280`](crate::trust::Profile::Rfc5280) enforces.
    BreaksRfc5280 {
        /// The peer's certificate, or one of its issuers'.
        certificate: Certificate,
        /// The rule, in words.
        rule: &'static str,
        /// The section of RFC 5280, such as `4.1.2.2`.
        section: &'static str,
    },
    /// Another rule of RFC 5280 is broken: name constraints, path length, policies, an unknown critical
    /// extension.
    Invalid {
        /// The certificate that breaks the rule.
        certificate: Certificate,
        /// The rule.
        problem: PathError,
    },
}

/// What the authorityKeyIdentifier of a certificate says about the key that signed it.
///
/// ```
/// use countersign::pki_types::UnixTime;
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainError, ChainVerifier, Signer};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let root = TestCa::new("Root");
/// let peer = root.same_name_other_key().leaf().issue();
/// let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
/// let error = verifier.verify(peer.chain(), UnixTime::now()).unwrap_err();
/// assert!(matches!(error, ChainError::BadSignature { signer: Signer::OtherKey, .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signer {
    /// Another key than that of the known CA: the CA was re-keyed under its name, or another CA has the
    /// name.
    OtherKey,
    /// The key of the known CA: the certificate was changed after it was signed, or its issuer did not
    /// make it.
    ThisKey,
    /// Nothing.
    Unknown,
}

impl ChainError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::TooLong { .. } => "chain_too_long",
            Self::Malformed { .. } => "malformed_certificate",
            Self::Version1 { .. } => "v1_certificate",
            Self::KeyTooLarge { .. } => "key_too_large",
            Self::CaAsEndEntity { .. } => "ca_as_end_entity",
            Self::EndEntityMaySign { .. } => "end_entity_may_sign",
            Self::NoDigitalSignature { .. } => "no_digital_signature",
            Self::IssuerMayNotSign { .. } => "issuer_may_not_sign",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::BadSignature { .. } => "bad_signature",
            Self::UnsupportedKey { .. } => "unsupported_key",
            Self::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            Self::NotPostQuantum { .. } => "not_post_quantum",
            Self::NotFips { .. } => "not_fips",
            Self::TooManyCandidates { .. } => "too_many_candidates",
            Self::Revoked { .. } => "revoked",
            Self::UnknownRevocationStatus { .. } => "unknown_revocation_status",
            Self::CrlExpired { .. } => "crl_expired",
            Self::MayNotSignCrls { .. } => "may_not_sign_crls",
            Self::NoTrustDomain { .. } => "no_trust_domain",
            Self::UnknownTrustDomain { .. } => "unknown_trust_domain",
            Self::WrongUsage { .. } => "wrong_extended_key_usage",
            Self::NameMismatch { .. } => "name_mismatch",
            Self::BreaksRfc5280 { .. } => "breaks_rfc5280",
            Self::Invalid { .. } => "invalid_path",
        }
    }

    /// The certificate that the error is about, where it could be parsed: the peer's own, or one
    /// of its issuers.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::NoCertificate | Self::TooLong { .. } | Self::Malformed { .. } => None,
            Self::Version1 { certificate }
            | Self::KeyTooLarge { certificate, .. }
            | Self::CaAsEndEntity { certificate }
            | Self::EndEntityMaySign { certificate, .. }
            | Self::NoDigitalSignature { certificate, .. }
            | Self::IssuerMayNotSign { certificate }
            | Self::Expired { certificate, .. }
            | Self::NotYetValid { certificate, .. }
            | Self::UnknownIssuer { certificate, .. }
            | Self::BadSignature { certificate, .. }
            | Self::UnsupportedKey { certificate, .. }
            | Self::UnsupportedAlgorithm { certificate, .. }
            | Self::NotPostQuantum { certificate, .. }
            | Self::NotFips { certificate, .. }
            | Self::TooManyCandidates { certificate }
            | Self::Revoked { certificate, .. }
            | Self::UnknownRevocationStatus { certificate, .. }
            | Self::CrlExpired { certificate, .. }
            | Self::MayNotSignCrls { certificate }
            | Self::NoTrustDomain { certificate, .. }
            | Self::UnknownTrustDomain { certificate, .. }
            | Self::WrongUsage { certificate, .. }
            | Self::NameMismatch { certificate, .. }
            | Self::BreaksRfc5280 { certificate, .. }
            | Self::Invalid { certificate, .. } => Some(certificate),
        }
    }
}

impl fmt::Debug for ChainError {
    /// The reason and the text of `Display`, which is bounded: a peer can present long lists of names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainError({}: {self})", self.reason())
    }
}
