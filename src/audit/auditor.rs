//! A log that knows how identities are written.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{AuditedIdentity, Log, Proof};
use crate::peer::Peer;

/// Writes an identity as text.
pub(crate) type Describe<I> = Box<dyn Fn(&I) -> String + Send + Sync>;

/// The audit trail of one gate.
pub(crate) struct Auditor<I> {
    log: Arc<Log>,
    describe: Option<Describe<I>>,
}

impl<I> Auditor<I> {
    pub(crate) const fn new(log: Arc<Log>, describe: Option<Describe<I>>) -> Self {
        Self { log, describe }
    }

    pub(crate) const fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Whether identities can be written at all.
    pub(crate) const fn describes(&self) -> bool {
        self.describe.is_some()
    }

    /// The identity of a peer that has proven its key.
    pub(crate) fn proven(&self, peer: &Peer<I>) -> Option<AuditedIdentity> {
        self.identity(peer.identity(), Proof::Proven)
    }

    pub(crate) fn identity(&self, identity: &I, proof: Proof) -> Option<AuditedIdentity> {
        let describe = self.describe.as_ref()?;
        // The application's code: a panic in it must not cost the connection.
        let text = catch_unwind(AssertUnwindSafe(|| describe(identity))).ok()?;
        Some(AuditedIdentity { text, proof })
    }
}

impl<I> fmt::Debug for Auditor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)
    }
}
