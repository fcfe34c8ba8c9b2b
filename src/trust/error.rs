//! Why a trust store could not be loaded, and why a chain was refused.

use std::fmt;
use std::path::PathBuf;

use rustls_pki_types::UnixTime;

use crate::identity::IdentityError;
use crate::pki::text::{Brief, Escaped, Sentence};
use crate::pki::time::Rfc3339;
use crate::pki::{
    Certificate, CertificateError, DistinguishedName, Excerpt, ISSUE_V3, KeyUsage, PemError,
    SerialNumber, ShortName, ShortSerial,
};

/// Why a trust store could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file could not be read, is not PEM, or has a block that is no certificate.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The folder has no `*.pem`, `*.crt` or `*.cer` file.
    #[error(
        "{} holds no *.pem, *.crt or *.cer file; put the root certificates there under such names",
        folder.display()
    )]
    EmptyFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A certificate cannot be parsed, or not be used as a trust anchor.
    #[error(
        "{place}: {}; remove it, or put a root certificate in its place",
        Sentence(problem)
    )]
    Malformed {
        /// The file and block.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate that says it may not issue others was given as a root or intermediate.
    #[error(
        "{place}: {certificate} may not issue certificates (basicConstraints or keyUsage says so); to trust exactly this certificate, pin it"
    )]
    NotAnIssuer {
        /// The file and block.
        place: String,
        /// The certificate.
        certificate: Certificate,
    },
    /// A version 1 certificate was given as a pin: rustls could never verify its key.
    #[error("{place}: {certificate} is X.509 version 1, which rustls refuses; {ISSUE_V3}")]
    Version1 {
        /// The file and block.
        place: String,
        /// The certificate.
        certificate: Certificate,
    },
}

impl TrustError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Pem(error) => error.reason(),
            Self::EmptyFolder { .. } => "empty_folder",
            Self::Malformed { .. } => "malformed_certificate",
            Self::NotAnIssuer { .. } => "not_an_issuer",
            Self::Version1 { .. } => "v1_certificate",
        }
    }
}

