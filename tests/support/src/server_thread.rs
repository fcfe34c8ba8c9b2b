//! A thread for a server, whose CPU time can be read.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread that runs the tasks of one server, and no others.
pub struct ServerThread {
    runtime: Handle,
    /// Its accounts, where the system keeps them (proc(5)).
    schedstat: Option<PathBuf>,
    /// The thread stops when it is dropped.
    _running: oneshot::Sender<()>,
}

impl ServerThread {
    pub fn start() -> Self {
        let (running, stopped) = oneshot::channel();
        let (started, starting) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let thread = std::fs::read_link("/proc/thread-self").ok();
            started.send((runtime.handle().clone(), thread)).unwrap();
            let _ = runtime.block_on(stopped);
        });
        let (runtime, thread) = starting.recv().unwrap();
        Self {
            runtime,
            schedstat: thread.map(|thread| Path::new("/proc").join(thread).join("schedstat")),
            _running: running,
        }
    }

    /// Spawns its tasks.
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The time that it has spent on a CPU. It is exact while the thread waits. `None` where the system does not
    /// report it.
    pub fn cpu_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(self.schedstat.as_ref()?).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    }
}
