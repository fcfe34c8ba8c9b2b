//! The sources that a builder was given, for a reload to follow.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Sources of types that only `reload` knows.
#[derive(Clone, Default)]
pub(crate) struct Sources(Vec<Arc<dyn Any + Send + Sync>>);

impl Sources {
    /// Keeps one more source.
    pub(crate) fn keep<T: Send + Sync + 'static>(&mut self, source: T) {
        self.0.push(Arc::new(source));
    }

    /// The sources, in the order in which they were given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(dyn Any + Send + Sync)> {
        self.0.iter().map(|source| &**source)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0.len()).finish()
    }
}
