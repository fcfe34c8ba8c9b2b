//! Extensions that constrain an issuer.

use crate::pki::Certificate;
use crate::pki::der::{self, Reader};

/// The pathLenConstraint of basicConstraints (RFC 5280 section 4.2.1.9): the number of intermediates
/// that may be below.
pub(crate) fn path_length(certificate: &Certificate) -> Option<usize> {
    let value = certificate.extension("2.5.29.19")?;
    let mut fields = Reader::new(der::single(value, der::SEQUENCE).ok()?);
    fields.optional(der::BOOLEAN).ok()?;
    match fields.expect(der::INTEGER).ok()?.content {
        [length] => Some(usize::from(*length)),
        _ => None,
    }
}

/// The content of the nameConstraints without the outer SEQUENCE, which trust anchors contain.
pub(crate) fn name_constraints(certificate: &Certificate) -> Option<&[u8]> {
    der::single(certificate.extension("2.5.29.30")?, der::SEQUENCE).ok()
}

/// A critical extension that path validation does not process and must therefore reject (RFC 5280
/// section 4.2).
pub(crate) fn unknown_critical(certificate: &Certificate) -> Option<&str> {
    /// The extensions that rustls-webpki processes.
    const KNOWN: [&str; 7] = [
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.31",
        "2.5.29.37",
        "1.3.6.1.4.1.11129.2.4.2",
    ];
    certificate
        .extensions()
        .iter()
        .find(|extension| extension.is_critical() && !KNOWN.contains(&extension.oid()))
        .map(crate::pki::Extension::oid)
}
