//! Open connections are authorized again after each change of the rules.

use std::sync::Arc;
use std::time::Instant;

use rustls_pki_types::UnixTime;

use super::queue::{Asking, Question, Queue};
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
        let now = endpoint.gate().now().ok().or_else(|| self.last_time());
        let mut to_ask = Vec::new();
        for connection in self.open_connections() {
            // Read after the connection was found, so that none is authorized by rules that are older than those
            // by which it opened.
            let gate = endpoint.gate();
            self.reauthorize_one(&connection, &gate, now);
            let asks = changed == Changed::Policy && gate.has_async_policy();
            caught(|| drop(gate));
            if asks {
                to_ask.push(connection);
            } else {
                // If its stream was dropped, this drops the identity, which is application code.
                caught(|| drop(connection));
            }
        }
        let policy = endpoint.epoch().policy();
        self.ask_about(endpoint, to_ask, policy);
    }

    fn reauthorize_one(&self, connection: &Connection<I>, gate: &Gate<I>, now: Option<UnixTime>) {
        let peer = connection.peer();
        let certificate = peer.certificate().clone();
        let authorized = caught(|| {
            let peer = gate.reauthorize(peer, now)?;
            if let Some(peer) = connection.reauthorized(peer, gate.generation()) {
                let generation = gate.generation();
                let old = self.edit(|open| open.set_peer(connection, peer, generation));
                drop(old); // without the lock
            }
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
        let asking = AsyncAuthorization {
            endpoint: Arc::clone(endpoint),
            policy,
        };
        let queue = Arc::new(Queue::new(asking, connections));
        // Without a runtime the policy cannot decide, which counts as a denial: dropping the queue cuts them.
        let Some(runtime) = self.timers.runtime() else {
            return;
        };
        for _ in 0..tasks {
            let queue = Arc::clone(&queue);
            runtime.spawn(async move {
                while let Some(question) = queue.next() {
                    ask(question, queue.asking()).await;
                }
            });
        }
    }
}

/// The asynchronous policy with one number. A newer one decides about all connections again.
struct AsyncAuthorization<I> {
    endpoint: Arc<dyn Current<I>>,
    policy: u64,
}

impl<I: Send + Sync + 'static> Asking for AsyncAuthorization<I> {
    type Connection = Connection<I>;

    fn is_current(&self) -> bool {
        self.endpoint.epoch().policy() == self.policy
    }

    fn cut_unanswered(&self, connection: &Connection<I>) {
        let certificate = connection.peer().certificate().clone();
        let error = AdmitError::PolicyNotAsked { certificate };
        connection.cut(CloseReason::NotAdmitted(error));
    }
}

async fn ask<I: Send + Sync + 'static>(
    question: Question<'_, AsyncAuthorization<I>>,
    asking: &AsyncAuthorization<I>,
) {
    let Some(peer) = question.connection().map(|connection| connection.peer()) else {
        return;
    };
    let gate = asking.endpoint.gate();
    let began = Instant::now();
    let answer = gate.reauthorize_async(&peer).await;
    let counters = asking.endpoint.recorder().counters();
    counters.policy(began.elapsed());
    question.answer(answer, |connection, error| {
        connection.cut(CloseReason::NotAdmitted(error));
    });
}
