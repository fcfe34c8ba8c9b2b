//! Whether sessions are resumed, and for how long.

use std::time::Duration;

use rustls_pki_types::UnixTime;

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
    /// Sessions are kept in memory: up to 4,096 in up to 16 MiB by an acceptor, which forgets the oldest
    /// first, and up to eight for each of 256 servers by a connector.
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

/// Whether tickets are encrypted in a FIPS module: by the provider of this crate's features.
pub(crate) fn tickets_are_fips() -> bool {
    provider::built_in().is_some_and(|provider| provider.fips())
}
