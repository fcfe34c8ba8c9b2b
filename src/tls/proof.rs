//! What is proved of an update before it is taken.

use super::BuildError;
use crate::gate::Gate;
use crate::pki::{Certificate, Credentials};
use crate::trust::ChainVerifier;

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

/// Where CRLs bear the name of an authority that is known, it signed one, and none claims to be its
/// own and is not.
pub(super) fn crls_are_their_issuers(verifier: &ChainVerifier) -> Result<(), BuildError> {
    match verifier.crl_not_by_its_issuer() {
        None => Ok(()),
        Some(crl) => Err(BuildError::CrlNotByIssuer { crl: crl.clone() }),
    }
}
