//! The link from a rustls callback to the rules in force.
//!
//! rustls holds verifiers, certificates and session stores in its configuration. The configuration is
//! part of what an endpoint has in force, so that a pointer from a verifier back to the endpoint would
//! be a cycle. [`InForce`] points weakly: once the endpoint is gone, nothing is admitted.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use crate::audit::Recorder;
use crate::gate::{Epoch, Gate};

/// What the code around rustls needs of an endpoint.
pub(crate) trait Current<I>: Send + Sync {
    /// The gate in force.
    fn gate(&self) -> Arc<Gate<I>>;

    /// The epoch in force.
    fn epoch(&self) -> Epoch;

    /// The epoch in force while no change is being committed: a change replaces the entries of a deny
    /// list in place, before its epoch is in force.
    fn settled_epoch(&self) -> Epoch;

    fn recorder(&self) -> &Arc<Recorder>;
}

type Link<I> = OnceLock<Weak<dyn Current<I>>>;

/// A weak link to the endpoint, which is set once the endpoint exists.
pub(crate) struct InForce<I>(Arc<Link<I>>);

impl<I> InForce<I> {
    pub(crate) fn unlinked() -> Self {
        Self(Arc::default())
    }

    /// Links all clones to the endpoint.
    pub(crate) fn link(&self, endpoint: Weak<dyn Current<I>>) {
        let _ = self.0.set(endpoint);
    }

    /// The endpoint, while it exists.
    pub(crate) fn endpoint(&self) -> Option<Arc<dyn Current<I>>> {
        self.0.get()?.upgrade()
    }

    /// The gate in force, while the endpoint exists.
    pub(crate) fn gate(&self) -> Option<Arc<Gate<I>>> {
        Some(self.endpoint()?.gate())
    }
}

impl<I> Clone for InForce<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I> fmt::Debug for InForce<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InForce")
    }
}
