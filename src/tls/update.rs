//! What changes while an acceptor or a connector lives: configurations by generation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::config::{ClientTemplate, ServerTemplate};
use super::proof::{self, RolledBack};
use super::{BuildError, ClientConfigs, ServerConfigs};
use crate::audit::Stats;
use crate::gate::{Authorizer, Gate, Lifetimes};
use crate::pki::Certificate;
use crate::pki::Credentials;
use crate::trust::{BundleError, ChainVerifier, Revocation, Trust, TrustBundles};

/// New trust, CRLs or credentials for an acceptor or a connector that lives on; what is not set
/// stays.
///
/// It is taken whole or not at all: everything is proved to fit first, and an error changes
/// nothing. Keys must match their certificates, and our own chains be valid now; somebody must be
/// trusted; and where CRLs bear the name of an authority of the trust, it must have signed one of
/// them, or nobody could be admitted of those whom it issued. (Those of another authority of that
/// name, by their authorityKeyIdentifier, disturb nobody; those of authorities that are not known yet
/// prove themselves when a peer shows one's certificate.) No CRL may replace a later one of the same
/// issuer and scope, unless [`Revocation::rollback`] allows it. From then on every connection is judged by the new generation, those whose handshake is under
/// way included, and no session of an older one is resumed.
///
/// ```no_run
/// use countersign::trust::Crls;
/// use countersign::{Acceptor, TrustStore, Update, identity::SpiffeId};
///
/// # fn f(acceptor: Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let generation = acceptor.update(
///     Update::new()
///         .trust(TrustStore::from_pem_file("clients-ca.crt")?)
///         .revocation(Crls::from_file("clients.crl")?),
/// )?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "it does nothing until it is given to update()"]
pub struct Update {
    trust: Option<Trust>,
    revocation: Option<Revocation>,
    credentials: Option<Credentials>,
    named: Vec<(String, Credentials)>,
    /// A trust domain comes or goes: that must not depend on CRLs that are left from before.
    is_of_bundles: bool,
}

impl Update {
    /// Changes nothing yet. Applied like this, it only ends all sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the roots and pins that peers' chains must lead to.
    pub fn trust(mut self, trust: impl Into<Trust>) -> Self {
        self.trust = Some(trust.into());
        self
    }

    /// Sets the CRLs, with their choices.
    pub fn revocation(mut self, revocation: impl Into<Revocation>) -> Self {
        self.revocation = Some(revocation.into());
        self
    }

    /// Sets our own certificate chain and private key.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets an acceptor's certificate for clients that ask for this name (SNI); those for other
    /// names stay.
    pub fn credentials_for(mut self, name: impl Into<String>, credentials: Credentials) -> Self {
        self.named.push((name.into(), credentials));
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn replaces_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The verifier that would be in force, if it is one that can admit anybody.
    fn verifier<I>(&mut self, gate: &Gate<I>) -> Result<(ChainVerifier, RolledBack), BuildError> {
        let current = gate.trusted();
        let current = current.verifier();
        if self.trust.as_ref().is_some_and(Trust::is_empty) {
            return Err(BuildError::EmptyTrust);
        }
        let changes = self.trust.is_some() || self.revocation.is_some();
        let to_prove = changes && !self.is_of_bundles;
        let replaces_crls = self.revocation.is_some();
        let mut next = current.updated(self.trust.take(), self.revocation.take());
        if to_prove {
            proof::crls_are_their_issuers(&next)?;
        }
        let rolled_back = if replaces_crls {
            RolledBack::find(&mut next, current, gate)?
        } else {
            RolledBack::default()
        };
        Ok((next, rolled_back))
    }

    /// Finds out that peers could not accept our own certificates.
    fn check_credentials<I>(&self, gate: &Gate<I>) -> Result<(), BuildError> {
        let named = self.named.iter().map(|(_, credentials)| credentials);
        for credentials in self.credentials.iter().chain(named) {
            proof::is_valid_now(credentials, gate)?;
        }
        Ok(())
    }

    /// One more trust domain, or one less, by what is in force now.
    fn bundles(
        current: &Trust,
        change: impl FnOnce(TrustBundles) -> Result<TrustBundles, BundleError>,
    ) -> Result<Self, BuildError> {
        match current {
            Trust::ByTrustDomain(bundles) => Ok(Self {
                trust: Some(change(bundles.clone())?.into()),
                is_of_bundles: true,
                ..Self::default()
            }),
            Trust::Store(_) => Err(BundleError::NotByTrustDomain.into()),
        }
    }
}

/// How long things may take, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) handshake_timeout: Duration,
    pub(crate) handshake_bytes: usize,
    pub(crate) lifetimes: Lifetimes,
}

/// One more or one less bundle.
pub(crate) type BundleChange<'a> = &'a dyn Fn(TrustBundles) -> Result<TrustBundles, BundleError>;

/// What clones of an acceptor share.
pub(crate) struct ServerCore<I> {
    pub(crate) gate: Gate<I>,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) bounds: Bounds,
    configs: ArcSwap<ServerConfigs>,
    /// Locked while an update is made, so that none is lost.
    template: Mutex<ServerTemplate>,
}

