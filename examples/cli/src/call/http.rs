//! One GET over HTTP/1.1 or HTTP/2, as ALPN negotiated.

use std::error::Error;
use std::io::{self, Write as _};
use std::iter::successors;
use std::time::Duration;

use countersign::{HandshakeError, TlsStream};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::terminal::{Failure, is_styled, write_json};

/// The time for the connection to close, after the whole response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer body is written as it arrives.
const MAX_FORMATTED: u64 = 64 * 1024;

/// The host and the port of the URL.
pub(super) fn host_and_port(url: &Uri) -> Result<(&str, u16), String> {
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => {
            // An IPv6 address has brackets.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host, url.port_u16().unwrap_or(443)))
        }
        _ => Err(format!(
            "{url} is no https:// URL with a host: there is no mutual TLS without TLS"
        )),
    }
}

/// Writes the response's body to standard output.
pub(super) async fn get<I>(mut stream: TlsStream<TcpStream, I>, url: &Uri) -> Result<(), Failure>
where
    I: Send + Sync + 'static,
{
    let http2 = stream.peer().connection().alpn() == Some(b"h2");
    let request = request(url, http2)?;
    // hyper does not keep the cause of every failed read.
    let refusal = stream.alert_watch();
    let io = TokioIo::new(stream);
    let (response, connection) = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        let mut connection = tokio::spawn(connection);
        // hyper (1.12) sometimes leaves a request without an answer although its connection has ended.
        let response = tokio::select! {
            biased;
            response = sender.send_request(request) => response,
            ended = &mut connection => return Err(match (refusal.get(), ended) {
                (Some(alert), _) => HandshakeError::Alert(alert.clone()).into(),
                (None, Ok(Err(cause))) => Failure::innermost(&cause),
                (None, _) => "the server closed the connection without a response".into(),
            }),
        };
        (response, connection)
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        let connection = tokio::spawn(connection);
        (sender.send_request(request).await, connection)
    };
    let result = match response {
        Ok(response) => print_body(response).await,
        Err(error) => Err(error.into()),
    };
    let closed = timeout(CLOSE_TIMEOUT, connection).await;
    if let (Err(_), Some(alert)) = (&result, refusal.get()) {
        return Err(HandshakeError::Alert(alert.clone()).into());
    }
    let status = match (result, closed) {
        (Ok(status), _) => status,
        // By timing, the request or the connection gets the transport's error.
        (Err(error), Ok(Ok(Err(cause)))) if !is_of_transport(&*error) => {
            return Err(Failure::innermost(&cause));
        }
        (Err(error), _) => return Err(Failure::innermost(&*error)),
    };
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("the server answered {status}").into())
    }
}

pub(super) fn request(
    url: &Uri,
    has_authority: bool,
) -> Result<Request<Empty<Bytes>>, Box<dyn Error>> {
    let authority = url.authority().ok_or("the URL has no host")?.as_str();
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = if has_authority {
        Request::get(format!("https://{host}{path}")).version(Version::HTTP_2)
    } else {
        Request::get(path).header(HOST, host)
    };
    Ok(request.body(Empty::new())?)
}

async fn print_body(response: Response<Incoming>) -> Result<StatusCode, Box<dyn Error>> {
    let status = response.status();
    let mut body = if is_styled() && is_short_json(&response) {
        let body = response.into_body().collect().await?.to_bytes();
        let mut stdout = anstream::stdout();
        match serde_json::from_slice::<Value>(&body) {
            Ok(json) => write_json(&mut stdout, &json)?,
            Err(_) => io::stdout().write_all(&body)?,
        }
        return Ok(status);
    } else {
        response.into_body()
    };
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            io::stdout().write_all(data)?;
        }
    }
    io::stdout().flush()?;
    Ok(status)
}

fn is_short_json(response: &Response<Incoming>) -> bool {
    use hyper::body::Body as _;

    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/json");
    let length = response.body().size_hint().upper();
    is_json && length.is_some_and(|length| length <= MAX_FORMATTED)
}

/// Whether the transport's own error is among the causes.
fn is_of_transport(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|cause| cause.is::<io::Error>())
}
