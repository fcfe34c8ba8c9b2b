//! Sees one attempt to connect, and tells its outcome exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::bounds::is_unauthenticated;
use super::{Action, AuditEvent, AuditedIdentity, Log, RecordError, Stage};
use crate::peer::ConnectionInfo;
use crate::pki::Certificate;

/// One attempt that is under way. If it is dropped before its outcome is known, it was abandoned,
/// and that is told.
#[derive(Debug)]
pub(crate) struct Witness {
    log: Arc<Log>,
    connection: u64,
    started: Instant,
    generation: u64,
    /// What is known of the connection so far.
    pub(crate) info: ConnectionInfo,
    /// How far it came.
    pub(crate) stage: Stage,
    /// Whether it is us who tell the peer that it is refused.
    pub(crate) tells_peer: bool,
    /// Whether the peer has proven its key, where the stage does not show it.
    pub(crate) is_proven: bool,
    /// The peer, once it was identified: so that also who gives up in the middle is named.
    pub(crate) identity: Option<AuditedIdentity>,
    pub(crate) certificates: Vec<Certificate>,
    is_over: bool,
}

impl Witness {
    pub(crate) fn new(log: &Arc<Log>, info: ConnectionInfo, generation: u64) -> Self {
        log.counts().began();
        Self {
            log: Arc::clone(log),
            connection: next_connection(),
            started: Instant::now(),
            generation,
            info,
            stage: Stage::Transport,
            tells_peer: true,
            is_proven: false,
            identity: None,
            certificates: Vec::new(),
            is_over: false,
        }
    }

    /// The connection's number.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) const fn connection(&self) -> u64 {
        self.connection
    }

    /// Records the outcome. That of a peer that has not proven its key may be left to a summary: see
    /// [`sampling`](super::sampling).
    ///
    /// # Errors
    /// It could not be recorded. Of an admission, that is not the outcome then: whoever called it
    /// refuses the peer, and tells that.
    pub(crate) fn conclude(
        &mut self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), RecordError> {
        if self.is_over {
            return Ok(());
        }
        let duration = self.started.elapsed();
        let is_strangers = !self.is_proven && is_unauthenticated(action, self.stage, &self.info);
        if is_strangers && self.log.leaves_out(action, reason) {
            self.is_over = true;
            self.count(action, reason, duration);
            return Ok(());
        }
        let recorded = self.log.record(action, reason, |event| {
            event.connection = Some(self.connection);
            event.stage = Some(self.stage);
            event.info = self.info.clone();
            event.generation = self.generation;
            event.duration = Some(duration);
            event.identity = self.identity.clone();
            event.set_certificates(&self.certificates);
            fill(event);
        });
        if action == Action::Admitted && recorded.is_err() {
            return recorded;
        }
        self.is_over = true;
        self.count(action, reason, duration);
        recorded
    }

    fn count(&self, action: Action, reason: Option<&'static str>, duration: Duration) {
        let counts = self.log.counts();
        counts.happened(action, reason);
        counts.is_over(action, duration, self.info.is_resumed());
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // Nothing can be done about a record that fails here.
        let _ = self.conclude(Action::Abandoned, Some("abandoned"), |event| {
            event.detail = Some("the attempt was given up before its outcome was known".into());
        });
    }
}

/// A number that no other connection of this process has.
fn next_connection() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
