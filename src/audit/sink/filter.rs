//! A sink for some of the events.

use std::fmt;
use std::sync::Arc;

use super::{AuditSink, RecordError};
use crate::audit::{Action, AuditEvent};

/// Records only the events that a condition selects.
///
/// ```
/// use countersign::audit::{Action, AuditEvent, Filter, Memory};
///
/// let failures = Filter::new(Memory::new(), |event: &AuditEvent| event.action != Action::Admitted);
/// ```
pub struct Filter<S, F> {
    sink: S,
    selects: F,
}

impl<S: AuditSink, F: Fn(&AuditEvent) -> bool + Send + Sync> Filter<S, F> {
    /// Records in `sink` the events for which `selects` returns true.
    pub const fn new(sink: S, selects: F) -> Self {
        Self { sink, selects }
    }
}

impl<S: AuditSink, F: Fn(&AuditEvent) -> bool + Send + Sync> AuditSink for Filter<S, F> {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        if (self.selects)(event) {
            self.sink.record(event)
        } else {
            Ok(())
        }
    }

    fn wants(&self, action: Action) -> bool {
        self.sink.wants(action)
    }

    fn dropped(&self) -> u64 {
        self.sink.dropped()
    }

    fn flush(&self) {
        self.sink.flush();
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Filter<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.sink).finish()
    }
}
