//! rustls configurations, built so that nothing the application changes can open a hole.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::ServerSessionMemoryCache;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, KeyLog, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::ServerName;

use super::BuildError;
use super::resolver::{ClientCertificate, ServerCertificates};
use super::sessions::MutualSessions;
use super::verifier::PeerVerifier;
use crate::gate::Gate;
use crate::identity::DnsName;
use crate::pki::{Certificate, Credentials};
use crate::trust::ChainVerifier;

/// How many sessions an acceptor remembers. A connection takes two (TLS 1.3) or one (TLS 1.2);
/// each holds the client's chain, so about 2 KiB, and at most the 64 KiB of a handshake message.
const SERVER_SESSIONS: usize = 1024;

/// What both sides configure alike.
pub(super) struct Common {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) allow_tls12: bool,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) clock: Arc<dyn TimeProvider>,
    pub(super) key_log: Option<Arc<dyn KeyLog>>,
}

impl Common {
    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        static TLS13_AND_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

        if self.allow_tls12 {
            &TLS13_AND_12
        } else {
            &TLS13
        }
    }
}

/// A server's configuration in two forms.
#[derive(Clone)]
pub(crate) struct ServerConfigs {
    /// For our own streams: secrets can be extracted, to seal a refusal.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) private: Arc<ServerConfig>,
    /// For connections that leave our hands: they cannot.
    pub(crate) public: Arc<ServerConfig>,
}

impl ServerConfigs {
    pub(super) fn new<I: Send + Sync + 'static>(
        gate: Gate<I>,
        credentials: &Credentials,
        named: &[(String, Credentials)],
        common: &Common,
        customize: impl FnOnce(&mut ServerConfig),
    ) -> Result<Self, BuildError> {
        let certificates = Arc::new(server_certificates(credentials, named, &common.provider)?);
        let verifier = Arc::new(PeerVerifier::new(gate));
        let build = || {
            ServerConfig::builder_with_details(common.provider.clone(), common.clock.clone())
                .with_protocol_versions(common.versions())
                .map(|builder| {
                    builder
                        .with_client_cert_verifier(verifier.clone())
                        .with_cert_resolver(certificates.clone())
                })
                .map_err(BuildError::Provider)
        };

        // The application gets a configuration to change, and only the settings below are taken
        // over from it into a fresh one: it cannot replace the verifier, not even by assigning a
        // whole other configuration.
        let mut customized = build()?;
        customize(&mut customized);
        let mut config = build()?;
        config.ignore_client_order = customized.ignore_client_order;
        config.max_fragment_size = customized.max_fragment_size;
        config.send_tls13_tickets = customized.send_tls13_tickets;
        config.max_tls13_tickets = customized.max_tls13_tickets;
        config.cert_compressors = customized.cert_compressors;
        config.cert_compression_cache = customized.cert_compression_cache;
        config.cert_decompressors = customized.cert_decompressors;

        config.alpn_protocols.clone_from(&common.alpn);
        config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS);
        config.require_ems = true;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        config.enable_secret_extraction = false;
        if let Some(key_log) = &common.key_log {
            config.key_log = key_log.clone();
        }
        let public = Arc::new(config.clone());
        config.enable_secret_extraction = true;
        Ok(Self {
            private: Arc::new(config),
            public,
        })
    }
}

/// A client's configuration.
#[derive(Clone)]
pub(crate) struct ClientConfigs {
    /// For our own streams: secrets can be extracted, to seal a refusal.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) private: Arc<ClientConfig>,
    /// For connections that leave our hands: they cannot.
    pub(crate) public: Arc<ClientConfig>,
}

impl ClientConfigs {
    pub(super) fn new<I: Send + Sync + 'static>(
        gate: Gate<I>,
        credentials: &Credentials,
        common: &Common,
        customize: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, BuildError> {
        let certificate = Arc::new(ClientCertificate(
            credentials.certified_key(&common.provider)?,
        ));
        let verifier = Arc::new(PeerVerifier::new(gate));
        let build = || {
            ClientConfig::builder_with_details(common.provider.clone(), common.clock.clone())
                .with_protocol_versions(common.versions())
                .map(|builder| {
                    builder
                        .dangerous()
                        .with_custom_certificate_verifier(verifier.clone())
                        .with_client_cert_resolver(certificate.clone())
                })
                .map_err(BuildError::Provider)
        };

        let mut customized = build()?;
        customize(&mut customized);
        let mut config = build()?;
        config.max_fragment_size = customized.max_fragment_size;
        config.enable_sni = customized.enable_sni;
        config.cert_compressors = customized.cert_compressors;
        config.cert_compression_cache = customized.cert_compression_cache;
        config.cert_decompressors = customized.cert_decompressors;

        config.alpn_protocols.clone_from(&common.alpn);
        config.resumption = Resumption::store(Arc::new(MutualSessions::new()))
            .tls12_resumption(Tls12Resumption::SessionIdOrTickets);
        config.require_ems = true;
        config.enable_early_data = false;
        config.enable_secret_extraction = false;
        if let Some(key_log) = &common.key_log {
            config.key_log = key_log.clone();
        }
        let public = Arc::new(config.clone());
        config.enable_secret_extraction = true;
        Ok(Self {
            private: Arc::new(config),
            public,
        })
    }
}

fn server_certificates(
    default: &Credentials,
    named: &[(String, Credentials)],
    provider: &CryptoProvider,
) -> Result<ServerCertificates, BuildError> {
    let mut by_name = HashMap::new();
    for (name, credentials) in named {
        let name = name.to_ascii_lowercase();
        check_covers(credentials.certificate(), &name)?;
        let key = credentials.certified_key(provider)?;
        if by_name.insert(name.clone(), key).is_some() {
            return Err(BuildError::NameTwice { name });
        }
    }
    Ok(ServerCertificates {
        default: default.certified_key(provider)?,
        by_name,
    })
}

/// Finds out at start-up, and not from the first client, that a certificate is under a wrong name.
fn check_covers(certificate: &Certificate, name: &str) -> Result<(), BuildError> {
    // For a wildcard, any name below it stands for all.
    let example = name
        .strip_prefix("*.")
        .map_or_else(|| name.to_owned(), |parent| format!("any.{parent}"));
    let invalid = || BuildError::InvalidName { name: name.into() };
    let dns_name: DnsName = example.parse().map_err(|_| invalid())?;
    let server_name = ServerName::try_from(dns_name.as_str()).map_err(|_| invalid())?;
    ChainVerifier::verify_name(certificate, &server_name).map_err(|_| BuildError::NotCovered {
        name: name.into(),
        certificate: certificate.clone(),
    })
}
