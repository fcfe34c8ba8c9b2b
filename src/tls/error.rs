//! Why a handshake failed before the gate decided.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

use super::alert::PeerAlert;
use super::probe::HandshakeProbe;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::pki::text::Brief;
use crate::pki::{Certificate, SigningError};

/// Why a TLS handshake failed before the gate decided.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::{Diagnostic, HandshakeError};
///
/// let error = HandshakeError::TimedOut {
///     timeout: Duration::from_secs(10),
///     received: 0,
/// };
/// assert_eq!(error.reason(), "timed_out");
/// assert_eq!(error.cause(), "not finished within 10s (0 bytes received from the peer)");
/// ```
#[derive(Debug, thiserror::Error)]
#[doc(alias = "TlsError")]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer presented a certificate and did not prove that it owns the key: the certificate may
    /// be stolen. It is *claimed*, not the peer's.
    KeyNotProven {
        /// The certificate that was claimed.
        certificate: Certificate,
    },
    /// The peer rejected us with an alert, in the handshake or after it.
    Alert(PeerAlert),
    /// The peer supports only TLS 1.2 or older.
    VersionTooOld,
    /// The peer speaks HTTP without TLS.
    PlaintextHttp,
    /// The peer sends a PROXY header, and its address is not one of a trusted proxy
    /// ([`proxy_protocol`](crate::proxy_protocol)).
    ProxyHeader,
    /// The peer does not speak TLS, violates the protocol, or has no parameters in common with us.
    Tls(rustls::Error),
    /// The peer closed the connection during the handshake.
    Closed {
        /// How many bytes were received from it.
        received: u64,
    },
    /// The handshake, decision included, took too long.
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// How many bytes were received from the peer.
        received: u64,
    },
    /// The peer sent a handshake message over 64 KiB, the most that rustls reads: usually a chain with more
    /// than eight ML-DSA certificates.
    MessageTooLarge,
    /// The peer sent more bytes than a handshake may take.
    TooMuchReceived {
        /// The limit in force.
        limit: usize,
    },
    /// Our own key did not sign: its token was removed, its service failed. The peer is not to blame.
    Signing(SigningError),
    /// Our own key did not sign in time.
    SigningTimedOut {
        /// The limit of the handshake.
        timeout: Duration,
        /// The handshake waited for other signatures of the same key, and not for its own.
        queued: bool,
    },
    /// The transport failed.
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
            Self::ProxyHeader => "proxy_header_not_trusted",
            Self::Tls(_) => "tls",
            Self::Closed { .. } => "closed",
            Self::TimedOut { .. } => "timed_out",
            Self::MessageTooLarge => "message_too_large",
            Self::TooMuchReceived { .. } => "too_much_received",
            Self::Signing(_) => "signing_failed",
            Self::SigningTimedOut { .. } => "signing_timed_out",
            Self::Io(_) => "io",
        }
    }

    /// The alert that the peer sent, if there was one.
    pub const fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Alert(alert) => Some(alert.alert()),
            _ => None,
        }
    }
}

impl Diagnostic for HandshakeError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::KeyNotProven { certificate } => format!(
                "the peer presented {certificate} but did not prove that it owns its key"
            ),
            Self::Alert(alert) => return alert.cause(),
            Self::VersionTooOld => {
                return "the peer offers no TLS version that is allowed here (TLS 1.3 only)".into();
            }
            Self::PlaintextHttp => return "the peer speaks plaintext HTTP on a TLS port".into(),
            Self::ProxyHeader => {
                return "the peer sends a PROXY header, and its address is not that of a trusted proxy"
                    .into();
            }
            Self::Tls(error) => format!("TLS failed: {}", Brief(in_words(error))),
            Self::Closed { received } => format!(
                "the peer closed the connection during the handshake, after sending {received} bytes"
            ),
            Self::TimedOut { timeout, received } => format!(
                "not finished within {timeout:?} ({received} bytes received from the peer)"
            ),
            Self::MessageTooLarge => {
                return "the peer sent a handshake message over 64 KiB, which is most likely its chain".into();
            }
            Self::TooMuchReceived { limit } => {
                format!("the peer sent more than {limit} bytes before it was admitted")
            }
            Self::Signing(error) => format!(
                "our own key did not sign: {}",
                Brief(Diagnostic::cause(error))
            ),
            Self::SigningTimedOut {
                timeout,
                queued: false,
            } => format!("our own key did not sign within the {timeout:?} of the handshake"),
            Self::SigningTimedOut { timeout, .. } => format!(
                "our own key was busy with other signatures for the {timeout:?} of the handshake"
            ),
            Self::Io(error) => {
                format!("the connection failed during the handshake: {}", Brief(error))
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::KeyNotProven { .. } => {
                "check that its key belongs to it, or who presents a certificate of another holder"
            }
            Self::Alert(alert) => return alert.remedy(),
            Self::VersionTooOld => "turn on TLS 1.3 there, or call the builder's allow_tls12()",
            Self::PlaintextHttp => "use https://, or the port for TLS",
            Self::ProxyHeader => {
                "if it is a proxy, add its address to the listener's proxy_protocol(), or turn the header off there"
            }
            Self::Tls(error) => remedy(error),
            Self::Closed { .. } => "see its log, and check that it speaks TLS on this port",
            Self::TimedOut { .. } => "see what it waits for, or raise handshake_timeout()",
            Self::MessageTooLarge => {
                "have it send its own certificate and its intermediates only, or issue it by fewer of them: an ML-DSA-87 certificate has 7.5 kB"
            }
            Self::TooMuchReceived { .. } => {
                "if its chain is that long, raise max_handshake_bytes()"
            }
            Self::Signing(error) => return error.remedy().into_owned().into(),
            Self::SigningTimedOut { queued: false, .. } => {
                "see why what holds the key is slow, or raise handshake_timeout()"
            }
            Self::SigningTimedOut { .. } => {
                "allow more signatures at the same time if what holds the key can make them, or resume sessions"
            }
            Self::Io(_) => "check the network, and try again",
        }
        .into()
    }
}

