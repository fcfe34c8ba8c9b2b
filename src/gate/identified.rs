//! A peer on its way through the gate.

use rustls_pki_types::CertificateDer;

use super::GenerationId;
use crate::Peer;

/// A peer that was verified and identified, and awaits its judgement.
pub(crate) struct Identified<'c, I> {
    pub(super) peer: Peer<I>,
    /// The chain as the peer sent it, should it have to be verified again.
    pub(super) presented: &'c [CertificateDer<'c>],
    /// The trust that it was verified by.
    pub(super) trust: GenerationId,
}

impl<'c, I> Identified<'c, I> {
    pub(crate) const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    pub(crate) const fn presented(&self) -> &'c [CertificateDer<'c>] {
        self.presented
    }
}
