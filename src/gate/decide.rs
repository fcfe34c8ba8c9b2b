//! Step 3: the facts (trust, time, deny list), then the policy.

use std::time::Instant;

use rustls_pki_types::UnixTime;

use super::{Admission, AdmitError, Gate, Identified};
use crate::Peer;
use crate::pki::contained::caught;

impl<I> Gate<I> {
    /// Decides by these rules, with a synchronous policy. The decision counts if the same rules are
    /// in force when it takes effect; otherwise the gate in force decides again, from what `peer`
    /// already knows.
    ///
    /// # Errors
    /// Why the peer is rejected; [`AdmitError::PolicyIsAsync`] for an asynchronous policy.
    pub(crate) fn decide(&self, peer: &mut Identified<'_, I>) -> Result<(), AdmitError> {
        while !self.is_decided(peer)? {
            let began = Instant::now();
            let verdict = self.authorizer.decide(peer.peer());
            let verdict = verdict.ok_or(AdmitError::PolicyIsAsync)?;
            peer.decided(verdict, self.epoch, began.elapsed())?;
        }
        Ok(())
    }

    /// As [`decide`](Self::decide), with either kind of policy.
    pub(crate) async fn decide_async(
        &self,
        peer: &mut Identified<'_, I>,
    ) -> Result<(), AdmitError> {
        while !self.is_decided(peer)? {
            let began = Instant::now();
            let verdict = self.authorizer.decide_async(peer.peer()).await;
            peer.decided(verdict, self.epoch, began.elapsed())?;
        }
        Ok(())
    }

    /// Checks the facts, and returns whether the policy has answered. They are checked before and
    /// after the policy runs, since time passes in between.
    fn is_decided(&self, peer: &mut Identified<'_, I>) -> Result<bool, AdmitError> {
        self.check_facts(peer)?;
        Ok(peer.is_allowed(|asked| {
            if self.authorizer.is_async() {
                // An answer counts until the policy itself is replaced. Otherwise frequent changes of
                // other rules could keep every new connection waiting.
                asked.policy == self.epoch.policy
            } else {
                asked == self.epoch
            }
        }))
    }

    /// Checks that the trust vouches for the peer now, and that the deny list does not name it. A
    /// peer that was verified by another trust, or whose verification no longer holds, is verified
    /// again and keeps the path found now: the certificates of that path expire and can be denied.
    fn check_facts(&self, identified: &mut Identified<'_, I>) -> Result<(), AdmitError> {
        self.check_suspended()?;
        let now = self.now()?;
        let peer = &identified.peer;
        if identified.trust != self.trust_id() || !peer.chain().holds_at(now) {
            let verified = self.verify_for(identified.presented, peer.connection())?;
            identified.reverified.push(verified.is_remembered());
            identified.trust = verified.trust();
            identified.peer = peer.along(verified.chain().clone());
        }
        self.check_deny_list(&identified.peer)
    }

    /// Checks that the deny list does not name the peer.
    pub(crate) fn check_deny_list(&self, peer: &Peer<I>) -> Result<(), AdmitError> {
        let Some(list) = &self.rules.deny_list else {
            return Ok(());
        };
        let certificate = || peer.certificate().clone();
        // An identity's `Hash` and `Eq` are application code.
        match caught(|| list.denies(peer)) {
            Some(None) => Ok(()),
            Some(Some(by)) => Err(AdmitError::DenyListed {
                certificate: certificate(),
                by,
            }),
            None => Err(AdmitError::Panicked {
                certificate: certificate(),
            }),
        }
    }

    /// Authorizes the peer of an open connection again, except by an asynchronous policy, and
    /// returns the peer with the path that counts from now on.
    ///
    /// The age of its certificates does not count here: a connection whose certificates expire gets
    /// time to drain. So `now` may be the last known time, if the clock gives none.
    pub(crate) fn reauthorize(
        &self,
        peer: Peer<I>,
        now: Option<UnixTime>,
    ) -> Result<Peer<I>, AdmitError> {
        self.check_suspended()?;
        let now = now.ok_or(AdmitError::NoClock)?;
        let other_path = self.verifier().still_trusts(peer.chain(), now)?;
        let peer = match other_path {
            Some(path) => peer.along(path),
            None => peer,
        };
        self.check_deny_list(&peer)?;
        if let Some(verdict) = self.authorizer.decide(&peer) {
            Admission::of(verdict, peer.clone())?;
        }
        Ok(peer)
    }

    /// Asks the policy, of either kind, about the peer of an open connection.
    pub(crate) async fn reauthorize_async(&self, peer: &Peer<I>) -> Result<(), AdmitError> {
        self.check_suspended()?;
        self.check_deny_list(peer)?;
        let verdict = self.authorizer.decide_async(peer).await;
        Admission::of(verdict, peer.clone()).map(drop)
    }
}
