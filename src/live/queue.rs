//! Open connections that an asynchronous policy has not decided about yet.
//!
//! Each of them gets an answer, or is cut when the queue is dropped, because its runtime has shut down. If a newer
//! policy is in force, that one decides about all connections, and this queue about none.
//!
//! `tests/interleavings` runs this file under a model checker, too.

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the connections of a queue are asked about.
pub(crate) trait Asking {
    type Connection;

    /// Whether the policy of this queue is the one in force.
    fn is_current(&self) -> bool;

    /// Cuts a connection that got no answer.
    fn cut_unanswered(&self, connection: &Self::Connection);
}

pub(crate) struct Queue<A: Asking> {
    asking: A,
    waiting: Mutex<Vec<Arc<A::Connection>>>,
}

/// One connection of the queue, while the policy decides about it.
pub(crate) struct Question<'a, A: Asking> {
    queue: &'a Queue<A>,
    connection: Option<Arc<A::Connection>>,
}

impl<A: Asking> Queue<A> {
    pub(crate) fn new(asking: A, connections: Vec<Arc<A::Connection>>) -> Self {
        Self {
            asking,
            waiting: Mutex::new(connections),
        }
    }

    pub(crate) const fn asking(&self) -> &A {
        &self.asking
    }

    pub(crate) fn next(&self) -> Option<Question<'_, A>> {
        if !self.asking.is_current() {
            return None;
        }
        let connection = self.waiting().pop()?;
        Some(Question {
            queue: self,
            connection: Some(connection),
        })
    }

    fn cut_unanswered(&self, connection: &A::Connection) {
        if self.asking.is_current() {
            self.asking.cut_unanswered(connection);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<A::Connection>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Asking> Question<'_, A> {
    /// The connection; `None` once it is answered.
    pub(crate) fn connection(&self) -> Option<&Arc<A::Connection>> {
        self.connection.as_ref()
    }

    /// The policy has decided. A denial cuts the connection by `cut`, unless a newer policy is in force.
    pub(crate) fn answer<E>(mut self, answer: Result<(), E>, cut: impl FnOnce(&A::Connection, E)) {
        let connection = self.connection.take();
        if let (Err(error), Some(connection)) = (answer, connection)
            && self.queue.asking.is_current()
        {
            cut(&connection, error);
        }
    }
}

impl<A: Asking> Drop for Question<'_, A> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.queue.cut_unanswered(&connection);
        }
    }
}

impl<A: Asking> Drop for Queue<A> {
    fn drop(&mut self) {
        for connection in std::mem::take(&mut *self.waiting()) {
            self.cut_unanswered(&connection);
        }
    }
}
