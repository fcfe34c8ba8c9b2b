//! Why an acceptor or a connector could not be built or changed.

use rustls_pki_types::UnixTime;

use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, CredentialsError, Crl};
use crate::trust::BundleError;

/// Why an acceptor or a connector could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The key does not fit its certificate, or the provider cannot use it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The trust store has neither a root nor a pin: no peer could ever be admitted.
    #[error("the trust store is empty, so no peer could ever be admitted; give it a root or a pin")]
    EmptyTrust,
    /// No cryptography is compiled in, and none was given.
    #[error("no crypto provider; turn on the feature aws-lc-rs or ring, or call crypto_provider()")]
    NoProvider,
    /// The provider has no cipher suite for the allowed TLS versions.
    #[error(
        "the crypto provider cannot be used: {0}; give one with cipher suites for the allowed TLS versions"
    )]
    Provider(rustls::Error),
    /// An application protocol's name is empty or over 255 bytes (RFC 7301).
    #[error("an ALPN protocol name must have 1 to 255 bytes; leave the other out")]
    InvalidAlpn,
    /// A name given for SNI is no DNS name.
    #[error(
        "\"{name}\" is no DNS name to choose a certificate by; give a host name, or *. and a domain"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Two certificates were given for the same name.
    #[error("two certificates were given for the name \"{name}\"; leave one of them out")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// A connector was given a certificate for a name (SNI): only acceptors choose by one.
    #[error(
        "a connector has one certificate, and none for the name \"{name}\"; give it without a name"
    )]
    NamedByClient {
        /// The name.
        name: String,
    },
    /// A trust bundle cannot be taken.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Stateless resumption needs a ticket cipher, which comes with a built-in provider.
    #[error(
        "stateless resumption needs the feature aws-lc-rs or ring for its tickets; turn one on, or choose Resumption::Stateful"
    )]
    NoTicketer,
    /// A certificate of the new credentials has expired.
    #[error(
        "our own {certificate} expired at {}, and our clock says {}; renew it, or set the clock",
        Rfc3339(certificate.not_after()), Rfc3339(*now)
    )]
    CertificateExpired {
        /// The leaf, or an intermediate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
    },
    /// A certificate of the new credentials is not valid yet.
    #[error(
        "our own {certificate} is not valid before {}, and our clock says {}; wait, or set the clock",
        Rfc3339(certificate.not_before()), Rfc3339(*now)
    )]
    CertificateNotYetValid {
        /// The leaf, or an intermediate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
    },
    /// The clock gives no time to judge new credentials by.
    #[error(
        "the clock gives no time, so that nobody can say whether our certificate is valid; give the builder a clock() that does"
    )]
    NoClock,
    /// A CRL bears the name of an authority that is trusted, and none of that name signed it; nor
    /// does its authorityKeyIdentifier tell it from those that one signed.
    #[error(
        "{crl} is signed by no authority of that name in the trust: it is damaged or forged, or another authority bears the name; with an authority's new key, load its new certificate and its new CRL together"
    )]
    CrlNotByIssuer {
        /// The CRL.
        crl: Crl,
    },
    /// An update would replace a CRL with one that the same issuer made earlier for the same scope:
    /// certificates that were revoked in between would be accepted again.
    #[error(
        "{crl} is older than {in_force}, which it would replace: revocations made in between would be lost; load the newest CRL of the issuer, or allow it with Revocation::rollback(CrlRollback::Allow)"
    )]
    CrlRolledBack {
        /// The CRL of the update.
        crl: Crl,
        /// The one that is in force.
        in_force: Crl,
    },
    /// A certificate was given for a name that it is not valid for.
    #[error(
        "{certificate} is not valid for the name \"{name}\" that it was given for; give it for one of its own, or issue it with this one"
    )]
    NotCovered {
        /// The name.
        name: String,
        /// The certificate.
        certificate: Certificate,
    },
}

impl BuildError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Credentials(error) => error.reason(),
            Self::EmptyTrust => "empty_trust",
            Self::NoProvider => "no_provider",
            Self::Provider(_) => "unusable_provider",
            Self::InvalidAlpn => "invalid_alpn",
            Self::InvalidName { .. } => "invalid_name",
            Self::NameTwice { .. } => "name_twice",
            Self::NamedByClient { .. } => "named_by_client",
            Self::Bundle(error) => error.reason(),
            Self::NoTicketer => "no_ticketer",
            Self::CertificateExpired { .. } => "own_certificate_expired",
            Self::CertificateNotYetValid { .. } => "own_certificate_not_yet_valid",
            Self::NoClock => "no_clock",
            Self::CrlNotByIssuer { .. } => "crl_not_by_issuer",
            Self::CrlRolledBack { .. } => CRL_ROLLED_BACK,
            Self::NotCovered { .. } => "name_not_covered",
        }
    }
}

/// The reason of a rollback, whether it is refused or allowed.
pub(super) const CRL_ROLLED_BACK: &str = "crl_rolled_back";
