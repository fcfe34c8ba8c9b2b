//! Several sinks.

use std::fmt;
use std::sync::Arc;

use super::{AuditSink, RecordError};
use crate::audit::{Action, AuditEvent};

/// Gives every event to several sinks, in their order.
///
/// Where one cannot record an admission, those after it are not told of it, because the peer is
/// refused: so put the sinks that must not fail first. All other events are given to all.
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
    /// To nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And to this one.
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
