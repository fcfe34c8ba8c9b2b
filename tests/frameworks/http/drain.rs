//! Connections that live while the rules change, and come to their end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use countersign::identity::DnsName;
use countersign::integration::hyper::{Client, RequestBody};
use countersign::testing::TestCa;
use countersign::{DrainSignal, Peer, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Bytes, Frame};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use support::http::{
    ALPN, PATIENCE, WhoAmI, acceptor, connector, deny_all, get, is_access_denied, refused_in,
    serve, text,
};

/// A body whose pieces come when they come.
pub(crate) struct Pieces(mpsc::UnboundedReceiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A body that has begun, and how it goes on.
pub(crate) fn slow_pieces() -> (mpsc::UnboundedSender<Bytes>, Pieces) {
    let (sender, pieces) = mpsc::unbounded_channel();
    sender.send("begun ".into()).unwrap();
    (sender, Pieces(pieces))
}

/// A service whose answers begin at once, and go on when the test says so.
fn slowly() -> (
    impl tower_service::Service<
        Request<RequestBody>,
        Response = Response<Pieces>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
    mpsc::UnboundedReceiver<mpsc::UnboundedSender<Bytes>>,
) {
    let (asked, answers) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |_: Request<RequestBody>| {
        let (sender, pieces) = slow_pieces();
        asked.send(sender).unwrap();
        async { Ok(Response::new(pieces)) }
    });
    (service, answers)
}

async fn next_piece<B>(body: &mut B) -> Option<Result<Bytes, B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.expect("in time")?;
        let piece = frame.map(|frame| frame.into_data().expect("data"));
        // HTTP/2 ends with a frame without data.
        if !matches!(&piece, Ok(bytes) if bytes.is_empty()) {
            return Some(piece);
        }
    }
}

#[tokio::test]
async fn what_is_under_way_finishes_when_the_listener_shuts_down() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (service, mut answers) = slowly();
        let server = serve(&acceptor, service).await;
        let client = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let url = server.url("/");
        let response = client.request(get(&url)).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(next_piece(&mut body).await.unwrap().unwrap(), "begun ");
        let answer = answers.recv().await.unwrap();

        let handle = server.handle.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown(PATIENCE).await });
        // After the notice no new client is admitted.
        while acceptor.control().connections()[0].close_reason().is_none() {
            tokio::task::yield_now().await;
        }
        answer.send("finished".into()).unwrap();
        drop(answer);
        assert_eq!(next_piece(&mut body).await.unwrap().unwrap(), "finished");
        let end = next_piece(&mut body).await;
        assert!(end.is_none(), "{alpn}: {end:?}");
        timeout(PATIENCE, shutdown).await.unwrap().unwrap();
        timeout(PATIENCE, server.task).await.unwrap().unwrap();
        assert!(
            client.request(get(&url)).await.is_err(),
            "no listener is left"
        );
    }
}

/// GOAWAY with NO_ERROR ends a client's connection without an error; anything else does not.
struct NoWaker;

impl Wake for NoWaker {
    fn wake(self: Arc<Self>) {}
}

