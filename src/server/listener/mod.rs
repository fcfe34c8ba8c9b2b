//! The accept loop: concurrent handshakes, bounded in number and time.

mod early_drop;
mod incoming;
mod preamble;
mod sources;
mod task;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
#[cfg(feature = "tonic")]
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::yield_now;

pub use early_drop::EarlyDrop;
pub use incoming::Incoming;
pub use preamble::{DirectTls, Preamble, RawConnection};

#[cfg(feature = "quinn")]
pub(crate) use self::sources::Entry;
pub(crate) use self::sources::Sources;
pub(crate) use self::task::Stop;
use self::task::{Admitted, Outlet, Serve, Task};
#[cfg(feature = "quinn")]
pub(crate) use self::task::{notify, until};
use super::{AcceptError, Acceptor};
use crate::TlsStream;
use crate::live::{CloseReason, Connection};
use crate::pki::time::at_most_far;
use crate::proxy_protocol::Trusted;

/// Yields connections to admitted peers.
///
/// Handshakes run concurrently, each on its own task: at most 1,024 by default, each within the acceptor's
/// handshake timeout. A client that stalls, sends garbage or is refused delays no other client. If the
/// system's `accept` fails (no file descriptors left), the listener tries again.
///
/// # Security
/// A client that opens many connections and lets them stall must not delay other clients. So new
/// connections of one source, an IPv4 address or an IPv6 /64 network, are dropped at random once that
/// source has many handshakes in progress ([`EarlyDrop`]). When no place is free, the oldest handshake of
/// the source with the most handshakes is closed. Both have an event each. A client with many sources can
/// still take all places, one for each source.
///
/// **Behind a load balancer** that hides the clients' addresses, all connections come from one source.
/// Have it send a [PROXY header](ListenerBuilder::proxy_protocol), so that the limits count the clients. If
/// it cannot, turn early drop off, with [`early_drop(None)`](ListenerBuilder::early_drop), and limit clients
/// in the load balancer.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::{Acceptor, Listener};
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>) -> std::io::Result<()> {
/// let mut listener = Listener::bind(acceptor, "127.0.0.1:8443").await?;
/// while let Some(stream) = listener.accept().await {
///     tokio::spawn(async move { println!("hello {}", stream.peer().identity()) });
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it stops listening and closes the handshakes in progress. Open connections stay open.
pub struct Listener<IO, I> {
    admitted: mpsc::Receiver<Admitted<IO, I>>,
    #[cfg_attr(
        not(feature = "hyper"),
        expect(dead_code, reason = "for servers of this crate")
    )]
    direct: Arc<OnceLock<Serve<IO, I>>>,
    handle: ListenerHandle<I>,
    local_addr: Option<SocketAddr>,
    /// Aborts the task when the listener is dropped.
    _task: Task,
}

/// What happens to a connection when all places for handshakes are taken.
///
/// ```
/// use countersign::{Acceptor, Listener, ListenerBuilder, WhenFull, identity::SpiffeId};
///
/// fn shedding(acceptor: Acceptor<SpiffeId>) -> ListenerBuilder<SpiffeId> {
///     Listener::builder(acceptor).max_handshakes(256).when_full(WhenFull::Shed)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits until a handshake has finished. Further connections wait in the system's queue.
    #[default]
    Wait,
    /// It is closed at once, without an alert.
    Shed,
}

type Admit = Box<dyn Fn(SocketAddr) -> bool + Send + Sync>;
pub(crate) type OnRefused = Arc<dyn Fn(Option<SocketAddr>, &AcceptError) + Send + Sync>;

