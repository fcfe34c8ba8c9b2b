//! What clones of an acceptor or of a connector share, and how it changes.
//!
//! A change has three steps. It is *prepared*: everything is loaded, checked and made, which runs
//! code of the application, may fail and changes nothing. It is *committed*: what is new is swapped
//! in, which cannot fail, wait or run code of the application. Then open connections are *re-authorized*
//! by what is in force, and what was in force is dropped; code of the application that panics from
//! here on no longer matters to the change. So a change is in force as a whole, or an error or a
//! panic says that nothing has changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::config::{ClientTemplate, ServerTemplate};
use super::proof::{self, RolledBack};
use super::{BuildError, ClientConfigs, ServerConfigs, Update};
use crate::audit::Stats;
use crate::gate::{Authorizer, Changed, Gate, Lifetimes, TrustGeneration};
use crate::pki::Certificate;
use crate::pki::contained::caught;
use crate::policy::Replacement;
use crate::trust::{BundleError, TrustBundles};

/// How long things may take, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) handshake_timeout: Duration,
    pub(crate) handshake_bytes: usize,
    pub(crate) lifetimes: Lifetimes,
}

/// One more or one less bundle.
pub(crate) type BundleChange<'a> = &'a dyn Fn(TrustBundles) -> Result<TrustBundles, BundleError>;

/// Everything that one change replaces.
pub(crate) struct Change<I> {
    pub(crate) update: Option<Update>,
    pub(crate) authorizer: Option<Authorizer<I>>,
    pub(crate) deny_list: Option<Replacement<I>>,
}

impl<I> Default for Change<I> {
    fn default() -> Self {
        Self {
            update: None,
            authorizer: None,
            deny_list: None,
        }
    }
}

impl<I> From<Update> for Change<I> {
    fn from(update: Update) -> Self {
        Self {
            update: Some(update),
            ..Self::default()
        }
    }
}

impl<I> From<Authorizer<I>> for Change<I> {
    fn from(authorizer: Authorizer<I>) -> Self {
        Self {
            authorizer: Some(authorizer),
            ..Self::default()
        }
    }
}

impl<I> Change<I> {
    const fn kind(&self) -> Changed {
        if self.authorizer.is_some() {
            Changed::Policy
        } else if self.update.is_some() || self.deny_list.is_some() {
            Changed::Facts
        } else {
            Changed::Nothing
        }
    }
}

/// The last step of a change: `old` is what was in force, and `own` our certificates.
fn settle<I: Send + Sync + 'static>(
    gate: &Gate<I>,
    changed: Changed,
    own: &[(Option<String>, Certificate)],
    old: Old<I, impl Sized>,
) {
    #[cfg(feature = "tokio")]
    {
        caught(|| gate.judge_open(changed));
        if let Some(replaced) = &old.deny_list {
            caught(|| gate.tell_others_of(replaced));
        }
    }
    #[cfg(not(feature = "tokio"))]
    let _ = changed;
    caught(|| gate.meter(own));
    let Old {
        trusted,
        authorizer,
        deny_list,
        configs,
    } = old;
    caught(|| drop(trusted));
    caught(|| drop(authorizer));
    caught(|| drop(deny_list));
    caught(|| drop(configs));
}

