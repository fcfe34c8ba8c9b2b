//! The gate's word about connections that stay open: judged again whenever the rules change.

use std::sync::Arc;
use std::time::Duration;

use super::live::{Connection, Ended, Entered, OpenConnection};
use super::{Admission, AdmitError, Authorizer, Gate, Identified, Lifetimes};
use crate::Peer;
use crate::policy::DenyList;
use crate::policy::{self, OnChange};

/// Runs a future to its end, somewhere.
pub(crate) type Spawn =
    Box<dyn Fn(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

impl<I: Send + Sync + 'static> Gate<I> {
    /// Judges a peer whose connection stays open, and enters the connection before it does: rules
    /// that change from here on reach it.
    ///
    /// `clock` is that of whoever calls [`tick`](Self::tick).
    pub(crate) async fn admit_open(
        &self,
        identified: Identified<'_, I>,
        clock: Duration,
    ) -> Result<(Admission<I>, Entered<I>), AdmitError> {
        let since = self.now()?;
        let peer = identified.peer.clone();
        let registry = &self.inner.registry;
        let entered = registry.enter(peer.clone(), self.generation(), since, clock);
        let Identified {
            presented, trust, ..
        } = identified;
        loop {
            let generation = self.generation();
            let identified = Identified {
                peer: peer.clone(),
                presented,
                trust,
            };
            let admission = self.authorize_async(identified).await?;
            entered.connection().judged_by(generation);
            if entered.open() {
                return Ok((admission, entered));
            }
        }
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
    /// A synchronous policy is asked before this returns; an asynchronous one meanwhile, some
    /// connections at a time.
    pub(crate) fn judge_open(&self) {
        let open = self.inner.registry.to_be_judged();
        if open.is_empty() {
            return;
        }
        let generation = self.generation();
        let authorizer = self.inner.authorizer.load_full();
        let mut to_ask = Vec::new();
        for connection in open {
            let peer = connection.peer();
            let judged = self.check_trust(peer).and_then(|()| match &*authorizer {
                Authorizer::Sync(policy) => {
                    self.check_deny_list(peer)?;
                    Admission::of(policy::decide(&**policy, peer), peer.clone()).map(drop)
                }
                Authorizer::Async { .. } => {
                    self.check_deny_list(peer)?;
                    to_ask.push(Arc::clone(&connection));
                    Ok(())
                }
            });
            match judged {
                Ok(()) => connection.judged_by(generation),
                Err(error) => connection.cut(Ended::Refused(error)),
            }
        }
        self.ask_about(to_ask);
    }

    /// Asks the asynchronous policy about open connections.
    fn ask_about(&self, connections: Vec<Arc<Connection<I>>>) {
        /// How many are asked about at a time.
        const ABREAST: usize = 64;

        let Some(spawn) = self.inner.spawn.load_full() else {
            return; // no connection was ever entered
        };
        let abreast = connections.len().min(ABREAST);
        let waiting = Arc::new(std::sync::Mutex::new(connections));
        for _ in 0..abreast {
            let (gate, waiting) = (self.clone(), Arc::clone(&waiting));
            spawn(Box::pin(async move {
                let next = || {
                    waiting
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .pop()
                };
                while let Some(connection) = next() {
                    let peer = connection.peer();
                    let verdict = gate.decide_async(peer).await;
                    let admitted = verdict.and_then(|verdict| Admission::of(verdict, peer.clone()));
                    if let Err(error) = admitted {
                        connection.cut(Ended::Refused(error));
                    }
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

/// The deny list tells its gates of every change.
impl<I: Send + Sync + 'static> OnChange for super::Inner<I> {
    fn changed(self: Arc<Self>) {
        Gate { inner: self }.judge_open();
    }
}
