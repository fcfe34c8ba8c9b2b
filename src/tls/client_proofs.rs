//! When clients have proven their keys, for sessions of handshakes that the application drives.
//!
//! rustls gives a session to its store as bytes, without the connection that it is for, and a resumed
//! connection gets new sessions exactly as a full one does. A connection that this crate drives has a
//! probe, which knows the binding of its session. For other connections, the client's certificate is the
//! link: the session contains it, and the verifier of signatures got it when the key was proven.

use std::fmt;

use quick_cache::sync::Cache;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::probe::SessionBinding;
use crate::pki::Fingerprint;

/// How many certificates are kept. A client whose certificate was removed is added again by its next
/// handshake, full or resumed.
const CLIENTS: usize = 4096;

/// The bindings of sessions, by the certificate whose key was proven.
pub(super) struct ClientProofs(Cache<Fingerprint, SessionBinding>);

impl ClientProofs {
    pub(super) fn new() -> Self {
        Self(Cache::new(CLIENTS))
    }

    /// Records that the key of this certificate was proven now.
    ///
    /// While an earlier proof is valid, its expiry stays. A session does not contain the proof that it is
    /// based on, and later proofs of the key's owner must not prolong a stolen session.
    pub(super) fn insert(&self, leaf: &CertificateDer<'_>, origin: SessionBinding, now: UnixTime) {
        let client = Fingerprint::of(leaf);
        let origin = match self.0.get(&client) {
            Some(known) if now <= known.until => origin.no_longer_than(known),
            _ => origin,
        };
        self.0.insert(client, origin);
    }

    /// Records that this session is resumed. Later sessions of its client do not last longer than its
    /// binding.
    pub(super) fn resume(&self, session: &[u8], origin: SessionBinding) {
        if let Some(leaf) = leaf(session) {
            let client = Fingerprint::of(leaf);
            let known = self.0.get(&client);
            let origin = known.map_or(origin, |known| origin.no_longer_than(known));
            self.0.insert(client, origin);
        }
    }

    /// The last binding of the client of this session, if it is known.
    pub(super) fn of_session(&self, session: &[u8]) -> Option<SessionBinding> {
        // If another version of rustls encodes sessions differently, this is no known certificate, and no
        // session is granted.
        self.0.get(&Fingerprint::of(leaf(session)?))
    }
}

/// The client's certificate in a session as rustls 0.23 encodes it (`ServerSessionValue`).
pub(super) fn leaf(session: &[u8]) -> Option<&[u8]> {
    let mut rest = session;
    if take(&mut rest, 1)? == [1] {
        prefixed(&mut rest, 1)?; // SNI
    }
    take(&mut rest, 2 + 2)?; // version and cipher suite
    prefixed(&mut rest, 1)?; // secret
    take(&mut rest, 1)?; // extended master secret
    if take(&mut rest, 1)? != [1] {
        return None;
    }
    let mut chain = prefixed(&mut rest, 3)?;
    prefixed(&mut chain, 3)
}

/// The content of a field that begins with its length in this many octets.
fn prefixed<'a>(bytes: &mut &'a [u8], octets: usize) -> Option<&'a [u8]> {
    let length = take(bytes, octets)?;
    let length = length
        .iter()
        .fold(0, |length, &octet| (length << 8) | usize::from(octet));
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

impl fmt::Debug for ClientProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientProofs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_found_and_nothing_is_read_from_a_part() {
        let head = [1, 2, b'a', b'b', 3, 4, 0x13, 1, 3, 9, 9, 9, 0, 1];
        let chain = [0, 0, 8, 0, 0, 2, 0x30, 0, 0, 0, 0];
        let session = [&head[..], &chain].concat();
        assert_eq!(leaf(&session), Some(&[0x30, 0][..]));
        for end in 0..session.len() {
            assert_eq!(leaf(&session[..end]), None, "{end}");
        }
        let without = [0, 3, 4, 0x13, 1, 3, 9, 9, 9, 0, 0, 0, 0, 0];
        assert_eq!(leaf(&without), None);
    }

    fn session_of(leaf: &[u8]) -> Vec<u8> {
        let head = [0, 3, 4, 0x13, 1, 3, 9, 9, 9, 0, 1];
        let length = leaf.len() as u8;
        [&head[..], &[0, 0, length + 3, 0, 0, length], leaf].concat()
    }

    fn at(second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(second))
    }

    fn binding(trust: u8, until: u64) -> SessionBinding {
        SessionBinding {
            trust: crate::gate::GenerationId::from_bytes([trust; 8]),
            until: at(until),
        }
    }

    #[test]
    fn a_session_is_not_prolonged_by_a_later_proof_or_by_its_resumption() {
        let proofs = ClientProofs::new();
        let (leaf, session) = (CertificateDer::from(&[0x30, 0][..]), session_of(&[0x30, 0]));
        let known = || proofs.of_session(&session);
        assert_eq!(known(), None);
        proofs.insert(&leaf, binding(1, 10), at(0));
        assert_eq!(known(), Some(binding(1, 10)));
        // The owner proves the key again, in the last second of the proof and after it.
        proofs.insert(&leaf, binding(1, 20), at(10));
        assert_eq!(known(), Some(binding(1, 10)));
        proofs.insert(&leaf, binding(1, 21), at(11));
        assert_eq!(known(), Some(binding(1, 21)));
        // An older session is resumed, and then a newer one.
        proofs.resume(&session, binding(1, 15));
        assert_eq!(known(), Some(binding(1, 15)));
        proofs.resume(&session, binding(1, 18));
        assert_eq!(known(), Some(binding(1, 15)));
        // No session of another trust is resumed, so that it limits none.
        proofs.insert(&leaf, binding(2, 30), at(12));
        assert_eq!(known(), Some(binding(2, 30)));
        proofs.insert(&leaf, binding(2, 31), at(12));
        assert_eq!(known(), Some(binding(2, 30)));
        // A session that another door granted.
        let other = session_of(&[0x30, 1, 0]);
        assert_eq!(proofs.of_session(&other), None);
        proofs.resume(&other, binding(2, 14));
        assert_eq!(proofs.of_session(&other), Some(binding(2, 14)));
        assert_eq!(known(), Some(binding(2, 30)));
    }
}
