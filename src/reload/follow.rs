//! Sources of a builder that are followed without a call of the application.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::handle::Request;
use super::{Part, Reload, Source};
use crate::endpoint::{Sources, WeakControl};
use crate::{Control, Update};

/// Keeps a source for a reload.
pub(crate) fn keep<T: 'static>(
    sources: &mut Sources,
    part: Part,
    source: Source<T>,
    set: fn(Update, T) -> Update,
) {
    let source = source.map(move |value| -> Box<dyn FnOnce(Update) -> Update> {
        Box::new(move |update| set(update, value))
    });
    sources.keep::<super::builder::UpdateSource>((part, source));
}

/// The worker of an endpoint whose sources are followed without a reload. It stops when the endpoint is dropped, or
/// when a reload of the application takes over.
pub(super) struct Follower(Mutex<Following>);

enum Following {
    Starting,
    /// It runs until the sender is dropped.
    Running(#[expect(dead_code, reason = "held")] mpsc::Sender<Request>),
    /// A reload of the application follows the sources.
    TakenOver,
}

impl Follower {
    /// What is to be kept among the sources.
    fn new() -> Self {
        Self(Mutex::new(Following::Starting))
    }

    fn set(&self, next: Following) {
        let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*following, Following::TakenOver) {
            *following = next;
        }
    }

    fn is_taken_over(&self) -> bool {
        let following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*following, Following::TakenOver)
    }
}

/// Prepares sources to be followed by [`start`].
pub(crate) fn keep_follower(sources: &mut Sources) {
    sources.keep::<Arc<Follower>>(Arc::new(Follower::new()));
}

/// Follows the sources for as long as the endpoint exists.
pub(crate) fn start<I: Send + Sync + 'static>(runtime: &Handle, control: &Control<I>) {
    if let Some(follower) = of(control.sources()) {
        runtime.spawn(run(control.downgrade(), follower));
    }
}

/// Whether the sources are followed without a reload, or were until one took over.
pub(super) fn is_followed(sources: &Sources) -> bool {
    of(sources).is_some()
}

/// Stops following: a reload of the application takes over.
pub(super) fn take_over(sources: &Sources) {
    if let Some(follower) = of(sources) {
        follower.set(Following::TakenOver);
    }
}

fn of(sources: &Sources) -> Option<Arc<Follower>> {
    sources
        .iter()
        .find_map(|source| source.downcast_ref::<Arc<Follower>>().cloned())
}

async fn run<I: Send + Sync + 'static>(control: WeakControl<I>, follower: Arc<Follower>) {
    const PAUSE: Duration = Duration::from_secs(1);

    while let Some(control) = control.upgrade() {
        if follower.is_taken_over() {
            return;
        }
        let reload = Reload::new(control).with_sources_of_builder();
        match reload.start_worker().await {
            Ok((requests, _)) => {
                follower.set(Following::Running(requests));
                return;
            }
            Err(error) => tracing::warn!(%error, "the sources are not followed yet"),
        }
        sleep(PAUSE).await;
    }
}
