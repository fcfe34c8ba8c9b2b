//! Portkey and LiteLLM as child processes.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use support::programs::{PATIENCE, command, in_ci, is_there};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// An AI gateway that listens.
pub(crate) struct AiGateway {
    pub(crate) port: u16,
    /// Ends with the test.
    _child: Child,
    _folder: Option<TempDir>,
}

/// Portkey's gateway of npm: below `target/portkey`, or where PORTKEY says that `start-server.js` is.
fn portkey() -> Option<PathBuf> {
    let found = std::env::var_os("PORTKEY").map(PathBuf::from);
    let path = found.unwrap_or_else(|| {
        target().join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js")
    });
    is_there(
        path.is_file(),
        "Portkey's AI gateway (npm ci in .ci/portkey)",
        in_ci(),
    )
    .then_some(path)
}

/// LiteLLM of PyPI: below `target/litellm`, or where LITELLM says.
fn litellm() -> Option<PathBuf> {
    let found = std::env::var_os("LITELLM").map(PathBuf::from);
    let path = found.unwrap_or_else(|| target().join("litellm/bin/litellm"));
    is_there(
        path.is_file(),
        "the LiteLLM proxy (.ci/litellm.txt)",
        in_ci(),
    )
    .then_some(path)
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| support::workspace().join("target"))
}

impl AiGateway {
    /// Portkey's gateway, if it is there.
    pub(crate) async fn portkey() -> Option<Self> {
        let program = portkey()?;
        let start = |port: u16| {
            let mut node = command("node");
            node.arg(&program)
                .args(["--headless", &format!("--port={port}")])
                .env("NODE_ENV", "production");
            node
        };
        Some(Self::start("portkey", start, None).await)
    }

    /// LiteLLM, for two models at this port, if it is there.
    pub(crate) async fn litellm(model: u16) -> Option<Self> {
        let program = litellm()?;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let models: String = ["small", "large"]
            .map(|name| {
                format!(
                    "  - model_name: {name}\n    litellm_params:\n      model: openai/{name}\n      \
                     api_base: http://127.0.0.1:{model}/v1\n      api_key: sk-provider\n"
                )
            })
            .concat();
        std::fs::write(
            &config,
            format!("model_list:\n{models}litellm_settings:\n  num_retries: 0\n"),
        )
        .unwrap();
        let start = |port: u16| {
            let mut litellm = command(&program);
            litellm
                .arg("--config")
                .arg(&config)
                .args(["--host", "127.0.0.1", "--port", &port.to_string()])
                .env("HOME", folder.path())
                .env("LITELLM_LOCAL_MODEL_COST_MAP", "True") // or it asks the internet
                .env(
                    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY",
                    "true",
                );
            litellm
        };
        let mut started = Self::start("litellm", start, None).await;
        started._folder = Some(folder);
        Some(started)
    }

    async fn start(
        name: &'static str,
        start: impl Fn(u16) -> Command,
        folder: Option<TempDir>,
    ) -> Self {
        // Another program may take the port before this one does.
        for _ in 0..3 {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut child = start(port)
                .stdin(Stdio::null())
                .spawn()
                .expect("the program starts");
            print(name, child.stdout.take().unwrap());
            print(name, child.stderr.take().unwrap());
            let deadline = Instant::now() + 2 * PATIENCE;
            loop {
                if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return Self {
                        port,
                        _child: child,
                        _folder: folder,
                    };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                assert!(Instant::now() < deadline, "{name} is not ready in time");
                sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("{name} does not start")
    }
}

/// Shows its output when the test fails.
fn print(name: &'static str, output: impl AsyncRead + Unpin + Send + 'static) {
    let mut lines = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("{name}: {line}");
        }
    });
}
