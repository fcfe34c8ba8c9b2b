//! Why PEM data cannot be read.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::BlockPlace;
use crate::pki::pem::Origin;

/// Why PEM data cannot be read.
///
/// ```
/// use countersign::TrustStore;
/// use countersign::pki::PemError;
/// use countersign::trust::TrustError;
///
/// let error = TrustStore::from_pem_file("missing.crt").unwrap_err();
/// assert!(matches!(error, TrustError::Pem(PemError::Io { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The file cannot be read: it does not exist, or this process has no permission.
    Io {
        /// The file.
        file: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// It is a pipe, a socket or a device, which can block the reader or have no end.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than 256 MiB.
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// There is no PEM block: an empty file, or DER given as PEM.
    Empty {
        /// The file, or "the given bytes".
        place: String,
        /// Whether the data starts like a DER sequence.
        looks_like_der: bool,
    },
    /// A block is cut off: its `-----END` line is missing, as in a half-written file.
    CutOff {
        /// The block.
        place: BlockPlace,
    },
    /// A block's BEGIN line or base64 is damaged.
    Damaged {
        /// The block.
        place: BlockPlace,
        /// What is wrong with it.
        problem: String,
    },
    /// The private key is encrypted with a passphrase.
    EncryptedKey {
        /// The block.
        place: BlockPlace,
    },
    /// A block is of another kind than the expected one.
    Unexpected {
        /// The block.
        place: BlockPlace,
        /// The label on its BEGIN line.
        label: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

impl PemError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "unreadable_file",
            Self::NotAFile { .. } => "not_a_file",
            Self::TooLarge { .. } => "too_large",
            Self::Empty { .. } => "no_pem_block",
            Self::CutOff { .. } => "pem_cut_off",
            Self::Damaged { .. } => "pem_damaged",
            Self::EncryptedKey { .. } => "encrypted_key",
            Self::Unexpected { .. } => "unexpected_pem_block",
        }
    }
}

impl Diagnostic for PemError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        let name = |path: &PathBuf| Origin::File(path.clone());
        match self {
            Self::Io { file, source } => format!("cannot read {}: {source}", name(file)),
            Self::NotAFile { path } => format!(
                "{} is not a regular file but a pipe, a socket or a device",
                name(path)
            ),
            Self::TooLarge { file, limit } => {
                format!("{} is larger than {limit} bytes", name(file))
            }
            Self::Empty {
                place,
                looks_like_der,
            } => {
                let why = if *looks_like_der {
                    ": it looks like DER"
                } else {
                    ""
                };
                format!("{place} holds no PEM block{why}")
            }
            Self::CutOff { place } => {
                format!("{place} has no matching -----END line: the file is cut off or damaged")
            }
            Self::Damaged { place, problem } => format!("{place} is damaged: {problem}"),
            Self::EncryptedKey { place } => format!("{place} is an encrypted private key"),
            Self::Unexpected {
                place,
                label,
                expected,
            } => format!("{place} is a {label}, where only {expected} is expected"),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Io { .. } => "check the path and its permissions",
            Self::NotAFile { .. } => "put a file there",
            Self::TooLarge { .. } => "check whether it is the intended file",
            Self::Empty { looks_like_der, .. } if *looks_like_der => {
                "use the from_der functions, or convert it with `openssl x509 -inform der -in FILE -out FILE.pem`"
            }
            Self::Empty { .. } => "give one with -----BEGIN lines",
            Self::CutOff { .. } => "write it again, whole",
            Self::Damaged { .. } => "write it again",
            Self::EncryptedKey { .. } => {
                "decrypt it first: `openssl pkey -in KEY.pem -out KEY-plain.pem`, and protect the result with file permissions"
            }
            Self::Unexpected { .. } => "remove it, or give another file",
        }
        .into()
    }
}

display_diagnostic!(PemError);
