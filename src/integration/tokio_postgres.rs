//! tokio-postgres over a connector's streams.
//!
//! The connection is a [`TlsStream`]: it is listed, re-authorized and cut like any other, and it drains when
//! our credentials are replaced.
//!
//! ```no_run
//! use countersign::Connector;
//! use countersign::identity::DnsName;
//! use countersign::integration::tokio_postgres::connect;
//!
//! # async fn query(connector: Connector<DnsName>) -> Result<(), tokio_postgres::Error> {
//! let config = "host=db.internal user=billing dbname=orders".parse()?;
//! let (client, connection, draining) = connect(&connector, &config).await?;
//! tokio::spawn(connection);
//! let row = client.query_one("SELECT 1", &[]).await?;
//! # let _: i32 = row.get(0);
//! println!("connect again: {}", draining.await.reason());
//! # Ok(())
//! # }
//! ```
//!
//! A pool takes [`MutualTls`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{self, ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, Socket};

use crate::{Certificate, ConnectError, Connector, DrainSignal, TlsStream};

/// Connects to a PostgreSQL server, and requires mutual TLS whatever `config` says of `sslmode`.
///
/// The result is tokio-postgres' client, its connection (to spawn), and the signal that the connection must
/// close soon: our credentials were replaced, it reached its maximum age, or a certificate of the server's
/// path expired. Connect again then, and use the new client for new queries. Queries in progress finish on
/// the old one within the connector's drain time (30 s by default).
///
/// The host of `config` is the server name, also where `hostaddr` is the address.
///
/// # Errors
/// tokio-postgres' error. If there is no mutual TLS with the server, a [`ConnectError`] is among its sources.
///
/// # Cancel safety
/// Dropping the future closes the transport.
///
/// ```no_run
/// use countersign::integration::tokio_postgres::connect;
/// use countersign::{Connector, identity::DnsName};
/// use tokio_postgres::Client;
///
/// /// The client for new queries, renewed for as long as the process runs.
/// async fn keep(connector: Connector<DnsName>, use_now: impl Fn(Client)) {
///     let config = "host=db.internal user=billing".parse().expect("a configuration");
///     while let Ok((client, connection, draining)) = connect(&connector, &config).await {
///         tokio::spawn(connection);
///         use_now(client); // dropping the old one closes its connection after its queries
///         draining.await;
///     }
/// }
/// ```
pub async fn connect<I: Send + Sync + 'static>(
    connector: &Connector<I>,
    config: &Config,
) -> Result<
    (
        Client,
        Connection<Socket, TlsStream<Socket, I>>,
        DrainSignal,
    ),
    tokio_postgres::Error,
> {
    let mut config = config.clone();
    let tls = MutualTls::required_in(&mut config, connector.clone());
    loop {
        let (client, connection) = config.connect(tls.clone()).await?;
        // Every connection of `connect` is over TLS, and leaves its signal.
        if let Some(draining) = tls.draining().take() {
            return Ok((client, connection, draining));
        }
    }
}

/// Makes the TLS connections of tokio-postgres, for a pool or another library that takes a
/// [`MakeTlsConnect`].
///
/// Connections are [`TlsStream`]s, and so is the connection of a cancel request. A pool does not hear that one
/// of them [drains](TlsStream::draining). After a change of credentials, let the pool replace its connections
/// within the connector's drain time (30 s by default; deadpool: `Pool::retain`).
///
/// Authentication by SCRAM is bound to the server's certificate (`tls-server-end-point`, RFC 5929), except
/// where the algorithm of its signature has no hash of its own (Ed25519, ML-DSA, RSASSA-PSS).
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::integration::tokio_postgres::MutualTls;
/// use countersign::testing::TestCa;
/// use countersign::{Connector, policy};
/// use tokio_postgres::config::{Config, SslMode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Example CA");
/// let connector = Connector::builder()
///     .credentials(ca.leaf().dns("billing.internal").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::exact(["db.internal".parse()?]))
///     .build()?;
/// let mut config: Config = "host=db.internal user=billing".parse()?;
/// let tls = MutualTls::required_in(&mut config, connector);
/// assert_eq!(config.get_ssl_mode(), SslMode::Require);
/// // deadpool_postgres::Manager::new(config, tls)
/// # let _ = tls;
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// tokio-postgres' default, `sslmode=prefer`, sends everything in the clear to a server that has no TLS, and
/// calls no code of ours. [`required_in`](Self::required_in) therefore sets `sslmode=require`. Use this
/// configuration, and do not change it back.
pub struct MutualTls<I> {
    connector: Connector<I>,
    /// The signal of the connection made last.
    draining: Arc<Mutex<Option<DrainSignal>>>,
}

