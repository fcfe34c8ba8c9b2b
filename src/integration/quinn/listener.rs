//! Accepting QUIC connections.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{EndpointConfig, ServerConfig, TransportConfig, VarInt};
use tokio::sync::{Semaphore, mpsc};

use super::accepting::{Accepted, Options, Task};
use super::{BindError, Connection};
use crate::server::{OnRefused, Sources};
use crate::tls::quic::{QUIC_VERSION, QuicServerConfigs};
use crate::{AcceptError, Acceptor, EarlyDrop, ListenerHandle};

/// How much a peer may send on streams before it is admitted, in bytes.
pub(super) const UNADMITTED_WINDOW: u32 = 128 * 1024;

/// Yields QUIC connections to admitted clients.
///
/// As with [`crate::Listener`], handshakes run concurrently, each on its own task: at most 1,024 by default, each
/// within the acceptor's handshake timeout. A client that stalls, sends garbage or is refused delays no other
/// client.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::{BindError, Listener};
/// use countersign::Acceptor;
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>) -> Result<(), BindError> {
/// let mut listener = Listener::builder(acceptor)
///     .alpn(["orders/1"])
///     .bind(([0, 0, 0, 0], 4433).into())?;
/// while let Some(connection) = listener.accept().await {
///     println!("hello {}", connection.peer().identity());
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it stops accepting and closes the handshakes in progress. Open connections stay open.
///
/// # Security
/// A client that opens many connections and lets them stall must not delay other clients: new connections of one
/// source are dropped at random ([`EarlyDrop`]), or the oldest handshake of the source with the most makes room,
/// as with TCP. Since the source of a first packet can be forged, a source is only held responsible once it has
/// proven its address: [`AddressValidation`].
pub struct Listener<I> {
    accepted: mpsc::Receiver<Accepted<I>>,
    handle: ListenerHandle<I>,
    endpoint: quinn::Endpoint,
    /// Aborts the task when the listener is dropped.
    _task: Task,
}

/// When clients must prove their address with a Retry packet (RFC 9000 section 8.1.2), which takes them one round
/// trip and the listener no memory.
///
/// ```
/// use countersign::Acceptor;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::{AddressValidation, Listener, ListenerBuilder};
///
/// fn exposed(acceptor: Acceptor<SpiffeId>) -> ListenerBuilder<SpiffeId> {
///     Listener::builder(acceptor).address_validation(AddressValidation::Always)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressValidation {
    /// Once half of the places for handshakes are taken, and for an address with 16 handshakes in progress that have
    /// not proven it, or with [`max_handshakes_per_address`](ListenerBuilder::max_handshakes_per_address) of them.
    #[default]
    WhenBusy,
    /// Always.
    Always,
}

/// The options of a [`Listener`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use countersign::Acceptor;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::{BindError, Listener};
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>) -> Result<(), BindError> {
/// let listener = Listener::builder(acceptor)
///     .alpn(["h3"])
///     .transport(|transport| {
///         transport.keep_alive_interval(Some(Duration::from_secs(10)));
///     })
///     .on_refused(|address, error| println!("{address:?}: {error}"))
///     .bind(([0, 0, 0, 0], 443).into())?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until listen() or bind() is called"]
pub struct ListenerBuilder<I> {
    acceptor: Acceptor<I>,
    alpn: Vec<Vec<u8>>,
    transport: TransportConfig,
    receive_window: VarInt,
    migration: bool,
    validation: AddressValidation,
    max_handshakes: usize,
    sources: Sources,
    admit: Option<super::accepting::Admit>,
    on_refused: Option<OnRefused>,
}

impl<I: Send + Sync + 'static> Listener<I> {
    /// Starts with the default options.
    pub fn builder(acceptor: Acceptor<I>) -> ListenerBuilder<I> {
        let mut transport = TransportConfig::default();
        transport.datagram_receive_buffer_size(None);
        ListenerBuilder {
            acceptor,
            alpn: Vec::new(),
            transport,
            receive_window: VarInt::MAX,
            migration: false,
            validation: AddressValidation::default(),
            max_handshakes: 1024,
            sources: Sources::new(None, Some(EarlyDrop::default())),
            admit: None,
            on_refused: None,
        }
    }

    /// The next connection to an admitted client. `None` after [`shutdown`](ListenerHandle::shutdown),
    /// when the handshakes in progress have finished.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn accept(&mut self) -> Option<Connection<I>> {
        let accepted = self.accepted.recv().await?;
        Some(accepted.connection)
    }

    /// Shuts it down, while another task accepts.
    pub fn handle(&self) -> ListenerHandle<I> {
        self.handle.clone()
    }

    /// The UDP address: with port 0, the port that the system has chosen.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Waits until all its connections are closed and their last packets are sent, so that the process may exit.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

