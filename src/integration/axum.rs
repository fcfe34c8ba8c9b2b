//! [`Peer`] as an argument of axum's handlers, and [`Listener`](crate::Listener) for `axum::serve`.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use countersign::identity::SpiffeId;
//! use countersign::integration::hyper::Server;
//! use countersign::{Acceptor, Listener, Peer};
//!
//! async fn hello(peer: Peer<SpiffeId>) -> String {
//!     format!("hello {}", peer.identity())
//! }
//!
//! # async fn serve(acceptor: Acceptor<SpiffeId>) -> std::io::Result<()> {
//! let app = Router::new().route("/", get(hello));
//! let listener = Listener::bind(acceptor, "0.0.0.0:8443").await?;
//! Server::new().serve(listener, app).await;
//! # Ok(())
//! # }
//! ```
//!
//! `axum::serve` takes the listener too. There the peer is connect info, and [`Peer`] as an argument
//! finds it:
//!
//! ```no_run
//! # use axum::Router;
//! # use countersign::identity::SpiffeId;
//! # use countersign::{Acceptor, Listener, Peer};
//! # async fn serve(acceptor: Acceptor<SpiffeId>, app: Router) -> std::io::Result<()> {
//! let listener = Listener::bind(acceptor, "0.0.0.0:8443").await?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<Peer<SpiffeId>>()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Unlike [`Server`](crate::integration::hyper::Server), `axum::serve` cannot notify a client that its
//! connection drains (the connection is cut after the drain time), and does not limit the time of a
//! request's head.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::diagnostic::display_diagnostic;
use crate::integration::http::peer_in;
use crate::{Diagnostic, Peer};

/// The request is rejected with 403 if it has no peer: if `I` is not the identity of the acceptor, or if
/// the connection was not accepted by this crate.
impl<S, I> FromRequestParts<S> for Peer<I>
where
    S: Sync,
    I: Send + Sync + 'static,
{
    type Rejection = NoPeerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoPeerError> {
        peer_in(&parts.extensions).cloned().ok_or_else(|| {
            tracing::error!(
                identity = std::any::type_name::<I>(),
                "a handler takes a peer, and the request has no peer with this type of identity; serve it by countersign's Server, or by axum::serve with into_make_service_with_connect_info::<Peer<_>>()"
            );
            NoPeerError
        })
    }
}

/// The rejection of a request that has no peer of this identity: 403 with an empty body.
///
/// A handler that takes a `Result` sees it:
///
/// ```
/// use countersign::Peer;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::axum::NoPeerError;
///
/// async fn who_am_i(peer: Result<Peer<SpiffeId>, NoPeerError>) -> String {
///     match peer {
///         Ok(peer) => peer.identity().to_string(),
///         Err(_) => "not known".to_owned(),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(who_am_i));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub struct NoPeerError;

impl IntoResponse for NoPeerError {
    fn into_response(self) -> Response {
        StatusCode::FORBIDDEN.into_response()
    }
}

impl Diagnostic for NoPeerError {
    fn reason(&self) -> &'static str {
        "no_peer"
    }

    fn cause(&self) -> Cow<'_, str> {
        "the request has no peer with this type of identity".into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "serve it by countersign's Server, or by axum::serve with into_make_service_with_connect_info::<Peer<_>>(), with the identity of the acceptor".into()
    }
}

display_diagnostic!(NoPeerError);

#[cfg(feature = "tokio")]
mod serve {
    use std::future::pending;
    use std::io;
    use std::net::SocketAddr;

    use axum::extract::connect_info::Connected;
    use axum::serve::{IncomingStream, Listener as AxumListener};
    use tokio::io::{AsyncRead, AsyncWrite};

    use crate::{Listener, Peer, TlsStream};

    /// Handshakes run concurrently. Only connections of admitted peers are accepted.
    impl<IO, I> AxumListener for Listener<IO, I>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        I: Send + Sync + 'static,
    {
        type Io = TlsStream<IO, I>;
        type Addr = Option<SocketAddr>;

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            match Self::accept(self).await {
                Some(stream) => {
                    let remote_addr = stream.peer().connection().remote_addr();
                    (stream, remote_addr)
                }
                // The listener was shut down; `axum::serve` cannot observe that.
                None => pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<Self::Addr> {
            Ok(Self::local_addr(self))
        }
    }

    impl<IO, I> Connected<IncomingStream<'_, Listener<IO, I>>> for Peer<I>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        I: Send + Sync + 'static,
    {
        fn connect_info(stream: IncomingStream<'_, Listener<IO, I>>) -> Self {
            stream.io().peer().clone()
        }
    }
}
