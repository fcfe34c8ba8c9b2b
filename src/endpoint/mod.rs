//! An acceptor or a connector without its transport: what is in force, and how it changes.
//!
//! Everything that a connection depends on is one immutable [`Snapshot`]: the gate (trust with CRLs,
//! verification cache, policy, deny list) and the TLS configuration. A change has three steps.
//!
//! 1. **Prepare.** Everything is loaded, checked and built. This runs application code, may fail or
//!    panic, and changes nothing.
//! 2. **Commit.** The next snapshot is swapped in, together with the entries of a deny list. This can
//!    neither fail nor wait nor run application code.
//! 3. **Re-authorize.** Open connections are authorized by what is in force, and what was in force is
//!    dropped. Application code that panics from here on does not affect the change.
//!
//! So a change is in force as a whole, or an error or a panic reports that nothing has changed.

pub mod builder;
mod change;
mod checks;
mod closures;
mod control;
mod cryptography;
mod side;
mod sources;
mod update;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

pub(crate) use change::{BundleChange, Change};
pub use control::Control;
pub(crate) use control::Controlled;
#[cfg(feature = "tokio")]
pub(crate) use control::WeakControl;
pub(crate) use side::{ClientSide, ServerSide, TlsRole};
pub(crate) use sources::Sources;
use update::ChangedBundle;
pub use update::Update;

use self::checks::{OwnWarnings, RolledBack};
use self::cryptography::{FipsState, Requirements};
use crate::audit::Recorder;
use crate::gate::{Changed, Epoch, Gate, GenerationId, NextGate};
#[cfg(feature = "tokio")]
use crate::live::{CloseReason, Live};
use crate::pki::contained::caught;
use crate::pki::{Certificate, Credentials, OwnCertificateChecks};
use crate::policy::Replacement;
use crate::tls::{BuildError, Current, InForce};
use crate::trust::ChainVerifier;

/// How long a handshake may take, and how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) handshake_timeout: Duration,
    pub(crate) handshake_bytes: usize,
}

/// What is in force together.
pub(crate) struct Snapshot<S: TlsRole, I> {
    gate: Arc<Gate<I>>,
    pub(crate) tls: Arc<S::Configs>,
    fips: Arc<FipsState>,
}

/// What the clones of an acceptor, or of a connector, share.
pub(crate) struct Endpoint<S: TlsRole, I> {
    snapshot: ArcSwap<Snapshot<S, I>>,
    /// What TLS configurations are built from. Locked during a change, so that no change is lost.
    template: Mutex<S::Template>,
    requirements: Requirements,
    /// Linked to this endpoint.
    in_force: InForce<I>,
    sources: Sources,
    pub(crate) bounds: Bounds,
    own_checks: OwnCertificateChecks,
    recorder: Arc<Recorder>,
    #[cfg(feature = "tokio")]
    pub(crate) live: Arc<Live<I>>,
}

/// What a builder has made of its decisions.
pub(crate) struct Parts<S: TlsRole, I> {
    pub(crate) gate: Gate<I>,
    pub(crate) template: S::Template,
    pub(crate) requirements: Requirements,
    pub(crate) fips: FipsState,
    pub(crate) in_force: InForce<I>,
    pub(crate) sources: Sources,
    pub(crate) bounds: Bounds,
    pub(crate) own_checks: OwnCertificateChecks,
    pub(crate) recorder: Arc<Recorder>,
    #[cfg(feature = "tokio")]
    pub(crate) live: Live<I>,
}

impl<S: TlsRole, I> Snapshot<S, I> {
    /// The generation of trust that the TLS configuration belongs to.
    pub(crate) fn trust_id(&self) -> GenerationId {
        self.gate.trust_id()
    }

    /// Identifies the rules.
    #[cfg(all(feature = "reqwest", feature = "tokio"))]
    pub(crate) fn epoch(&self) -> Epoch {
        self.gate.epoch()
    }
}

