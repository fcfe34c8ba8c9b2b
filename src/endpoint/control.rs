//! What an acceptor and a connector have in common.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{BundleChange, Change, Sources, Update};
#[cfg(any(feature = "tokio", feature = "http"))]
use crate::Peer;
use crate::audit::{Action, Recorder, Stats};
#[cfg(feature = "http")]
use crate::audit::{AuditedIdentity, Proof};
#[cfg(any(feature = "http", test))]
use crate::gate::Gate;
#[cfg(feature = "http")]
use crate::gate::Vouched;
use crate::gate::{Admission, AdmitError, Handshaken};
use crate::identity::TrustDomain;
#[cfg(feature = "tokio")]
use crate::live::{Live, OpenConnection};
#[cfg(feature = "tokio")]
use crate::policy::{AsyncPolicy, DenyList};
use crate::policy::{Authorizer, Policy};
use crate::tls::{Attempt, BuildError, Current};
use crate::trust::TrustStore;
use crate::{Certificate, ConnectionInfo};

/// An endpoint of either side.
pub(crate) trait Controlled<I>: Current<I> {
    /// Applies a change as a whole, or not at all, and returns the generation of trust in force. An
    /// error, or a panic, reports that nothing has changed.
    fn change(self: Arc<Self>, change: Change<I>) -> Result<u64, BuildError>;

    fn change_bundle(self: Arc<Self>, change: BundleChange) -> Result<u64, BuildError>;

    /// Our own certificates with the names that they are for, the default first.
    fn own_certificates(&self) -> Vec<(Option<String>, Certificate)>;

    /// Whether all cryptography in force is that of a FIPS module.
    fn is_fips(&self) -> bool;

    /// The sources that the builder was given.
    fn sources(&self) -> &Sources;

    #[cfg(feature = "tokio")]
    fn live(&self) -> &Arc<Live<I>>;

    /// Whether this is the deny list that the endpoint asks.
    #[cfg(feature = "tokio")]
    fn asks(&self, list: &DenyList<I>) -> bool;
}

/// Controls an acceptor or a connector while it is in use: replaces its rules, lists and closes its
/// connections, and admits peers of connections that you drive yourself.
///
/// From [`Acceptor::control`](crate::Acceptor::control) and
/// [`Connector::control`](crate::Connector::control). Cloning is cheap, and a clone outlives the
/// acceptor or connector.
///
/// ```
/// use countersign::{Acceptor, identity::DnsName, policy, testing::TestCa};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let acceptor = Acceptor::builder()
///     .credentials(ca.leaf().dns("server.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .build()?;
///
/// let control = acceptor.control().clone();
/// control.set_policy(policy::dns_patterns(["*.client.example"])?);
/// assert_eq!(control.stats().attempts(), 0);
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// [`admit`](Self::admit) relies on rustls for the proof that the peer owns the key of its
/// certificate. That proof exists for connections made with a configuration of the same acceptor or
/// connector ([`Acceptor::unauthorized_rustls_config`](crate::Acceptor::unauthorized_rustls_config)). A
/// configuration whose verifier accepts any signature makes every answer worthless.
pub struct Control<I> {
    endpoint: Arc<dyn Controlled<I>>,
}

