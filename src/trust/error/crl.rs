//! Why certificate revocation lists cannot be loaded.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::{CrlFormatError, PemError};

/// Why certificate revocation lists cannot be loaded.
///
/// ```
/// use countersign::trust::{CrlError, Crls};
///
/// let error = Crls::new([]).unwrap_err();
/// assert!(matches!(error, CrlError::None));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// A file cannot be read, is damaged or cut off, or has a block that is not a CRL.
    Pem(#[from] PemError),
    /// The folder has no `*.crl`, `*.pem` or `*.der` file.
    EmptyFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// No CRL was given.
    None,
    /// A CRL cannot be parsed, or has a property that is not supported.
    Unusable {
        /// The file and block.
        place: String,
        /// What is wrong with it.
        problem: CrlFormatError,
    },
}

impl CrlError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Pem(error) => error.reason(),
            Self::EmptyFolder { .. } => "empty_folder",
            Self::None => "no_crl",
            Self::Unusable { problem, .. } => problem.reason(),
        }
    }
}

impl Diagnostic for CrlError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => error.cause(),
            Self::EmptyFolder { folder } => format!(
                "{} holds no *.crl, *.pem or *.der file: revocation was asked for, and there is no CRL",
                folder.display()
            )
            .into(),
            Self::None => "revocation was asked for, and no CRL was given".into(),
            Self::Unusable { place, problem } => format!("{place}: {}", problem.cause()).into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => error.remedy(),
            Self::EmptyFolder { .. } => "put one there".into(),
            Self::None => "give one, or leave revocation out".into(),
            Self::Unusable { problem, .. } => problem.remedy(),
        }
    }
}

display_diagnostic!(CrlError);
