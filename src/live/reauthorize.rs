//! Open connections are authorized again after each change of the rules.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{CloseReason, Connection, Live};
use crate::gate::{AdmitError, Changed, Gate};
use crate::pki::contained::caught;
use crate::tls::Current;

impl<I: Send + Sync + 'static> Live<I> {
    /// Authorizes all open connections by the rules in force. Called after each change.
    ///
    /// A synchronous policy has decided about each connection when this returns. An asynchronous one
    /// runs afterwards, and only if it was replaced, for up to 64 connections concurrently.
    ///
    /// If application code panics for one connection, only that connection is cut.
    pub(crate) fn reauthorize(&self, endpoint: &Arc<dyn Current<I>>, changed: Changed) {
        let open = self.open_connections();
        if open.is_empty() {
            return;
        }
        let gate = endpoint.gate();
        let asks = changed == Changed::Policy && gate.has_async_policy();
        let mut to_ask = Vec::new();
        for connection in open {
            self.reauthorize_one(&connection, &gate);
            if asks {
                to_ask.push(connection);
            } else {
                // If its stream was dropped, this drops the identity, which is application code.
                caught(|| drop(connection));
            }
        }
        let policy = gate.epoch().policy();
        caught(|| drop(gate));
        self.ask_about(endpoint, to_ask, policy);
    }

    fn reauthorize_one(&self, connection: &Connection<I>, gate: &Gate<I>) {
        let peer = connection.peer();
        let certificate = peer.certificate().clone();
        let authorized = caught(|| {
            let peer = gate.reauthorize(peer, self.last_time())?;
            connection.reauthorized(peer, gate.generation());
            Ok(())
        });
        let authorized = authorized.unwrap_or(Err(AdmitError::Panicked { certificate }));
        if let Err(error) = authorized {
            connection.cut(CloseReason::NotAdmitted(error));
        }
    }

    /// Runs the asynchronous policy with this number for open connections.
    fn ask_about(
        &self,
        endpoint: &Arc<dyn Current<I>>,
        mut connections: Vec<Arc<Connection<I>>>,
        policy: u64,
    ) {
        /// How many connections it decides about concurrently.
        const CONCURRENT: usize = 64;

        connections.retain(|connection| !connection.lease().is_cut());
        let tasks = connections.len().min(CONCURRENT);
        let queue = Arc::new(ReauthorizationQueue {
            endpoint: Arc::clone(endpoint),
            policy,
            waiting: Mutex::new(connections),
        });
        // Without a runtime the policy cannot decide, which counts as a denial: dropping the queue cuts them.
        let Some(runtime) = self.timers.runtime() else {
            return;
        };
        for _ in 0..tasks {
            let queue = Arc::clone(&queue);
            runtime.spawn(async move {
                while let Some(question) = queue.next() {
                    question.ask().await;
                }
            });
        }
    }
}

/// Open connections that an asynchronous policy has not decided about yet. If its runtime shuts down
/// before it does, they are cut.
struct ReauthorizationQueue<I: Send + Sync + 'static> {
    endpoint: Arc<dyn Current<I>>,
    /// The number of the policy. A newer one decides about all connections again.
    policy: u64,
    waiting: Mutex<Vec<Arc<Connection<I>>>>,
}

/// One connection of the queue, while the policy decides about it.
struct Question<'a, I: Send + Sync + 'static> {
    queue: &'a ReauthorizationQueue<I>,
    connection: Option<Arc<Connection<I>>>,
}

impl<I: Send + Sync + 'static> ReauthorizationQueue<I> {
    fn next(&self) -> Option<Question<'_, I>> {
        if !self.is_current() {
            return None;
        }
        let connection = self.waiting().pop()?;
        Some(Question {
            queue: self,
            connection: Some(connection),
        })
    }

    fn is_current(&self) -> bool {
        self.endpoint.epoch().policy() == self.policy
    }

    fn cut_unanswered(&self, connection: &Connection<I>) {
        if self.is_current() {
            let certificate = connection.peer().certificate().clone();
            let error = AdmitError::PolicyNotAsked { certificate };
            connection.cut(CloseReason::NotAdmitted(error));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Connection<I>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: Send + Sync + 'static> Question<'_, I> {
    async fn ask(mut self) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        let (queue, peer) = (self.queue, connection.peer());
        let gate = queue.endpoint.gate();
        let began = Instant::now();
        let answer = gate.reauthorize_async(&peer).await;
        let counters = queue.endpoint.recorder().counters();
        counters.policy(began.elapsed());
        self.connection = None; // answered
        if let Err(error) = answer
            && queue.is_current()
        {
            connection.cut(CloseReason::NotAdmitted(error));
        }
    }
}

impl<I: Send + Sync + 'static> Drop for Question<'_, I> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.queue.cut_unanswered(&connection);
        }
    }
}

impl<I: Send + Sync + 'static> Drop for ReauthorizationQueue<I> {
    fn drop(&mut self) {
        for connection in std::mem::take(&mut *self.waiting()) {
            self.cut_unanswered(&connection);
        }
    }
}
