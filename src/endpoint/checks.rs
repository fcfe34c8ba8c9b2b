//! What is checked of an update before it is applied.

use crate::audit::{Action, Recorder};
use crate::gate::Gate;
use crate::pki::{Certificate, Credentials, Crl};
use crate::tls::{BuildError, CRL_ROLLED_BACK};
use crate::trust::{ChainVerifier, Revocation, SkippedCrl};

/// Our chain is within its validity: the leaf, and the intermediates that peers need.
pub(super) fn is_valid_now<I>(credentials: &Credentials, gate: &Gate<I>) -> Result<(), BuildError> {
    let now = gate.now().map_err(|_| BuildError::NoClock)?;
    let issuers = credentials.chain().iter().skip(1);
    let issuers = issuers
        .filter_map(|der| Certificate::from_der(der).ok()) // parsed when they were loaded
        .filter(|issuer| !issuer.is_self_issued()); // peers have roots of their own
    for certificate in std::iter::once(credentials.certificate().clone()).chain(issuers) {
        if now > certificate.not_after() {
            return Err(BuildError::CertificateExpired { certificate, now });
        }
        if now < certificate.not_before() {
            return Err(BuildError::CertificateNotYetValid { certificate, now });
        }
    }
    Ok(())
}

/// Where CRLs name a known authority as their issuer, this authority signed one of them, and every CRL
/// that claims its key is signed by that key.
pub(super) fn crls_are_their_issuers(verifier: &ChainVerifier) -> Result<(), BuildError> {
    match verifier.crl_not_by_its_issuer() {
        None => Ok(()),
        Some(crl) => Err(match verifier.unsupported_algorithm_of(crl) {
            None => BuildError::CrlNotByIssuer { crl: crl.clone() },
            Some(algorithm) => BuildError::CrlSignatureAlgorithm {
                crl: crl.clone(),
                algorithm,
            },
        }),
    }
}

/// Records each file or CRL that was skipped by an explicit option.
pub(super) fn record_skipped(skipped: &[SkippedCrl], recorder: &Recorder, generation: u64) {
    for skipped in skipped {
        recorder.emit(Action::CrlSkipped, Some(skipped.reason()), |event| {
            event.generation = generation;
            event.detail = Some(skipped.to_string());
        });
    }
}

/// CRLs that replace later ones, which the update allows, and what its loader skipped.
#[derive(Debug, Default)]
pub(super) struct RolledBack {
    found: Vec<(Crl, Crl)>,
    skipped: Vec<SkippedCrl>,
}

impl RolledBack {
    /// Finds the CRLs that `next` would replace with earlier ones.
    ///
    /// # Errors
    /// [`BuildError::CrlRolledBack`] for the first of them, unless the choices of `next` allow it;
    /// [`BuildError::NoClock`] without a time at which to compare.
    pub(super) fn find<I>(
        next: &mut ChainVerifier,
        current: &ChainVerifier,
        gate: &Gate<I>,
    ) -> Result<Self, BuildError> {
        let skipped = next.skipped_crls().to_vec();
        let of = |found| Self { found, skipped };
        if current.revocation_rules().is_none() {
            return Ok(of(Vec::new()));
        }
        let now = gate.now().map_err(|_| BuildError::NoClock)?;
        let found = next.crls_rolled_back(current, now);
        next.remember_crls(current, now);
        if next
            .revocation_rules()
            .is_some_and(Revocation::allows_rollback)
        {
            return Ok(of(found));
        }
        match found.into_iter().next() {
            None => Ok(of(Vec::new())),
            Some((crl, in_force)) => Err(BuildError::CrlRolledBack { crl, in_force }),
        }
    }

    /// Records each, once the update is in force in this generation.
    pub(super) fn record(&self, recorder: &Recorder, generation: u64) {
        record_skipped(&self.skipped, recorder, generation);
        for (crl, later) in &self.found {
            let reason = Some(CRL_ROLLED_BACK);
            recorder.emit(Action::CrlRolledBack, reason, |event| {
                event.generation = generation;
                event.detail = Some(format!("{crl} replaces {later}, which is newer"));
            });
        }
    }
}
