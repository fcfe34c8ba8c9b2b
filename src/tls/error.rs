//! Why a handshake failed for a reason other than the gate's refusal.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, PeerIncompatible};

use super::alert::PeerAlert;
use super::capture::Capture;
use crate::pki::Certificate;
use crate::pki::text::Brief;

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
    /// The peer does not speak TLS, breaks its rules, or has no parameters in common with us.
    #[error("TLS failed: {}; {}", Brief(_0), remedy(_0))]
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
    #[error(
        "the connection failed during the handshake: {}; see the network, and try again",
        Brief(_0)
    )]
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
            // A goodbye, and no refusal.
            E::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
                Self::Closed {
                    received: capture.received().total,
                }
            }
            E::AlertReceived(alert) => Self::Alert(PeerAlert::of_handshake(
                alert,
                capture.peer(),
                capture.shown().map(|shown| &**shown),
            )),
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // Those of TLS 1.0 and 1.1 do not name any.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::VersionTooOld,
            E::InvalidMessage(_) if looks_like_http(capture.received().prefix) => {
                Self::PlaintextHttp
            }
            other => Self::Tls(other),
        }
    }

    /// Takes an error as rustls' `complete_io` and tokio-rustls give it. That a key was not proven is
    /// more telling than what rustls made of it.
    pub(crate) fn from_io(error: io::Error, capture: &Capture) -> Self {
        if let Some(chain) = capture.unproven() {
            return Self::KeyNotProven {
                certificate: chain.leaf().clone(),
            };
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_rustls(error, capture),
            Err(error) if is_close(error.kind()) => Self::Closed {
                received: capture.received().total,
            },
            Err(error) => Self::Io(error),
        }
    }
}

/// What to do about an error of rustls' own.
const fn remedy(error: &rustls::Error) -> &'static str {
    use PeerIncompatible as P;
    use rustls::Error as E;

    match error {
        E::PeerIncompatible(P::ExtendedMasterSecretExtensionRequired) => {
            "with TLS 1.2 the peer must have extended master secret (RFC 7627): update its TLS library, or have it speak TLS 1.3"
        }
        E::PeerIncompatible(P::NoCipherSuitesInCommon | P::NoKxGroupsInCommon) => {
            "update the peer's TLS library: it has no cipher suite with forward secrecy, or no key exchange group, that we have"
        }
        E::PeerIncompatible(
            P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon,
        ) => "use a certificate with a key of a kind that the other side has, such as P-256",
        E::NoApplicationProtocol => {
            "offer an application protocol (ALPN) that both have: alpn() of the builder"
        }
        E::PeerIncompatible(_) => "compare what both sides support",
        E::FailedToGetCurrentTime => "see to the clock of this side, which gives no time",
        _ => "see that the peer speaks TLS on this port",
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
