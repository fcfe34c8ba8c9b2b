//! poem over mutual TLS, served by countersign's `hyper::Server`. Every framework whose application takes an
//! `http::Request` can be served in this way.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin poem
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use countersign::identity::DnsName;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use countersign_frameworks::callers::ask_all;
use http::StatusCode;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use poem::endpoint::make_sync;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint, EndpointExt as _, Request, RequestParts, Response, Route};

/// The peer is in the extensions of the request, as with every other framework.
fn hello(request: Request) -> Response {
    match request.extensions().get::<Peer<DnsName>>() {
        Some(client) => format!("hello {}", client.identity()).into(),
        None => StatusCode::FORBIDDEN.into(),
    }
}

fn is_admin(request: &Request) -> bool {
    let client = request.extensions().get::<Peer<DnsName>>();
    client.is_some_and(|client| client.identity().as_str() == "admin.example")
}

/// One request of countersign's server, answered by poem.
async fn call<E: Endpoint>(
    app: Arc<E>,
    request: http::Request<RequestBody>,
) -> Result<http::Response<BoxBody<Bytes, io::Error>>, Infallible> {
    let (parts, body) = request.into_parts();
    let (local, remote) = (LocalAddr::default(), RemoteAddr::default());
    let parts = RequestParts::from((parts, local, remote, Scheme::HTTPS));
    let body = Body::from(BoxBody::new(body.map_err(io::Error::other)));
    Ok(app
        .get_response(Request::from_parts(parts, body))
        .await
        .into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact([
            "alice.example".parse()?,
            "admin.example".parse()?,
        ]))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let admin = make_sync(hello).before(async |request| {
        if is_admin(&request) {
            Ok(request)
        } else {
            Err(StatusCode::FORBIDDEN.into())
        }
    });
    let app = Route::new().at("/", make_sync(hello)).at("/admin", admin);
    let app = Arc::new(app);

    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    let service = tower::service_fn(move |request| call(Arc::clone(&app), request));
    tokio::spawn(Server::new().serve(listener, service));

    ask_all(&ca, port).await
}
