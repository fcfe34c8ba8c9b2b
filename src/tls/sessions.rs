//! Where a connector keeps the sessions that it may resume.

use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{ServerName, UnixTime};

use super::probe;
use super::resumption::a_day_after;

/// How many servers a connector remembers.
const SERVERS: usize = 256;
/// How many TLS 1.3 tickets rustls keeps of each. Its store is measured by them: told only of the
/// servers, it would remember an eighth.
const TICKETS: usize = 8;

/// rustls' in-memory store, without the sessions of servers that never asked for our certificate,
/// without those of servers whose certificate has expired since, and of those that have proven their
/// key more than a day ago.
///
/// A resumed handshake has no CertificateRequest, so that a connector could not tell a server that
/// never asked from one that knows us. And a session that would be refused is better not offered:
/// the full handshake then finds the server's new certificate.
pub(super) struct ClientSessionCache {
    sessions: ClientSessionMemoryCache,
    /// The last second in which the verification of a server's chain, and the proof of its key, holds. A session does not tell
    /// by which chain it began, so all of a server's end with the first.
    ends: Cache<ServerName<'static>, UnixTime>,
    clock: Arc<dyn TimeProvider>,
}

impl ClientSessionCache {
    pub(super) fn new(clock: Arc<dyn TimeProvider>) -> Self {
        Self {
            sessions: ClientSessionMemoryCache::new(SERVERS * TICKETS),
            // With room to spare, because a cache of this kind does not fill evenly.
            ends: Cache::new(SERVERS * 4),
            clock,
        }
    }

    /// Notes for how long the chain is good that this server has shown at this time: its sessions last
    /// no longer, and no longer than a day, as those that an acceptor grants.
    pub(super) fn end_at(&self, server_name: &ServerName<'_>, until: UnixTime, now: UnixTime) {
        let until = until.min(a_day_after(now));
        let server_name = server_name.to_owned();
        let known = self.ends.get(&server_name);
        self.ends
            .insert(server_name, known.map_or(until, |known| known.min(until)));
    }

    /// Forgets a server's sessions when their time is over, or not known.
    fn forget_ended(&self, server_name: &ServerName<'static>) {
        let good = match (self.clock.current_time(), self.ends.get(server_name)) {
            (Some(now), Some(until)) => now <= until,
            _ => false,
        };
        if !good {
            self.sessions.remove_tls12_session(server_name);
            while self.sessions.take_tls13_ticket(server_name).is_some() {}
            self.ends.remove(server_name);
        }
    }
}

/// During a handshake: only if the server asked. After it, the connection was admitted, and that
/// includes having been asked.
fn is_mutual() -> bool {
    probe::server_asked().unwrap_or(true)
}

impl ClientSessionStore for ClientSessionCache {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if is_mutual() {
            self.sessions.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.forget_ended(&server_name.to_owned());
        self.sessions.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if is_mutual() {
            self.sessions.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.forget_ended(server_name);
        self.sessions.take_tls13_ticket(server_name)
    }
}

impl fmt::Debug for ClientSessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSessionCache")
    }
}
