//! Everything that one change replaces.

use std::sync::Arc;

use super::Update;
use crate::gate::Changed;
use crate::identity::TrustDomain;
use crate::policy::{Authorizer, Replacement};
use crate::trust::TrustStore;

/// The next bundle of one trust domain; `None` removes the domain.
pub(crate) struct BundleChange {
    pub(crate) domain: TrustDomain,
    pub(crate) bundle: Option<TrustStore>,
}

/// Parts that are not set stay as they are.
pub(crate) struct Change<I> {
    pub(crate) update: Option<Update>,
    pub(crate) authorizer: Option<Authorizer<I>>,
    pub(crate) deny_list: Option<Replacement<I>>,
    /// Whether no peer is admitted from now on, and why.
    pub(crate) suspended: Option<Option<Arc<str>>>,
}

impl<I> Change<I> {
    pub(super) const fn kind(&self) -> Changed {
        if self.authorizer.is_some() {
            Changed::Policy
        } else {
            Changed::Facts
        }
    }
}

impl<I> Default for Change<I> {
    fn default() -> Self {
        Self {
            update: None,
            authorizer: None,
            deny_list: None,
            suspended: None,
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
