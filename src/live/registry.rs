//! The lock that orders changes of the rules and openings of connections.
//!
//! A connection opens under the lock, and only if the rules by which it was authorized are still in force; a change
//! takes effect under the same lock. A change that comes before the opening is seen by it, and the connection is
//! authorized again first. A change that comes after it finds the connection open, and authorizes it again in place. So
//! no connection escapes a change.
//!
//! `tests/interleavings` runs this file under a model checker, which tries every order of its steps.

use std::collections::HashMap;

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open connections by their numbers.
pub(crate) struct Registry<C> {
    open: Mutex<HashMap<u64, Arc<C>>>,
}

/// A connection that may open, with what the caller gets if it does.
pub(crate) struct Authorized<C, T> {
    pub(crate) id: u64,
    pub(crate) connection: Arc<C>,
    pub(crate) with: T,
}

/// A peer whose connection is to open.
pub(crate) trait Decide<C> {
    type Rules: Send + Sync;
    type With;
    type Error;

    /// The rules in force.
    fn rules(&self) -> Self::Rules;

    /// Whether these rules are in force; asked under the lock.
    fn is_in_force(&self, rules: &Self::Rules) -> bool;

    /// Decides by these rules. `None`: it must be asked again.
    fn decide(
        &mut self,
        rules: &Self::Rules,
    ) -> impl Future<Output = Result<Option<Authorized<C, Self::With>>, Self::Error>> + Send;
}

impl<C> Registry<C> {
    pub(crate) fn new() -> Self {
        Self {
            open: Mutex::new(HashMap::new()),
        }
    }

    /// Puts a change in force by `swap`, which can neither fail nor wait nor run application code.
    /// It returns what was in force, for the caller to drop: that runs application code.
    pub(crate) fn commit<T>(&self, swap: impl FnOnce() -> T) -> T {
        let _lock = self.lock();
        swap()
    }

    /// Reads what is in force while no change is being put in force.
    pub(crate) fn between_changes<T>(&self, read: impl FnOnce() -> T) -> T {
        let _lock = self.lock();
        read()
    }

    /// Decides about a peer until a decision takes effect under the rules that it was made by, and opens its
    /// connection then.
    pub(crate) async fn open<D: Decide<C>>(
        &self,
        peer: &mut D,
    ) -> Result<(Arc<C>, D::With), D::Error> {
        loop {
            let rules = peer.rules();
            let Some(authorized) = peer.decide(&rules).await? else {
                continue;
            };
            let Authorized {
                id,
                connection,
                with,
            } = authorized;
            if self.open_if(id, &connection, || peer.is_in_force(&rules)) {
                return Ok((connection, with));
            }
        }
    }

    /// Opens a connection if the rules that it was authorized by are in force, and returns whether
    /// they are.
    pub(crate) fn open_if(
        &self,
        id: u64,
        connection: &Arc<C>,
        is_in_force: impl FnOnce() -> bool,
    ) -> bool {
        let mut open = self.lock();
        let opens = is_in_force();
        if opens {
            open.insert(id, Arc::clone(connection));
        }
        opens
    }

    pub(crate) fn remove(&self, id: u64) {
        let removed = self.lock().remove(&id);
        drop(removed); // without the lock
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// All of them, in any order.
    pub(crate) fn all(&self) -> Vec<Arc<C>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<C>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
