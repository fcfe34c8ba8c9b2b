//! The gate's word about connections that stay open: judged again whenever the rules change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::live::{CloseReason, Connection, Entered, OpenConnection};
use super::{
    Admission, AdmitError, Authorizer, Changed, Gate, Identified, Lifetimes, TrustGeneration,
};
use crate::Peer;
use crate::pki::contained::caught;
use crate::policy::{self, DenyList, OnChange, Replaced};

/// The rules by which open connections are re-authorized.
struct InForce<I> {
    /// The number of the policy.
    policy: u64,
    authorizer: Arc<Authorizer<I>>,
    trusted: Arc<TrustGeneration<I>>,
}

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
    /// opened: all of them, and together.
    pub(crate) async fn admit_open(
        &self,
        identified: Identified<'_, I>,
        mut entered: Entered<I>,
    ) -> Result<(Admission<I>, Entered<I>), AdmitError> {
        let mut place = None;
        let reserve = |peer: &Peer<I>| {
            if place.is_none() {
                place = Some(self.inner.places.take(peer)?);
            }
            Ok(())
        };
        let open = |peer: &Peer<I>| entered.connection().open(peer, self.generation());
        let admission = self.authorize_and(identified, reserve, open).await?;
        entered.keep(place.flatten());
        Ok((admission, entered))
    }

    /// The peer, if today's trust still vouches for it, by the path that it does so for. Its
    /// certificates' age apart: who expires is given time to finish, by [`tick`](Self::tick).
    fn check_trust(
        &self,
        peer: Peer<I>,
        trusted: &TrustGeneration<I>,
    ) -> Result<Peer<I>, AdmitError> {
        // For age is no reason, the last known time will do while the clock gives none.
        let now = self.now().or_else(|no_clock| {
            let last = self.inner.registry.last_time();
            last.ok_or(no_clock)
        })?;
        let another = trusted.verifier().still_trusts(peer.chain(), now)?;
        Ok(match another {
            Some(path) => peer.along(path),
            None => peer,
        })
    }

    /// Judges all open connections by the rules that are in force now. To be called after each
    /// change.
    ///
    /// A synchronous policy is asked before this returns. An asynchronous one is asked only when it
    /// is new, and meanwhile, some connections at a time.
    ///
    /// Nothing that happens to one connection keeps the others from being re-authorized: where code of the
    /// application panics, the connection is cut.
    pub(crate) fn judge_open(&self, changed: Changed) {
        let open = self.inner.registry.open();
        if open.is_empty() {
            return;
        }
        let rules = self.inner.epochs.read(|epoch| InForce {
            policy: epoch.policy(),
            authorizer: self.inner.authorizer.load_full(),
            trusted: self.trusted(),
        });
        let mut to_ask = Vec::new();
        for connection in open {
            match caught(|| self.judge_one(&connection, &rules)) {
                Some(Ok(())) => connection.judged_by(rules.trusted.generation()),
                Some(Err(error)) => connection.cut(CloseReason::NotAdmitted(error)),
                None => {
                    let certificate = connection.peer().certificate().clone();
                    connection.cut(CloseReason::NotAdmitted(AdmitError::Panicked {
                        certificate,
                    }));
                }
            }
            if changed == Changed::Policy && matches!(&*rules.authorizer, Authorizer::Async { .. })
            {
                to_ask.push(connection);
            } else {
                // Its stream may be gone, so that this drops the identity.
                caught(|| drop(connection));
            }
        }
        let policy = rules.policy;
        caught(|| drop(rules));
        self.ask_about(to_ask, policy);
    }

    fn judge_one(&self, connection: &Connection<I>, rules: &InForce<I>) -> Result<(), AdmitError> {
        let before = connection.peer();
        let peer = self.check_trust(before, &rules.trusted)?;
        self.check_deny_list(&peer)?;
        if let Authorizer::Sync(policy) = &*rules.authorizer {
            Admission::of(policy::decide_contained(policy, &peer), peer.clone())?;
        }
        connection.goes_by(peer);
        Ok(())
    }

    /// Asks the asynchronous policy, the one of this number, about open connections.
    fn ask_about(&self, mut connections: Vec<Arc<Connection<I>>>, policy: u64) {
        /// How many are asked about at a time.
        const ABREAST: usize = 64;

        connections.retain(|connection| !connection.lease().is_cut());
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
        list.notifies(Arc::as_ptr(&self.inner))
    }

    /// Tells the other gates that ask a deny list that its entries were replaced.
    pub(crate) fn tell_others_of(&self, replaced: &Replaced<I>) {
        replaced.notify_others(Arc::as_ptr(&self.inner));
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
        self.gate.inner.epochs.now().policy() == self.policy
    }

    fn cut_unanswered(&self, connection: &Connection<I>) {
        if self.is_current() {
            let certificate = connection.peer().certificate().clone();
            connection.cut(CloseReason::NotAdmitted(AdmitError::PolicyNotAsked {
                certificate,
            }));
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
        let asked = async {
            gate.check_deny_list(&peer)?;
            let verdict = gate.ask_policy(&peer).await;
            Admission::of(verdict, peer.clone()).map(drop)
        };
        let admitted = asked.await;
        self.connection = None; // answered
        if let Err(error) = admitted
            && self.questions.is_current()
        {
            connection.cut(CloseReason::NotAdmitted(error));
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
        let gate = Gate { inner: self };
        gate.commit(Changed::Facts, || ());
        gate.judge_open(Changed::Facts);
    }
}
