//! One attempt to connect, from its first byte to its outcome.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustls::AlertDescription;
use rustls_pki_types::CertificateDer;

use super::HandshakeError;
use super::in_force::Current;
use super::probe::HandshakeProbe;
use crate::audit::{
    Action, Alert, AttemptOutcome, AuditEvent, AuditedIdentity, PresentedCertificate, Proof,
    Recorder, Stage, is_unauthenticated,
};
use crate::gate::{Admission, AdmitError, Gate, Handshaken, Identified, alert_name};
use crate::trust::ChainError;
use crate::{ConnectionInfo, Peer};

/// An attempt that is in progress.
///
/// [`finish`](Self::finish) consumes it and is the only code that writes an outcome. An attempt that
/// is dropped before was abandoned, and that is its outcome.
pub(crate) struct Attempt<I: Send + Sync + 'static> {
    endpoint: Arc<dyn Current<I>>,
    id: u64,
    started: Instant,
    /// The observations of the handshake so far.
    pub(crate) probe: HandshakeProbe,
    pub(crate) info: ConnectionInfo,
    /// The stage that the attempt has reached.
    pub(crate) stage: Stage,
    /// We send the peer an alert when we reject it.
    pub(crate) sends_alert: bool,
    /// The alert of a handshake that fails, where the probe does not know it.
    pub(crate) alert: Option<AlertDescription>,
    /// The listener that accepted the connection, if one did.
    #[cfg(feature = "tokio")]
    pub(crate) listener: Option<u64>,
    /// The peer, once it has proven its key and was identified.
    peer: Option<Peer<I>>,
    identity: Option<AuditedIdentity>,
    is_finished: bool,
}

/// Why an attempt failed.
pub(crate) trait Failure: fmt::Display {
    fn action(&self) -> Action;

    fn reason(&self) -> &'static str;

    /// The step that failed, where the error shows it.
    fn stage(&self) -> Option<Stage>;

    /// The alert that the peer has sent, or was sent.
    fn seen_alert(&self, context: AlertContext<'_>) -> Option<Alert>;

    /// The alert to send to a peer whose handshake is complete.
    fn late_alert(&self) -> AlertDescription;
}

/// The state that determines which alert a failed attempt has received or sent.
#[derive(Clone, Copy)]
pub(crate) struct AlertContext<'a> {
    probe: &'a HandshakeProbe,
    /// The handshake is complete.
    is_handshaken: bool,
    sends_alert: bool,
    alert: Option<AlertDescription>,
}

