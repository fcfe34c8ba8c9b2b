//! Real servers: unprivileged where they want that, in the foreground, with all that they write in a folder of
//! their own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::programs::{in_ci, is_there};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::world::PATIENCE;

/// A running server. It ends with the test.
pub(crate) struct Running {
    pub(crate) port: u16,
    _child: Child,
}

/// Where a program is: Debian keeps some out of the path of those who are not root.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    is_there(found.is_some(), program, in_ci());
    found
}

/// Starts it on a free port, and waits until it listens there. `command` makes its command line.
pub(crate) async fn start(what: &str, command: impl Fn(u16) -> Command) -> Running {
    let mut said = String::new();
    // Another program may take the port before the server does.
    for _ in 0..5 {
        let port = free_port().await;
        let mut command = command(port);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let output: Arc<Mutex<String>> = Arc::default();
        keep(child.stdout.take().expect("piped"), &output);
        keep(child.stderr.take().expect("piped"), &output);
        if listens(port, &mut child).await {
            return Running {
                port,
                _child: child,
            };
        }
        said.clone_from(&output.lock().unwrap());
    }
    panic!("{what} does not start: {said}")
}

async fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    free.local_addr().expect("bound").port()
}

async fn listens(port: u16, child: &mut Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while child.try_wait().expect("its state").is_none() {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return true;
        }
        assert!(Instant::now() < until, "it does not listen in time");
        sleep(Duration::from_millis(10)).await;
    }
    false
}

/// Reads what it says, so that it does not wait for that.
fn keep(output: impl AsyncRead + Send + Unpin + 'static, kept: &Arc<Mutex<String>>) {
    let kept = Arc::clone(kept);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    });
}

/// A command of a program that does not run as root: by the account `user` where we are root.
pub(crate) fn unprivileged(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
    command.args([uid, gid, "--clear-groups".into(), "--".into()]);
    command.arg(program);
    command
}

/// Gives a folder and all in it to this account where we are root.
pub(crate) async fn give(folder: &Path, user: &str) {
    if is_root() {
        run(Command::new("chown").args([OsStr::new("-R"), user.as_ref(), folder.as_ref()])).await;
    }
}

pub(crate) async fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

pub(crate) fn is_root() -> bool {
    let id = std::process::Command::new("id").arg("-u").output();
    id.expect("its number").stdout == b"0\n"
}
