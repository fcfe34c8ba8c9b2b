//! The core without tokio, and with any provider:
//! `cargo test --no-default-features --features ring --test without_tokio`.
#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use countersign::gate::AdmitError;
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Peer, policy};
use rustls::ServerConnection;

const SERVER: &str = "server.example";

/// A server without tokio: handshake, then the gate.
fn serve(
    acceptor: &Acceptor<DnsName>,
    listener: &TcpListener,
) -> Result<(String, bool), AdmitError> {
    let (mut tcp, address) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut connection = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    let admission = acceptor.control().admit(&connection, address)?;
    assert_eq!(admission.peer().connection().remote_addr(), Some(address));
    let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
    let mut message = [0; 4];
    stream.read_exact(&mut message).unwrap();
    stream.write_all(&message).unwrap();
    stream.flush().unwrap();
    let resumed = admission.peer().connection().is_resumed();
    Ok((admission.peer().identity().to_string(), resumed))
}

/// A client without tokio.
fn call(connector: &Connector<DnsName>, address: std::net::SocketAddr) -> Result<String, String> {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut handshake = connector.start(SERVER).unwrap();
    handshake
        .complete(&mut tcp)
        .map_err(|error| error.to_string())?;
    let (connection, admission) = handshake
        .admit(address)
        .map_err(|error| error.to_string())?;
    let mut stream = rustls::StreamOwned::new(connection, tcp);
    stream
        .write_all(b"ping")
        .map_err(|error| error.to_string())?;
    let mut answer = [0; 4];
    stream
        .read_exact(&mut answer)
        .map_err(|error| error.to_string())?;
    assert_eq!(&answer, b"ping");
    Ok(admission.peer().identity().to_string())
}

#[test]
fn blocking_connections_pass_the_same_gate() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        for resumed in [false, true] {
            let server = scope.spawn(|| serve(&acceptor, &listener));
            assert_eq!(call(&connector, address).as_deref(), Ok(SERVER));
            let served = server.join().unwrap().unwrap();
            assert_eq!(served, ("client.example".into(), resumed));
        }
        acceptor
            .control()
            .set_policy(|_: &Peer<DnsName>| Decision::deny("closed for today"));
        let server = scope.spawn(|| serve(&acceptor, &listener));
        assert!(call(&connector, address).is_err());
        assert_eq!(server.join().unwrap().unwrap_err().reason(), "denied");
    });
}
