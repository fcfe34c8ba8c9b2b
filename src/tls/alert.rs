//! Alerts: the ones that a verifier makes rustls send, and what those from the peer mean.

use std::fmt;
use std::io;

use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, Error};

use super::HandshakeError;
use crate::gate::{alert_name, certificate_error};
use crate::pki::named::Named;
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ShortName};
use crate::trust::{ChainError, Usage};

/// The error with which a verifier makes rustls send the fitting alert.
///
/// A certificate entry of no octets wants decode_error (RFC 8446 sections 4.4.2 and 6.2), but rustls parses
/// it, and knows no error of a verifier for which it sends that: other errors than `InvalidCertificate`
/// become illegal_parameter or handshake_failure. So it is a malformed certificate, and bad_certificate.
pub(super) fn as_rustls(error: &ChainError) -> Error {
    match error {
        ChainError::NoCertificate => Error::NoCertificatesPresented,
        other => Error::InvalidCertificate(certificate_error(other)),
    }
}

/// An alert with which the peer refused us, in the handshake or after it.
///
/// `Display` is one line: who refused what, the alert in RFC 8446's spelling, what it means to us, and
/// what to do. The peer tells no more than the alert: its log does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAlert {
    alert: AlertDescription,
    peer: Usage,
    own: Option<Certificate>,
}

impl PeerAlert {
    /// What this alert says when a peer of this side sends it, which was shown this certificate
    /// of ours.
    ///
    /// For connections that this crate does not drive: with QUIC the alert is the error code of the
    /// close, minus `0x0100` (RFC 9001 section 4.8).
    pub const fn new(alert: AlertDescription, peer: Usage, own: Option<Certificate>) -> Self {
        Self { alert, peer, own }
    }

    pub(crate) fn of_handshake(
        alert: AlertDescription,
        peer: Usage,
        shown: Option<&CertifiedKey>,
    ) -> Self {
        Self::new(alert, peer, shown.and_then(leaf_of))
    }

    /// The alert.
    pub const fn alert(&self) -> AlertDescription {
        self.alert
    }

    /// Which side the peer is on.
    pub const fn peer(&self) -> Usage {
        self.peer
    }

    /// The certificate of ours that the peer was shown, where it was shown one in this handshake.
    pub const fn own_certificate(&self) -> Option<&Certificate> {
        self.own.as_ref()
    }

    /// The cause and the remedy.
    fn meaning(&self) -> (String, &'static str) {
        use AlertDescription as A;

        let its_log = "see its log for the reason";
        let is_server = self.peer == Usage::Server;
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
                    Some(_) => "it took our certificate for none".into(),
                    None => "we sent none: it wants a certificate".into(),
                },
                "give us a certificate and its key, from a CA that it trusts",
            ),
            A::BadCertificate if is_server => (
                "it cannot be used: malformed, version 1, or not as the server wants it".into(),
                its_log,
            ),
            A::BadCertificate => (
                "it cannot be used, or is not for the name that the client dialled".into(),
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
                "for a reason that it does not tell, such as a CRL that it lacks".into(),
                its_log,
            ),
            A::DecryptError => (
                "it could not verify a signature".into(),
                "see that our key belongs to our certificate, and that its CA is the one with that key",
            ),
            A::ProtocolVersion => (
                "it supports none of our TLS versions".into(),
                "turn on TLS 1.3 there; allow_tls12() adds TLS 1.2 here",
            ),
            A::HandshakeFailure | A::InsufficientSecurity => (
                "no parameters in common, or it wants a certificate that we did not send".into(),
                "compare cipher suites, key exchange groups and signature algorithms; see its log",
            ),
            A::NoApplicationProtocol => (
                "no application protocol (ALPN) in common".into(),
                "offer one that it speaks: alpn() of the builder",
            ),
            A::UnrecognisedName => (
                "it does not serve the name that we dialled".into(),
                "dial one that it serves",
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

impl fmt::Display for PeerAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.peer {
            Usage::Server => "the server refused ",
            Usage::Client => "the client refused ",
        })?;
        match (self.is_about_our_certificate(), &self.own) {
            (true, Some(own)) => write!(f, "our certificate {}: ", Named(own))?,
            (true, None) => f.write_str("our certificate: ")?,
            (false, _) => f.write_str("us: ")?,
        }
        let (cause, remedy) = self.meaning();
        write!(f, "{} ({cause}); {remedy}", alert_name(self.alert))
    }
}

/// Puts words to an alert that a read gave as rustls has it; other errors stay as they are.
pub(crate) fn named(
    error: io::Error,
    tell: impl FnOnce(AlertDescription) -> PeerAlert,
) -> io::Error {
    let kind = error.kind();
    match error.downcast::<Error>() {
        Ok(Error::AlertReceived(alert)) => io::Error::new(kind, HandshakeError::Alert(tell(alert))),
        Ok(other) => io::Error::new(kind, other),
        Err(error) => error,
    }
}

pub(super) fn leaf_of(key: &CertifiedKey) -> Option<Certificate> {
    // It was parsed when the credentials were made.
    key.cert
        .first()
        .and_then(|der| Certificate::from_der(der).ok())
}
