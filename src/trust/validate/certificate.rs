//! The checks of one certificate: its form, validity, extensions and rights.

use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::{Rules, invalid, malformed};
use crate::pki::Certificate;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::extension_oid::{
    BASIC_CONSTRAINTS, CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, NAME_CONSTRAINTS,
    SUBJECT_ALTERNATIVE_NAME,
};
use crate::side::Side;
use crate::trust::extensions::{is_known, unknown_critical};
use crate::trust::verifier::{check_validity, wrong_usage};
use crate::trust::{ChainError, EkuPolicy, PathError};

/// Extensions that path validation reads, whose value is a SEQUENCE.
const SEQUENCES: [&str; 5] = [
    SUBJECT_ALTERNATIVE_NAME,
    BASIC_CONSTRAINTS,
    NAME_CONSTRAINTS,
    CRL_DISTRIBUTION_POINTS,
    EXTENDED_KEY_USAGE,
];

/// The checks of every certificate of a path.
pub(super) fn check(certificate: &Certificate, rules: &Rules<'_>) -> Result<(), ChainError> {
    if certificate.version() < 3 {
        return Err(ChainError::Version1 {
            certificate: certificate.clone(),
        });
    }
    // Section 4.1.1.2: the algorithm is inside and outside of what is signed.
    if !matches!(has_one_algorithm(certificate), Ok(true)) {
        return Err(invalid(certificate, PathError::AlgorithmMismatch));
    }
    check_extensions(certificate)?;
    check_sequences(certificate)?;
    if certificate.not_before() > certificate.not_after() {
        let text = "its notBefore is after its notAfter".to_owned();
        return Err(invalid(certificate, PathError::Other(text)));
    }
    validity(certificate, rules.now, rules.choices.clock_tolerance)?;
    match certificate.extended_key_usage() {
        None => Ok(()),
        Some([]) => Err(malformed(certificate, EXTENDED_KEY_USAGE)),
        Some(purposes) if fits_usage(purposes, rules.usage, rules.extended_key_usage) => Ok(()),
        Some(_) => Err(wrong_usage(certificate, rules.usage)),
    }
}

/// The checks of an issuer, with this many intermediates below it that are not self-issued.
pub(super) fn check_issuer(issuer: &Certificate, below: usize) -> Result<(), ChainError> {
    let may_sign = issuer.key_usage().is_none_or(|usage| usage.key_cert_sign());
    if !issuer.is_ca() || !may_sign {
        return Err(ChainError::IssuerMayNotSign {
            certificate: issuer.clone(),
        });
    }
    let allowed = path_length(issuer).map_err(|_| malformed(issuer, BASIC_CONSTRAINTS))?;
    if allowed.is_some_and(|allowed| below > allowed) {
        return Err(invalid(issuer, PathError::PathLength));
    }
    Ok(())
}

/// Whether a purpose of a certificate allows this usage.
pub(in crate::trust) fn fits_usage(purposes: &[String], usage: Side, rule: EkuPolicy) -> bool {
    let has = |side: Side| purposes.iter().any(|oid| oid == side.usage_oid());
    has(usage) || (rule == EkuPolicy::AcceptServerAuth && has(Side::Server))
}

/// Section 4.2: no extension occurs twice, and every critical one is processed.
pub(in crate::trust) fn check_extensions(certificate: &Certificate) -> Result<(), ChainError> {
    let all = certificate.extensions();
    for (index, extension) in all.iter().enumerate() {
        let mut before = all[..index].iter();
        if is_known(extension.oid()) && before.any(|other| other.oid() == extension.oid()) {
            let oid = extension.oid().to_owned();
            return Err(invalid(certificate, PathError::RepeatedExtension { oid }));
        }
    }
    match unknown_critical(certificate) {
        None => Ok(()),
        Some(oid) => {
            let oid = oid.to_owned();
            Err(invalid(certificate, PathError::UnknownExtension { oid }))
        }
    }
}

/// Whether rustls-webpki processes the path or not, an extension must have its outer form.
fn check_sequences(certificate: &Certificate) -> Result<(), ChainError> {
    for oid in SEQUENCES {
        let value = certificate.extension(oid);
        if value.is_some_and(|value| der::single(value, der::SEQUENCE).is_err()) {
            return Err(malformed(certificate, oid));
        }
    }
    Ok(())
}

/// The validity, with a notBefore that may be this much ahead of our clock.
pub(in crate::trust) fn validity(
    certificate: &Certificate,
    now: UnixTime,
    tolerance: Duration,
) -> Result<(), ChainError> {
    match check_validity(certificate, now) {
        Err(ChainError::NotYetValid { not_before, .. })
            if not_before.as_secs() - now.as_secs() <= tolerance.as_secs() =>
        {
            // A notAfter before the notBefore is never valid.
            check_validity(certificate, not_before)
        }
        result => result,
    }
}

/// Whether `TBSCertificate.signature` is `Certificate.signatureAlgorithm`.
fn has_one_algorithm(certificate: &Certificate) -> Result<bool, NotDer> {
    let signed = certificate.signed()?;
    let mut tbs = Reader::new(der::single(signed.message, der::SEQUENCE)?);
    tbs.optional(0xa0)?; // version
    tbs.expect(der::INTEGER)?; // serial number
    Ok(tbs.expect(der::SEQUENCE)?.content == signed.algorithm)
}

/// The pathLenConstraint. One that is larger than any path allows all.
fn path_length(issuer: &Certificate) -> Result<Option<usize>, NotDer> {
    let Some(value) = issuer.extension(BASIC_CONSTRAINTS) else {
        return Ok(None);
    };
    let mut fields = Reader::new(der::single(value, der::SEQUENCE)?);
    fields.optional(der::BOOLEAN)?;
    let length = fields.optional(der::INTEGER)?;
    fields.end()?;
    length.map(|length| small(length.content)).transpose()
}

/// A non-negative INTEGER. Those over 127 are large: no path is that long.
pub(super) fn small(content: &[u8]) -> Result<usize, NotDer> {
    match content {
        [only @ 0..=0x7f] => Ok(usize::from(*only)),
        [0, 0x80..=0xff, ..] | [1..=0x7f, _, ..] => Ok(usize::MAX),
        _ => Err(NotDer),
    }
}
