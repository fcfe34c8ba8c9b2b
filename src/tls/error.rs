//! Why a handshake failed for a reason other than the gate's refusal.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, PeerIncompatible};

use super::alert;
use super::capture::Received;
use crate::gate::alert_name;
use crate::pki::Certificate;

/// Why a TLS handshake failed before the gate could judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer showed a certificate and did not prove that it owns the key: the certificate may
    /// be stolen. It is *claimed*, not the peer's.
    #[error("the peer presented {certificate} but did not prove that it owns its key")]
    KeyNotProven {
        /// The certificate that was claimed.
        certificate: Certificate,
    },
    /// The peer ended the handshake, or refused us after it, with an alert.
    #[error("the peer refused with the alert {}: {}", alert_name(*alert), alert::meaning(*alert))]
    Alert {
        /// The alert.
        alert: AlertDescription,
    },
    /// The peer supports only TLS 1.2 or older.
    #[error(
        "the peer offers no TLS version that is allowed here (TLS 1.3 only, unless the builder's allow_tls12() is called)"
    )]
    VersionTooOld,
    /// The peer speaks HTTP without TLS.
    #[error("the peer sent a plaintext HTTP request to a TLS port: use https://")]
    PlaintextHttp,
    /// The peer does not speak TLS, or breaks its rules.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
    /// The peer closed the connection in the middle of the handshake.
    #[error("the peer closed the connection during the handshake, after sending {received} bytes")]
    Closed {
        /// How many bytes had come from it.
        received: u64,
    },
    /// The handshake, decision included, took too long.
    #[error("not finished within {timeout:?} ({received} bytes had come from the peer)")]
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// How many bytes had come from the peer.
        received: u64,
    },
    /// The peer sent more than any handshake takes.
    #[error("the peer sent more than {limit} bytes before it was admitted")]
    TooMuchReceived {
        /// The limit in force.
        limit: usize,
    },
    /// The transport failed.
    #[error("the connection failed during the handshake: {0}")]
    Io(io::Error),
}

impl HandshakeError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::KeyNotProven { .. } => "key_not_proven",
            Self::Alert { .. } => "alert_received",
            Self::VersionTooOld => "version_too_old",
            Self::PlaintextHttp => "plaintext_http",
            Self::Tls(_) => "tls",
            Self::Closed { .. } => "closed",
            Self::TimedOut { .. } => "timed_out",
            Self::TooMuchReceived { .. } => "too_much_received",
            Self::Io(_) => "io",
        }
    }

    /// The name of the alert that the peer sent, in RFC 8446's spelling.
    pub fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Alert { alert } => Some(*alert),
            _ => None,
        }
    }
}

impl HandshakeError {
    pub(crate) fn from_rustls(error: rustls::Error, received: Received<'_>) -> Self {
        use rustls::Error as E;

        match error {
            E::AlertReceived(alert) => Self::Alert { alert },
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::VersionTooOld,
            E::InvalidMessage(_) if looks_like_http(received.prefix) => Self::PlaintextHttp,
            other => Self::Tls(other),
        }
    }

    /// Takes an error as rustls' `complete_io` and tokio-rustls give it.
    pub(crate) fn from_io(error: io::Error, received: Received<'_>) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_rustls(error, received),
            Err(error) if is_close(error.kind()) => Self::Closed {
                received: received.total,
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

#[cfg(feature = "tokio")]
/// What a watched transport says when the peer has sent more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent too much before it was admitted")]
pub(crate) struct TooMuchReceived;
