//! A sink that keeps events, for tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AuditSink, RecordError};
use crate::audit::AuditEvent;

/// Keeps every event in memory, without a limit, for tests. Clones share the events.
///
/// ```
/// use std::sync::Arc;
///
/// use countersign::audit::{Action, Memory};
///
/// let trail = Memory::new();
/// // … Acceptor::builder() … .audit(trail.clone()) …
/// let denied = trail.take().into_iter().filter(|event| event.action == Action::Denied);
/// assert_eq!(denied.count(), 0);
/// # let _: Vec<Arc<countersign::audit::AuditEvent>> = trail.events();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    events: Arc<Mutex<Vec<Arc<AuditEvent>>>>,
}

impl Memory {
    /// Without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// All events, in order.
    pub fn events(&self) -> Vec<Arc<AuditEvent>> {
        self.kept().clone()
    }

    /// Removes and returns the events since the last call, in order.
    pub fn take(&self) -> Vec<Arc<AuditEvent>> {
        std::mem::take(&mut *self.kept())
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<AuditEvent>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditSink for Memory {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        self.kept().push(Arc::clone(event));
        Ok(())
    }
}
