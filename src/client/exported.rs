//! A connector for programs that make their TLS connections themselves.

use rustls::ClientConfig;

use super::Connector;
use crate::tls::exported::authorizing_config;

impl<I: Send + Sync + 'static> Connector<I> {
    /// The configuration for an HTTP client, or another program, that drives rustls itself and asks
    /// nobody after the handshake; such as reqwest, whose `tls_backend_preconfigured` takes it. Where a
    /// client takes a stream or a connector of ours, prefer that: it can do more.
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
    /// It stays tied to this connector and its clones: each handshake is judged by the trust, the CRLs,
    /// the deny list and the policy of that moment, and shows the certificate of that moment. ALPN, TLS
    /// versions and the rest are as they were when this was called.
    ///
    /// # Security
    /// Everything is decided inside of the handshake: chain and name, the proof that the server owns its
    /// key, then its identity, the deny list and the policy, once. A server that is refused gets the alert
    /// that fits, and no request. What a stream of [`connect`](Self::connect) has beyond that is lost:
    ///
    /// * Nobody sees whether the server asked for our certificate. One that never asks passes, if the
    ///   policy allows it: the connection is authenticated in one direction only.
    /// * The policy knows the server's identity, its certificates and the name that was dialled; of the
    ///   connection (address, ALPN, TLS version) nothing. An async policy cannot be asked: every server is
    ///   refused.
    /// * Open connections are not listed, not judged again when the rules change, not ended when a
    ///   certificate expires, and do not drain when our credentials are replaced. Let the client's pool
    ///   forget them before long (reqwest: `pool_idle_timeout`).
    /// * The handshake timeout and the limit of its bytes are the client's (reqwest: `connect_timeout`).
    /// * Refusals show as rustls' errors; our reason for it is in the [audit trail](crate::audit), as is every
    ///   admission. What happens before the server shows its certificate, and how long the connection lives,
    ///   is not.
    ///
    /// Sessions are **not resumed**, whatever the builder said: rustls does not call a verifier for them,
    /// so that nobody would ask the policy, and a server that is denied or revoked by now would be let in.
    /// Do not turn it on in what this returns, nor early data.
    ///
    /// reqwest's own settings of TLS (`tls_danger_accept_invalid_certs`, `identity`, roots, CRLs, versions)
    /// have no effect on it. Say `https_only(true)`, or a redirect may lead it to `http://`.
    pub fn into_authorizing_rustls_config(self) -> ClientConfig {
        authorizing_config(self.endpoint)
    }
}
