//! All parts of one reload, read and applied together. Its functions block.

use std::sync::Arc;

use rustls_pki_types::UnixTime;

use super::part::{Loaded, Watched};
use super::snapshot::{Content, Snapshot};
use super::status::{Context, NamedCertificate};
use super::stream::Followed;
use super::{Part, ReloadError};
use crate::audit::Recorder;
use crate::endpoint::{Change, WeakControl};
use crate::pki::contained;
use crate::{Control, Update};

pub(super) struct Set<I> {
    /// Not the endpoint itself, which may have a handle of this reload.
    control: WeakControl<I>,
    recorder: Arc<Recorder>,
    watched: Vec<Watched<I>>,
    #[cfg(feature = "notify")]
    events: Option<super::events::Events>,
}

/// The result of loading and applying a set.
pub(super) enum ApplyResult {
    /// The files were touched while they were loaded. Nothing was applied. This is their new state.
    Touched(Snapshot),
    /// These parts were applied, or the set was denied.
    Finished(Result<Vec<Part>, ReloadError>),
}

impl<I: Send + Sync + 'static> Set<I> {
    pub(super) fn new(control: &Control<I>, watched: Vec<Watched<I>>) -> Self {
        Self {
            control: control.downgrade(),
            recorder: Arc::clone(control.recorder()),
            watched,
            #[cfg(feature = "notify")]
            events: None,
        }
    }

    #[cfg(feature = "notify")]
    pub(super) fn with_events(mut self) -> Self {
        self.events = super::events::Events::new();
        self
    }

    #[cfg(feature = "notify")]
    pub(super) const fn events(&self) -> Option<&super::events::Events> {
        self.events.as_ref()
    }

    /// The streams, with the parts that they are for.
    pub(super) fn streams(&self) -> Vec<(Part, Followed)> {
        let parts = self.watched.iter().flat_map(|watched| {
            let streams = watched.streams().iter().cloned();
            streams.map(|stream| (watched.part().clone(), stream))
        });
        parts.collect()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        // Before the files are read, so that every later change has an event.
        #[cfg(feature = "notify")]
        if let Some(events) = &self.events {
            events.watch(self.watched.iter().flat_map(Watched::paths));
        }
        Snapshot::of(&self.watched)
    }

    /// Loads and applies each source whose content is not the `applied` one, provided that the files are
    /// after the loading as they are `now`.
    pub(super) fn load_and_apply(&self, now: &Snapshot, applied: &[Content]) -> ApplyResult {
        let loaded = match now.problem() {
            Some(problem) => Err(problem.clone()),
            None => self.load(now, applied),
        };
        let after = self.snapshot();
        if !after.has_same_files(now) {
            contained::caught(|| drop(loaded));
            return ApplyResult::Touched(after);
        }
        ApplyResult::Finished(loaded.and_then(|loaded| self.apply(loaded)))
    }

    /// Applies an update that the application pushed.
    pub(super) fn push(&self, update: Update) -> Result<Vec<Part>, ReloadError> {
        self.change(update.into())?;
        Ok(vec![Part::Pushed])
    }

    /// What a worker that this one takes over from has suspended.
    pub(super) fn inherited_suspension(&self) -> Option<Arc<str>> {
        let control = self.control.upgrade()?;
        if super::follow::is_followed(control.sources()) {
            control.suspended()
        } else {
            None
        }
    }

    /// Admits no peer from now on, and closes all open connections; or admits peers again.
    pub(super) fn suspend(&self, why: Option<Arc<str>>) -> Result<(), ReloadError> {
        self.change(Change {
            suspended: Some(why),
            ..Change::default()
        })
    }

    /// Our own certificates, with their names.
    pub(super) fn certificates(&self) -> Vec<NamedCertificate> {
        let control = self.control.upgrade();
        control.map_or_else(Vec::new, |control| control.own_certificates())
    }

    fn load(
        &self,
        now: &Snapshot,
        applied: &[Content],
    ) -> Result<Vec<(Part, Loaded<I>)>, ReloadError> {
        self.watched
            .iter()
            .zip(&now.contents)
            .enumerate()
            .filter(|(index, (_, content))| applied.get(*index) != Some(*content))
            .map(|(_, (watched, _))| {
                let part = watched.part().clone();
                let load = || {
                    let loaded = watched.load(&now.values);
                    loaded.map_err(|error| ReloadError::Load {
                        part: part.clone(),
                        error,
                    })
                };
                let change = caught(Some(&part), load)?;
                Ok((part, change))
            })
            .collect()
    }

    fn apply(&self, loaded: Vec<(Part, Loaded<I>)>) -> Result<Vec<Part>, ReloadError> {
        let mut parts = Vec::new();
        let mut change = Change::default();
        for (part, loaded) in loaded {
            parts.push(part);
            match loaded {
                Loaded::Update(set) => {
                    change.update = Some(set(change.update.take().unwrap_or_default()));
                }
                Loaded::Policy(policy) => change.authorizer = Some(policy),
                Loaded::DenyList(entries) => change.deny_list = Some(*entries),
            }
        }
        self.change(change)?;
        Ok(parts)
    }

    fn change(&self, change: Change<I>) -> Result<(), ReloadError> {
        let Some(control) = self.control.upgrade() else {
            return Err(ReloadError::Stopped);
        };
        // Only the preparation of a change can panic: committing it runs no code of the application.
        caught(None, || match control.change(change) {
            Ok(_generation) => Ok(()),
            Err(error) => Err(ReloadError::Unfit {
                error: Arc::new(error),
            }),
        })
    }
}

/// Runs code of the application, and turns its panic into an error.
pub(super) fn caught<T>(
    part: Option<&Part>,
    work: impl FnOnce() -> Result<T, ReloadError>,
) -> Result<T, ReloadError> {
    contained::caught(work).unwrap_or_else(|| {
        Err(ReloadError::Panicked {
            part: part.cloned(),
        })
    })
}

impl<I: Send + Sync + 'static> Context for Set<I> {
    fn generation(&self) -> u64 {
        let control = self.control.upgrade();
        control.map_or(0, |control| control.generation())
    }

    fn now(&self) -> UnixTime {
        // Without a time no peer is admitted, but the records go on.
        let control = self.control.upgrade();
        let now = control.and_then(|control| control.now().ok());
        now.unwrap_or_else(UnixTime::now)
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}
