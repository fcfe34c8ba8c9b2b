//! The gateway before a server that answers in events, over 127.0.0.1, with certificates made here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::Connector;
use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::policy;
use countersign::testing::TestCa;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::proxy::{Audit, BoxError, Config, Gateway};
use crate::terminal::Failure;

const CONFIG: &str = r#"
listen = "127.0.0.1:0"

[tls]
cert = "gateway.crt"
key = "gateway.key"
trust = ["ca.crt"]
identity = "dns"
allow = ["*.assistants.example", "support.example"]

[limits]
rate = { per_minute = 60, burst = 3 }

[forward]
client_cert = true

[upstreams.model]
url = "http://MODEL"

[[routes]]
name = "chat"
who = ["*.assistants.example"]
methods = ["POST"]
path = "/v1/chat"
upstream = "model"

[[routes]]
name = "caller"
who = ["*.assistants.example"]
methods = ["GET"]
path = "/v1/caller"
upstream = "model"
"#;

type Calls = Client<DnsName, Empty<Bytes>>;

pub(super) async fn run() -> Result<(), Failure> {
    show().await.map_err(|error| Failure::of(&*error))
}

async fn show() -> Result<(), BoxError> {
    let ca = TestCa::new("Example CA");
    let folder = tempfile::tempdir()?;
    let own = ca.leaf().dns("localhost").issue();
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    for (name, text) in [
        ("ca.crt", ca.pem()),
        ("gateway.crt", own.chain_pem()),
        ("gateway.key", own.key_pem()),
        (
            "gateway.toml",
            CONFIG.replace("MODEL", &tcp.local_addr()?.to_string()),
        ),
    ] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let audit = Audit::new(|line| {
        let line: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let known = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        println!(
            "   audit:     {} by {}, reason: {}",
            known("event"),
            known("identity"),
            known("reason")
        );
    });
    let config = Config::from_file(&folder.path().join("gateway.toml"))?;
    let gateway = Gateway::bind(&config, audit).await?;
    let port = gateway.address.port();
    let handle = gateway.handle();
    let serving = tokio::spawn(gateway.serve(std::future::pending()));
    tokio::spawn(serve_model(tcp));

    println!("An assistant calls the model.");
    let assistant = client(&ca, "a.assistants.example")?;
    let response = ask(&assistant, port, Method::POST, "/v1/chat").await?;
    let status = response.status().as_u16();
    println!(
        "   response:  {status}, in separate events: {}",
        words(response).await?
    );

    println!("It sends a forged Client-Cert header.");
    let response = ask(&assistant, port, Method::GET, "/v1/caller").await?;
    let certificates = text(response).await?;
    let is_own = !certificates.contains("forged") && certificates.starts_with("1 :");
    println!("   upstream:  one Client-Cert header with the assistant's certificate: {is_own}");

    println!("It exceeds its rate limit.");
    let refused = loop {
        let response = ask(&assistant, port, Method::GET, "/v1/caller").await?;
        if response.status() != 200 {
            break response;
        }
    };
    let retry_after = refused.headers().get("retry-after");
    println!(
        "   response:  {}, Retry-After: {}",
        refused.status().as_u16(),
        retry_after.ok_or("no Retry-After")?.to_str()?
    );

    println!("Support calls the model.");
    let support = client(&ca, "support.example")?;
    let response = ask(&support, port, Method::POST, "/v1/chat").await?;
    println!("   response:  {}", response.status().as_u16());

    println!("A client that is not allowed connects.");
    match ask(&client(&ca, "eve.example")?, port, Method::POST, "/v1/chat").await {
        Ok(response) => return Err(format!("{} for a denied client", response.status()).into()),
        Err(_) => println!("   response:  no connection"),
    }
    drop(assistant);
    handle.shutdown(Duration::from_secs(1)).await;
    serving.abort();
    Ok(())
}

/// The upstream: `/v1/chat` answers in events, and any other path returns the `Client-Cert` headers.
async fn serve_model(tcp: TcpListener) {
    while let Ok((connection, _)) = tcp.accept().await {
        tokio::spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(match request.uri().path() {
                    "/v1/chat" => Response::builder()
                        .header("content-type", "text/event-stream")
                        .body(Events::start().boxed())
                        .unwrap_or_default(),
                    _ => Response::new(Full::from(client_certs(request.headers())).boxed()),
                })
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // The gateway records what the upstream aborts.
            let _ = server
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

fn client_certs(headers: &HeaderMap) -> String {
    let values = headers.get_all("client-cert").iter();
    let all: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    format!("{} {}", all.len(), all.join(" "))
}

/// Three events with a pause before each.
struct Events(mpsc::Receiver<&'static str>);

impl Events {
    fn start() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for word in ["one", "two", "three"] {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = sender.send(word).await;
            }
        });
        Self(receiver)
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = |word| Ok(Frame::data(format!("data: {word}\n\n").into()));
        self.0.poll_recv(cx).map(|word| word.map(event))
    }
}

fn client(ca: &TestCa, name: &str) -> Result<Calls, BoxError> {
    Ok(Client::new(
        Connector::builder()
            .credentials(ca.leaf().dns(name).issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::exact(["localhost".parse()?]))
            .alpn(["h2"])
            .build()?,
    ))
}

async fn ask(
    client: &Calls,
    port: u16,
    method: Method,
    path: &str,
) -> Result<Response<Incoming>, BoxError> {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost:{port}{path}"))
        .header("client-cert", ":forged:")
        .header("client_cert", ":forged:");
    Ok(client.request(request.body(Empty::new())?).await?)
}

/// The words of the events, each of which must arrive in its own frame.
async fn words(response: Response<Incoming>) -> Result<String, BoxError> {
    let mut body = response.into_body();
    let mut words = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().map_err(|_| "trailers")?;
        if data.is_empty() {
            continue; // HTTP/2's end of stream
        }
        let event = String::from_utf8(data.to_vec())?;
        let word = event
            .strip_prefix("data: ")
            .and_then(|event| event.strip_suffix("\n\n"));
        words.push(word.ok_or("not one event")?.to_owned());
    }
    Ok(words.join(" "))
}

async fn text(response: Response<Incoming>) -> Result<String, BoxError> {
    let body = response.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}
