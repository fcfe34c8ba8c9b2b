//! The sessions that a connector may resume.

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
/// How many TLS 1.3 tickets rustls keeps for each server. The capacity of its store is in tickets, so it
/// is the product of the two.
const TICKETS: usize = 8;

/// rustls' in-memory store, without three kinds of sessions: of servers that never requested our
/// certificate, of servers whose certificate has expired since, and of servers that proved their key more
/// than a day ago.
///
/// A resumed handshake has no CertificateRequest, so a connector could not distinguish a server that
/// never requested our certificate from one that authenticated us before. A session that would be
/// rejected is not offered, so that a full handshake gets the server's new certificate.
pub(super) struct ClientSessionCache {
    sessions: ClientSessionMemoryCache,
    /// The last second in which the verification of a server's chain, and the proof of its key, holds. A
    /// session does not contain the chain that it began with, so all sessions of a server expire together.
    expiries: Cache<ServerName<'static>, UnixTime>,
    clock: Arc<dyn TimeProvider>,
}

impl ClientSessionCache {
    pub(super) fn new(clock: Arc<dyn TimeProvider>) -> Self {
        Self {
            sessions: ClientSessionMemoryCache::new(SERVERS * TICKETS),
            // Larger than needed, because a cache of this kind does not fill evenly.
            expiries: Cache::new(SERVERS * 4),
            clock,
        }
    }

    /// Sets until when the chain is valid that this server presented now. Its sessions expire then, or
    /// after a day, as those of an acceptor do.
    pub(super) fn expire_at(&self, server_name: &ServerName<'_>, until: UnixTime, now: UnixTime) {
        let until = until.min(a_day_after(now));
        let server_name = server_name.to_owned();
        let known = self.expiries.get(&server_name);
        self.expiries
            .insert(server_name, known.map_or(until, |known| known.min(until)));
    }

    /// Removes a server's sessions if they have expired, or if their expiry is not known.
    fn remove_expired(&self, server_name: &ServerName<'static>) {
        let good = match (self.clock.current_time(), self.expiries.get(server_name)) {
            (Some(now), Some(until)) => now <= until,
            _ => false,
        };
        if !good {
            self.sessions.remove_tls12_session(server_name);
            while self.sessions.take_tls13_ticket(server_name).is_some() {}
            self.expiries.remove(server_name);
        }
    }
}

/// Whether the server requested our certificate. After the handshake that is true, because otherwise the
/// connection would not have been admitted.
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
        self.remove_expired(&server_name.to_owned());
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
        self.remove_expired(server_name);
        self.sessions.take_tls13_ticket(server_name)
    }
}

impl fmt::Debug for ClientSessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSessionCache")
    }
}
