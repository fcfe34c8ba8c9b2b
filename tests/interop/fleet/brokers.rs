//! NATS with mutual TLS, and Redis, as child processes that can be killed and started again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use support::interop::Files;
use support::programs::{PATIENCE, command, in_ci, is_there};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nats,
    Redis,
}

pub(crate) struct Running {
    kind: Kind,
    port: u16,
    program: PathBuf,
    child: Option<Child>,
    folder: TempDir,
}

impl Kind {
    const fn program(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Redis => "redis-server",
        }
    }

    /// Debian has some programs where only root looks.
    fn path(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        let found = folders.find_map(|folder| {
            let path = folder.join(self.program());
            path.is_file().then_some(path)
        });
        is_there(found.is_some(), self.program(), in_ci());
        found
    }
}

impl Running {
    /// On a free port, if it is there. NATS takes clients with a certificate of `ca` only.
    pub(crate) async fn start(kind: Kind, own: &Files, ca: &Path) -> Option<Self> {
        let program = kind.path()?;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?} }}\n\
             tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {ca:?}, verify: true }}\n",
            folder.path(),
            own.cert,
            own.key,
        );
        std::fs::write(folder.path().join("nats.conf"), config).unwrap();
        let mut running = Self {
            kind,
            port,
            program,
            child: None,
            folder,
        };
        running.restart().await;
        Some(running)
    }

    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Nats => format!("tls://localhost:{}", self.port),
            Kind::Redis => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    fn command(&self) -> Command {
        let mut command = command(&self.program);
        match self.kind {
            Kind::Nats => command
                .arg("--config")
                .arg(self.folder.path().join("nats.conf")),
            Kind::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
                .args([
                    "--save",
                    "",
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "always",
                ])
                .args([OsString::from("--dir"), self.folder.path().into()]),
        };
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Starts it with what it had stored.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        let mut child = self.command().spawn().expect("the program starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{:?} ended: {ended:?}", self.kind);
            assert!(Instant::now() < deadline, "{:?} is not ready", self.kind);
            sleep(Duration::from_millis(10)).await;
        }
        self.child = Some(child);
    }
}
