//! A connector for programs that drive rustls.

use std::sync::Arc;

use rustls::{ClientConfig, OtherError};
use rustls_pki_types::CertificateDer;

use super::{ConnectError, Connector};
use crate::tls::Attempt;
use crate::tls::exported::authorizing_config;

impl<I: Send + Sync + 'static> Connector<I> {
    /// The configuration for an HTTP client or another library that drives rustls and calls no code of
    /// this crate after the handshake. An example is reqwest, whose `tls_backend_preconfigured` takes it.
    /// Where a library takes a stream or a connector of this crate, prefer that: it can do more.
    ///
    /// ```ignore
    /// use countersign::{Connector, identity::SpiffeId};
    ///
    /// # fn client(connector: Connector<SpiffeId>) -> Result<reqwest::Client, reqwest::Error> {
    /// reqwest::Client::builder()
    ///     .tls_backend_preconfigured(connector.clone().into_authorizing_rustls_config())
    ///     .https_only(true)
    ///     .build()
    /// # }
    /// ```
    ///
    /// It stays linked to this connector and its clones: each handshake uses the trust, the CRLs, the deny
    /// list, the policy and our certificate that are in force at that moment. ALPN, TLS versions and all
    /// other settings are those of the time of this call.
    ///
    /// # Security
    /// All checks run inside the handshake, once: chain and name, the proof that the server owns its key,
    /// that it requested our certificate, then identity, deny list and policy. A rejected server gets the
    /// fitting alert, and no request. These properties of a stream of [`connect`](Self::connect) are missing:
    ///
    /// * The policy gets the server's identity, its certificates and the server name, and no property of
    ///   the connection (address, ALPN, TLS version). With an async policy, every server is rejected.
    /// * Open connections are not listed. They are not authorized again when the rules change, not closed
    ///   when a certificate expires, and do not drain when our credentials are replaced. Limit how long
    ///   the client's pool keeps them (reqwest: the handle of the feature `reqwest`).
    /// * The handshake timeout and a limit of handshake bytes are up to the client (reqwest:
    ///   `connect_timeout`).
    /// * Rejections are errors of rustls; that of a server which does not request our certificate is
    ///   `rustls::Error::Other` around [`ConnectError::NotAsked`]. The reason is in the
    ///   [audit trail](crate::audit), as is every admission. Failures before the server presents its certificate, and the duration of the
    ///   connection, are not recorded.
    ///
    /// Sessions are **not resumed**, whatever the builder sets: rustls calls no verifier for a resumed
    /// session, so the policy would not run, and a server that was denied or revoked since would be
    /// admitted. Do not turn on resumption or early data in the returned configuration.
    ///
    /// reqwest's own TLS settings (`tls_danger_accept_invalid_certs`, `identity`, roots, CRLs, versions)
    /// have no effect on it. Set `https_only(true)`; otherwise a redirect can lead to `http://`.
    pub fn into_authorizing_rustls_config(self) -> ClientConfig {
        authorizing_config(self.endpoint, not_asked)
    }
}

/// The server did not request our certificate.
fn not_asked<I: Send + Sync + 'static>(
    attempt: Attempt<I>,
    presented: &[CertificateDer<'_>],
) -> rustls::Error {
    let error = ConnectError::NotAsked;
    // A failure is recorded in any case.
    let _ = attempt.finish(Err(&error), presented);
    OtherError(Arc::new(error)).into()
}
