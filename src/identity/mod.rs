//! Extractors, which read a typed identity from a verified certificate.
//!
//! An extractor reads **one field of the leaf certificate**. It requires exactly one value there, and
//! returns a typed identity or an [`IdentityError`]. It does not fall back to another field, does not take
//! the first of several values, and does not read other certificates of the chain. Libraries that did so
//! read the wrong name from a good certificate (Envoy CVE-2022-21656, Node CVE-2021-44531, Spring
//! CVE-2026-22747).
//!
//! | identity | field |
//! |---|---|
//! | [`SpiffeId`] | the only URI SAN, of an X.509-SVID |
//! | [`WorkloadId`] | the only URI SAN, of any scheme with a trust domain, such as `wimse://` |
//! | [`DnsName`], [`Uri`], [`Email`], [`IpAddress`] | the only SAN of that kind |
//! | [`Upn`] | the only Microsoft user principal name among the SANs |
//! | [`CommonName`], [`OrganizationalUnit`] | the only such attribute of the subject |
//! | [`Subject`] | the whole subject |
//! | [`KubernetesUser`] | the subject's common name and organizations |
//! | [`SerialAndIssuer`] | the certificate's serial number and its issuer |
//! | [`Fingerprint`] | a digest of the certificate, or of its key |
//! | [`Psd2`] | the subject's organizationIdentifier and the PSD2 QCStatement (eIDAS) |
//! | [`ExtensionValue`] | the only extension with an object identifier |
//!
//! Each has an `extractor()`. Where certificates may contain several values, `all()` reads them all and
//! fails if one is malformed. [`map`](IdentityExtractor::map), [`try_map`](IdentityExtractor::try_map),
//! [`and`](IdentityExtractor::and) and [`or`](IdentityExtractor::or) combine extractors.
//!
//! A chain can be verified without reading these values, so rustls-webpki accepts nearly every hostile
//! one. The extractors are the only check.

mod adapter;
mod directory;
mod dns;
mod email;
mod error;
mod extension;
mod extractor;
mod fingerprint;
mod ip;
mod kubernetes;
mod psd2;
mod read;
#[cfg(feature = "serde")]
mod serde;
mod serial;
mod spiffe;
mod trust_domain;
mod upn;
mod uri;
mod workload_id;

pub use adapter::{And, Map, Or, TryMap};
pub use directory::{CommonName, OrganizationalUnit, Subject};
pub use dns::DnsName;
pub use email::Email;
pub use error::{IdentityError, IdentityErrorKind};
pub use extension::{ExtensionExtractor, ExtensionValue};
pub use extractor::{FromCertificate, IdentityExtractor, Multiple, Single};
pub use fingerprint::FingerprintExtractor;
pub use ip::IpAddress;
pub use kubernetes::KubernetesUser;
pub use psd2::{Psd2, Psd2Role};
pub use serial::SerialAndIssuer;
pub use spiffe::SpiffeId;
pub use trust_domain::TrustDomain;
pub use upn::Upn;
pub use uri::Uri;
pub use workload_id::WorkloadId;

pub use crate::pki::Fingerprint;

pub(crate) use extractor::extract_caught;
