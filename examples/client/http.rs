//! One GET over HTTP/1.1 or HTTP/2, whichever was negotiated.

use std::error::Error;
use std::io::{self, Write as _};
use std::iter::successors;
use std::time::Duration;

use countersign::TlsStream;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the goodbye may take, once everything has been received.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// Where the URL leads.
pub(crate) fn host_and_port(url: &Uri) -> Result<(&str, u16), String> {
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => {
            // An IPv6 address stands in brackets.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host, url.port_u16().unwrap_or(443)))
        }
        _ => Err(format!(
            "{url} is no https:// URL with a host: there is no mutual TLS without TLS"
        )),
    }
}

/// Writes the response's body to standard output.
pub(crate) async fn get<I>(
    mut stream: TlsStream<TcpStream, I>,
    url: &Uri,
) -> Result<(), Box<dyn Error>>
where
    I: Send + Sync + 'static,
{
    let http2 = stream.peer().connection().alpn() == Some(b"h2");
    let request = request(url, http2)?;
    // Of a read that fails, hyper tells what it likes.
    let refusal = stream.alert_watch();
    let io = TokioIo::new(stream);
    let (response, connection) = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        let connection = tokio::spawn(connection);
        (sender.send_request(request).await, connection)
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        let connection = tokio::spawn(connection);
        (sender.send_request(request).await, connection)
    };
    let result = match response {
        Ok(response) => print_body(response).await,
        Err(error) => Err(error.into()),
    };
    let ended = timeout(GOODBYE_TIME, connection).await;
    if let (Err(_), Some(alert)) = (&result, refusal.get()) {
        return Err(alert.to_string().into());
    }
    let status = match (result, ended) {
        (Ok(status), _) => status,
        // It depends on the timing whether the request or the connection hears why it failed.
        (Err(error), Ok(Ok(Err(cause)))) if !tells_the_cause(&*error) => {
            return Err(innermost(&cause).into());
        }
        (Err(error), _) => return Err(innermost(&*error).into()),
    };
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("the server answered {status}").into())
    }
}

fn request(url: &Uri, http2: bool) -> Result<Request<Empty<Bytes>>, Box<dyn Error>> {
    let authority = url.authority().ok_or("the URL has no host")?.as_str();
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = if http2 {
        Request::get(format!("https://{host}{path}")).version(Version::HTTP_2)
    } else {
        Request::get(path).header(HOST, host)
    };
    Ok(request.body(Empty::new())?)
}

async fn print_body(response: Response<Incoming>) -> Result<StatusCode, Box<dyn Error>> {
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            io::stdout().write_all(data)?;
        }
    }
    io::stdout().flush()?;
    Ok(status)
}

/// hyper wraps what went wrong below it; a server that refuses us after the handshake is an error
/// of the first read, and says there what its alert means.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

/// Whether the transport's own error is among the causes.
fn tells_the_cause(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| cause.is::<io::Error>())
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}
