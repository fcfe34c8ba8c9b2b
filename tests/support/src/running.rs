//! The examples as child processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::example::countersign;
use crate::interop::Files;
use crate::programs::{Finished, PATIENCE, command, run};
use crate::{log, schema};

/// Options that name a certificate and its key.
pub fn identity_of(files: &Files) -> [&OsStr; 4] {
    [
        "--cert".as_ref(),
        files.cert.as_ref(),
        "--key".as_ref(),
        files.key.as_ref(),
    ]
}

/// Runs the client to its end.
pub async fn client<A: AsRef<OsStr>>(
    files: &Files,
    options: impl IntoIterator<Item = A>,
    url: &str,
) -> Finished {
    let mut client = countersign("call");
    client.args(identity_of(files)).args(options).arg(url);
    let finished = run(&mut client, "").await;
    // Shown when the test fails.
    eprintln!("client: {finished:?}");
    finished
}

/// The server, running.
pub struct Server {
    child: Child,
    pub port: u16,
    stdout: Lines<BufReader<ChildStdout>>,
    log: Lines<BufReader<ChildStderr>>,
    /// Standard error is to have audit events, and nothing else.
    is_audit: bool,
}

/// The exit code and the output of the server.
#[derive(Debug)]
pub struct Stopped {
    pub code: Option<i32>,
    /// What standard output got after the first line.
    pub stdout: Vec<String>,
    /// The lines of the log that were not read before.
    pub log: Vec<Value>,
}

impl Stopped {
    /// What the log says of attempts to connect.
    pub fn attempts(&self) -> Vec<Value> {
        log::attempts(self.log.clone())
    }
}

impl Server {
    /// Starts it on a free port, and waits until it is ready.
    pub async fn start<A: AsRef<OsStr>>(
        files: &Files,
        options: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut server = countersign("serve");
        server.args(["--listen", "127.0.0.1:0"]);
        server.args(identity_of(files)).args(options);
        let mut server = Self::spawn(server).await;
        server.is_audit = true;
        server
    }

    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let Some(ready) = next(&mut stdout).await else {
            let said = rest(log).await;
            panic!("the server did not start: {said:?}");
        };
        let address = ready.strip_prefix("listening on 127.0.0.1:");
        let port = address.expect(&ready).parse().expect(&ready);
        Self {
            child,
            port,
            stdout,
            log,
            is_audit: false,
        }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    /// The next line of standard output.
    pub async fn said(&mut self) -> String {
        next(&mut self.stdout).await.expect("one more line")
    }

    /// The next line of the log.
    pub async fn logged(&mut self) -> Value {
        parse(
            &next(&mut self.log).await.expect("one more line"),
            self.is_audit,
        )
    }

    /// The next line of the log with this action.
    pub async fn logged_as(&mut self, action: &str) -> Value {
        loop {
            let line = self.logged().await;
            if log::action(&line) == action {
                return line;
            }
        }
    }

    /// Sends it a signal, by its name in `kill`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        // The shell's own `kill`, which is there without further packages.
        let finished = run(
            command("sh").args(["-c", &format!("kill -{name} {id}")]),
            "",
        )
        .await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Stopped {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let stopped = Stopped {
            code: status.expect("it ends in time").expect("waited").code(),
            stdout: rest(self.stdout).await,
            log: rest(self.log)
                .await
                .iter()
                .map(|line| parse(line, self.is_audit))
                .collect(),
        };
        eprintln!("server: {stopped:?}");
        stopped
    }

    /// Asks it to end.
    pub async fn stop(self) -> Stopped {
        self.signal("TERM").await;
        self.ended().await
    }
}

fn parse(line: &str, is_audit: bool) -> Value {
    if is_audit {
        return schema::assert_valid_line(&SCHEMA, line);
    }
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

static SCHEMA: LazyLock<Validator> = LazyLock::new(schema::of_events);

async fn next(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>) -> Option<String> {
    let line = timeout(PATIENCE, lines.next_line()).await;
    line.expect("a line, or the end, in time").expect("UTF-8")
}

async fn rest(mut lines: Lines<BufReader<impl AsyncRead + Unpin>>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(line) = next(&mut lines).await {
        all.push(line);
    }
    all
}

/// Where a file is, for an option.
pub fn with(option: &str, path: &Path) -> [PathBuf; 2] {
    [option.into(), path.into()]
}
