//! Making QUIC connections.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{TransportConfig, VarInt};

use super::handshake::{Begin, Handshaking};
use super::listener::{check_alpn, endpoint_config, limit_unadmitted};
use super::{BindError, Connection};
use crate::live::CloseReason;
use crate::side::Side;
use crate::stream::handshake::Driver;
use crate::tls::Failure as _;
use crate::tls::quic::{QuicClientConfig, QuicHandshake, QuicPackets};
use crate::{ConnectError, ConnectionInfo, Connector};

/// Makes QUIC connections to servers that prove their identity, that the policy allows, and that request our
/// certificate.
///
/// One client has one UDP socket for all its connections. Cloning is cheap; clones share the socket.
///
/// ```no_run
/// use countersign::Connector;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::Client;
///
/// # async fn call(connector: Connector<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder(connector)
///     .alpn(["orders/1"])
///     .bind(([0, 0, 0, 0], 0).into())?;
/// let connection = client.connect(([192, 0, 2, 7], 4433).into(), "orders.internal").await?;
/// println!("talking to {}", connection.peer().identity());
/// # Ok(())
/// # }
/// ```
pub struct Client<I>(Arc<Shared<I>>);

struct Shared<I> {
    connector: Connector<I>,
    endpoint: quinn::Endpoint,
    alpn: Vec<Vec<u8>>,
    transport: Arc<TransportConfig>,
    receive_window: VarInt,
    packets: QuicPackets,
}

/// The options of a [`Client`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use countersign::Connector;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::{BindError, Client};
///
/// # async fn client(connector: Connector<SpiffeId>) -> Result<Client<SpiffeId>, BindError> {
/// Client::builder(connector)
///     .alpn(["h3"])
///     .transport(|transport| {
///         transport.keep_alive_interval(Some(Duration::from_secs(10)));
///     })
///     .bind(([0, 0, 0, 0], 0).into())
/// # }
/// ```
#[must_use = "a builder does nothing until bind() or with_socket() is called"]
pub struct ClientBuilder<I> {
    connector: Connector<I>,
    alpn: Vec<Vec<u8>>,
    transport: TransportConfig,
    receive_window: VarInt,
}

impl<I: Send + Sync + 'static> Client<I> {
    /// Starts with the default options.
    pub fn builder(connector: Connector<I>) -> ClientBuilder<I> {
        let mut transport = TransportConfig::default();
        transport.datagram_receive_buffer_size(None);
        ClientBuilder {
            connector,
            alpn: Vec::new(),
            transport,
            receive_window: VarInt::MAX,
        }
    }

    /// Connects to the server with this name, a DNS name or an IP address, at this address.
    ///
    /// The server authorizes us after our side of the handshake is complete. If it rejects us, the first
    /// operation on the connection or one of its streams fails with its alert:
    /// [`ConnectionError::Alert`](super::ConnectionError::Alert).
    ///
    /// # Errors
    /// [`ConnectError`]: why there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection and records the attempt as abandoned.
    pub async fn connect(
        &self,
        address: SocketAddr,
        server_name: &str,
    ) -> Result<Connection<I>, ConnectError> {
        let shared = &*self.0;
        let info = ConnectionInfo::default()
            .with_remote_addr(address)
            .with_local_addr(shared.endpoint.local_addr().ok());
        let (attempt, _) = shared.connector.attempt(server_name, info)?;
        // Our certificate may be withdrawn, so no server gets it.
        if let Err(error) = attempt.gate().check_suspended() {
            let error = ConnectError::from(error);
            // A failure is recorded in any case.
            let _ = attempt.finish(Err(&error), &[]);
            return Err(error);
        }
        let endpoint = shared.connector.endpoint();
        let driver = Driver::<I, ConnectError>::start(Box::new(attempt), &endpoint.bounds, None);
        let tls = Arc::clone(&endpoint.snapshot().tls);
        let handshake = QuicHandshake::of_client(endpoint.bounds.handshake_bytes);
        let crypto = QuicClientConfig::new(
            Arc::clone(&tls.public),
            shared.alpn.clone(),
            shared.packets.clone(),
            handshake.clone(),
        );
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(Arc::clone(&shared.transport));
        let handshaking = Handshaking::new(driver, handshake, || ConnectError::NotAsked);
        let connecting = shared.endpoint.connect_with(config, address, server_name);
        let (driver, connection, presented) = handshaking
            .complete(connecting.map_err(Begin::from))
            .await?;
        match driver.admit_chain(&endpoint.live, &presented).await {
            Ok(admitted) => {
                // The credentials may have been replaced before the connection was listed.
                if endpoint.snapshot().tls.credentials != tls.credentials {
                    let connection = admitted.registration.connection();
                    endpoint
                        .live
                        .drain(connection, CloseReason::CredentialsReplaced);
                }
                let window = shared.receive_window;
                Ok(Connection::new(connection, admitted, Side::Server, window))
            }
            Err(error) => {
                super::connection::reject(&connection, error.late_alert());
                Err(error)
            }
        }
    }

    /// The UDP address.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.endpoint.local_addr()
    }

    /// Waits until all its connections are closed and their last packets are sent, so that the process may exit.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn wait_idle(&self) {
        self.0.endpoint.wait_idle().await;
    }
}

impl<I: Send + Sync + 'static> ClientBuilder<I> {
    /// Sets the application protocols (ALPN), the preferred one first. QUIC requires one, and those of the
    /// connector are for TCP, so they are not used here.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Changes the parameters of QUIC, as
    /// [`ListenerBuilder::transport`](super::ListenerBuilder::transport) does.
    pub fn transport(mut self, change: impl FnOnce(&mut TransportConfig)) -> Self {
        change(&mut self.transport);
        self
    }

    /// Sets how many bytes of an admitted server may be buffered on all streams of a connection. Default: no limit
    /// other than that of each stream.
    ///
    /// Until a server is admitted, it is at most 128 KiB.
    pub const fn receive_window(mut self, bytes: VarInt) -> Self {
        self.receive_window = bytes;
        self
    }

    /// Binds a UDP address; with port 0, the system chooses the port.
    ///
    /// # Errors
    /// [`BindError`]: no application protocol, or the address is in use.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(self, address: SocketAddr) -> Result<Client<I>, BindError> {
        self.with_socket(UdpSocket::bind(address)?)
    }

    /// Takes a UDP socket that exists.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn with_socket(mut self, socket: UdpSocket) -> Result<Client<I>, BindError> {
        check_alpn(&self.alpn)?;
        let endpoint = self.connector.endpoint();
        let packets = QuicPackets::of(&endpoint.snapshot().tls.public);
        let packets = packets.ok_or(BindError::NoCipherSuite)?;
        limit_unadmitted(&mut self.transport, endpoint.bounds.handshake_bytes);
        let endpoint = quinn::Endpoint::new(
            endpoint_config(),
            None,
            socket,
            Arc::new(quinn::TokioRuntime),
        )?;
        Ok(Client(Arc::new(Shared {
            connector: self.connector,
            endpoint,
            alpn: self.alpn,
            transport: Arc::new(self.transport),
            receive_window: self.receive_window,
            packets,
        })))
    }
}

impl<I> Clone for Client<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I> fmt::Debug for Client<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("local_addr", &self.0.endpoint.local_addr().ok())
            .finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for ClientBuilder<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("alpn", &self.alpn.len())
            .finish_non_exhaustive()
    }
}
