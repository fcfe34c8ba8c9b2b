//! The observations of one handshake, for the code that drives it.
//!
//! A verifier of rustls can only return yes or no: a rejected chain is missing from
//! `peer_certificates()`, and a verified path would have to be computed again. A field of the
//! verifier would be shared by all connections of a configuration, and race. But rustls calls its
//! verifiers synchronously, from inside the call that feeds it bytes. So the code that feeds a
//! connection sets that connection's probe for the duration of the call ([`with_probe`]), and the
//! verifiers write to the probe of their thread.
//!
//! [`with_probe`]: HandshakeProbe::with_probe

use std::cell::RefCell;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ProtocolVersion};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::resumption::a_day_after;
use super::server_hello::{ServerHello, ServerHelloReader};
use crate::gate::{GenerationId, Verified};
use crate::pki::Certificate;
use crate::side::Side;
use crate::trust::{ChainError, VerifiedChain};

/// The observations of one connection's handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandshakeProbe {
    /// The trust in force before the configuration was chosen.
    began: Option<GenerationId>,
    verified: Option<Result<Verified, ChainError>>,
    /// The chain that the peer presented, if it was rejected.
    presented: Vec<CertificateDer<'static>>,
    /// The certificates of it that were parsed.
    read: Vec<Certificate>,
    /// The name that a client asked for (SNI).
    server_name: Option<Arc<str>>,
    /// The last alert that we sent in the clear.
    sent_alert: Option<AlertDescription>,
    /// The first messages of the server, which is this side or the peer.
    hello: ServerHelloReader,
    resumed: Option<SessionBinding>,
    signature_failed: bool,
    /// The chain could not be verified, because the clock returned no time.
    is_without_time: bool,
    asked_for_certificate: bool,
    /// The client gets a session.
    grants_session: bool,
    /// Our certificate that was presented to the peer.
    shown: Option<Arc<CertifiedKey>>,
    prefix: [u8; PREFIX],
    received: u64,
}

/// The conditions of a session: the trust that its chain was verified by, and the last second in which
/// that verification holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionBinding {
    pub(super) trust: GenerationId,
    pub(super) until: UnixTime,
}

impl SessionBinding {
    /// Limited to a day after this time, at which the key was proven.
    pub(super) fn proven_at(self, now: UnixTime) -> Self {
        Self {
            until: self.until.min(a_day_after(now)),
            ..self
        }
    }

    /// Limited to the time of the other, if that is of the same trust.
    pub(super) fn no_longer_than(self, other: Self) -> Self {
        if self.trust != other.trust {
            return self; // no session of the other is resumed any more
        }
        Self {
            until: self.until.min(other.until),
            ..self
        }
    }
}

/// Enough of a peer's first bytes to distinguish HTTP from TLS.
const PREFIX: usize = 8;

/// How the peer began, and how much it sent in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) total: u64,
}

thread_local! {
    static ACTIVE: RefCell<Option<HandshakeProbe>> = const { RefCell::new(None) };
}

impl HandshakeProbe {
    /// For a connection that gets the configuration of this trust, or of a later one.
    pub(crate) fn beginning_under(trust: GenerationId) -> Self {
        Self {
            began: Some(trust),
            ..Self::default()
        }
    }