impl<I: Send + Sync + 'static> Attempt<I> {
    pub(crate) fn start(endpoint: Arc<dyn Current<I>>, info: ConnectionInfo) -> Self {
        endpoint.recorder().counters().began();
        Self {
            endpoint,
            id: next_id(),
            started: Instant::now(),
            probe: HandshakeProbe::default(),
            info,
            stage: Stage::Transport,
            sends_alert: true,
            alert: None,
            #[cfg(feature = "tokio")]
            listener: None,
            peer: None,
            identity: None,
            is_finished: false,
        }
    }

    /// The number of the connection, which no other connection of this process has.
    #[cfg(feature = "tokio")]
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn gate(&self) -> Arc<Gate<I>> {
        self.endpoint.gate()
    }

    /// Whether the rules of this gate are in force; to be asked under the lock of the open connections.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_in_force(&self, gate: &Gate<I>) -> bool {
        self.endpoint.epoch() == gate.epoch()
    }

    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        self.endpoint.recorder()
    }

    /// The identity as text, once the peer was identified.
    #[cfg(feature = "tokio")]
    pub(crate) const fn identity(&self) -> Option<&AuditedIdentity> {
        self.identity.as_ref()
    }

    /// Verifies and identifies the peer of a connection that has finished its handshake.
    ///
    /// A full handshake has just verified the chain. A resumed one restored it from the session, so
    /// that it is verified here, by the rules in force. So is a chain whose trust was replaced during
    /// the handshake.
    pub(crate) fn identify<'c>(
        &mut self,
        connection: impl Into<Handshaken<'c>>,
    ) -> Result<Identified<'c, I>, (AdmitError, &'c [CertificateDer<'c>])> {
        let (remote, local) = (self.info.remote_addr(), self.info.local_addr());
        let read = connection.into().read(remote, local);
        let (presented, info) = read.map_err(|error| (error, &[][..]))?;
        self.info = info.with_proxy_addr(self.info.proxy_addr());
        self.identify_chain(presented)
    }

    /// As [`identify`](Self::identify), for a chain whose key was proven elsewhere.
    pub(crate) fn identify_chain<'c>(
        &mut self,
        presented: &'c [CertificateDer<'c>],
    ) -> Result<Identified<'c, I>, (AdmitError, &'c [CertificateDer<'c>])> {
        let gate = self.gate();
        let verified = match self.probe.take_verified(gate.trust_id(), presented) {
            Some(verified) => Ok(verified),
            None => gate
                .verify_for(presented, &self.info)
                .inspect(|verified| self.count_chain(verified.is_remembered())),
        };
        let info = self.info.clone();
        let identified = verified.and_then(|verified| gate.identify(&verified, presented, info));
        let identified = identified.map_err(|error| (error, presented))?;
        self.identified(identified.peer());
        Ok(identified)
    }

    /// Decides about the peer by the rules in force, with a synchronous policy.
    fn decide(&self, mut peer: Identified<'_, I>) -> Result<Admission<I>, AdmitError> {
        loop {
            let gate = self.gate();
            let decided = gate.decide(&mut peer);
            self.count_decision(&mut peer);
            decided?;
            if self.endpoint.settled_epoch() == gate.epoch()
                && let Some(admission) = peer.admission()
            {
                return Ok(admission);
            }
        }
    }

    /// As [`decide`](Self::decide), with either kind of policy.
    async fn decide_async(&self, mut peer: Identified<'_, I>) -> Result<Admission<I>, AdmitError> {
        loop {
            let gate = self.gate();
            let decided = gate.decide_async(&mut peer).await;
            self.count_decision(&mut peer);
            decided?;
            if self.endpoint.settled_epoch() == gate.epoch()
                && let Some(admission) = peer.admission()
            {
                return Ok(admission);
            }
        }
    }

    /// Steps 1 to 3 for a connection that has finished its handshake, and the record of the outcome.
    pub(crate) fn admit<'c>(
        mut self,
        connection: impl Into<Handshaken<'c>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (decided, presented) = match self.identify(connection) {
            Ok(peer) => {
                let presented = peer.presented();
                (self.decide(peer), presented)
            }
            Err((error, presented)) => (Err(error), presented),
        };
        self.concluded(decided, presented)
    }

    /// Steps 1 to 3 for a chain whose key was proven, and the record of the outcome.
    pub(crate) fn admit_chain(
        mut self,
        presented: &[CertificateDer<'_>],
    ) -> Result<Admission<I>, AdmitError> {
        let decided = match self.identify_chain(presented) {
            Ok(peer) => self.decide(peer),
            Err((error, _)) => Err(error),
        };
        self.concluded(decided, presented)
    }

    /// As [`admit_chain`](Self::admit_chain), for either kind of policy.
    pub(crate) async fn admit_chain_async(
        mut self,
        presented: &[CertificateDer<'_>],
    ) -> Result<Admission<I>, AdmitError> {
        let decided = match self.identify_chain(presented) {
            Ok(peer) => self.decide_async(peer).await,
            Err((error, _)) => Err(error),
        };
        self.concluded(decided, presented)
    }

    /// Finishes the attempt with the gate's decision.
    fn concluded(
        self,
        decided: Result<Admission<I>, AdmitError>,
        presented: &[CertificateDer<'_>],
    ) -> Result<Admission<I>, AdmitError> {
        let result = decided.as_ref().map_err(|error| error as &dyn Failure);
        self.finish(result, presented)?;
        decided
    }

    /// Counts the time and the verifications of a decision.
    pub(crate) fn count_decision(&self, peer: &mut Identified<'_, I>) {
        for is_remembered in peer.take_reverified() {
            self.count_chain(is_remembered);
        }
        if let Some(took) = peer.take_policy_time() {
            self.recorder().counters().policy(took);
        }
    }

    fn count_chain(&self, is_remembered: bool) {
        self.recorder().counters().chain(is_remembered);
    }

    /// Stores the peer, so that every outcome from here on has its identity.
    fn identified(&mut self, peer: &Peer<I>) {
        self.stage = Stage::Policy;
        self.identity = self.recorder().identity(peer.identity(), Proof::Proven);
        self.peer = Some(peer.clone());
    }

    /// Records the outcome. `presented` is the chain as the peer sent it, if it is known here.
    ///
    /// # Errors
    /// An admission that cannot be recorded does not take place: [`AdmitError::NotAudited`], which is
    /// then the outcome and is recorded as far as that is possible.
    pub(crate) fn finish(
        mut self,
        result: Result<&Admission<I>, &dyn Failure>,
        presented: &[CertificateDer<'_>],
    ) -> Result<(), AdmitError> {
        match result {
            Ok(admission) => {
                self.stage = Stage::Open;
                let peer = admission.peer();
                let recorded = self.write(Action::Admitted, None, presented, Some(peer), |event| {
                    event.rule = Some(admission.rule_name());
                });
                recorded.map_err(|error| {
                    self.stage = Stage::Policy;
                    let certificate = peer.certificate().clone();
                    let error = AdmitError::NotAudited { certificate, error };
                    self.fail(&error, presented);
                    error
                })
            }
            Err(failure) => {
                self.fail(failure, presented);
                Ok(())
            }
        }
    }

    fn fail(&mut self, failure: &dyn Failure, presented: &[CertificateDer<'_>]) {
        let peer = self.peer.clone();
        let alert = failure.seen_alert(AlertContext {
            probe: &self.probe,
            is_handshaken: peer.is_some(),
            sends_alert: self.sends_alert,
            alert: self.alert,
        });
        if let Some(stage) = failure.stage() {
            self.stage = stage;
        } else if self.probe.verified_chain().is_some() {
            self.stage = self.stage.max(Stage::Proof);
        }
        let (action, reason) = (failure.action(), failure.reason());
        // The attempt has failed whether or not that is recorded; a failure of the sink is counted.
        let _ = self.write(action, Some(reason), presented, peer.as_ref(), |event| {
            event.detail = Some(failure.to_string());
            event.alert = alert;
        });
    }

    fn write(
        &mut self,
        action: Action,
        reason: Option<&'static str>,
        presented: &[CertificateDer<'_>],
        peer: Option<&Peer<I>>,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), crate::audit::RecordError> {
        self.learn();
        let duration = self.started.elapsed();
        let outcome = AttemptOutcome {
            action,
            reason,
            duration,
            resumed: self.info.is_resumed(),
            is_unproven: peer.is_none() && is_unauthenticated(action, self.stage, &self.info),
        };
        let gate = self.gate();
        let recorded = self.recorder().record_outcome(outcome, |event| {
            event.connection = Some(self.id);
            event.stage = Some(self.stage);
            event.info = self.info.clone();
            event.generation = gate.generation();
            event.duration = Some(duration);
            self.show(event, presented, peer);
            event.identity = match peer {
                Some(_) => self.identity.clone(),
                None => self.claim(&gate, event),
            };
            fill(event);
        });
        self.is_finished = action != Action::Admitted || recorded.is_ok();
        recorded
    }

    /// Takes the parameters of a handshake that did not complete from the probe.
    fn learn(&mut self) {
        if let Some(name) = self.probe.server_name()
            && self.info.server_name().is_none()
        {
            let info = std::mem::take(&mut self.info);
            self.info = info.with_server_name(name.clone());
        }
        if let Some(hello) = self.probe.server_hello()
            && self.info.version().is_none()
        {
            let info = std::mem::take(&mut self.info);
            self.info = info.with_choices(hello.version, hello.cipher_suite, hello.group);
        }
    }

    fn show(
        &self,
        event: &mut AuditEvent,
        presented: &[CertificateDer<'_>],
        peer: Option<&Peer<I>>,
    ) {
        let verified = match peer {
            Some(peer) => Some(peer.chain()),
            None => self.probe.verified_chain(),
        };
        let known = verified.map(|chain| chain.certificates());
        match known {
            Some(known) if presented.is_empty() => event.set_certificates(known),
            Some(known) => event.set_presented(presented, known),
            None if presented.is_empty() => {
                event.set_presented(self.probe.presented(), self.probe.read());
            }
            None => event.set_presented(presented, self.probe.read()),
        }
    }

    /// The identity that the certificate in the event claims.
    fn claim(&self, gate: &Gate<I>, event: &AuditEvent) -> Option<AuditedIdentity> {
        let recorder = self.recorder();
        let leaf = event.certificates.first();
        let leaf = leaf.and_then(PresentedCertificate::certificate);
        let leaf = leaf.filter(|_| recorder.describes())?;
        recorder.identity(&gate.claimed(leaf)?, Proof::Claimed)
    }
}

impl<I: Send + Sync + 'static> Drop for Attempt<I> {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let peer = self.peer.clone();
        // A failure to record it is counted.
        let _ = self.write(
            Action::Abandoned,
            Some("abandoned"),
            &[],
            peer.as_ref(),
            |event| {
                let text = "the attempt was abandoned before its outcome was known";
                event.detail = Some(text.into());
            },
        );
    }
}

impl<I: Send + Sync + 'static> fmt::Debug for Attempt<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl AlertContext<'_> {
    /// That alert, if we send one.
    pub(crate) fn sent(self, alert: AlertDescription) -> Option<Alert> {
        self.sends_alert.then(|| sent(alert))
    }
}

fn sent(alert: AlertDescription) -> Alert {
    Alert::Sent(alert_name(alert).into())
}

/// The most specific error of a failed handshake: the gate's reason for a rejected chain is more specific
/// than rustls' error.
pub(crate) fn most_specific<E>(error: HandshakeError, probe: &HandshakeProbe) -> E
where
    E: From<AdmitError> + From<HandshakeError>,
{
    let no_certificate = matches!(
        error,
        HandshakeError::Tls(rustls::Error::NoCertificatesPresented)
    );
    match probe.chain_error() {
        _ if probe.is_without_time() => AdmitError::NoClock.into(),
        Some(chain) => AdmitError::from(chain.clone()).into(),
        None if no_certificate => AdmitError::from(ChainError::NoCertificate).into(),
        None => error.into(),
    }
}

impl Failure for AdmitError {
    fn action(&self) -> Action {
        match self {
            Self::Chain(_) | Self::UnknownServerName => Action::ChainRefused,
            Self::Identity { .. } => Action::NotIdentified,
            Self::HandshakeIncomplete => Action::HandshakeFailed,
            _ => Action::Denied,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn stage(&self) -> Option<Stage> {
        Some(match self {
            Self::HandshakeIncomplete => Stage::Handshake,
            Self::Chain(_) | Self::UnknownServerName | Self::NoClock => Stage::Chain,
            Self::Identity { .. } => Stage::Identity,
            _ => Stage::Policy,
        })
    }

    fn seen_alert(&self, context: AlertContext<'_>) -> Option<Alert> {
        context.sent(self.alert())
    }

    fn late_alert(&self) -> AlertDescription {
        self.alert()
    }
}

impl Failure for HandshakeError {
    fn action(&self) -> Action {
        match self {
            Self::TimedOut { .. } | Self::SigningTimedOut { .. } => Action::TimedOut,
            _ => Action::HandshakeFailed,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn stage(&self) -> Option<Stage> {
        match self {
            // Whatever the peer has proven by then.
            Self::Signing(_) | Self::SigningTimedOut { .. } => Some(Stage::Handshake),
            _ => None,
        }
    }

    fn late_alert(&self) -> AlertDescription {
        AlertDescription::AccessDenied
    }

    fn seen_alert(&self, context: AlertContext<'_>) -> Option<Alert> {
        let alert = match self {
            Self::Alert(alert) => return Some(Alert::Received(alert_name(alert.alert()).into())),
            // Encrypted, with TLS 1.3.
            Self::KeyNotProven { .. } => context.alert.unwrap_or(AlertDescription::DecryptError),
            Self::TimedOut { .. } if context.is_handshaken => AlertDescription::AccessDenied,
            _ => context.probe.sent_alert()?,
        };
        Some(sent(alert))
    }
}
