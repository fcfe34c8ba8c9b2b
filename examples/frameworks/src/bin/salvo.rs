//! salvo over mutual TLS, served by countersign's `hyper::Server`. Every framework whose application takes an
//! `http::Request` can be served in this way.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin salvo
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use countersign::identity::DnsName;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use countersign_frameworks::callers::ask_all;
use http::StatusCode;
use http::uri::Scheme;
use http_body_util::BodyExt as _;
use salvo_core::http::{ReqBody, ResBody};
use salvo_core::{Depot, FlowCtrl, Handler, Request, Response, Router, Service, async_trait};

fn client(request: &Request) -> Option<&Peer<DnsName>> {
    request.extensions().get()
}

struct Hello;

#[async_trait]
impl Handler for Hello {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        match client(request) {
            Some(client) => response.render(format!("hello {}", client.identity())),
            None => {
                response.status_code(StatusCode::FORBIDDEN);
            }
        }
    }
}

/// Before the handlers of its routes.
struct AdminsOnly;

#[async_trait]
impl Handler for AdminsOnly {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        flow: &mut FlowCtrl,
    ) {
        if client(request).is_none_or(|client| client.identity().as_str() != "admin.example") {
            response.status_code(StatusCode::FORBIDDEN);
            response.body(ResBody::Once("".into())); // and not salvo's page of errors
            flow.skip_rest();
        }
    }
}

/// One request of countersign's server, answered by salvo.
async fn call(
    app: Arc<Service>,
    request: http::Request<RequestBody>,
) -> Result<http::Response<ResBody>, Infallible> {
    let request = request.map(|body| ReqBody::Boxed {
        inner: Box::pin(body.map_err(Into::into)),
        fusewire: None,
    });
    let request = Request::from_hyper(request, Scheme::HTTPS);
    let (local, remote) = (request.local_addr().clone(), request.remote_addr().clone());
    let handler = app.hyper_handler(local, remote, Scheme::HTTPS, None, None);
    let response = handler.handle(request).await;
    Ok(response.into_hyper())
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
    let app = Router::new()
        .get(Hello)
        .push(Router::with_path("admin").hoop(AdminsOnly).get(Hello));
    let app = Arc::new(Service::new(app));

    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    let service = tower::service_fn(move |request| call(Arc::clone(&app), request));
    tokio::spawn(Server::new().serve(listener, service));

    ask_all(&ca, port).await
}
