//! Remembering the answers of a slow policy.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle, EntryAction, EntryResult};
use tokio::time::Instant;

use super::AsyncPolicy;
use crate::Peer;
use crate::pki::Fingerprint;
use crate::policy::Decision;

/// Remembers the decisions of an async policy for a while; made by [`cached`].
pub struct Cached<I, P, K = (I, Fingerprint)> {
    policy: P,
    key: Box<KeyOf<I, K>>,
    decisions: Decisions<K>,
    capacity: usize,
    life: Duration,
    denials: Duration,
}

type KeyOf<I, K> = dyn Fn(&Peer<I>) -> K + Send + Sync;

/// Hashed with a key of our own, since peers have a say in theirs.
type Decisions<K> = Cache<K, Remembered, UnitWeighter, RandomState>;

#[derive(Clone)]
struct Remembered {
    decision: Decision,
    /// `None` where the clock cannot count that far.
    until: Option<Instant>,
}

/// Remembers the decisions of `policy` for `life`, those of about `capacity` peers at most.
///
/// A peer is the same as before when its identity and its certificate are. **The policy must look
/// at nothing else**: one that considers the address, the server's name or the application
/// protocol would have its answer for one connection reused for another. Tell what it looks at
/// with [`keyed_by`](Cached::keyed_by) then.
///
/// `life` counts from when the policy was asked, so no decision is older than that when it is
/// used. (Time that the machine spends suspended may not count.) Only decisions are remembered: a
/// panic, or an answer that was late and therefore cut off, is nobody's answer. Denials are
/// remembered for 5 seconds, or `life` if that is shorter, so that somebody who was just given
/// access need not wait; see [`denials_for`](Cached::denials_for). Peers that come while one like
/// them is being asked about wait for that answer, each within its own time limit, instead of
/// asking too.
///
/// A decision takes up to a few hundred bytes with its key; the certificate itself is not kept.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use countersign::identity::SpiffeId;
/// use countersign::{Acceptor, Decision, Peer, policy};
///
/// async fn ask_the_directory(peer: Peer<SpiffeId>) -> Decision {
///     // … a lookup …
///     Decision::allow("in the directory")
/// }
///
/// let minute = Duration::from_secs(60);
/// let remembered = Arc::new(policy::cached(ask_the_directory, minute, 10_000));
/// # fn build(remembered: impl policy::AsyncPolicy<SpiffeId> + 'static) {
/// // … .authorize_async(remembered.clone(), Duration::from_secs(2))
/// # }
/// # build(remembered.clone());
///
/// // When somebody lost access and it must show at once:
/// remembered.forget();
/// ```
pub fn cached<I, P>(policy: P, life: Duration, capacity: usize) -> Cached<I, P>
where
    I: Eq + Hash + Clone + 'static,
    P: AsyncPolicy<I>,
{
    let key: fn(&Peer<I>) -> (I, Fingerprint) =
        |peer| (peer.identity().clone(), peer.certificate().sha256());
    Cached {
        policy,
        key: Box::new(key),
        decisions: decisions(capacity),
        capacity,
        life,
        denials: life.min(Duration::from_secs(5)),
    }
}

fn decisions<K: Eq + Hash>(capacity: usize) -> Decisions<K> {
    Cache::with(
        capacity,
        capacity as u64,
        UnitWeighter,
        RandomState::new(),
        DefaultLifecycle::default(),
    )
}

impl<I, P, K> Cached<I, P, K> {
    /// Remembers denials for this long, but no longer than allowing decisions. Default 5 seconds;
    /// with zero they are not remembered.
    #[must_use]
    pub fn denials_for(mut self, life: Duration) -> Self {
        self.denials = life.min(self.life);
        self
    }

    /// Takes two peers for the same when `key` gives the same for both: it must give everything
    /// that the policy looks at.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use countersign::identity::DnsName;
    /// use countersign::{Decision, Peer, policy};
    ///
    /// async fn by_address(peer: Peer<DnsName>) -> Decision {
    ///     // … a lookup of name and address …
    ///     Decision::allow("at home")
    /// }
    ///
    /// let policy = policy::cached(by_address, Duration::from_secs(60), 10_000).keyed_by(|peer| {
    ///     let address = peer.connection().remote_addr().map(|address| address.ip());
    ///     (peer.identity().clone(), address)
    /// });
    /// ```
    #[must_use]
    pub fn keyed_by<L: Eq + Hash>(
        self,
        key: impl Fn(&Peer<I>) -> L + Send + Sync + 'static,
    ) -> Cached<I, P, L> {
        Cached {
            policy: self.policy,
            key: Box::new(key),
            decisions: decisions(self.capacity),
            capacity: self.capacity,
            life: self.life,
            denials: self.denials,
        }
    }
}

impl<I, P, K: Eq + Hash> Cached<I, P, K> {
    /// Forgets every decision, so that each peer's next connection is asked about.
    ///
    /// An answer that is being waited for is not among them.
    pub fn forget(&self) {
        self.decisions.clear();
    }

    /// How many decisions are remembered, those included whose time is over and that nobody came
    /// to replace.
    pub fn len(&self) -> usize {
        self.decisions.len()
    }

    /// Whether no decision is remembered.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// What is kept of a decision, if anything.
    fn remember(&self, decision: &Decision, asked: Instant) -> Option<Remembered> {
        let life = if decision.is_allowed() {
            self.life
        } else {
            self.denials
        };
        let remembered = Remembered {
            decision: decision.clone(),
            until: asked.checked_add(life),
        };
        remembered.holds_at(Instant::now()).then_some(remembered)
    }
}

impl Remembered {
    fn holds_at(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl<I, P, K> AsyncPolicy<I> for Cached<I, P, K>
where
    I: Send + Sync,
    P: AsyncPolicy<I>,
    K: Eq + Hash + Clone + Send + Sync,
{
    async fn authorize(&self, peer: &Peer<I>) -> Decision {
        let key = (self.key)(peer);
        // Most often it is known; then a reader's lock is enough.
        if let Some(known) = self.decisions.get(&key)
            && known.holds_at(Instant::now())
        {
            return known.decision;
        }
        let unless_over = |_: &K, known: &mut Remembered| {
            if known.holds_at(Instant::now()) {
                EntryAction::Retain(known.decision.clone())
            } else {
                EntryAction::ReplaceWithGuard
            }
        };
        // Whoever gets the guard asks; should it be dropped on the way, by a panic or a timeout,
        // the next one that waits gets it.
        let guard = match self.decisions.entry_async(&key, unless_over).await {
            EntryResult::Retained(decision) => return decision,
            EntryResult::Vacant(guard) | EntryResult::Replaced(guard, _) => Some(guard),
            EntryResult::Removed(..) | EntryResult::Timeout => None,
        };
        let asked = Instant::now();
        let decision = self.policy.authorize(peer).await;
        if let (Some(guard), Some(remembered)) = (guard, self.remember(&decision, asked)) {
            // It is an error only if the cache was cleared meanwhile.
            let _ = guard.insert(remembered);
        }
        decision
    }
}

impl<I, P, K> fmt::Debug for Cached<I, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("life", &self.life)
            .field("denials", &self.denials)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
