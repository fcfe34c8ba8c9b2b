//! Extensions that constrain an issuer.

use crate::pki::Certificate;
use crate::pki::der::{self, Reader};
use crate::pki::extension_oid::{
    BASIC_CONSTRAINTS, CERTIFICATE_POLICIES, CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE,
    INHIBIT_ANY_POLICY, KEY_USAGE, NAME_CONSTRAINTS, POLICY_CONSTRAINTS, POLICY_MAPPINGS,
    SUBJECT_ALTERNATIVE_NAME,
};

/// The pathLenConstraint of basicConstraints (RFC 5280 section 4.2.1.9): the number of intermediates
/// that may be below.
pub(crate) fn path_length(certificate: &Certificate) -> Option<usize> {
    let value = certificate.extension(BASIC_CONSTRAINTS)?;
    let mut fields = Reader::new(der::single(value, der::SEQUENCE).ok()?);
    fields.optional(der::BOOLEAN).ok()?;
    match fields.expect(der::INTEGER).ok()?.content {
        [length] => Some(usize::from(*length)),
        _ => None,
    }
}

/// The content of the nameConstraints without the outer SEQUENCE, which trust anchors contain.
pub(crate) fn name_constraints(certificate: &Certificate) -> Option<&[u8]> {
    der::single(certificate.extension(NAME_CONSTRAINTS)?, der::SEQUENCE).ok()
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

/// Whether path validation processes an extension.
pub(super) fn is_known(oid: &str) -> bool {
    const KNOWN: [&str; 7] = [
        KEY_USAGE,
        SUBJECT_ALTERNATIVE_NAME,
        BASIC_CONSTRAINTS,
        NAME_CONSTRAINTS,
        CRL_DISTRIBUTION_POINTS,
        EXTENDED_KEY_USAGE,
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
