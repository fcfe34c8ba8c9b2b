//! The servers that are compared, and how each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::configurations as text;
use crate::configurations::Ports;
use crate::fixture::{CLIENT_NAME, Fixture};
use crate::process::{Process, find, free_port};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Raw,
    /// Raw rustls that compares the client's certificate with one, and verifies no chain: what a
    /// handshake costs when nothing is verified twice.
    Floor,
    Acceptor,
    Listener,
    Hyper,
    Axum,
    Serve,
    RawHyper,
    GoTls,
    GoHttp,
    Envoy,
    Nginx,
    Haproxy,
    Stunnel,
    /// `countersign gateway`, as a reverse proxy only.
    Gateway,
}

impl Kind {
    /// In the order of the tables. The first is the one to which the others are compared.
    pub const ALL: [Self; 15] = [
        Self::Raw,
        Self::Floor,
        Self::Acceptor,
        Self::Listener,
        Self::Hyper,
        Self::Axum,
        Self::Serve,
        Self::RawHyper,
        Self::GoTls,
        Self::GoHttp,
        Self::Envoy,
        Self::Nginx,
        Self::Haproxy,
        Self::Stunnel,
        Self::Gateway,
    ];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Raw => "raw tokio-rustls",
            Self::Floor => "raw tokio-rustls that verifies no chain",
            Self::Acceptor => "countersign `Acceptor`",
            Self::Listener => "countersign `Listener`",
            Self::Hyper => "countersign `hyper::Server`",
            Self::Axum => "`axum::serve` over countersign `Listener`",
            Self::Serve => "`countersign serve`, audit as JSON",
            Self::RawHyper => "raw hyper over tokio-rustls",
            Self::GoTls => "Go crypto/tls",
            Self::GoHttp => "Go net/http",
            Self::Envoy => "Envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Stunnel => "stunnel",
            Self::Gateway => "`countersign gateway`",
        }
    }

    /// The name on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Floor => "floor",
            Self::Acceptor => "acceptor",
            Self::Listener => "listener",
            Self::Hyper => "hyper",
            Self::Axum => "axum",
            Self::Serve => "serve",
            Self::RawHyper => "raw-hyper",
            Self::GoTls => "go",
            Self::GoHttp => "go-http",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Stunnel => "stunnel",
            Self::Gateway => "gateway",
        }
    }

    /// Whether handshakes with it are measured: it gives the answer, or has only one way to do so.
    pub fn has_handshakes(self) -> bool {
        self != Self::Gateway
    }

    /// Whether a service could use it.
    pub fn is_server(self) -> bool {
        self.has_handshakes() && self != Self::Floor
    }

    /// Whether it passes bytes, of its own or of an upstream.
    pub fn has_streams(self) -> bool {
        self != Self::Floor && (!self.has_http() || self.is_proxy())
    }

    /// Whether it answers requests over a connection that stays open, with an HTTP library.
    pub fn has_http(self) -> bool {
        !matches!(
            self,
            Self::Raw
                | Self::Floor
                | Self::Acceptor
                | Self::Listener
                | Self::GoTls
                | Self::Stunnel
                | Self::Gateway
        )
    }

    /// Whether it forwards requests.
    pub fn is_proxy(self) -> bool {
        matches!(
            self,
            Self::Envoy | Self::Nginx | Self::Haproxy | Self::Gateway
        )
    }
}

/// A running server, and its addresses by what they do.
pub struct Running {
    pub process: Process,
    /// Answers a request.
    pub answer: SocketAddr,
    /// Speaks the commands of `serve.rs`, of its own or by the upstream.
    pub stream: Result<SocketAddr, String>,
    /// Forwards requests to the upstream.
    pub proxy: Option<SocketAddr>,
}

/// What all servers are started with.
pub struct Setting<'a> {
    pub fixture: &'a Fixture,
    pub programs: &'a Programs,
    /// The server without TLS behind those that only forward.
    pub upstream: SocketAddr,
    /// The CPUs of the server, as `taskset` takes them; without, all.
    pub cpus: Option<String>,
    /// The number of its threads or processes.
    pub workers: usize,
    /// The number of connections that it must hold.
    pub connections: usize,
}