/// The options of a [`Listener`].
///
/// ```no_run
/// use countersign::{Acceptor, Listener, identity::SpiffeId};
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>) -> std::io::Result<()> {
/// let listener = Listener::builder(acceptor)
///     .max_handshakes(256)
///     .on_refused(|address, error| println!("{address:?}: {error}"))
///     .bind("127.0.0.1:8443")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until listen() or bind() is called"]
pub struct ListenerBuilder<I, P = DirectTls> {
    acceptor: Acceptor<I>,
    max_handshakes: usize,
    when_full: WhenFull,
    sources: Sources,
    admit: Option<Admit>,
    on_refused: Option<OnRefused>,
    /// The proxies that send a PROXY header.
    proxies: Option<Trusted>,
    preamble: P,
}

impl<I: Send + Sync + 'static> Listener<tokio::net::TcpStream, I> {
    /// Listens on a TCP address, with the default options.
    ///
    /// Must be called from within a tokio runtime.
    ///
    /// # Errors
    /// The address is in use, is no address of this machine, or cannot be resolved.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn bind(acceptor: Acceptor<I>, address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder(acceptor).bind(address).await
    }

    /// Starts with the default options.
    pub fn builder(acceptor: Acceptor<I>) -> ListenerBuilder<I> {
        ListenerBuilder {
            acceptor,
            max_handshakes: 1024,
            when_full: WhenFull::Wait,
            sources: Sources::new(None, Some(EarlyDrop::default())),
            admit: None,
            on_refused: None,
            proxies: None,
            preamble: DirectTls,
        }
    }
}

impl<I: Send + Sync + 'static, P> ListenerBuilder<I, P> {
    /// Sets how many handshakes may be in progress, including the policy's decision. Default: 1,024.
    ///
    /// An admitted connection keeps its place until [`accept`](Listener::accept) returns it. 0 counts as 1, and more than tokio's `Semaphore::MAX_PERMITS` as
    /// that many.
    pub const fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = match handshakes {
            0 => 1,
            many if many > Semaphore::MAX_PERMITS => Semaphore::MAX_PERMITS,
            handshakes => handshakes,
        };
        self
    }

    /// Sets what happens to further connections when all places are taken. Default: they wait.
    pub const fn when_full(mut self, rule: WhenFull) -> Self {
        self.when_full = rule;
        self
    }

    /// Sets when new connections of one source are dropped at random before any TLS work, so that no
    /// client takes all places. `None` turns this off, and also that the oldest handshake of the largest
    /// source is closed when no place is free. Default: [`EarlyDrop::default`].
    ///
    /// Turn it off behind a load balancer that hides the clients' addresses: all connections come from
    /// one source there. Better, have it send a [PROXY header](Self::proxy_protocol). Connections without
    /// a known address are never dropped.
    pub fn early_drop(mut self, rule: impl Into<Option<EarlyDrop>>) -> Self {
        self.sources.early_drop = rule.into();
        self
    }

    /// Sets how many of the handshakes may come from one IPv4 address or IPv6 /64 network. A further one
    /// is closed at once. Default: no limit other than [`early_drop`](Self::early_drop).
    ///
    /// Behind a proxy, all connections come from one address, unless it sends a
    /// [PROXY header](Self::proxy_protocol). 0 counts as 1.
    pub fn max_handshakes_per_address(mut self, handshakes: usize) -> Self {
        self.sources.limit = Some(handshakes.max(1));
        self
    }

    /// Sets a filter by the peer's address. Where it returns `false`, the connection is closed before any
    /// TLS work. It is not called where the transport has no addresses. Default: all addresses are
    /// admitted.
    ///
    /// Behind a [proxy](Self::proxy_protocol) it gets the client's address, and for the proxy's own
    /// connections that of the proxy. A client that a proxy forwards without an address is not admitted.
    pub fn admit(mut self, admit: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        self.admit = Some(Box::new(admit));
        self
    }

    /// Sets a closure that is called once for every connection that was not admitted: refused, failed,
    /// timed out, or closed before its handshake. It runs on the connection's task, or in the accept
    /// loop for a connection that is closed before its handshake, so it must not block.
    ///
    /// Default: none. The [audit trail](crate::audit) has these connections in any case, and also
    /// those that a shutdown closes.
    pub fn on_refused(
        mut self,
        notify: impl Fn(Option<SocketAddr>, &AcceptError) + Send + Sync + 'static,
    ) -> Self {
        self.on_refused = Some(Arc::new(notify));
        self
    }

    /// Sets the proxies whose connections begin with a header of the
    /// [PROXY protocol](crate::proxy_protocol), version 1 or 2, before TLS. Default: none.
    ///
    /// From these addresses a header is **demanded**: a connection without one is refused
    /// (`proxy_header_missing`). From other addresses a header is **refused**
    /// (`proxy_header_not_trusted`), and a connection without one is served as usual.
    ///
    /// The header is read on the connection's own task, in its place among the handshakes and within the
    /// handshake timeout. The client's address is then
    /// [`remote_addr`](crate::ConnectionInfo::remote_addr) and the proxy's is
    /// [`proxy_addr`](crate::ConnectionInfo::proxy_addr), for the policy and in audit events, and the
    /// limits of [`early_drop`](Self::early_drop), [`max_handshakes_per_address`](Self::max_handshakes_per_address)
    /// and [`admit`](Self::admit) count the client. Until the header has arrived, these limits do not count
    /// the connection: a proxy with many clients is not one client. When all places are taken, a
    /// connection without its header for a second can be displaced.
    ///
    /// The proxy's own connections (LOCAL) have its address. A client that the proxy forwards without an
    /// address (UNKNOWN) has none, and the limits by address do not count it.
    ///
    /// ```no_run
    /// use countersign::proxy_protocol::Trusted;
    /// use countersign::{Acceptor, Listener, identity::SpiffeId};
    ///
    /// # async fn serve(acceptor: Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = Listener::builder(acceptor)
    ///     .proxy_protocol(Trusted::nets(["10.0.3.0/24"])?)
    ///     .max_handshakes_per_address(16)
    ///     .bind("0.0.0.0:8443")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Security
    /// The header is not authenticated. A proxy states any address it likes, so that the address is as
    /// trustworthy as the networks that are named here. It never replaces the client's certificate.
    #[doc(alias = "haproxy")]
    #[doc(alias = "send-proxy")]
    pub fn proxy_protocol(mut self, proxies: Trusted) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Sets what happens on each connection before TLS, after the
    /// [PROXY header](Self::proxy_protocol) if there is one. Default: nothing ([`DirectTls`]).
    pub fn preamble<Q>(self, preamble: Q) -> ListenerBuilder<I, Q> {
        ListenerBuilder {
            acceptor: self.acceptor,
            max_handshakes: self.max_handshakes,
            when_full: self.when_full,
            sources: self.sources,
            admit: self.admit,
            on_refused: self.on_refused,
            proxies: self.proxies,
            preamble,
        }
    }

    /// Listens on a TCP address.
    ///
    /// # Errors
    /// The address is in use, is no address of this machine, or cannot be resolved.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn bind(self, address: impl ToSocketAddrs) -> io::Result<Listener<P::Io, I>>
    where
        P: Preamble<tokio::net::TcpStream>,
    {
        let tcp = TcpListener::bind(address).await?;
        let local_addr = tcp.local_addr()?;
        let mut listener = self.listen(tcp);
        listener.local_addr = Some(local_addr);
        Ok(listener)
    }

    /// Takes connections from a listener that exists: TCP, a Unix socket, or your own
    /// [`Incoming`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen<S: Incoming>(self, incoming: S) -> Listener<P::Io, I>
    where
        P: Preamble<S::Io>,
    {
        let (handle, stopped) = ListenerHandle::start(self.acceptor.clone());
        let (outlet, admitted) = Outlet::new(self.max_handshakes);
        Listener {
            admitted,
            direct: Arc::clone(outlet.direct()),
            _task: Task::start(self, incoming, outlet, stopped, handle.id),
            handle,
            local_addr: None,
        }
    }
}

