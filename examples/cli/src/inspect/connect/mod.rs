//! Connects to a server, and records what it presents and requests.
//!
//! The connection verifies no certificate, so it never sends application data.

mod watching;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use countersign::Side;
use countersign::pki::DistinguishedName;
use countersign::rustls::client::Resumption;
use countersign::rustls::pki_types::{CertificateDer, ServerName};
use countersign::rustls::sign::CertifiedKey;
use countersign::rustls::{self, AlertDescription, ClientConfig, ClientConnection, Error};
use countersign::{Certificate, PeerAlert};

use crate::options::KeyOption;
use watching::{Asked, Watching};
use wire::Wire;

/// The time to wait for a rejection after the handshake.
pub const LISTENING: Duration = Duration::from_secs(1);

/// A server, and the certificate to present to it.
pub struct Call {
    pub host: String,
    pub port: u16,
    pub server_name: ServerName<'static>,
    pub credentials: Option<Own>,
    /// The limit for the whole call.
    pub timeout: Duration,
}

/// The certificate that is presented on request, and its key.
#[derive(Clone)]
pub struct Own {
    key: Arc<CertifiedKey>,
    certificate: Certificate,
}

/// The observations about a server.
#[derive(Debug, Default)]
pub struct Seen {
    pub address: Option<SocketAddr>,
    /// As presented: the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    pub parameters: Option<Parameters>,
    /// Whether it proved possession of the leaf's key; `None` if the handshake failed before.
    pub key_proven: Option<bool>,
    /// Whether it requested a certificate; `None` if the handshake failed before.
    pub asked: Option<bool>,
    /// The authorities in its request; empty means any.
    pub authorities: Vec<DistinguishedName>,
    /// Whether one of them issued a certificate of our chain.
    pub ours_is_among: Option<bool>,
    /// Whether ours was sent.
    pub sent: bool,
    pub answer: Option<Answer>,
    /// Why the observations are incomplete.
    pub problem: Option<String>,
}

/// The negotiated parameters.
#[derive(Debug)]
pub struct Parameters {
    pub version: String,
    pub cipher_suite: String,
    pub key_exchange: String,
}

/// The server's decision on our certificate.
#[derive(Debug)]
pub enum Answer {
    /// It sent data, or no rejection came within [`LISTENING`].
    Admitted,
    Refused(PeerAlert),
    /// It closed the connection without saying why.
    Closed,
}

impl Own {
    pub fn read(chain: &Path, key: &KeyOption) -> Result<Self, String> {
        // The library checks that the two belong together.
        let credentials = key.credentials(chain).map_err(|error| error.to_string())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = credentials
            .to_certified_key(&provider)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            key,
            certificate: credentials.certificate().clone(),
        })
    }
}

