//! loom's types in place of those that `src/live/sync.rs` names.

pub(crate) use std::sync::{Arc, PoisonError};

pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// A value that is set once. loom has none; what is set here is never freed, so that references to it can be given
/// out without unsafe code.
pub(crate) struct OnceLock<T: 'static>(Mutex<Option<&'static T>>);

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        *self.0.lock().unwrap()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let mut place = self.0.lock().unwrap();
        if place.is_some() {
            return Err(value);
        }
        *place = Some(Box::leak(Box::new(value)));
        Ok(())
    }
}
