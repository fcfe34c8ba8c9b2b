//! The constraints in the certificate of a root.

use super::extensions::{path_length, unknown_critical_of_root};
use super::store::Root;
use super::validate::{Rules, fits_usage, validity};
use super::verifier::wrong_usage;
use super::{ChainError, ChainVerifier, PathError, RootConstraints};
use crate::pki::Certificate;

/// Checks a root against its certificate, under [`RootConstraints::Enforce`]. Returns the certificate
/// that passed.
///
/// A store may have several certificates of one name and key, such as a renewed one. One that passes is
/// enough; of several, the one that expires last is returned.
pub(super) fn enforce(
    verifier: &ChainVerifier,
    root: &Root,
    issuers: &[&Certificate],
    rules: &Rules<'_>,
) -> Result<Option<Certificate>, ChainError> {
    if verifier.constraints_of_roots() == RootConstraints::Ignore {
        return Ok(None);
    }
    // A self-issued certificate does not count (RFC 5280 section 4.2.1.9).
    let below = issuers.iter().filter(|it| !it.is_self_issued()).count();
    let mut refusal = None;
    let mut passed: Option<&Certificate> = None;
    for certificate in root.certificate.iter().chain(&root.others) {
        match check(certificate, below, rules) {
            Ok(()) => {
                let lasts_longer =
                    passed.is_none_or(|other| certificate.not_after() > other.not_after());
                passed = if lasts_longer {
                    Some(certificate)
                } else {
                    passed
                };
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match (passed, refusal) {
        (Some(certificate), _) => Ok(Some(certificate.clone())),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None), // loaded without a certificate
    }
}

fn check(root: &Certificate, below: usize, rules: &Rules<'_>) -> Result<(), ChainError> {
    validity(root, rules.now, rules.choices.clock_tolerance)?;
    if let Some(purposes) = root.extended_key_usage()
        && !fits_usage(purposes, rules.usage, rules.extended_key_usage)
    {
        return Err(wrong_usage(root, rules.usage));
    }
    let problem = if path_length(root).is_some_and(|allowed| below > allowed) {
        PathError::PathLength
    } else if let Some(oid) = unknown_critical_of_root(root) {
        PathError::UnknownExtension {
            oid: oid.to_owned(),
        }
    } else {
        return Ok(());
    };
    Err(ChainError::Invalid {
        certificate: root.clone(),
        problem,
    })
}
