//! A server's sessions, each bound to the trust and the proof that it was granted on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig, StoresServerSessions};
use rustls_pki_types::UnixTime;

use super::client_proofs::ClientProofs;
use super::fifo::Fifo;
use super::in_force::InForce;
use super::probe::{self, SessionBinding};
use super::{BuildError, Resumption};
use crate::gate::GenerationId;

/// How many sessions an acceptor remembers, and how many bytes of them. Each has the client's chain, so a
/// usual one has 1 to 2 KiB.
const SESSIONS: usize = 4096;
const BYTES: usize = 16 * 1024 * 1024;

/// How many tickets of TLS 1.3 a connection gets, and how many at most where the client asks for a number
/// (RFC 9149).
///
/// A ticket is used once (RFC 9846 appendix C.4). Each connection uses one at most and gets one, so that a
/// client can resume as many connections at once as it had before.
const TICKETS: usize = 1;
const MAX_TICKETS: usize = 4;

/// How the configurations of an acceptor keep sessions.
pub(super) enum ServerSessions {
    Off,
    Stateful,
    /// With the keys of the tickets.
    Stateless(Arc<dyn ProducesTickets>),
}

impl ServerSessions {
    pub(super) fn new(choice: Resumption) -> Result<Self, BuildError> {
        Ok(match choice {
            Resumption::Off => Self::Off,
            Resumption::Stateful => Self::Stateful,
            Resumption::Stateless => Self::Stateless(ticketer()?),
        })
    }

    /// Sets how many tickets a connection gets. The application may set it anew.
    pub(super) const fn suggest(config: &mut ServerConfig) {
        config.send_tls13_tickets = TICKETS;
        config.max_tls13_tickets = MAX_TICKETS;
    }

    /// Gives the configuration of one generation its sessions. Those in memory are dropped with it.
    pub(super) fn configure<I: Send + Sync + 'static>(
        &self,
        config: &mut ServerConfig,
        in_force: &InForce<I>,
        proofs: &Arc<ClientProofs>,
    ) {
        let binder = Binder {
            in_force: in_force.clone(),
            proofs: Arc::clone(proofs),
        };
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match self {
            Self::Off => {
                config.send_tls13_tickets = 0;
                config.max_tls13_tickets = 0;
            }
            Self::Stateful => {
                config.session_storage = Arc::new(InMemory {
                    binder,
                    stored: Mutex::default(),
                });
            }
            Self::Stateless(tickets) => {
                config.ticketer = Arc::new(Tickets {
                    binder,
                    inner: Arc::clone(tickets),
                });
            }
        }
    }
}

