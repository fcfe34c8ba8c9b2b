//! Clients that are libraries: a program of a few lines around each makes all of a test's calls.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Answer, Order, Program};
use support::interop::{Files, Tls};
use support::programs::{PATIENCE, command, run};

pub(super) struct Scripted {
    program: Program,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Ends with the test.
    _process: Child,
    /// With its source.
    _folder: TempDir,
}

impl Scripted {
    /// Starts it, if `program` is a library.
    pub(super) async fn start(program: Program) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = match program {
            Program::Python => {
                let mut python = command("python3");
                python.args(["-c", include_str!("client.py")]);
                python
            }
            Program::Node => {
                let source = write(&folder, "client.mjs", include_str!("client.mjs"));
                let mut node = command("node");
                node.arg(source);
                node
            }
            Program::Java => {
                let source = write(&folder, "Client.java", include_str!("Client.java"));
                let mut java = command("java");
                java.arg(source);
                java
            }
            Program::Go => go(&folder).await,
            _ => return None,
        };
        let mut process = process
            .stderr(std::process::Stdio::inherit())
            .spawn()
            .expect("the program starts");
        Some(Self {
            program,
            orders: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")).lines(),
            _process: process,
            _folder: folder,
        })
    }

    pub(super) async fn call(&mut self, order: Order<'_>) -> Answer {
        let (certificate, key) = match order.files {
            None => Default::default(),
            Some(files) if self.program == Program::Java => (pkcs12(files).await, String::new()),
            Some(files) => (text(&files.cert), text(&files.key)),
        };
        let tls = match order.tls {
            Tls::V12 => "1.2",
            Tls::V13 => "1.3",
        };
        let wait = order.wait().as_millis();
        let line = [
            order.url(),
            text(order.ca),
            certificate,
            key,
            tls.into(),
            wait.to_string(),
        ];
        let line = format!("{}\n", line.join("\t"));
        self.orders
            .write_all(line.as_bytes())
            .await
            .expect("the program takes orders");
        // A compiler has its share in the first answer.
        let answer = timeout(PATIENCE + Duration::from_secs(60), self.answers.next_line()).await;
        let answer = answer.expect("an answer in time").expect("UTF-8");
        let answer = answer.expect("the program runs on");
        match answer.split_once('\t') {
            Some(("ok", page)) => Answer::Page(page.into()),
            Some(("error", error)) => Answer::Error(error.into()),
            _ => panic!("neither a page nor an error: {answer}"),
        }
    }
}

fn write(folder: &TempDir, name: &str, source: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, source).expect("the folder is writable");
    path
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").into()
}

/// Compiles with nothing but Go's own library, and without asking the network for anything.
async fn go(folder: &TempDir) -> Command {
    let source = write(folder, "client.go", include_str!("client.go"));
    let program = folder.path().join("client");
    let mut go = command("go");
    go.current_dir(folder.path())
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GO111MODULE", "on")
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source);
    let built = run(&mut go, "").await;
    assert_eq!(built.code, Some(0), "{built:?}");
    command(program)
}

/// The form in which Java wants a certificate and its key, made once beside them.
async fn pkcs12(files: &Files) -> String {
    let path = files.cert.with_extension("p12");
    if !path.exists() {
        let mut openssl = command("openssl");
        openssl
            .args(["pkcs12", "-export", "-passout", "pass:changeit", "-in"])
            .arg(&files.cert)
            .arg("-inkey")
            .arg(&files.key)
            .arg("-out")
            .arg(&path);
        let made = run(&mut openssl, "").await;
        assert_eq!(made.code, Some(0), "{made:?}");
    }
    text(&path)
}
