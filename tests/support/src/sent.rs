//! A listener's source of connections that yields what a test sends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use countersign::Incoming;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub struct Sent(mpsc::UnboundedReceiver<io::Result<(DuplexStream, Option<SocketAddr>)>>);

impl Incoming for Sent {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        match self.0.recv().await {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}

pub type Sender = mpsc::UnboundedSender<io::Result<(DuplexStream, Option<SocketAddr>)>>;

pub fn sent() -> (Sender, Sent) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Sent(receiver))
}

/// A connection from this address, whose other end stays here.
pub fn from(sender: &Sender, address: [u8; 4]) -> DuplexStream {
    from_socket(sender, Some((address, 1234).into()))
}

/// The same with a port, or without an address.
pub fn from_socket(sender: &Sender, address: Option<SocketAddr>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    sender.send(Ok((near, address))).unwrap();
    far
}

/// Whether the other end was closed without a byte.
pub async fn is_closed(mut io: DuplexStream) -> bool {
    matches!(
        timeout(Duration::from_secs(1), io.read_u8()).await,
        Ok(Err(_))
    )
}