/// A handler that has waited for the end of its connection leaves nothing behind.
#[tokio::test]
async fn requests_leave_no_wakers() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let waits = Arc::new(NoWaker);
        let waker = Arc::new(Waker::from(Arc::clone(&waits))); // one, whatever is cloned
        let held = Arc::strong_count(&waits);
        let service = tower::service_fn(move |mut request: Request<RequestBody>| {
            let draining = request.extensions_mut().get_mut::<DrainSignal>().unwrap();
            let polled = Pin::new(draining).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            async { Ok(Response::new(Empty::<Bytes>::new())) }
        });
        let server = serve(&acceptor, service).await;
        let client = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        for _ in 0..50 {
            let response = client.request(get(&server.url("/"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
        assert_eq!(acceptor.control().connections().len(), 1);
        // That of the last request may still be dropped.
        let start = std::time::Instant::now();
        while Arc::strong_count(&waits) > held && start.elapsed() < PATIENCE {
            tokio::task::yield_now().await;
        }
        assert_eq!(Arc::strong_count(&waits), held);
    }
}

#[tokio::test]
async fn http2_gets_goaway() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let alice = connector(&ca, "alice.example", "h2").build().unwrap();
    let stream = alice.connect("localhost", tcp).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let response = sender.send_request(get(&server.url("/"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);

    server.handle.shutdown(PATIENCE).await;
    let ended = timeout(PATIENCE, connection).await.unwrap().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    let refused = sender.send_request(get(&server.url("/"))).await;
    assert!(refused.is_err(), "after GOAWAY there is no request");
}

#[tokio::test]
async fn a_client_that_is_denied_now_is_cut_in_the_middle_of_an_answer() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (service, mut answers) = slowly();
        let server = serve(&acceptor, service).await;
        let client = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let response = client.request(get(&server.url("/"))).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(next_piece(&mut body).await.unwrap().unwrap(), "begun ");
        let answer = answers.recv().await.unwrap();

        acceptor.control().set_policy(deny_all);
        let error = next_piece(&mut body).await.unwrap().unwrap_err();
        assert!(is_access_denied(&error), "{alpn}: {error:?}");
        timeout(PATIENCE, answer.closed()).await.unwrap();
        let error = client.request(get(&server.url("/"))).await.unwrap_err();
        assert!(is_access_denied(&error), "{error:?}");
        // And is welcome again when the policy says so.
        acceptor.control().set_policy(policy::allow_any());
        client.request(get(&server.url("/"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_denied_now_is_cut_in_the_middle_of_its_answer() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (service, mut answers) = slowly();
        let server = serve(&acceptor, service).await;
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        let client = Client::new(alice.clone());
        let response = client.request(get(&server.url("/"))).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(next_piece(&mut body).await.unwrap().unwrap(), "begun ");
        let answer = answers.recv().await.unwrap();

        alice.control().set_policy(deny_all);
        let cut = next_piece(&mut body).await.unwrap();
        assert!(cut.is_err(), "{alpn}");
        timeout(PATIENCE, answer.closed()).await.unwrap();
        let error = client.request(get(&server.url("/"))).await.unwrap_err();
        assert_eq!(refused_in(&error), Some("denied"));
    }
}

/// Requests that were sent in one go are not all served because the first was.
#[tokio::test]
async fn what_waits_behind_a_request_is_not_served_after_a_cut() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (service, mut answers) = slowly();
    let server = serve(&acceptor, service).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    let mut stream = alice.connect("localhost", tcp).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream
        .write_all(request.repeat(3).as_bytes())
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let first = timeout(PATIENCE, answers.recv()).await.unwrap().unwrap();
    acceptor.control().set_policy(deny_all);
    drop(first); // its body is complete
    // The service is dropped with the connection, and was not asked again.
    server.handle.shutdown(PATIENCE).await;
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(timeout(PATIENCE, answers.recv()).await.unwrap().is_none());
}

/// A handler that would go on forever sees the notice.
#[tokio::test]
async fn a_handler_can_watch_for_the_end() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = tower::service_fn(|request: Request<RequestBody>| {
        let draining = request.extensions().get::<DrainSignal>().unwrap().clone();
        let (sender, pieces) = slow_pieces();
        tokio::spawn(async move {
            let why = draining.await;
            sender.send(why.reason().into()).unwrap();
        });
        async { Ok::<_, Infallible>(Response::new(pieces)) }
    });
    let server = serve(&acceptor, service).await;
    let client = Client::new(connector(&ca, "alice.example", "h2").build().unwrap());
    let response = client.request(get(&server.url("/"))).await.unwrap();
    let (_, said) = tokio::join!(server.handle.shutdown(PATIENCE), text(response));
    assert_eq!(said, "begun shut_down");
}

/// What HTTP/1.1 was upgraded to is the same connection, and cut like it.
#[tokio::test]
async fn an_upgraded_connection_is_cut_too() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = tower::service_fn(|mut request: Request<RequestBody>| {
        // Beside hyper's own extension.
        assert!(request.extensions().get::<Peer<DnsName>>().is_some());
        assert!(request.extensions().get::<DrainSignal>().is_some());
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        async {
            let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let response = response.header("connection", "upgrade");
            let response = response.header("upgrade", "echo");
            Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
        }
    });
    let server = serve(&acceptor, service).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    let stream = alice.connect("localhost", tcp).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let mut request = get(&server.url("/"));
    request
        .headers_mut()
        .insert("host", server.url("")["https://".len()..].parse().unwrap());
    request
        .headers_mut()
        .insert("connection", "upgrade".parse().unwrap());
    request
        .headers_mut()
        .insert("upgrade", "echo".parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    let mut echo = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    echo.write_all(b"hello").await.unwrap();
    echo.flush().await.unwrap();
    let mut heard = [0; 5];
    echo.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");

    acceptor.control().set_policy(deny_all);
    let error = timeout(PATIENCE, echo.read_u8())
        .await
        .unwrap()
        .unwrap_err();
    assert!(is_access_denied(&error), "{error:?}");
}
