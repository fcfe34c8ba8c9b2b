//! Which alert tells a peer of which refusal (RFC 8446 section 6.2).

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error, OtherError};

use crate::gate::AdmitError;
use crate::trust::ChainError;

/// The error with which a verifier makes rustls send the fitting alert.
pub(super) fn as_rustls(error: &ChainError) -> Error {
    match error {
        ChainError::NoCertificate => Error::NoCertificatesPresented,
        other => Error::InvalidCertificate(certificate_error(other)),
    }
}

/// The alert for a peer that is refused after the handshake.
pub(crate) fn for_refusal(error: &AdmitError) -> AlertDescription {
    match error {
        AdmitError::Chain(ChainError::NoCertificate) => AlertDescription::CertificateRequired,
        AdmitError::Chain(error) => certificate_error(error).into(),
        // The certificate is good, and its holder is not welcome.
        AdmitError::Identity { .. }
        | AdmitError::Denied { .. }
        | AdmitError::PolicyPanicked { .. } => AlertDescription::AccessDenied,
        #[cfg(feature = "tokio")]
        AdmitError::PolicyTimedOut { .. } => AlertDescription::AccessDenied,
        _ => AlertDescription::InternalError,
    }
}

fn certificate_error(error: &ChainError) -> CertificateError {
    match error {
        ChainError::NoCertificate
        | ChainError::TooLong { .. }
        | ChainError::Malformed { .. }
        | ChainError::Version1 { .. }
        | ChainError::KeyTooLarge { .. } => CertificateError::BadEncoding,
        ChainError::CaAsEndEntity { .. }
        | ChainError::EndEntityMaySign { .. }
        | ChainError::NoDigitalSignature { .. }
        | ChainError::IssuerMayNotSign { .. }
        | ChainError::WrongUsage { .. } => CertificateError::InvalidPurpose,
        ChainError::Expired { .. } => CertificateError::Expired,
        ChainError::NotYetValid { .. } => CertificateError::NotValidYet,
        // A CA that only bears the name of ours is not known to us. rustls would say decrypt_error,
        // which reads like a fault of the connection.
        ChainError::UnknownIssuer { .. } | ChainError::BadSignature { .. } => {
            CertificateError::UnknownIssuer
        }
        ChainError::NameMismatch { .. } => CertificateError::NotValidForName,
        ChainError::Invalid { problem, .. } => {
            CertificateError::Other(OtherError(Arc::new(problem.clone())))
        }
    }
}

/// What an alert from the peer means to the one who gets it.
pub(crate) const fn meaning(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;

    match alert {
        A::AccessDenied => "our certificate is trusted, and the peer's policy denies us",
        A::CertificateRequired => "the peer wants a certificate and we sent none",
        A::UnknownCA => "the issuer of our certificate is not in the peer's trust store",
        A::BadCertificate => "the peer cannot use our certificate",
        A::UnsupportedCertificate => "our certificate is not for this use",
        A::CertificateRevoked => "our certificate is revoked",
        A::CertificateExpired => "our certificate is expired or not yet valid, by the peer's clock",
        A::CertificateUnknown => "the peer refuses our certificate without saying why",
        A::DecryptError => "the peer could not verify a signature",
        A::ProtocolVersion => {
            "the peer supports none of our TLS versions; allow_tls12() adds TLS 1.2"
        }
        A::HandshakeFailure => {
            "no parameters in common, or the peer wants a certificate and we sent none"
        }
        A::NoApplicationProtocol => "no application protocol (ALPN) in common",
        A::UnrecognisedName => "the peer does not serve the name that we asked for",
        _ => "see RFC 8446 section 6",
    }
}