    /// Runs `feed`, which drives this probe's connection on this thread.
    pub(crate) fn with_probe<R>(&mut self, feed: impl FnOnce() -> R) -> R {
        /// Puts everything back, also when `feed` panics.
        struct Leave<'a> {
            slot: &'a mut HandshakeProbe,
            outer: Option<HandshakeProbe>,
        }
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                if let Some(probe) = ACTIVE.replace(self.outer.take()) {
                    *self.slot = probe;
                }
            }
        }
        let outer = ACTIVE.replace(Some(std::mem::take(self)));
        let _leave = Leave { slot: self, outer };
        feed()
    }

    /// Records the result of verifying the chain that the peer presented.
    pub(super) fn record_verification(
        &mut self,
        result: &Result<Verified, ChainError>,
        presented: &[CertificateDer<'_>],
        read: Vec<Certificate>,
    ) {
        self.verified = Some(result.clone());
        if result.is_err() {
            let owned = presented.iter().map(|der| der.clone().into_owned());
            self.presented = owned.collect();
            self.read = read;
        }
    }

    /// Takes the verified chain, if it is the one that rustls now vouches for, and if the trust
    /// in force verified it: it may have changed since, and TLS inside of TLS may have two
    /// handshakes on one thread.
    pub(crate) fn take_verified(
        &mut self,
        trust: GenerationId,
        presented: &[CertificateDer<'_>],
    ) -> Option<Verified> {
        self.verified.take()?.ok().filter(|verified| {
            verified.trust() == trust && presented.first() == Some(verified.chain().leaf().der())
        })
    }

    /// The reason why the chain was refused.
    pub(crate) fn chain_error(&self) -> Option<&ChainError> {
        self.verified.as_ref()?.as_ref().err()
    }

    /// Whether the chain could not be verified, because the clock returned no time.
    pub(crate) const fn is_without_time(&self) -> bool {
        self.is_without_time
    }

    /// The chain that the peer presented without proving that it owns the leaf's key.
    pub(crate) fn unproven(&self) -> Option<&VerifiedChain> {
        self.verified_chain().filter(|_| self.signature_failed)
    }

    /// The chain that was verified, of a handshake that is not over.
    pub(crate) fn verified_chain(&self) -> Option<&VerifiedChain> {
        Some(self.verified.as_ref()?.as_ref().ok()?.chain())
    }

    /// The chain that the peer presented, if it was rejected.
    pub(crate) fn presented(&self) -> &[CertificateDer<'static>] {
        &self.presented
    }

    /// The certificates of [`presented`](Self::presented) that were read.
    pub(crate) fn read(&self) -> &[Certificate] {
        &self.read
    }

    /// The name that a client asked for (SNI).
    pub(crate) const fn server_name(&self) -> Option<&Arc<str>> {
        self.server_name.as_ref()
    }

    /// The parameters that the server has chosen; `None` if it has sent no ServerHello.
    pub(crate) const fn server_hello(&self) -> Option<ServerHello> {
        self.hello.found()
    }

    /// The last alert that we sent in the clear, before there were keys.
    pub(crate) const fn sent_alert(&self) -> Option<AlertDescription> {
        self.sent_alert
    }

    /// The bytes that were received from the peer during the handshake.
    pub(crate) fn received(&self) -> Received<'_> {
        let known = usize::try_from(self.received).map_or(PREFIX, |total| total.min(PREFIX));
        Received {
            prefix: &self.prefix[..known],
            total: self.received,
        }
    }

    /// Sets the alert that was sent in another way than by a record.
    #[cfg(feature = "quinn")]
    pub(super) const fn set_sent_alert(&mut self, alert: AlertDescription) {
        self.sent_alert = Some(alert);
    }

    fn receive(&mut self, bytes: &[u8]) {
        let known = self.received().prefix.len();
        for (kept, &byte) in self.prefix[known..].iter_mut().zip(bytes) {
            *kept = byte;
        }
        self.received += bytes.len() as u64;
    }

    /// The binding of a session of this connection, where that is known. If the trust changed during the
    /// handshake, it is bound to the old one, because the client received the old credentials.
    fn origin(&self) -> Option<SessionBinding> {
        let origin = match &self.verified {
            Some(Ok(verified)) => SessionBinding {
                trust: verified.trust(),
                until: verified.chain().holds_until(),
            },
            _ => self.resumed?,
        };
        Some(SessionBinding {
            trust: self.began.unwrap_or(origin.trust),
            ..origin
        })
    }

    /// Which side the peer is on: only a server's probe begins under a trust.
    pub(super) const fn peer(&self) -> Side {
        match self.began {
            Some(_) => Side::Client,
            None => Side::Server,
        }
    }

    /// The certificate of ours that the peer was shown; `None` in a resumed handshake.
    pub(crate) const fn shown(&self) -> Option<&Arc<CertifiedKey>> {
        self.shown.as_ref()
    }

    /// Whether the server asked for our certificate.
    pub(crate) const fn asked_for_certificate(&self) -> bool {
        self.asked_for_certificate
    }
}