impl<S: TlsRole, I: Send + Sync + 'static> Endpoint<S, I> {
    pub(crate) fn new(parts: Parts<S, I>) -> Result<Arc<Self>, BuildError> {
        let trust = parts.gate.verifier().trust();
        let configs = S::configs(&parts.template, &parts.in_force, trust)?;
        let endpoint = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot {
                gate: Arc::new(parts.gate),
                tls: Arc::new(configs),
                fips: Arc::new(parts.fips),
            }),
            template: Mutex::new(parts.template),
            requirements: parts.requirements,
            in_force: parts.in_force,
            sources: parts.sources,
            bounds: parts.bounds,
            own_checks: parts.own_checks,
            recorder: parts.recorder,
            #[cfg(feature = "tokio")]
            live: Arc::new(parts.live),
        });
        let current: Arc<dyn Current<I>> = endpoint.clone();
        endpoint.in_force.link(Arc::downgrade(&current));
        #[cfg(feature = "tokio")]
        if let Some(list) = endpoint.snapshot().gate.deny_list() {
            let endpoint: Arc<dyn crate::policy::OnChange> = endpoint.clone();
            list.notify_on_change(Arc::downgrade(&endpoint));
        }
        let gate = &endpoint.snapshot().gate;
        checks::record_skipped(
            gate.verifier().skipped_crls(),
            &endpoint.recorder,
            gate.generation(),
        );
        endpoint.meter(&endpoint.own_certificates());
        Ok(endpoint)
    }

    /// What is in force.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot<S, I>> {
        self.snapshot.load_full()
    }

    fn apply(
        self: &Arc<Self>,
        mut template: MutexGuard<'_, S::Template>,
        change: Change<I>,
    ) -> Result<u64, BuildError> {
        // Prepare.
        let changed = change.kind();
        let current = self.snapshot();
        let mut allowed = RolledBack::default();
        let mut own_warnings = OwnWarnings::default();
        let (mut generation, mut next_template, mut tls) = (None, None, None);
        let mut replaces_credentials = false;
        let mut fips = Arc::clone(&current.fips);
        if let Some(mut update) = change.update {
            own_warnings = update.check_credentials(S::SIDE, self.own_checks, &current.gate)?;
            let (verifier, rolled_back) = update.verifier(&current.gate)?;
            allowed = rolled_back;
            replaces_credentials = update.replaces_credentials();
            let (credentials, named) = update.take_credentials();
            let own = (credentials.as_ref(), &*named);
            fips = self.check_requirements(&fips, &verifier, update.bundle(), own)?;
            let next = S::with_credentials(&template, credentials, named)?;
            tls = Some(S::configs(&next, &self.in_force, verifier.trust())?);
            next_template = Some(next);
            generation = Some(current.gate.next_generation(verifier));
        } else if change.authorizer.is_some() {
            tls = S::configs_for_policy(&template, &self.in_force);
        }
        let number = match &generation {
            Some(generation) => generation.generation(),
            None => current.gate.generation(),
        };
        let (tls, authorizer) = (tls.map(Arc::new), change.authorizer.map(Arc::new));
        let (deny_list, suspended) = (change.deny_list, change.suspended);

        // Commit.
        let old = self.commit(|current| {
            let gate = current.gate.next(NextGate {
                generation,
                authorizer,
                deny_list: deny_list.is_some(),
                suspended,
            });
            let next = Snapshot {
                gate: Arc::new(gate),
                tls: tls.unwrap_or_else(|| Arc::clone(&current.tls)),
                fips,
            };
            let template = next_template.map(|next| std::mem::replace(&mut *template, next));
            (next, (template, deny_list.map(Replacement::swap)))
        });

        // Re-authorize, without the lock: policies are application code.
        let own = S::own_certificates(&template);
        drop(template);
        caught(|| drop(current));
        caught(|| allowed.record(&self.recorder, number));
        caught(|| own_warnings.record(&self.recorder, number));
        self.settle(changed, replaces_credentials, &own, old);
        Ok(number)
    }

    /// Whether the trust and the credentials of an update meet what the builder requires.
    fn check_requirements(
        &self,
        current: &FipsState,
        verifier: &ChainVerifier,
        bundle: Option<&ChangedBundle>,
        (credentials, named): (Option<&Credentials>, &[(String, Credentials)]),
    ) -> Result<Arc<FipsState>, BuildError> {
        let mut state = current.clone();
        let requirements = &self.requirements;
        match bundle {
            Some(changed) => requirements.check_bundle(changed, &mut state)?,
            None => requirements.check_trust(verifier.trust(), &mut state)?,
        }
        if let Some(credentials) = credentials {
            requirements.check_credentials(None, credentials, &mut state)?;
        }
        for (name, credentials) in named {
            requirements.check_credentials(Some(name), credentials, &mut state)?;
        }
        Ok(Arc::new(state))
    }

    /// Puts the next snapshot in force, and returns what was in force. `next` runs under the lock of
    /// the open connections: it can neither fail nor wait nor run application code.
    fn commit<T>(&self, next: impl FnOnce(&Snapshot<S, I>) -> (Snapshot<S, I>, T)) -> Old<S, I, T> {
        let swap = || {
            let (next, replaced) = next(&self.snapshot.load());
            let snapshot = self.snapshot.swap(Arc::new(next));
            Old { snapshot, replaced }
        };
        #[cfg(feature = "tokio")]
        return self.live.registry().commit(swap);
        #[cfg(not(feature = "tokio"))]
        swap()
    }

    /// The last step of a change.
    #[cfg_attr(not(feature = "tokio"), expect(unused_variables))]
    fn settle(
        self: &Arc<Self>,
        changed: Changed,
        replaces_credentials: bool,
        own: &[(Option<String>, Certificate)],
        old: Old<S, I, Replaced<S, I>>,
    ) {
        let (template, deny_list) = old.replaced;
        #[cfg(feature = "tokio")]
        {
            let current: Arc<dyn Current<I>> = self.clone();
            caught(|| self.live.reauthorize(&current, changed));
            if let Some(deny_list) = &deny_list {
                caught(|| deny_list.notify_others(Arc::as_ptr(self)));
            }
            if replaces_credentials && S::RECONNECTS_WITH_NEW_CREDENTIALS {
                for connection in self.live.open_connections() {
                    let why = CloseReason::CredentialsReplaced;
                    self.live.drain(&connection, why);
                }
            }
        }
        caught(|| self.meter(own));
        caught(|| drop(old.snapshot));
        caught(|| drop(template));
        caught(|| drop(deny_list));
    }

    /// Reports what is in force to the metrics.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    fn meter(&self, own: &[(Option<String>, Certificate)]) {
        #[cfg(feature = "metrics")]
        {
            let gate = self.gate();
            let now = gate.now().ok();
            let oldest_crl = now.and_then(|now| gate.verifier().oldest_crl(now));
            let meter = self.recorder.counters().meter();
            meter.in_force(gate.generation(), control::first_expiry(own), oldest_crl);
        }
    }

    /// A template is only replaced as a whole.
    fn template(&self) -> MutexGuard<'_, S::Template> {
        self.template.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was in force before a change, and what else it has replaced. Dropping it runs application code.
