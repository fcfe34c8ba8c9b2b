//! What the files under the model checker take from the standard library: `tests/interleavings` compiles these files
//! with loom's types in place of these.

pub(super) use std::sync::atomic::{AtomicU8, Ordering};
pub(super) use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
