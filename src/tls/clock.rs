//! The clock that rustls asks.
//!
//! rustls asks for the time before it calls a verifier, and again for each session that it grants. If there is none, it
//! ends the handshake without an alert, and with an error of its own. So it gets the last known time then, which makes
//! sessions expire early at most. Whether there is a time is checked by the verifier and by each step of the gate, which
//! ask the application's clock themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

#[derive(Debug)]
pub(super) struct HandshakeClock {
    clock: Arc<dyn TimeProvider>,
    /// In seconds; the beginning of 1970 if there was none.
    last: AtomicU64,
}

impl HandshakeClock {
    pub(super) fn of(clock: &Arc<dyn TimeProvider>) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::clone(clock),
            last: AtomicU64::new(0),
        })
    }
}

impl TimeProvider for HandshakeClock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.clock.current_time();
        if let Some(now) = now {
            self.last.store(now.as_secs(), Ordering::Relaxed);
            return Some(now);
        }
        let last = Duration::from_secs(self.last.load(Ordering::Relaxed));
        Some(UnixTime::since_unix_epoch(last))
    }
}
