//! Why credentials cannot be used.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::algorithm::USE_AWS_LC_RS;
use crate::pki::{Certificate, CertificateError, ISSUE_V3, PemError};

/// Why credentials cannot be used.
///
/// ```
/// use countersign::Credentials;
/// use countersign::pki::CredentialsError;
/// use countersign::testing::TestCa;
///
/// let ca = TestCa::new("Root");
/// let (one, other) = (ca.leaf().issue(), ca.leaf().issue());
/// let error = Credentials::from_pem(one.chain_pem(), other.key_pem()).unwrap_err();
/// assert!(matches!(error, CredentialsError::KeyMismatch { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file cannot be read, or is not PEM; an encrypted key is reported here too.
    Pem(#[from] PemError),
    /// The chain is empty: the file has no CERTIFICATE block.
    NoCertificate {
        /// The file, or "the given bytes".
        place: String,
        /// Whether it has a private key.
        has_key: bool,
    },
    /// The file has no private key block.
    NoKey {
        /// The file, or "the given bytes".
        place: String,
        /// Whether it has a certificate.
        has_certificate: bool,
    },
    /// The file has two or more private keys, and it is not known which one to use.
    SeveralKeys {
        /// The file, or "the given bytes".
        place: String,
    },
    /// A certificate of the chain is malformed.
    Malformed {
        /// Counted from 1, the leaf.
        position: usize,
        /// What could not be read.
        source: CertificateError,
    },
    /// Our certificate is X.509 version 1, which TLS peers reject.
    Version1 {
        /// Our certificate.
        certificate: Certificate,
    },
    /// The key cannot be used: it is damaged, or of a kind that the provider does not support.
    UnusableKey {
        /// The file, or "the given bytes".
        place: String,
        /// The kind of key that the certificate has, and the provider's answer.
        problem: String,
    },
    /// The application's function did not return the passphrase of an encrypted key.
    Passphrase {
        /// The key.
        place: String,
        /// The error of the function.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The passphrase does not decrypt the key, or the key is damaged.
    WrongPassphrase {
        /// The key.
        place: String,
    },
    /// The key is encrypted by a method that is not supported.
    UnsupportedEncryption {
        /// The key.
        place: String,
        /// The method.
        problem: String,
    },
    /// Deriving the key from the passphrase takes more work than the limit.
    EncryptionCost {
        /// The key.
        place: String,
        /// The work and the limit.
        problem: String,
    },
    /// The private key belongs to another certificate.
    KeyMismatch {
        /// Our leaf.
        certificate: Certificate,
        /// The key's file, or "the given bytes".
        place: String,
        /// The certificate of the chain that the key does match, counted from 1.
        fitting_position: Option<usize>,
    },
}

/// Whether an unusable key is one of ML-DSA, of a provider without it.
fn is_ml_dsa_without_provider(problem: &str) -> bool {
    problem.starts_with("the key of its certificate is ML-DSA")
        && problem.contains("the crypto provider verifies signatures of")
}

impl CredentialsError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Pem(error) => error.reason(),
            Self::NoCertificate { .. } => "no_certificate",
            Self::NoKey { .. } => "no_private_key",
            Self::SeveralKeys { .. } => "several_private_keys",
            Self::Malformed { .. } => "malformed_certificate",
            Self::Version1 { .. } => "v1_certificate",
            Self::UnusableKey { .. } => "unusable_key",
            Self::Passphrase { .. } => "no_passphrase",
            Self::WrongPassphrase { .. } => "wrong_passphrase",
            Self::UnsupportedEncryption { .. } => "unsupported_encryption",
            Self::EncryptionCost { .. } => "encryption_cost",
            Self::KeyMismatch { .. } => "key_mismatch",
        }
    }
}

impl Diagnostic for CredentialsError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => return error.cause(),
            Self::NoCertificate {
                place,
                has_key: true,
            } => format!("{place} holds no certificate, but a private key"),
            Self::NoCertificate { place, .. } => format!("{place} holds no certificate"),
            Self::NoKey {
                place,
                has_certificate: true,
            } => format!("{place} holds no private key, but a certificate"),
            Self::NoKey { place, .. } => {
                format!("{place} holds no private key (PKCS#8, PKCS#1 or SEC1)")
            }
            Self::Passphrase { place, source } => {
                format!("there is no passphrase for {place}: {source}")
            }
            Self::WrongPassphrase { place } => {
                format!("the passphrase does not decrypt {place}, or the key is damaged")
            }
            Self::UnsupportedEncryption { place, problem } => {
                format!("{place} is encrypted by a method that is not supported: {problem}")
            }
            Self::EncryptionCost { place, problem } => {
                format!("decrypting {place} takes too much work: {problem}")
            }
            Self::SeveralKeys { place } => format!("{place} holds more than one private key"),
            Self::Malformed { position, source } => {
                format!("certificate {position} of the chain: {}", source.cause())
            }
            Self::Version1 { certificate } => {
                format!("{certificate} is X.509 version 1, which TLS peers reject")
            }
            Self::UnusableKey { place, problem } => {
                format!("the private key in {place} cannot be used: {problem}")
            }
            Self::KeyMismatch {
                certificate, place, ..
            } => format!("the private key in {place} does not match {certificate}"),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Pem(error) => return error.remedy(),
            Self::NoCertificate { has_key: true, .. }
            | Self::NoKey {
                has_certificate: true,
                ..
            } => "give the certificate chain first and the private key second",
            Self::NoCertificate { .. } => "give the file with our CERTIFICATE block",
            Self::NoKey { .. } => "give the file with our PRIVATE KEY block",
            Self::SeveralKeys { .. } => "leave only the one that belongs to the certificate",
            Self::Malformed { .. } => "have it issued anew",
            Self::Version1 { .. } => return format!("issue version 3: {ISSUE_V3}").into(),
            Self::UnusableKey { problem, .. } if is_ml_dsa_without_provider(problem) => {
                USE_AWS_LC_RS
            }
            Self::UnusableKey { .. } => {
                "use one for ECDSA P-256 or P-384, Ed25519, or RSA with 2,048 bits or more"
            }
            Self::Passphrase { .. } => "correct where the passphrase is read from",
            Self::WrongPassphrase { .. } => {
                "give the one that `openssl pkey -in KEY.pem -noout` accepts"
            }
            Self::UnsupportedEncryption { .. } | Self::EncryptionCost { .. } => {
                "encrypt it anew: `openssl pkcs8 -in KEY.pem -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 -out KEY-new.pem`"
            }
            Self::KeyMismatch {
                fitting_position: Some(position),
                ..
            } => {
                return format!(
                    "it matches certificate {position} of the chain: put the leaf first"
                )
                .into();
            }
            Self::KeyMismatch { .. } => {
                "compare `openssl pkey -in KEY -pubout` with `openssl x509 -in CERT -pubkey -noout`"
            }
        }
        .into()
    }
}

display_diagnostic!(CredentialsError);
