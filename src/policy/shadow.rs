//! A candidate policy that runs beside the one in force.

use std::fmt;

use super::explanation::Role;
use super::{Decision, Explanation, Policy, Verdict, decide, explain};
use crate::Peer;
use crate::pki::contained::caught;
use crate::pki::text::{Escaped, Sentence};

/// Enforces one policy and reports where another would decide otherwise. Made by [`shadow`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{self, Shadow};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers: Shadow<SpiffeId> = policy::shadow(
///     policy::allow_any(),
///     policy::trust_domain("example.org".parse()?),
///     |difference| println!("would be denied: {}", difference.peer().identity()),
/// );
/// # Ok(())
/// # }
/// ```
pub struct Shadow<I> {
    enforced: Box<dyn Policy<I>>,
    candidate: Box<dyn Policy<I>>,
    on_difference: Box<OnDifference<I>>,
}

type OnDifference<I> = dyn Fn(&Difference<'_, I>) + Send + Sync;

/// Enforces a policy, and reports what a candidate would have decided.
///
/// When only one of the two allows a peer, or when the candidate panics, `on_difference` is called and a
/// tracing event of level `INFO` is emitted. The candidate and `on_difference` cannot change the
/// decision, not even by a panic. Both run on the connection's task, so they delay it. When the policy in
/// force panics, the candidate does not run.
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
#[doc(alias = "dry_run")]
#[doc(alias = "audit_mode")]
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
            // The application's code or a tracing subscriber may panic here.
            caught(|| {
                difference.trace();
                (self.on_difference)(&difference);
            });
        }
        enforced
    }

    /// Runs both and reports nothing.
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

/// A peer about which a candidate disagrees with the policy in force; see [`shadow`].
///
/// ```
/// use countersign::policy::Difference;
///
/// /// Whether the candidate would break a caller.
/// fn breaks_a_caller<I>(difference: &Difference<'_, I>) -> bool {
///     difference.enforced().is_allowed()
/// }
/// ```
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

    /// The decision in force.
    pub const fn enforced(&self) -> &'a Decision {
        self.enforced
    }

    /// The candidate's decision; `None` when it panicked.
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
            enforced = %OneLine(Some(self.enforced)),
            candidate = %OneLine(self.candidate),
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
struct OneLine<'a>(Option<&'a Decision>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|decision| (decision.rule(), decision.reason())) {
            Some((Some(rule), _)) => write!(f, "allowed by \"{}\"", Escaped(rule)),
            Some((_, reason)) => write!(f, "denied: {}", Sentence(reason.unwrap_or_default())),
            None => f.write_str("panicked"),
        }
    }
}
