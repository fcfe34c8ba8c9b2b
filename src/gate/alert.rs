//! Which alert tells a peer of which refusal (RFC 8446 section 6.2).

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};

use super::AdmitError;
use crate::policy::DeniedBy;
use crate::trust::ChainError;

impl AdmitError {
    /// The TLS alert that tells the peer of this refusal.
    ///
    /// `Acceptor::accept` and `Connector::connect` send it by themselves. For QUIC it is the error
    /// code of the close, `0x0100` plus the alert's number (RFC 9001 section 4.8).
    pub fn alert(&self) -> AlertDescription {
        match self {
            Self::Chain(ChainError::NoCertificate) => AlertDescription::CertificateRequired,
            Self::Chain(error) => certificate_error(error).into(),
            Self::DenyListed {
                by: DeniedBy::Serial | DeniedBy::Key,
                ..
            } => AlertDescription::CertificateRevoked,
            // The certificate is good, and its holder is not welcome.
            Self::DenyListed { .. }
            | Self::Identity { .. }
            | Self::Denied { .. }
            | Self::PolicyPanicked { .. }
            | Self::PolicyTimedOut { .. } => AlertDescription::AccessDenied,
            _ => AlertDescription::InternalError,
        }
    }
}

/// rustls' error that makes it send the fitting alert.
pub(crate) fn certificate_error(error: &ChainError) -> CertificateError {
    match error {
        ChainError::NoCertificate
        | ChainError::TooLong { .. }
        | ChainError::Malformed { .. }
        | ChainError::Version1 { .. }
        | ChainError::KeyTooLarge { .. }
        | ChainError::BreaksRfc5280 { .. } => CertificateError::BadEncoding,
        ChainError::CaAsEndEntity { .. }
        | ChainError::EndEntityMaySign { .. }
        | ChainError::NoDigitalSignature { .. }
        | ChainError::IssuerMayNotSign { .. }
        | ChainError::WrongUsage { .. } => CertificateError::InvalidPurpose,
        ChainError::Expired { .. } => CertificateError::Expired,
        ChainError::NotYetValid { .. } => CertificateError::NotValidYet,
        // A CA that only bears the name of ours is not known to us. rustls would say decrypt_error,
        // which reads like a fault of the connection.
        ChainError::UnknownIssuer { .. }
        | ChainError::BadSignature { .. }
        | ChainError::UnknownTrustDomain { .. } => CertificateError::UnknownIssuer,
        ChainError::NoTrustDomain { .. } => CertificateError::BadEncoding,
        ChainError::Revoked { .. } => CertificateError::Revoked,
        // Our lack of a CRL is no fault of theirs: certificate_unknown. rustls would say unknown_ca.
        ChainError::UnknownRevocationStatus { .. }
        | ChainError::CrlExpired { .. }
        | ChainError::MayNotSignCrls { .. } => {
            CertificateError::Other(OtherError(Arc::new(error.clone())))
        }
        ChainError::NameMismatch { .. } => CertificateError::NotValidForName,
        ChainError::Invalid { problem, .. } => {
            CertificateError::Other(OtherError(Arc::new(problem.clone())))
        }
    }
}