/// Splits `HOST:PORT`; an IPv6 address has brackets.
pub fn host_and_port(text: &str) -> Result<(String, u16), String> {
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

/// Connects within the time limit, whatever the server does.
pub fn call(call: Call) -> Seen {
    let timeout = call.timeout;
    let (sender, receiver) = mpsc::channel();
    // Name resolution has no time limit, so it runs on another thread.
    let observing = thread::spawn(move || drop(sender.send(connect_and_observe(&call))));
    let grace = Duration::from_secs(1);
    let Ok(seen) = receiver.recv_timeout(timeout.saturating_add(grace)) else {
        return Seen {
            problem: Some(format!(
                "no answer within {timeout:?}; check name resolution and the network"
            )),
            ..Seen::default()
        };
    };
    // The thread closes the sessions of a token. Modules such as SoftHSM crash in that if the process exits first.
    let _ = observing.join();
    seen
}

fn connect_and_observe(call: &Call) -> Seen {
    // A deadline that `Instant` cannot represent is as good as none.
    let deadline = Instant::now()
        .checked_add(call.timeout)
        .unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
    let mut seen = Seen::default();
    let tcp = match connect(call, deadline) {
        Ok(tcp) => tcp,
        Err(error) => {
            seen.problem = Some(format!(
                "cannot connect to {} port {}: {error}; check that a server listens there, and that no firewall is in between",
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
    // A server requests a certificate before it finishes its side of the handshake.
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

/// TLS 1.3 and 1.2, without verification and without resumption.
fn config(watching: &Arc<Watching>, asked: &Arc<Asked>) -> Result<ClientConfig, Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // As in a connector: post-quantum first.
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

/// Completes the handshake, and waits for a rejection, which in TLS 1.3 comes afterwards.
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

/// Records what an error means.
fn conclude(seen: &mut Seen, error: io::Error, call: &Call, wire: &Wire) {
    let timed_out = wire::is_silence(&error);
    let error = match error.downcast::<Error>() {
        Ok(Error::AlertReceived(alert)) => {
            let own = call.credentials.as_ref().filter(|_| seen.sent);
            let own = own.map(|own| own.certificate.clone());
            // A TLS 1.2 server that requires a certificate may send this alert.
            let alert = match (alert, seen.asked, &own) {
                (AlertDescription::HandshakeFailure, Some(true), None) => {
                    AlertDescription::CertificateRequired
                }
                _ => alert,
            };
            let alert = PeerAlert::new(alert, Side::Server, own);
            if seen.chain.is_empty() {
                seen.problem = Some(format!("the handshake failed: {alert}"));
            }
            seen.answer = Some(Answer::Refused(alert));
            return;
        }
        Ok(error) => error.to_string(),
        Err(error) => error.to_string(),
    };
    // A close after our certificate is an answer.
    if seen.asked.is_some() && !timed_out && wire.was_closed() {
        seen.answer = Some(Answer::Closed);
        return;
    }
    let received = wire.received();
    seen.problem = Some(if wire.begins_like_http() {
        "it speaks plaintext HTTP; connect to its TLS port".into()
    } else if timed_out {
        format!(
            "not finished within {:?} (received {received} bytes); check that it speaks TLS, and that no firewall drops packets",
            call.timeout
        )
    } else if wire.was_closed() {
        format!(
            "it closed the connection after {received} bytes; see its log, and check that it speaks TLS"
        )
    } else {
        format!("TLS failed: {error}; check that it speaks TLS on this port")
    });
}

/// Whether one of these authorities issued a certificate of our chain; no hints mean any authority.
fn is_among(own: &Own, hints: &[Vec<u8>]) -> bool {
    let issuers = own.key.cert.iter().filter_map(|der| {
        let certificate = Certificate::from_der(der).ok()?;
        Some(certificate.issuer().der().to_vec())
    });
    hints.is_empty() || issuers.into_iter().any(|issuer| hints.contains(&issuer))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use countersign::rustls::sign::{Signer, SigningKey};
    use countersign::rustls::{SignatureAlgorithm, SignatureScheme};
    use countersign::testing::TestCa;

    use super::*;

    /// A key whose sessions take a while to close.
    #[derive(Debug)]
    struct Slow(Arc<AtomicBool>);

    impl SigningKey for Slow {
        fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            None
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::ECDSA
        }
    }

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(100));
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// The process may exit as soon as there is an answer.
    #[test]
    fn the_key_is_out_of_use_when_there_is_an_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closing = thread::spawn(move || drop(listener.accept()));
        let issued = TestCa::new("Root").leaf().issue();
        let is_closed = Arc::new(AtomicBool::new(false));
        let key = Arc::new(Slow(is_closed.clone()));
        let seen = call(Call {
            host: "127.0.0.1".into(),
            port,
            server_name: "localhost".try_into().unwrap(),
            credentials: Some(Own {
                key: Arc::new(CertifiedKey::new(issued.chain().to_vec(), key)),
                certificate: issued.certificate(),
            }),
            timeout: Duration::from_secs(30),
        });
        assert!(is_closed.load(Ordering::Relaxed));
        assert!(seen.address.is_some() && seen.problem.is_some(), "{seen:?}");
        closing.join().unwrap();
    }

    #[test]
    fn an_address_is_split() {
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
