//! The sessions that a connector may resume.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{ServerName, UnixTime};

use super::fifo::Fifo;
use super::probe;
use super::resumption::a_day_after;

/// How many servers a connector remembers.
const SERVERS: usize = 256;
/// How many TLS 1.3 tickets it keeps for each: as many connections resume at once.
const TICKETS: usize = 8;

/// Sessions in memory, without three kinds: of servers that never requested our certificate, of servers
/// whose certificate has expired since, and of servers that proved their key more than a day ago.
///
/// A resumed handshake has no CertificateRequest, so a connector could not distinguish a server that
/// never requested our certificate from one that authenticated us before. A session that would be
/// rejected is not offered, so that a full handshake gets the server's new certificate.
pub(super) struct ClientSessionCache {
    servers: Mutex<Servers>,
    clock: Arc<dyn TimeProvider>,
}

type Servers = Fifo<ServerName<'static>, Known>;

/// What is known of a server.
#[derive(Default)]
struct Known {
    group: Option<NamedGroup>,
    /// The last second in which the verification of its chain, and the proof of its key, holds. A session
    /// does not contain the chain that it began with, so all sessions of a server expire together.
    until: Option<UnixTime>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The oldest first.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl ClientSessionCache {
    pub(super) fn new(clock: Arc<dyn TimeProvider>) -> Self {
        Self {
            servers: Mutex::default(),
            clock,
        }
    }

    /// Sets until when the chain is valid that this server presented now. Its sessions expire then, or
    /// after a day, as those of an acceptor do.
    pub(super) fn expire_at(&self, server_name: &ServerName<'_>, until: UnixTime, now: UnixTime) {
        let until = until.min(a_day_after(now));
        self.edit(server_name.to_owned(), |known| {
            known.until = Some(known.until.map_or(until, |known| known.min(until)));
        });
    }

    /// Takes a session out of what is known of a server. Expired sessions, and those whose expiry is not
    /// known, are removed before.
    fn unexpired<T>(
        &self,
        server_name: &ServerName<'static>,
        take: impl FnOnce(&mut Known) -> Option<T>,
    ) -> Option<T> {
        let now = self.clock.current_time();
        let mut servers = self.servers();
        let known = servers.get_mut(server_name)?;
        let lasts = now.zip(known.until);
        let is_good = lasts.is_some_and(|(now, until)| now <= until);
        if !is_good {
            *known = Known {
                group: known.group,
                ..Known::default()
            };
        }
        take(known)
    }

    /// Changes what is known of a server. The server that was added first is forgotten for it.
    fn edit(&self, server_name: ServerName<'static>, change: impl FnOnce(&mut Known)) {
        let mut servers = self.servers();
        if let Some(known) = servers.get_mut(&server_name) {
            return change(known);
        }
        let mut known = Known::default();
        change(&mut known);
        servers.insert(server_name, known);
        if servers.len() > SERVERS {
            servers.remove_oldest();
        }
    }

    /// No panic leaves it half-changed.
    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server requested our certificate. After the handshake that is true, because otherwise the
/// connection would not have been admitted.
fn is_mutual() -> bool {
    probe::server_asked().unwrap_or(true)
}

impl ClientSessionStore for ClientSessionCache {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.edit(server_name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.servers().get_mut(&server_name.to_owned())?.group
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if is_mutual() {
            self.edit(server_name, |known| known.tls12 = Some(value));
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.unexpired(&server_name.to_owned(), |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        if let Some(known) = self.servers().get_mut(server_name) {
            known.tls12 = None;
        }
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if is_mutual() {
            self.edit(server_name, |known| {
                if known.tls13.len() == TICKETS {
                    known.tls13.pop_front();
                }
                known.tls13.push_back(value);
            });
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.unexpired(server_name, |known| known.tls13.pop_back())
    }
}

impl fmt::Debug for ClientSessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSessionCache")
    }
}

#[cfg(test)]
mod tests {
    use rustls::time_provider::DefaultTimeProvider;

    use super::*;

    /// It saves a HelloRetryRequest, also when there is no session.
    #[test]
    fn the_key_exchange_group_of_a_server_is_remembered() {
        let cache = ClientSessionCache::new(Arc::new(DefaultTimeProvider));
        let name = |text: &'static str| ServerName::try_from(text).expect("a name");
        cache.set_kx_hint(name("a.example"), NamedGroup::secp256r1);
        cache.set_kx_hint(name("b.example"), NamedGroup::X25519);
        assert!(cache.take_tls13_ticket(&name("a.example")).is_none());
        assert!(cache.tls12_session(&name("a.example")).is_none());
        let hint = |text| cache.kx_hint(&name(text));
        assert_eq!(hint("a.example"), Some(NamedGroup::secp256r1));
        assert_eq!(hint("b.example"), Some(NamedGroup::X25519));
        assert_eq!(hint("c.example"), None);
    }
}
