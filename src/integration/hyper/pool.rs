//! Connection pools, one per server, that are replaced as a whole.
//!
//! hyper-util's pool uses a connection until hyper notices that it is closed, and several requests share a
//! connection that is still being made. It cannot recognize a connection whose credentials were replaced.
//! Here, a server has one pool per set of our credentials, and a new pool as soon as one of its connections
//! drains. The drain signal comes before `update` returns, so a request that starts after the update uses a
//! connection that was made after it. Requests in progress finish on the old pool.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use http::Uri;
use http::uri::Authority;
use hyper::body::Body;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector};
use hyper_util::client::legacy::{self, Builder};
use tokio::time::sleep;
use tower_service::Service;

use super::ended::{EndReporter, EndWatch, Failure, GRACE};
use super::{HttpsConnector, HttpsError, HttpsStream};
use crate::DrainSignal;

/// The pool of one server.
pub(super) struct Pool<I, B> {
    pub(super) client: legacy::Client<PoolConnector<I>, B>,
    state: Arc<State>,
    /// The number of the connector's credentials when the pool was made.
    credentials: u64,
}

/// The state that the pool's connections report.
#[derive(Debug, Default)]
struct State {
    /// A connection drains or was cut.
    stale: AtomicBool,
    /// The number of open connections.
    open: AtomicUsize,
    /// A connection was made, and none has negotiated HTTP/2.
    is_http1: AtomicBool,
    is_http2: AtomicBool,
    /// The numbers of attempts to connect, so far.
    started: AtomicUsize,
    finished: AtomicUsize,
}

impl State {
    /// The number of attempts so far, if none is in progress.
    fn attempts(&self) -> Option<usize> {
        let finished = self.finished.load(Ordering::SeqCst);
        (finished == self.started.load(Ordering::SeqCst)).then_some(finished)
    }
}

/// Woken by a connection that drains, on the thread that changes the rules.
impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.stale.store(true, Ordering::SeqCst);
    }
}

/// The registration of a connection in its pool.
pub(super) struct Registration {
    state: Arc<State>,
    /// Dropping it would stop the notification.
    draining: DrainSignal,
    pub(super) end: EndReporter,
}

impl Registration {
    fn new(draining: DrainSignal, is_http2: bool, state: &Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::SeqCst);
        let version = if is_http2 {
            &state.is_http2
        } else {
            &state.is_http1
        };
        version.store(true, Ordering::SeqCst);
        let mut registration = Self {
            state: Arc::clone(state),
            draining,
            end: EndReporter::new(),
        };
        let waker = Waker::from(Arc::clone(state));
        let drains = Pin::new(&mut registration.draining).poll(&mut Context::from_waker(&waker));
        if drains.is_ready() {
            state.stale.store(true, Ordering::SeqCst);
        }
        registration
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An attempt to connect.
struct Attempt(Arc<State>);

impl Attempt {
    fn start(state: &Arc<State>) -> Self {
        state.started.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

/// Makes and registers the connections of one pool.
pub(super) struct PoolConnector<I> {
    https: HttpsConnector<I>,
    state: Arc<State>,
}

impl<I> Clone for PoolConnector<I> {
    fn clone(&self) -> Self {
        Self {
            https: self.https.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<I: Send + Sync + 'static> Service<Uri> for PoolConnector<I> {
    type Response = HttpsStream<<HttpConnector as Service<Uri>>::Response, I>;
    type Error = HttpsError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HttpsError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpsError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let attempt = Attempt::start(&self.state);
        Box::pin(async move {
            let mut stream = connecting.await?;
            let tls = stream.get_ref();
            let is_http2 = tls.peer().connection().alpn() == Some(b"h2");
            stream.registration = Some(Registration::new(tls.draining(), is_http2, &attempt.0));
            Ok(stream)
        })
    }
}

/// The pools of one client.
pub(super) struct Pools<I, B> {
    builder: Builder,
    https: HttpsConnector<I, HttpConnector>,
    by_server: Mutex<ByServer<I, B>>,
}

struct ByServer<I, B> {
    pools: HashMap<Option<Authority>, Arc<Pool<I, B>>>,
    /// With this number of servers, pools without connections are dropped.
    prune_at: usize,
}

impl<I, B> Pools<I, B>
where
    I: Send + Sync + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(builder: Builder, https: HttpsConnector<I>) -> Self {
        Self {
            builder,
            https,
            by_server: Mutex::new(ByServer {
                pools: HashMap::new(),
                prune_at: ByServer::<I, B>::FEW,
            }),
        }
    }

    /// The pool for a request that starts now.
    pub(super) fn to(&self, uri: &Uri) -> Arc<Pool<I, B>> {
        let credentials = self.https.connector().credentials_replaced();
        // No panic leaves it half-changed.
        let mut locked = self
            .by_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let by_server = &mut *locked;
        if let Some(pool) = by_server.pools.get_mut(&uri.authority().cloned()) {
            if pool.is_for(credentials) {
                return Arc::clone(pool);
            }
            let old = std::mem::replace(pool, Arc::new(self.pool(credentials)));
            let fresh = Arc::clone(pool);
            drop(locked);
            drop(old); // this may close connections
            return fresh;
        }
        by_server.prune();
        let pool = Arc::new(self.pool(credentials));
        let server = uri.authority().cloned();
        by_server.pools.insert(server, Arc::clone(&pool));
        pool
    }

    fn pool(&self, credentials: u64) -> Pool<I, B> {
        let state = Arc::<State>::default();
        let connector = PoolConnector {
            https: self.https.clone(),
            state: Arc::clone(&state),
        };
        Pool {
            client: self.builder.build(connector),
            state,
            credentials,
        }
    }
}

impl<I, B> Pool<I, B> {
    /// Whether all connections that it has made speak HTTP/1, so that no GOAWAY can return a request.
    pub(super) fn is_http1(&self) -> bool {
        self.state.is_http1.load(Ordering::SeqCst) && !self.state.is_http2.load(Ordering::SeqCst)
    }

    /// Why the connection of a request ended, if hyper does not answer the request although it had the time.
    ///
    /// hyper-util sends a request again if a connection that it reuses ends before the request is sent. It may
    /// connect for that, or wait until another request has connected. So the pool must have made no attempt for
    /// as long as hyper has to answer.
    pub(super) async fn ended_without_answer(&self, mut request: CaptureConnection) -> Failure {
        /// Limits the time that attempts for other requests take.
        const MAX_PERIODS: usize = 60;

        let mut periods = 0;
        loop {
            EndWatch::of(&mut request).await.ended().await;
            let before = self.state.attempts();
            sleep(GRACE).await;
            periods += 1;
            let end = EndWatch::of(&mut request).await;
            let is_quiet = before.is_some() && before == self.state.attempts();
            if !end.is_ended() {
                periods = 0; // it was sent again
            } else if is_quiet || periods == MAX_PERIODS {
                return end.failure();
            }
        }
    }

    fn is_for(&self, credentials: u64) -> bool {
        self.credentials == credentials && !self.state.stale.load(Ordering::SeqCst)
    }

    /// Whether the pool has neither connections nor requests.
    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.state.open.load(Ordering::SeqCst) == 0
    }
}

impl<I, B> ByServer<I, B> {
    const FEW: usize = 32;

    /// Drops idle pools, each time the number of servers has doubled.
    fn prune(&mut self) {
        if self.pools.len() >= self.prune_at {
            self.pools.retain(|_, pool| !pool.is_idle());
            self.prune_at = (2 * self.pools.len()).max(Self::FEW);
        }
    }
}
