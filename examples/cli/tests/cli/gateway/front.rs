//! A gateway in the test's own process, and clients of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::Connector;
use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::reload;
use countersign::testing::{Issued, TestCa};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::behind::Behind;
use super::support::{PATIENCE, connector, text};
use countersign_cli::gateway::proxy::{Audit, Config, Gateway};
use countersign_cli::options::Identity;

/// The gateway's files, its upstream, and its clients.
pub(crate) struct Front {
    pub(crate) ca: TestCa,
    pub(crate) behind: Behind,
    pub(crate) folder: TempDir,
}

/// It runs.
pub(crate) struct Running {
    pub(crate) port: u16,
    pub(crate) acceptor: countersign::Acceptor<Identity>,
    pub(crate) reloads: Vec<reload::Handle>,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Front {
    pub(crate) fn new() -> Self {
        let front = Self {
            ca: TestCa::new("Root"),
            behind: Behind::default(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(front.path("ca.crt"), front.ca.pem()).unwrap();
        front.renew_server();
        front.renew_client();
        front
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another certificate for the gateway's own clients.
    pub(crate) fn renew_server(&self) -> Issued {
        self.write("server", self.ca.leaf().dns("localhost").issue())
    }

    /// Another certificate for the server behind.
    pub(crate) fn renew_client(&self) -> Issued {
        self.write("client", self.ca.leaf().dns("gateway.example").issue())
    }

    fn write(&self, name: &str, issued: Issued) -> Issued {
        std::fs::write(self.path(&format!("{name}.crt")), issued.chain_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), issued.key_pem()).unwrap();
        issued
    }

    /// The configuration's file: `alice.example` may do everything: `/v1/` leads to the server behind in the clear, `/mtls/` and `/h2/` to the
    /// one that speaks TLS. `bob.example` may read `/v1/`, carol nothing; eve may not connect.
    pub(crate) async fn config(&self, more: &str) -> PathBuf {
        let plain = self.behind.plain().await;
        let (mtls, _) = self.behind.mtls(&self.ca).await;
        let port = mtls.port();
        let text = format!(
            r#"
            listen = "127.0.0.1:0"

            [tls]
            cert = "server.crt"
            key = "server.key"
            trust = ["ca.crt"]
            identity = "dns"
            allow = ["alice.example", "bob.example", "carol.example"]

            [forward]
            client_cert = true
            client_cert_chain = true
            xfcc = ["hash", "dns"]
            strip = ["x-user"]

            [upstreams.plain]
            url = "http://{plain}"

            [upstreams.mtls]
            url = "https://localhost:{port}"
            [upstreams.mtls.tls]
            cert = "client.crt"
            key = "client.key"
            trust = ["ca.crt"]
            identity = "dns"
            allow = ["localhost"]

            [upstreams.h2]
            url = "https://localhost:{port}"
            http2 = true
            tls = {{ cert = "client.crt", key = "client.key", trust = ["ca.crt"], identity = "dns", allow = ["localhost"] }}

            [[routes]]
            name = "write"
            who = ["alice.example"]
            methods = ["POST", "PUT"]
            path = "/v1/{{*rest}}"
            upstream = "plain"

            [[routes]]
            name = "read"
            who = ["alice.example", "bob.example"]
            methods = ["GET", "HEAD"]
            path = "/v1/{{*rest}}"
            upstream = "plain"

            [[routes]]
            name = "mtls"
            who = ["alice.example"]
            methods = ["GET", "POST"]
            path = "/mtls/{{*rest}}"
            upstream = "mtls"

            [[routes]]
            name = "h2"
            who = ["alice.example"]
            methods = ["GET", "POST"]
            path = "/h2/{{*rest}}"
            upstream = "h2"

            {more}
            "#
        );
        let path = self.path("gateway.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs it, with more configuration.
    pub(crate) async fn run(&self, more: &str) -> Running {
        self.run_on(&Handle::current(), more).await
    }

    /// The same, with its tasks in another runtime than those of the upstream.
    pub(crate) async fn run_on(&self, runtime: &Handle, more: &str) -> Running {
        let config = Config::from_file(&self.config(more).await).unwrap();
        let running = runtime.spawn(async move {
            let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
            let kept = Arc::clone(&lines);
            let audit = Audit::new(move |line| {
                let line = serde_json::from_slice(line).unwrap();
                kept.lock().unwrap().push(line);
            });
            let gateway = Gateway::bind(&config, audit).await.unwrap();
            let running = Running {
                port: gateway.address.port(),
                acceptor: gateway.acceptor.clone(),
                reloads: gateway.reloads(),
                lines,
            };
            tokio::spawn(gateway.serve(std::future::pending()));
            running
        });
        running.await.unwrap()
    }

    pub(crate) fn connector(&self, own: &str, alpn: &str) -> Connector<DnsName> {
        connector(&self.ca, own, alpn).build().unwrap()
    }

    /// A client that has one connection, or as many as it needs with HTTP/1.1.
    pub(crate) fn client<B>(&self, own: &str, alpn: &str) -> Client<DnsName, B>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Client::new(self.connector(own, alpn))
    }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> Request<Empty<Bytes>> {
        Request::get(self.url(path)).body(Empty::new()).unwrap()
    }

    /// The lines of the audit, when there are so many.
    pub(crate) async fn lines(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines.lock().unwrap().clone();
            if lines.len() >= count {
                assert_eq!(lines.len(), count, "{lines:?}");
                return lines;
            }
            assert!(Instant::now() < deadline, "{count} lines: {lines:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The one line that there is.
    pub(crate) async fn line(&self) -> Value {
        self.lines(1).await.remove(0)
    }
}

/// What arrived at the server behind.
pub(crate) async fn echoed(response: Response<Incoming>) -> Value {
    assert_eq!(response.status(), 200);
    let said = timeout(PATIENCE, text(response)).await.unwrap();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The values of a header that arrived.
pub(crate) fn header<'v>(echoed: &'v Value, name: &str) -> Vec<&'v str> {
    let headers = echoed["headers"].as_array().unwrap();
    let named = headers.iter().filter(|pair| pair[0] == name);
    named.map(|pair| pair[1].as_str().unwrap()).collect()
}

/// The next event of a response, which must come as one frame, or its end.
pub(crate) async fn next_event(body: &mut Incoming) -> Option<Result<String, hyper::Error>> {
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.expect("in time")?;
        let data = match frame {
            Err(error) => return Some(Err(error)),
            Ok(frame) => frame.into_data().expect("no trailers"),
        };
        // HTTP/2 ends a stream by an empty one.
        if !data.is_empty() {
            return Some(Ok(String::from_utf8(data.to_vec()).unwrap()));
        }
    }
}