pub(super) fn record_verification(
    result: &Result<Verified, ChainError>,
    presented: &[CertificateDer<'_>],
    read: Vec<Certificate>,
) {
    record(|probe| probe.record_verification(result, presented, read));
}

/// Records the name that a client asks for.
pub(super) fn record_server_name(name: &str) {
    record(|probe| probe.server_name = Some(name.into()));
}

/// Records bytes that the transport has accepted for the peer.
pub(crate) fn record_sent(bytes: &[u8]) {
    // A record of one alert, as RFC 8446 section 5.1 has it in the clear: content type, legacy
    // version, length, fatal, description.
    if let [0x15, 3, _, 0, 2, 2, description, ..] = *bytes {
        record(|probe| probe.sent_alert = Some(description.into()));
    }
    record(|probe| {
        if probe.peer() == Side::Client {
            probe.hello.feed(bytes);
        }
    });
}

/// Records that the client gets a session.
pub(super) fn record_session() {
    record(|probe| probe.grants_session = true);
}

/// Whether what is sent now are session tickets of TLS 1.3: the last messages of a server's handshake, after the
/// client's Finished, for which no client waits.
pub(crate) fn sends_tickets() -> bool {
    ACTIVE.with_borrow(|entered| {
        entered.as_ref().is_some_and(|probe| {
            let version = probe.server_hello().map(|hello| hello.version);
            probe.grants_session && version == Some(ProtocolVersion::TLSv1_3)
        })
    })
}

/// Records the binding of the session that is being resumed.
pub(super) fn record_resumption(origin: SessionBinding) {
    record(|probe| probe.resumed = Some(origin));
}

/// The binding of a session of the connection on this thread. `None` when no handshake is being driven, or
/// no chain is verified yet.
pub(super) fn session_origin() -> Option<SessionBinding> {
    ACTIVE.with_borrow(|entered| entered.as_ref().and_then(HandshakeProbe::origin))
}

pub(super) fn record_signature(valid: bool) {
    record(|probe| probe.signature_failed |= !valid);
}

/// Records that this chain could not be verified, because the clock returned no time.
pub(super) fn record_missing_time(presented: &[CertificateDer<'_>]) {
    record(|probe| {
        probe.is_without_time = true;
        let owned = presented.iter().map(|der| der.clone().into_owned());
        probe.presented = owned.collect();
    });
}

pub(super) fn record_request_for_certificate() {
    record(|probe| probe.asked_for_certificate = true);
}

/// Records which of our certificates was presented to the peer.
pub(super) fn record_shown(certificate: &Arc<CertifiedKey>) {
    record(|probe| probe.shown = Some(Arc::clone(certificate)));
}

/// Records bytes that were received from the peer.
pub(crate) fn record_received(bytes: &[u8]) {
    record(|probe| {
        // A client could send a message that looks like a ServerHello.
        if probe.peer() == Side::Server {
            probe.hello.feed(bytes);
        }
        probe.receive(bytes);
    });
}

/// Records data of TLS that was received from the peer over QUIC, which has no records.
#[cfg(feature = "quinn")]
pub(super) fn record_quic(data: &[u8]) {
    record(|probe| probe.receive(data));
}

/// Whether a handshake of ours is being driven on this thread.
pub(super) fn is_active() -> bool {
    ACTIVE.with_borrow(Option::is_some)
}

/// Whether the server of the handshake on this thread requested our certificate. `None` when no handshake
/// is being driven.
pub(super) fn server_asked() -> Option<bool> {
    ACTIVE.with_borrow(|entered| entered.as_ref().map(HandshakeProbe::asked_for_certificate))
}

fn record(write: impl FnOnce(&mut HandshakeProbe)) {
    ACTIVE.with_borrow_mut(|entered| entered.as_mut().map(write));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn captures_do_not_mix() {
        let (mut outer, mut inner) = (HandshakeProbe::default(), HandshakeProbe::default());
        outer.with_probe(|| {
            inner.with_probe(record_request_for_certificate);
            assert_eq!(server_asked(), Some(false));
            record_signature(false);
        });
        assert!(inner.asked_for_certificate && !inner.signature_failed);
        assert!(outer.signature_failed && !outer.asked_for_certificate);
        assert_eq!(server_asked(), None);
        record_request_for_certificate(); // goes nowhere
    }

    #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
    #[test]
    fn a_verification_counts_only_for_its_trust_and_its_chain() {
        use crate::identity::DnsName;
        use crate::testing::TestCa;
        use crate::{Acceptor, policy};

        let ca = TestCa::new("Root");
        let leaf = ca.leaf().dns("a.example").issue();
        let other_leaf = ca.leaf().dns("a.example").issue();
        let gate = || {
            Acceptor::builder()
                .credentials(leaf.credentials())
                .trust(ca.trust())
                .identify(DnsName::extractor())
                .authorize(policy::allow_any())
                .build()
                .expect("an acceptor")
                .control()
                .gate_in_force()
        };
        let (gate, other_gate) = (gate(), gate());
        let probed = || {
            let now = gate.now().expect("a clock");
            let result = gate.verify(leaf.chain(), None, now, &mut Vec::new());
            let mut probe = HandshakeProbe::default();
            probe.with_probe(|| record_verification(&result, leaf.chain(), Vec::new()));
            probe
        };
        assert!(
            probed()
                .take_verified(gate.trust_id(), leaf.chain())
                .is_some()
        );
        assert!(
            probed()
                .take_verified(other_gate.trust_id(), leaf.chain())
                .is_none()
        );
        assert!(
            probed()
                .take_verified(gate.trust_id(), other_leaf.chain())
                .is_none()
        );
        assert!(probed().take_verified(gate.trust_id(), &[]).is_none());
        assert!(probed().chain_error().is_none());
        assert!(probed().unproven().is_none(), "no signature has failed");
    }

    #[test]
    fn the_first_bytes_are_kept_whatever_the_pieces() {
        let mut probe = HandshakeProbe::default();
        probe.with_probe(|| {
            for piece in [&b"GE"[..], b"", b"T / HTTP/1.1", b"more"] {
                record_received(piece);
            }
        });
        assert_eq!(probe.received().prefix, b"GET / HT");
        assert_eq!(probe.received().total, 18);
        assert_eq!(HandshakeProbe::default().received().prefix, b"");

        #[cfg(feature = "quinn")]
        {
            probe.with_probe(|| record_quic(b"and over QUIC"));
            assert_eq!(probe.received().total, 31);
        }
    }

    #[test]
    fn a_panic_leaves_the_capture() {
        let mut probe = HandshakeProbe::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            probe.with_probe(|| {
                record_request_for_certificate();
                panic!("a resolver panicked");
            });
        }));
        assert!(panicked.is_err());
        assert!(probe.asked_for_certificate());
        assert_eq!(server_asked(), None);
    }
}
