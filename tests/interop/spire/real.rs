//! SPIRE itself: server and agent, built from their Go modules.
//!
//! The programs are kept in `COUNTERSIGN_TEST_CACHE`, or in `~/.cache/countersign-tests`, because a cold build
//! takes some minutes of two cores. Where they are missing, these tests are skipped; with `CI=true` they are
//! built, and the output says how long it took.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use countersign::identity::SpiffeId;
use countersign::integration::spiffe::Workload;
use countersign::reload::Reload;
use countersign::{Acceptor, Connector, policy};
use support::programs::{in_ci, is_there};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Request;
use tonic_prost::ProstCodec;

use crate::messages::{Empty, X509Response};
use crate::workload::until;

const VERSION: &str = "1.13.3";

pub(crate) fn cache() -> PathBuf {
    let set = std::env::var_os("COUNTERSIGN_TEST_CACHE").map(PathBuf::from);
    set.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into());
        Path::new(&home).join(".cache/countersign-tests")
    })
}

/// The folder with `spire-server` and `spire-agent`.
fn spire() -> Option<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::new(());

    let _lock = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = cache().join(format!("spire-{VERSION}"));
    let bin = folder.join("bin");
    let has = || bin.join("spire-server").exists() && bin.join("spire-agent").exists();
    if !has() && in_ci() {
        build(&folder);
    }
    is_there(
        has(),
        &format!("SPIRE {VERSION} in {}", bin.display()),
        in_ci(),
    )
    .then_some(bin)
}

fn build(folder: &Path) {
    let start = Instant::now();
    say(&format!("building SPIRE {VERSION} in {}", folder.display()));
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(
        folder.join("go.mod"),
        "module example.test/spire\ngo 1.24\n",
    )
    .unwrap();
    let programs = ["spire-server", "spire-agent"];
    let program = |name: &&str| format!("github.com/spiffe/spire/cmd/{name}");
    let versioned = programs.map(|name| format!("{}@v{VERSION}", program(&name)));
    let go = |arguments: &[String]| {
        let mut go = Command::new("go");
        go.current_dir(folder).args(arguments);
        go.stdout(Stdio::null());
        assert!(go.status().unwrap().success(), "go {arguments:?}");
    };
    go(&[vec!["get".into(), "-tool".into()], versioned.to_vec()].concat());
    // Built beside, so that a build that is stopped leaves no half of it.
    let new = folder.join("new/");
    let to = new.to_str().unwrap().to_owned() + "/";
    let packages: Vec<String> = programs.iter().map(program).collect();
    go(&[vec!["build".into(), "-o".into(), to], packages].concat());
    std::fs::rename(new, folder.join("bin")).unwrap();
    say(&format!("built SPIRE in {:?}", start.elapsed()));
}

/// Prints a line that is seen also when the test passes.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A program that dies with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A trust domain with its server and its agent.
struct Domain {
    name: String,
    bin: PathBuf,
    run: tempfile::TempDir,
    _server: Running,
    agent: Option<Running>,
}

impl Domain {
    async fn start(bin: &Path, name: &str) -> Self {
        let run = tempfile::Builder::new().prefix("sp").tempdir().unwrap();
        let port = free_port().await;
        let at = |path: &str| run.path().join(path).display().to_string();
        for folder in ["data", "agent"] {
            std::fs::create_dir(run.path().join(folder)).unwrap();
        }
        let server = format!(
            "server {{\n bind_address = \"127.0.0.1\"\n bind_port = \"{port}\"\n socket_path = \"{}\"\n \
             trust_domain = \"{name}\"\n data_dir = \"{}\"\n default_x509_svid_ttl = \"60s\"\n \
             log_level = \"WARN\"\n}}\n\
             plugins {{\n DataStore \"sql\" {{ plugin_data {{ database_type = \"sqlite3\" \
             connection_string = \"{}\" }} }}\n KeyManager \"memory\" {{ plugin_data {{}} }}\n \
             NodeAttestor \"join_token\" {{ plugin_data {{}} }}\n}}\n",
            at("api.sock"),
            at("data"),
            at("data/db.sqlite3"),
        );
        let agent = format!(
            "agent {{\n data_dir = \"{}\"\n server_address = \"127.0.0.1\"\n server_port = \"{port}\"\n \
             socket_path = \"{}\"\n trust_domain = \"{name}\"\n insecure_bootstrap = true\n \
             log_level = \"WARN\"\n experimental {{ sync_interval = \"1s\" }}\n}}\n\
             plugins {{\n KeyManager \"memory\" {{ plugin_data {{}} }}\n \
             NodeAttestor \"join_token\" {{ plugin_data {{}} }}\n \
             WorkloadAttestor \"unix\" {{ plugin_data {{}} }}\n}}\n",
            at("agent"),
            at("agent.sock"),
        );
        std::fs::write(run.path().join("server.conf"), server).unwrap();
        std::fs::write(run.path().join("agent.conf"), agent).unwrap();
        let server = spawn(
            bin,
            "spire-server",
            run.path(),
            &["run", "-config", "server.conf"],
        );
        let mut domain = Self {
            name: name.to_owned(),
            bin: bin.to_owned(),
            run,
            _server: server,
            agent: None,
        };
        domain.until_the_server_answers().await;
        let agent_id = domain.id("agent");
        let token = domain.server(&["token", "generate", "-spiffeID", &agent_id]);
        let token = token.split_whitespace().nth(1).unwrap().to_owned();
        let run = domain.run.path();
        let arguments = ["run", "-config", "agent.conf", "-joinToken", &token];
        domain.agent = Some(spawn(bin, "spire-agent", run, &arguments));
        domain
    }

