//! Step 3, by rules that are in force together.
//!
//! Time goes by while a policy is asked, and rules may change. A decision counts when trust, deny
//! list and policy have all said yes in one [epoch](super::epoch); else it is taken again.

use std::borrow::Cow;
use std::time::Instant;

use super::epoch::{Changed, Epoch};
use super::{Admission, AdmitError, Authorizer, Gate, Identified};
use crate::Peer;
use crate::pki::contained::caught;
use crate::policy::{self, Verdict};
use crate::trust::VerifiedChain;

/// A peer that is being decided about.
pub(super) struct Deciding<'c, I> {
    identified: Identified<'c, I>,
    /// In which it is decided.
    epoch: Epoch,
    /// What the policy has said, and about which path.
    allowed: Option<(Cow<'static, str>, VerifiedChain)>,
}

impl<'c, I> Deciding<'c, I> {
    pub(super) const fn peer(&self) -> &Peer<I> {
        &self.identified.peer
    }

    /// Whether the policy still has to be asked about the path that the peer has now.
    fn is_to_ask(&self) -> bool {
        let path = self.peer().chain();
        let asked = self.allowed.as_ref();
        !asked.is_some_and(|(_, about)| about.is_same_path(path))
    }

    /// The policy's answer.
    fn answered(&mut self, verdict: Verdict) -> Result<(), AdmitError> {
        let admission = Admission::of(verdict, self.peer().clone())?;
        self.allowed = Some((admission.rule_name(), self.peer().chain().clone()));
        Ok(())
    }
}

impl<I> Gate<I> {
    /// Step 3: the policy says yes.
    pub(crate) fn authorize(
        &self,
        identified: Identified<'_, I>,
    ) -> Result<Admission<I>, AdmitError> {
        let mut deciding = self.begin_deciding(identified);
        loop {
            self.check_facts(&mut deciding)?;
            if deciding.is_to_ask() {
                let began = Instant::now();
                let verdict = match &**self.inner.authorizer.load() {
                    Authorizer::Sync(policy) => policy::decide_contained(policy, deciding.peer()),
                    #[cfg(feature = "tokio")]
                    Authorizer::Async { .. } => return Err(AdmitError::PolicyIsAsync),
                };
                self.log().counts().policy(began.elapsed());
                deciding.answered(verdict)?;
                self.check_facts(&mut deciding)?;
            }
            if let Some(admission) = self.conclude(&mut deciding, |_| ()) {
                return Ok(admission);
            }
        }
    }

    /// Step 3, for either kind of policy. Once the policy has allowed the peer, `reserve` may still
    /// refuse it; where the rules have not changed meanwhile, `open` takes effect together with the
    /// decision.
    #[cfg(feature = "tokio")]
    pub(super) async fn authorize_and(
        &self,
        identified: Identified<'_, I>,
        mut reserve: impl FnMut(&Peer<I>) -> Result<(), AdmitError>,
        open: impl Fn(&Peer<I>),
    ) -> Result<Admission<I>, AdmitError> {
        let mut deciding = self.begin_deciding(identified);
        loop {
            self.check_facts(&mut deciding)?;
            if deciding.is_to_ask() {
                let verdict = self.ask_policy(deciding.peer()).await;
                deciding.answered(verdict)?;
                self.check_facts(&mut deciding)?;
            }
            reserve(deciding.peer())?;
            if let Some(admission) = self.conclude(&mut deciding, &open) {
                return Ok(admission);
            }
        }
    }

    /// Step 3, for either kind of policy.
    #[cfg(feature = "tokio")]
    pub(crate) async fn authorize_async(
        &self,
        identified: Identified<'_, I>,
    ) -> Result<Admission<I>, AdmitError> {
        self.authorize_and(identified, |_| Ok(()), |_| ()).await
    }

    /// What the policy says.
    #[cfg(feature = "tokio")]
    pub(super) async fn ask_policy(&self, peer: &Peer<I>) -> Verdict {
        let began = Instant::now();
        // A full clone of the Arc: a guard must not be held across an await.
        let verdict = match &*self.inner.authorizer.load_full() {
            Authorizer::Sync(policy) => policy::decide_contained(policy, peer),
            Authorizer::Async { policy, timeout } => match policy.get() {
                Some(policy) => policy::decide_in_time(&**policy, peer, *timeout).await,
                None => Verdict::Panicked,
            },
        };
        self.log().counts().policy(began.elapsed());
        verdict
    }

    /// Before the policy: the peer is not on the deny list.
    pub(super) fn check_deny_list(&self, peer: &Peer<I>) -> Result<(), AdmitError> {
        let Some(list) = &self.inner.deny_list else {
            return Ok(());
        };
        let certificate = || peer.certificate().clone();
        // An identity's `Hash` and `Eq` are the application's.
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

    fn begin_deciding<'c>(&self, identified: Identified<'c, I>) -> Deciding<'c, I> {
        Deciding {
            identified,
            epoch: self.inner.epochs.now(),
            allowed: None,
        }
    }

    /// Whether the trust vouches for the peer today, and it is not on the deny list. A peer
    /// that was verified by an older trust, or long ago, is verified anew, and goes by the path
    /// that is found now: its certificates are those that expire and may be denied.
    fn check_facts(&self, deciding: &mut Deciding<'_, I>) -> Result<(), AdmitError> {
        let Identified {
            peer,
            presented,
            trust,
        } = &mut deciding.identified;
        let now = self.now()?;
        if *trust != self.trust_id() || !peer.chain().holds_at(now) {
            let verified = self.verify_for(presented, peer.connection())?;
            *trust = verified.trust();
            *peer = peer.along(verified.chain().clone());
        }
        self.check_deny_list(peer)
    }

    /// The admission, if the rules are those by which it was decided; `open` happens before they
    /// can change again. Otherwise it is to be decided once more.
    fn conclude(
        &self,
        deciding: &mut Deciding<'_, I>,
        open: impl Fn(&Peer<I>),
    ) -> Option<Admission<I>> {
        let epochs = &self.inner.epochs;
        if deciding.is_to_ask() {
            // Another path was found meanwhile. The epoch comes first, and then what is in force.
            deciding.epoch = epochs.now();
            return None;
        }
        let changed = epochs.settle(deciding.epoch, || open(deciding.peer()));
        let (rule, about) = deciding.allowed.take()?;
        if changed == Changed::Nothing {
            return Some(Admission::by_rule(rule, deciding.peer().clone()));
        }
        deciding.epoch = epochs.now();
        // What a policy was asked that has to ask others, it has answered, unless it is new: or
        // frequent changes could keep every new connection waiting.
        if changed == Changed::Facts && self.asks_others() {
            deciding.allowed = Some((rule, about));
        }
        None
    }

    fn asks_others(&self) -> bool {
        #[cfg(feature = "tokio")]
        return matches!(&**self.inner.authorizer.load(), Authorizer::Async { .. });
        #[cfg(not(feature = "tokio"))]
        false
    }
}
