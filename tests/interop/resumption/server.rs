//! Our end of the connections.

use std::path::PathBuf;

use countersign::AcceptError;
use countersign::testing::Issued;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use support::causes::World;
use support::client_hello::offers_session;
use support::programs::PATIENCE;

pub(crate) const GREETING: &str = "come in";

pub(crate) struct Server<'a> {
    world: &'a World,
    listener: TcpListener,
    pub(crate) port: u16,
}

/// What we saw of one connection.
#[derive(Debug)]
pub(crate) struct Served {
    /// Whether the client offered a session.
    pub(crate) offered: bool,
    /// Whether the client that we greeted had resumed it.
    pub(crate) resumed: Result<bool, AcceptError>,
}

impl<'a> Server<'a> {
    pub(crate) async fn start(world: &'a World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            world,
            listener,
            port,
        }
    }

    /// Serves one client: greets it if it may come in.
    pub(crate) async fn serve(&self) -> Served {
        timeout(PATIENCE, async {
            let (tcp, _) = self.listener.accept().await.unwrap();
            let offered = offers_session(&client_hello(&tcp).await);
            let resumed = self.greet(tcp).await;
            Served { offered, resumed }
        })
        .await
        .expect("a client, in time")
    }

    async fn greet(&self, tcp: TcpStream) -> Result<bool, AcceptError> {
        let mut stream = self.world.acceptor.accept(tcp).await?;
        stream.write_all(GREETING.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // To the end, because closing with something unread would reset the connection.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(stream.peer().connection().is_resumed())
    }
}

/// The first record, without taking it from the socket.
async fn client_hello(tcp: &TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 16 * 1024];
    let length = tcp.peek(&mut bytes).await.unwrap();
    bytes.truncate(length);
    let record = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
    assert_eq!(length, record, "a ClientHello comes in one piece, alone");
    bytes
}

/// What a client needs, in files.
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    folder: TempDir,
}

impl Files {
    pub(crate) fn write(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let client: &Issued = &world.client;
        Self {
            ca: write("ca.pem", world.ca.pem()),
            cert: write("client.crt", client.chain_pem()),
            key: write("client.key", client.key_pem()),
            folder,
        }
    }

    pub(crate) fn session(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("session-{number}.pem"))
    }
}
