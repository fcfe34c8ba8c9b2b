//! Why an acceptor or a connector cannot be built or updated.

use std::borrow::Cow;

use super::{FipsError, PostQuantumError};
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::pki::{Certificate, CredentialsError, Crl, OwnCertificateProblem};
use crate::trust::BundleError;

/// Why an acceptor or a connector cannot be built or updated.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::testing::TestCa;
/// use countersign::{Acceptor, BuildError, Diagnostic, TrustStore, policy};
///
/// let ca = TestCa::new("Root");
/// let error = Acceptor::builder()
///     .credentials(ca.leaf().dns("orders.example").issue().credentials())
///     .trust(TrustStore::empty())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .build()
///     .unwrap_err();
/// assert!(matches!(error, BuildError::EmptyTrust));
/// assert_eq!(error.remedy(), "give it a root or a pin");
/// ```
#[derive(Debug)]
#[doc(alias = "ConfigError")]
#[non_exhaustive]
pub enum BuildError {
    /// The key does not match its certificate, or the provider cannot use it.
    Credentials(CredentialsError),
    /// The trust store has neither a root nor a pin: no peer could ever be admitted.
    EmptyTrust,
    /// No cryptography is compiled in, and none was given.
    NoProvider,
    /// The provider has no cipher suite for the allowed TLS versions.
    Provider(rustls::Error),
    /// The name of an application protocol is empty or longer than 255 bytes (RFC 7301).
    InvalidAlpn,
    /// A name given for SNI is not a DNS name.
    InvalidName {
        /// The name.
        name: String,
    },
    /// Two certificates were given for the same name.
    NameTwice {
        /// The name.
        name: String,
    },
    /// A connector was given a certificate for a name (SNI). Only acceptors select by name.
    NamedByClient {
        /// The name.
        name: String,
    },
    /// A trust bundle is not valid.
    Bundle(BundleError),
    /// Stateless resumption needs a ticket cipher, which comes with a built-in provider.
    NoTicketer,
    /// Peers reject our own certificate: it has expired, or cannot be used for our side.
    OwnCertificate(OwnCertificateProblem),
    /// The clock returned no time, so the validity of new credentials cannot be checked.
    NoClock,
    /// The CRL names a trusted authority as its issuer, but no trusted authority of that name signed
    /// it, and its authorityKeyIdentifier does not point to another one.
    CrlNotByIssuer {
        /// The CRL.
        crl: Crl,
    },
    /// A CRL with the name of an authority of the trust store is signed with an algorithm that is not
    /// supported, such as SHA-1.
    CrlSignatureAlgorithm {
        /// The CRL.
        crl: Crl,
        /// The algorithm's name, or its object identifier.
        algorithm: String,
    },
    /// An update would replace a CRL with an earlier one of the same issuer for the same scope:
    /// certificates that were revoked in between would be accepted again.
    CrlRolledBack {
        /// The CRL of the update.
        crl: Crl,
        /// The one that is in force.
        in_force: Crl,
    },
    /// The cryptography is not post-quantum, and the builder's
    /// [`post_quantum`](crate::builder::Builder::post_quantum) requires that.
    PostQuantum(PostQuantumError),
    /// A choice is not FIPS, and the builder's [`require_fips`](crate::builder::Builder::require_fips)
    /// requires that.
    Fips(FipsError),
    /// A certificate was given for a name that it is not valid for.
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
            Self::OwnCertificate(problem) => problem.reason(),
            Self::NoClock => "no_clock",
            Self::CrlNotByIssuer { .. } => "crl_not_by_issuer",
            Self::CrlSignatureAlgorithm { .. } => "crl_signature_algorithm",
            Self::CrlRolledBack { .. } => CRL_ROLLED_BACK,
            Self::PostQuantum(error) => error.reason(),
            Self::Fips(error) => error.reason(),
            Self::NotCovered { .. } => "name_not_covered",
        }
    }
}

