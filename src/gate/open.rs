//! The gate's word about connections that stay open: judged again whenever the rules change.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::live::{Changed, Connection, Ended, Entered, OpenConnection};
use super::{Admission, AdmitError, Authorizer, Gate, Identified, Lifetimes};
use crate::Peer;
use crate::policy::DenyList;
use crate::policy::{self, OnChange};

/// Runs a future to its end, somewhere.
pub(crate) type Spawn =
    Box<dyn Fn(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

impl<I: Send + Sync + 'static> Gate<I> {
    /// Enters a connection about whose peer [`admit_open`](Self::admit_open) is going to decide:
    /// rules that change from here on reach it.
    ///
    /// `id` is its number, `clock` that of whoever calls [`tick`](Self::tick).
    pub(crate) fn enter(
        &self,
        id: u64,
        identified: &Identified<'_, I>,
        clock: Duration,
    ) -> Result<Entered<I>, AdmitError> {
        let (peer, since) = (identified.peer.clone(), self.now()?);
        let registry = &self.inner.registry;
        Ok(registry.enter(id, peer, self.generation(), since, clock))
    }

    /// Judges the peer of a connection that was entered, by the rules that are in force when it is
    /// opened.
    pub(crate) async fn admit_open(
        &self,
        identified: Identified<'_, I>,
        mut entered: Entered<I>,
    ) -> Result<(Admission<I>, Entered<I>), AdmitError> {
        let Identified {
            peer,
            presented,
            trust,
        } = identified;
        let identified = || Identified {
            peer: peer.clone(),
            presented,
            trust,
        };
        let mut generation = self.generation();
        let mut admission = self.authorize_async(identified()).await?;
        entered.keep(self.inner.places.take(&peer)?);
        loop {
            entered.connection().judged_by(generation);
            let changed = entered.open();
            generation = self.generation();
            match changed {
                Changed::Nothing => return Ok((admission, entered)),
                // What a policy was asked that has to ask others, it has answered: or whoever makes
                // changes could keep everybody waiting.
                Changed::Facts if self.asks_others() => {
                    self.check_facts(&peer, presented, trust)?;
                }
                Changed::Facts | Changed::Policy => {
                    admission = self.authorize_async(identified()).await?;
                }
            }
        }
    }

    fn asks_others(&self) -> bool {
        matches!(&**self.inner.authorizer.load(), Authorizer::Async { .. })
    }

    /// Whether today's trust still vouches for a peer, whose certificates' age apart: who expires
    /// is given time to finish, by [`tick`](Self::tick).
    fn check_trust(&self, peer: &Peer<I>) -> Result<(), AdmitError> {
        let trusted = self.trusted();
        Ok(trusted
            .verifier()
            .still_believes(peer.chain(), self.now()?)?)
    }

    /// Judges all open connections by the rules that are in force now. To be called after each
    /// change.
    ///
    /// A synchronous policy is asked before this returns. An asynchronous one is asked only when it
    /// is new, and meanwhile, some connections at a time.
    pub(crate) fn judge_open(&self, changed: Changed) {
        let policies = &self.inner.policies;
        let policy = match changed {
            Changed::Policy => policies.fetch_add(1, Ordering::SeqCst) + 1,
            Changed::Facts | Changed::Nothing => policies.load(Ordering::SeqCst),
        };
        let open = self.inner.registry.to_be_judged(changed);
        if open.is_empty() {
            return;
        }
        let generation = self.generation();
        let authorizer = self.inner.authorizer.load_full();
        let mut to_ask = Vec::new();
        for connection in open {
            let peer = connection.peer();
            let facts = self
                .check_trust(peer)
                .and_then(|()| self.check_deny_list(peer));
            let judged = facts.and_then(|()| match &*authorizer {
                Authorizer::Sync(policy) => {
                    Admission::of(policy::decide(&**policy, peer), peer.clone()).map(drop)
                }
                Authorizer::Async { .. } => {
                    if changed == Changed::Policy {
                        to_ask.push(Arc::clone(&connection));
                    }
                    Ok(())
                }
            });
            match judged {
                Ok(()) => connection.judged_by(generation),
                Err(error) => connection.cut(Ended::Refused(error)),
            }
        }
        self.ask_about(to_ask, policy);
    }

    /// Asks the asynchronous policy, the one of this number, about open connections.
    fn ask_about(&self, connections: Vec<Arc<Connection<I>>>, policy: u64) {
        /// How many are asked about at a time.
        const ABREAST: usize = 64;

        let abreast = connections.len().min(ABREAST);
        let questions = Arc::new(Questions {
            gate: self.clone(),
            policy,
            waiting: Mutex::new(connections),
        });
        // Without a place to run, there is no answer, and that is a denial.
        let Some(spawn) = self.inner.spawn.load_full() else {
            return;
        };
        for _ in 0..abreast {
            let questions = Arc::clone(&questions);
            spawn(Box::pin(async move {
                while let Some(question) = questions.next() {
                    question.ask().await;
                }
            }));
        }
    }

    /// Whether this deny list is the one that is asked.
    pub(crate) fn asks(&self, list: &DenyList<I>) -> bool {
        list.tells(Arc::as_ptr(&self.inner))
    }

    /// Sets where futures run.
    pub(crate) fn set_spawn(&self, spawn: Spawn) {
        self.inner.spawn.store(Some(Arc::new(spawn)));
    }

    /// Ends what is over by now.
    pub(crate) fn tick(&self, clock: Duration, lifetimes: &Lifetimes) {
        self.inner.registry.tick(self.now().ok(), clock, lifetimes);
    }

    pub(crate) fn has_connections(&self) -> bool {
        !self.inner.registry.is_empty()
    }

    /// The connections that are open, the oldest first.
    pub(crate) fn listed(&self) -> Vec<OpenConnection<I>> {
        let open = self.open_connections().into_iter();
        open.map(OpenConnection::new).collect()
    }

    pub(crate) fn open_connections(&self) -> Vec<Arc<Connection<I>>> {
        self.inner.registry.open()
    }
}