/// Why a peer's certificate chain was refused.
///
/// `Display` is one line. It cuts each name of a certificate after 256 bytes and each list after five
/// entries, visibly, so that no certificate makes it longer than 4 KiB.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The peer presented no certificate.
    #[error(
        "the peer presented no certificate; give it one that this side trusts (curl: --cert and --key)"
    )]
    NoCertificate,
    /// The chain has too many certificates.
    #[error(
        "the peer's chain has {length} certificates, over the limit of {limit}; have it send its own and its intermediates only, and no bundle of roots"
    )]
    TooLong {
        /// How many certificates were presented.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A certificate of the chain cannot be parsed.
    #[error("certificate {position} of the peer's chain: {source}; have it issued anew")]
    Malformed {
        /// Counted from 1, the leaf.
        position: usize,
        /// What could not be read.
        source: CertificateError,
    },
    /// The leaf is X.509 version 1.
    #[error("{certificate} is X.509 version 1, which rustls refuses; issue version 3: {ISSUE_V3}")]
    Version1 {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// An RSA key is so large that verifying with it would be a burden.
    #[error(
        "{certificate} has an RSA key of {bits} bits, over the limit of {limit}; use a smaller one, or ECDSA P-256"
    )]
    KeyTooLarge {
        /// The certificate with the key.
        certificate: Certificate,
        /// The modulus' size.
        bits: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A CA certificate was used as an end entity.
    #[error(
        "{certificate} is a CA certificate used as an end entity (`openssl req -x509` makes such); pin it, or issue a leaf certificate without CA:TRUE from it"
    )]
    CaAsEndEntity {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The leaf's keyUsage lets it sign certificates or CRLs (RFC 5280 section 4.2.1.3).
    #[error(
        "{certificate} may sign certificates or CRLs (keyUsage: {usage}), which an end entity must not; issue it without keyCertSign and cRLSign"
    )]
    EndEntityMaySign {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its keyUsage.
        usage: KeyUsage,
    },
    /// The leaf's keyUsage lacks digitalSignature (RFC 8446 section 4.4.2.2).
    #[error(
        "{certificate} may not sign handshakes (keyUsage: {usage}); issue it with digitalSignature"
    )]
    NoDigitalSignature {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its keyUsage.
        usage: KeyUsage,
    },
    /// An intermediate may not sign certificates: no CA, or a keyUsage without keyCertSign.
    #[error(
        "{certificate} stands as an issuer in the chain but may not sign certificates; issue it with CA:TRUE and keyCertSign, or sign with an authority that may"
    )]
    IssuerMayNotSign {
        /// The intermediate.
        certificate: Certificate,
    },
    /// The leaf's or an intermediate's validity is over.
    #[error(
        "{certificate} expired at {}, and our clock says {}; renew it, or set the clock",
        Rfc3339(*not_after), Rfc3339(*now)
    )]
    Expired {
        /// The expired certificate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
        /// The end of its validity.
        not_after: UnixTime,
    },
    /// The leaf's or an intermediate's validity has not begun.
    #[error(
        "{certificate} is not valid before {}, and our clock says {}; if the clock is right, wait or reissue",
        Rfc3339(*not_before), Rfc3339(*now)
    )]
    NotYetValid {
        /// The certificate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
        /// The start of its validity.
        not_before: UnixTime,
    },
    /// No path leads to a root of the trust store.
    #[error(
        "unknown issuer: {certificate} needs the issuer \"{}\", and the trust store has {}; add that CA to the trust store, or have the peer send its intermediates{}",
        ShortName(certificate.issuer()),
        roots,
        if certificate.is_self_issued() { "; a self-signed certificate is trusted by pinning it" } else { "" }
    )]
    UnknownIssuer {
        /// The last certificate of the path that could be found.
        certificate: Certificate,
        /// The names of the roots that we have.
        roots: Excerpt<DistinguishedName>,
    },
    /// A CA of the right name exists, but its key did not make the signature.
    #[error(
        "bad signature: a CA named \"{}\" is known, but its key did not sign {certificate}: the CA's key was replaced, or another CA bears its name; trust the CA that signed it too, or have it issued by the known one",
        ShortName(certificate.issuer())
    )]
    BadSignature {
        /// The certificate whose signature no known key made; those below it are signed.
        certificate: Certificate,
    },
    /// Finding a path takes more signature verifications than one chain may cost.
    #[error(
        "{certificate} has too many possible issuers: its chain and the trust store have several authorities of one name, and no path was found within 20 signature verifications, of which 8 may fail; send only the certificates of the path, and issue them with key identifiers (subjectKeyIdentifier, authorityKeyIdentifier)"
    )]
    TooManyCandidates {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// A CRL of the certificate's issuer lists it.
    #[error(
        "{certificate} is revoked, by CRL {} of its issuer; issue a new one for a new key",
        ShortSerial(crl)
    )]
    Revoked {
        /// The revoked certificate.
        certificate: Certificate,
        /// The number of the CRL.
        crl: SerialNumber,
    },
    /// No CRL tells whether the certificate is revoked.
    #[error(
        "whether {certificate} is revoked is unknown: {cause}; {}",
        match cause {
            StatusError::NotInForce { .. } => "correct the clock of this machine or of the CA, whichever is wrong, or load a CRL that is in force".into(),
            _ => format!("load it, or declare with no_crl_from that \"{}\" publishes none", ShortName(certificate.issuer())),
        }
    )]
    UnknownRevocationStatus {
        /// The certificate.
        certificate: Certificate,
        /// Why no CRL could be asked.
        cause: StatusError,
    },
    /// The CRL that should tell whether the certificate is revoked has gone stale.
    #[error(
        "whether {certificate} is revoked is unknown: the CRL of its issuer was due to be replaced at {}, and our clock says {}; load a newer one",
        Rfc3339(*next_update), Rfc3339(*now)
    )]
    CrlExpired {
        /// The certificate.
        certificate: Certificate,
        /// The CRL's nextUpdate.
        next_update: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// The issuer signed a CRL, and its keyUsage lacks cRLSign (RFC 5280 section 4.2.1.3).
    #[error(
        "whether {certificate} is revoked is unknown: \"{}\" signed a CRL, but its own certificate does not allow that; issue the CA's certificate with keyUsage cRLSign",
        ShortName(certificate.issuer())
    )]
    MayNotSignCrls {
        /// The certificate whose status was to be found.
        certificate: Certificate,
    },
    /// Trust goes by SPIFFE trust domain, and the leaf has not exactly one SPIFFE ID.
    #[error(
        "{certificate} belongs to no trust domain: {error}; issue it with exactly one SPIFFE ID"
    )]
    NoTrustDomain {
        /// The peer's certificate.
        certificate: Certificate,
        /// Why there is no SPIFFE ID.
        error: IdentityError,
    },
    /// Trust goes by SPIFFE trust domain, and there is no bundle for the leaf's.
    #[error(
        "unknown trust domain: {certificate} is of {}, and there are trust bundles for {}; add one to federate",
        Escaped(trust_domain),
        known
    )]
    UnknownTrustDomain {
        /// The peer's certificate.
        certificate: Certificate,
        /// Its trust domain.
        trust_domain: String,
        /// The trust domains that have a bundle.
        known: Excerpt<String>,
    },
    /// The leaf's extendedKeyUsage does not allow this use.
    #[error(
        "{certificate} is not for {wanted} (extendedKeyUsage: {}); issue it with extendedKeyUsage={wanted}",
        present
    )]
    WrongUsage {
        /// The certificate.
        certificate: Certificate,
        /// `clientAuth` or `serverAuth`.
        wanted: &'static str,
        /// What the certificate allows, by name where known; empty without the extension.
        present: Excerpt<String>,
    },
    /// The server's certificate is not valid for the name that was dialled (RFC 9525).
    #[error(
        "name mismatch: {certificate} is not valid for \"{}\"; its names are {}; dial one of them, or issue it with this name as a subjectAltName",
        Escaped(expected),
        present
    )]
    NameMismatch {
        /// The server's certificate.
        certificate: Certificate,
        /// The name that was dialled.
        expected: String,
        /// The DNS names and IP addresses in the certificate.
        present: Excerpt<String>,
    },
    /// A certificate on the path breaks a rule of RFC 5280 that only
    /// [`Profile::Rfc5280`](super::Profile::Rfc5280) holds it to.
    #[error(
        "{certificate} breaks RFC 5280 section {section}: {rule}; reissue it, or accept such certificates with Profile::Compatible"
    )]
    BreaksRfc5280 {
        /// The peer's certificate, or one of its issuers'.
        certificate: Certificate,
        /// The rule, in words.
        rule: &'static str,
        /// Where RFC 5280 has it, such as `4.1.2.2`.
        section: &'static str,
    },
    /// Another rule of RFC 5280 is broken: name constraints, path length, an unknown critical
    /// extension, an unsupported signature algorithm.
    #[error(
        "{certificate} was refused by path validation: {}; diagnose() tells which certificate breaks which rule",
        Brief(problem)
    )]
    Invalid {
        /// The peer's certificate.
        certificate: Certificate,
        /// What rustls-webpki said.
        problem: webpki::Error,
    },
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
            | Self::BadSignature { certificate }
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
    /// The reason and what `Display` says: lists of a peer's names would be as long as it likes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainError({}: {self})", self.reason())
    }
}

/// Why no CRL could be asked about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// There is no CRL of its issuer's name.
    #[error("no CRL of its issuer is loaded")]
    NoCrl,
    /// There is one, and another key than its issuer's signed it.
    #[error(
        "a CRL of its issuer's name is loaded, but another key signed it: another CA bears that name, or the CA's key was replaced"
    )]
    OtherKey,
    /// Its issuer's CRLs are about other certificates (issuing distribution point).
    #[error("the CRLs of its issuer that are loaded are about other certificates")]
    OutOfScope,
    /// Its issuer's CRL is dated into the future, by more than the tolerance
    /// ([`Revocation::clock_tolerance`](super::Revocation::clock_tolerance)).
    #[error(
        "the CRL of its issuer is not in force until {}, and our clock says {}",
        Rfc3339(*this_update), Rfc3339(*now)
    )]
    NotInForce {
        /// The CRL's thisUpdate.
        this_update: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
}
