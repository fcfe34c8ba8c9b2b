//! An agent and peers of other languages: Python's grpcio, and go-spiffe.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::integration::spiffe::Workload;
use countersign::testing::TestCa;
use countersign::{Connector, policy};
use support::programs::{command, in_ci, is_installed, is_there, run};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::messages::{X509Response, X509Svid, der};
use crate::real::{cache, say, serve};
use crate::workload::{BILLING, ORDERS, acceptor, connector, folder, meet, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Python with grpcio: that of `GRPC_PYTHON`, or `python3`.
fn python() -> Option<OsString> {
    let python = std::env::var_os("GRPC_PYTHON").unwrap_or_else(|| "python3".into());
    let found = std::process::Command::new(&python)
        .args(["-c", "import grpc"])
        .output()
        .is_ok_and(|output| output.status.success());
    let what = "Python's grpcio (GRPC_PYTHON names a Python that has it)";
    is_there(found, what, in_ci()).then_some(python)
}

#[tokio::test]
async fn an_agent_on_grpcio() {
    let Some(python) = python() else { return };
    let (folder, one, two) = (folder(), TestCa::new("One"), TestCa::new("Two"));
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let svid = X509Svid::issue(ORDERS, &one);
    let socket = folder.path().join("py");
    let mut agent = command(python);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("spire/agent.py");
    agent.arg(script).arg(&socket).arg(ORDERS);
    agent.arg(write("chain", &svid.x509_svid));
    agent.arg(write("key", &svid.x509_svid_key));
    agent.arg(write("bundle", &svid.bundle));
    agent
        .arg("spiffe://two.example")
        .arg(write("two", &der(&two)));
    let mut agent = agent.spawn().unwrap();
    let mut said = BufReader::new(agent.stdout.take().unwrap()).lines();
    let ready = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap();
    assert_eq!(ready.as_deref(), Some("listening"));

    let address = format!("unix:{}", socket.display());
    let workload = Workload::at(address).connect().await.unwrap();
    assert_eq!(workload.id().as_str(), ORDERS);
    let acceptor = countersign::Acceptor::builder()
        .spiffe(workload)
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    // A peer of the federated domain.
    let foreign = "spiffe://two.example/billing";
    let response = X509Response::issue(foreign, &two).federated("one.example", &one);
    let peer = Agent::giving(folder.path().join("b"), response);
    let connector = connector(&peer).await;
    let (server, client) = meet(&acceptor, &connector).await;
    let (mut server, _client) = (server.unwrap(), client.unwrap());
    assert_eq!(server.peer().identity().as_str(), foreign);

    let mut stdin = agent.stdin.take().unwrap();
    stdin.write_all(b"deny\n").await.unwrap();
    stdin.flush().await.unwrap();
    assert!(server.read_u8().await.is_err());
    let (server, _) = meet(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err(), "suspended");
}

/// A peer on go-spiffe: `listen` prints its port, and answers each connection with the client's ID; `dial`
/// prints the server's ID and its answer.
const PEER: &str = r#"package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	address, id := os.Args[2], spiffeid.RequireFromString(os.Args[3])
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(address)))
	check(err)
	defer source.Close()
	mode := func() spiffetls.DialMode {
		return spiffetls.MTLSClientWithSource(tlsconfig.AuthorizeID(id), source)
	}
	if os.Args[1] == "dial" {
		conn, err := spiffetls.DialWithMode(ctx, "tcp", os.Args[4], mode())
		check(err)
		defer conn.Close()
		peer, err := spiffetls.PeerIDFromConn(conn)
		check(err)
		_, err = conn.Write([]byte{7})
		check(err)
		answer := make([]byte, 1)
		_, err = io.ReadFull(conn, answer)
		check(err)
		fmt.Println(peer, answer[0])
		return
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	listener, err := spiffetls.NewListenerWithMode(ctx, inner, spiffetls.MTLSServerWithSource(tlsconfig.AuthorizeID(id), source))
	check(err)
	fmt.Println(inner.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		check(err)
		go func() {
			defer conn.Close()
			one := make([]byte, 1)
			if _, err := io.ReadFull(conn, one); err != nil {
				return
			}
			peer, err := spiffetls.PeerIDFromConn(conn)
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s\n", peer)
		}()
	}
}
"#;

