//! Why a trust store cannot be loaded.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::text::{Brief, Escaped, Sentence};
use crate::pki::{Certificate, ISSUE_V3, PemError};

/// Why a trust store cannot be loaded.
///
/// ```
/// use countersign::TrustStore;
/// use countersign::testing::TestCa;
/// use countersign::trust::TrustError;
///
/// let leaf = TestCa::new("Root").leaf().issue();
/// let error = TrustStore::from_pem(leaf.chain_pem()).unwrap_err();
/// assert!(matches!(error, TrustError::NotAnIssuer { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file cannot be read, is not PEM, or has a block that is not a certificate.
    Pem(#[from] PemError),
    /// The folder has no `*.pem`, `*.crt` or `*.cer` file.
    EmptyFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A certificate cannot be parsed, or cannot be used as a trust anchor.
    Malformed {
        /// The file and block.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate that states that it may not issue others was given as a root or intermediate.
    NotAnIssuer {
        /// The file and block.
        place: String,
        /// The certificate.
        certificate: Certificate,
    },
    /// A certificate policy is not a dotted object identifier, or there is none.
    NotAPolicy {
        /// What was given.
        policy: String,
    },
    /// A version 1 certificate was given as a pin: rustls cannot verify its key.
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
            Self::NotAPolicy { .. } => "not_a_policy",
            Self::Version1 { .. } => "v1_certificate",
        }
    }
}

impl Diagnostic for TrustError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => return error.cause(),
            Self::EmptyFolder { folder } => {
                format!("{} holds no *.pem, *.crt or *.cer file", folder.display())
            }
            Self::Malformed { place, problem } => format!("{place}: {}", Sentence(problem)),
            Self::NotAnIssuer { place, certificate } => format!(
                "{place}: {certificate} may not issue certificates (basicConstraints or keyUsage says so)"
            ),
            Self::NotAPolicy { policy } => format!(
                "\"{}\" is not a certificate policy",
                Brief(Escaped(policy))
            ),
            Self::Version1 { place, certificate } => {
                format!("{place}: {certificate} is X.509 version 1, which rustls rejects")
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => return error.remedy(),
            Self::EmptyFolder { .. } => "put the root certificates there under such names",
            Self::Malformed { .. } => "remove it, or put a root certificate in its place",
            Self::NotAnIssuer { .. } => "to trust exactly this certificate, pin it",
            Self::NotAPolicy { .. } => {
                "give dotted object identifiers, such as 2.16.840.1.101.3.2.1.3.13"
            }
            Self::Version1 { .. } => ISSUE_V3,
        }
        .into()
    }
}

display_diagnostic!(TrustError);
