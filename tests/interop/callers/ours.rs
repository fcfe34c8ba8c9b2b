//! Our own connector.

use std::io;

use countersign::pki::OwnCertificateChecks;
use countersign::{Certificate, ConnectError, Connector, Credentials, TrustStore, policy};
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, Order, commands};
use support::interop::{Files, Tls};

/// Its error is that of connecting, or of the first read. `None` when it does not take these
/// credentials.
pub(super) async fn connector(order: Order<'_>, files: &Files) -> Option<Answer> {
    let fingerprint = |certificate: &Certificate| Ok(certificate.sha256());
    let trust = TrustStore::from_pem_file(order.ca).expect("a CA");
    let credentials = Credentials::from_pem_files(&files.cert, &files.key).ok()?;
    let connector = Connector::builder()
        .credentials(credentials)
        .trust(trust)
        .identify(fingerprint)
        .authorize(policy::allow_any())
        .handshake_timeout(order.wait())
        .crypto_provider(provider(order.tls))
        .alpn(["http/1.1"])
        .allow_tls12()
        // The server rejects what this side would not use.
        .own_certificate_checks(OwnCertificateChecks::Report)
        .build()
        .expect("a connector");
    Some(match get(&connector, order).await {
        Ok(page) => Answer::Page(page),
        Err(error) => Answer::Error(error),
    })
}

async fn get<I: Send + Sync + 'static>(
    connector: &Connector<I>,
    order: Order<'_>,
) -> Result<String, String> {
    let connecting = |error: ConnectError| error.to_string();
    let reading = |error: io::Error| error.to_string();
    let tcp = TcpStream::connect(("127.0.0.1", order.port))
        .await
        .map_err(reading)?;
    let mut stream = connector
        .connect(order.host, tcp)
        .await
        .map_err(connecting)?;
    // One who has refused does not listen, and the first read says why.
    let _ = stream.write_all(commands::REQUEST.as_bytes()).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(reading)?;
    Ok(commands::page(&answer).unwrap_or(&answer).into())
}

/// Only the suites of this version.
fn provider(tls: Tls) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let is_wanted = |tls13: bool| tls13 == (tls == Tls::V13);
    provider
        .cipher_suites
        .retain(|suite| is_wanted(suite.tls13().is_some()));
    support::prefer_small_groups(&mut provider);
    provider
}