impl<I: Send + Sync + 'static> Control<I> {
    pub(crate) fn new(endpoint: Arc<dyn Controlled<I>>) -> Self {
        Self { endpoint }
    }

    /// Admits or rejects the peer of a rustls connection that has finished its handshake.
    ///
    /// A client's connection comes with the name of the server:
    /// `control.admit((&connection, &server_name), address)`.
    ///
    /// The chain is verified here, whether or not the handshake just did so, because rustls calls no
    /// verifier for a resumed session.
    ///
    /// The connection is yours: it is neither listed nor authorized again when the rules change. Admit
    /// a long-lived connection again from time to time.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is rejected. With an async policy, always
    /// [`AdmitError::PolicyIsAsync`]; use [`admit_async`](Self::admit_async) then.
    pub fn admit<'c>(
        &self,
        connection: impl Into<Handshaken<'c>>,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (presented, info) = connection.into().read(remote_addr.into(), None)?;
        self.admit_chain(presented, info)
    }

    /// Admits or rejects the peer of a protocol other than TLS over rustls connections, such as QUIC with
    /// another library than quinn (for which there is `integration::quinn`), by the chain that it presented, leaf first. As with [`admit`](Self::admit), the connection is
    /// not authorized again.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    ///
    /// # Security
    /// Call it only after the peer has proven that it owns the leaf's key.
    pub fn admit_chain(
        &self,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
    ) -> Result<Admission<I>, AdmitError> {
        self.attempt(info).admit_chain(presented)
    }

    /// As [`admit`](Self::admit), for either kind of policy.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is rejected.
    ///
    /// # Cancel safety
    /// Dropping the future records the attempt as abandoned; the peer is not admitted.
    pub async fn admit_async<'c>(
        &self,
        connection: impl Into<Handshaken<'c>>,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (presented, info) = connection.into().read(remote_addr.into(), None)?;
        self.admit_chain_async(presented, info).await
    }

    /// As [`admit_chain`](Self::admit_chain), for either kind of policy.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is rejected.
    ///
    /// # Cancel safety
    /// As for [`admit_async`](Self::admit_async).
    pub async fn admit_chain_async(
        &self,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
    ) -> Result<Admission<I>, AdmitError> {
        self.attempt(info).admit_chain_async(presented).await
    }

    /// Admits or rejects a client for which a proxy vouches, by the chain that it presented to the proxy,
    /// and by the rules in force. The caller records the outcome.
    ///
    /// `proxy` is the peer of a connection that was admitted; whether it may vouch is up to the caller.
    #[cfg(feature = "http")]
    pub(crate) async fn admit_vouched(
        &self,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
        proxy: &Peer<I>,
    ) -> Result<(Vouched<I>, Arc<Gate<I>>), AdmitError> {
        let gate = self.endpoint.gate();
        let counters = self.recorder().counters();
        let verified = gate.verify_for(presented, &info)?;
        counters.chain(verified.is_remembered());
        let identified = gate.identify(&verified, presented, info)?;
        let mut peer = identified.vouched_for_by(proxy.clone());
        loop {
            let gate = self.endpoint.gate();
            let decided = gate.decide_async(&mut peer).await;
            for is_remembered in peer.take_reverified() {
                counters.chain(is_remembered);
            }
            if let Some(took) = peer.take_policy_time() {
                counters.policy(took);
            }
            decided?;
            if self.endpoint.settled_epoch() == gate.epoch()
                && let Some(vouched) = peer.vouched()
            {
                return Ok((vouched, gate));
            }
        }
    }

    /// The identity that a certificate claims, as text, with this proof of it.
    #[cfg(feature = "http")]
    pub(crate) fn claimed_identity(
        &self,
        leaf: Option<&Certificate>,
        proof: Proof,
    ) -> Option<AuditedIdentity> {
        let recorder = self.recorder();
        let leaf = leaf.filter(|_| recorder.describes())?;
        let claimed = self.endpoint.gate().claimed(leaf)?;
        recorder.identity(&claimed, proof)
    }

    fn attempt(&self, info: ConnectionInfo) -> Attempt<I> {
        let endpoint: Arc<dyn Current<I>> = self.endpoint.clone();
        let mut attempt = Attempt::start(endpoint, info);
        attempt.sends_alert = false; // the caller does
        attempt
    }

    /// Replaces trust, CRLs or credentials, and returns the number of the new generation.
    ///
    /// Open connections are authorized again; those whose peers are no longer admitted are cut. No
    /// session of an older generation is resumed. When a connector gets new credentials, its open
    /// connections [drain](crate::TlsStream::draining), so that pools connect with the new ones.
    ///
    /// It verifies the signatures of the CRLs, which takes time if they are large; call it where blocking
    /// is allowed then. Connections continue concurrently.
    ///
    /// # Errors
    /// [`BuildError`], as [`Update`] describes; then nothing has changed.
    pub fn update(&self, update: Update) -> Result<u64, BuildError> {
        let updated = self.change(update);
        if let Err(error @ BuildError::CrlRolledBack { .. }) = &updated {
            // A rollback may be an attack. A reload records its failures itself.
            let recorder = self.recorder();
            recorder.emit(Action::ReloadRefused, Some(error.reason()), |event| {
                event.generation = self.generation();
                event.detail = Some(error.to_string());
            });
        }
        updated
    }

    /// Replaces the policy.
    ///
    /// The new policy authorizes every new connection, including resumed ones. Open connections are
    /// authorized again, and cut if they are denied. A connector forgets the sessions that servers
    /// granted before.
    pub fn set_policy(&self, policy: impl Policy<I> + 'static) {
        self.set_authorizer(Authorizer::sync(policy));
    }

    /// As [`set_policy`](Self::set_policy), with an asynchronous policy.
    ///
    /// It decides about every open connection, up to 64 concurrently. A connection without an answer within
    /// `timeout` is cut. Changes of trust, CRLs and deny list are checked for open connections without
    /// asking the policy again.
    #[cfg(feature = "tokio")]
    pub fn set_async_policy(&self, policy: impl AsyncPolicy<I> + 'static, timeout: Duration) {
        self.set_authorizer(Authorizer::asynchronous(policy, timeout));
    }

    fn set_authorizer(&self, authorizer: Authorizer<I>) {
        // Only an update of trust, CRLs or credentials can fail.
        let _ = self.change(authorizer);
    }

    /// Adds a SPIFFE trust domain with its bundle, or replaces its bundle: an
    /// [`update`](Self::update) of a trust that is
    /// [by trust domain](crate::TrustStore::by_trust_domain).
    ///
    /// # Errors
    /// [`BuildError::Bundle`]: the bundle is empty, or the trust is not by trust domain.
    pub fn set_trust_domain(
        &self,
        domain: TrustDomain,
        bundle: TrustStore,
    ) -> Result<u64, BuildError> {
        self.change_bundle(domain, Some(bundle))
    }

    /// Removes a SPIFFE trust domain: its members are not trusted from now on.
    ///
    /// # Errors
    /// [`BuildError::Bundle`] when the trust is not by trust domain; [`BuildError::EmptyTrust`]
    /// when it is the last one.
    pub fn remove_trust_domain(&self, domain: &TrustDomain) -> Result<u64, BuildError> {
        self.change_bundle(domain.clone(), None)
    }

    fn change_bundle(
        &self,
        domain: TrustDomain,
        bundle: Option<TrustStore>,
    ) -> Result<u64, BuildError> {
        Arc::clone(&self.endpoint).change_bundle(BundleChange { domain, bundle })
    }

    /// The open connections, the oldest first.
    #[cfg(feature = "tokio")]
    pub fn connections(&self) -> Vec<OpenConnection<I>> {
        self.endpoint.live().listed()
    }

    /// Closes all open connections whose peers match, with close_notify, and returns how many.
    ///
    /// The peers may connect again; to prevent that, change the policy or the deny list first.
    #[cfg(feature = "tokio")]
    pub fn close_where(&self, matches: impl Fn(&Peer<I>) -> bool) -> usize {
        let mut open = self.connections();
        open.retain(|connection| matches(connection.peer()));
        open.iter().for_each(OpenConnection::close);
        open.len()
    }

    /// How many attempts had which outcome, and the current state.
    pub fn stats(&self) -> Stats {
        let gate = self.endpoint.gate();
        let now = gate.now().ok();
        let since = |from: UnixTime, to: UnixTime| {
            Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()))
        };
        let own = self.own_certificates();
        let recorder = self.recorder();
        Stats {
            generation: gate.generation(),
            audit_dropped: recorder.dropped(),
            own_certificate_left: now
                .zip(first_expiry(&own))
                .map(|(now, end)| since(now, end)),
            crl_age: now.and_then(|now| {
                let made = gate.verifier().oldest_crl(now)?;
                Some(since(made, now))
            }),
            ..recorder.counters().read()
        }
    }

    /// The number of the generation of trust: 1 at first, one more after each update of roots, pins,
    /// CRLs or credentials. A new policy or deny list does not count.
    pub fn generation(&self) -> u64 {
        self.endpoint.gate().generation()
    }

    /// Whether all cryptography in force is that of a FIPS 140-3 module, in approved use: the crypto provider
    /// with all that it offers, the settings, our own keys and the trusted roots. Peers' keys are checked only
    /// under [`require_fips`](crate::builder::Builder::require_fips), with which this is always true.
    ///
    /// An update of trust or credentials can change it where FIPS is not required.
    pub fn is_fips(&self) -> bool {
        self.endpoint.is_fips()
    }

    /// This control, without keeping the endpoint.
    #[cfg(feature = "tokio")]
    pub(crate) fn downgrade(&self) -> WeakControl<I> {
        WeakControl {
            endpoint: Arc::downgrade(&self.endpoint),
        }
    }

    /// Applies a change as a whole, or not at all.
    pub(crate) fn change(&self, change: impl Into<Change<I>>) -> Result<u64, BuildError> {
        Arc::clone(&self.endpoint).change(change.into())
    }

    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.endpoint.own_certificates()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn sources(&self) -> &Sources {
        self.endpoint.sources()
    }

    #[cfg(test)]
    pub(crate) fn gate_in_force(&self) -> Arc<Gate<I>> {
        self.endpoint.gate()
    }

    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        self.endpoint.recorder()
    }

    /// Whether this is the deny list that the endpoint asks.
    #[cfg(feature = "tokio")]
    pub(crate) fn asks(&self, list: &DenyList<I>) -> bool {
        self.endpoint.asks(list)
    }

    /// Why no peer is admitted at the moment.
    #[cfg(feature = "tokio")]
    pub(crate) fn suspended(&self) -> Option<Arc<str>> {
        self.endpoint.gate().suspended()
    }

    /// The time of the endpoint's clock.
    #[cfg(feature = "tokio")]
    pub(crate) fn now(&self) -> Result<UnixTime, AdmitError> {
        self.endpoint.gate().now()
    }
}

/// When the first of our certificates expires.
pub(super) fn first_expiry(own: &[(Option<String>, Certificate)]) -> Option<UnixTime> {
    own.iter().map(|(_, own)| own.not_after()).min()
}

/// A control that does not keep the endpoint.
#[cfg(feature = "tokio")]
pub(crate) struct WeakControl<I> {
    endpoint: std::sync::Weak<dyn Controlled<I>>,
}

#[cfg(feature = "tokio")]
impl<I> WeakControl<I> {
    /// The control, while the acceptor or connector exists.
    pub(crate) fn upgrade(&self) -> Option<Control<I>> {
        let endpoint = self.endpoint.upgrade()?;
        Some(Control { endpoint })
    }
}

impl<I> Clone for Control<I> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
        }
    }
}

impl<I> fmt::Debug for Control<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("generation", &self.endpoint.gate().generation())
            .finish_non_exhaustive()
    }
}
