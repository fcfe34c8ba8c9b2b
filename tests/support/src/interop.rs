//! Both ends of an interop test: certificates in files for the program, and our acceptor.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use countersign::identity::CommonName;
use countersign::testing::{Issued, TestCa};
use countersign::{AcceptError, Acceptor, Connector, Policy, policy};
use rustls::ProtocolVersion;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::programs::{Finished, PATIENCE};

/// The TLS version of the other program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    V12,
    V13,
}

pub const BOTH: [Tls; 2] = [Tls::V12, Tls::V13];

impl Tls {
    pub const fn version(self) -> ProtocolVersion {
        match self {
            Self::V12 => ProtocolVersion::TLSv1_2,
            Self::V13 => ProtocolVersion::TLSv1_3,
        }
    }
}

/// Two authorities, and a folder for what is written to files.
pub struct Pki {
    pub ca: TestCa,
    pub ca_file: PathBuf,
    pub strange_ca: TestCa,
    pub strange_ca_file: PathBuf,
    folder: TempDir,
}

/// Where a certificate with its chain, and its key, were written to.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A policy that denies after some thought, and says whether the session was resumed.
pub async fn deny_later(peer: countersign::Peer<CommonName>) -> countersign::Decision {
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    countersign::Decision::deny(format!("resumed: {}", peer.connection().is_resumed()))
}

/// Sets [`deny_later`], or the same without the thought.
pub fn deny(acceptor: &Acceptor<CommonName>, asynchronous: bool) {
    if asynchronous {
        acceptor
            .control()
            .set_async_policy(deny_later, std::time::Duration::from_secs(5));
    } else {
        acceptor
            .control()
            .set_policy(|peer: &countersign::Peer<CommonName>| {
                countersign::Decision::deny(format!("resumed: {}", peer.connection().is_resumed()))
            });
    }
}

impl Pki {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (ca, strange_ca) = (TestCa::new("Interop Root"), TestCa::new("Strange Root"));
        let write = |name: &str, ca: &TestCa| {
            let path = folder.path().join(name);
            std::fs::write(&path, ca.pem()).expect("the folder is writable");
            path
        };
        Self {
            ca_file: write("ca.pem", &ca),
            ca,
            strange_ca_file: write("strange-ca.pem", &strange_ca),
            strange_ca,
            folder,
        }
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder is writable");
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn files(&self, name: &str, issued: &Issued) -> Files {
        Files {
            cert: self.write(&format!("{name}.crt"), issued.chain_pem()),
            key: self.write(&format!("{name}.key"), issued.key_pem()),
        }
    }

    /// A client named so.
    pub fn client(&self, common_name: &str) -> Files {
        let issued = self.ca.leaf().common_name(common_name).issue();
        self.files(common_name, &issued)
    }

    /// A client that calls itself `alice`, by an authority that no side here trusts.
    pub fn impostor(&self) -> Files {
        let issued = self.strange_ca.leaf().common_name("alice").issue();
        self.files("impostor", &issued)
    }

    pub fn server(&self) -> Issued {
        self.ca
            .leaf()
            .common_name("server")
            .dns("localhost")
            .issue()
    }

    /// Lets `alice` in, by either TLS version.
    pub fn acceptor(&self) -> Acceptor<CommonName> {
        Acceptor::builder()
            .credentials(self.server().credentials())
            .trust(self.ca.trust())
            .identify(CommonName::extractor())
            .authorize(policy::exact([name("alice")]))
            .alpn(["http/1.1"])
            .allow_tls12()
            .build()
            .expect("an acceptor")
    }

    /// Is `alice`, and talks to `server`.
    pub fn connector(&self) -> Connector<CommonName> {
        self.connector_with(policy::exact([name("server")]), &self.ca)
    }

    pub fn connector_with(
        &self,
        policy: impl Policy<CommonName> + 'static,
        trusted: &TestCa,
    ) -> Connector<CommonName> {
        let alice = self.ca.leaf().common_name("alice").issue();
        Connector::builder()
            .credentials(alice.credentials())
            .trust(trusted.trust())
            .identify(CommonName::extractor())
            .authorize(policy)
            .allow_tls12()
            .build()
            .expect("a connector")
    }
}

pub fn name(text: &str) -> CommonName {
    text.parse().expect("a common name")
}

pub async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// What the acceptor knew of a client that it served.
#[derive(Debug, PartialEq, Eq)]
pub struct Served {
    pub identity: String,
    pub version: Option<ProtocolVersion>,
    pub resumed: bool,
}

/// Lets `client` call the acceptor once, and returns what came of it on both sides.
pub async fn meet(
    acceptor: &Acceptor<CommonName>,
    listener: &TcpListener,
    client: impl Future<Output = Finished>,
) -> (Result<Served, AcceptError>, Finished) {
    let both = async { tokio::join!(serve_once(acceptor, listener), client) };
    let (served, client) = timeout(PATIENCE, both).await.expect("both end in time");
    // Shown when the test fails.
    eprintln!("served: {served:?}\nclient: {client:?}");
    (served, client)
}

/// Answers one HTTP/1 request with `hello NAME`, and closes.
pub async fn serve_once(
    acceptor: &Acceptor<CommonName>,
    listener: &TcpListener,
) -> Result<Served, AcceptError> {
    let (served, answered) = serve(acceptor, listener).await?;
    answered.expect("the client takes its answer");
    Ok(served)
}

/// The same for a client that may close once it is admitted: whether it was answered.
pub async fn serve(
    acceptor: &Acceptor<CommonName>,
    listener: &TcpListener,
) -> Result<(Served, io::Result<()>), AcceptError> {
    let (tcp, _) = listener.accept().await.expect("a connection");
    let mut stream = acceptor.accept(tcp).await?;
    let served = Served {
        identity: stream.peer().identity().to_string(),
        version: stream.peer().connection().version(),
        resumed: stream.peer().connection().is_resumed(),
    };
    let body = format!("hello {}", served.identity);
    let answered = answer(&mut stream, &body).await;
    Ok((served, answered))
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), body: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The reason for which the acceptor refused.
pub fn refusal<T: Debug>(served: Result<T, AcceptError>) -> &'static str {
    served.expect_err("refused").reason()
}
