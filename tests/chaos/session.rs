//! One connection of a client, over any of the protocols.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::integration::hyper::HttpsConnector;
use countersign::integration::quinn;
use countersign::integration::tonic::Channel;
use countersign::{Connector, TlsStream};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::model::{Model, Shown};
use crate::world::{Codec, METHOD, NAME};

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Raw = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) enum Session {
    Http1(http1::SendRequest<Empty<Bytes>>, Ended),
    Http2(http2::SendRequest<Empty<Bytes>>, Ended),
    Grpc(tonic::client::Grpc<Channel>),
    Quic(quinn::Connection<DnsName>),
    /// Plain rustls, which updates its keys before each request.
    Raw(Box<Raw>),
}

/// The end of a connection.
type Ended = watch::Receiver<()>;

fn run<T>(connection: impl Future<Output = T> + Send + 'static) -> Ended {
    let (sender, ended) = watch::channel(());
    tokio::spawn(async move {
        connection.await;
        drop(sender);
    });
    ended
}

/// The answer to a request. hyper rarely leaves one without an answer when its connection ends just then.
async fn unless_ended<T>(
    ended: &mut Ended,
    answer: impl Future<Output = hyper::Result<T>>,
) -> Result<T, Failed> {
    let end = async {
        while ended.changed().await.is_ok() {}
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        answer = answer => Ok(answer?),
        () = end => Err("the connection ended without an answer".into()),
    }
}

/// A port that no other attempt of the last minutes had: the system gives a port again as soon as its connection has
/// ended, which can be before the model has looked at the attempt. It is none of those that the system chooses.
fn next_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000
}

/// Connects over TCP, and has the model expect an outcome.
pub(crate) async fn tcp(
    model: &Model,
    to: SocketAddr,
    what: &'static str,
    shown: Option<&Arc<Shown>>,
) -> std::io::Result<(TcpStream, SocketAddr)> {
    let began = Instant::now();
    let socket = TcpSocket::new_v4()?;
    // From the address of the listener, so that an address with its port is that of one attempt: connections to two
    // listeners may have the same port otherwise.
    while socket.bind((to.ip(), next_port()).into()).is_err() {}
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    let from = tcp.local_addr()?;
    model.attempt(began, from, what, shown);
    Ok((tcp, from))
}

impl Session {
    pub(crate) async fn http1(tls: TlsStream<TcpStream, DnsName>) -> Result<Self, Failed> {
        let (send, connection) = http1::handshake(TokioIo::new(tls)).await?;
        Ok(Self::Http1(send, run(connection)))
    }

    pub(crate) async fn http2(tls: TlsStream<TcpStream, DnsName>) -> Result<Self, Failed> {
        let io = TokioIo::new(tls);
        let (send, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        Ok(Self::Http2(send, run(connection)))
    }

    /// A channel connects with its first call, and again when it must: `from` gets the addresses.
    pub(crate) fn grpc(
        model: &Arc<Model>,
        to: SocketAddr,
        connector: &Connector<DnsName>,
        shown: &Arc<Shown>,
        from: &Arc<Mutex<Vec<SocketAddr>>>,
    ) -> Self {
        let (model, shown, from) = (Arc::clone(model), Arc::clone(shown), Arc::clone(from));
        let transport = tower::service_fn(move |_: http::Uri| {
            let (model, shown, from) = (Arc::clone(&model), Arc::clone(&shown), Arc::clone(&from));
            async move {
                let (tcp, address) = tcp(&model, to, "grpc", Some(&shown)).await?;
                from.lock().unwrap().push(address);
                Ok::<_, std::io::Error>(TokioIo::new(tcp))
            }
        });
        let endpoint = format!("https://{NAME}:{}", to.port()).parse().unwrap();
        let channel = Channel::over(HttpsConnector::over(connector.clone(), transport), endpoint);
        Self::Grpc(tonic::client::Grpc::new(channel))
    }

    pub(crate) async fn raw(
        tcp: TcpStream,
        config: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, Failed> {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        let tls = connector.connect(NAME.try_into().unwrap(), tcp).await?;
        Ok(Self::Raw(Box::new(tls)))
    }

    /// Asks the server for our name.
    pub(crate) async fn ask(&mut self) -> Result<String, Failed> {
        let asked = tokio::time::timeout(Duration::from_secs(20), self.ask_now()).await;
        asked.unwrap_or_else(|_| Err("HANGS: no answer within 20 s".into()))
    }

    async fn ask_now(&mut self) -> Result<String, Failed> {
        let get = || http::Request::get(format!("https://{NAME}/"));
        match self {
            Self::Http1(send, ended) => {
                send.ready().await?;
                let request = get().header("host", NAME).body(Empty::new())?;
                let response = unless_ended(ended, send.send_request(request)).await?;
                text(response).await
            }
            Self::Http2(send, ended) => {
                send.ready().await?;
                let request = get().body(Empty::new())?;
                let response = unless_ended(ended, send.send_request(request)).await?;
                text(response).await
            }
            Self::Grpc(grpc) => {
                grpc.ready().await?;
                let path = http::uri::PathAndQuery::from_static(METHOD);
                let request = tonic::Request::new("who am I?".to_owned());
                let response = grpc.unary(request, path, Codec::default()).await?;
                Ok(response.into_inner())
            }
            Self::Quic(connection) => {
                let (mut send, mut receive) = connection.open_bi().await?;
                send.write_all(b"who am I?").await?;
                send.finish()?;
                let mut name = String::new();
                receive.read_to_string(&mut name).await?;
                Ok(name)
            }
            Self::Raw(tls) => {
                tls.get_mut().1.refresh_traffic_keys()?;
                // What cannot be written any more may have been answered by an alert.
                let request = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
                let written = tls.write_all(request.as_bytes()).await;
                let _ = tls.flush().await;
                let answer = answer(tls).await?;
                written?;
                Ok(answer)
            }
        }
    }
}

async fn text(response: http::Response<hyper::body::Incoming>) -> Result<String, Failed> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// Reads one response of HTTP/1.1.
async fn answer(tls: &mut Raw) -> Result<String, Failed> {
    let mut read = Vec::new();
    loop {
        let said = String::from_utf8_lossy(&read);
        if let Some((head, body)) = said.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.ok_or("no content-length")?.parse::<usize>()?;
            if body.len() >= length {
                return Ok(body.to_owned());
            }
        }
        if tls.read_buf(&mut read).await? == 0 {
            return Err("closed by close_notify".into());
        }
    }
}
