//! One GET over HTTP/3.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Buf as _;
use countersign::integration::quinn::{Client, Connection, ConnectionError};
use countersign::{Connector, HandshakeError};
use hyper::{StatusCode, Uri};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::http::request;
use crate::http3::ALPN;
use crate::http3::quic::Quic;
use crate::terminal::Failure;

/// The time for the last packets to be sent, after the whole response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the response's body to standard output.
pub(super) async fn get<I>(
    connector: Connector<I>,
    (host, port): (&str, u16),
    url: &Uri,
) -> Result<(), Failure>
where
    I: Send + Sync + 'static,
{
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| format!("cannot resolve {host}: {error}"))?;
    let mut last = None;
    for address in found {
        let local: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let client = Client::builder(connector.clone())
            .alpn([ALPN])
            .bind((local, 0).into())?;
        match client.connect(address, host).await {
            Ok(connection) => {
                let result = get_over(connection, url).await;
                let _ = timeout(CLOSE_TIMEOUT, client.wait_idle()).await;
                return result;
            }
            // Another address may have a server.
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => Err(format!("{host} has no address").into()),
    }
}

async fn get_over<I>(connection: Connection<I>, url: &Uri) -> Result<(), Failure>
where
    I: Send + Sync + 'static,
{
    let status = match response(connection.clone(), url).await {
        Ok(status) => status,
        Err(error) => {
            // h3 does not keep the cause of every failed read.
            return Err(match connection.close_reason() {
                Some(ConnectionError::Alert(alert)) => HandshakeError::Alert(alert).into(),
                _ => Failure::innermost(&*error),
            });
        }
    };
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("the server answered {status}").into())
    }
}

async fn response<I>(
    connection: Connection<I>,
    url: &Uri,
) -> Result<StatusCode, Box<dyn std::error::Error>>
where
    I: Send + Sync + 'static,
{
    let (request, _) = request(url, true)?.into_parts();
    let request = hyper::Request::from_parts(request, ());
    let (mut driver, mut sender) = h3::client::new(Quic::new(connection)).await?;
    let driving = tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    let mut stream = sender.send_request(request).await?;
    stream.finish().await?;
    let status = stream.recv_response().await?.status();
    while let Some(mut data) = stream.recv_data().await? {
        while data.has_remaining() {
            let chunk = data.chunk();
            io::stdout().write_all(chunk)?;
            let length = chunk.len();
            data.advance(length);
        }
    }
    io::stdout().flush()?;
    drop((stream, sender));
    let _ = timeout(CLOSE_TIMEOUT, driving).await;
    Ok(status)
}
