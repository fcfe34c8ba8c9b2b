//! Certificates, private keys, CRLs, PEM and DER. Nothing here decides about trust.

pub(crate) mod algorithm;
mod certificate;
pub(crate) mod contained;
mod content;
mod credentials;
mod crl;
pub(crate) mod der;
#[cfg(feature = "encrypted-keys")]
mod encrypted;
mod error;
mod excerpt;
pub(crate) mod extension_oid;
pub(crate) mod file;
pub(crate) mod key_id;
#[cfg(feature = "tokio")]
mod lane;
pub(crate) mod memory;
mod name;
pub(crate) mod name_difference;
pub(crate) mod name_matching;
pub(crate) mod named;
pub(crate) mod oid_names;
pub(crate) mod own;
pub(crate) mod pem;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub(crate) mod provider;
mod remote;
mod rfc4514;
pub(crate) mod san;
pub(crate) mod signed;
pub(crate) mod strings;
mod structure;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod usual_key;
mod webpki_view;

pub use algorithm::{AlgorithmError, KeyError, signature_algorithm_name};
#[cfg(all(test, feature = "tokio"))]
pub(crate) use certificate::reads;
pub use certificate::{
    Certificate, CertificateError, Extension, Fingerprint, FingerprintError, KeyUsage,
    PublicKeyKind, SerialNumber, key_purpose_name,
};
pub(crate) use certificate::{ShortSerial, absolute, negated};
pub use content::ContentKind;
pub use credentials::Credentials;
pub(crate) use credentials::OwnKey;
pub use crl::{Crl, CrlNumber};
pub(crate) use crl::{DistributionPoints, Entry, Reasons};
#[cfg(feature = "encrypted-keys")]
pub use encrypted::Passphrase;
pub use error::{CredentialsError, CrlFormatError, LoadWarning, OwnCertificateProblem, PemError};
pub use excerpt::Excerpt;
#[cfg(feature = "tokio")]
pub(crate) use lane::Lane;
pub(crate) use name::ShortName;
pub use name::{DistinguishedName, NameAttribute, TextError};
pub use oid_names::oid_name;
pub use own::OwnCertificateChecks;
pub use pem::BlockPlace;
#[cfg(feature = "tokio")]
pub(crate) use remote::with_deadline;
pub use remote::{RemoteSigner, SigningError, SigningRequest};
pub use san::{GeneralName, SanError};
pub use strings::StringRules;
pub(crate) use webpki_view::{spki_of, webpki_view};

/// The remedy for a version 1 certificate, which `openssl x509 -req` makes without `-extfile`.
pub(crate) const ISSUE_V3: &str = "`openssl x509 -req` makes version 1 unless it is given extensions: add `-extfile ext.cnf` with a line such as `extendedKeyUsage=clientAuth`";
