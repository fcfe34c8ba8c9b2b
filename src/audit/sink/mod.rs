//! The destinations of events.

mod fan_out;
mod filter;
#[cfg(feature = "audit-json")]
mod json;
mod memory;
mod queue;
mod rotating;
mod tracing;

use std::borrow::Cow;
use std::sync::Arc;

pub use self::tracing::Tracing;
pub use fan_out::FanOut;
pub use filter::Filter;
#[cfg(feature = "audit-json")]
pub use json::Json;
pub use memory::Memory;
pub use queue::{Overflow, Queue, QueueBuilder};
pub use rotating::RotatingFile;

use super::{Action, AuditEvent};
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::pki::text::Sentence;

/// A destination of audit events.
///
/// Closures over `&AuditEvent` are sinks that cannot fail:
///
/// ```
/// use countersign::audit::{AuditEvent, AuditSink};
///
/// fn assert_sink(_: impl AuditSink) {}
///
/// assert_sink(|event: &AuditEvent| println!("{event}"));
/// ```
///
/// A sink that can fail implements the trait:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::mpsc::SyncSender;
///
/// use countersign::audit::{AuditEvent, AuditSink, RecordError};
///
/// struct Channel(SyncSender<Arc<AuditEvent>>);
///
/// impl AuditSink for Channel {
///     fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
///         let sent = self.0.try_send(Arc::clone(event));
///         sent.map_err(|error| RecordError::new(error.to_string()))
///     }
/// }
/// ```
///
/// A sink runs on the connection's task, so it must not block: put a sink that writes to a disk or a
/// network behind a [`Queue`]. A panic counts as an event that could not be recorded.
pub trait AuditSink: Send + Sync {
    /// Records one event.
    ///
    /// # Errors
    /// [`RecordError`]: the event could not be recorded. If it was an admission, the peer is denied.
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError>;

    /// Records several events, in this order, and adds to `recorded` the number of those that it has
    /// recorded. A [`Queue`] calls it with the events that wait, so that a sink can write them at once.
    ///
    /// By default, it calls [`record`](Self::record) for each.
    ///
    /// # Errors
    /// [`RecordError`]: the event after the recorded ones could not be recorded. Those after it are not
    /// tried.
    fn record_batch(
        &self,
        events: &[Arc<AuditEvent>],
        recorded: &mut usize,
    ) -> Result<(), RecordError> {
        for event in events {
            self.record(event)?;
            *recorded += 1;
        }
        Ok(())
    }

    /// Whether the sink wants events of this kind. Other events are not made.
    ///
    /// By default, all are wanted.
    fn wants(&self, action: Action) -> bool {
        let _ = action;
        true
    }

    /// The number of events that this sink accepted and lost.
    ///
    /// By default, zero.
    fn dropped(&self) -> u64 {
        0
    }

    /// Flushes buffers of the sink. A [`Queue`] calls it after its last waiting event.
    ///
    /// By default, it does nothing.
    fn flush(&self) {}
}

// The trait must stay usable as a trait object.
const _: Option<&dyn AuditSink> = None;

impl<F: Fn(&AuditEvent) + Send + Sync> AuditSink for F {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        self(event);
        Ok(())
    }
}

impl<S: AuditSink + ?Sized> AuditSink for Arc<S> {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        (**self).record(event)
    }

    fn record_batch(
        &self,
        events: &[Arc<AuditEvent>],
        recorded: &mut usize,
    ) -> Result<(), RecordError> {
        (**self).record_batch(events, recorded)
    }

    fn wants(&self, action: Action) -> bool {
        (**self).wants(action)
    }

    fn dropped(&self) -> u64 {
        (**self).dropped()
    }

    fn flush(&self) {
        (**self).flush();
    }
}

impl AuditSink for Box<dyn AuditSink> {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        (**self).record(event)
    }

    fn record_batch(
        &self,
        events: &[Arc<AuditEvent>],
        recorded: &mut usize,
    ) -> Result<(), RecordError> {
        (**self).record_batch(events, recorded)
    }

    fn wants(&self, action: Action) -> bool {
        (**self).wants(action)
    }

    fn dropped(&self) -> u64 {
        (**self).dropped()
    }

    fn flush(&self) {
        (**self).flush();
    }
}

/// An audit event could not be recorded.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::audit::RecordError;
///
/// let error = RecordError::new("no space left on device");
/// assert_eq!(error.reason(), "not_recorded");
/// assert_eq!(error.cause(), "the audit event could not be recorded: no space left on device");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RecordError {
    problem: String,
}

impl RecordError {
    /// With the problem, for people: `"no space left on device"`.
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
        }
    }
}

impl Diagnostic for RecordError {
    fn reason(&self) -> &'static str {
        "not_recorded"
    }

    fn cause(&self) -> Cow<'_, str> {
        let problem = Sentence(&self.problem);
        format!("the audit event could not be recorded: {problem}").into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "check the audit sink: its disk, its permissions, its queue".into()
    }
}

display_diagnostic!(RecordError);
