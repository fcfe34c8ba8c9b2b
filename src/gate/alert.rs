//! Which alert a peer receives for which refusal (RFC 8446 section 6.2).

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};

use super::AdmitError;
use crate::policy::DeniedBy;
use crate::trust::ChainError;

impl AdmitError {
    /// The TLS alert for this refusal.
    ///
    /// `Acceptor::accept` and `Connector::connect` send it. For QUIC the error code of the close is
    /// `0x0100` plus the alert's number (RFC 9001 section 4.8).
    pub fn alert(&self) -> AlertDescription {
        match self {
            Self::Chain(ChainError::NoCertificate) => AlertDescription::CertificateRequired,
            Self::Chain(error) => certificate_error(error).into(),
            Self::DenyListed {
                by: DeniedBy::Serial | DeniedBy::Key,
                ..
            } => AlertDescription::CertificateRevoked,
            // The certificate is valid, but its holder is not allowed.
            Self::DenyListed { .. }
            | Self::Identity { .. }
            | Self::Denied { .. }
            | Self::PolicyPanicked { .. }
            | Self::PolicyTimedOut { .. }
            | Self::TooManyConnectionsOfIdentity { .. } => AlertDescription::AccessDenied,
            // Nothing is known of the certificate, and that is not the peer's fault, as with a missing CRL.
            Self::NoClock => AlertDescription::CertificateUnknown,
            // One of them is `TooManyConnections`: the peer did nothing wrong, and can try again.
            _ => AlertDescription::InternalError,
        }
    }
}

/// The error for which rustls sends the fitting alert.
pub(crate) fn certificate_error(error: &ChainError) -> CertificateError {
    match error {
        ChainError::NoCertificate
        | ChainError::TooLong { .. }
        | ChainError::Malformed { .. }
        | ChainError::Version1 { .. }
        | ChainError::KeyTooLarge { .. }
        | ChainError::BreaksRfc5280 { .. } => CertificateError::BadEncoding,
        // RFC 8446 section 6.2: unsupported_certificate.
        ChainError::UnsupportedKey { .. }
        | ChainError::UnsupportedAlgorithm { .. }
        | ChainError::NotPostQuantum { .. }
        | ChainError::NotFips { .. }
        | ChainError::CaAsEndEntity { .. }
        | ChainError::EndEntityMaySign { .. }
        | ChainError::NoDigitalSignature { .. }
        | ChainError::IssuerMayNotSign { .. }
        | ChainError::WrongUsage { .. } => CertificateError::InvalidPurpose,
        ChainError::Expired { .. } => CertificateError::Expired,
        ChainError::NotYetValid { .. } => CertificateError::NotValidYet,
        // A CA that only has the name of ours is unknown. rustls would send decrypt_error, which reads
        // like a fault of the connection.
        ChainError::UnknownIssuer { .. }
        | ChainError::BadSignature { .. }
        | ChainError::TooManyCandidates { .. }
        | ChainError::UnknownTrustDomain { .. } => CertificateError::UnknownIssuer,
        ChainError::NoTrustDomain { .. } => CertificateError::BadEncoding,
        ChainError::Revoked { .. } => CertificateError::Revoked,
        // A missing CRL on our side is not an error of the peer: certificate_unknown. rustls would send
        // unknown_ca.
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

/// RFC 8446's name of an alert: `access_denied`.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    use AlertDescription as A;

    match alert {
        A::UnknownCA => "unknown_ca".into(),
        A::UnknownPSKIdentity => "unknown_psk_identity".into(),
        A::UnrecognisedName => "unrecognized_name".into(),
        A::Unknown(code) => format!("number {code}"),
        other => {
            let camel = format!("{other:?}");
            let mut snake = String::with_capacity(camel.len() + 4);
            for (index, character) in camel.chars().enumerate() {
                if character.is_ascii_uppercase() && index > 0 {
                    snake.push('_');
                }
                snake.push(character.to_ascii_lowercase());
            }
            snake
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        for (alert, name) in [
            (AlertDescription::AccessDenied, "access_denied"),
            (
                AlertDescription::CertificateRequired,
                "certificate_required",
            ),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::DecryptError, "decrypt_error"),
            (AlertDescription::Unknown(200), "number 200"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn a_missing_clock_is_not_an_error_of_the_peer() {
        let alert = AdmitError::NoClock.alert();
        assert_eq!(alert, AlertDescription::CertificateUnknown);
    }
}
