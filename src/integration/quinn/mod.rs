//! QUIC over mutual TLS with quinn.
//!
//! A [`Listener`] accepts QUIC connections by the rules of an [`Acceptor`](crate::Acceptor), and a [`Client`]
//! makes them by the rules of a [`Connector`](crate::Connector). The same acceptor can serve TCP: both
//! transports have one set of rules, one list of open connections and one audit trail.
//!
//! ```no_run
//! use countersign::identity::SpiffeId;
//! use countersign::integration::quinn::Listener;
//! use countersign::Acceptor;
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn serve(acceptor: Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut listener = Listener::builder(acceptor)
//!     .alpn(["orders/1"])
//!     .bind("0.0.0.0:4433".parse()?)?;
//! while let Some(connection) = listener.accept().await {
//!     tokio::spawn(async move {
//!         println!("hello {}", connection.peer().identity());
//!         while let Ok((mut send, _receive)) = connection.accept_bi().await {
//!             send.write_all(b"hello").await?;
//!             send.finish()?;
//!         }
//!         std::io::Result::Ok(())
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is the same as with TCP
//! Chain, identity and policy are decided before the application gets a [`Connection`], which is the only
//! thing that opens or accepts streams. Resumed connections pass all three steps again and are counted as
//! resumed. Open connections are listed by [`Control::connections`](crate::Control::connections),
//! re-authorized after each change, asked to drain, and cut. Each attempt has one event, also when it is
//! abandoned. New credentials, trust and rules take effect for the next connection; the socket stays.
//!
//! # What is different
//! * 0-RTT is never used, on either side, and a server sends no data before the client is admitted (0.5-RTT).
//! * A peer that is rejected inside the handshake gets the alert of TLS as QUIC's error code 0x0100 plus the
//!   alert (RFC 9001 section 4.8). A peer that is rejected after it, and one whose open connection is cut,
//!   gets an application error code: [`CLOSE_CODE`] plus the alert. [`ConnectionError::Alert`] explains either.
//! * Before a client is admitted, at most 128 KiB of its data are buffered, and no datagrams are accepted
//!   unless [`transport`](ListenerBuilder::transport) turns them on.
//! * A client that moves to another address loses its connection, because the policy may have decided by its
//!   address. [`migration`](ListenerBuilder::migration) allows it.
//! * The source address of a first packet can be forged. A listener that is busy has clients prove their
//!   address with a Retry packet before it spends anything on them: [`AddressValidation`].
//! * The packet that closes a connection can be lost. The peer gets another one when it sends something soon; later
//!   it gets a stateless reset, without a code.
//!
//! HTTP/3 is not part of this crate. The repository's command-line tool has it as an example, with h3 over these
//! types (`serve --http3`, `call --http3`).

mod accepting;
mod client;
mod close_code;
mod connection;
mod error;
mod handshake;
mod listener;
mod stream;

pub use client::{Client, ClientBuilder};
pub use close_code::CLOSE_CODE;
pub use connection::Connection;
pub use error::{BindError, ConnectionError};
pub use listener::{AddressValidation, Listener, ListenerBuilder};
pub use stream::{RecvStream, SendStream};