impl Setting<'_> {
    /// Starts a server. The error is the reason that the tables show.
    pub fn start(&self, kind: Kind) -> Result<Running, String> {
        match kind {
            Kind::Raw
            | Kind::Floor
            | Kind::Acceptor
            | Kind::Listener
            | Kind::Hyper
            | Kind::Axum
            | Kind::RawHyper => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(own);
                command.args(["serve", kind.key()]).arg(self.folder());
                self.listening(kind, command)
            }
            Kind::Serve => {
                let mut command = Command::new(self.programs.countersign.clone()?);
                command.args(["serve", "--listen", "127.0.0.1:0"]);
                for [option, name] in [
                    ["--cert", "server.crt"],
                    ["--key", "server.key"],
                    ["--trust", "ca.crt"],
                ] {
                    command.arg(option).arg(self.folder().join(name));
                }
                command.args(["--identity", "dns", "--allow", CLIENT_NAME]);
                self.listening(kind, command)
            }
            Kind::Gateway => {
                let file = self.folder().join("gateway.toml");
                write(&file, &text::gateway(self.upstream))?;
                let mut command = Command::new(self.programs.countersign.clone()?);
                command.args(["gateway", "--config"]).arg(file);
                let mut running = self.listening(kind, command)?;
                running.proxy = Some(running.answer);
                Ok(running)
            }
            Kind::GoTls | Kind::GoHttp => {
                let mut command = Command::new(self.programs.go.clone()?);
                command.arg(if kind == Kind::GoTls { "tls" } else { "http" });
                command.arg(self.folder());
                self.listening(kind, command)
            }
            Kind::Envoy | Kind::Nginx | Kind::Haproxy | Kind::Stunnel => {
                // Without the hybrid where the server's OpenSSL does not have it.
                self.configured(kind, true)
                    .or_else(|_| self.configured(kind, false))
            }
        }
    }

    /// A server that prints its address.
    fn listening(&self, kind: Kind, command: Command) -> Result<Running, String> {
        let mut process = self.spawn(kind, command)?;
        let answer = process.address()?;
        Ok(Running {
            process,
            answer,
            stream: Ok(answer),
            proxy: None,
        })
    }

    /// A server that gets its ports from a configuration.
    fn configured(&self, kind: Kind, hybrid: bool) -> Result<Running, String> {
        let program = self.programs.find(kind.key())?;
        let free = || free_port().map_err(|error| error.to_string());
        let ports = Ports {
            answer: free()?,
            stream: free()?,
            proxy: free()?,
            upstream: self.upstream,
        };
        let module = Programs::nginx_stream();
        let configuration = match kind {
            Kind::Envoy => text::envoy(self, &ports),
            Kind::Nginx => text::nginx(self, &ports, hybrid, module.as_deref()),
            Kind::Haproxy => text::haproxy(self, &ports, hybrid),
            _ => text::stunnel(self, &ports, hybrid),
        };
        let file = self.folder().join(format!("{}.json", kind.key()));
        write(&file, &configuration)?;
        let mut command = Command::new(program);
        match kind {
            Kind::Envoy => command
                .args(["--disable-hot-restart", "--log-level", "error"])
                .args(["--concurrency", &self.workers.to_string(), "-c"]),
            Kind::Nginx => command
                .arg("-p")
                .arg(self.folder())
                .args(["-e", "stderr", "-c"]),
            Kind::Haproxy => command.args(["-db", "-f"]),
            _ => &mut command,
        };
        command.arg(&file);
        let mut process = self.spawn(kind, command)?;
        if kind == Kind::Stunnel {
            process.wait_for(&[ports.stream])?;
            return Ok(Running {
                process,
                answer: ports.stream,
                stream: Ok(ports.stream),
                proxy: None,
            });
        }
        process.wait_for(&[ports.answer, ports.proxy])?;
        let stream = match (kind, module) {
            (Kind::Nginx, None) => Err("nginx has no stream module".to_owned()),
            _ => Ok(ports.stream),
        };
        Ok(Running {
            process,
            answer: ports.answer,
            stream,
            proxy: Some(ports.proxy),
        })
    }

    fn spawn(&self, kind: Kind, command: Command) -> Result<Process, String> {
        let log = self.folder().join(format!("{}.log", kind.key()));
        Process::start(command, self.cpus.as_deref(), log)
    }

    pub fn folder(&self) -> &Path {
        self.fixture.folder()
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The programs of other packages, or why they are missing.
pub struct Programs {
    /// The command line of this repository.
    pub countersign: Result<PathBuf, String>,
    /// The server of `go/main.go`, built.
    pub go: Result<PathBuf, String>,
    /// Where CI installs Envoy.
    more: Option<PathBuf>,
}

impl Programs {
    /// Builds the server in Go, in this folder, with the Go of the machine.
    pub fn new(countersign: Option<PathBuf>, folder: &Path, builds: bool) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| workspace().join("target"));
        let countersign = countersign
            .filter(|path| path.is_file())
            .ok_or_else(|| "its program is not built".to_owned());
        let go = match builds {
            true => build_go(folder),
            false => Err("not built".to_owned()),
        };
        Self {
            countersign,
            go,
            more: Some(target.join("proxies/bin")),
        }
    }

    pub fn find(&self, name: &str) -> Result<PathBuf, String> {
        find(name, self.more.as_deref()).ok_or_else(|| format!("{name} not found"))
    }

    fn nginx_stream() -> Option<PathBuf> {
        let folders = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"];
        folders
            .map(|folder| Path::new(folder).join("ngx_stream_module.so"))
            .into_iter()
            .find(|path| path.is_file())
    }
}

fn build_go(folder: &Path) -> Result<PathBuf, String> {
    let go = find("go", None).ok_or("go not found")?;
    let server = folder.join("go-server");
    let output = Command::new(go)
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .current_dir(workspace().join("benches/peers/go"))
        .args(["build", "-o"])
        .args([&server])
        .arg(".")
        .output()
        .map_err(|error| format!("go does not start: {error}"))?;
    if output.status.success() {
        return Ok(server);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next_back().unwrap_or("no output");
    Err(format!("go build fails: {line}"))
}

/// The folder of the repository.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
