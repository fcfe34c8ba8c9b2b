//! A peer between steps 2 and 3 of the gate.

use std::borrow::Cow;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

#[cfg(feature = "http")]
use super::Vouched;
use super::{Admission, AdmitError, Epoch, GenerationId};
use crate::Peer;
use crate::policy::Verdict;
use crate::trust::VerifiedChain;

/// A peer that was verified and identified; step 3 decides about it.
pub(crate) struct Identified<'c, I> {
    pub(super) peer: Peer<I>,
    /// The chain as the peer sent it, in case it has to be verified again.
    pub(super) presented: &'c [CertificateDer<'c>],
    /// The trust that it was verified by.
    pub(super) trust: GenerationId,
    allowed: Option<Allowed>,
    policy_time: Option<Duration>,
    /// For each further verification: whether its result was cached.
    pub(super) reverified: Vec<bool>,
}

/// The policy's permission.
struct Allowed {
    rule: Cow<'static, str>,
    /// The path that the policy saw.
    path: VerifiedChain,
    /// The rules that the policy belongs to.
    epoch: Epoch,
}

impl<'c, I> Identified<'c, I> {
    pub(super) const fn new(
        peer: Peer<I>,
        presented: &'c [CertificateDer<'c>],
        trust: GenerationId,
    ) -> Self {
        Self {
            peer,
            presented,
            trust,
            allowed: None,
            policy_time: None,
            reverified: Vec::new(),
        }
    }

    /// The same peer, whose key was proven to this proxy: for step 3, before it has decided.
    #[cfg(feature = "http")]
    pub(crate) fn vouched_for_by(self, proxy: Peer<I>) -> Self {
        let peer = self.peer.vouched_for_by(proxy);
        Self::new(peer, self.presented, self.trust)
    }

    /// The admission of a peer that a proxy vouches for, once a gate has decided; `None` before.
    #[cfg(feature = "http")]
    pub(crate) fn vouched(&self) -> Option<Vouched<I>> {
        Vouched::of(&self.admission()?)
    }

    pub(crate) const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    pub(crate) const fn presented(&self) -> &'c [CertificateDer<'c>] {
        self.presented
    }

    /// How long policies have taken since the last call, if one ran.
    pub(crate) const fn take_policy_time(&mut self) -> Option<Duration> {
        self.policy_time.take()
    }

    /// For each verification of step 3 since the last call: whether its result was cached.
    pub(crate) fn take_reverified(&mut self) -> Vec<bool> {
        std::mem::take(&mut self.reverified)
    }

    /// Whether the policy has allowed the peer's current path, under rules that are in force according to
    /// `is_current`.
    pub(super) fn is_allowed(&self, is_current: impl FnOnce(Epoch) -> bool) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| {
            allowed.path.is_same_path(self.peer.chain()) && is_current(allowed.epoch)
        })
    }

    /// Takes the policy's verdict.
    pub(super) fn decided(
        &mut self,
        verdict: Verdict,
        epoch: Epoch,
        took: Duration,
    ) -> Result<(), AdmitError> {
        self.policy_time = Some(self.policy_time.unwrap_or_default().saturating_add(took));
        let admission = Admission::of(verdict, self.peer.clone())?;
        self.allowed = Some(Allowed {
            rule: admission.rule_name(),
            path: self.peer.chain().clone(),
            epoch,
        });
        Ok(())
    }

    /// The admission, once a gate has decided; `None` before.
    pub(crate) fn admission(&self) -> Option<Admission<I>> {
        let allowed = self.allowed.as_ref()?;
        Some(Admission::by_rule(allowed.rule.clone(), self.peer.clone()))
    }
}
