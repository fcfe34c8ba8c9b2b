//! actix-web over mutual TLS, without its TLS features.
//!
//! Each worker admits its connections. `on_connect_ext` gives the peer to the application, and a guard decides
//! which routes a peer may use. actix-web does not drain connections that countersign is about to close: they
//! are cut after the drain time.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin actix_web
//! ```

use std::error::Error;
use std::io;
use std::net::TcpListener;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Extensions, Server, Service as _};
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, web};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Peer, TlsStream, policy};
use countersign_frameworks::callers::ask_all;
use tokio::net::TcpStream;

type Client = Peer<DnsName>;

async fn hello(request: HttpRequest) -> HttpResponse {
    match request.conn_data::<Client>() {
        Some(client) => HttpResponse::Ok().body(format!("hello {}", client.identity())),
        None => HttpResponse::Forbidden().finish(),
    }
}

/// A guard sees what is in the request's extensions.
fn is_admin(context: &GuardContext<'_>) -> bool {
    let extensions = context.req_data();
    let client = extensions.get::<Client>();
    client.is_some_and(|client| client.identity().as_str() == "admin.example")
}

/// The server, on a listener of the standard library.
fn serve(acceptor: Acceptor<DnsName>, listener: TcpListener) -> io::Result<Server> {
    let server =
        Server::build()
            .workers(2)
            .disable_signals()
            .listen("orders", listener, move || {
                let acceptor = acceptor.clone();
                let app = App::new()
                    .wrap_fn(|request, app| {
                        if let Some(client) = request.conn_data::<Client>().cloned() {
                            request.extensions_mut().insert(client);
                        }
                        app.call(request)
                    })
                    .route("/", web::get().to(hello))
                    .route("/admin", web::get().guard(fn_guard(is_admin)).to(hello))
                    .default_service(web::to(HttpResponse::Forbidden));
                let http = HttpService::build()
                    .on_connect_ext(
                        |stream: &TlsStream<TcpStream, DnsName>, data: &mut Extensions| {
                            data.insert(stream.peer().clone());
                        },
                    )
                    .h1(map_config(app, |()| AppConfig::default()));
                fn_service(move |tcp: TcpStream| {
                    let acceptor = acceptor.clone();
                    async move {
                        let address = tcp.peer_addr().ok();
                        let stream = acceptor.accept(tcp).await;
                        let stream =
                            stream.map_err(|error| DispatchError::Io(io::Error::other(error)))?;
                        Ok((stream, address))
                    }
                })
                .and_then(http)
            })?;
    Ok(server.run())
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
        .alpn(["http/1.1"])
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let server = serve(acceptor, listener)?;
    let handle = server.handle();
    let serving = tokio::spawn(server);

    ask_all(&ca, port).await?;
    handle.stop(false).await;
    serving.await??;
    Ok(())
}
