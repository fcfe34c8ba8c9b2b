//! How many connections may be open, in all and per identity.
//!
//! A connection takes a place once the policy has allowed its peer, and releases it when it is dropped.
//! So refused peers take no place. Both counts change under one lock, so the limits are exact.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Peer;
use crate::gate::AdmitError;
use crate::pki::contained::caught;

/// The limits that a builder sets.
pub(crate) struct ConnectionLimits<I> {
    pub(crate) total: Option<usize>,
    pub(crate) per_identity: Option<Box<dyn PerIdentity<I>>>,
}

impl<I> Default for ConnectionLimits<I> {
    fn default() -> Self {
        Self {
            total: None,
            per_identity: None,
        }
    }
}

/// The open connections of each identity. The trait hides that identities must be `Hash`.
pub(crate) trait PerIdentity<I>: Send + Sync {
    /// Counts one more.
    ///
    /// # Errors
    /// The limit, if that is reached.
    fn take(&mut self, peer: &Peer<I>) -> Result<(), usize>;

    fn give_back(&mut self, peer: &Peer<I>);
}

/// Counts by identity, up to a limit.
pub(crate) struct ByIdentity<I> {
    limit: usize,
    open: HashMap<Holder<I>, usize>,
}

/// A peer that equals every other one of its identity.
struct Holder<I>(Peer<I>);

impl<I: Hash> Hash for Holder<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.identity().hash(state);
    }
}

impl<I: PartialEq> PartialEq for Holder<I> {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }
}

impl<I: Eq> Eq for Holder<I> {}

impl<I> ByIdentity<I> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: HashMap::new(),
        }
    }
}

impl<I: Eq + Hash + Send + Sync> PerIdentity<I> for ByIdentity<I> {
    fn take(&mut self, peer: &Peer<I>) -> Result<(), usize> {
        if self.limit == 0 {
            return Err(0);
        }
        match self.open.entry(Holder(peer.clone())) {
            Entry::Occupied(open) if *open.get() >= self.limit => Err(self.limit),
            Entry::Occupied(mut open) => {
                *open.get_mut() += 1;
                Ok(())
            }
            Entry::Vacant(none) => {
                none.insert(1);
                Ok(())
            }
        }
    }

    fn give_back(&mut self, peer: &Peer<I>) {
        if let Entry::Occupied(mut open) = self.open.entry(Holder(peer.clone())) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove(); // identities come and go without end
            }
        }
    }
}

/// Counts the connections of one gate.
pub(crate) struct Places<I> {
    total: Option<usize>,
    is_limited: bool,
    counts: Mutex<Counts<I>>,
}

struct Counts<I> {
    open: usize,
    per_identity: Option<Box<dyn PerIdentity<I>>>,
}

/// A connection's place, given back when dropped.
pub(crate) struct Place<I> {
    places: Arc<Places<I>>,
    peer: Peer<I>,
}

impl<I> Places<I> {
    pub(crate) fn new(limits: ConnectionLimits<I>) -> Self {
        Self {
            total: limits.total,
            is_limited: limits.total.is_some() || limits.per_identity.is_some(),
            counts: Mutex::new(Counts {
                open: 0,
                per_identity: limits.per_identity,
            }),
        }
    }

    /// A place for a peer that the policy allows; `None` where there are no limits.
    ///
    /// # Errors
    /// A limit is reached.
    pub(crate) fn take(self: &Arc<Self>, peer: &Peer<I>) -> Result<Option<Place<I>>, AdmitError> {
        if !self.is_limited {
            return Ok(None);
        }
        let certificate = || peer.certificate().clone();
        let mut counts = self.counts();
        if let Some(limit) = self.total.filter(|&limit| counts.open >= limit) {
            return Err(AdmitError::TooManyConnections {
                certificate: certificate(),
                limit,
            });
        }
        if let Some(per_identity) = &mut counts.per_identity {
            // An identity's `Hash` and `Eq` are the application's.
            let taken = caught(|| per_identity.take(peer)).ok_or_else(|| AdmitError::Panicked {
                certificate: certificate(),
            })?;
            taken.map_err(|limit| AdmitError::TooManyConnectionsOfIdentity {
                certificate: certificate(),
                limit,
            })?;
        }
        counts.open += 1;
        Ok(Some(Place {
            places: Arc::clone(self),
            peer: peer.clone(),
        }))
    }

    /// A panic of the application's `Hash` or `Eq` comes before anything was changed.
    fn counts(&self) -> MutexGuard<'_, Counts<I>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> Drop for Place<I> {
    fn drop(&mut self) {
        let mut counts = self.places.counts();
        counts.open -= 1;
        if let Some(per_identity) = &mut counts.per_identity {
            caught(|| per_identity.give_back(&self.peer));
        }
    }
}
