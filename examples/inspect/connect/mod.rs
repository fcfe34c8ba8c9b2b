//! Calls a server to see what it shows and asks for.
//!
//! It believes nobody and says nothing: no octet of an application is ever sent.

mod watching;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use countersign::pki::DistinguishedName;
use countersign::trust::Usage;
use countersign::{Certificate, Credentials, PeerAlert};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error};

use watching::{Asked, Watching};
use wire::Wire;

/// How long a refusal is waited for, once the handshake is over.
pub(crate) const LISTENING: Duration = Duration::from_secs(1);

/// Whom to call, and as whom.
pub(crate) struct Call {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) credentials: Option<Own>,
    /// For all of it.
    pub(crate) timeout: Duration,
}

/// What we show if we are asked.
#[derive(Clone)]
pub(crate) struct Own {
    key: Arc<CertifiedKey>,
    certificate: Certificate,
}

/// What was seen of a server.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) address: Option<SocketAddr>,
    /// As presented, the leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) parameters: Option<Parameters>,
    /// Whether it proved that it owns the leaf's key; `None` when it did not get so far.
    pub(crate) key_proven: Option<bool>,
    /// Whether it asked for a certificate, once that is known.
    pub(crate) asked: Option<bool>,
    /// From which authorities; none means any.
    pub(crate) authorities: Vec<DistinguishedName>,
    /// Whether a certificate of our chain is from one of them.
    pub(crate) ours_is_among: Option<bool>,
    /// Whether ours was sent.
    pub(crate) sent: bool,
    pub(crate) answer: Option<Answer>,
    /// Why nothing more was seen.
    pub(crate) problem: Option<String>,
}

/// What was negotiated.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) version: String,
    pub(crate) cipher_suite: String,
    pub(crate) key_exchange: String,
}

/// What the server makes of us.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It sends data, or has not refused us for [`LISTENING`].
    Admitted,
    Refused(PeerAlert),
    /// It closed the connection without saying why.
    Closed,
}

impl Own {
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Self, String> {
        // Whether the two belong together, in the library's words.
        let credentials =
            Credentials::from_pem_files(chain, key).map_err(|error| error.to_string())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
        let key = CertifiedKey::from_der(credentials.chain().to_vec(), key, &provider)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            key: Arc::new(key),
            certificate: credentials.certificate().clone(),
        })
    }
}

/// Takes `HOST:PORT` apart; an IPv6 address stands in brackets.
pub(crate) fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || "not HOST:PORT, such as localhost:8443 or [::1]:8443".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(wrong)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if bare.is_empty() || (bare == host && host.contains(':')) {
        return Err(wrong());
    }
    Ok((bare.to_owned(), port))
}

/// Calls, within the time that the call may take, whatever the other end does.
pub(crate) fn call(call: Call) -> Seen {
    let timeout = call.timeout;
    let (sender, receiver) = mpsc::channel();
    // Names are resolved without a limit, so somebody else waits for that.
    thread::spawn(move || drop(sender.send(dial(&call))));
    let grace = Duration::from_secs(1);
    receiver
        .recv_timeout(timeout.saturating_add(grace))
        .unwrap_or_else(|_| Seen {
            problem: Some(format!(
                "nothing was found within {timeout:?}; see name resolution and network"
            )),
            ..Seen::default()
        })
}

fn dial(call: &Call) -> Seen {
    // A time beyond the end of time is none.
    let deadline = Instant::now()
        .checked_add(call.timeout)
        .unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
    let mut seen = Seen::default();
    let tcp = match connect(call, deadline) {
        Ok(tcp) => tcp,
        Err(error) => {
            seen.problem = Some(format!(
                "cannot connect to {} port {}: {error}; see that it listens there, and that nothing is in between",
                call.host, call.port
            ));
            return seen;
        }
    };
    seen.address = tcp.peer_addr().ok();
    let watching = Arc::new(Watching::default());
    let asked = Arc::new(Asked::new(
        call.credentials.as_ref().map(|own| own.key.clone()),
    ));
    let mut wire = Wire::new(tcp, deadline);
    let result = config(&watching, &asked)
        .and_then(|config| ClientConnection::new(Arc::new(config), call.server_name.clone()))
        .map_err(io::Error::other)
        .and_then(|connection| {
            let mut connection = connection;
            talk(&mut connection, &mut wire, &mut seen)
        });
    seen.chain = watching.chain();
    seen.key_proven = watching.key_proven();
    let request = asked.request();
    // A server that asks does so before it ends its side of the handshake.
    seen.asked = (request.is_some() || seen.parameters.is_some()).then_some(request.is_some());
    if let Some(request) = request {
        let hints = request.authorities;
        seen.sent = request.answered;
        seen.ours_is_among = call.credentials.as_ref().map(|own| is_among(own, &hints));
        let names = hints.iter().filter_map(|der| DistinguishedName::parse(der));
        seen.authorities = names.collect();
    }
    if let Err(error) = result {
        conclude(&mut seen, error, call, &wire);
    }
    seen
}

