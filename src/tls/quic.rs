//! rustls as the TLS of QUIC connections that quinn drives, observed as other handshakes are.
//!
//! quinn's own session calls rustls from the task that drives the connection, on any thread, and reports a
//! rejected chain as text. So quinn gets a session of ours: it calls rustls with the probe of its connection,
//! and the code that waits for the connection reads the probe afterwards. Each connection has a session
//! configuration of its own, so the probes of two handshakes cannot mix.
//!
//! What quinn's session does and this one does not: 0-RTT keys are never given to quinn, on either side, and
//! what the peer has presented is read from here only, and not from quinn's connection.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn_proto::crypto::{self, ExportKeyingMaterialError, KeyPair, Keys, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{
    ConnectError, ConnectionError, ConnectionId, TransportError, TransportErrorCode,
};
use rustls::quic::{self, KeyChange, Secrets, Suite, Version};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, ServerConfig, version};
use rustls_pki_types::{CertificateDer, ServerName};

use super::error::HandshakeError;
use super::probe::{self, HandshakeProbe};
use crate::ConnectionInfo;
use crate::gate::GenerationId;

/// The version of QUIC that is spoken, version 1 of RFC 9000, as quinn has it.
pub(crate) const QUIC_VERSION: u32 = 1;

/// The handshake of one QUIC connection, as the code that waits for it sees it. Clones are of the same
/// handshake.
#[derive(Clone)]
pub(crate) struct QuicHandshake(Arc<Mutex<Observed>>);

struct Observed {
    probe: HandshakeProbe,
    /// How many bytes of TLS the peer may send before it is admitted.
    limit: usize,
    received: usize,
    failure: Option<Failure>,
    /// What TLS has negotiated so far.
    info: ConnectionInfo,
    /// The chain of the peer, once the handshake is complete.
    presented: Option<Vec<CertificateDer<'static>>>,
}

/// Why this side has ended a handshake.
enum Failure {
    Tls(rustls::Error),
    TooMuchReceived,
    /// The server did not request our certificate.
    NotAsked,
}

/// Why a QUIC handshake failed.
pub(crate) enum QuicError {
    /// The server did not request our certificate.
    NotAsked,
    Other(HandshakeError),
}

impl QuicHandshake {
    /// A server's handshake, with a configuration of this trust, or of a later one.
    pub(crate) fn of_server(trust: GenerationId, limit: usize) -> Self {
        Self::new(HandshakeProbe::beginning_under(trust), limit)
    }

    pub(crate) fn of_client(limit: usize) -> Self {
        Self::new(HandshakeProbe::default(), limit)
    }

