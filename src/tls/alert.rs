//! Alerts: which one a verifier makes rustls send, and the meaning of those that the peer sends.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, Error, OtherError};

use super::HandshakeError;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::gate::{AdmitError, alert_name, certificate_error};
use crate::pki::named::Named;
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ShortName};
use crate::side::Side;
use crate::trust::ChainError;

/// The error of a verifier for which rustls sends the fitting alert.
///
/// RFC 8446 sections 4.4.2 and 6.2 require decode_error for a certificate entry of no octets, but rustls
/// parses such an entry, and sends decode_error for no error of a verifier: errors other than
/// `InvalidCertificate` become illegal_parameter or handshake_failure. It is therefore a malformed
/// certificate, and the alert is bad_certificate.
pub(super) fn as_rustls(error: &ChainError) -> Error {
    match error {
        ChainError::NoCertificate => Error::NoCertificatesPresented,
        other => Error::InvalidCertificate(certificate_error(other)),
    }
}

/// The error of a verifier that has no time, for which rustls sends certificate_unknown.
pub(super) fn no_time() -> Error {
    let error = OtherError(Arc::new(AdmitError::NoClock));
    Error::InvalidCertificate(CertificateError::Other(error))
}

/// An alert with which the peer rejected us, in the handshake or after it.
///
/// `Display` is one line: which side refused what, the alert in RFC 8446's spelling, its meaning for us,
/// and a remedy. The alert is all that the peer sends: its log has the details.
///
/// ```
/// use countersign::rustls::AlertDescription;
/// use countersign::Side;
/// use countersign::{Diagnostic, PeerAlert};
///
/// // Of a QUIC connection that a server closed with the error code 0x0131.
/// let alert = PeerAlert::new(AlertDescription::from(0x31), Side::Server, None);
/// assert_eq!(alert.alert(), AlertDescription::AccessDenied);
/// assert_eq!(alert.remedy(), "have us allowed there, or use a certificate that is");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[doc(alias = "AlertDescription")]
pub struct PeerAlert {
    alert: AlertDescription,
    peer: Side,
    own: Option<Certificate>,
}

impl PeerAlert {
    /// An alert that the peer on this side (client or server) sent, to which we presented this
    /// certificate.
    ///
    /// For connections that this crate does not drive: with QUIC the alert is the error code of the
    /// close, minus `0x0100` (RFC 9001 section 4.8).
    pub const fn new(alert: AlertDescription, peer: Side, own: Option<Certificate>) -> Self {
        Self { alert, peer, own }
    }

    pub(crate) fn of_handshake(
        alert: AlertDescription,
        peer: Side,
        shown: Option<&CertifiedKey>,
    ) -> Self {
        Self::new(alert, peer, shown.and_then(leaf_of))
    }

    /// The alert.
    pub const fn alert(&self) -> AlertDescription {
        self.alert
    }

    /// Whether the peer is the client or the server.
    pub const fn peer(&self) -> Side {
        self.peer
    }

    /// The certificate that we presented to the peer in this handshake, if any.
    pub const fn own_certificate(&self) -> Option<&Certificate> {
        self.own.as_ref()
    }

    /// The meaning of the alert, and the remedy.
    fn meaning(&self) -> (String, &'static str) {
        use AlertDescription as A;

        let its_log = "see its log for the reason";
        let is_server = self.peer == Side::Server;
        let (whose, purpose) = if is_server {
            ("the server's", "clientAuth")
        } else {
            ("the client's", "serverAuth")
        };
        match self.alert {
            A::AccessDenied => (
                format!(
                    "its policy: the certificate is trusted, and {whose} policy or deny list denies us, or it finds no identity in it"
                ),
                "have us allowed there, or use a certificate that is",
            ),
            A::UnknownCA => (
                match &self.own {
                    Some(own) => format!(
                        "issuer \"{}\" is not in {whose} trust store, or an intermediate is missing",
                        ShortName(own.issuer())
                    ),
                    None => format!("its issuer is not in {whose} trust store"),
                },
                "have that CA added there, or append the intermediates to our certificate's file",
            ),
            A::CertificateRequired => (
                match &self.own {
                    Some(_) => "it did not recognize our certificate".into(),
                    None => "it requires a certificate, and we sent none".into(),
                },
                "give us a certificate and its key, from a CA that it trusts",
            ),
            A::BadCertificate if is_server => (
                "it cannot be used: malformed, version 1, or not as the server requires".into(),
                its_log,
            ),
            A::BadCertificate => (
                "it cannot be used, or is not valid for the name that the client connects to"
                    .into(),
                "compare its subjectAltName with that name, or see the client's log",
            ),
            A::UnsupportedCertificate => (
                format!("it is not for this use ({purpose}), or is a CA certificate"),
                if is_server {
                    "issue it with extendedKeyUsage=clientAuth, keyUsage=digitalSignature and without CA:TRUE"
                } else {
                    "issue it with extendedKeyUsage=serverAuth, keyUsage=digitalSignature and without CA:TRUE"
                },
            ),
            A::CertificateRevoked => (
                "it is revoked, by a CRL or a deny list there".into(),
                "get a new certificate for a new key",
            ),
            A::CertificateExpired => (
                match &self.own {
                    Some(own) => format!(
                        "expired or not yet valid by {whose} clock: it is valid from {} until {}",
                        Rfc3339(own.not_before()),
                        Rfc3339(own.not_after())
                    ),
                    None => format!("expired or not yet valid by {whose} clock"),
                },
                "renew it and its intermediates, or set the clock that is wrong",
            ),
            A::CertificateUnknown => (
                "for a reason without an alert of its own, such as a missing CRL".into(),
                its_log,
            ),
            A::DecryptError => (
                "it could not verify a signature".into(),
                "check that our key belongs to our certificate, and that its CA is the one with that key",
            ),
            A::ProtocolVersion => (
                "it supports none of our TLS versions".into(),
                "turn on TLS 1.3 there, or add TLS 1.2 here with allow_tls12()",
            ),
            A::HandshakeFailure | A::InsufficientSecurity => (
                "no parameters in common, or it requires a certificate that we did not send".into(),
                "compare cipher suites, key exchange groups and signature algorithms, and see its log",
            ),
            A::NoApplicationProtocol => (
                "no application protocol (ALPN) in common".into(),
                "offer one that it speaks: alpn() of the builder",
            ),
            A::UnrecognisedName => (
                "it does not serve the server name that we asked for".into(),
                "connect to a name that it serves",
            ),
            A::IllegalParameter if !is_server => (
                "it rejects a value that we sent, as wolfSSL does with the nonce of a session ticket, which has 32 octets by rustls and at most 8 for wolfSSL".into(),
                "for a client with wolfSSL give the builder resumption(Resumption::Off), or build wolfSSL with --enable-ticket-nonce-malloc, and for others see the client's log",
            ),
            A::InternalError => ("something failed there".into(), its_log),
            _ => ("see RFC 8446 section 6".into(), its_log),
        }
    }