    async fn until_the_server_answers(&self) {
        let start = Instant::now();
        while !self.command(&["healthcheck"]).status().unwrap().success() {
            assert!(start.elapsed() < Duration::from_secs(60), "no server");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn id(&self, path: &str) -> String {
        format!("spiffe://{}/{path}", self.name)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.run.path().join("agent.sock").display())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("spire-server"));
        command.args(arguments);
        command
            .arg("-socketPath")
            .arg(self.run.path().join("api.sock"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The output of a command to the server.
    fn server(&self, arguments: &[&str]) -> String {
        let output = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{error}");
        said
    }

    /// Registers this process under a path, and returns the entry's ID.
    fn register(&self, path: &str, more: &[&str]) -> String {
        let (parent, id) = (self.id("agent"), self.id(path));
        let selector = format!("unix:uid:{}", uid());
        let mut arguments = vec!["entry", "create", "-parentID", &parent, "-spiffeID", &id];
        arguments.extend(["-selector", &selector]);
        arguments.extend(more);
        let said = self.server(&arguments);
        let line = said.lines().find(|line| line.starts_with("Entry ID"));
        line.unwrap().split(": ").nth(1).unwrap().trim().to_owned()
    }

    /// Trusts another domain's bundle.
    fn federate(&self, other: &Self) {
        let bundle = other.server(&["bundle", "show", "-format", "spiffe"]);
        let path = self.run.path().join("bundle.json");
        std::fs::write(&path, bundle).unwrap();
        let id = format!("spiffe://{}", other.name);
        let path = path.to_str().unwrap();
        self.server(&[
            "bundle", "set", "-format", "spiffe", "-id", &id, "-path", path,
        ]);
    }

    async fn workload(&self, path: &str) -> Workload {
        let id: SpiffeId = self.id(path).parse().unwrap();
        let agent = Workload::at(self.address())
            .id(id)
            .wait(Duration::from_secs(60));
        agent.connect().await.unwrap()
    }

    async fn acceptor(&self, path: &str) -> Acceptor<SpiffeId> {
        let builder = Acceptor::builder().spiffe(self.workload(path).await);
        builder.authorize(policy::allow_any()).build().unwrap()
    }

    async fn connector(&self, path: &str) -> Connector<SpiffeId> {
        let builder = Connector::builder().spiffe(self.workload(path).await);
        builder.authorize(policy::allow_any()).build().unwrap()
    }
}

fn spawn(bin: &Path, program: &str, run: &Path, arguments: &[&str]) -> Running {
    let log = std::fs::File::create(run.join(format!("{program}.log"))).unwrap();
    let child = Command::new(bin.join(program))
        .current_dir(run)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    Running(child.unwrap())
}

fn uid() -> String {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Answers each byte with itself, on each connection.
pub(crate) async fn serve(acceptor: Acceptor<SpiffeId>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(tcp).await?;
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await?;
                    stream.flush().await?;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    });
    port
}

type Answer = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn request(connector: &Connector<SpiffeId>, port: u16) -> Answer {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut stream = connector.connect("orders.internal", tcp).await?;
    stream.write_u8(7).await?;
    stream.flush().await?;
    assert_eq!(stream.read_u8().await?, 7);
    Ok(())
}

async fn until_answered(connector: &Connector<SpiffeId>, port: u16) {
    let start = Instant::now();
    while request(connector, port).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// SVIDs are rotated each second or two, because SPIRE renews them at half of their life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_under_a_thousand_requests() {
    let Some(bin) = spire() else { return };
    let domain = Domain::start(&bin, "one.example").await;
    for path in ["orders", "billing"] {
        domain.register(path, &["-x509SVIDTTL", "8"]);
    }
    let acceptor = domain.acceptor("orders").await;
    let handle = Reload::of(&acceptor).start().await.unwrap();
    let connector = domain.connector("billing").await;
    let port = serve(acceptor.clone()).await;
    let (start, mut requests) = (Instant::now(), 0);
    while requests < 1_000 || handle.status().applied < 5 {
        request(&connector, port).await.unwrap();
        requests += 1;
        let status = handle.status();
        assert!(start.elapsed() < Duration::from_secs(120), "{status:?}");
        if requests >= 1_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let applied = handle.status().applied;
    say(&format!(
        "{requests} requests in {:?}, {applied} rotations, none lost",
        start.elapsed()
    ));
    assert_eq!(acceptor.control().stats().attempts(), requests);
    assert_eq!(handle.status().refused, 0, "{:?}", handle.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn federation_of_two_trust_domains() {
    let Some(bin) = spire() else { return };
    let one = Domain::start(&bin, "one.example").await;
    let two = Domain::start(&bin, "two.example").await;
    one.register("alone", &[]);
    one.federate(&two);
    two.federate(&one);
    one.register("orders", &["-federatesWith", "spiffe://two.example"]);
    two.register("billing", &["-federatesWith", "spiffe://one.example"]);
    let port = serve(one.acceptor("orders").await).await;
    let connector = two.connector("billing").await;
    request(&connector, port).await.unwrap();
}

/// When the message arrives by which the agent withdraws an identity, for another program.
async fn withdrawn(address: String, id: String) -> Instant {
    let channel = tonic::transport::Endpoint::from_shared(address)
        .unwrap()
        .connect_lazy();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut call = Request::new(Empty {});
    call.metadata_mut()
        .insert("workload.spiffe.io", "true".parse().unwrap());
    let codec = ProstCodec::<Empty, X509Response>::default();
    let path = http::uri::PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchX509SVID");
    let mut responses = grpc
        .server_streaming(call, path, codec)
        .await
        .unwrap()
        .into_inner();
    while let Ok(Some(response)) = responses.message().await {
        if response.svids.iter().all(|svid| svid.spiffe_id != id) {
            break;
        }
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_deleted_cuts_its_connections() {
    let Some(bin) = spire() else { return };
    let domain = Domain::start(&bin, "one.example").await;
    domain.register("orders", &[]);
    let entry = domain.register("billing", &[]);
    let port = serve(domain.acceptor("orders").await).await;
    let connector = domain.connector("billing").await;
    request(&connector, port).await.unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut open = connector.connect("orders.internal", tcp).await.unwrap();

    let said = tokio::spawn(withdrawn(domain.address(), domain.id("billing")));
    tokio::time::sleep(Duration::from_millis(500)).await;
    domain.server(&["entry", "delete", "-entryID", &entry]);
    let error = open.read_u8().await.unwrap_err();
    let cut = Instant::now();
    let said = said.await.unwrap();
    let took = cut.saturating_duration_since(said);
    say(&format!(
        "the open connection was cut {took:?} after the agent said so"
    ));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(error.to_string().contains("no peer is admitted"), "{error}");
    let refused = request(&connector, port).await.unwrap_err();
    assert!(
        refused.to_string().contains("no peer is admitted"),
        "{refused}"
    );

    // Registered again, it works again.
    domain.register("billing", &[]);
    until_answered(&connector, port).await;
}

/// The agent is killed and started again: requests go on, and so does rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed() {
    let Some(bin) = spire() else { return };
    let mut domain = Domain::start(&bin, "one.example").await;
    for path in ["orders", "billing"] {
        domain.register(path, &[]);
    }
    let acceptor = domain.acceptor("orders").await;
    let handle = Reload::of(&acceptor).start().await.unwrap();
    let connector = domain.connector("billing").await;
    let port = serve(acceptor).await;
    domain.agent = None;
    until("seen", || handle.status().streams[0].error.is_some()).await;
    request(&connector, port).await.unwrap();
    let agent_id = domain.id("agent");
    let token = domain.server(&["token", "generate", "-spiffeID", &agent_id]);
    let token = token.split_whitespace().nth(1).unwrap().to_owned();
    std::fs::remove_dir_all(domain.run.path().join("agent")).unwrap();
    std::fs::create_dir(domain.run.path().join("agent")).unwrap();
    let arguments = ["run", "-config", "agent.conf", "-joinToken", &token];
    domain.agent = Some(spawn(&bin, "spire-agent", domain.run.path(), &arguments));
    until("back", || handle.status().streams[0].error.is_none()).await;
    // An agent that has just started may deny the identity until it knows its entries.
    until_answered(&connector, port).await;
}
