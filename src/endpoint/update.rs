//! A change of trust, CRLs or credentials at run time.

use std::sync::Arc;

use super::BundleChange;
use super::checks::{self, OwnWarnings, RolledBack};
use crate::gate::Gate;
use crate::identity::TrustDomain;
use crate::pki::{Credentials, OwnCertificateChecks};
use crate::side::Side;
use crate::tls::BuildError;
use crate::trust::{BundleError, ChainVerifier, Revocation, Trust, TrustStore};

/// New trust, CRLs or credentials for an acceptor or a connector in use. Parts that are not set stay
/// as they are.
///
/// [`Control::update`](crate::Control::update) applies it as a whole, or not at all. It checks these
/// rules first; an error, or a panic of the crypto provider, changes nothing:
///
/// * Each key matches its certificate, our own chains are valid now, and peers can accept our
///   certificates (see [`OwnCertificateChecks`]).
/// * The trust has a root or a pin.
/// * New trust and credentials are what the builder's
///   [`post_quantum`](crate::builder::Builder::post_quantum) and
///   [`require_fips`](crate::builder::Builder::require_fips) require.
/// * Where CRLs name a trusted authority as their issuer, this authority has signed at least one of
///   them. Otherwise no peer with a certificate of this authority could be admitted. CRLs of another
///   authority of the same name, by their authorityKeyIdentifier, are ignored. CRLs of authorities
///   that are not known yet are verified when a peer presents a certificate of theirs.
/// * No CRL replaces a later one of the same issuer and scope, unless [`Revocation::rollback`] allows
///   it.
///
/// After that, every connection is verified by the new generation, also one whose handshake is in
/// progress, and no session of an older generation is resumed.
///
/// ```no_run
/// use countersign::trust::Crls;
/// use countersign::{Acceptor, TrustStore, Update, identity::SpiffeId};
///
/// # fn f(acceptor: Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let generation = acceptor.control().update(
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
    /// The only bundle that the trust changes. This must not depend on the CRLs in force.
    bundle: Option<ChangedBundle>,
}

/// The bundle of one trust domain before and after a change; `None` where the domain is not trusted.
#[derive(Debug)]
pub(super) struct ChangedBundle {
    pub(super) domain: TrustDomain,
    pub(super) old: Option<Arc<TrustStore>>,
    pub(super) new: Option<Arc<TrustStore>>,
}

impl Update {
    /// An update without changes. Applied as it is, it only invalidates all sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the roots and pins that peers' chains must lead to.
    pub fn trust(mut self, trust: impl Into<Trust>) -> Self {
        self.trust = Some(trust.into());
        self
    }

    /// Sets the CRLs, with their options.
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

    pub(super) const fn replaces_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The default credentials, and those for names.
    pub(super) fn take_credentials(&mut self) -> (Option<Credentials>, Vec<(String, Credentials)>) {
        (self.credentials.take(), std::mem::take(&mut self.named))
    }

    /// The verifier that the update would put in force, if it can admit a peer.
    pub(super) fn verifier<I>(
        &mut self,
        gate: &Gate<I>,
    ) -> Result<(ChainVerifier, RolledBack), BuildError> {
        let current = gate.verifier();
        if self.trust.as_ref().is_some_and(Trust::is_empty) {
            return Err(BuildError::EmptyTrust);
        }
        let changes = self.trust.is_some() || self.revocation.is_some();
        let replaces_crls = self.revocation.is_some();
        let mut next = match (&self.bundle, self.trust.take()) {
            (Some(changed), Some(trust)) => current.with_store(trust, changed.new.as_deref()),
            (_, trust) => {
                let next = current.updated(trust, self.revocation.take());
                if changes {
                    checks::crls_are_their_issuers(&next)?;
                }
                next
            }
        };
        let rolled_back = if replaces_crls {
            RolledBack::find(&mut next, current, gate)?
        } else {
            RolledBack::default()
        };
        Ok((next, rolled_back))
    }

