//! Alerts: the ones that a verifier makes rustls send, and what those from the peer mean.

use rustls::{AlertDescription, Error};

use crate::gate::certificate_error;
use crate::trust::ChainError;

/// The error with which a verifier makes rustls send the fitting alert.
pub(super) fn as_rustls(error: &ChainError) -> Error {
    match error {
        ChainError::NoCertificate => Error::NoCertificatesPresented,
        other => Error::InvalidCertificate(certificate_error(other)),
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