/// The program, which is built once and kept beside SPIRE.
async fn go_spiffe() -> Option<PathBuf> {
    const VERSION: &str = "2.6.0";

    if !is_installed("go", "version", in_ci()) {
        return None;
    }
    let folder = cache().join(format!("go-spiffe-{VERSION}"));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("peer");
    let source = folder.join("main.go");
    let is_built = std::fs::read_to_string(&source).is_ok_and(|text| text == PEER);
    if !(is_built && program.exists()) {
        let start = Instant::now();
        std::fs::write(folder.join("go.mod"), "module example.test/peer\ngo 1.24\n").unwrap();
        let module = format!("github.com/spiffe/go-spiffe/v2@v{VERSION}");
        std::fs::write(&source, PEER).unwrap();
        for arguments in [
            &["get", &module][..],
            &["mod", "tidy"],
            &["build", "-o", "peer", "."],
        ] {
            let mut go = std::process::Command::new("go");
            let done = go.current_dir(&folder).args(arguments).output();
            let done = done.is_ok_and(|output| output.status.success());
            if !is_there(done, &format!("go {}", arguments.join(" ")), in_ci()) {
                let _ = std::fs::remove_file(&source);
                return None;
            }
        }
        say(&format!(
            "built the peer on go-spiffe in {:?}",
            start.elapsed()
        ));
    }
    Some(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_spiffe_both_ways() {
    let Some(program) = go_spiffe().await else {
        return;
    };
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));

    // Its client, our server.
    let port = serve(acceptor(&orders).await).await;
    let mut dial = command(&program);
    dial.args([
        "dial",
        &billing.address(),
        ORDERS,
        &format!("127.0.0.1:{port}"),
    ]);
    let finished = run(&mut dial, "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout, format!("{ORDERS} 7\n"));

    // Our client, its server.
    let mut listen = command(&program);
    listen.args(["listen", &orders.address(), BILLING]);
    let mut server = listen.spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = timeout(PATIENCE, said.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let connector: Connector<_> = connector(&billing).await;
    let answer = async |connector: &Connector<_>| {
        let tcp = TcpStream::connect(("127.0.0.1", port.parse().unwrap()))
            .await
            .unwrap();
        let mut stream = connector.connect("orders.internal", tcp).await.unwrap();
        stream.write_u8(1).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert_eq!(answer(&connector).await, format!("{BILLING}\n"));

    // Both sides follow their agents to another authority.
    let next = TestCa::new("Next");
    orders.give(X509Response::issue(ORDERS, &next));
    billing.give(X509Response::issue(BILLING, &next));
    until("rotated", || connector.control().generation() > 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await; // go-spiffe says nothing of its updates
    assert_eq!(answer(&connector).await, format!("{BILLING}\n"));
}

/// The same in Rust, with its own client of the Workload API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spiffe_rustls_both_ways() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let source = async |agent: &Agent| {
        let builder = spiffe::X509Source::builder().endpoint(agent.address());
        builder.build().await.unwrap()
    };

    // Its client, our server.
    let port = serve(acceptor(&orders).await).await;
    let client = spiffe_rustls::mtls_client(source(&billing).await)
        .authorize(spiffe_rustls::authorizer::exact([ORDERS]).unwrap())
        .build()
        .unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(client));
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = "orders.internal".try_into().unwrap();
    let mut stream = tls.connect(name, tcp).await.unwrap();
    stream.write_u8(7).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 7);

    // Our client, its server.
    let server = spiffe_rustls::mtls_server(source(&orders).await)
        .authorize(spiffe_rustls::authorizer::exact([BILLING]).unwrap())
        .build()
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await?;
        let mut stream = tls.accept(tcp).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await
    });
    let connector = connector(&billing).await;
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect("orders.internal", tcp).await.unwrap();
    assert_eq!(stream.peer().identity().as_str(), ORDERS);
    stream.write_u8(9).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 9);
    serving.await.unwrap().unwrap();
}
