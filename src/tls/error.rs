//! Why a handshake failed for a reason other than the gate's refusal.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, PeerIncompatible};

use super::alert::PeerAlert;
use super::capture::Capture;
use crate::pki::Certificate;

/// Why a TLS handshake failed before the gate could judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer showed a certificate and did not prove that it owns the key: the certificate may
    /// be stolen. It is *claimed*, not the peer's.
    #[error(
        "the peer presented {certificate} but did not prove that it owns its key; see that its key belongs to it, or who shows what is not his"
    )]
    KeyNotProven {
        /// The certificate that was claimed.
        certificate: Certificate,
    },
    /// The peer ended the handshake, or refused us after it, with an alert.
    #[error("{0}")]
    Alert(PeerAlert),
    /// The peer supports only TLS 1.2 or older.
    #[error(
        "the peer offers no TLS version that is allowed here (TLS 1.3 only); turn on TLS 1.3 there, or call the builder's allow_tls12()"
    )]
    VersionTooOld,
    /// The peer speaks HTTP without TLS.
    #[error("the peer speaks plaintext HTTP on a TLS port; use https://, or the port for TLS")]
    PlaintextHttp,
    /// The peer does not speak TLS, or breaks its rules.
    #[error("TLS failed: {0}; see that the peer speaks TLS on this port")]
    Tls(rustls::Error),
    /// The peer closed the connection in the middle of the handshake.
    #[error(
        "the peer closed the connection during the handshake, after sending {received} bytes; see its log, and that it speaks TLS on this port"
    )]
    Closed {
        /// How many bytes had come from it.
        received: u64,
    },
    /// The handshake, decision included, took too long.
    #[error(
        "not finished within {timeout:?} ({received} bytes had come from the peer); see what it waits for, or raise handshake_timeout()"
    )]
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// How many bytes had come from the peer.
        received: u64,
    },
    /// The peer sent more than any handshake takes.
    #[error(
        "the peer sent more than {limit} bytes before it was admitted; if its chain is that long, raise max_handshake_bytes()"
    )]
    TooMuchReceived {
        /// The limit in force.
        limit: usize,
    },
    /// The transport failed.
    #[error("the connection failed during the handshake: {0}; see the network, and try again")]
    Io(io::Error),
}

impl HandshakeError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::KeyNotProven { .. } => "key_not_proven",
            Self::Alert(_) => "alert_received",
            Self::VersionTooOld => "version_too_old",
            Self::PlaintextHttp => "plaintext_http",
            Self::Tls(_) => "tls",
            Self::Closed { .. } => "closed",
            Self::TimedOut { .. } => "timed_out",
            Self::TooMuchReceived { .. } => "too_much_received",
            Self::Io(_) => "io",
        }
    }

    /// The alert that the peer sent, if it is one.
    pub const fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Alert(alert) => Some(alert.alert()),
            _ => None,
        }
    }
}

impl HandshakeError {
    pub(crate) fn from_rustls(error: rustls::Error, capture: &Capture) -> Self {
        use rustls::Error as E;

        match error {
            E::AlertReceived(alert) => Self::Alert(PeerAlert::of_handshake(
                alert,
                capture.peer(),
                capture.shown().map(|shown| &**shown),
            )),
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::VersionTooOld,
            E::InvalidMessage(_) if looks_like_http(capture.received().prefix) => {
                Self::PlaintextHttp
            }
            other => Self::Tls(other),
        }
    }

    /// Takes an error as rustls' `complete_io` and tokio-rustls give it.
    pub(crate) fn from_io(error: io::Error, capture: &Capture) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_rustls(error, capture),
            Err(error) if is_close(error.kind()) => Self::Closed {
                received: capture.received().total,
            },
            Err(error) => Self::Io(error),
        }
    }
}

const fn is_close(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Requests of HTTP/1.x and the preface of HTTP/2, and what a server of HTTP/1.x answers.
fn looks_like_http(prefix: &[u8]) -> bool {
    [
        "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ",
        "PRI * ", "HTTP/1.",
    ]
    .iter()
    .any(|start| prefix.starts_with(start.as_bytes()))
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
}

#[cfg(feature = "tokio")]
/// What a watched transport says when the peer has sent more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent too much before it was admitted")]
pub(crate) struct TooMuchReceived;
