//! Notifications of the operating system about changed files.
//!
//! The folders of the files are watched and not the files, because a file that is replaced is another file.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::WeakSender;

use super::files::trail;
use super::handle::Request;

/// Watches the folders of files.
pub(super) struct Events {
    watcher: Mutex<Watched>,
    receiver: Arc<Receiver>,
}

struct Watched {
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
}

/// Receives the events and passes them on.
#[derive(Default)]
struct Receiver {
    /// The worker was notified, and has not checked the files since: no second request is needed.
    is_notified: AtomicBool,
    /// The paths whose events count.
    interest: Mutex<Interest>,
    worker: Mutex<Option<WeakSender<Request>>>,
}

#[derive(Default)]
struct Interest {
    /// Files, and the symlinks on their paths.
    files: HashSet<PathBuf>,
    /// Folders of which every file counts.
    folders: HashSet<PathBuf>,
}

impl Events {
    pub(super) fn new() -> Option<Self> {
        let receiver = Arc::new(Receiver::default());
        let handler = Arc::clone(&receiver);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Events may be lost behind an error.
            if event.map_or(true, |event| handler.concerns(&event)) {
                handler.notify();
            }
        });
        match watcher {
            Ok(watcher) => Some(Self {
                watcher: Mutex::new(Watched {
                    watcher,
                    folders: HashSet::new(),
                }),
                receiver,
            }),
            Err(error) => {
                tracing::warn!(%error, "no file events, so changes of files are noticed at each interval only");
                None
            }
        }
    }

    /// Notifies this worker from now on.
    pub(super) fn connect(&self, worker: WeakSender<Request>) {
        *lock(&self.receiver.worker) = Some(worker);
    }

    /// Passes the next event on, after one was received.
    pub(super) fn rearm(&self) {
        self.receiver.is_notified.store(false, Ordering::SeqCst);
    }

    /// Watches the files to which these paths lead now.
    pub(super) fn watch<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) {
        let mut interest = Interest::default();
        for path in paths {
            let mut trails = vec![trail(path)];
            if let Some(folder) = trails[0].last().filter(|end| end.is_dir()).cloned() {
                // The symlinks in a folder lead elsewhere, as those to Kubernetes' `..data`.
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                trails.extend(entries.map(|entry| trail(&entry.path())));
                interest.folders.insert(folder);
            }
            interest.files.extend(trails.into_iter().flatten());
        }
        let folders: HashSet<PathBuf> = interest
            .files
            .iter()
            .filter_map(|file| file.parent())
            .chain(interest.folders.iter().map(PathBuf::as_path))
            .map(Path::to_path_buf)
            .collect();
        *lock(&self.receiver.interest) = interest;
        let mut watched = lock(&self.watcher);
        let Watched {
            watcher,
            folders: before,
        } = &mut *watched;
        for folder in before.difference(&folders) {
            watcher.unwatch(folder).ok();
        }
        // inotify watches the folder that had this name when the watch was added, and adding it again
        // costs nothing. Others go by the name, or would restart the watch.
        let add_again = cfg!(target_os = "linux");
        for folder in &folders {
            if add_again || !before.contains(folder) {
                // A folder that is missing is added by the next check.
                watcher.watch(folder, RecursiveMode::NonRecursive).ok();
            }
        }
        *before = folders;
    }
}

impl Receiver {
    fn concerns(&self, event: &Event) -> bool {
        // Reading a file is an event as well.
        let is_change = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        let interest = lock(&self.interest);
        let known = |path: &PathBuf| {
            let parent = path.parent();
            interest.files.contains(path)
                || parent.is_some_and(|parent| interest.folders.contains(parent))
        };
        is_change && (event.paths.is_empty() || event.paths.iter().any(known))
    }

    fn notify(&self) {
        if self.is_notified.swap(true, Ordering::SeqCst) {
            return;
        }
        let worker = lock(&self.worker).as_ref().and_then(WeakSender::upgrade);
        let is_sent = worker.is_some_and(|worker| worker.try_send(Request::Check).is_ok());
        if !is_sent {
            // The worker has not started, or its queue is full: the interval remains.
            self.is_notified.store(false, Ordering::SeqCst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind, RemoveKind};

    use super::*;

    #[test]
    fn the_worker_is_notified_once_until_it_looks() {
        let receiver = Receiver::default();
        receiver.notify(); // there is no worker yet
        let (worker, mut requests) = tokio::sync::mpsc::channel(4);
        *lock(&receiver.worker) = Some(worker.downgrade());
        for _ in 0..2 {
            receiver.notify();
            receiver.notify();
            assert!(matches!(requests.try_recv(), Ok(Request::Check)));
            assert!(requests.try_recv().is_err());
            receiver.is_notified.store(false, Ordering::SeqCst);
        }
    }

    #[test]
    fn reads_and_events_of_other_files_are_ignored() {
        let receiver = Receiver::default();
        *lock(&receiver.interest) = Interest {
            files: HashSet::from(["/tls/..data".into(), "/tls/tls.crt".into()]),
            folders: HashSet::from(["/crls".into()]),
        };
        let concerns = |kind: EventKind, path: &str| {
            let event = Event::new(kind).add_path(path.into());
            receiver.concerns(&event)
        };
        let modified = EventKind::Modify(ModifyKind::Any);
        assert!(concerns(modified, "/tls/..data"));
        assert!(concerns(modified, "/crls/new.crl"));
        assert!(!concerns(modified, "/tls/other"));
        assert!(!concerns(modified, "/crls/sub/new.crl"));
        for kind in [
            EventKind::Create(CreateKind::File),
            EventKind::Remove(RemoveKind::File),
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
        ] {
            assert!(concerns(kind, "/tls/tls.crt"), "{kind:?}");
        }
        for kind in [
            AccessKind::Open(AccessMode::Any),
            AccessKind::Read,
            AccessKind::Close(AccessMode::Read),
        ] {
            assert!(!concerns(EventKind::Access(kind), "/tls/tls.crt"));
        }
        assert!(
            receiver.concerns(&Event::new(EventKind::Other)),
            "events may be lost"
        );
    }
}
