//! A server's sessions, each bound to the trust and the proof that it was granted on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerConfig, ServerSessionMemoryCache,
    StoresServerSessions,
};
use rustls_pki_types::UnixTime;

use super::BuildError;
use super::client_proofs::ClientProofs;
use super::in_force::InForce;
use super::probe::{self, SessionBinding};
use crate::gate::GenerationId;
use crate::pki::provider;

/// Whether sessions are resumed, which saves both sides most of a handshake.
///
/// Every resumed connection is authorized again: the chain that the session restores is checked against
/// the trust, the CRLs, the deny list and the policy in force. A session is not resumed once the trust or
/// the credentials of its acceptor or connector have changed, once its peer's certificate has expired, or
/// 24 hours after the peer proved its key. A full handshake replaces it, without an error. Early data
/// (0-RTT) is never used.
///
/// With [`Acceptor::unauthorized_rustls_config`](crate::Acceptor::unauthorized_rustls_config) all sessions
/// of one certificate expire together, 24 hours after the earliest proof of its key that one of them is
/// based on. The proofs of 4,096 certificates are kept for that.
///
/// ```
/// use countersign::builder::{Builder, Role};
/// use countersign::Resumption;
///
/// /// For a fleet behind a load balancer, where a session rarely returns to the same process.
/// fn without_resumption<S: Role, I>(builder: Builder<S, I>) -> Builder<S, I> {
///     builder.resumption(Resumption::Off)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resumption {
    /// Sessions are kept in memory: up to 1,024 by an acceptor (a connection takes two on TLS 1.3),
    /// up to eight for each of 256 servers by a connector.
    #[default]
    Stateful,
    /// An acceptor gives its clients tickets that hold the whole session, encrypted with keys that
    /// change every six hours and never leave the process. It keeps no session. A ticket contains the
    /// client's chain, so it has some kilobytes. For a connector it is the same as `Stateful`.
    ///
    /// # Security
    /// An attacker who reads the process's memory can decrypt connections of the last twelve hours that
    /// were resumed with TLS 1.2 tickets.
    Stateless,
    /// Every handshake is a full one.
    Off,
}

/// How long after the proof of a peer's key its sessions are resumed, in seconds. Each resumption grants
/// new sessions, which do not last longer (RFC 8446 section 4.6.1 requires a limit).
const LONGEST: u64 = 24 * 60 * 60;

/// The last second in which a session is resumed if its peer proved its key at this time.
pub(super) fn a_day_after(proof: UnixTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(proof.as_secs().saturating_add(LONGEST)))
}

/// How many sessions an acceptor remembers. A connection takes two (TLS 1.3) or one (TLS 1.2);
/// each holds the client's chain, so about 2 KiB, and at most the 64 KiB of a handshake message.
const SESSIONS: usize = 1024;

/// The sessions that successive configurations of an acceptor share. A later configuration finds a session
/// of an earlier one, and sees that it is of another generation.
pub(super) enum ServerSessions {
    Off,
    Stateful(Arc<dyn StoresServerSessions>),
    Stateless(Arc<dyn ProducesTickets>),
}

impl ServerSessions {
    pub(super) fn new<I: Send + Sync + 'static>(
        choice: Resumption,
        in_force: &InForce<I>,
        proofs: &Arc<ClientProofs>,
    ) -> Result<Self, BuildError> {
        let proofs = Arc::clone(proofs);
        Ok(match choice {
            Resumption::Off => Self::Off,
            Resumption::Stateful => Self::Stateful(Arc::new(Bound {
                in_force: in_force.clone(),
                proofs,
                inner: ServerSessionMemoryCache::new(SESSIONS),
            })),
            Resumption::Stateless => Self::Stateless(Arc::new(Bound {
                in_force: in_force.clone(),
                proofs,
                inner: ticketer()?,
            })),
        })
    }

    pub(super) fn configure(&self, config: &mut ServerConfig) {
        match self {
            Self::Off => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            Self::Stateful(store) => config.session_storage = Arc::clone(store),
            Self::Stateless(tickets) => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.ticketer = Arc::clone(tickets);
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

/// Whether tickets are encrypted in a FIPS module: by the provider of this crate's features.
pub(crate) fn tickets_are_fips() -> bool {
    provider::built_in().is_some_and(|provider| provider.fips())
}

/// Sessions or tickets of rustls, prefixed with the trust and the time that they are bound to.
struct Bound<I, S> {
    in_force: InForce<I>,
    proofs: Arc<ClientProofs>,
    inner: S,
}

impl<I, S> Bound<I, S> {
    /// `None` if it is not known when the client proved its key. The client then gets no session.
    fn bind(&self, session: &[u8]) -> Option<Vec<u8>> {
        let origin = match probe::session_origin() {
            // The key was proven now, or the resumed session expires no later than this.
            Some(origin) => origin.proven_at(self.in_force.gate()?.now().ok()?),
            // The application drives rustls, and calls `Control::admit`.
            None => self.proofs.of_session(session)?,
        };
        let until = origin.until.as_secs().to_be_bytes();
        Some([&origin.trust.to_bytes(), &until, session].concat())
    }

    /// Returns a session if the trust that it was granted on is in force and it has not expired. Otherwise
    /// rustls continues with a full handshake.
    fn unbind(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let (trust, rest) = bound.split_first_chunk::<8>()?;
        let (until, session) = rest.split_first_chunk::<8>()?;
        let origin = SessionBinding {
            trust: GenerationId::from_bytes(*trust),
            until: UnixTime::since_unix_epoch(Duration::from_secs(u64::from_be_bytes(*until))),
        };
        let gate = self.in_force.gate()?;
        let now = gate.now().ok()?;
        if origin.trust != gate.trust_id() || now > origin.until {
            return None;
        }
        if probe::is_active() {
            probe::record_resumption(origin);
        } else {
            self.proofs.resume(session, origin);
        }
        Some(session.to_vec())
    }
}

impl<I: Send + Sync> StoresServerSessions for Bound<I, Arc<ServerSessionMemoryCache>> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.bind(&value)
            .is_some_and(|bound| self.inner.put(key, bound))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.inner.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.inner.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.inner.can_cache()
    }
}

impl<I: Send + Sync> ProducesTickets for Bound<I, Arc<dyn ProducesTickets>> {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    /// The lifetime that the ticket states to the client: until the ticket keys are replaced, or the
    /// client's chain expires.
    fn lifetime(&self) -> u32 {
        let longest = self.inner.lifetime();
        let now = self.in_force.gate().and_then(|gate| gate.now().ok());
        match (probe::session_origin(), now) {
            (Some(origin), Some(now)) => {
                let left = origin.until.as_secs().saturating_sub(now.as_secs());
                u32::try_from(left).map_or(longest, |left| left.min(longest))
            }
            _ => longest,
        }
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner.encrypt(&self.bind(plain)?)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.inner.decrypt(cipher)?)
    }
}

impl<I, S> fmt::Debug for Bound<I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bound")
    }
}
