//! What is to change while an acceptor or a connector lives.

use super::checks::{self, RolledBack};
use crate::gate::Gate;
use crate::pki::Credentials;
use crate::tls::BuildError;
use crate::trust::{BundleError, ChainVerifier, Revocation, Trust, TrustBundles};

/// New trust, CRLs or credentials for an acceptor or a connector that lives on; what is not set
/// stays.
///
/// It is taken whole or not at all: everything is proved to fit first, and an error, or a panic of
/// the crypto provider, changes nothing. Keys must match their certificates, and our own chains be valid now; somebody must be
/// trusted; and where CRLs bear the name of an authority of the trust, it must have signed one of
/// them, or nobody could be admitted of those whom it issued. (Those of another authority of that
/// name, by their authorityKeyIdentifier, disturb nobody; those of authorities that are not known yet
/// prove themselves when a peer shows one's certificate.) No CRL may replace a later one of the same
/// issuer and scope, unless [`Revocation::rollback`] allows it. From then on every connection is judged by the new generation, those whose handshake is under
/// way included, and no session of an older one is resumed.
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
    /// A trust domain comes or goes: that must not depend on CRLs that are left from before.
    is_of_bundles: bool,
}

impl Update {
    /// Changes nothing yet. Applied like this, it only ends all sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the roots and pins that peers' chains must lead to.
    pub fn trust(mut self, trust: impl Into<Trust>) -> Self {
        self.trust = Some(trust.into());
        self
    }

    /// Sets the CRLs, with their choices.
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

    /// The verifier that would be in force, if it is one that can admit anybody.
    pub(super) fn verifier<I>(
        &mut self,
        gate: &Gate<I>,
    ) -> Result<(ChainVerifier, RolledBack), BuildError> {
        let current = gate.verifier();
        if self.trust.as_ref().is_some_and(Trust::is_empty) {
            return Err(BuildError::EmptyTrust);
        }
        let changes = self.trust.is_some() || self.revocation.is_some();
        let to_prove = changes && !self.is_of_bundles;
        let replaces_crls = self.revocation.is_some();
        let mut next = current.updated(self.trust.take(), self.revocation.take());
        if to_prove {
            checks::crls_are_their_issuers(&next)?;
        }
        let rolled_back = if replaces_crls {
            RolledBack::find(&mut next, current, gate)?
        } else {
            RolledBack::default()
        };
        Ok((next, rolled_back))
    }

    /// Finds out that peers could not accept our own certificates.
    pub(super) fn check_credentials<I>(&self, gate: &Gate<I>) -> Result<(), BuildError> {
        let named = self.named.iter().map(|(_, credentials)| credentials);
        for credentials in self.credentials.iter().chain(named) {
            checks::is_valid_now(credentials, gate)?;
        }
        Ok(())
    }

    /// One more trust domain, or one less, by what is in force now.
    pub(super) fn bundles(
        current: &Trust,
        change: impl FnOnce(TrustBundles) -> Result<TrustBundles, BundleError>,
    ) -> Result<Self, BuildError> {
        match current {
            Trust::ByTrustDomain(bundles) => Ok(Self {
                trust: Some(change(bundles.clone())?.into()),
                is_of_bundles: true,
                ..Self::default()
            }),
            Trust::Store(_) => Err(BundleError::NotByTrustDomain.into()),
        }
    }
}
