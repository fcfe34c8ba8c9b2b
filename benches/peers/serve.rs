//! The servers of this repository, each in a process of its own: `peers serve KIND FOLDER`.
//!
//! All answer `GET` with a few bytes and keep the connection open, unless the request has `Connection:
//! close`. Those without hyper speak three more commands, which they answer with `+` first: `SINK n` reads n
//! bytes and writes `+`, `SEND n` writes n bytes, and `PING` echoes.

use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::{Acceptor, Credentials, Listener, Peer, TrustStore, policy};
use countersign_benches::no_verify::NoVerify;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::BoxError;
use crate::fixture::CLIENT_NAME;

const BODY: &str = "ok\n";
const KEEP_ALIVE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
/// The longest head of a request: the proxies add the client's certificate.
const MAX_HEAD: usize = 16 * 1024;
const BULK: usize = 64 * 1024;

/// Serves until standard input ends. As many threads as CPUs that the process may use.
pub fn main(kind: &str, folder: &Path) -> Result<(), BoxError> {
    // Without the bench, the server has no purpose.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new()?.block_on(serve(kind, folder))
}

async fn serve(kind: &str, folder: &Path) -> Result<(), BoxError> {
    if let "listener" | "hyper" | "axum" = kind {
        let listener = Listener::bind(acceptor(folder)?, "127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr().ok_or("bound")?);
        return serve_listener(kind, listener).await;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", tcp.local_addr()?);
    std::io::stdout().flush()?;
    match kind {
        "plain" => {
            each(tcp, answer).await?;
        }
        "acceptor" => {
            let acceptor = Arc::new(acceptor(folder)?);
            let serve = move |tcp| {
                let acceptor = Arc::clone(&acceptor);
                async move {
                    let stream = acceptor.accept(tcp).await.map_err(std::io::Error::other)?;
                    answer(stream).await
                }
            };
            each(tcp, serve).await?;
        }
        "raw" | "floor" => {
            let acceptor = raw(folder, kind == "floor")?;
            let serve = move |tcp| {
                let accepting = acceptor.accept(tcp);
                async move { answer(accepting.await?).await }
            };
            each(tcp, serve).await?;
        }
        "raw-hyper" => {
            let acceptor = raw(folder, false)?;
            let serve = move |tcp| {
                let accepting = acceptor.accept(tcp);
                async move { raw_hyper(accepting.await?).await }
            };
            each(tcp, serve).await?;
        }
        _ => return Err(format!("no such server: {kind}").into()),
    }
    Ok(())
}

async fn serve_listener(
    kind: &str,
    mut listener: Listener<TcpStream, DnsName>,
) -> Result<(), BoxError> {
    std::io::stdout().flush()?;
    match kind {
        "hyper" => {
            let service = tower::service_fn(async |_: Request<_>| respond());
            Server::new().serve(listener, service).await;
        }
        "axum" => {
            let app = axum::Router::new().route("/", get(async || BODY));
            let app = app.into_make_service_with_connect_info::<Peer<DnsName>>();
            axum::serve(listener, app).await?;
        }
        _ => {
            while let Some(stream) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        }
    }
    Ok(())
}

/// Serves each connection in a task of its own.
async fn each<F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> Result<Infallible, BoxError>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(serve(tcp));
    }
}

fn acceptor(folder: &Path) -> Result<Acceptor<DnsName>, BoxError> {
    let acceptor = Acceptor::builder()
        .credentials(Credentials::from_pem_files(
            folder.join("server.crt"),
            folder.join("server.key"),
        )?)
        .trust(TrustStore::from_pem_file(folder.join("ca.crt"))?)
        .identify(DnsName::extractor())
        .authorize(policy::exact([CLIENT_NAME.parse()?]))
        .build()?;
    Ok(acceptor)
}

/// rustls with its own verifier and its defaults, but as many sessions as countersign keeps; or with one that
/// knows one client, and one ticket for each connection as countersign has it.
fn raw(folder: &Path, knows_client: bool) -> Result<TlsAcceptor, BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(
        folder.join("ca.crt"),
    )?)?)?;
    let chain = CertificateDer::pem_file_iter(folder.join("server.crt"))?;
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
    let verifier: Arc<dyn ClientCertVerifier> = match knows_client {
        true => {
            let client = CertificateDer::from_pem_file(folder.join("client.crt"))?;
            Arc::new(NoVerify::except(verifier, client))
        }
        false => verifier,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
    config.session_storage = ServerSessionMemoryCache::new(4096);
    if knows_client {
        config.send_tls13_tickets = 1;
    }
    Ok(Arc::new(config).into())
}

async fn raw_hyper(stream: tokio_rustls::server::TlsStream<TcpStream>) -> std::io::Result<()> {
    let service = service_fn(async |_: Request<Incoming>| respond());
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new());
    let connection = server.serve_connection(TokioIo::new(stream), service);
    connection.await.map_err(std::io::Error::other)
}

fn respond() -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(
        BODY.as_bytes(),
    ))))
}

async fn answer<S>(mut stream: S) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut head = Vec::with_capacity(256);
    loop {
        head.clear();
        if !read_head(&mut stream, &mut head).await? {
            return stream.shutdown().await;
        }
        if !head.starts_with(b"GET ") {
            // In a box, so that an idle connection does not have its buffers.
            return Box::pin(command(stream, head)).await;
        }
        let closes = head
            .split(|byte| *byte == b'\n')
            .any(|line| line.trim_ascii().eq_ignore_ascii_case(b"connection: close"));
        stream
            .write_all(if closes { CLOSE } else { KEEP_ALIVE })
            .await?;
        stream.flush().await?;
        if closes {
            return stream.shutdown().await;
        }
    }
}

/// Reads a request's head or the line of a command; `false` if the client closes.
async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    head: &mut Vec<u8>,
) -> std::io::Result<bool> {
    while head.len() < MAX_HEAD {
        if stream.read_buf(head).await? == 0 {
            return Ok(false);
        }
        let end: &[u8] = match head.starts_with(b"GET ") {
            true => b"\r\n\r\n",
            false => b"\n",
        };
        if head.ends_with(end) {
            return Ok(true);
        }
    }
    Err(std::io::Error::other("too long"))
}

async fn command<S>(mut stream: S, head: Vec<u8>) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = String::from_utf8_lossy(&head);
    let (name, size) = line
        .trim()
        .split_once(' ')
        .unwrap_or_else(|| (line.trim(), "0"));
    let mut left: usize = size.parse().map_err(std::io::Error::other)?;
    let mut buffer = vec![0; BULK];
    stream.write_all(b"+").await?;
    stream.flush().await?;
    match name {
        "SINK" => {
            while left > 0 {
                match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    count => left = left.saturating_sub(count),
                }
            }
            stream.write_all(b"+").await?;
        }
        "SEND" => {
            while left > 0 {
                let count = left.min(BULK);
                stream.write_all(&buffer[..count]).await?;
                left -= count;
            }
        }
        "PING" => loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            stream.write_all(&buffer[..count]).await?;
            stream.flush().await?;
        },
        _ => return Err(std::io::Error::other("no such command")),
    }
    stream.flush().await?;
    stream.shutdown().await
}
