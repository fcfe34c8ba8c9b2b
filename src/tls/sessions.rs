//! Where a connector keeps the sessions that it may resume.

use std::fmt;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls_pki_types::ServerName;

use super::capture;

/// How many servers a connector remembers, with at most eight TLS 1.3 tickets each.
const SERVERS: usize = 256;

/// rustls' in-memory store, without the sessions of servers that never asked for our certificate.
///
/// A resumed handshake has no CertificateRequest, so that a connector could not tell such a server
/// from one that knows us.
pub(super) struct MutualSessions(ClientSessionMemoryCache);

impl MutualSessions {
    pub(super) fn new() -> Self {
        Self(ClientSessionMemoryCache::new(SERVERS))
    }
}

/// During a handshake: only if the server asked. After it, the connection was admitted, and that
/// includes having been asked.
fn is_mutual() -> bool {
    capture::server_asked().unwrap_or(true)
}

impl ClientSessionStore for MutualSessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if is_mutual() {
            self.0.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.0.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if is_mutual() {
            self.0.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server_name)
    }
}

impl fmt::Debug for MutualSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutualSessions")
    }
}
