//! Who a verified certificate says that its holder is.
//!
//! An extractor reads **one field of the leaf certificate**, wants exactly one value there, and
//! gives a typed identity or a named error. It never falls back to another field, never takes the
//! first of several, and never looks at another certificate of the chain: those are the ways in
//! which the wrong name was read from a good certificate (Envoy CVE-2022-21656, Node
//! CVE-2021-44531, Spring CVE-2026-22747).

mod common_name;
mod dns;
mod error;
mod spiffe;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use common_name::{CommonName, CommonNameExtractor, InvalidCommonName};
pub use dns::{DnsName, DnsNameExtractor, InvalidDnsName};
pub use error::{IdentityError, IdentityErrorKind};
pub use spiffe::{InvalidSpiffeId, SpiffeId, SpiffeIdExtractor};

use crate::pki::Certificate;

/// Turns a verified leaf certificate into a typed identity.
///
/// Closures are extractors:
///
/// ```
/// use countersign::identity::{IdentityError, IdentityExtractor};
/// use countersign::pki::{Certificate, Fingerprint};
///
/// fn assert_extractor(_: impl IdentityExtractor<Identity = Fingerprint>) {}
///
/// assert_extractor(|certificate: &Certificate| Ok(certificate.spki_sha256()));
/// ```
///
/// The certificate that an extractor is given has already been verified, and its holder has proven
/// to own the key; what an extractor must still refuse is everything ambiguous in it, because a
/// certificate authority vouches for the bytes, not for how they are read.
///
/// A panicking extractor counts as an error: the peer is refused.
pub trait IdentityExtractor: Send + Sync {
    /// The typed identity.
    type Identity;

    /// Reads the identity from the leaf certificate.
    ///
    /// # Errors
    /// An [`IdentityError`], of which the kind is a stable code: the value is missing, ambiguous,
    /// malformed, too long or not allowed as an identity. The peer is then refused.
    fn extract(&self, certificate: &Certificate) -> Result<Self::Identity, IdentityError>;
}

// It must stay usable behind a pointer.
const _: Option<&dyn IdentityExtractor<Identity = ()>> = None;

impl<F, I> IdentityExtractor for F
where
    F: Fn(&Certificate) -> Result<I, IdentityError> + Send + Sync,
{
    type Identity = I;

    fn extract(&self, certificate: &Certificate) -> Result<I, IdentityError> {
        self(certificate)
    }
}

/// Runs application code that reads hostile bytes; a panic in it is an error like any other.
pub(crate) fn extract_caught<I>(
    extractor: &dyn IdentityExtractor<Identity = I>,
    certificate: &Certificate,
) -> Result<I, IdentityError> {
    catch_unwind(AssertUnwindSafe(|| extractor.extract(certificate))).unwrap_or_else(|_| {
        Err(IdentityError::new(
            IdentityErrorKind::Panicked,
            "the identity extractor panicked",
        ))
    })
}
