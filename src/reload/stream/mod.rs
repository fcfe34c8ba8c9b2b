//! Sources whose values are pushed: streams and watch channels.
//!
//! A task per stream keeps its latest value. The worker takes values together with what it reads of the
//! files, so that several parts from one stream are always parts of one value.

mod feed;
mod next;
#[cfg(feature = "stream")]
mod retry;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub(super) use feed::{Feed, Followed, Values};
#[cfg(feature = "stream")]
pub(super) use next::OfStream;
pub(super) use next::OfWatch;
#[cfg(feature = "stream")]
pub use retry::{Backoff, retry};

use super::error::{cause_of, reason_of, remedy_of};
use super::source::LoadError;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;

/// How long [`Reload::start`](super::Reload::start) waits for the first value.
pub(super) const FIRST_VALUE: Duration = Duration::from_secs(10);

/// What happens when a stream has no new value for a long time, or has ended.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::TrustStore;
/// use countersign::reload::{Silence, Source};
/// use tokio::sync::watch;
///
/// fn fresh(trust: watch::Receiver<TrustStore>) -> Source<TrustStore> {
///     let max_age = Duration::from_secs(3600);
///     Source::watch("control plane", trust).silence(Silence::FailClosed { max_age })
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// The last value stays in force. Its age is in [`Status::streams`](super::Status::streams).
    #[default]
    Keep,
    /// When the last good value is this old, no peer is admitted, and all open connections are closed
    /// ([`AdmitError::Suspended`](crate::gate::AdmitError::Suspended)). A new good value ends this. The
    /// stream must repeat its value within this time, even if it has not changed.
    FailClosed {
        /// The age, by a clock that a change of the system's time does not affect.
        max_age: Duration,
    },
}

/// What a stream reports about itself, besides its values.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// An item of the stream is an error.
    Item { name: Arc<str>, error: LoadError },
    /// There is no value yet.
    NoValue { name: Arc<str>, waited: Duration },
    /// The stream has ended.
    Closed { name: Arc<str>, panicked: bool },
    /// The last value is too old.
    Silent { name: Arc<str>, max_age: Duration },
}

impl Diagnostic for StreamError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Item { error, .. } => reason_of(&**error),
            Self::NoValue { .. } => "no_first_value",
            Self::Closed { .. } => "stream_closed",
            Self::Silent { .. } => "stream_silent",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Item { name, error } => format!("{name}: {}", cause_of(&**error)),
            Self::NoValue { name, waited } if waited.is_zero() => {
                format!("{name}: no value has arrived yet")
            }
            Self::NoValue { name, waited } => {
                format!("{name}: no value arrived within {waited:?}")
            }
            Self::Closed {
                name,
                panicked: false,
            } => format!("{name}: the stream has ended; its last value stays"),
            Self::Closed { name, .. } => {
                format!("{name}: the stream panicked; its last value stays")
            }
            Self::Silent { name, max_age } => {
                format!("{name}: no new value has arrived for {max_age:?}, which is the limit")
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Item { error, .. } => return remedy_of(&**error),
            Self::NoValue { waited, .. } if waited.is_zero() => {
                "await Source::ready() before the builder takes it"
            }
            Self::NoValue { .. } => {
                "check the service behind the stream, or wait longer with first_value_within()"
            }
            Self::Closed { .. } => "let the stream reconnect, as reload::retry() does",
            Self::Silent { .. } => "check the service behind the stream",
        }
        .into()
    }
}

display_diagnostic!(StreamError);
