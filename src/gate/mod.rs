//! The decision about a peer: chain → verify → identify → authorize.
//!
//! A gate is immutable: the trust, the policy, the deny list and everything else that a decision
//! depends on at one moment. It does no I/O, records nothing, and knows no runtime; the endpoint holds
//! the gate in force and replaces it as a whole. Each step takes the proof of the step before as its
//! argument, and the constructors of the proofs are private to this module, so that code which skips
//! a step does not compile.

mod admission;
mod alert;
mod decide;
mod epoch;
mod error;
mod generation;
mod handshaken;
mod identified;
mod known_chains;
#[cfg(feature = "http")]
mod vouched;

use std::fmt;
use std::sync::Arc;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

pub use admission::Admission;
pub(crate) use alert::{alert_name, certificate_error};
pub(crate) use epoch::{Changed, Epoch};
pub use error::AdmitError;
pub(crate) use generation::{GenerationId, TrustGeneration, Verified};
pub use handshaken::Handshaken;
pub(crate) use identified::Identified;
#[cfg(feature = "http")]
pub use vouched::Vouched;

use crate::identity::{IdentityExtractor, extract_caught};
use crate::policy::{Authorizer, Denies};
use crate::trust::{ChainError, ChainVerifier};
use crate::{Certificate, ConnectionInfo, Peer};

/// The rules by which an endpoint decides about its peers, at one moment.
pub(crate) struct Gate<I> {
    epoch: Epoch,
    generation: Arc<TrustGeneration<I>>,
    authorizer: Arc<Authorizer<I>>,
    rules: Arc<Rules<I>>,
    /// Why no peer is admitted at the moment.
    suspended: Option<Arc<str>>,
}

/// The rules that an endpoint keeps for as long as it lives.
pub(crate) struct Rules<I> {
    pub(crate) server_names: ServerNameVerification,
    pub(crate) extractor: Box<dyn IdentityExtractor<Identity = I>>,
    /// Its entries change in place.
    pub(crate) deny_list: Option<Box<dyn Denies<I>>>,
    pub(crate) clock: Arc<dyn TimeProvider>,
}

/// Whether a server's certificate must be valid for the name of the server that was connected to.
///
/// ```
/// use countersign::builder::{Builder, ClientSide};
/// use countersign::gate::ServerNameVerification;
/// use countersign::identity::SpiffeId;
///
/// /// With SPIFFE, the policy checks the server's ID.
/// fn for_spiffe(builder: Builder<ClientSide, SpiffeId>) -> Builder<ClientSide, SpiffeId> {
///     builder.server_names(ServerNameVerification::ByPolicy)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "hostname verification")]
pub enum ServerNameVerification {
    /// It must be valid for the name (RFC 9525).
    #[default]
    Verify,
    /// Only the policy decides, by the identity, as with SPIFFE IDs, whose certificates contain no host
    /// names.
    ByPolicy,
}

/// What a change replaces in a gate.
pub(crate) struct NextGate<I> {
    pub(crate) generation: Option<Arc<TrustGeneration<I>>>,
    pub(crate) authorizer: Option<Arc<Authorizer<I>>>,
    /// The entries of the deny list.
    pub(crate) deny_list: bool,
    /// Whether no peer is admitted from now on, and why.
    pub(crate) suspended: Option<Option<Arc<str>>>,
}

impl<I> Gate<I> {
    /// The first gate of an endpoint. `cache_capacity` is that of the verification cache; 0 turns it
    /// off.
    pub(crate) fn new(
        verifier: ChainVerifier,
        cache_capacity: usize,
        authorizer: Authorizer<I>,
        rules: Rules<I>,
    ) -> Self {
        let generation = Arc::new(TrustGeneration::new(verifier, cache_capacity));
        Self {
            epoch: Epoch::first(generation.id()),
            generation,
            authorizer: Arc::new(authorizer),
            rules: Arc::new(rules),
            suspended: None,
        }
    }

    /// The gate that follows this one.
    pub(crate) fn next(&self, change: NextGate<I>) -> Self {
        let generation = change
            .generation
            .unwrap_or_else(|| Arc::clone(&self.generation));
        Self {
            epoch: Epoch {
                trust: generation.id(),
                policy: self.epoch.policy + u64::from(change.authorizer.is_some()),
                facts: self.epoch.facts + u64::from(change.deny_list || change.suspended.is_some()),
            },
            generation,
            authorizer: change
                .authorizer
                .unwrap_or_else(|| Arc::clone(&self.authorizer)),
            rules: Arc::clone(&self.rules),
            suspended: change.suspended.unwrap_or_else(|| self.suspended.clone()),
        }
    }

    /// The next generation of trust.
    pub(crate) fn next_generation(&self, verifier: ChainVerifier) -> Arc<TrustGeneration<I>> {
        Arc::new(self.generation.next(verifier))
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the generation of trust, counted from 1.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.generation()
    }

    pub(crate) fn trust_id(&self) -> GenerationId {
        self.generation.id()
    }

    pub(crate) fn verifier(&self) -> &ChainVerifier {
        self.generation.verifier()
    }