/// Tries each address of the name.
fn connect(call: &Call, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (&*call.host, call.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// TLS 1.3 and 1.2, nobody verified, nothing remembered.
fn config(watching: &Arc<Watching>, asked: &Arc<Asked>) -> Result<ClientConfig, Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // As a connector has it: post-quantum first.
    provider
        .kx_groups
        .sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(watching.clone())
        .with_client_cert_resolver(asked.clone());
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Handshakes, and listens for a refusal: with TLS 1.3 it comes only then.
fn talk(connection: &mut ClientConnection, wire: &mut Wire, seen: &mut Seen) -> io::Result<()> {
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(wire)?;
    }
    seen.parameters = Some(Parameters {
        version: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3".into(),
            Some(rustls::ProtocolVersion::TLSv1_2) => "1.2".into(),
            other => format!("{other:?}"),
        },
        cipher_suite: connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        key_exchange: connection
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name())),
    });
    wire.listen_for(LISTENING);
    loop {
        match connection.read_tls(wire) {
            Ok(0) => {
                seen.answer = Some(Answer::Closed);
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if wire::is_silence(&error) => {
                seen.answer = Some(Answer::Admitted);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let state = connection.process_new_packets().map_err(io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 {
            seen.answer = Some(Answer::Admitted);
            return Ok(());
        }
        if state.peer_has_closed() {
            seen.answer = Some(Answer::Closed);
            return Ok(());
        }
    }
}

/// What an error tells of the server.
fn conclude(seen: &mut Seen, error: io::Error, call: &Call, wire: &Wire) {
    let timed_out = wire::is_silence(&error);
    let error = match error.downcast::<Error>() {
        Ok(Error::AlertReceived(alert)) => {
            let own = call.credentials.as_ref().filter(|_| seen.sent);
            let own = own.map(|own| own.certificate.clone());
            // By TLS 1.2 a server that wants a certificate may just fail.
            let alert = match (alert, seen.asked, &own) {
                (AlertDescription::HandshakeFailure, Some(true), None) => {
                    AlertDescription::CertificateRequired
                }
                _ => alert,
            };
            let alert = PeerAlert::new(alert, Usage::Server, own);
            if seen.chain.is_empty() {
                seen.problem = Some(format!("there was no handshake: {alert}"));
            }
            seen.answer = Some(Answer::Refused(alert));
            return;
        }
        Ok(error) => error.to_string(),
        Err(error) => error.to_string(),
    };
    // Once it has seen what we show, hanging up is an answer.
    if seen.asked.is_some() && !timed_out && wire.was_closed() {
        seen.answer = Some(Answer::Closed);
        return;
    }
    let received = wire.received();
    seen.problem = Some(if wire.begins_like_http() {
        "it speaks plaintext HTTP; dial its port for TLS".into()
    } else if timed_out {
        format!(
            "not finished within {:?} ({received} bytes had come); see whether it speaks TLS, and whether something swallows packets",
            call.timeout
        )
    } else if wire.was_closed() {
        format!(
            "it closed the connection after {received} bytes; see its log, and whether it speaks TLS"
        )
    } else {
        format!("TLS failed: {error}; see whether it speaks TLS on this port")
    });
}

/// Whether a certificate of our chain was issued by one of these; no hints mean anybody.
fn is_among(own: &Own, hints: &[Vec<u8>]) -> bool {
    let issuers = own.key.cert.iter().filter_map(|der| {
        let certificate = Certificate::from_der(der).ok()?;
        Some(certificate.issuer().der().to_vec())
    });
    hints.is_empty() || issuers.into_iter().any(|issuer| hints.contains(&issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, host, port) in [
            ("localhost:8443", "localhost", 8443),
            ("[::1]:443", "::1", 443),
            ("10.0.0.1:1", "10.0.0.1", 1),
        ] {
            assert_eq!(host_and_port(text), Ok((host.to_owned(), port)));
        }
        for bad in [
            "localhost",
            ":443",
            "a:0",
            "a:65536",
            "a:https",
            "::1",
            "::1:443",
            "[]:443",
            "",
        ] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
