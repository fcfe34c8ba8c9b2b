//! Events that are kept, for tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AuditSink, RecordError};
use crate::audit::AuditEvent;

/// Keeps every event, for tests; without bound. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    events: Arc<Mutex<Vec<Arc<AuditEvent>>>>,
}

impl Memory {
    /// With no event yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was recorded so far, in its order.
    pub fn events(&self) -> Vec<Arc<AuditEvent>> {
        self.kept().clone()
    }

    /// What was recorded since the last time.
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
