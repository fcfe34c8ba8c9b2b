//! A sink that forwards to several sinks.

use std::fmt;
use std::sync::Arc;

use super::{AuditSink, RecordError};
use crate::audit::{Action, AuditEvent};

/// Records every event in several sinks, in order.
///
/// If a sink cannot record an admission, the sinks after it do not get the event, because the peer is
/// denied. Put the sinks that must not fail first. All other events go to all sinks.
///
/// ```
/// use countersign::audit::{FanOut, Memory, Tracing};
///
/// let sink = FanOut::new().and(Memory::new()).and(Tracing);
/// ```
#[derive(Default)]
pub struct FanOut {
    sinks: Vec<Box<dyn AuditSink>>,
}

impl FanOut {
    /// Without a sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    #[must_use]
    pub fn and(mut self, sink: impl AuditSink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }
}

impl AuditSink for FanOut {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        let mut result = Ok(());
        for sink in self.sinks.iter().filter(|sink| sink.wants(event.action)) {
            let recorded = sink.record(event);
            if recorded.is_err() && event.action == Action::Admitted {
                return recorded;
            }
            result = result.and(recorded);
        }
        result
    }

    fn wants(&self, action: Action) -> bool {
        self.sinks.iter().any(|sink| sink.wants(action))
    }

    fn dropped(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.dropped()).sum()
    }

    fn flush(&self) {
        self.sinks.iter().for_each(|sink| sink.flush());
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("sinks", &self.sinks.len())
            .finish()
    }
}