impl<I: Send + Sync + 'static> ListenerBuilder<I> {
    /// Sets the application protocols (ALPN), the preferred one first. QUIC requires one, and those of the
    /// acceptor are for TCP, so they are not used here.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Changes the parameters of QUIC: timeouts, keep-alive, flow control, congestion control, datagrams. The
    /// defaults are those of quinn, without datagrams.
    ///
    /// `receive_window` and `crypto_buffer_size` have no effect here: see [`receive_window`](Self::receive_window)
    /// and the acceptor's `max_handshake_bytes`.
    pub fn transport(mut self, change: impl FnOnce(&mut TransportConfig)) -> Self {
        change(&mut self.transport);
        self
    }

    /// Sets how many bytes of an admitted client may be buffered on all streams of a connection. Default: no limit
    /// other than that of each stream.
    ///
    /// Until a client is admitted, it is at most 128 KiB.
    pub const fn receive_window(mut self, bytes: VarInt) -> Self {
        self.receive_window = bytes;
        self
    }

    /// Sets whether a client may continue a connection from another address (RFC 9000 section 9), as devices do that
    /// change networks. Default: no, and packets from another address are ignored.
    ///
    /// # Security
    /// The policy has decided by the first address ([`remote_addr`](crate::ConnectionInfo::remote_addr)), and is
    /// not asked again. Where it depends on addresses, leave this off.
    pub const fn migration(mut self, allowed: bool) -> Self {
        self.migration = allowed;
        self
    }

    /// Sets when clients must prove their address. Default: [`AddressValidation::WhenBusy`].
    pub const fn address_validation(mut self, rule: AddressValidation) -> Self {
        self.validation = rule;
        self
    }

    /// Sets how many handshakes may be in progress, including the policy's decision. Default: 1,024.
    ///
    /// When all places are taken and none can be displaced, a new connection is refused with the code
    /// CONNECTION_REFUSED. An admitted connection keeps its place until [`accept`](Listener::accept) returns it.
    /// 0 counts as 1, and more than tokio's `Semaphore::MAX_PERMITS` as that many.
    pub const fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = match handshakes {
            0 => 1,
            many if many > Semaphore::MAX_PERMITS => Semaphore::MAX_PERMITS,
            handshakes => handshakes,
        };
        self
    }

    /// Sets when new connections of one source are refused at random, as
    /// [`ListenerBuilder::early_drop`](crate::ListenerBuilder::early_drop) does for TCP. Default:
    /// [`EarlyDrop::default`].
    pub fn early_drop(mut self, rule: impl Into<Option<EarlyDrop>>) -> Self {
        self.sources.early_drop = rule.into();
        self
    }

    /// Sets how many of the handshakes may come from one IPv4 address or IPv6 /64 network. Default: no limit other
    /// than [`early_drop`](Self::early_drop). 0 counts as 1.
    pub fn max_handshakes_per_address(mut self, handshakes: usize) -> Self {
        self.sources.limit = Some(handshakes.max(1));
        self
    }

    /// Sets a filter by the client's address. Where it returns `false`, the connection is refused before any TLS
    /// work. Default: all addresses are admitted.
    ///
    /// It runs in the accept loop, so it must not block. A client that has not proven its address can have forged it.
    pub fn admit(mut self, admit: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        self.admit = Some(Box::new(admit));
        self
    }

    /// Sets a closure that is called once for every connection that was not admitted, as
    /// [`ListenerBuilder::on_refused`](crate::ListenerBuilder::on_refused) for TCP.
    pub fn on_refused(
        mut self,
        notify: impl Fn(Option<SocketAddr>, &AcceptError) + Send + Sync + 'static,
    ) -> Self {
        self.on_refused = Some(Arc::new(notify));
        self
    }

    /// Listens on a UDP address. It may have the port of a TCP listener.
    ///
    /// # Errors
    /// [`BindError`]: no application protocol, or the address is in use.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(self, address: SocketAddr) -> Result<Listener<I>, BindError> {
        self.listen(UdpSocket::bind(address)?)
    }

    /// Listens on a UDP socket that exists.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen(mut self, socket: UdpSocket) -> Result<Listener<I>, BindError> {
        check_alpn(&self.alpn)?;
        let endpoint = self.acceptor.endpoint();
        let in_force = Arc::clone(&endpoint.snapshot().tls.public);
        let tls = QuicServerConfigs::new(&in_force, self.alpn).ok_or(BindError::NoCipherSuite)?;
        let packets = tls.of(&in_force).ok_or(BindError::NoCipherSuite)?;
        limit_unadmitted(&mut self.transport, endpoint.bounds.handshake_bytes);
        let mut config = ServerConfig::with_crypto(packets);
        config
            .transport_config(Arc::new(self.transport))
            .migration(self.migration)
            .max_incoming(self.max_handshakes.saturating_mul(2).min(MAX_WAITING))
            .incoming_buffer_size(u64::from(UNADMITTED_WINDOW))
            .incoming_buffer_size_total(16 * 1024 * 1024);
        let endpoint = quinn::Endpoint::new(
            endpoint_config(),
            Some(config.clone()),
            socket,
            Arc::new(quinn::TokioRuntime),
        )?;
        let (handle, stopped) = ListenerHandle::start(self.acceptor.clone());
        let (sender, accepted) = mpsc::channel(self.max_handshakes);
        let options = Options {
            acceptor: self.acceptor,
            tls,
            config,
            receive_window: self.receive_window,
            validation: self.validation,
            max_handshakes: self.max_handshakes,
            sources: self.sources,
            admit: self.admit,
            on_refused: self.on_refused,
            listener: handle.id(),
        };
        Ok(Listener {
            accepted,
            _task: Task::start(options, endpoint.clone(), sender, stopped),
            handle,
            endpoint,
        })
    }
}

