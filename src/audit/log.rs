//! Where events go: counted, and given to the sink.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::stats::Counts;
use super::{Action, AuditEvent, AuditSink, NotRecorded, Side};

/// One acceptor's or connector's events.
pub(crate) struct Log {
    sink: Box<dyn AuditSink>,
    side: Side,
    name: Option<Arc<str>>,
    counts: Counts,
}

impl Log {
    pub(crate) fn new(sink: Box<dyn AuditSink>, side: Side, name: Option<Arc<str>>) -> Self {
        Self {
            counts: Counts::new(side, name.clone()),
            sink,
            side,
            name,
        }
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Records that something happened. That it cannot be recorded changes nothing any more.
    pub(crate) fn tell(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        self.counts.happened(action, reason);
        // Counted where it fails.
        let _ = self.record(action, reason, fill);
    }

    /// Records an event, without counting it.
    ///
    /// # Errors
    /// The sink could not.
    pub(super) fn record(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), NotRecorded> {
        // A sink is anybody's code.
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            if !self.sink.wants(action) {
                return Ok(());
            }
            let mut event = AuditEvent::new(action, self.side, self.name.clone());
            event.reason = reason;
            fill(&mut event);
            self.sink.record(&Arc::new(event))
        }));
        let recorded = recorded.unwrap_or_else(|_| Err(NotRecorded::new("the sink panicked")));
        if recorded.is_err() {
            self.counts.not_recorded();
        }
        recorded
    }

    /// How many events were not recorded.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped() + self.sink.dropped()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("side", &self.side)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
