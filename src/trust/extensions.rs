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
    let mut extensions = certificate.extensions().iter();
    extensions
        .find(|extension| extension.is_critical() && !is_known(extension.oid()))
        .map(crate::pki::Extension::oid)
}

/// As [`unknown_critical`] for a root, whose policies are not processed.
pub(super) fn unknown_critical_of_root(root: &Certificate) -> Option<&str> {
    let mut extensions = root.extensions().iter();
    extensions
        .find(|extension| {
            let oid = extension.oid();
            extension.is_critical() && (!is_known(oid) || is_policy(oid))
        })
        .map(crate::pki::Extension::oid)
}

pub(super) const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";
pub(super) const NAME_CONSTRAINTS: &str = "2.5.29.30";
pub(super) const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
pub(super) const CERTIFICATE_POLICIES: &str = "2.5.29.32";
pub(super) const POLICY_MAPPINGS: &str = "2.5.29.33";
pub(super) const POLICY_CONSTRAINTS: &str = "2.5.29.36";
pub(super) const INHIBIT_ANY_POLICY: &str = "2.5.29.54";

/// Whether path validation processes an extension.
pub(super) fn is_known(oid: &str) -> bool {
    const KNOWN: [&str; 7] = [
        "2.5.29.15",
        SUBJECT_ALTERNATIVE_NAME,
        "2.5.29.19",
        NAME_CONSTRAINTS,
        CRL_DISTRIBUTION_POINTS,
        "2.5.29.37",
        "1.3.6.1.4.1.11129.2.4.2",
    ];
    KNOWN.contains(&oid) || is_policy(oid)
}

/// Whether an extension is about policies.
pub(super) fn is_policy(oid: &str) -> bool {
    [
        CERTIFICATE_POLICIES,
        POLICY_MAPPINGS,
        POLICY_CONSTRAINTS,
        INHIBIT_ANY_POLICY,
    ]
    .contains(&oid)
}