    fn new(probe: HandshakeProbe, limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Observed {
            probe,
            limit,
            received: 0,
            failure: None,
            info: ConnectionInfo::default(),
            presented: None,
        })))
    }

    /// Takes the probe, and what is known of the connection.
    pub(crate) fn take(&self) -> (HandshakeProbe, ConnectionInfo) {
        let mut observed = self.lock();
        (
            std::mem::take(&mut observed.probe),
            std::mem::take(&mut observed.info),
        )
    }

    /// The chain that the peer has proven its key for, once the handshake is complete.
    pub(crate) fn complete(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.lock().presented.take()
    }

    /// Why the handshake failed, by the error of quinn.
    pub(crate) fn why(&self, error: ConnectionError) -> QuicError {
        let mut observed = self.lock();
        let failure = observed.failure.take();
        let probe = &observed.probe;
        if let Some(chain) = probe.unproven() {
            let certificate = chain.leaf().clone();
            return QuicError::Other(HandshakeError::KeyNotProven { certificate });
        }
        QuicError::Other(match (failure, error) {
            (Some(Failure::NotAsked), _) => return QuicError::NotAsked,
            (Some(Failure::TooMuchReceived), _) => HandshakeError::TooMuchReceived {
                limit: observed.limit,
            },
            (Some(Failure::Tls(error)), _) => HandshakeError::from_rustls(error, probe),
            (None, ConnectionError::ConnectionClosed(close)) => {
                match crypto_alert(close.error_code) {
                    Some(alert) => {
                        HandshakeError::from_rustls(rustls::Error::AlertReceived(alert), probe)
                    }
                    None => closed(probe),
                }
            }
            (None, ConnectionError::ApplicationClosed(_) | ConnectionError::Reset) => closed(probe),
            (None, other) => HandshakeError::Io(other.into()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(probe: &HandshakeProbe) -> HandshakeError {
    HandshakeError::Closed {
        received: probe.received().total,
    }
}

/// The alert of TLS that an error code of QUIC stands for (RFC 9001 section 4.8).
pub(crate) fn crypto_alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code).checked_sub(0x100)?;
    Some(AlertDescription::from(u8::try_from(code).ok()?))
}

/// A server's TLS, without a connection: what quinn needs to answer the first packets, and what it needs to
/// begin the handshake of one connection.
pub(crate) struct QuicServerConfig {
    config: Arc<ServerConfig>,
    suite: Suite,
    /// Seals Retry packets.
    packets: Arc<crypto::rustls::QuicServerConfig>,
    handshake: Option<QuicHandshake>,
}

impl QuicServerConfig {
    /// `None`: the cryptography lacks what QUIC needs, AES-128-GCM with SHA-256.
    pub(crate) fn new(config: &Arc<ServerConfig>, alpn: &[Vec<u8>]) -> Option<Arc<Self>> {
        let mut config = ServerConfig::clone(config);
        config.alpn_protocols = alpn.to_vec();
        let config = Arc::new(config);
        let packets = crypto::rustls::QuicServerConfig::try_from(config.clone()).ok()?;
        // It fails for a configuration without a suite for QUIC.
        quic::ServerConnection::new(config.clone(), Version::V1, Vec::new()).ok()?;
        Some(Arc::new(Self {
            suite: initial_suite(config.crypto_provider())?,
            packets: Arc::new(packets),
            config,
            handshake: None,
        }))
    }

    /// The same for one connection.
    pub(crate) fn observed(&self, handshake: QuicHandshake) -> Arc<Self> {
        Arc::new(Self {
            config: self.config.clone(),
            suite: self.suite,
            packets: self.packets.clone(),
            handshake: Some(handshake),
        })
    }
}

/// The configurations of a listener for QUIC: each is made once, of the one in force.
pub(crate) struct QuicServerConfigs {
    alpn: Vec<Vec<u8>>,
    /// The last one, with the one that it was made of.
    last: Mutex<(Arc<ServerConfig>, Arc<QuicServerConfig>)>,
}

impl QuicServerConfigs {
    /// `None`: the cryptography lacks what QUIC needs.
    pub(crate) fn new(config: &Arc<ServerConfig>, alpn: Vec<Vec<u8>>) -> Option<Self> {
        let made = QuicServerConfig::new(config, &alpn)?;
        Some(Self {
            alpn,
            last: Mutex::new((Arc::clone(config), made)),
        })
    }

    /// For the configuration in force. `None`: the cryptography lacks what QUIC needs, which an update cannot
    /// cause.
    pub(crate) fn of(&self, config: &Arc<ServerConfig>) -> Option<Arc<QuicServerConfig>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&last.0, config) {
            let made = QuicServerConfig::new(config, &self.alpn)?;
            *last = (Arc::clone(config), made);
        }
        Some(Arc::clone(&last.1))
    }
}

impl crypto::ServerConfig for QuicServerConfig {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        if version != QUIC_VERSION {
            return Err(UnsupportedVersion);
        }
        self.packets.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.packets.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        // Without a handshake that observes it, there is no connection.
        let tls = self.handshake.as_ref().and_then(|_| {
            quic::ServerConnection::new(self.config.clone(), Version::V1, encoded(params)).ok()
        });
        Box::new(Session {
            tls: tls.map(Into::into),
            suite: self.suite,
            packets: self.packets.clone(),
            next_secrets: None,
            handshake: self.handshake.clone(),
        })
    }
}

/// A client's TLS for one connection.
pub(crate) struct QuicClientConfig {
    config: Arc<ClientConfig>,
    alpn: Vec<Vec<u8>>,
    packets: QuicPackets,
    handshake: QuicHandshake,
}

/// The cryptography of packets that does not depend on a connection.
#[derive(Clone)]
pub(crate) struct QuicPackets {
    suite: Suite,
    retry: Arc<crypto::rustls::QuicServerConfig>,
}

impl QuicPackets {
    /// `None`: the cryptography lacks what QUIC needs, AES-128-GCM with SHA-256.
    pub(crate) fn of(config: &ClientConfig) -> Option<Self> {
        let provider = config.crypto_provider();
        // quinn has the tag of Retry packets in the configuration of a server only. This one has no
        // certificate, and no connection is made with it.
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        Some(Self {
            suite: initial_suite(provider)?,
            retry: Arc::new(Arc::new(server).try_into().ok()?),
        })
    }
}