impl<I: Send + Sync + 'static> ServerCore<I> {
    pub(super) fn new(
        gate: Gate<I>,
        template: ServerTemplate,
        bounds: Bounds,
    ) -> Result<Self, BuildError> {
        let configs = template.configs(&gate, gate.trusted().verifier().trust())?;
        gate.meter(&template.own_certificates());
        Ok(Self {
            gate,
            bounds,
            configs: ArcSwap::from_pointee(configs),
            template: Mutex::new(template),
        })
    }

    pub(crate) fn configs(&self) -> Arc<ServerConfigs> {
        self.configs.load_full()
    }

    /// Our own certificates, with the names that they are for: the first is for all others.
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        lock(&self.template).own_certificates()
    }

    /// Open connections are judged by it when the gate is told to: not under the lock, since
    /// policies are anybody's code.
    pub(crate) fn update(&self, update: Update) -> Result<u64, BuildError> {
        self.apply(&mut lock(&self.template), update)
    }

    pub(crate) fn change_bundles(&self, change: BundleChange<'_>) -> Result<u64, BuildError> {
        let mut template = lock(&self.template);
        let update = Update::bundles(self.gate.trusted().verifier().trust(), change)?;
        self.apply(&mut template, update)
    }

    fn apply(&self, template: &mut ServerTemplate, mut update: Update) -> Result<u64, BuildError> {
        update.check_credentials(&self.gate)?;
        let (verifier, rolled_back) = update.verifier(&self.gate)?;
        let next = template.with_credentials(update.credentials, update.named)?;
        let configs = next.configs(&self.gate, verifier.trust())?;
        *template = next;
        // In this order: whoever sees the new trust gets the new configuration, so that no session
        // of the new generation is granted on old credentials.
        self.configs.store(Arc::new(configs));
        let generation = self.gate.set_trust(verifier);
        rolled_back.record(&self.gate);
        self.gate.meter(&template.own_certificates());
        Ok(generation)
    }

    /// Records an update that was refused where nothing else does.
    pub(crate) fn record_refused(&self, error: &BuildError) {
        proof::record_refused(&self.gate, error);
    }

    /// How often what happened, and how things stand.
    pub(crate) fn stats(&self) -> Stats {
        self.gate.stats(&self.own_certificates())
    }
}

/// What clones of a connector share.
pub(crate) struct ClientCore<I> {
    pub(crate) gate: Gate<I>,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) bounds: Bounds,
    configs: ArcSwap<ClientConfigs>,
    /// Locked while an update is made, so that none is lost.
    template: Mutex<ClientTemplate>,
}

impl<I: Send + Sync + 'static> ClientCore<I> {
    pub(super) fn new(
        gate: Gate<I>,
        template: ClientTemplate,
        bounds: Bounds,
    ) -> Result<Self, BuildError> {
        let configs = template.configs(&gate)?;
        gate.meter(&template.own_certificates());
        Ok(Self {
            gate,
            bounds,
            configs: ArcSwap::from_pointee(configs),
            template: Mutex::new(template),
        })
    }

    pub(crate) fn configs(&self) -> Arc<ClientConfigs> {
        self.configs.load_full()
    }

    /// Our own certificate.
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        lock(&self.template).own_certificates()
    }

    /// Open connections are judged by it when the gate is told to: not under the lock, since
    /// policies are anybody's code.
    pub(crate) fn update(&self, update: Update) -> Result<u64, BuildError> {
        self.apply(&mut lock(&self.template), update)
    }

    pub(crate) fn change_bundles(&self, change: BundleChange<'_>) -> Result<u64, BuildError> {
        let mut template = lock(&self.template);
        let update = Update::bundles(self.gate.trusted().verifier().trust(), change)?;
        self.apply(&mut template, update)
    }

    fn apply(&self, template: &mut ClientTemplate, mut update: Update) -> Result<u64, BuildError> {
        if let Some((name, _)) = update.named.pop() {
            return Err(BuildError::NamedByClient { name });
        }
        update.check_credentials(&self.gate)?;
        let (verifier, rolled_back) = update.verifier(&self.gate)?;
        let next = template.with_credentials(update.credentials)?;
        let configs = next.configs(&self.gate)?;
        *template = next;
        let generation = self.gate.set_trust(verifier);
        self.configs.store(Arc::new(configs));
        rolled_back.record(&self.gate);
        self.gate.meter(&template.own_certificates());
        Ok(generation)
    }

    /// Records an update that was refused where nothing else does.
    pub(crate) fn record_refused(&self, error: &BuildError) {
        proof::record_refused(&self.gate, error);
    }

    /// How often what happened, and how things stand.
    pub(crate) fn stats(&self) -> Stats {
        self.gate.stats(&self.own_certificates())
    }

    /// Sets the policy, and forgets the sessions that servers granted under the old one.
    ///
    /// Open connections are judged by it when the gate is told to.
    pub(crate) fn set_authorizer(&self, authorizer: Authorizer<I>) {
        let template = lock(&self.template);
        self.gate.set_authorizer(authorizer);
        // It could be made before from the same parts; should it not be now, the sessions stay,
        // and each is judged by the new policy.
        if let Ok(configs) = template.configs(&self.gate) {
            self.configs.store(Arc::new(configs));
        }
    }
}

/// A template is only ever replaced whole.
fn lock<T>(template: &Mutex<T>) -> MutexGuard<'_, T> {
    template.lock().unwrap_or_else(PoisonError::into_inner)
}
