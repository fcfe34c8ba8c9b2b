//! Trying a policy out beside the one in force.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::explanation::Role;
use super::{Decision, Explanation, Policy, Verdict, decide, explain};
use crate::Peer;
use crate::pki::text::{Escaped, Sentence};

/// Enforces one policy and records where another would decide otherwise; made by [`shadow`].
pub struct Shadow<I> {
    enforced: Box<dyn Policy<I>>,
    candidate: Box<dyn Policy<I>>,
    on_difference: Box<OnDifference<I>>,
}

type OnDifference<I> = dyn Fn(&Difference<'_, I>) + Send + Sync;

/// Enforces a policy, and asks a candidate too, only to learn what it would have decided.
///
/// Whenever the candidate would allow whom the policy denies, or the other way round, or panics,
/// `on_difference` is called and an event of level `INFO` is traced. Nothing that the candidate or
/// `on_difference` does changes the decision, a panic included; but both run on the connection's
/// task, so their time is added. When the policy in force panics, the candidate is not asked.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use countersign::identity::SpiffeId;
/// use countersign::{Policy as _, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let differences = Arc::new(AtomicUsize::new(0));
/// let count = differences.clone();
/// let callers = policy::shadow(
///     policy::trust_domain("example.org".parse()?),
///     policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?,
///     move |_| {
///         count.fetch_add(1, Ordering::Relaxed);
///     },
/// );
///
/// let shop = testing::peer("spiffe://example.org/ns/shop".parse::<SpiffeId>()?);
/// assert!(callers.authorize(&shop).is_allowed());
/// assert_eq!(differences.load(Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
pub fn shadow<I>(
    enforced: impl Policy<I> + 'static,
    candidate: impl Policy<I> + 'static,
    on_difference: impl Fn(&Difference<'_, I>) + Send + Sync + 'static,
) -> Shadow<I> {
    Shadow {
        enforced: Box::new(enforced),
        candidate: Box::new(candidate),
        on_difference: Box::new(on_difference),
    }
}

impl<I> Policy<I> for Shadow<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        let enforced = self.enforced.authorize(peer);
        let candidate = match decide(&*self.candidate, peer) {
            Verdict::Decided(decision) => Some(decision),
            _ => None,
        };
        let difference = Difference {
            peer,
            enforced: &enforced,
            candidate: candidate.as_ref(),
        };
        if difference.is_one() {
            // A panic while recording, in the application's code or in a tracing subscriber.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                difference.trace();
                (self.on_difference)(&difference);
            }));
        }
        enforced
    }

    /// Asks both and records nothing.
    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let enforced = explain(&*self.enforced, peer);
        Explanation::same_as(&enforced)
            .by("shadow")
            .with_role(Role::Enforced, enforced)
            .with_role(Role::Candidate, explain(&*self.candidate, peer))
    }
}

impl<I> fmt::Debug for Shadow<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

/// A peer about whom a candidate disagrees with the policy in force; see [`shadow`].
pub struct Difference<'a, I> {
    peer: &'a Peer<I>,
    enforced: &'a Decision,
    candidate: Option<&'a Decision>,
}

impl<'a, I> Difference<'a, I> {
    /// The peer.
    pub const fn peer(&self) -> &'a Peer<I> {
        self.peer
    }

    /// What holds.
    pub const fn enforced(&self) -> &'a Decision {
        self.enforced
    }

    /// What the candidate would have decided; `None` when it panicked.
    pub const fn candidate(&self) -> Option<&'a Decision> {
        self.candidate
    }

    fn is_one(&self) -> bool {
        self.candidate
            .is_none_or(|candidate| candidate.is_allowed() != self.enforced.is_allowed())
    }

    fn trace(&self) {
        tracing::info!(
            certificate = %self.peer.certificate(),
            enforced = %Told(Some(self.enforced)),
            candidate = %Told(self.candidate),
            "the candidate policy decides otherwise"
        );
    }
}

impl<I> fmt::Debug for Difference<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Difference")
            .field("certificate", self.peer.certificate())
            .field("enforced", self.enforced)
            .field("candidate", &self.candidate)
            .finish()
    }
}

/// A decision on one line.
struct Told<'a>(Option<&'a Decision>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|decision| (decision.rule(), decision.reason())) {
            Some((Some(rule), _)) => write!(f, "allowed by \"{}\"", Escaped(rule)),
            Some((_, reason)) => write!(f, "denied: {}", Sentence(reason.unwrap_or_default())),
            None => f.write_str("panicked"),
        }
    }
}
