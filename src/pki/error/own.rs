//! Why peers reject our own certificate.

use std::borrow::Cow;

use rustls_pki_types::UnixTime;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ISSUE_V3};
use crate::side::Side;

/// A reason for which peers reject, or may reject, our own certificate.
///
/// An acceptor or a connector is not built, and not updated, with a certificate that each peer rejects:
/// see [`OwnCertificateChecks`](crate::pki::OwnCertificateChecks). Other problems are recorded as
/// [`Action::CredentialsWarning`](crate::audit::Action::CredentialsWarning).
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::pki::OwnCertificateProblem;
/// use countersign::testing::TestCa;
/// use countersign::{Acceptor, BuildError, policy};
///
/// let ca = TestCa::new("Root");
/// let client = ca.leaf().dns("orders.example").client_only().issue();
/// let error = Acceptor::builder()
///     .credentials(client.credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .build()
///     .unwrap_err();
/// assert!(matches!(
///     error,
///     BuildError::OwnCertificate(OwnCertificateProblem::Purpose { .. })
/// ));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnCertificateProblem {
    /// Its extendedKeyUsage does not name our side: serverAuth for an acceptor, clientAuth for a
    /// connector.
    Purpose {
        /// Our certificate.
        certificate: Certificate,
        /// Our side.
        side: Side,
    },
    /// It is the certificate of a certificate authority. Only peers that pin it accept it.
    Authority {
        /// Our certificate.
        certificate: Certificate,
    },
    /// Its keyUsage does not have digitalSignature, with which TLS 1.3 proves the key.
    KeyUsage {
        /// Our certificate.
        certificate: Certificate,
    },
    /// Peers cannot verify its key, or reject its size.
    Key {
        /// Our certificate.
        certificate: Certificate,
        /// The kind and size of the key.
        key: String,
    },
    /// A certificate of our chain has expired.
    Expired {
        /// The leaf, or an intermediate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
    },
    /// A certificate of our chain is not valid yet.
    NotYetValid {
        /// The leaf, or an intermediate.
        certificate: Certificate,
        /// Our clock.
        now: UnixTime,
    },
    /// A server's certificate has no DNS name, IP address or URI in its subjectAltName.
    NoServerName {
        /// Our certificate.
        certificate: Certificate,
    },
    /// A certificate of our chain did not issue the one before it.
    ChainOrder {
        /// The certificate whose issuer should follow.
        certificate: Certificate,
        /// The position of the certificate that follows instead, counted from 1.
        position: usize,
    },
    /// Our chain does not fit in a handshake message of 64 KiB, the most that many TLS libraries read: nine
    /// certificates of ML-DSA-87 do not.
    ChainSize {
        /// Our certificate.
        certificate: Certificate,
        /// The size of the message with the chain.
        bytes: usize,
    },
}

impl OwnCertificateProblem {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Purpose { .. } => "own_certificate_purpose",
            Self::Authority { .. } => "own_certificate_is_ca",
            Self::KeyUsage { .. } => "own_certificate_key_usage",
            Self::Key { .. } => "own_certificate_key",
            Self::Expired { .. } => "own_certificate_expired",
            Self::NotYetValid { .. } => "own_certificate_not_yet_valid",
            Self::NoServerName { .. } => "own_certificate_without_name",
            Self::ChainOrder { .. } => "own_chain_order",
            Self::ChainSize { .. } => "own_chain_size",
        }
    }

    /// The certificate that has the problem.
    pub const fn certificate(&self) -> &Certificate {
        match self {
            Self::Purpose { certificate, .. }
            | Self::Authority { certificate }
            | Self::KeyUsage { certificate }
            | Self::Key { certificate, .. }
            | Self::Expired { certificate, .. }
            | Self::NotYetValid { certificate, .. }
            | Self::NoServerName { certificate }
            | Self::ChainOrder { certificate, .. }
            | Self::ChainSize { certificate, .. } => certificate,
        }
    }
}

impl Diagnostic for OwnCertificateProblem {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Purpose {
                certificate,
                side: Side::Server,
            } => format!(
                "our own {certificate} has an extendedKeyUsage without serverAuth: clients reject it"
            ),
            Self::Purpose { certificate, .. } => format!(
                "our own {certificate} has an extendedKeyUsage without clientAuth: servers reject it unless they accept serverAuth"
            ),
            Self::Authority { certificate } => format!(
                "our own {certificate} is that of a certificate authority: peers reject it unless they pin it"
            ),
            Self::KeyUsage { certificate } => format!(
                "our own {certificate} has a keyUsage without digitalSignature: peers reject its handshakes"
            ),
            Self::Key { certificate, key } => format!(
                "our own {certificate} has a key that peers may reject: {key}"
            ),
            Self::Expired { certificate, now } => format!(
                "our own {certificate} expired at {}, and our clock says {}",
                Rfc3339(certificate.not_after()),
                Rfc3339(*now)
            ),
            Self::NotYetValid { certificate, now } => format!(
                "our own {certificate} is not valid before {}, and our clock says {}",
                Rfc3339(certificate.not_before()),
                Rfc3339(*now)
            ),
            Self::NoServerName { certificate } => format!(
                "our own {certificate} has no DNS name, IP address or URI in its subjectAltName: clients that verify the server's name reject it"
            ),
            Self::ChainOrder {
                certificate,
                position,
            } => format!(
                "certificate {position} of our chain did not issue {certificate}, which is before it: peers may find no path to their root"
            ),
            Self::ChainSize { certificate, bytes } => format!(
                "the chain of our own {certificate} makes a handshake message of {bytes} bytes, and many peers read at most 65,535"
            ),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Purpose {
                side: Side::Server, ..
            } => "have it issued with serverAuth, or without extendedKeyUsage",
            Self::Purpose { .. } => "have it issued with clientAuth, or without extendedKeyUsage",
            Self::Authority { .. } => {
                return format!(
                    "issue a certificate from it, with basicConstraints=CA:FALSE: {ISSUE_V3}"
                )
                .into();
            }
            Self::KeyUsage { .. } => "have it issued with digitalSignature in its keyUsage",
            Self::Key { .. } => {
                "use a key for ECDSA P-256 or P-384, Ed25519, or RSA with 2,048 to 8,192 bits"
            }
            Self::Expired { .. } => "renew it, or correct the clock",
            Self::NotYetValid { .. } => "wait, or correct the clock",
            Self::NoServerName { .. } => "have it issued with the names that clients connect to",
            Self::ChainOrder { .. } => {
                "write the leaf first, then the certificate that issued it, and so on"
            }
            Self::ChainSize { .. } => {
                "leave out what peers have, such as the root, or have it issued below fewer authorities"
            }
        }
        .into()
    }
}

display_diagnostic!(OwnCertificateProblem);

impl std::error::Error for OwnCertificateProblem {}