/// Open connections about which a policy is still to be asked. Those about which it is not, because
/// the runtime that should have done it has ended, are cut: there is no answer.
struct Questions<I: Send + Sync + 'static> {
    gate: Gate<I>,
    /// The number of the policy: a newer one is asked about all of them again.
    policy: u64,
    waiting: Mutex<Vec<Arc<Connection<I>>>>,
}

/// One of them, while it is asked.
struct Question<'a, I: Send + Sync + 'static> {
    questions: &'a Questions<I>,
    connection: Option<Arc<Connection<I>>>,
}

impl<I: Send + Sync + 'static> Questions<I> {
    fn next(&self) -> Option<Question<'_, I>> {
        if !self.is_current() {
            return None;
        }
        let connection = self.waiting().pop()?;
        Some(Question {
            questions: self,
            connection: Some(connection),
        })
    }

    fn is_current(&self) -> bool {
        self.gate.inner.policies.load(Ordering::SeqCst) == self.policy
    }

    fn cut_unanswered(&self, connection: &Connection<I>) {
        if self.is_current() {
            let certificate = connection.peer().certificate().clone();
            connection.cut(Ended::Refused(AdmitError::PolicyNotAsked { certificate }));
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
        let (gate, peer) = (&self.questions.gate, connection.peer());
        let verdict = gate.decide_async(peer).await;
        self.connection = None; // answered
        let admitted = verdict.and_then(|verdict| Admission::of(verdict, peer.clone()));
        if let Err(error) = admitted
            && self.questions.is_current()
        {
            connection.cut(Ended::Refused(error));
        }
    }
}

impl<I: Send + Sync + 'static> Drop for Question<'_, I> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.questions.cut_unanswered(&connection);
        }
    }
}

impl<I: Send + Sync + 'static> Drop for Questions<I> {
    fn drop(&mut self) {
        for connection in std::mem::take(&mut *self.waiting()) {
            self.cut_unanswered(&connection);
        }
    }
}

/// The deny list tells its gates of every change.
impl<I: Send + Sync + 'static> OnChange for super::Inner<I> {
    fn changed(self: Arc<Self>) {
        Gate { inner: self }.judge_open(Changed::Facts);
    }
}
