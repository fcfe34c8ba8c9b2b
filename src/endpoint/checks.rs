//! What is checked of credentials and of an update before they are in force.

use rustls_pki_types::UnixTime;

use crate::Diagnostic;
use crate::audit::{Action, Recorder};
use crate::gate::Gate;
use crate::pki::{
    Certificate, Credentials, Crl, LoadWarning, OwnCertificateChecks, OwnCertificateProblem, own,
};
use crate::side::Side;
use crate::tls::{BuildError, CRL_ROLLED_BACK};
use crate::trust::{ChainVerifier, Revocation, SkippedCrl};

/// What is unusual about our own credentials, to be recorded once they are in force.
#[derive(Default)]
pub(super) struct OwnWarnings(Vec<OwnWarning>);

enum OwnWarning {
    File(Certificate, LoadWarning),
    Certificate(OwnCertificateProblem),
}

impl OwnWarnings {
    /// Checks the credentials of a new acceptor or connector.
    ///
    /// Their validity is a warning: a device can start before its clock is right, and a service that was
    /// restarted with an expired certificate can get a new one by its reload.
    ///
    /// # Errors
    /// [`BuildError::OwnCertificate`] for what every peer rejects, unless `checks` only reports it.
    pub(super) fn of_new<'a>(
        credentials: impl Iterator<Item = &'a Credentials>,
        side: Side,
        checks: OwnCertificateChecks,
        now: Option<UnixTime>,
    ) -> Result<Self, BuildError> {
        let mut warnings = Vec::new();
        for credentials in credentials {
            for found in own::problems(credentials, side, now) {
                if found.is_fatal && checks == OwnCertificateChecks::Enforce {
                    return Err(BuildError::OwnCertificate(found.problem));
                }
                warnings.push(OwnWarning::Certificate(found.problem));
            }
            let certificate = credentials.certificate();
            for warning in credentials.warnings() {
                warnings.push(OwnWarning::File(certificate.clone(), warning.clone()));
            }
        }
        Ok(Self(warnings))
    }

    /// As [`of_new`](Self::of_new), for an update: what is in force is better than credentials that are
    /// not valid now.
    pub(super) fn of_update<'a, I>(
        credentials: impl Iterator<Item = &'a Credentials> + Clone,
        side: Side,
        checks: OwnCertificateChecks,
        gate: &Gate<I>,
    ) -> Result<Self, BuildError> {
        for credentials in credentials.clone() {
            let now = gate.now().map_err(|_| BuildError::NoClock)?;
            if let Some(problem) = own::invalid_at(credentials, now) {
                return Err(BuildError::OwnCertificate(problem));
            }
        }
        Self::of_new(credentials, side, checks, None)
    }

    /// Records each, once the credentials are in force in this generation.
    pub(super) fn record(&self, recorder: &Recorder, generation: u64) {
        for warning in &self.0 {
            let (certificate, warning): (_, &dyn Diagnostic) = match warning {
                OwnWarning::File(certificate, warning) => (certificate, warning),
                OwnWarning::Certificate(problem) => (problem.certificate(), problem),
            };
            let reason = Some(warning.reason());
            recorder.emit(Action::CredentialsWarning, reason, |event| {
                event.generation = generation;
                event.detail = Some(warning.to_string());
                event.own_certificate = Some(certificate.clone());
            });
        }
    }
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