impl QuicClientConfig {
    pub(crate) fn new(
        config: Arc<ClientConfig>,
        alpn: Vec<Vec<u8>>,
        packets: QuicPackets,
        handshake: QuicHandshake,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            alpn,
            packets,
            handshake,
        })
    }
}

impl crypto::ClientConfig for QuicClientConfig {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        if version != QUIC_VERSION {
            return Err(ConnectError::UnsupportedVersion);
        }
        let invalid = || ConnectError::InvalidServerName(server_name.into());
        let name = ServerName::try_from(server_name)
            .map_err(|_| invalid())?
            .to_owned();
        let mut observed = self.handshake.lock();
        // This looks up a session to resume, which the probe records.
        let tls = observed.probe.with_probe(|| {
            quic::ClientConnection::new_with_alpn(
                self.config.clone(),
                Version::V1,
                name,
                encoded(params),
                self.alpn.clone(),
            )
        });
        let tls = match tls {
            Ok(tls) => Some(tls.into()),
            Err(error) => {
                // Its first packet ends it.
                observed.failure = Some(Failure::Tls(error));
                None
            }
        };
        drop(observed);
        if tls.is_none() {
            return Err(ConnectError::UnsupportedVersion);
        }
        Ok(Box::new(Session {
            tls,
            suite: self.packets.suite,
            packets: self.packets.retry.clone(),
            next_secrets: None,
            handshake: Some(self.handshake.clone()),
        }))
    }
}

/// The TLS of one connection.
struct Session {
    /// `None`: it could not be made, and the first data of the peer ends the connection.
    tls: Option<quic::Connection>,
    suite: Suite,
    packets: Arc<crypto::rustls::QuicServerConfig>,
    next_secrets: Option<Secrets>,
    /// `None` once the handshake is complete.
    handshake: Option<QuicHandshake>,
}

impl Session {
    /// Gives rustls the data of a handshake that is not complete.
    fn read(&mut self, handshake: &QuicHandshake, data: &[u8]) -> Result<(), TransportError> {
        let Some(tls) = &mut self.tls else {
            return Err(TransportErrorCode::INTERNAL_ERROR.into());
        };
        let mut guard = handshake.lock();
        let observed = &mut *guard;
        observed.received = observed.received.saturating_add(data.len());
        if observed.received > observed.limit {
            observed.failure = Some(Failure::TooMuchReceived);
            return Err(TransportErrorCode::CRYPTO_BUFFER_EXCEEDED.into());
        }
        let read = observed.probe.with_probe(|| {
            probe::record_quic(data);
            tls.read_hs(data)
        });
        observed.info = ConnectionInfo::default().with_tls(tls);
        if let quic::Connection::Server(server) = tls
            && let Some(name) = server.server_name()
        {
            observed.info = std::mem::take(&mut observed.info).with_server_name(name);
        }
        if let Err(error) = read {
            let alert = tls.alert();
            observed.failure = Some(Failure::Tls(error));
            return Err(observed.rejected(alert));
        }
        if tls.is_handshaking() {
            return Ok(());
        }
        let is_client = matches!(tls, quic::Connection::Client(_));
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        // A server that never requests our certificate has not authenticated us. In a resumed session, the
        // request was part of the handshake that began the session.
        if is_client && !resumed && !observed.probe.asked_for_certificate() {
            observed.failure = Some(Failure::NotAsked);
            return Err(observed.rejected(Some(AlertDescription::HandshakeFailure)));
        }
        // RFC 9001 section 8.1. rustls has verified it.
        if tls.alpn_protocol().is_none() {
            observed.failure = Some(Failure::Tls(rustls::Error::NoApplicationProtocol));
            return Err(observed.rejected(Some(AlertDescription::NoApplicationProtocol)));
        }
        let presented = tls.peer_certificates().unwrap_or_default();
        observed.presented = Some(presented.to_vec());
        Ok(())
    }
}

