//! nginx, HAProxy, Envoy and Caddy, unprivileged and in the foreground, with all that they write in a
//! folder of their own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::programs::{PATIENCE, command, in_ci, is_there};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
}

impl Proxy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
        }
    }

    /// Where it is: Debian keeps some out of the path of those who are not root, and PyPI's are in an
    /// environment of their own beside what is built.
    pub fn path(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| crate::workspace().join("target"));
        let folders =
            std::env::split_paths(&path).chain(["/usr/sbin".into(), target.join("proxies/bin")]);
        folders
            .map(|folder| folder.join(self.name()))
            .find(|path| path.is_file())
    }

    /// Whether it is there to test against.
    pub fn is_installed(self) -> bool {
        is_there(self.path().is_some(), self.name(), in_ci())
    }
}

/// A running proxy.
pub struct Running {
    pub listens: Listens,
    said: Arc<Mutex<String>>,
    /// Ends with the test.
    _child: Child,
    _folder: TempDir,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub enum Listens {
    Unix(PathBuf),
    Tcp(u16),
}

impl Running {
    /// Starts it as a client of others, where requests come in by a Unix socket.
    ///
    /// `site` is its configuration: of nginx within `server { … }`, of HAProxy within
    /// `backend others`.
    pub async fn as_client(proxy: Proxy, site: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("in.sock");
        let address = socket.display();
        let configuration = match proxy {
            Proxy::Nginx => nginx(&format!("listen unix:{address};\n{site}")),
            Proxy::Haproxy => haproxy(&format!(
                "frontend in\n bind unix@{address}\n default_backend others\n \
                 log-format \"%ST %[ssl_bc_err_str]\"\n\
                 backend others\n{site}"
            )),
            Proxy::Envoy | Proxy::Caddy => panic!("{proxy:?} takes its whole configuration"),
        };
        let started = Self::start(proxy, folder, &configuration, Listens::Unix(socket)).await;
        started.unwrap_or_else(|said| panic!("{proxy:?} does not start: {said}"))
    }

    /// Starts it as a server on a free port. `site` is its configuration: of nginx within
    /// `server { … }`, of HAProxy within `frontend in`; and, of either, how it is to listen.
    pub async fn as_server(proxy: Proxy, listen: &str, site: &str) -> Self {
        Self::on_a_free_port(proxy, |port, _| {
            let address = format!("127.0.0.1:{port}");
            match proxy {
                Proxy::Nginx => nginx(&format!("listen {address} {listen};\n{site}")),
                Proxy::Haproxy => {
                    haproxy(&format!("frontend in\n bind {address} {listen}\n{site}"))
                }
                Proxy::Envoy | Proxy::Caddy => panic!("{proxy:?} takes its whole configuration"),
            }
        })
        .await
    }

    /// Starts it as a server on a free port, with the configuration for this port, and a folder for what it
    /// writes.
    pub async fn on_a_free_port(
        proxy: Proxy,
        configuration: impl Fn(u16, &Path) -> String,
    ) -> Self {
        let mut said = String::new();
        // Somebody may take the port before the proxy does.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let folder = tempfile::tempdir().expect("a folder");
            let configuration = configuration(port, folder.path());
            match Self::start(proxy, folder, &configuration, Listens::Tcp(port)).await {
                Ok(running) => return running,
                Err(why) => said = why,
            }
        }
        panic!("{proxy:?} does not start: {said}")
    }

    /// Its own words when it ends instead.
    async fn start(
        proxy: Proxy,
        folder: TempDir,
        configuration: &str,
        listens: Listens,
    ) -> Result<Self, String> {
        let file = folder.path().join(match proxy {
            Proxy::Envoy => "proxy.json",
            Proxy::Nginx | Proxy::Haproxy | Proxy::Caddy => "proxy.conf",
        });
        std::fs::write(&file, configuration).expect("the folder is writable");
        let mut program = command(proxy.path().expect("it is installed"));
        match proxy {
            Proxy::Nginx => program
                .arg("-p")
                .arg(folder.path())
                .args(["-e", "stderr", "-c"]),
            Proxy::Haproxy => program.args(["-db", "-f"]),
            Proxy::Envoy => program
                .args(["--disable-hot-restart", "--concurrency", "1"])
                .args(["--log-level", "warning", "-c"]),
            Proxy::Caddy => program
                .env("HOME", folder.path())
                .env("XDG_DATA_HOME", folder.path())
                .env("XDG_CONFIG_HOME", folder.path())
                .args(["run", "--adapter", "caddyfile", "--config"]),
        };
        let mut child = program.arg(&file).spawn().expect("the program starts");
        let said = Arc::default();
        let outputs = [
            listen_to(child.stdout.take().expect("piped"), &said),
            listen_to(child.stderr.take().expect("piped"), &said),
        ];
        let deadline = Instant::now() + PATIENCE;
        while listens.connect().await.is_err() {
            if child.try_wait().expect("it can be asked").is_some() {
                for output in outputs {
                    output.await.expect("it is read to its end");
                }
                return Err(said.lock().expect("no panic").clone());
            }
            assert!(Instant::now() < deadline, "{proxy:?} is not ready in time");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            listens,
            said,
            _child: child,
            _folder: folder,
        })
    }

    /// Asks it for a page: the status, and the body. Without a head there is no status: what the
    /// other side had sent.
    pub async fn get(&self) -> (Option<u16>, String) {
        let got = timeout(PATIENCE, self.listens.get()).await;
        let got = got.expect("an answer in time").expect("an answer");
        let Some((head, body)) = got.split_once("\r\n\r\n") else {
            return (None, got);
        };
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status, body.into())
    }

    /// The first line of its log that is such; waits for it.
    pub async fn line(&self, is_such: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said.lock().expect("no panic").clone();
            if let Some(line) = said.lines().find(|line| is_such(line)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "it does not say so: {said}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Listens {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(port) => Box::new(TcpStream::connect(("127.0.0.1", *port)).await?),
        })
    }

    async fn get(&self) -> std::io::Result<String> {
        let mut stream = self.connect().await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

trait Stream: AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for S {}

fn listen_to(
    output: impl AsyncRead + Unpin + Send + 'static,
    said: &Arc<Mutex<String>>,
) -> tokio::task::JoinHandle<()> {
    let said = Arc::clone(said);
    let mut lines = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("proxy: {line}"); // shown when the test fails
            let mut said = said.lock().expect("no panic");
            said.push_str(&line);
            said.push('\n');
        }
    })
}

/// The configuration of HAProxy with these sections.
pub fn haproxy_with(sections: &str) -> String {
    haproxy(sections)
}

/// One process, so that nothing of it outlives the test.
fn nginx(server: &str) -> String {
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr info;\n\
         events {{ worker_connections 64; }}\n\
         http {{\naccess_log off;\n{folders}server {{\n{server}\n}}\n}}\n"
    )
}

fn haproxy(sections: &str) -> String {
    format!(
        "global\n log stdout format raw local0 debug\n maxconn 64\n\
         defaults\n mode http\n log global\n timeout connect 30s\n timeout client 30s\n \
         timeout server 30s\n retries 0\n\
         {sections}\n"
    )
}

/// A certificate, its chain and its key in one file, as HAProxy wants them.
pub fn together(files: &crate::interop::Files) -> PathBuf {
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let path = files.cert.with_extension("pem");
    std::fs::write(&path, read(&files.cert) + &read(&files.key)).expect("the folder is writable");
    path
}
