//! The lock that orders changes of the rules and openings of connections.
//!
//! A connection opens under the lock, and only if the rules by which it was authorized are still in force; a change
//! takes effect under the same lock. A change that comes before the opening is seen by it, and the connection is
//! authorized again first. A change that comes after it finds the connection open, and authorizes it again in place. So
//! no connection escapes a change.
//!
//! `tests/interleavings` runs this file under a model checker, which tries every order of its steps. The rules there are
//! a value behind a lock, in the place of the endpoint's snapshot.

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open connections, behind the lock.
pub(crate) struct Registry<T> {
    open: Mutex<T>,
}

/// Where open connections are kept.
pub(crate) trait Table {
    type Connection;

    fn insert(&mut self, connection: &Arc<Self::Connection>);
}

/// A connection that may open, with what the caller gets if it does.
pub(crate) struct Authorized<C, W> {
    pub(crate) connection: Arc<C>,
    pub(crate) with: W,
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

impl<T: Table> Registry<T> {
    pub(crate) fn new(open: T) -> Self {
        Self {
            open: Mutex::new(open),
        }
    }

    /// Puts a change in force by `swap`, which can neither fail nor wait nor run application code.
    /// It returns what was in force, for the caller to drop: that runs application code.
    pub(crate) fn commit<R>(&self, swap: impl FnOnce() -> R) -> R {
        let _lock = self.lock();
        swap()
    }

    /// Reads what is in force while no change is being put in force.
    pub(crate) fn between_changes<R>(&self, read: impl FnOnce() -> R) -> R {
        let _lock = self.lock();
        read()
    }

    /// Decides about a peer until a decision takes effect under the rules that it was made by, and opens its
    /// connection then.
    pub(crate) async fn open<D: Decide<T::Connection>>(
        &self,
        peer: &mut D,
    ) -> Result<(Arc<T::Connection>, D::With), D::Error> {
        loop {
            let rules = peer.rules();
            let Some(Authorized { connection, with }) = peer.decide(&rules).await? else {
                continue;
            };
            if self.open_if(&connection, || peer.is_in_force(&rules)) {
                return Ok((connection, with));
            }
        }
    }

    /// Opens a connection if the rules that it was authorized by are in force, and returns whether
    /// they are.
    pub(crate) fn open_if(
        &self,
        connection: &Arc<T::Connection>,
        is_in_force: impl FnOnce() -> bool,
    ) -> bool {
        let mut open = self.lock();
        let opens = is_in_force();
        if opens {
            open.insert(connection);
        }
        opens
    }

    /// The open connections. Nothing that runs application code may run under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