/// How many first packets wait for the accept loop at most.
const MAX_WAITING: usize = 1 << 14;

/// Limits what a peer can make us buffer before it is admitted.
pub(super) fn limit_unadmitted(transport: &mut TransportConfig, handshake_bytes: usize) {
    transport
        .receive_window(VarInt::from_u32(UNADMITTED_WINDOW))
        .crypto_buffer_size(handshake_bytes.min(64 * 1024));
}

pub(super) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.supported_versions(vec![QUIC_VERSION]);
    config
}

pub(super) fn check_alpn(protocols: &[Vec<u8>]) -> Result<(), BindError> {
    if protocols.is_empty() {
        return Err(BindError::NoAlpn);
    }
    let valid = |protocol: &Vec<u8>| (1..=255).contains(&protocol.len());
    if !protocols.iter().all(valid) {
        return Err(BindError::InvalidAlpn);
    }
    Ok(())
}

impl<I> Drop for Listener<I> {
    fn drop(&mut self) {
        self.endpoint.set_server_config(None);
    }
}

impl<I> fmt::Debug for Listener<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local_addr", &self.endpoint.local_addr().ok())
            .finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for ListenerBuilder<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder")
            .field("max_handshakes", &self.max_handshakes)
            .field("validation", &self.validation)
            .finish_non_exhaustive()
    }
}
