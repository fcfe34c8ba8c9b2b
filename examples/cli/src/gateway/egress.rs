//! `countersign egress`: a sidecar for programs that cannot present a client certificate.
//!
//! ```text
//! countersign egress --cert gateway.crt --key gateway.key --trust models-ca.crt --identity spiffe \
//!     --allow spiffe://example.org/model --listen 127.0.0.1:9001 https://model.internal:8443
//! ```
//!
//! It takes plain HTTP/1.1 on a loopback address, and forwards each request to one server over mutual TLS,
//! frame by frame. Standard output gets one line, `listening on ADDR`. Standard error gets one line of JSON
//! for every request. SIGTERM finishes the requests in flight and stops.
//!
//! # Security
//! Every process that can connect to the address can use the certificate. Pages in a browser cannot: a request
//! with an `Origin`, or with a `Host` that is no loopback address, is denied.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::proxy::config::{Limits, Tls, Upstream};
use super::proxy::{Audit, Egress};
use crate::options::{IdentityKind, KeyOption, stop_signal};
use crate::terminal::Failure;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key of our certificate (PEM), or a PKCS #11 URI for a key in a token
    #[arg(long, value_name = "FILE|URI")]
    key: KeyOption,
    /// The roots of the server (PEM)
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
    /// The field of the server's certificate that is its identity; with spiffe, its host name is not verified
    #[arg(long, value_enum)]
    identity: IdentityKind,
    /// Allow the server with this identity, in the forms of `serve --allow`
    #[arg(long, value_name = "PATTERN", required = true)]
    allow: Vec<String>,
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Send all requests over one HTTP/2 connection if the server supports it
    #[arg(long)]
    http2: bool,
    /// The server, such as https://model.internal:8443
    url: String,
}

/// Serves until SIGTERM or ctrl-c.
pub async fn run(args: &Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err("--listen takes loopback addresses only, because it is without TLS".into());
    }
    let limits = Limits::default();
    let (head, drain) = (limits.head, limits.drain);
    let upstream = Upstream {
        url: args.url.clone(),
        tls: Some(Tls::of_files(
            &args.cert,
            &args.key,
            &args.trust,
            args.identity,
            &args.allow,
        )),
        http2: args.http2,
        headers: BTreeMap::new(),
    };
    if !args.url.starts_with("https://") {
        return Err("expected the URL of a server with mutual TLS, https://".into());
    }
    let audit = Audit::to_stderr();
    let egress = Arc::new(Egress::new(&upstream, limits, audit).await?);
    let stop = stop_signal()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve(listener, egress, head, drain, stop).await;
    Ok(())
}

async fn serve(
    listener: TcpListener,
    egress: Arc<Egress>,
    head: Duration,
    drain: Duration,
    stop: impl Future<Output = ()>,
) {
    /// After an error of the system, such as no free file descriptor.
    const PAUSE: Duration = Duration::from_millis(100);

    let open = GracefulShutdown::new();
    let accepting = async {
        loop {
            let Ok((tcp, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // An event must not wait for the next one.
            let _ = tcp.set_nodelay(true);
            let egress = Arc::clone(&egress);
            let service = service_fn(move |request| {
                let egress = Arc::clone(&egress);
                async move { Ok::<_, std::convert::Infallible>(egress.respond(request).await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(head);
            let connection = server.serve_connection(TokioIo::new(tcp), service);
            let connection = open.watch(connection);
            // What the client aborts is in the line of its request.
            tokio::spawn(async move { drop(connection.await) });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    let _ = timeout(drain, open.shutdown()).await;
}

/// Whether a `Host` is one of this machine's loopback addresses, and no name that a page could have resolved to
/// one.
pub(super) fn is_local(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for host in [
            "127.0.0.1:9001",
            "localhost:9001",
            "LOCALHOST",
            "[::1]:80",
            "127.1.2.3",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.org:9001",
            "localhost.example.org",
            "10.0.0.1",
            "127.0.0.1.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