    /// Checks that peers can accept our own certificates now.
    pub(super) fn check_credentials<I>(
        &self,
        side: Side,
        checks: OwnCertificateChecks,
        gate: &Gate<I>,
    ) -> Result<OwnWarnings, BuildError> {
        let named = self.named.iter().map(|(_, credentials)| credentials);
        OwnWarnings::of_update(self.credentials.iter().chain(named), side, checks, gate)
    }

    /// The bundle that it changes.
    pub(super) const fn bundle(&self) -> Option<&ChangedBundle> {
        self.bundle.as_ref()
    }

    /// One more trust domain, or one less, by what is in force now.
    pub(super) fn of_bundle(current: &Trust, change: BundleChange) -> Result<Self, BuildError> {
        let Trust::ByTrustDomain(bundles) = current else {
            return Err(BundleError::NotByTrustDomain.into());
        };
        let BundleChange { domain, bundle } = change;
        let old = bundles.shared(&domain).cloned();
        let next = match bundle {
            Some(bundle) => bundles.clone().with(domain.clone(), bundle)?,
            None => bundles.clone().without(&domain),
        };
        let new = next.shared(&domain).cloned();
        Ok(Self {
            trust: Some(next.into()),
            bundle: Some(ChangedBundle { domain, old, new }),
            ..Self::default()
        })
    }
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::identity::SpiffeId;
    use crate::testing::TestCa;
    use crate::{Acceptor, policy};

    /// The addresses of the stores of these domains, by what is in force.
    fn stores(acceptor: &Acceptor<SpiffeId>, domains: &[TrustDomain]) -> Vec<*const TrustStore> {
        let gate = acceptor.control().gate_in_force();
        let Trust::ByTrustDomain(bundles) = gate.verifier().trust() else {
            panic!("by trust domain");
        };
        let stores = domains.iter().filter_map(|domain| bundles.get(domain));
        stores.map(ptr::from_ref).collect()
    }

    #[test]
    fn a_trust_domain_is_replaced_without_a_copy_of_the_others() {
        let ca = TestCa::new("Root");
        let domain =
            |number: usize| -> TrustDomain { format!("d{number}.example").parse().unwrap() };
        let others: Vec<TrustDomain> = (1..200).map(domain).collect();
        let mut bundles = TrustStore::by_trust_domain();
        for number in 0..200 {
            bundles = bundles.with(domain(number), ca.trust()).unwrap();
        }
        let crls = crate::trust::Crls::new([crate::pki::Crl::from_der(&ca.crl().build()).unwrap()]);
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("a.example").issue().credentials())
            .trust(bundles)
            .identify(SpiffeId::extractor())
            .authorize(policy::allow_any())
            .revocation(crls.unwrap())
            .build()
            .unwrap();
        let control = acceptor.control();
        let before = stores(&acceptor, &others);
        assert_eq!(before.len(), 199);
        let rules = |acceptor: &Acceptor<SpiffeId>| {
            let gate = acceptor.control().gate_in_force();
            gate.verifier().revocation_rules().map(ptr::from_ref)
        };
        let crls = rules(&acceptor);

        let other = TestCa::new("Other").trust();
        assert_eq!(
            control.set_trust_domain(domain(0), other.clone()).unwrap(),
            2
        );
        assert_eq!(stores(&acceptor, &others), before);
        assert_eq!(
            rules(&acceptor),
            crls,
            "their signatures are not verified again"
        );
        assert_eq!(control.set_trust_domain(domain(500), other).unwrap(), 3);
        assert_eq!(control.remove_trust_domain(&domain(0)).unwrap(), 4);
        assert_eq!(control.remove_trust_domain(&domain(777)).unwrap(), 5);
        assert_eq!(stores(&acceptor, &others), before);
        assert_eq!(stores(&acceptor, &[domain(0), domain(500)]).len(), 1);
    }
}