/// What was in force before a change.
struct Old<I, C> {
    trusted: Option<Arc<TrustGeneration<I>>>,
    authorizer: Option<Arc<Authorizer<I>>>,
    deny_list: Option<crate::policy::Replaced<I>>,
    configs: C,
}

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

    /// Applies a change as a whole, or not at all, and gives the generation of trust that is in
    /// force then.
    pub(crate) fn change(&self, change: impl Into<Change<I>>) -> Result<u64, BuildError> {
        self.apply(lock(&self.template), change.into())
    }

    pub(crate) fn change_bundles(&self, change: BundleChange<'_>) -> Result<u64, BuildError> {
        let template = lock(&self.template);
        let update = Update::bundles(self.gate.trusted().verifier().trust(), change)?;
        self.apply(template, update.into())
    }

    fn apply(
        &self,
        mut template: MutexGuard<'_, ServerTemplate>,
        change: Change<I>,
    ) -> Result<u64, BuildError> {
        // Prepare.
        let changed = change.kind();
        let (mut trusted, mut configs) = (None, None);
        let mut allowed = RolledBack::default();
        if let Some(mut update) = change.update {
            update.check_credentials(&self.gate)?;
            let (verifier, rolled_back) = update.verifier(&self.gate)?;
            allowed = rolled_back;
            let next = template.with_credentials(update.credentials.take(), update.take_named())?;
            configs = Some((Arc::new(next.configs(&self.gate, verifier.trust())?), next));
            trusted = Some(self.gate.next_trusted(verifier));
        }
        let authorizer = change.authorizer.map(Arc::new);

        // Commit. Whoever sees the new trust gets the new configuration, so that no session of the
        // new generation is granted on old credentials.
        let old = self.gate.commit(changed, || Old {
            configs: configs.map(|(configs, next)| {
                let template = std::mem::replace(&mut *template, next);
                (self.configs.swap(configs), template)
            }),
            trusted: trusted.map(|next| self.gate.swap_trusted(next)),
            authorizer: authorizer.map(|next| self.gate.swap_authorizer(next)),
            deny_list: change.deny_list.map(Replacement::swap),
        });

        // Re-authorize, without the lock: policies are code of the application.
        let (generation, own) = (self.gate.generation(), template.own_certificates());
        drop(template);
        caught(|| allowed.record(&self.gate));
        settle(&self.gate, changed, &own, old);
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

    /// As [`ServerCore::change`]. A new policy, too, forgets the sessions that servers granted
    /// before.
    pub(crate) fn change(&self, change: impl Into<Change<I>>) -> Result<u64, BuildError> {
        self.apply(lock(&self.template), change.into())
    }

    pub(crate) fn change_bundles(&self, change: BundleChange<'_>) -> Result<u64, BuildError> {
        let template = lock(&self.template);
        let update = Update::bundles(self.gate.trusted().verifier().trust(), change)?;
        self.apply(template, update.into())
    }

    fn apply(
        &self,
        mut template: MutexGuard<'_, ClientTemplate>,
        change: Change<I>,
    ) -> Result<u64, BuildError> {
        // Prepare.
        let changed = change.kind();
        let (mut trusted, mut configs) = (None, None);
        let mut allowed = RolledBack::default();
        if let Some(mut update) = change.update {
            if let Some((name, _)) = update.take_named().pop() {
                return Err(BuildError::NamedByClient { name });
            }
            update.check_credentials(&self.gate)?;
            let (verifier, rolled_back) = update.verifier(&self.gate)?;
            allowed = rolled_back;
            let next = template.with_credentials(update.credentials.take())?;
            configs = Some((Arc::new(next.configs(&self.gate)?), Some(next)));
            trusted = Some(self.gate.next_trusted(verifier));
        } else if change.authorizer.is_some() {
            // It could be made before from the same parts; should it not be now, the sessions stay,
            // and each is authorized by the new policy.
            let fresh = template.configs(&self.gate).ok();
            configs = fresh.map(|configs| (Arc::new(configs), None));
        }
        let authorizer = change.authorizer.map(Arc::new);

        // Commit.
        let old = self.gate.commit(changed, || Old {
            trusted: trusted.map(|next| self.gate.swap_trusted(next)),
            authorizer: authorizer.map(|next| self.gate.swap_authorizer(next)),
            deny_list: change.deny_list.map(Replacement::swap),
            configs: configs.map(|(configs, next)| {
                let template = next.map(|next| std::mem::replace(&mut *template, next));
                (self.configs.swap(configs), template)
            }),
        });

        // Re-authorize, without the lock: policies are code of the application.
        let (generation, own) = (self.gate.generation(), template.own_certificates());
        drop(template);
        caught(|| allowed.record(&self.gate));
        settle(&self.gate, changed, &own, old);
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

/// A template is only ever replaced whole.
fn lock<T>(template: &Mutex<T>) -> MutexGuard<'_, T> {
    template.lock().unwrap_or_else(PoisonError::into_inner)
}
