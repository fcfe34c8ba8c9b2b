//! The gate's outcomes, as the audit trail tells them.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Admission, AdmitError, Gate, alert_name};
use crate::audit::{
    Action, Alert, AuditEvent, Auditor, Log, PresentedCertificate, Proof, Stage, Stats, Witness,
};
use crate::identity::extract_caught;
use crate::{Certificate, ConnectionInfo, Peer};

impl<I> Gate<I> {
    #[cfg_attr(not(feature = "tower"), expect(dead_code))]
    pub(crate) fn auditor(&self) -> &Arc<Auditor<I>> {
        &self.inner.auditor
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        self.inner.auditor.log()
    }

    /// How often what happened, and how things stand; `own` are our certificates.
    pub(crate) fn stats(&self, own: &[(Option<String>, Certificate)]) -> Stats {
        let trusted = self.trusted();
        let now = self.now().ok();
        let since = |from: UnixTime, to: UnixTime| {
            Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()))
        };
        let log = self.log();
        Stats {
            generation: trusted.generation(),
            audit_dropped: log.dropped(),
            own_certificate_left: now.zip(first_end(own)).map(|(now, end)| since(now, end)),
            crl_age: now.and_then(|now| {
                let made = trusted.verifier().oldest_crl(now)?;
                Some(since(made, now))
            }),
            ..log.counts().read()
        }
    }

    /// Tells the metrics what is in force.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(crate) fn meter(&self, own: &[(Option<String>, Certificate)]) {
        #[cfg(feature = "metrics")]
        {
            let trusted = self.trusted();
            let now = self.now().ok();
            let oldest_crl = now.and_then(|now| trusted.verifier().oldest_crl(now));
            let meter = self.log().counts().meter();
            meter.in_force(trusted.generation(), first_end(own), oldest_crl);
        }
    }

    /// Sees an attempt that begins.
    pub(crate) fn witness(&self, info: ConnectionInfo) -> Witness {
        Witness::new(self.log(), info, self.generation())
    }

    /// Records that a peer is admitted.
    ///
    /// # Errors
    /// [`AdmitError::NotAudited`]: there is no record, so there is no session.
    pub(crate) fn record_admitted(
        &self,
        witness: &mut Witness,
        admission: &Admission<I>,
        presented: &[CertificateDer<'_>],
    ) -> Result<(), AdmitError> {
        let peer = admission.peer();
        witness.stage = Stage::Open;
        let recorded = witness.conclude(Action::Admitted, None, |event| {
            event.rule = Some(admission.rule_name());
            // It was named when it was identified, but for those who do not wait for a policy.
            event.identity = event
                .identity
                .take()
                .or_else(|| self.inner.auditor.proven(peer));
            event.set_presented(presented, peer.chain().certificates());
            event.generation = self.generation();
        });
        recorded.map_err(|error| {
            witness.stage = Stage::Policy;
            AdmitError::NotAudited {
                certificate: peer.certificate().clone(),
                error,
            }
        })
    }

    /// Records that the gate refused a peer, in its handshake or after it. `who` it is is known once
    /// it was identified. What it presented comes with what was read of that.
    pub(crate) fn record_refused(
        &self,
        witness: &mut Witness,
        error: &AdmitError,
        who: Option<&Peer<I>>,
        (presented, read): (&[CertificateDer<'_>], &[Certificate]),
    ) {
        witness.stage = error.stage();
        let tells_peer = witness.tells_peer;
        witness.is_proven |= who.is_some();
        let known = who.map(|peer| peer.chain().certificates());
        // It is refused in any case.
        let _ = witness.conclude(error.action(), Some(error.reason()), |event| {
            event.detail = Some(error.to_string());
            event.alert = tells_peer.then(|| Alert::Sent(alert_name(error.alert()).into()));
            event.set_presented(presented, known.unwrap_or(read));
            event.generation = self.generation();
            match who {
                Some(peer) => event.identity = self.inner.auditor.proven(peer),
                None => self.claim(event),
            }
        });
    }

    /// Names the peer of an attempt that is about to wait for a policy.
    #[cfg(feature = "tokio")]
    pub(crate) fn name_witness(&self, witness: &mut Witness, peer: &Peer<I>) {
        if self.inner.auditor.describes() {
            witness.is_proven = true;
            witness.identity = self.inner.auditor.proven(peer);
            witness.certificates = peer.chain().certificates().to_vec();
        }
    }

    /// Names a peer that was identified.
    pub(crate) fn name(&self, event: &mut AuditEvent, peer: &Peer<I>) {
        event.identity = self.inner.auditor.proven(peer);
        event.set_certificates(peer.chain().certificates());
    }

    /// Names who the peer claims to be, by the certificate that it has shown.
    pub(crate) fn claim(&self, event: &mut AuditEvent) {
        let leaf = event.certificates.first();
        let leaf = leaf.and_then(PresentedCertificate::certificate);
        let auditor = &self.inner.auditor;
        if let Some(leaf) = leaf.filter(|_| auditor.describes())
            && let Ok(identity) = extract_caught(&*self.inner.extractor, leaf, &|_| true)
        {
            event.identity = auditor.identity(&identity, Proof::Claimed);
        }
    }

    /// Records the outcome of an attempt that somebody else drives.
    pub(super) fn audited(
        &self,
        mut witness: Witness,
        presented: &[CertificateDer<'_>],
        judged: Result<Admission<I>, (AdmitError, Option<Peer<I>>)>,
    ) -> Result<Admission<I>, AdmitError> {
        let (error, who) = match judged {
            Ok(admission) => match self.record_admitted(&mut witness, &admission, presented) {
                Ok(()) => return Ok(admission),
                Err(error) => (error, Some(admission.peer().clone())),
            },
            Err(refused) => refused,
        };
        self.record_refused(&mut witness, &error, who.as_ref(), (presented, &[]));
        Err(error)
    }
}

/// When the first of our certificates expires.
fn first_end(own: &[(Option<String>, Certificate)]) -> Option<UnixTime> {
    own.iter().map(|(_, own)| own.not_after()).min()
}

impl AdmitError {
    /// Which outcome it is.
    pub(crate) const fn action(&self) -> Action {
        match self {
            Self::Chain(_) | Self::UnknownServerName => Action::ChainRefused,
            Self::Identity { .. } => Action::NotIdentified,
            Self::HandshakeIncomplete => Action::HandshakeFailed,
            _ => Action::Denied,
        }
    }

    const fn stage(&self) -> Stage {
        match self {
            Self::HandshakeIncomplete => Stage::Handshake,
            Self::Chain(_) | Self::UnknownServerName | Self::NoClock => Stage::Chain,
            Self::Identity { .. } => Stage::Identity,
            _ => Stage::Policy,
        }
    }
}