    const fn is_about_our_certificate(&self) -> bool {
        use AlertDescription as A;

        matches!(
            self.alert,
            A::AccessDenied
                | A::UnknownCA
                | A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
        )
    }
}

impl Diagnostic for PeerAlert {
    /// `"alert_received"`, whichever alert it is: see [`alert`](Self::alert).
    fn reason(&self) -> &'static str {
        "alert_received"
    }

    fn cause(&self) -> Cow<'_, str> {
        let peer = match self.peer {
            Side::Server => "the server",
            Side::Client => "the client",
        };
        let refused = match (self.is_about_our_certificate(), &self.own) {
            (true, Some(own)) => format!("our certificate {}", Named(own)),
            (true, None) => "our certificate".into(),
            (false, _) => "us".into(),
        };
        let (alert, (meaning, _)) = (alert_name(self.alert), self.meaning());
        format!("{peer} refused {refused}: {alert} ({meaning})").into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        self.meaning().1.into()
    }
}

display_diagnostic!(PeerAlert);

/// Replaces rustls' error for a received alert by [`HandshakeError::Alert`]. Other errors stay as they are.
pub(crate) fn named(
    error: io::Error,
    peer_alert: impl FnOnce(AlertDescription) -> PeerAlert,
) -> io::Error {
    let kind = error.kind();
    match error.downcast::<Error>() {
        Ok(Error::AlertReceived(alert)) => {
            io::Error::new(kind, HandshakeError::Alert(peer_alert(alert)))
        }
        Ok(other) => io::Error::new(kind, other),
        Err(error) => error,
    }
}

pub(super) fn leaf_of(key: &CertifiedKey) -> Option<Certificate> {
    // It parses: the credentials did so when they were made.
    key.cert
        .first()
        .and_then(|der| Certificate::from_der(der).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alert_that_can_be_explained_is() {
        use AlertDescription as A;

        let cause = |alert, peer| PeerAlert::new(alert, peer, None).cause().into_owned();
        for peer in [Side::Server, Side::Client] {
            for (alert, ours) in [
                (A::AccessDenied, true),
                (A::UnknownCA, true),
                (A::CertificateRequired, false),
                (A::BadCertificate, true),
                (A::UnsupportedCertificate, true),
                (A::CertificateRevoked, true),
                (A::CertificateExpired, true),
                (A::CertificateUnknown, true),
                (A::DecryptError, false),
                (A::ProtocolVersion, false),
                (A::HandshakeFailure, false),
                (A::InsufficientSecurity, false),
                (A::NoApplicationProtocol, false),
                (A::UnrecognisedName, false),
                (A::InternalError, false),
            ] {
                let text = cause(alert, peer);
                assert!(!text.contains("RFC 8446"), "{text}");
                assert_eq!(text.contains("refused our certificate: "), ours, "{text}");
                assert_eq!(text.contains("refused us: "), !ours, "{text}");
            }
        }
        // Only a server knows nothing of names, and only wolfSSL's client of long nonces.
        for alert in [A::BadCertificate, A::IllegalParameter] {
            assert_ne!(
                PeerAlert::new(alert, Side::Server, None).meaning(),
                PeerAlert::new(alert, Side::Client, None).meaning()
            );
        }
        assert!(cause(A::BadCertificate, Side::Server).contains("version 1"));
        assert!(cause(A::IllegalParameter, Side::Client).contains("wolfSSL"));
        assert!(cause(A::RecordOverflow, Side::Server).contains("RFC 8446"));
    }
}