impl<I> MutualTls<I> {
    /// Connects by this connector, and requires TLS in this configuration.
    pub fn required_in(config: &mut Config, connector: Connector<I>) -> Self {
        config.ssl_mode(SslMode::Require);
        Self {
            connector,
            draining: Arc::default(),
        }
    }

    fn draining(&self) -> MutexGuard<'_, Option<DrainSignal>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, I> MakeTlsConnect<S> for MutualTls<I>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: Send + Sync + 'static,
{
    type Stream = TlsStream<S, I>;
    type TlsConnect = ConnectTo<I>;
    type Error = ConnectError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<ConnectTo<I>, ConnectError> {
        Ok(ConnectTo {
            tls: self.clone(),
            server_name: domain.to_owned(),
        })
    }
}

/// Makes one TLS connection to a PostgreSQL server; made by [`MutualTls`].
///
/// ```
/// use countersign::TlsStream;
/// use countersign::integration::tokio_postgres::ConnectTo;
/// use tokio::net::TcpStream;
/// use tokio_postgres::tls::TlsConnect;
///
/// fn makes_our_streams<I: Send + Sync + 'static>(connect: ConnectTo<I>)
/// where
///     ConnectTo<I>: TlsConnect<TcpStream, Stream = TlsStream<TcpStream, I>>,
/// {
///     drop(connect);
/// }
/// # let _ = makes_our_streams::<countersign::identity::DnsName>;
/// ```
pub struct ConnectTo<I> {
    tls: MutualTls<I>,
    server_name: String,
}

impl<S, I> TlsConnect<S> for ConnectTo<I>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: Send + Sync + 'static,
{
    type Stream = TlsStream<S, I>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, ConnectError>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connector = &self.tls.connector;
            let stream = connector.connect(&self.server_name, stream).await?;
            *self.tls.draining() = Some(stream.draining());
            Ok(stream)
        })
    }
}

impl<IO, I> tls::TlsStream for TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        end_point(self.peer().certificate())
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The hash of a server's certificate, by the hash function of its signature; `None` where it has no single
/// one (RFC 5929 section 4.1). PostgreSQL 15 reads none from the parameters of RSASSA-PSS.
fn end_point(certificate: &Certificate) -> Option<Vec<u8>> {
    let algorithm = certificate.signature_algorithm();
    let oid = algorithm.rsplit_once('(')?.1.strip_suffix(')')?;
    let der = certificate.der();
    Some(match oid {
        // sha1WithRSAEncryption and ecdsa-with-SHA1: SHA-256 in place of SHA-1.
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        _ => return None,
    })
}

impl<I> Clone for MutualTls<I> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            draining: Arc::clone(&self.draining),
        }
    }
}

impl<I> fmt::Debug for MutualTls<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutualTls").field(&self.connector).finish()
    }
}

impl<I> fmt::Debug for ConnectTo<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectTo")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KeyType, TestCa};

    /// PostgreSQL computes it by the hash of the signature of its own certificate.
    #[test]
    fn the_binding_is_the_hash_of_the_signature_of_the_certificate() {
        for (key, length) in [
            (KeyType::P256, Some(32)),
            (KeyType::P384, Some(48)),
            (KeyType::Ed25519, None),
        ] {
            let leaf = TestCa::builder("Root").key(key).root().leaf().issue();
            let binding = end_point(&leaf.certificate());
            assert_eq!(binding.map(|hash| hash.len()), length, "{key:?}");
        }
    }
}
