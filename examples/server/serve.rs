//! The accept loop: one task per connection, so that a slow handshake delays nobody else.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use countersign::Acceptor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::http::Answer;
use crate::log;

/// How long to wait after a failed accept, which without file descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests and handshakes in flight may take to finish when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Serves connections until `stop` ends, then lets those that are open finish.
pub(crate) async fn serve<I: Display + Send + Sync + 'static>(
    listener: TcpListener,
    acceptor: Acceptor<I>,
    stop: impl Future<Output = ()>,
) {
    let open = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, remote)) => {
                tokio::spawn(handle(tcp, remote, acceptor.clone(), open.watcher()));
            }
            Err(error) => {
                log::accept_failed(&error);
                tokio::select! {
                    () = &mut stop => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    // What is not finished by then is cut when the program ends.
    let _ = timeout(DRAIN_TIME, open.shutdown()).await;
}

async fn handle<I: Display + Send + Sync + 'static>(
    tcp: TcpStream,
    remote: SocketAddr,
    acceptor: Acceptor<I>,
    watcher: Watcher,
) {
    let stream = match acceptor.accept(tcp).await {
        Ok(stream) => stream,
        Err(error) => return log::refused(remote, &error),
    };
    log::admitted(remote, &stream);

    let answer = Answer::to(&stream);
    let service = service_fn(|request| {
        let response = answer.respond(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    // With a timer, hyper bounds the time that a client may take to send a request's head.
    server.http1().timer(TokioTimer::new());
    let connection = server.serve_connection(TokioIo::new(stream), service);
    // An admitted client that breaks off has had its line in the log.
    let _ = watcher.watch(connection).await;
}