    pub(crate) fn has_async_policy(&self) -> bool {
        self.authorizer.is_async()
    }

    pub(crate) fn deny_list(&self) -> Option<&dyn Denies<I>> {
        self.rules.deny_list.as_deref()
    }

    /// The time of the clock.
    ///
    /// # Errors
    /// [`AdmitError::NoClock`].
    pub(crate) fn now(&self) -> Result<UnixTime, AdmitError> {
        self.rules.clock.current_time().ok_or(AdmitError::NoClock)
    }

    /// Why no peer is admitted at the moment.
    #[cfg(feature = "tokio")]
    pub(crate) fn suspended(&self) -> Option<Arc<str>> {
        self.suspended.clone()
    }

    /// Whether peers are admitted at all.
    ///
    /// # Errors
    /// [`AdmitError::Suspended`].
    pub(crate) fn check_suspended(&self) -> Result<(), AdmitError> {
        match &self.suspended {
            None => Ok(()),
            Some(why) => Err(AdmitError::Suspended {
                why: Arc::clone(why),
            }),
        }
    }

    /// Step 1: the chain leads to a trusted root, and is valid for the name of the server. `read` gets
    /// the certificates that were parsed for it.
    pub(crate) fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        server_name: Option<&ServerName<'_>>,
        now: UnixTime,
        read: &mut Vec<Certificate>,
    ) -> Result<Verified, ChainError> {
        let verified = self.generation.verify(presented, now, read)?;
        if let (Some(name), ServerNameVerification::Verify) = (server_name, self.rules.server_names)
        {
            ChainVerifier::verify_name(verified.chain().leaf(), name)?;
        }
        Ok(verified)
    }

    /// Step 1, for a connection whose server name is in `info`.
    pub(crate) fn verify_for(
        &self,
        presented: &[CertificateDer<'_>],
        info: &ConnectionInfo,
    ) -> Result<Verified, AdmitError> {
        // A server's gate leaves them to the policy.
        let server_name = match self.rules.server_names {
            ServerNameVerification::ByPolicy => None,
            ServerNameVerification::Verify => {
                let name = info.server_name().ok_or(AdmitError::UnknownServerName)?;
                Some(ServerName::try_from(name).map_err(|_| AdmitError::UnknownServerName)?)
            }
        };
        let now = self.now()?;
        Ok(self.verify(presented, server_name.as_ref(), now, &mut Vec::new())?)
    }

    /// Step 2: extracts the identity from the leaf.
    pub(crate) fn identify<'c>(
        &self,
        verified: &Verified,
        presented: &'c [CertificateDer<'c>],
        info: ConnectionInfo,
    ) -> Result<Identified<'c, I>, AdmitError> {
        let chain = verified.chain();
        let permitted = |name: &str| chain.permits_common_name(name);
        let extract = || extract_caught(&*self.rules.extractor, chain.leaf(), &permitted);
        match self.generation.identity(verified, extract) {
            Ok(identity) => {
                let peer = Peer::new(identity, chain.clone(), info);
                Ok(Identified::new(peer, presented, verified.trust()))
            }
            Err(error) => Err(AdmitError::Identity {
                certificate: chain.leaf().clone(),
                error,
            }),
        }
    }

    /// The identity that a certificate claims, which is neither verified nor proven.
    pub(crate) fn claimed(&self, leaf: &Certificate) -> Option<I> {
        extract_caught(&*self.rules.extractor, leaf, &|_| true).ok()
    }
}

impl<I> fmt::Debug for Gate<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("generation", &self.generation)
            .field("server_names", &self.rules.server_names)
            .finish_non_exhaustive()
    }
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DnsName;
    use crate::pki::provider;
    use crate::side::Side;
    use crate::testing::TestCa;
    use crate::{Acceptor, policy};

    /// A connection that was authorized before a change is authorized again before it opens, because the
    /// epochs differ.
    #[test]
    fn each_change_has_an_epoch_of_its_own() {
        let ca = TestCa::new("Root");
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("a.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .expect("an acceptor");
        let nothing = || NextGate {
            generation: None,
            authorizer: None,
            deny_list: false,
            suspended: None,
        };
        let mut gate = acceptor.control().gate_in_force();
        assert_eq!(gate.next(nothing()).epoch(), gate.epoch());
        let provider = provider::built_in().expect("a provider");
        let verifier = || ChainVerifier::new(ca.trust(), Side::Client, &provider);
        let mut known = vec![gate.epoch()];
        for round in 0..2 {
            for change in [
                NextGate {
                    deny_list: true,
                    ..nothing()
                },
                NextGate {
                    suspended: Some(Some("no list of clients".into())),
                    ..nothing()
                },
                NextGate {
                    suspended: Some(None),
                    ..nothing()
                },
                NextGate {
                    authorizer: Some(Arc::new(Authorizer::sync(policy::allow_any()))),
                    ..nothing()
                },
                NextGate {
                    generation: Some(gate.next_generation(verifier())),
                    ..nothing()
                },
            ] {
                gate = Arc::new(gate.next(change));
                assert!(!known.contains(&gate.epoch()), "round {round}: {known:?}");
                known.push(gate.epoch());
            }
        }
    }
}