impl<IO, I: Send + Sync + 'static> Listener<IO, I> {
    /// The next connection to an admitted peer. `None` after [`shutdown`](ListenerHandle::shutdown),
    /// when the handshakes in progress have finished.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn accept(&mut self) -> Option<TlsStream<IO, I>> {
        let admitted = self.admitted.recv().await?;
        Some(admitted.stream)
    }

    /// Passes each connection to `serve`, until [`accept`](Self::accept) would return `None`. The handshake's own
    /// task calls it, and releases the place before.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    #[cfg(feature = "hyper")]
    pub(crate) async fn for_each(&mut self, serve: Serve<IO, I>) {
        let serve = self.direct.get_or_init(|| serve);
        // Those that were admitted before.
        while let Some(admitted) = self.admitted.recv().await {
            serve(admitted.stream);
        }
    }

    /// As [`accept`](Self::accept), for a stream.
    #[cfg(feature = "tonic")]
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<TlsStream<IO, I>>> {
        let admitted = self.admitted.poll_recv(cx);
        admitted.map(|admitted| Some(admitted?.stream))
    }

    /// The TCP address, if [`bind`](Self::bind) made the listener: with port 0, the port that the
    /// system chose.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// A handle that shuts it down from another task.
    pub fn handle(&self) -> ListenerHandle<I> {
        self.handle.clone()
    }
}

