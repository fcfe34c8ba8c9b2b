//! Calls to code of the application whose panics must not propagate.
//!
//! Policies, identities, loaders, sinks, clocks, wakers and the metrics recorder are the application's,
//! with their destructors. If one of them panics while rules are replaced or connections are
//! re-authorized, the remaining work must still be done.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; `None` when it panics.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(payload) => {
            // The payload is the application's, too. If its destructor panics, that payload is leaked.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}

/// A value whose destructor is the application's code: a panic of it does not propagate.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value. It is always `Some`.
    pub(crate) const fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        caught(|| drop(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a destructor that panics");
        }
    }

    #[test]
    fn no_panic_propagates_not_even_from_a_destructor() {
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(caught(|| -> u8 { panic!("work that panics") }), None);
        assert_eq!(caught(|| -> u8 { std::panic::panic_any(Panics) }), None);
        let contained = Contained::new(Panics);
        assert!(contained.get().is_some());
        drop(contained);
    }
}
