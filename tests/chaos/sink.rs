//! The audit sink: it reports everything to the model, and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use countersign::audit::{Action, AuditEvent, AuditSink, RecordError};

use crate::model::{Model, SinkMode};

/// The text of panics that are made here.
pub(crate) const DELIBERATE: &str = "a sink that panics";

#[derive(Clone)]
pub(crate) struct Sink(Arc<Shared>);

struct Shared {
    model: Arc<Model>,
    mode: AtomicU8,
    /// Outcomes of attempts, as the acceptor counts them.
    outcomes: AtomicU64,
    unrecorded: AtomicU64,
}

impl Sink {
    pub(crate) fn new(model: &Arc<Model>) -> Self {
        Self(Arc::new(Shared {
            model: Arc::clone(model),
            mode: AtomicU8::new(0),
            outcomes: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
        }))
    }

    pub(crate) fn set(&self, mode: SinkMode) {
        self.0.mode.store(mode as u8, Ordering::SeqCst);
    }

    pub(crate) fn outcomes(&self) -> u64 {
        self.0.outcomes.load(Ordering::SeqCst)
    }

    pub(crate) fn unrecorded(&self) -> u64 {
        self.0.unrecorded.load(Ordering::SeqCst)
    }
}

impl AuditSink for Sink {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        let shared = &*self.0;
        let mode = shared.mode.load(Ordering::SeqCst);
        let is_recorded = mode == SinkMode::Records as u8;
        if !is_recorded {
            shared.unrecorded.fetch_add(1, Ordering::SeqCst);
        }
        let (action, model) = (event.action, &shared.model);
        if action.ends_attempt() {
            if action != Action::Admitted || is_recorded {
                shared.outcomes.fetch_add(1, Ordering::SeqCst);
            }
            let from = event.info.remote_addr();
            if event.info.is_resumed() && action == Action::Admitted {
                model.count("resumed");
            }
            model.outcome(from, action, event.reason, event.connection, is_recorded);
        } else if matches!(action, Action::Draining | Action::Cut | Action::Closed) {
            model.closing(event.connection, action, event.reason.unwrap_or("-"));
        } else {
            model.note(format!("{event}"));
            model.count(action.as_str());
        }
        match mode {
            0 => Ok(()),
            1 => Err(RecordError::new("the disk is full, by order")),
            _ => std::panic::panic_any(DELIBERATE),
        }
    }
}
