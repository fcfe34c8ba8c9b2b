//! Path validation by RFC 5280 section 6.1.
//!
//! rustls-webpki does not process certificate policies, name constraints of most kinds, self-issued
//! certificates by section 6.1.3 (b), and names that are equal only by section 7.1. This validator
//! processes all of these, over every path whose signatures the search has verified. rustls-webpki stays
//! the second check of every path that it can process, and both must accept.
//!
//! The work is linear in the size of the certificates, except for name constraints, whose comparisons
//! are counted.

mod certificate;
mod hosts;
mod names;
mod policies;
mod policy_graph;
mod scope;

use rustls_pki_types::UnixTime;

use super::choices::{Choices, NameMatching};
use super::{ChainError, EkuPolicy, PathError};
use crate::pki::name_matching::names_match_rfc5280;
use crate::pki::{Certificate, DistinguishedName, Excerpt};
use crate::side::Side;

pub(super) use certificate::{check_extensions, fits_usage, validity};
pub(crate) use names::violates;
pub(super) use scope::webpki_processes;

/// A path whose signatures are valid.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    /// The leaf first; the root is not included.
    pub(super) certificates: &'a [&'a Certificate],
    /// The name of the root; `None` if it is not DER.
    pub(super) root: Option<&'a DistinguishedName>,
    /// The content of the root's nameConstraints.
    pub(super) root_constraints: Option<&'a [u8]>,
}

/// The other inputs of section 6.1.1.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) now: UnixTime,
    pub(super) usage: Side,
    pub(super) extended_key_usage: EkuPolicy,
    pub(super) choices: &'a Choices,
}

/// Checks a path, except for its signatures.
pub(super) fn check(path: Path<'_>, rules: &Rules<'_>) -> Result<(), ChainError> {
    let (leaf, issuers) = path.certificates.split_at(1); // a path has a leaf
    certificate::check(leaf[0], rules)?;
    let mut below = 0;
    for issuer in issuers {
        certificate::check(issuer, rules)?;
        certificate::check_issuer(issuer, below)?;
        below += usize::from(!issuer.is_self_issued());
    }
    check_chaining(path, rules.choices.names)?;
    names::check(path)?;
    policies::check(path.certificates, &rules.choices.policies)
}

/// Checks a leaf by the rules that do not depend on its path.
pub(super) fn check_alone(leaf: &Certificate, rules: &Rules<'_>) -> Result<(), ChainError> {
    certificate::check(leaf, rules)
}

/// Section 6.1.3 (a) (4). The search has linked the path by the same rule.
fn check_chaining(path: Path<'_>, matching: NameMatching) -> Result<(), ChainError> {
    let issuers = path.certificates[1..].iter().map(|it| Some(it.subject()));
    for (certificate, issuer) in path.certificates.iter().zip(issuers.chain([path.root])) {
        let chains = issuer.is_some_and(|name| matching.matches(certificate.issuer(), name));
        if !chains {
            return Err(ChainError::UnknownIssuer {
                certificate: (*certificate).clone(),
                alike: None,
                roots: Excerpt::new(path.root.cloned(), usize::from(path.root.is_some())),
            });
        }
    }
    Ok(())
}

impl NameMatching {
    pub(super) fn matches(self, one: &DistinguishedName, other: &DistinguishedName) -> bool {
        one == other || (self == Self::Rfc5280 && names_match_rfc5280(one, other))
    }
}

fn invalid(certificate: &Certificate, problem: PathError) -> ChainError {
    ChainError::Invalid {
        certificate: certificate.clone(),
        problem,
    }
}

fn malformed(certificate: &Certificate, oid: &str) -> ChainError {
    let oid = oid.to_owned();
    invalid(certificate, PathError::MalformedExtension { oid })
}
