//! Rules that are in force together.
//!
//! Trust, TLS configuration, policy and deny list are replaced by one swap each, and a decision
//! reads them one after the other. What ties them together is the epoch: a change does all of its
//! swaps, and counts the epoch up, under a lock; and a decision takes effect under the same lock,
//! and only if the epoch is the one in which it began. So no connection is opened by half of a
//! change. Under the lock there are swaps and nothing else: no code of the application, nothing
//! that waits, nothing that can fail.

use std::sync::{PoisonError, RwLock};

/// Which rules have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    Nothing,
    /// Trust, CRLs, credentials or the deny list.
    Facts,
    /// The policy, at least.
    Policy,
}

/// How often the rules were replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    facts: u64,
    policy: u64,
}

impl Epoch {
    /// The number of the policy.
    #[cfg(feature = "tokio")]
    pub(super) const fn policy(self) -> u64 {
        self.policy
    }

    const fn since(self, seen: Self) -> Changed {
        if self.policy != seen.policy {
            Changed::Policy
        } else if self.facts != seen.facts {
            Changed::Facts
        } else {
            Changed::Nothing
        }
    }
}

/// The epoch that is in force.
#[derive(Debug, Default)]
pub(super) struct Epochs(RwLock<Epoch>);

impl Epochs {
    pub(super) fn now(&self) -> Epoch {
        self.read(|epoch| epoch)
    }

    /// Reads what is in force together.
    pub(super) fn read<T>(&self, read: impl FnOnce(Epoch) -> T) -> T {
        let epoch = self.0.read().unwrap_or_else(PoisonError::into_inner);
        read(*epoch)
    }

    /// Begins a new epoch with these swaps.
    pub(super) fn begin<T>(&self, changed: Changed, swap: impl FnOnce() -> T) -> T {
        let mut epoch = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = swap();
        match changed {
            Changed::Nothing => {}
            Changed::Facts => epoch.facts = epoch.facts.wrapping_add(1),
            Changed::Policy => epoch.policy = epoch.policy.wrapping_add(1),
        }
        old
    }

    /// Does `settle` if the epoch is still the one that was seen; otherwise says what has changed.
    pub(super) fn settle(&self, seen: Epoch, settle: impl FnOnce()) -> Changed {
        let epoch = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let changed = epoch.since(seen);
        if changed == Changed::Nothing {
            settle();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_takes_effect_only_in_the_epoch_in_which_it_began() {
        let epochs = Epochs::default();
        let settles = |seen| {
            let mut done = false;
            let changed = epochs.settle(seen, || done = true);
            assert_eq!(done, changed == Changed::Nothing);
            changed
        };
        let first = epochs.now();
        assert_eq!(settles(first), Changed::Nothing);
        epochs.begin(Changed::Facts, || ());
        assert_eq!(settles(first), Changed::Facts);
        let second = epochs.now();
        epochs.begin(Changed::Policy, || ());
        assert_eq!(
            settles(first),
            Changed::Policy,
            "the policy counts for more"
        );
        assert_eq!(settles(second), Changed::Policy);
        epochs.begin(Changed::Nothing, || ());
        assert_eq!(settles(epochs.now()), Changed::Nothing);
    }
}
