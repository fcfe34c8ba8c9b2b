//! The proof that a peer was admitted.

use std::borrow::Cow;
use std::fmt;

use super::AdmitError;
use crate::Peer;
use crate::policy::Verdict;

/// The proof that a peer was verified, identified and allowed. Only a decision of the gate makes one.
///
/// ```
/// use countersign::gate::Admission;
/// use countersign::identity::SpiffeId;
///
/// /// Code that takes an admission cannot run for a peer that was not admitted.
/// fn greeting(admission: &Admission<SpiffeId>) -> String {
///     format!("hello {}, by {}", admission.peer().identity(), admission.rule())
/// }
/// ```
pub struct Admission<I> {
    peer: Peer<I>,
    rule: Cow<'static, str>,
}

impl<I> Admission<I> {
    /// Converts a policy's verdict about `peer` into an admission of that peer, or an error.
    pub(super) fn of(verdict: Verdict, peer: Peer<I>) -> Result<Self, AdmitError> {
        let certificate = || peer.certificate().clone();
        match verdict {
            Verdict::Decided(decision) => match decision.into_result() {
                Ok(rule) => Ok(Self { peer, rule }),
                Err(reason) => Err(AdmitError::Denied {
                    certificate: certificate(),
                    reason,
                }),
            },
            Verdict::Panicked => Err(AdmitError::PolicyPanicked {
                certificate: certificate(),
            }),
            Verdict::TimedOut(timeout) => Err(AdmitError::PolicyTimedOut {
                certificate: certificate(),
                timeout,
            }),
        }
    }

    /// A peer that a policy has allowed by this rule.
    pub(super) const fn by_rule(rule: Cow<'static, str>, peer: Peer<I>) -> Self {
        Self { peer, rule }
    }

    /// The peer.
    pub const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    /// The name of the rule that allowed it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    pub(crate) fn rule_name(&self) -> Cow<'static, str> {
        self.rule.clone()
    }
}

impl<I: fmt::Debug> fmt::Debug for Admission<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("peer", &self.peer)
            .field("rule", &self.rule)
            .finish()
    }
}