impl Observed {
    /// The error that ends the connection with this alert.
    fn rejected(&mut self, alert: Option<AlertDescription>) -> TransportError {
        // The peer needs no text: the alert is all that it gets.
        match alert {
            Some(alert) => {
                self.probe.set_sent_alert(alert);
                TransportErrorCode::crypto(alert.into()).into()
            }
            None => TransportErrorCode::PROTOCOL_VIOLATION.into(),
        }
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: quinn_proto::Side) -> Keys {
        as_quinn(self.suite.keys(dst_cid, side.into(), Version::V1))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn crypto::PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        Some(false)
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, data: &[u8]) -> Result<bool, TransportError> {
        if let Some(handshake) = self.handshake.take() {
            self.read(&handshake, data)?;
            if self.is_handshaking() {
                self.handshake = Some(handshake);
            }
            return Ok(false);
        }
        // After the handshake: session tickets of a server that requested our certificate.
        let Some(tls) = &mut self.tls else {
            return Err(TransportErrorCode::INTERNAL_ERROR.into());
        };
        match tls.read_hs(data) {
            Ok(()) => Ok(false),
            Err(_) => Err(match tls.alert() {
                Some(alert) => TransportErrorCode::crypto(alert.into()).into(),
                None => TransportErrorCode::PROTOCOL_VIOLATION.into(),
            }),
        }
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let Some(mut bytes) = tls.quic_transport_parameters() else {
            return Ok(None);
        };
        let side = match tls {
            quic::Connection::Client(_) => quinn_proto::Side::Client,
            quic::Connection::Server(_) => quinn_proto::Side::Server,
        };
        Ok(Some(TransportParameters::read(side, &mut bytes)?))
    }

    fn write_handshake(&mut self, buffer: &mut Vec<u8>) -> Option<Keys> {
        Some(as_quinn(match self.tls.as_mut()?.write_hs(buffer)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next_secrets = Some(next);
                keys
            }
        }))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn crypto::PacketKey>>> {
        let keys = self.next_secrets.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        // RFC 9001 section 5.8: the tag is the end of the packet.
        let Some((rest, tag)) = payload.split_last_chunk::<16>() else {
            return false;
        };
        let packet = [header, rest].concat();
        crypto::ServerConfig::retry_tag(&*self.packets, QUIC_VERSION, orig_dst_cid, &packet) == *tag
    }

    /// Nothing calls it: quinn's handle is not exposed.
    fn export_keying_material(
        &self,
        _output: &mut [u8],
        _label: &[u8],
        _context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn as_quinn(keys: quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}

/// The suite of the first packets (RFC 9001 section 5.2).
fn initial_suite(provider: &rustls::crypto::CryptoProvider) -> Option<Suite> {
    let suites = provider.cipher_suites.iter();
    let initial = suites.filter_map(|suite| suite.tls13());
    let mut initial =
        initial.filter(|suite| suite.common.suite == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    initial.find_map(|suite| suite.quic_suite())
}

fn encoded(params: &TransportParameters) -> Vec<u8> {
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    bytes
}

impl fmt::Debug for QuicHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicHandshake")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::provider;

    /// RFC 9001 appendix A.4.
    const ORIGINAL_DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    const HEADER: [u8; 15] = [
        0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x08, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5,
    ];
    const TOKEN: &[u8] = b"token";
    const TAG: [u8; 16] = [
        0x04, 0xa2, 0x65, 0xba, 0x2e, 0xff, 0x4d, 0x82, 0x90, 0x58, 0xfb, 0x3f, 0x0f, 0x24, 0x96,
        0xba,
    ];

    fn packets() -> QuicPackets {
        let config = ClientConfig::builder_with_provider(provider::built_in().unwrap())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        QuicPackets::of(&config).unwrap()
    }

    fn is_valid(dcid: &[u8], header: &[u8], payload: &[u8]) -> bool {
        let packets = packets();
        let session = Session {
            tls: None,
            suite: packets.suite,
            packets: packets.retry,
            next_secrets: None,
            handshake: None,
        };
        crypto::Session::is_valid_retry(&session, &ConnectionId::new(dcid), header, payload)
    }

    #[test]
    fn the_retry_of_the_standard_is_valid_and_no_change_of_it() {
        let payload = [TOKEN, &TAG].concat();
        assert!(is_valid(&ORIGINAL_DCID, &HEADER, &payload));
        for at in 0..payload.len() {
            let mut forged = payload.clone();
            forged[at] ^= 1;
            assert!(!is_valid(&ORIGINAL_DCID, &HEADER, &forged), "{at}");
            assert!(!is_valid(&ORIGINAL_DCID, &HEADER, &payload[..at]), "{at}");
        }
        for at in 0..HEADER.len() {
            let mut forged = HEADER;
            forged[at] ^= 1;
            assert!(!is_valid(&ORIGINAL_DCID, &forged, &payload), "{at}");
        }
        // Of another connection.
        assert!(!is_valid(&[7; 8], &HEADER, &payload));
    }
}
