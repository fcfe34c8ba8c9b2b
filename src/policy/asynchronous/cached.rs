//! A cache of the decisions of a slow policy.

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

/// Remembers the decisions of an async policy for a while. Made by [`cached`].
///
/// ```
/// use std::time::Duration;
///
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{self, Cached};
/// use countersign::{Decision, Peer};
///
/// async fn look_up(_: Peer<SpiffeId>) -> Decision {
///     Decision::allow("in the directory")
/// }
///
/// let policy: Cached<SpiffeId, _> = policy::cached(look_up, Duration::from_secs(60), 10_000);
/// assert!(policy.is_empty());
/// ```
pub struct Cached<I, P, K = (I, Fingerprint)> {
    policy: P,
    key: Box<KeyOf<I, K>>,
    decisions: Decisions<K>,
    capacity: usize,
    life: Duration,
    denials: Duration,
}

type KeyOf<I, K> = dyn Fn(&Peer<I>) -> K + Send + Sync;

/// With a random key, because peers can choose parts of what is hashed.
type Decisions<K> = Cache<K, Remembered, UnitWeighter, RandomState>;

#[derive(Clone)]
struct Remembered {
    decision: Decision,
    /// `None` when the clock cannot represent the time.
    until: Option<Instant>,
}

/// Remembers the decisions of `policy` for `life`, for about `capacity` peers at most.
///
/// By default, the key is the identity and the certificate, and that of the proxy that vouches for the peer
/// if one does. **The policy must depend on nothing else.**
/// A policy that depends on the address, the server name or the application protocol needs another key
/// ([`keyed_by`](Cached::keyed_by)); otherwise its answer for one connection is used for another.
///
/// `life` starts when the policy is called, so no decision is older than that when it is used. (Time
/// in which the machine is suspended may not count.) Only decisions are remembered, not panics and
/// timeouts. Denials are remembered for 5 seconds, or for `life` if that is shorter, so that a peer that
/// was just granted access does not wait long; see [`denials_for`](Cached::denials_for). While a call
/// for a key is in progress, other connections with that key wait for its answer, each within its own
/// time limit.
///
/// A decision takes up to a few hundred bytes with its key. The certificate itself is not kept.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use countersign::identity::SpiffeId;
/// use countersign::{Acceptor, Decision, Peer, policy};
///
/// async fn look_up(peer: Peer<SpiffeId>) -> Decision {
///     // … a lookup …
///     Decision::allow("in the directory")
/// }
///
/// let minute = Duration::from_secs(60);
/// let remembered = Arc::new(policy::cached(look_up, minute, 10_000));
/// # fn build(remembered: impl policy::AsyncPolicy<SpiffeId> + 'static) {
/// // … .authorize_async(remembered.clone(), Duration::from_secs(2))
/// # }
/// # build(remembered.clone());
///
/// // When a peer lost access and the next connection must be denied:
/// remembered.forget();
/// ```
pub fn cached<I, P>(policy: P, life: Duration, capacity: usize) -> Cached<I, P>
where
    I: Eq + Hash + Clone + 'static,
    P: AsyncPolicy<I>,
{
    let key: fn(&Peer<I>) -> (I, Fingerprint) =
        |peer| (peer.identity().clone(), certificates_of(peer));
    Cached {
        policy,
        key: Box::new(key),
        decisions: decisions(capacity),
        capacity,
        life,
        denials: life.min(Duration::from_secs(5)),
    }
}

/// The peer's certificate, with that of the proxy that vouches for it.
fn certificates_of<I>(peer: &Peer<I>) -> Fingerprint {
    let own = peer.certificate().sha256();
    match peer.vouched_by() {
        None => own,
        Some(proxy) => {
            let proxy = proxy.certificate().sha256();
            Fingerprint::of(&[*own.as_bytes(), *proxy.as_bytes()].concat())
        }
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
    /// Sets how long denials are remembered, at most as long as allowing decisions. Default: 5 seconds.
    /// Zero: denials are not remembered.
    #[must_use]
    pub fn denials_for(mut self, life: Duration) -> Self {
        self.denials = life.min(self.life);
        self
    }

    /// Sets the key: two connections with the same key get the same decision. The key must contain
    /// everything on which the policy depends.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use countersign::identity::DnsName;
    /// use countersign::{Decision, Peer, policy};
    ///
    /// async fn by_address(peer: Peer<DnsName>) -> Decision {
    ///     // … a lookup of name and address …
    ///     Decision::allow("registered address")
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
    /// Forgets every decision, so that the policy is called for each peer's next connection.
    ///
    /// Calls that are in progress answer the connections that wait for them; their decisions are not
    /// remembered.
    pub fn forget(&self) {
        self.decisions.clear();
    }

    /// How many decisions are remembered, including expired ones that were not replaced yet.
    pub fn len(&self) -> usize {
        self.decisions.len()
    }

    /// Whether no decision is remembered.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// The entry for a decision; `None` if it has expired already.
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
    async fn authorize(&self, peer: Peer<I>) -> Decision {
        let key = (self.key)(&peer);
        // A known key needs only a read lock.
        if let Some(known) = self.decisions.get(&key)
            && known.holds_at(Instant::now())
        {
            return known.decision;
        }
        let unless_expired = |_: &K, known: &mut Remembered| {
            if known.holds_at(Instant::now()) {
                EntryAction::Retain(known.decision.clone())
            } else {
                EntryAction::ReplaceWithGuard
            }
        };
        // The task that gets the guard calls the policy. If the guard is dropped without a decision, by
        // a panic or a timeout, the next waiting task gets it.
        let guard = match self.decisions.entry_async(&key, unless_expired).await {
            EntryResult::Retained(decision) => return decision,
            EntryResult::Vacant(guard) | EntryResult::Replaced(guard, _) => Some(guard),
            EntryResult::Removed(..) | EntryResult::Timeout => None,
        };
        let asked = Instant::now();
        let decision = self.policy.authorize(peer).await;
        if let (Some(guard), Some(remembered)) = (guard, self.remember(&decision, asked)) {
            // This fails only if the cache was cleared in between.
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

#[cfg(test)]
mod tests {
    /// A decision about a client of one proxy is no decision about the same client of another, or of none.
    #[cfg(all(
        feature = "http",
        feature = "testing",
        any(feature = "aws-lc-rs", feature = "ring")
    ))]
    #[tokio::test]
    async fn the_key_has_the_proxy_that_vouches() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::time::Duration;

        use super::*;
        use crate::testing;

        let asked = AtomicUsize::new(0);
        let policy = |peer: Peer<&'static str>| {
            asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(match peer.vouched_by() {
                Some(_) => Decision::deny("only itself"),
                None => Decision::allow("itself"),
            })
        };
        let cached = cached(policy, Duration::from_secs(60), 10).denials_for(Duration::MAX);
        let client = testing::peer("client");
        let [edge, other] = ["edge", "other"].map(testing::peer);
        for (peer, is_allowed, times) in [
            (client.clone(), true, 1),
            (client.vouched_for_by(edge.clone()), false, 2),
            (client.vouched_for_by(other), false, 3),
            (client.vouched_for_by(edge), false, 3),
            (client, true, 3),
        ] {
            let decision = cached.authorize(peer).await;
            assert_eq!(decision.is_allowed(), is_allowed);
            assert_eq!(asked.load(Ordering::SeqCst), times);
        }
    }
}
