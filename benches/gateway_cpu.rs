//! What a request costs `countersign gateway`: `cargo bench -p countersign-cli --bench gateway_cpu`.
//!
//! The gateway is a process of its own, with its line of JSON for each request in a file. This process is the
//! client, over connections that stay open, and the upstream. Each figure is the difference of two runs, of
//! which the second sends more requests, so that start and end cancel out:
//!
//! * instructions in user space, by `valgrind --tool=callgrind`: exact on a busy machine
//! * system calls, by `strace -c`
//! * CPU time of user and system, from `/proc`
//!
//! A tool that is not installed is named, and its column is empty. With `CALLGRIND_OUT` set to a folder, the
//! profiles are kept there.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::{Client, RequestBody, Server};
use countersign::testing::TestCa;
use countersign::{Connector, Listener, policy};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use support::gateway::write_files;
use support::http::{acceptor, connector};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections of the clients, each with one request at a time.
const CONNECTIONS: usize = 8;

/// How many requests of both runs.
#[derive(Clone, Copy)]
struct Counts(usize, usize);

/// One row of the table.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// The version of HTTP on the clients' connections, by its ALPN name.
    alpn: &'static str,
    upstream: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        name: "HTTP/1.1, upstream in the clear",
        alpn: "http/1.1",
        upstream: "plain",
    },
    Case {
        name: "HTTP/1.1, upstream with mutual TLS",
        alpn: "http/1.1",
        upstream: "mtls",
    },
    Case {
        name: "HTTP/2, upstream in the clear",
        alpn: "h2",
        upstream: "plain",
    },
    Case {
        name: "HTTP/2, upstream with mutual TLS over HTTP/2",
        alpn: "h2",
        upstream: "h2",
    },
];

