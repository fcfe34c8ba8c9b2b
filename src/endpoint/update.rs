//! A change of trust, CRLs or credentials at run time.

use super::checks::{self, OwnWarnings, RolledBack};
use crate::gate::Gate;
use crate::pki::{Credentials, OwnCertificateChecks};
use crate::side::Side;
use crate::tls::BuildError;
use crate::trust::{BundleError, ChainVerifier, Revocation, Trust, TrustBundles};

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
    /// Adds or removes a trust domain. This must not depend on the CRLs in force.
    is_of_bundles: bool,
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
