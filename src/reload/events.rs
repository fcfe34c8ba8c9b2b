//! Changes of files, as the operating system tells them.

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

/// Watches the folders of files, because a file that is replaced is another file.
pub(super) struct Events {
    watcher: Mutex<Watched>,
    ear: Arc<Ear>,
}

struct Watched {
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
}

/// Where events arrive.
#[derive(Default)]
struct Ear {
    /// One event is as good as many, until somebody looks.
    told: AtomicBool,
    /// What is of interest, by itself or by what is in it.
    interest: Mutex<Interest>,
    worker: Mutex<Option<WeakSender<Request>>>,
}

#[derive(Default)]
struct Interest {
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
}

impl Events {
    pub(super) fn new() -> Option<Self> {
        let ear = Arc::new(Ear::default());
        let heard = Arc::clone(&ear);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may be lost events.
            if event.map_or(true, |event| heard.concerns(&event)) {
                heard.tell();
            }
        });
        match watcher {
            Ok(watcher) => Some(Self {
                watcher: Mutex::new(Watched {
                    watcher,
                    folders: HashSet::new(),
                }),
                ear,
            }),
            Err(error) => {
                tracing::warn!(%error, "no file events; the files are looked at by interval only");
                None
            }
        }
    }

    pub(super) fn tell_to(&self, worker: WeakSender<Request>) {
        *lock(&self.ear.worker) = Some(worker);
    }

    /// Hears the next event, after one was told.
    pub(super) fn listen(&self) {
        self.ear.told.store(false, Ordering::SeqCst);
    }

    /// Watches where these paths lead now.
    pub(super) fn follow<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) {
        let mut interest = Interest::default();
        for path in paths {
            let mut ways = vec![trail(path)];
            if let Some(folder) = ways[0].last().filter(|end| end.is_dir()).cloned() {
                // The links in a folder lead elsewhere, as those to Kubernetes' `..data`.
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                ways.extend(entries.map(|entry| trail(&entry.path())));
                interest.folders.insert(folder);
            }
            interest.files.extend(ways.into_iter().flatten());
        }
        let folders: HashSet<PathBuf> = interest
            .files
            .iter()
            .filter_map(|file| file.parent())
            .chain(interest.folders.iter().map(PathBuf::as_path))
            .map(Path::to_path_buf)
            .collect();
        *lock(&self.ear.interest) = interest;
        let mut watched = lock(&self.watcher);
        let Watched {
            watcher,
            folders: before,
        } = &mut *watched;
        for folder in before.difference(&folders) {
            watcher.unwatch(folder).ok();
        }
        // inotify watches what a folder was when it was asked, which costs it nothing to be asked
        // again; others go by the name, or have to start anew.
        let anew = cfg!(target_os = "linux");
        for folder in &folders {
            if anew || !before.contains(folder) {
                // One that is not there is seen by the next look.
                watcher.watch(folder, RecursiveMode::NonRecursive).ok();
            }
        }
        *before = folders;
    }
}

impl Ear {
    fn concerns(&self, event: &Event) -> bool {
        // To read a file is an event as well.
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

    fn tell(&self) {
        if self.told.swap(true, Ordering::SeqCst) {
            return;
        }
        let worker = lock(&self.worker).as_ref().and_then(WeakSender::upgrade);
        let told = worker.is_some_and(|worker| worker.try_send(Request::Look).is_ok());
        if !told {
            // Before the start, or among many requests: the interval remains.
            self.told.store(false, Ordering::SeqCst);
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
    fn what_we_do_ourselves_and_what_is_beside_is_of_no_concern() {
        let ear = Ear::default();
        *lock(&ear.interest) = Interest {
            files: HashSet::from(["/tls/..data".into(), "/tls/tls.crt".into()]),
            folders: HashSet::from(["/crls".into()]),
        };
        let concerns = |kind: EventKind, path: &str| {
            let event = Event::new(kind).add_path(path.into());
            ear.concerns(&event)
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
            ear.concerns(&Event::new(EventKind::Other)),
            "events were lost"
        );
    }
}