struct Old<S: TlsRole, I, T> {
    snapshot: Arc<Snapshot<S, I>>,
    replaced: T,
}

type Replaced<S, I> = (
    Option<<S as TlsRole>::Template>,
    Option<crate::policy::Replaced<I>>,
);

impl<S: TlsRole, I: Send + Sync + 'static> Current<I> for Endpoint<S, I> {
    fn gate(&self) -> Arc<Gate<I>> {
        Arc::clone(&self.snapshot.load().gate)
    }

    fn epoch(&self) -> Epoch {
        self.snapshot.load().gate.epoch()
    }

    fn settled_epoch(&self) -> Epoch {
        #[cfg(feature = "tokio")]
        return self.live.registry().between_changes(|| self.epoch());
        #[cfg(not(feature = "tokio"))]
        self.epoch()
    }

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }
}

impl<S: TlsRole, I: Send + Sync + 'static> Controlled<I> for Endpoint<S, I> {
    fn change(self: Arc<Self>, change: Change<I>) -> Result<u64, BuildError> {
        self.apply(self.template(), change)
    }

    fn change_bundle(self: Arc<Self>, change: BundleChange) -> Result<u64, BuildError> {
        let template = self.template();
        let update = Update::of_bundle(self.gate().verifier().trust(), change)?;
        self.apply(template, update.into())
    }

    fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        S::own_certificates(&self.template())
    }

    fn sources(&self) -> &Sources {
        &self.sources
    }

    fn is_fips(&self) -> bool {
        self.snapshot.load().fips.is_fips()
    }

    #[cfg(feature = "tokio")]
    fn live(&self) -> &Arc<Live<I>> {
        &self.live
    }

    #[cfg(feature = "tokio")]
    fn asks(&self, list: &crate::policy::DenyList<I>) -> bool {
        list.notifies(std::ptr::from_ref(self))
    }
}

/// The entries of the deny list have changed in place.
#[cfg(feature = "tokio")]
impl<S: TlsRole, I: Send + Sync + 'static> crate::policy::OnChange for Endpoint<S, I> {
    fn changed(self: Arc<Self>) {
        let old = self.commit(|current| {
            let gate = current.gate.next(NextGate {
                generation: None,
                authorizer: None,
                deny_list: true,
                suspended: None,
            });
            let next = Snapshot {
                gate: Arc::new(gate),
                tls: Arc::clone(&current.tls),
                fips: Arc::clone(&current.fips),
            };
            (next, ())
        });
        let endpoint: Arc<dyn Current<I>> = self.clone();
        caught(|| self.live.reauthorize(&endpoint, Changed::Facts));
        caught(|| drop(old.snapshot));
    }
}

impl<S: TlsRole, I> fmt::Debug for Endpoint<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("gate", &self.snapshot.load().gate)
            .finish_non_exhaustive()
    }
}
