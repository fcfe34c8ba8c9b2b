//! Where our private key is.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use countersign::pki::CredentialsError;
use countersign::pki::pkcs11::{Pkcs11Error, Pkcs11Key};
use countersign::reload::Source;
use countersign::{Credentials, Diagnostic};

/// A PEM file, or a PKCS #11 URI (RFC 7512). A file whose name begins with `pkcs11:` is `./pkcs11:…`.
///
/// The URI is read when it is used: an error of the command line would print it with its PIN.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyOption {
    File(PathBuf),
    Token(String),
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum KeyOptionError {
    #[error(transparent)]
    File(#[from] CredentialsError),
    #[error(transparent)]
    Token(#[from] Pkcs11Error),
}

impl From<OsString> for KeyOption {
    fn from(value: OsString) -> Self {
        match value.to_str() {
            Some(text) if is_uri(text) => Self::Token(text.to_owned()),
            _ => Self::File(value.into()),
        }
    }
}

fn is_uri(text: &str) -> bool {
    text.get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"))
}

impl KeyOption {
    /// The certificate chain of this file, with the key.
    pub fn credentials(&self, chain: &Path) -> Result<Credentials, KeyOptionError> {
        Ok(match self {
            Self::File(key) => Credentials::from_pem_files(chain, key)?,
            Self::Token(uri) => Credentials::from_pkcs11(chain, Pkcs11Key::from_uri(uri)?)?,
        })
    }

    /// The same, followed.
    pub fn source(&self, chain: &Path) -> Result<Source<Credentials>, KeyOptionError> {
        Ok(match self {
            Self::File(key) => Source::pem_files(chain, key),
            Self::Token(uri) => Source::<Credentials>::pkcs11(chain, Pkcs11Key::from_uri(uri)?),
        })
    }

    /// Makes the path of a file relative to this folder.
    pub fn within(&mut self, folder: &Path) {
        if let Self::File(file) = self {
            *file = folder.join(&*file);
        }
    }
}

impl KeyOptionError {
    pub fn diagnostic(&self) -> &dyn Diagnostic {
        match self {
            Self::File(error) => error,
            Self::Token(error) => error,
        }
    }
}

/// Without the URI, which can have a PIN.
impl fmt::Debug for KeyOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Token(_) => f.write_str("Token(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_file_or_a_uri() {
        let of = |text: &str| KeyOption::from(OsString::from(text));
        assert_eq!(of("server.key"), KeyOption::File("server.key".into()));
        assert_eq!(of("./pkcs11:a"), KeyOption::File("./pkcs11:a".into()));
        assert_eq!(of("pkcs11:a"), KeyOption::Token("pkcs11:a".into()));
        let uri = of("PKCS11:token=a?pin-value=s3cret");
        assert_eq!(format!("{uri:?}"), "Token(..)");
    }
}