display_diagnostic!(HandshakeError);

impl HandshakeError {
    pub(crate) fn from_rustls(error: rustls::Error, probe: &HandshakeProbe) -> Self {
        use rustls::Error as E;

        if let Some(error) = SigningError::inside(&error) {
            return Self::Signing(error.clone());
        }
        match error {
            // These alerts close the connection and reject nothing.
            E::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
                Self::Closed {
                    received: probe.received().total,
                }
            }
            E::AlertReceived(alert) => Self::Alert(PeerAlert::of_handshake(
                alert,
                probe.peer(),
                probe.shown().map(|shown| &**shown),
            )),
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // Clients of TLS 1.0 and 1.1 send none.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::VersionTooOld,
            E::InvalidMessage(_) if looks_like_http(probe.received().prefix) => {
                Self::PlaintextHttp
            }
            E::InvalidMessage(_) if looks_like_proxy_header(probe.received().prefix) => {
                Self::ProxyHeader
            }
            E::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => Self::MessageTooLarge,
            other => Self::Tls(other),
        }
    }

    /// Converts an error of rustls' `complete_io` or of tokio-rustls. That the key was not proven is
    /// more specific than rustls' error.
    pub(crate) fn from_io(error: io::Error, probe: &HandshakeProbe) -> Self {
        if let Some(chain) = probe.unproven() {
            return Self::KeyNotProven {
                certificate: chain.leaf().clone(),
            };
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_rustls(error, probe),
            Err(error) if is_close(error.kind()) => Self::Closed {
                received: probe.received().total,
            },
            Err(error) => Self::Io(error),
        }
    }
}

/// An error of rustls for people. Its own `Display` prints names of Rust identifiers.
fn in_words(error: &rustls::Error) -> String {
    use PeerIncompatible as P;
    use rustls::Error as E;

    match error {
        E::PeerIncompatible(P::NoSignatureSchemesInCommon) => {
            "no signature scheme in common: the peer supports none that the key of our certificate can make".into()
        }
        E::PeerIncompatible(P::NoCertificateRequestSignatureSchemesInCommon) => {
            "no signature scheme in common: the server asks for a certificate with a key of another kind than ours".into()
        }
        E::PeerIncompatible(why) => format!("the peer is incompatible: {}", Words(why)),
        E::PeerMisbehaved(why) => format!("the peer violates the protocol: {}", Words(why)),
        E::InvalidMessage(why) => format!("the peer sent a malformed message: {}", Words(why)),
        E::InvalidCertificate(why) => format!("the peer's certificate is invalid: {}", Words(why)),
        E::InappropriateMessage { got_type, .. } => {
            format!("the peer sent a message out of order: {}", Words(got_type))
        }
        E::InappropriateHandshakeMessage { got_type, .. } => {
            format!("the peer sent a message out of order: {}", Words(got_type))
        }
        other => other.to_string(),
    }
}

/// The identifier that `Debug` prints first, in words: `no cipher suites in common`.
struct Words<T>(T);

impl<T: std::fmt::Debug> std::fmt::Display for Words<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let debug = format!("{:?}", self.0);
        let identifier = debug.chars().take_while(char::is_ascii_alphanumeric);
        let mut was_upper = true;
        for character in identifier {
            if character.is_ascii_uppercase() && !was_upper {
                f.write_str(" ")?;
            }
            was_upper = character.is_ascii_uppercase();
            write!(f, "{}", character.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// What to do about an error of rustls.
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
        ) => "use a certificate with a key of a kind that the other side supports, such as P-256",
        E::NoApplicationProtocol => {
            "offer an application protocol (ALPN) that both have: alpn() of the builder"
        }
        E::PeerIncompatible(_) => "compare what both sides support",
        E::FailedToGetCurrentTime => "give this side a clock that returns a time",
        _ => "check that the peer speaks TLS on this port",
    }
}

pub(crate) const fn is_close(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Requests of HTTP/1.x, the preface of HTTP/2, and responses of HTTP/1.x.
fn looks_like_http(prefix: &[u8]) -> bool {
    [
        "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ",
        "PRI * ", "HTTP/1.",
    ]
    .iter()
    .any(|start| prefix.starts_with(start.as_bytes()))
}

/// The PROXY protocol, version 1 and 2.
fn looks_like_proxy_header(prefix: &[u8]) -> bool {
    prefix.starts_with(b"PROXY ") || prefix.starts_with(b"\r\n\r\n\0\r\nQ")
}

/// The error of a counted transport when the peer has sent more than the limit.
#[cfg(feature = "tokio")]
#[derive(Debug, thiserror::Error)]
#[error("the peer sent too much before it was admitted")]
pub(crate) struct TooMuchReceived;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_transport_is_a_close_only_if_the_peer_closed() {
        use io::ErrorKind as K;

        for (kind, reason) in [
            (K::UnexpectedEof, "closed"),
            (K::ConnectionReset, "closed"),
            (K::ConnectionAborted, "closed"),
            (K::BrokenPipe, "closed"),
            (K::PermissionDenied, "io"),
            (K::TimedOut, "io"),
            (K::Other, "io"),
        ] {
            let error = HandshakeError::from_io(kind.into(), &HandshakeProbe::default());
            assert_eq!(error.reason(), reason, "{kind:?}");
        }
    }
}
