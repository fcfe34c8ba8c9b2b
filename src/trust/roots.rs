//! The constraints in the certificate of a root.

use rustls_pki_types::UnixTime;

use super::extensions::{path_length, unknown_critical};
use super::store::Root;
use super::verifier::{check_validity, wrong_usage};
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
    now: UnixTime,
) -> Result<Option<Certificate>, ChainError> {
    if verifier.constraints_of_roots() == RootConstraints::Ignore {
        return Ok(None);
    }
    // A self-issued certificate does not count (RFC 5280 section 4.2.1.9).
    let below = issuers.iter().filter(|it| !it.is_self_issued()).count();
    let mut refusal = None;
    let mut passed: Option<&Certificate> = None;
    for certificate in root.certificate.iter().chain(&root.others) {
        match check(verifier, certificate, below, now) {
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

fn check(
    verifier: &ChainVerifier,
    root: &Certificate,
    below: usize,
    now: UnixTime,
) -> Result<(), ChainError> {
    check_validity(root, now)?;
    if let Some(purposes) = root.extended_key_usage()
        && purposes
            .iter()
            .all(|oid| oid != verifier.usage().usage_oid())
    {
        return Err(wrong_usage(root, verifier.usage()));
    }
    let problem = if path_length(root).is_some_and(|allowed| below > allowed) {
        PathError::PathLength
    } else if let Some(oid) = unknown_critical(root) {
        PathError::CriticalExtension { oid: oid.into() }
    } else {
        return Ok(());
    };
    Err(ChainError::Invalid {
        certificate: root.clone(),
        problem,
    })
}
