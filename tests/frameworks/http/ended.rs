//! A request of the pooled client ends with its connection, whatever hyper does with it.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::{Client, HttpsConnector};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, TlsStream, policy};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use support::http::{PATIENCE, acceptor, connector, get};
use support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, block, frame};

/// Longer than the time that hyper has to answer.
const LONG: Duration = Duration::from_millis(2500);

/// A server of HTTP/2 whose frames are written by hand.
struct Stub {
    tcp: TcpListener,
    acceptor: Acceptor<DnsName>,
    url: String,
}

impl Stub {
    async fn new() -> (Self, Connector<DnsName>) {
        let ca = TestCa::new("Root");
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", tcp.local_addr().unwrap().port());
        let stub = Self {
            tcp,
            acceptor: acceptor(&ca, policy::allow_any()).build().unwrap(),
            url,
        };
        (stub, connector(&ca, "alice.example", "h2").build().unwrap())
    }

    /// A connection whose client has sent its preface.
    async fn accept(&self, delay: Duration) -> TlsStream<TcpStream, DnsName> {
        let (tcp, _) = self.tcp.accept().await.unwrap();
        sleep(delay).await;
        let mut stream = self.acceptor.accept(tcp).await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream
    }
}

/// Reads until the client's head of this stream, and answers with a status and the start of a body.
async fn answer(stream: &mut TlsStream<TcpStream, DnsName>, id: u32, is_whole: bool) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS && head[5..] == id.to_be_bytes() {
            break;
        }
    }
    let end = if is_whole { END_STREAM } else { 0 };
    let frames = [
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, id, &block(&[(":status", "200")])),
        frame(DATA, end, id, b"part"),
    ];
    stream.write_all(&frames.concat()).await.unwrap();
    stream.flush().await.unwrap();
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs everything. While its gate is closed, the task that passes requests to the first connection waits, so
/// that they remain where hyper loses one now and then.
#[derive(Clone)]
struct Gated {
    tasks: Arc<AtomicUsize>,
    is_open: watch::Sender<bool>,
}

impl Gated {
    fn new(is_open: bool) -> Self {
        Self {
            tasks: Arc::default(),
            is_open: watch::Sender::new(is_open),
        }
    }
}

impl hyper::rt::Executor<Task> for Gated {
    fn execute(&self, mut task: Task) {
        /// The first task runs the connection.
        const REQUESTS: usize = 1;

        if self.tasks.fetch_add(1, Ordering::SeqCst) != REQUESTS {
            tokio::spawn(task);
            return;
        }
        let mut gate = self.is_open.subscribe();
        tokio::spawn(async move {
            let mut closing = gate.clone();
            loop {
                gate.wait_for(|is_open| *is_open).await.unwrap();
                tokio::select! {
                    biased;
                    _ = closing.wait_for(|is_open| !*is_open) => {}
                    () = &mut task => return,
                }
            }
        });
    }
}

fn client(connector: Connector<DnsName>, gated: &Gated) -> Client<DnsName, Empty<Bytes>> {
    let builder = legacy::Client::builder(gated.clone());
    Client::built_by(&builder, HttpsConnector::new(connector))
}

#[tokio::test]
async fn a_request_that_hyper_does_not_answer_ends_with_its_connection() {
    let (stub, alice) = Stub::new().await;
    let gated = Gated::new(false);
    let client = client(alice, &gated);
    let request = get(&stub.url);
    let mut asking = tokio::spawn(async move { client.request(request).await });
    let stream = stub.accept(Duration::ZERO).await;

    // The connection is open.
    assert!(timeout(LONG, &mut asking).await.is_err());
    drop(stream);
    let answer = timeout(PATIENCE, asking).await.expect("it ends").unwrap();
    let error = answer.unwrap_err();
    assert!(!error.is_connect(), "{error:?}");
    let cause = error.source().and_then(Error::source).unwrap();
    assert!(cause.to_string().contains("close"), "{error:?}");
}

/// hyper-util returns a request to its queue if the connection ends before it was sent. That the next
/// connection takes its time is no reason to give the request up.
#[tokio::test]
async fn a_request_that_waits_for_the_next_connection_is_not_lost() {
    let (stub, alice) = Stub::new().await;
    let gated = Gated::new(true);
    let client = client(alice, &gated);
    let url = stub.url.clone();
    let serving = tokio::spawn(async move {
        let mut first = stub.accept(Duration::ZERO).await;
        answer(&mut first, 1, true).await;
        (stub, first)
    });
    let response = client.request(get(&url)).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "part"
    );
    let (stub, first) = serving.await.unwrap();

    gated.is_open.send_replace(false);
    let asking = tokio::spawn(async move { client.request(get(&url)).await });
    sleep(Duration::from_millis(100)).await; // it is on its way to the first connection
    drop(first);
    sleep(Duration::from_millis(100)).await; // whose end is observed
    gated.is_open.send_replace(true);
    let mut second = stub.accept(LONG).await;
    answer(&mut second, 1, true).await;
    let response = timeout(PATIENCE, asking).await.unwrap().unwrap();
    assert_eq!(response.expect("it is sent again").status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_in_progress_end_with_their_connection() {
    let (stub, alice) = Stub::new().await;
    let client = Client::new(alice);
    let url = stub.url.clone();
    let serving = tokio::spawn(async move {
        let mut stream = stub.accept(Duration::ZERO).await;
        answer(&mut stream, 1, false).await;
        (stub, stream)
    });
    // A request's body that never ends, and so no end of the response either.
    let endless = || {
        let frames = tokio_stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>();
        BoxBody::new(StreamBody::new(frames))
    };
    let request = Request::post(&url).body(endless()).unwrap();
    let response = client.request(request).await.unwrap();
    let (stub, stream) = serving.await.unwrap();
    let mut body = response.into_body();
    let part = body.frame().await.unwrap().unwrap();
    assert_eq!(part.into_data().unwrap(), "part");

    let request = Request::post(&url).body(endless()).unwrap();
    let mut asking = tokio::spawn(async move { client.request(request).await });
    assert!(
        timeout(Duration::from_millis(200), &mut asking)
            .await
            .is_err()
    );
    drop((stub, stream));
    let frame = timeout(PATIENCE, body.frame()).await.expect("it ends");
    assert!(
        frame.is_some_and(|frame| frame.is_err()),
        "not a whole body"
    );
    let answer = timeout(PATIENCE, asking).await.expect("it ends").unwrap();
    answer.unwrap_err();
}
