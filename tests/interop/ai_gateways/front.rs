//! `countersign gateway` before an AI gateway and a model, and clients of all three.

use countersign::Connector;
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::Client;
use countersign::testing::TestCa;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use support::example::countersign;
use support::programs::PATIENCE;
use support::running::Server;
use tempfile::TempDir;
use tokio::time::timeout;

/// The gateway runs.
pub(crate) struct Front {
    pub(crate) ca: TestCa,
    pub(crate) server: Server,
    _folder: TempDir,
}

/// A client over mutual TLS.
#[derive(Clone)]
pub(crate) struct Agent {
    client: Client<SpiffeId, Full<Bytes>>,
    port: u16,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Front {
    /// Before the AI gateway and the model at these ports. `host` is where Portkey finds the model.
    pub(crate) async fn start(ai: u16, model: u16, host: u16, rate: &str) -> Self {
        let ca = TestCa::new("Root");
        let folder = tempfile::tempdir().unwrap();
        let own = ca
            .leaf()
            .dns("localhost")
            .uri("spiffe://example.org/gateway")
            .issue();
        let config = include_str!("gateway.toml")
            .replace("MODEL", &model.to_string())
            .replace("AI\"", &format!("{ai}\""))
            .replace("HOST", &host.to_string())
            .replace("RATE", rate);
        for (name, text) in [
            ("ca.crt", ca.pem()),
            ("gateway.crt", own.chain_pem()),
            ("gateway.key", own.key_pem()),
            ("provider.key", "Bearer sk-provider\n".into()),
            ("gateway.toml", config),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut gateway = countersign("gateway");
        gateway
            .arg("--config")
            .arg(folder.path().join("gateway.toml"));
        Self {
            server: Server::spawn(gateway).await,
            ca,
            _folder: folder,
        }
    }

    pub(crate) fn agent(&self, name: &str, alpn: &str) -> Agent {
        let id = format!("spiffe://example.org/agents/{name}");
        let connector = Connector::builder()
            .credentials(self.ca.leaf().uri(&id).issue().credentials())
            .trust(self.ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(countersign::policy::exact(["spiffe://example.org/gateway"
                .parse()
                .unwrap()]))
            .server_names(ServerNameVerification::ByPolicy)
            .alpn([alpn])
            .build()
            .unwrap();
        Agent {
            client: Client::new(connector),
            port: self.server.port,
        }
    }

    /// The next line of a request.
    pub(crate) async fn line(&mut self) -> Value {
        let line = self.server.logged().await;
        eprintln!("{line}");
        assert_eq!(line["event"], "request");
        line
    }
}

impl Agent {
    pub(crate) async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let url = format!("https://localhost:{}{path}", self.port);
        let request = request(&url, headers, body);
        let response = timeout(PATIENCE, self.client.request(request)).await;
        response.unwrap().unwrap()
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Got {
        got(self.open(path, headers, body).await).await
    }
}

/// A client in the clear.
#[derive(Clone)]
pub(crate) struct Plain(legacy::Client<HttpConnector, Full<Bytes>>);

impl Plain {
    pub(crate) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        Self(legacy::Client::builder(TokioExecutor::new()).build(tcp))
    }

    pub(crate) async fn open(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let request = request(url, headers, body);
        timeout(PATIENCE, self.0.request(request))
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Got {
        got(self.open(url, headers, body).await).await
    }
}

fn request(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

async fn got(response: Response<Incoming>) -> Got {
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
    Got {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    }
}

/// The next data of a stream of events, or its end.
pub(crate) async fn next(body: &mut Incoming) -> Option<String> {
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.expect("in time")?;
        let data = frame.unwrap().into_data().expect("no trailers");
        // HTTP/2 ends a stream by an empty one.
        if !data.is_empty() {
            return Some(String::from_utf8(data.to_vec()).unwrap());
        }
    }
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// A request to a model.
pub(crate) fn chat(model: &str, message: &str, stream: bool) -> String {
    let mut body = json!({
        "model": model, "messages": [{ "role": "user", "content": message }]
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    body.to_string()
}