/// Shuts a [`Listener`] down.
///
/// ```no_run
/// use std::time::Duration;
///
/// use countersign::{Acceptor, Listener, identity::SpiffeId};
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>) -> std::io::Result<()> {
/// let mut listener = Listener::bind(acceptor, "127.0.0.1:8443").await?;
/// let handle = listener.handle();
/// tokio::spawn(async move {
///     while let Some(stream) = listener.accept().await {
///         println!("hello {}", stream.peer().identity());
///     }
/// });
/// handle.shutdown(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
pub struct ListenerHandle<I> {
    acceptor: Acceptor<I>,
    id: u64,
    stop: Arc<watch::Sender<Stop>>,
}

impl<I> ListenerHandle<I> {
    /// The handle of a new listener, which has its number and the receiver.
    pub(crate) fn start(acceptor: Acceptor<I>) -> (Self, watch::Receiver<Stop>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);

        let (stop, stopped) = watch::channel(Stop::GoOn);
        let handle = Self {
            acceptor,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            stop: Arc::new(stop),
        };
        (handle, stopped)
    }

    /// The number of the listener, which no other of this process has.
    #[cfg(feature = "quinn")]
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }
}

impl<I: Send + Sync + 'static> ListenerHandle<I> {
    /// Stops listening, lets the handshakes in progress finish, signals the listener's open connections
    /// to drain, and waits until they are closed. After `time`, the remaining connections are cut, and
    /// the remaining handshakes are closed. More than 30 years count as 30 years.
    ///
    /// [`Listener::accept`] yields the connections that were admitted until then, and then `None`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the listener stopped and its connections draining, and cuts none of
    /// them after `time`. Call it again to continue.
    pub async fn shutdown(&self, time: Duration) {
        /// How often it looks for the end.
        const EVERY: Duration = Duration::from_millis(20);

        self.stop_at_least(Stop::Accepting);
        let deadline = tokio::time::Instant::now() + at_most_far(time);
        let live = &self.acceptor.endpoint.live;
        let mut seen = None;
        loop {
            // The task holds the receiver while a handshake is in progress.
            let may_open = self.stop.receiver_count() > 0;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() && may_open {
                self.stop_at_least(Stop::Handshakes);
                // The task aborts them and then stops, so that no connection is added afterwards.
                self.stop.closed().await;
                continue;
            }
            if left.is_zero() {
                return self.each(|it| it.cut(CloseReason::ShutDown)).await;
            }
            // Handshakes that finish during the shutdown add connections.
            let opened = live.opened();
            if seen.replace(opened) != Some(opened) {
                let drain = |it: &Connection<I>| live.drain_within(it, CloseReason::ShutDown, left);
                self.each(drain).await;
            }
            if !may_open && !live.has_open(|it| it.listener() == Some(self.id)) {
                return;
            }
            tokio::time::sleep(EVERY.min(left)).await;
        }
    }

    /// Does this with each open connection of the listener. Other tasks run in between.
    async fn each(&self, act: impl Fn(&Connection<I>)) {
        /// After how many connections.
        const CHUNK: usize = 64;

        let mut done = 0_usize;
        for connection in self.acceptor.endpoint.live.open_connections() {
            if connection.listener() == Some(self.id) {
                act(&connection);
                done += 1;
                if done.is_multiple_of(CHUNK) {
                    yield_now().await;
                }
            }
        }
    }

    fn stop_at_least(&self, what: Stop) {
        self.stop.send_if_modified(|stop| {
            let further = *stop == Stop::GoOn || what == Stop::Handshakes;
            if further {
                *stop = what;
            }
            further
        });
    }
}

impl<I> Clone for ListenerHandle<I> {
    fn clone(&self) -> Self {
        Self {
            acceptor: self.acceptor.clone(),
            id: self.id,
            stop: Arc::clone(&self.stop),
        }
    }
}

impl<IO, I> fmt::Debug for Listener<IO, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl<I, P> fmt::Debug for ListenerBuilder<I, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder")
            .field("max_handshakes", &self.max_handshakes)
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for ListenerHandle<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerHandle").finish_non_exhaustive()
    }
}
