//! Why PEM data cannot be read.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::pem::Origin;
use crate::pki::{BlockPlace, ContentKind};

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
    /// There is no PEM block, as in an empty file.
    Empty {
        /// The file, or "the given bytes".
        place: String,
    },
    /// The file is of another format: DER, PKCS#7, PKCS#12 or a Java keystore.
    NotPem {
        /// The file, or "the given bytes".
        place: String,
        /// What it contains.
        found: ContentKind,
    },
    /// The file is UTF-16 without a byte order mark, or damaged UTF-16.
    Encoding {
        /// The file, or "the given bytes".
        place: String,
        /// The encoding that it seems to have.
        encoding: &'static str,
    },
    /// Line breaks are the two characters `\n`, as in an environment variable or in JSON.
    EscapedNewlines {
        /// The file, or "the given bytes".
        place: String,
    },
    /// A BEGIN or END line has other text on the same line: line breaks were lost.
    LineBreaks {
        /// The block.
        place: BlockPlace,
    },
    /// A BEGIN or END line is indented, as in a YAML file.
    Indented {
        /// The block.
        place: BlockPlace,
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
        /// Whether it has OpenSSL's traditional format (`Proc-Type: 4,ENCRYPTED`) and not PKCS#8.
        is_traditional: bool,
    },
    /// The private key is in the format of OpenSSH.
    OpenSshKey {
        /// The block.
        place: BlockPlace,
        /// Whether it is an Ed25519 key, which `ssh-keygen` cannot convert.
        is_ed25519: bool,
    },
    /// A block labelled as a certificate contains something else.
    Mislabelled {
        /// The block.
        place: BlockPlace,
        /// The label on its BEGIN line.
        label: String,
        /// What it contains.
        found: ContentKind,
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
            Self::NotPem { .. } => "not_pem",
            Self::Encoding { .. } => "text_encoding",
            Self::EscapedNewlines { .. } => "pem_escaped_newlines",
            Self::LineBreaks { .. } => "pem_line_breaks",
            Self::Indented { .. } => "pem_indented",
            Self::CutOff { .. } => "pem_cut_off",
            Self::Damaged { .. } => "pem_damaged",
            Self::EncryptedKey { .. } => "encrypted_key",
            Self::OpenSshKey { .. } => "openssh_key",
            Self::Mislabelled { .. } => "pem_mislabelled",
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
            Self::Empty { place } => format!("{place} holds no PEM block"),
            Self::NotPem { place, found } => format!("{place} is {found}, and not PEM"),
            Self::Encoding { place, encoding } => {
                format!("{place} is {encoding} without a byte order mark, or is damaged")
            }
            Self::EscapedNewlines { place } => {
                format!("{place} has the characters \\n where its lines should end")
            }
            Self::LineBreaks { place } => {
                format!("{place} has its BEGIN or END line and other text on one line")
            }
            Self::Indented { place } => {
                format!("{place} is indented: its BEGIN and END lines must start with five dashes")
            }
            Self::CutOff { place } => {
                format!("{place} has no matching -----END line: the file is cut off or damaged")
            }
            Self::Damaged { place, problem } => format!("{place} is damaged: {problem}"),
            Self::EncryptedKey { place, .. } => format!("{place} is an encrypted private key"),
            Self::OpenSshKey { place, .. } => {
                format!("{place} is a private key in the format of OpenSSH, which TLS does not use")
            }
            Self::Mislabelled {
                place,
                label,
                found,
            } => format!("{place} is labelled {label}, but contains {found}"),
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
            Self::Empty { .. } => "give one with -----BEGIN lines",
            Self::NotPem { found, .. } => return remedy_of_other(*found).into(),
            Self::Encoding {
                encoding: "UTF-16BE",
                ..
            } => "save it in UTF-8: `iconv -f UTF-16BE -t UTF-8 FILE > FILE.pem`",
            Self::Encoding { .. } => {
                "save it in UTF-8: `iconv -f UTF-16LE -t UTF-8 FILE > FILE.pem`"
            }
            Self::EscapedNewlines { .. } => {
                r#"write real line breaks: `printf '%b\n' "$(tr -d '"' < FILE)" > FILE.pem`"#
            }
            Self::LineBreaks { .. } => {
                r#"write the lines apart: `awk '{gsub(/-----(BEGIN|END) [A-Z0-9 ]+-----/,"\n&\n"); print}' FILE > FILE.pem`"#
            }
            Self::Indented { .. } => {
                "remove the indentation: `sed 's/^[[:space:]]*//' FILE > FILE.pem`"
            }
            Self::CutOff { .. } => "write it again, whole",
            Self::Damaged { .. } => "write it again",
            Self::EncryptedKey {
                is_traditional: true,
                ..
            } => {
                "decrypt it first: `openssl pkey -in KEY.pem -out KEY-plain.pem`, and protect the result with file permissions"
            }
            Self::EncryptedKey { .. } => {
                "decrypt it first: `openssl pkey -in KEY.pem -out KEY-plain.pem`, and protect the result with file permissions; or give its passphrase to Credentials::from_encrypted_pem_files (feature encrypted-keys)"
            }
            Self::OpenSshKey {
                is_ed25519: true, ..
            } => {
                "OpenSSH does not convert Ed25519 keys: make a new one with `openssl genpkey -algorithm ed25519 -out KEY-new.pem`, and have a certificate issued for it"
            }
            Self::OpenSshKey { .. } => {
                "convert a copy: `cp KEY.pem KEY-pkcs8.pem && chmod 600 KEY-pkcs8.pem && ssh-keygen -p -N '' -m PKCS8 -f KEY-pkcs8.pem`"
            }
            Self::Mislabelled {
                found: ContentKind::Pkcs7,
                ..
            } => {
                "take the certificates out: `sed 's/CERTIFICATE-----/PKCS7-----/' FILE | openssl pkcs7 -print_certs -out FILE.pem`"
            }
            Self::Mislabelled {
                found: ContentKind::CertificateRequest,
                ..
            } => REQUEST,
            Self::Mislabelled {
                found: ContentKind::TrustedCertificate,
                ..
            } => {
                "remove the trust settings: `sed 's/ [A-Z0-9. ]*CERTIFICATE-----/ TRUSTED CERTIFICATE-----/' FILE | openssl x509 -out FILE.pem`"
            }
            Self::Mislabelled { .. } => "give the file with the certificate",
            Self::Unexpected { label, .. } => match label.as_str() {
                "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => {
                    "take the certificates out: `openssl pkcs7 -in FILE -print_certs -out FILE.pem`"
                }
                "TRUSTED CERTIFICATE" => {
                    "remove OpenSSL's trust settings: `openssl x509 -in FILE -out FILE.pem`"
                }
                "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => REQUEST,
                "PUBLIC KEY" | "RSA PUBLIC KEY" => {
                    "give the private key that belongs to it, or the certificate that has it"
                }
                _ => "remove it, or give another file",
            },
        }
        .into()
    }
}