fn main() -> ExitCode {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run(is_test, only.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(is_test: bool, only: Option<&str>) -> Result<(), BoxError> {
    let bench = Bench::new().await?;
    let (few, many) = if is_test {
        (Counts(8, 16), Counts(8, 16))
    } else {
        (Counts(400, 1_200), Counts(4_000, 24_000))
    };
    println!(
        "| client, upstream | instructions | system calls | user | system | CPU per request |"
    );
    println!("|---|---|---|---|---|---|");
    for case in CASES {
        if only.is_some_and(|only| !case.name.contains(only)) {
            continue;
        }
        let instructions = bench.difference(case, few, Tool::Callgrind).await?;
        let calls = bench.difference(case, few, Tool::Strace).await?;
        let [user, system] = bench.cpu(case, many).await?;
        let shown = |figure: Option<f64>, digits| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        println!(
            "| {} | {} | {} | {user:.0} µs | {system:.0} µs | {:.0} µs |",
            case.name,
            shown(instructions, 0),
            shown(calls, 1),
            user + system,
        );
    }
    Ok(())
}

/// A tool that runs the gateway and counts.
#[derive(Clone, Copy)]
enum Tool {
    Callgrind,
    Strace,
}

/// The certificates, and the upstreams.
struct Bench {
    ca: TestCa,
    folder: tempfile::TempDir,
}

/// The gateway's process.
struct Gateway {
    process: Child,
    port: u16,
}

impl Bench {
    async fn new() -> Result<Self, BoxError> {
        let ca = TestCa::new("Root");
        let folder = tempfile::tempdir()?;
        let plain = TcpListener::bind("127.0.0.1:0").await?;
        let plain_address = plain.local_addr()?;
        tokio::spawn(serve_plain(plain));
        let acceptor = acceptor(&ca, policy::allow_any()).build()?;
        let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
        let mtls_port = listener.local_addr().ok_or("no address")?.port();
        let service = tower::service_fn(async |_: Request<RequestBody>| {
            Ok::<_, std::convert::Infallible>(answer())
        });
        tokio::spawn(Server::new().serve(listener, service));
        let tls = "cert = \"gateway.crt\"\nkey = \"gateway.key\"\ntrust = [\"ca.crt\"]\nidentity = \"dns\"\nallow = [\"localhost\"]\n";
        let route = |name: &str| {
            format!(
                "[[routes]]\nname = \"{name}\"\nwho = [\"client.example\"]\nmethods = [\"GET\"]\npath = \"/{name}/{{*rest}}\"\nupstream = \"{name}\"\n"
            )
        };
        let upstreams = format!(
            r#"
            [upstreams.plain]
            url = "http://{plain_address}"
            [upstreams.mtls]
            url = "https://localhost:{mtls_port}"
            [upstreams.mtls.tls]
            {tls}
            [upstreams.h2]
            url = "https://localhost:{mtls_port}"
            http2 = true
            [upstreams.h2.tls]
            {tls}
            {}{}{}
            "#,
            route("plain"),
            route("mtls"),
            route("h2"),
        );
        write_files(&ca, folder.path(), &upstreams)?;
        Ok(Self { ca, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a tool counts for each request more.
    async fn difference(
        &self,
        case: Case,
        counts: Counts,
        tool: Tool,
    ) -> Result<Option<f64>, BoxError> {
        let Counts(first, second) = counts;
        let (Some(few), Some(many)) = (
            self.counted(case, first, tool).await?,
            self.counted(case, second, tool).await?,
        ) else {
            return Ok(None);
        };
        Ok(Some((many - few) / (second - first) as f64))
    }

    async fn counted(
        &self,
        case: Case,
        requests: usize,
        tool: Tool,
    ) -> Result<Option<f64>, BoxError> {
        let log = self.path("tool.log");
        let kept = std::env::var_os("CALLGRIND_OUT").map(PathBuf::from);
        let profile = match kept {
            Some(folder) => {
                let name = case.name.replace([' ', '/', ','], "-");
                folder.join(format!("{name}.{requests}"))
            }
            None => self.path("callgrind.out"),
        };
        let mut command = match tool {
            Tool::Callgrind => {
                let mut command = Command::new("valgrind");
                command
                    .arg("--tool=callgrind")
                    .arg(format!("--callgrind-out-file={}", profile.display()))
                    .arg(format!("--log-file={}", log.display()));
                command
            }
            Tool::Strace => {
                let mut command = Command::new("strace");
                command.args(["-c", "-f", "-o"]).arg(&log);
                command
            }
        };
        command.arg(env!("CARGO_BIN_EXE_countersign"));
        let gateway = match self.start(command).await {
            Ok(gateway) => gateway,
            Err(error) => {
                eprintln!("{}: {error}", tool.name());
                return Ok(None);
            }
        };
        self.load(case, gateway.port, requests).await?;
        gateway.stop(tool.runs_beside()).await?;
        Ok(tool.total(&std::fs::read_to_string(log)?))
    }

    /// The microseconds of user and of system time for each request more.
    async fn cpu(&self, case: Case, counts: Counts) -> Result<[f64; 2], BoxError> {
        let gateway = self
            .start(Command::new(env!("CARGO_BIN_EXE_countersign")))
            .await?;
        let Counts(first, second) = counts;
        self.load(case, gateway.port, first).await?;
        let before = gateway.times()?;
        self.load(case, gateway.port, second).await?;
        let after = gateway.times()?;
        gateway.stop(false).await?;
        Ok([0, 1].map(|at| (after[at] - before[at]) / second as f64))
    }

    /// Starts the gateway by this command.
    async fn start(&self, mut command: Command) -> Result<Gateway, BoxError> {
        let lines = std::fs::File::create(self.path("access.log"))?;
        let mut process = command
            .args(["gateway", "--config"])
            .arg(self.path("gateway.toml"))
            .stdout(Stdio::piped())
            .stderr(lines)
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(output).lines();
        let ready = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await??;
        let Some(line) = ready else {
            return Err(std::fs::read_to_string(self.path("access.log"))?.into());
        };
        let port = line.rsplit(':').next().ok_or("no port")?.parse()?;
        Ok(Gateway { process, port })
    }

    /// Sends requests over several connections, and checks that each was answered and has its line.
    async fn load(&self, case: Case, port: u16, requests: usize) -> Result<(), BoxError> {
        let before = lines_of(&self.path("access.log"))?;
        let mut clients = JoinSet::new();
        let url = format!(
            "https://localhost:{port}/{}/v1/orders/17?full=1",
            case.upstream
        );
        for _ in 0..CONNECTIONS {
            let connector = connector(&self.ca, "client.example", case.alpn).build()?;
            let each = requests / CONNECTIONS;
            let path = url
                .split(&format!(":{port}"))
                .nth(1)
                .ok_or("no path")?
                .to_owned();
            let url = url.clone();
            clients.spawn(async move {
                if case.alpn == "h2" {
                    over_http2(Client::new(connector), &url, each).await
                } else {
                    over_http1(&connector, port, &path, each).await
                }
            });
        }
        tokio::time::timeout(Duration::from_secs(120), async {
            while let Some(done) = clients.join_next().await {
                done??;
            }
            Ok::<_, BoxError>(())
        })
        .await
        .map_err(|_| "a request is not answered within 120 s")??;
        // A line is written when its response is complete, which may be a moment after the client has it.
        for _ in 0..100 {
            if lines_of(&self.path("access.log"))? - before >= requests {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("a request has no line".into())
    }
}

impl Gateway {
    /// Microseconds of user and of system time (proc_pid_stat(5)).
    fn times(&self) -> Result<[f64; 2], BoxError> {
        /// The length of a clock tick on Linux, in microseconds.
        const TICK: f64 = 10_000.0;

        let id = self.process.id().ok_or("the gateway has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields = stat.rsplit(')').next().ok_or("no fields")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut time = || -> Result<f64, BoxError> {
            Ok(fields.next().ok_or("no time")?.parse::<f64>()? * TICK)
        };
        Ok([time()?, time()?])
    }

    /// Ends it, and waits until its tool has written its figures.
    async fn stop(mut self, is_beside: bool) -> Result<(), BoxError> {
        let id = self
            .process
            .id()
            .ok_or("the gateway has ended")?
            .to_string();
        let mut kill = Command::new("kill");
        if is_beside {
            // The gateway is the tool's child.
            kill = Command::new("pkill");
            kill.args(["-TERM", "-P"]);
        }
        kill.arg(&id).status().await?;
        tokio::time::timeout(Duration::from_secs(60), self.process.wait()).await??;
        Ok(())
    }
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Callgrind => "valgrind",
            Self::Strace => "strace",
        }
    }

    /// Whether the gateway is another process than the tool.
    const fn runs_beside(self) -> bool {
        matches!(self, Self::Strace)
    }

    /// The total of its log.
    fn total(self, log: &str) -> Option<f64> {
        match self {
            Self::Callgrind => {
                let line = log.lines().find(|line| line.contains("Collected :"))?;
                line.rsplit(':').next()?.trim().parse().ok()
            }
            Self::Strace => {
                let line = log.lines().find(|line| line.ends_with(" total"))?;
                line.split_whitespace().nth(3)?.parse().ok()
            }
        }
    }
}

fn lines_of(file: &Path) -> Result<usize, BoxError> {
    let text = std::fs::read(file)?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count())
}

async fn over_http2(
    client: Client<DnsName, Empty<Bytes>>,
    url: &str,
    requests: usize,
) -> Result<(), BoxError> {
    for _ in 0..requests {
        let request = Request::get(url)
            .header("accept", "application/json")
            .header("user-agent", "bench/1.0")
            .body(Empty::new())?;
        let response = client.request(request).await?;
        if response.status() != 200 {
            return Err(format!("{}", response.status()).into());
        }
        response.into_body().collect().await?;
    }
    Ok(())
}

/// By hand, so that the client does not take the time of the machine.
async fn over_http1(
    connector: &Connector<DnsName>,
    port: u16,
    path: &str,
    requests: usize,
) -> Result<(), BoxError> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let mut stream = connector.connect("localhost", tcp).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\naccept: application/json\r\nuser-agent: bench/1.0\r\n\r\n"
    );
    let mut answer = vec![0; 4096];
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut length = 0;
        while !answer[..length].ends_with(BODY.as_bytes()) {
            match stream.read(&mut answer[length..]).await? {
                0 => return Err("the response is incomplete".into()),
                read => length += read,
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&answer[..length]).into());
        }
    }
    Ok(())
}

const BODY: &str =
    r#"{"id":17,"state":"open","total":"23.50","currency":"EUR","lines":[{"sku":"A-1"}]}"#;

fn answer() -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(BODY))
        .expect("a response")
}

async fn serve_plain(tcp: TcpListener) {
    while let Ok((connection, _)) = tcp.accept().await {
        let _ = connection.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(async |_| Ok::<_, std::convert::Infallible>(answer()));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}
