//! Which rules are in force together.

use super::GenerationId;

/// Which rules a change replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    /// Trust, CRLs, credentials or the deny list, or none of them.
    Facts,
    /// The policy, at least.
    Policy,
}

/// Identifies the rules of one [`Gate`](super::Gate): two gates of one endpoint with equal epochs
/// decide alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Roots, pins, CRLs and credentials: sessions and remembered chains depend on this alone.
    pub(super) trust: GenerationId,
    pub(super) policy: u64,
    /// The deny list, and whether peers are admitted at all.
    pub(super) facts: u64,
}

impl Epoch {
    pub(super) const fn first(trust: GenerationId) -> Self {
        Self {
            trust,
            policy: 0,
            facts: 0,
        }
    }

    /// The number of the policy.
    pub(crate) const fn policy(self) -> u64 {
        self.policy
    }
}