#[cfg(feature = "aws-lc-rs")]
fn ticketer() -> Result<Arc<dyn ProducesTickets>, BuildError> {
    rustls::crypto::aws_lc_rs::Ticketer::new().map_err(BuildError::Provider)
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn ticketer() -> Result<Arc<dyn ProducesTickets>, BuildError> {
    rustls::crypto::ring::Ticketer::new().map_err(BuildError::Provider)
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn ticketer() -> Result<Arc<dyn ProducesTickets>, BuildError> {
    Err(BuildError::NoTicketer)
}

/// Binds sessions to the trust and the time that they end with.
struct Binder<I> {
    in_force: InForce<I>,
    proofs: Arc<ClientProofs>,
}

impl<I> Binder<I> {
    /// The binding of a new session, and the time. `None` if it is not known when the client proved its
    /// key. The client then gets no session.
    fn bind(&self, session: &[u8]) -> Option<(SessionBinding, UnixTime)> {
        let now = self.now()?;
        let binding = match probe::session_origin() {
            // The key was proven now, or the resumed session expires no later than this.
            Some(origin) => {
                probe::record_session();
                origin.proven_at(now)
            }
            // The application drives rustls, and calls `Control::admit`.
            None => self.proofs.of_session(session)?,
        };
        Some((binding, now))
    }

    /// Whether a session is resumed: the trust that it was granted on is in force, and it has not expired.
    /// Otherwise rustls continues with a full handshake.
    fn resumes(&self, session: &[u8], binding: SessionBinding) -> bool {
        let Some(gate) = self.in_force.gate() else {
            return false;
        };
        let is_good =
            binding.trust == gate.trust_id() && gate.now().is_ok_and(|now| now <= binding.until);
        if is_good && probe::is_active() {
            probe::record_resumption(binding);
        } else if is_good {
            self.proofs.resume(session, binding);
        }
        is_good
    }

    fn now(&self) -> Option<UnixTime> {
        self.in_force.gate()?.now().ok()
    }
}

/// Sessions in the memory of the process.
struct InMemory<I> {
    binder: Binder<I>,
    stored: Mutex<Stored>,
}

/// rustls makes the identifiers, of 32 random bytes.
type Id = [u8; 32];

#[derive(Default)]
struct Stored {
    sessions: Fifo<Id, Session>,
    /// Of all sessions.
    bytes: usize,
}

struct Session {
    binding: SessionBinding,
    encoded: Vec<u8>,
}

impl Stored {
    fn insert(&mut self, id: Id, session: Session, now: UnixTime) {
        self.bytes += session.encoded.len();
        let replaced = self.sessions.insert(id, session);
        self.removed(replaced.as_ref());
        while self.sessions.len() > SESSIONS || self.bytes > BYTES {
            self.remove_oldest();
        }
        // What is expired goes in the course of time, at a bounded cost for each session.
        for _ in 0..2 {
            if self
                .sessions
                .oldest()
                .is_some_and(|it| it.binding.until < now)
            {
                self.remove_oldest();
            }
        }
    }

    fn take(&mut self, id: &Id) -> Option<Session> {
        let session = self.sessions.remove(id);
        self.removed(session.as_ref());
        session
    }

    fn remove_oldest(&mut self) {
        let oldest = self.sessions.remove_oldest();
        self.removed(oldest.as_ref());
    }

    fn removed(&mut self, session: Option<&Session>) {
        self.bytes -= session.map_or(0, |it| it.encoded.len());
    }
}

impl<I> InMemory<I> {
    /// No panic leaves it half-changed.
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: Send + Sync> StoresServerSessions for InMemory<I> {
    fn put(&self, key: Vec<u8>, mut encoded: Vec<u8>) -> bool {
        let (Ok(id), Some((binding, now))) = (Id::try_from(key), self.binder.bind(&encoded)) else {
            return false;
        };
        encoded.shrink_to_fit();
        let session = Session { binding, encoded };
        self.stored().insert(id, session, now);
        true
    }

    /// For TLS 1.2, whose sessions are resumed any number of times.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = key.try_into().ok()?;
        let (binding, encoded) = {
            let mut stored = self.stored();
            let session = stored.sessions.get_mut(id)?;
            (session.binding, session.encoded.clone())
        };
        self.binder.resumes(&encoded, binding).then_some(encoded)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.stored().take(key.try_into().ok()?)?;
        let resumes = self.binder.resumes(&session.encoded, session.binding);
        resumes.then_some(session.encoded)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Tickets that have the whole session, with its binding as a prefix.
struct Tickets<I> {
    binder: Binder<I>,
    inner: Arc<dyn ProducesTickets>,
}

impl<I: Send + Sync> ProducesTickets for Tickets<I> {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    /// The lifetime that the ticket states to the client: until the ticket keys are replaced, or the
    /// client's chain expires.
    fn lifetime(&self) -> u32 {
        let longest = self.inner.lifetime();
        match (probe::session_origin(), self.binder.now()) {
            (Some(origin), Some(now)) => {
                let left = origin.until.as_secs().saturating_sub(now.as_secs());
                u32::try_from(left).map_or(longest, |left| left.min(longest))
            }
            _ => longest,
        }
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let (binding, _) = self.binder.bind(session)?;
        let until = binding.until.as_secs().to_be_bytes();
        let bound = [&binding.trust.to_bytes(), &until, session].concat();
        self.inner.encrypt(&bound)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut bound = self.inner.decrypt(cipher)?;
        let (trust, rest) = bound.split_first_chunk::<8>()?;
        let (until, session) = rest.split_first_chunk::<8>()?;
        let binding = SessionBinding {
            trust: GenerationId::from_bytes(*trust),
            until: UnixTime::since_unix_epoch(Duration::from_secs(u64::from_be_bytes(*until))),
        };
        let resumes = self.binder.resumes(session, binding);
        resumes.then(|| bound.split_off(16))
    }
}

impl<I> fmt::Debug for InMemory<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemory")
            .field("sessions", &self.stored().sessions.len())
            .finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for Tickets<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(second))
    }

    fn id(number: usize) -> Id {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn insert(stored: &mut Stored, number: usize, size: usize, until: u64, now: u64) {
        let binding = SessionBinding {
            trust: GenerationId::from_bytes([0; 8]),
            until: at(until),
        };
        let encoded = vec![0; size];
        stored.insert(id(number), Session { binding, encoded }, at(now));
    }

    #[test]
    fn the_oldest_sessions_go_first_by_number_and_by_size() {
        let mut stored = Stored::default();
        for number in 0..SESSIONS + 10 {
            insert(&mut stored, number, 100, 9, 1);
        }
        assert_eq!(stored.sessions.len(), SESSIONS);
        assert_eq!(stored.bytes, SESSIONS * 100);
        assert!(stored.take(&id(9)).is_none());
        assert!(stored.take(&id(10)).is_some());
        assert!(stored.take(&id(10)).is_none(), "a session is taken once");

        let large = 64 * 1024;
        for number in 0..BYTES / large {
            insert(&mut stored, SESSIONS * 2 + number, large, 9, 1);
        }
        assert!(stored.bytes <= BYTES);
        assert_eq!(stored.sessions.len(), BYTES / large, "the small ones went");
        insert(&mut stored, 1, large, 9, 1);
        insert(&mut stored, 1, 10, 9, 1); // the same again
        assert!(stored.take(&id(1)).is_some_and(|it| it.encoded.len() == 10));
        while stored.sessions.oldest().is_some() {
            stored.remove_oldest();
        }
        assert_eq!(stored.bytes, 0);
    }

    #[test]
    fn expired_sessions_go_while_others_come() {
        let mut stored = Stored::default();
        for number in 0..100 {
            insert(&mut stored, number, 100, 5, 1);
        }
        insert(&mut stored, 100, 100, 9, 5);
        assert_eq!(stored.sessions.len(), 101, "the last second counts");
        for number in 101..151 {
            insert(&mut stored, number, 100, 9, 6);
        }
        assert_eq!(stored.sessions.len(), 51, "two went for each that came");
        assert!((100..151).all(|number| stored.take(&id(number)).is_some()));
    }
}