impl Diagnostic for BuildError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Credentials(error) => return error.cause(),
            Self::Bundle(error) => return error.cause(),
            Self::OwnCertificate(problem) => return problem.cause(),
            Self::PostQuantum(error) => return error.cause(),
            Self::Fips(error) => return error.cause(),
            Self::EmptyTrust => {
                return "the trust store is empty, so no peer could ever be admitted".into();
            }
            Self::NoProvider => return "no crypto provider".into(),
            Self::Provider(error) => format!("the crypto provider cannot be used: {error}"),
            Self::InvalidAlpn => return "an ALPN protocol name must have 1 to 255 bytes".into(),
            Self::InvalidName { name } => {
                format!("\"{name}\" is not a DNS name to select a certificate by")
            }
            Self::NameTwice { name } => {
                format!("two certificates were given for the name \"{name}\"")
            }
            Self::NamedByClient { name } => {
                format!("a connector has one certificate, and none for the name \"{name}\"")
            }
            Self::NoTicketer => {
                return "stateless resumption needs the feature aws-lc-rs or ring for its tickets"
                    .into();
            }
            Self::NoClock => {
                return "the clock returned no time, so the validity of our certificate cannot be checked"
                    .into();
            }
            Self::CrlNotByIssuer { crl } => format!(
                "{crl} is signed by no authority of that name in the trust store: the authority's key was replaced, another authority has the same name, or the file was changed after it was signed"
            ),
            Self::CrlSignatureAlgorithm { crl, algorithm } => {
                format!("{crl} is signed with {algorithm}, which is not supported")
            }
            Self::CrlRolledBack { crl, in_force } => format!(
                "{crl} is older than {in_force}, which it would replace: revocations made in between would be lost"
            ),
            Self::NotCovered { name, certificate } => format!(
                "{certificate} is not valid for the name \"{name}\" that it was given for"
            ),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Credentials(error) => return error.remedy(),
            Self::Bundle(error) => return error.remedy(),
            Self::OwnCertificate(problem) => return remedy_of_own(problem),
            Self::PostQuantum(error) => return error.remedy(),
            Self::Fips(error) => return error.remedy(),
            Self::EmptyTrust => "give it a root or a pin",
            Self::NoProvider => "turn on the feature aws-lc-rs or ring, or call crypto_provider()",
            Self::Provider(_) => "give one with cipher suites for the allowed TLS versions",
            Self::InvalidAlpn => "remove the empty or longer one",
            Self::InvalidName { .. } => "give a host name, or *. and a domain",
            Self::NameTwice { .. } => "remove one of them",
            Self::NamedByClient { .. } => "give it without a name",
            Self::NoTicketer => "turn on one of the features, or choose Resumption::Stateful",
            Self::NoClock => "give the builder a clock() that returns a time",
            Self::CrlNotByIssuer { .. } => {
                "when an authority has a new key, load its new certificate and its new CRL together"
            }
            Self::CrlSignatureAlgorithm { .. } => {
                "have its issuer sign CRLs with SHA-256 or better (AD CS: `certutil -setreg ca\\csp\\CNGHashAlgorithm SHA256`; openssl: `default_md = sha256`)"
            }
            Self::CrlRolledBack { .. } => {
                "load the newest CRL of the issuer, or allow it with Revocation::rollback(CrlRollback::Allow)"
            }
            Self::NotCovered { .. } => "give it for one of its own names, or issue it with this one",
        }
        .into()
    }
}

display_diagnostic!(BuildError);

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` is that of the error within.
            Self::Credentials(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

/// A deployment may live with what cannot work with every peer.
fn remedy_of_own(problem: &OwnCertificateProblem) -> Cow<'_, str> {
    let remedy = problem.remedy();
    match problem {
        OwnCertificateProblem::Expired { .. } | OwnCertificateProblem::NotYetValid { .. } => remedy,
        _ => format!(
            "{remedy}; or allow it with own_certificate_checks(OwnCertificateChecks::Report)"
        )
        .into(),
    }
}

impl From<CredentialsError> for BuildError {
    fn from(error: CredentialsError) -> Self {
        Self::Credentials(error)
    }
}

impl From<PostQuantumError> for BuildError {
    fn from(error: PostQuantumError) -> Self {
        Self::PostQuantum(error)
    }
}

impl From<FipsError> for BuildError {
    fn from(error: FipsError) -> Self {
        Self::Fips(error)
    }
}

impl From<BundleError> for BuildError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

/// The reason of a rollback, whether it is denied or allowed.
pub(crate) const CRL_ROLLED_BACK: &str = "crl_rolled_back";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_that_of_the_error_within() {
        let malformed = || CredentialsError::Malformed {
            position: 1,
            source: Certificate::from_der(b"").expect_err("no certificate"),
        };
        let source = |error: &dyn std::error::Error| error.source().map(ToString::to_string);
        let within = source(&malformed());
        assert!(within.is_some());
        assert_eq!(source(&BuildError::Credentials(malformed())), within);
        assert_eq!(source(&BuildError::NoTicketer), None);
    }
}
