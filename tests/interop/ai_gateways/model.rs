//! A model: it answers like OpenAI's API, in the clear or over mutual TLS, and shows what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::testing::TestCa;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::http::{acceptor, name, serve};
use support::programs::PATIENCE;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The requests that wait for events, by the text of their message.
    streams: Arc<Mutex<HashMap<String, mpsc::Sender<Bytes>>>>,
}

impl Model {
    /// On a loopback address, in the clear: the port.
    pub(crate) async fn plain(&self) -> u16 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let model = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = tcp.accept().await {
                connection.set_nodelay(true).unwrap();
                let model = model.clone();
                let service = service_fn(move |request| {
                    let model = model.clone();
                    async move { Ok::<_, Infallible>(model.answer(request).await) }
                });
                tokio::spawn(
                    http1::Builder::new().serve_connection(TokioIo::new(connection), service),
                );
            }
        });
        port
    }

    /// Over mutual TLS, for the client of this name: the port.
    pub(crate) async fn mtls(&self, ca: &TestCa, client: &str) -> u16 {
        let policy = countersign::policy::exact([name(client)]);
        let acceptor = acceptor(ca, policy).build().unwrap();
        let model = self.clone();
        let service = tower::service_fn(move |request| {
            let model = model.clone();
            async move { Ok::<_, Infallible>(model.answer(request).await) }
        });
        serve(&acceptor, service).await.address.port()
    }

    /// The requests that arrived since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The only one.
    pub(crate) fn asked_once(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    /// The sender of events to the request with this message.
    pub(crate) async fn stream(&self, message: &str) -> Events {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(sender) = self.streams.lock().unwrap().remove(message) {
                return Events(sender);
            }
            assert!(Instant::now() < deadline, "no request waits for {message}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Opens a stream, whose first event is `start`: AI gateways send the head with the first event.
    pub(crate) async fn started(
        &self,
        message: &str,
        response: impl Future<Output = Response<Incoming>>,
    ) -> (Events, Incoming) {
        let feed = async {
            let events = self.stream(message).await;
            events.send("start").await;
            events
        };
        let (response, events) = tokio::join!(response, feed);
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        (events, response.into_body())
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data: Send, Error: std::fmt::Debug>,
    {
        let (parts, body) = request.into_parts();
        if parts.method == hyper::Method::GET {
            // LiteLLM asks for the list of models at its start.
            let mut response = Response::new(Full::default().boxed_unsync());
            *response.status_mut() = hyper::StatusCode::NOT_FOUND;
            return response;
        }
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::from_static(b"broken off"),
        };
        self.asked.lock().unwrap().push(Asked {
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            body: body.clone(),
        });
        if !parts.uri.path().ends_with("/chat/completions") {
            // The same bytes.
            let mut response = Response::new(Full::new(body).boxed_unsync());
            if let Some(kind) = parts.headers.get("content-type") {
                response.headers_mut().insert("content-type", kind.clone());
            }
            return response;
        }
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        if asked["stream"] == true {
            let (sender, events) = mpsc::channel(1);
            let message = asked["messages"][0]["content"].as_str().unwrap();
            self.streams
                .lock()
                .unwrap()
                .insert(message.to_owned(), sender);
            let events = tokio_stream::wrappers::ReceiverStream::new(events);
            let frames = events.map(|event| Ok::<_, Infallible>(Frame::data(event)));
            return Response::builder()
                .header("content-type", "text/event-stream")
                .body(http_body_util::BodyExt::boxed_unsync(StreamBody::new(
                    frames,
                )))
                .unwrap();
        }
        let answer = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"],
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "\"usage\":{\"prompt_tokens\":99}" }
            }],
            "usage": usage(),
        });
        Response::builder()
            .header("content-type", "application/json")
            .body(Full::from(answer.to_string()).boxed_unsync())
            .unwrap()
    }
}

/// What every answer reports.
fn usage() -> Value {
    json!({ "prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42 })
}

/// A stream of events.
pub(crate) struct Events(mpsc::Sender<Bytes>);

impl Events {
    /// A piece of text.
    pub(crate) async fn send(&self, text: &str) {
        let choices = json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]);
        self.chunk(json!({ "choices": choices })).await;
    }

    /// The last events, with the usage.
    pub(crate) async fn finish(self) {
        let choices = json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]);
        self.chunk(json!({ "choices": choices })).await;
        self.chunk(json!({ "choices": [], "usage": usage() })).await;
        self.raw("data: [DONE]\n\n").await;
    }

    async fn chunk(&self, more: Value) {
        let mut chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"
        });
        let fields = more.as_object().unwrap().clone();
        chunk.as_object_mut().unwrap().extend(fields);
        self.raw(&format!("data: {chunk}\n\n")).await;
    }

    pub(crate) async fn raw(&self, event: &str) {
        self.0.send(Bytes::from(event.to_owned())).await.unwrap();
    }
}
