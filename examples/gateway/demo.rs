//! The gateway before a server that answers in events, over 127.0.0.1, with certificates made here.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use countersign::Connector;
use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::policy;
use countersign::testing::TestCa;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;

use crate::proxy::{Audit, BoxError, Config, Gateway};

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

pub(crate) async fn run() -> Result<(), BoxError> {
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
        let known = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        println!(
            "   the audit has:  {} by {}, reason: {}",
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
    tokio::spawn(async move { axum::serve(tcp, model()).await });

    println!("an assistant asks the model");
    let assistant = client(&ca, "a.assistants.example")?;
    let response = ask(&assistant, port, Method::POST, "/v1/chat").await?;
    let status = response.status().as_u16();
    println!(
        "   it sees:        {status}, and the words as they come: {}",
        words(response).await?
    );

    println!("it says who it is by itself");
    let response = ask(&assistant, port, Method::GET, "/v1/caller").await?;
    let certificates = text(response).await?;
    let is_own = !certificates.contains("forged") && certificates.starts_with("1 :");
    println!("   the model got:  Client-Cert once, and it is the assistant's: {is_own}");

    println!("it asks too often");
    let refused = loop {
        let response = ask(&assistant, port, Method::GET, "/v1/caller").await?;
        if response.status() != 200 {
            break response;
        }
    };
    let retry_after = refused.headers().get("retry-after");
    println!(
        "   it sees:        {}, Retry-After: {}",
        refused.status().as_u16(),
        retry_after.ok_or("no Retry-After")?.to_str()?
    );

    println!("support asks the model");
    let response = ask(
        &client(&ca, "support.example")?,
        port,
        Method::POST,
        "/v1/chat",
    )
    .await?;
    println!("   it sees:        {}", response.status().as_u16());

    println!("somebody else connects");
    match ask(&client(&ca, "eve.example")?, port, Method::POST, "/v1/chat").await {
        Ok(response) => return Err(format!("{} for somebody else", response.status()).into()),
        Err(_) => println!("   it sees:        no connection"),
    }
    drop(assistant);
    handle.shutdown(Duration::from_secs(1)).await;
    serving.abort();
    Ok(())
}

/// Answers word by word, and tells who asked.
fn model() -> Router {
    let chat = async || {
        let words = tokio_stream::iter(["one", "two", "three"]).then(async |word| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>(format!("data: {word}\n\n"))
        });
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(words))
            .unwrap_or_default()
    };
    let caller = async |headers: HeaderMap| {
        let certificates = headers.get_all("client-cert");
        let all: Vec<_> = certificates
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        format!("{} {}", all.len(), all.join(" "))
    };
    Router::new()
        .route("/v1/chat", post(chat))
        .route("/v1/caller", get(caller))
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

/// The words of events, each of which must come by itself.
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