display_diagnostic!(PemError);

const REQUEST: &str =
    "have a certificate authority issue a certificate for the request, and give that";

/// The remedy for a file that is not PEM.
const fn remedy_of_other(found: ContentKind) -> &'static str {
    match found {
        ContentKind::Certificate => {
            "convert it with `openssl x509 -inform der -in FILE -out FILE.pem`, or use the from_der functions"
        }
        ContentKind::CertificateRequest => REQUEST,
        ContentKind::Crl => "convert it with `openssl crl -inform der -in FILE -out FILE.pem`",
        ContentKind::Pkcs7 => {
            "take the certificates out: `openssl pkcs7 -inform der -in FILE -print_certs -out FILE.pem`"
        }
        ContentKind::Pkcs12 => {
            "take the certificates and the key out: `openssl pkcs12 -in FILE -nodes -out FILE.pem` (with -legacy where it is encrypted with RC2), and protect the result with file permissions"
        }
        ContentKind::Pkcs8 | ContentKind::Pkcs1 | ContentKind::Sec1 => {
            "convert it with `openssl pkey -inform der -in FILE -out FILE.pem`, or use the from_der functions"
        }
        ContentKind::EncryptedPkcs8 => {
            "decrypt it first: `openssl pkcs8 -inform der -in FILE -out FILE.pem`, and protect the result with file permissions"
        }
        ContentKind::JavaKeyStore => {
            "convert it with `keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12`, then `openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem`, and protect the result with file permissions"
        }
        ContentKind::PublicKey | ContentKind::OpenSshPublicKey => {
            "give the private key that belongs to it, or the certificate that has it"
        }
        ContentKind::PuttyKey => {
            "export it from PuTTYgen as an OpenSSH key, and convert that with ssh-keygen"
        }
        ContentKind::TrustedCertificate | ContentKind::OtherDer => "give one with -----BEGIN lines",
    }
}
