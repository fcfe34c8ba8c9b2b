//! A pool of connections to one server, given up as a whole.
//!
//! hyper-util's pool hands out connections until hyper notices that they are closed, and shares one that is
//! still being made. So it cannot tell a connection whose credentials were replaced from another one. Here a
//! server has one pool per set of our credentials, and a new one as soon as a connection of it is to drain:
//! the signal comes before `update` returns, so a request that starts afterwards goes over a connection that
//! was made afterwards. Requests under way finish on the old pool.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use http::Uri;
use http::uri::Authority;
use hyper::body::Body;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use tower_service::Service;

use super::{HttpsConnector, HttpsError, HttpsStream};
use crate::DrainSignal;

/// The pool for one server.
pub(super) struct Line<I, B> {
    pub(super) client: legacy::Client<Dial<I>, B>,
    state: Arc<State>,
    /// With which of the connector's credentials it began.
    credentials: u64,
}

/// What the pool's connections report.
#[derive(Debug, Default)]
struct State {
    /// One of them is to drain, or was cut.
    stale: AtomicBool,
    /// How many are open.
    open: AtomicUsize,
}

/// Woken by the connection that is to drain, on the thread that changes the rules.
impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.stale.store(true, Ordering::SeqCst);
    }
}

/// A connection's part in its pool.
pub(super) struct Watched {
    state: Arc<State>,
    /// Kept, because dropping it ends the watch.
    draining: DrainSignal,
}

impl Watched {
    fn new(draining: DrainSignal, state: &Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::SeqCst);
        let mut watched = Self {
            state: Arc::clone(state),
            draining,
        };
        let waker = Waker::from(Arc::clone(state));
        let drains = Pin::new(&mut watched.draining).poll(&mut Context::from_waker(&waker));
        if drains.is_ready() {
            state.stale.store(true, Ordering::SeqCst);
        }
        watched
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes the connections of one pool, and watches them.
pub(super) struct Dial<I> {
    https: HttpsConnector<I>,
    state: Arc<State>,
}

impl<I> Clone for Dial<I> {
    fn clone(&self) -> Self {
        Self {
            https: self.https.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<I: Send + Sync + 'static> Service<Uri> for Dial<I> {
    type Response = HttpsStream<<HttpConnector as Service<Uri>>::Response, I>;
    type Error = HttpsError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HttpsError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpsError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let mut stream = connecting.await?;
            stream.watched = Some(Watched::new(stream.get_ref().draining(), &state));
            Ok(stream)
        })
    }
}

/// The pools of one client.
pub(super) struct Lines<I, B> {
    builder: Builder,
    https: HttpsConnector<I, HttpConnector>,
    by_server: Mutex<ByServer<I, B>>,
}

struct ByServer<I, B> {
    lines: HashMap<Option<Authority>, Arc<Line<I, B>>>,
    /// With so many servers, those without connections are forgotten.
    prune_at: usize,
}

impl<I, B> Lines<I, B>
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
                lines: HashMap::new(),
                prune_at: ByServer::<I, B>::FEW,
            }),
        }
    }

    /// The pool for a request that starts now.
    pub(super) fn to(&self, uri: &Uri) -> Arc<Line<I, B>> {
        let credentials = self.https.connector().credentials_replaced();
        // Nothing in here leaves it half-changed.
        let mut locked = self
            .by_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let by_server = &mut *locked;
        if let Some(line) = by_server.lines.get_mut(&uri.authority().cloned()) {
            if line.is_for(credentials) {
                return Arc::clone(line);
            }
            let old = std::mem::replace(line, Arc::new(self.line(credentials)));
            let fresh = Arc::clone(line);
            drop(locked);
            drop(old); // that may end connections
            return fresh;
        }
        by_server.prune();
        let line = Arc::new(self.line(credentials));
        let server = uri.authority().cloned();
        by_server.lines.insert(server, Arc::clone(&line));
        line
    }

    fn line(&self, credentials: u64) -> Line<I, B> {
        let state = Arc::<State>::default();
        let dial = Dial {
            https: self.https.clone(),
            state: Arc::clone(&state),
        };
        Line {
            client: self.builder.build(dial),
            state,
            credentials,
        }
    }
}

impl<I, B> Line<I, B> {
    fn is_for(&self, credentials: u64) -> bool {
        self.credentials == credentials && !self.state.stale.load(Ordering::SeqCst)
    }

    /// Whether it has neither connections nor requests.
    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.state.open.load(Ordering::SeqCst) == 0
    }
}

impl<I, B> ByServer<I, B> {
    const FEW: usize = 32;

    /// Forgets servers that are not called any more; as often as their number doubles.
    fn prune(&mut self) {
        if self.lines.len() >= self.prune_at {
            self.lines.retain(|_, line| !line.is_idle());
            self.prune_at = (2 * self.lines.len()).max(Self::FEW);
        }
    }
}
