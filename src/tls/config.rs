//! rustls configurations. Settings of the application cannot weaken them.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::client::Tls12Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, KeyLog, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::ServerName;

use super::alert::leaf_of;
use super::client_proofs::ClientProofs;
use super::clock::HandshakeClock;
use super::in_force::InForce;
use super::resolver::{ClientCertificate, ServerCertificates};
use super::server_sessions::ServerSessions;
use super::sessions::ClientSessionCache;
use super::transcript;
use super::verifier::PeerVerifier;
use super::{BuildError, Resumption, RootHints};
use crate::identity::DnsName;
#[cfg(feature = "tokio")]
use crate::pki::Lane;
use crate::pki::{Certificate, Credentials, OwnKey};
use crate::trust::{ChainVerifier, Trust};

/// The settings that both sides have.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) allow_tls12: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) clock: Arc<dyn TimeProvider>,
    pub(crate) key_log: Option<Arc<dyn KeyLog>>,
    pub(crate) resumption: Resumption,
    /// A server chooses the cipher suite in its own order.
    pub(crate) has_server_order: bool,
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
pub(crate) struct ServerConfigs {
    /// For our own streams: secrets can be extracted, to seal a refusal.
    pub(crate) private: Arc<ServerConfig>,
    /// For connections that the application drives. Their secrets cannot be extracted.
    pub(crate) public: Arc<ServerConfig>,
    certificates: Arc<ServerCertificates>,
    #[cfg(feature = "tokio")]
    may_be_slow: bool,
}

#[cfg(feature = "tokio")]
impl ServerConfigs {
    /// Whether a certificate has a key that may be slow.
    pub(crate) const fn may_be_slow(&self) -> bool {
        self.may_be_slow
    }

    /// The places for signatures of the key for this name, if that may be slow.
    pub(crate) fn lane(&self, server_name: Option<&str>) -> Option<Lane> {
        self.certificates.choose(server_name).lane.clone()
    }
}

/// What a server's configurations of all generations have in common, with the certificates of the
/// last one.
#[derive(Clone)]
pub(crate) struct ServerTemplate {
    common: Common,
    hints: RootHints,
    /// The application's configuration. Only settings that cannot weaken security are taken from it.
    customized: Arc<ServerConfig>,
    sessions: Arc<ServerSessions>,
    proofs: Arc<ClientProofs>,
    certificates: Arc<ServerCertificates>,
}

impl ServerTemplate {
    pub(crate) fn new<I: Send + Sync + 'static>(
        in_force: &InForce<I>,
        trust: &Trust,
        credentials: &Credentials,
        named: &[(String, Credentials)],
        common: Common,
        hints: RootHints,
        customize: impl FnOnce(&mut ServerConfig),
    ) -> Result<Self, BuildError> {
        let certificates = Arc::new(server_certificates(credentials, named, &common.provider)?);
        // The application gets a configuration to change, and only the settings below are taken
        // over from it into a fresh one: it cannot replace the verifier, not even by assigning a
        // whole other configuration.
        let proofs = Arc::new(ClientProofs::new());
        let mut customized = build_server(
            &common,
            PeerVerifier::of_clients(in_force.clone(), hints.names(trust), proofs.clone()),
            certificates.clone(),
        )?;
        customized.ignore_client_order = common.has_server_order;
        ServerSessions::suggest(&mut customized);
        customize(&mut customized);
        Ok(Self {
            sessions: Arc::new(ServerSessions::new(common.resumption)?),
            proofs,
            common,
            hints,
            customized: Arc::new(customized),
            certificates,
        })
    }

    /// The same with other certificates. Certificates that are not given stay.
    pub(crate) fn with_credentials(
        &self,
        default: Option<Credentials>,
        named: Vec<(String, Credentials)>,
    ) -> Result<Self, BuildError> {
        let provider = &self.common.provider;
        let mut certificates = (*self.certificates).clone();
        if let Some(credentials) = default {
            certificates.default = credentials.certified_key(provider)?;
        }
        certificates
            .by_name
            .extend(certificates_by_name(&named, provider)?);
        Ok(Self {
            certificates: Arc::new(certificates),
            ..self.clone()
        })
    }

    /// The certificates in use with their names, the default first.
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        let mut named: Vec<_> = self.certificates.by_name.iter().collect();
        named.sort_by_key(|(name, _)| *name);
        let default = leaf_of(&self.certificates.default.certified).map(|leaf| (None, leaf));
        let named = named
            .into_iter()
            .filter_map(|(name, key)| Some((Some(name.clone()), leaf_of(&key.certified)?)));
        default.into_iter().chain(named).collect()
    }

    /// The configurations of one generation. The CertificateRequest may name the CAs of `trust`.
    pub(crate) fn configs<I: Send + Sync + 'static>(
        &self,
        in_force: &InForce<I>,
        trust: &Trust,
    ) -> Result<ServerConfigs, BuildError> {
        let names = self.hints.names(trust);
        let verifier = PeerVerifier::of_clients(in_force.clone(), names, self.proofs.clone());
        let mut config = build_server(&self.common, verifier, self.certificates.clone())?;
        let customized = &*self.customized;
        config.ignore_client_order = customized.ignore_client_order;
        config.max_fragment_size = customized.max_fragment_size;
        config.send_tls13_tickets = customized.send_tls13_tickets;
        config.max_tls13_tickets = customized.max_tls13_tickets;
        config
            .cert_compressors
            .clone_from(&customized.cert_compressors);
        config.cert_compression_cache = customized.cert_compression_cache.clone();
        config
            .cert_decompressors
            .clone_from(&customized.cert_decompressors);

        config.alpn_protocols.clone_from(&self.common.alpn);
        self.sessions.configure(&mut config, in_force, &self.proofs);
        config.require_ems = true;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        config.enable_secret_extraction = false;
        if let Some(key_log) = &self.common.key_log {
            config.key_log = key_log.clone();
        }
        let public = Arc::new(config.clone());
        config.enable_secret_extraction = true;
        Ok(ServerConfigs {
            private: Arc::new(config),
            public,
            #[cfg(feature = "tokio")]
            may_be_slow: {
                let named = self.certificates.by_name.values();
                let mut all = named.chain([&self.certificates.default]);
                all.any(|own| own.lane.is_some())
            },
            certificates: self.certificates.clone(),
        })
    }
}

fn build_server<I: Send + Sync + 'static>(
    common: &Common,
    verifier: PeerVerifier<I>,
    certificates: Arc<ServerCertificates>,
) -> Result<ServerConfig, BuildError> {
    ServerConfig::builder_with_details(common.provider.clone(), HandshakeClock::of(&common.clock))
        .with_protocol_versions(common.versions())
        .map(|builder| {
            let mut config = builder
                .with_client_cert_verifier(Arc::new(verifier))
                .with_cert_resolver(certificates);
            // Another crate of the program may have turned rustls' features on.
            config.cert_compressors.clear();
            config.cert_decompressors.clear();
            config
        })
        .map_err(BuildError::Provider)
}

/// A client's configuration.
pub(crate) struct ClientConfigs {
    /// How often the credentials were replaced.
    pub(crate) credentials: u64,
    /// For our own streams: secrets can be extracted, to seal a refusal.
    pub(crate) private: Arc<ClientConfig>,
    /// For connections that the application drives. Their secrets cannot be extracted.
    pub(crate) public: Arc<ClientConfig>,
    /// As `public`, with observed transcripts: for programs that drive rustls and call no code of ours after
    /// the handshake.
    pub(crate) observed: Arc<ClientConfig>,
    /// The certificate that they present.
    pub(crate) certificate: Arc<CertifiedKey>,
    /// If the key may be slow.
    #[cfg(feature = "tokio")]
    pub(crate) slow: Option<SlowClient>,
}

/// What a client with a slow key needs besides its configuration.
#[cfg(feature = "tokio")]
#[derive(Clone)]
pub(crate) struct SlowClient {
    /// The places for signatures.
    pub(crate) lane: Lane,
    /// A configuration for a connection that another one replaces before it is used: it takes no session
    /// out of the cache.
    pub(crate) placeholder: Arc<ClientConfig>,
}

/// What a client's configurations of all generations have in common, with the certificate of the
/// last one.
#[derive(Clone)]
pub(crate) struct ClientTemplate {
    common: Common,
    /// The application's configuration. Only settings that cannot weaken security are taken from it.
    customized: Arc<ClientConfig>,
    certificate: Arc<ClientCertificate>,
    replaced: u64,
}

impl ClientTemplate {
    pub(crate) fn new<I: Send + Sync + 'static>(
        in_force: &InForce<I>,
        credentials: &Credentials,
        common: Common,
        customize: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, BuildError> {
        let certificate = Arc::new(ClientCertificate(
            credentials.certified_key(&common.provider)?,
        ));
        let sessions = Arc::new(ClientSessionCache::new(common.clock.clone()));
        let verifier = PeerVerifier::of_servers(in_force.clone(), sessions);
        let mut customized = build_client(&common, verifier, certificate.clone())?;
        customize(&mut customized);
        Ok(Self {
            common,
            customized: Arc::new(customized),
            certificate,
            replaced: 0,
        })
    }

    /// The same with another certificate, if one is given.
    pub(crate) fn with_credentials(
        &self,
        credentials: Option<Credentials>,
    ) -> Result<Self, BuildError> {
        let mut next = self.clone();
        if let Some(credentials) = credentials {
            let key = credentials.certified_key(&self.common.provider)?;
            next.certificate = Arc::new(ClientCertificate(key));
            next.replaced += 1;
        }
        Ok(next)
    }

    /// The certificate in use.
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        let leaf = leaf_of(&self.certificate.0.certified).map(|leaf| (None, leaf));
        leaf.into_iter().collect()
    }

    /// The configurations of one generation, without any session of an older one.
    pub(crate) fn configs<I: Send + Sync + 'static>(
        &self,
        in_force: &InForce<I>,
    ) -> Result<ClientConfigs, BuildError> {
        let sessions = Arc::new(ClientSessionCache::new(self.common.clock.clone()));
        let mut config = self.config(&self.common, in_force, &sessions)?;
        let public = Arc::new(config.clone());
        config.enable_secret_extraction = true;
        let observed = Common {
            provider: transcript::observed(&self.common.provider),
            ..self.common.clone()
        };
        let observed = self.config(&observed, in_force, &sessions)?;
        #[cfg(feature = "tokio")]
        let slow = self.certificate.0.lane.clone().map(|lane| {
            let mut placeholder = config.clone();
            placeholder.resumption = rustls::client::Resumption::disabled();
            SlowClient {
                lane,
                placeholder: Arc::new(placeholder),
            }
        });
        Ok(ClientConfigs {
            credentials: self.replaced,
            private: Arc::new(config),
            public,
            observed: Arc::new(observed),
            certificate: self.certificate.0.certified.clone(),
            #[cfg(feature = "tokio")]
            slow,
        })
    }

    fn config<I: Send + Sync + 'static>(
        &self,
        common: &Common,
        in_force: &InForce<I>,
        sessions: &Arc<ClientSessionCache>,
    ) -> Result<ClientConfig, BuildError> {
        let verifier = PeerVerifier::of_servers(in_force.clone(), Arc::clone(sessions));
        let mut config = build_client(common, verifier, self.certificate.clone())?;
        let customized = &*self.customized;
        config.max_fragment_size = customized.max_fragment_size;
        config.enable_sni = customized.enable_sni;
        config
            .cert_compressors
            .clone_from(&customized.cert_compressors);
        config.cert_compression_cache = customized.cert_compression_cache.clone();
        config
            .cert_decompressors
            .clone_from(&customized.cert_decompressors);

        config.alpn_protocols.clone_from(&common.alpn);
        config.resumption = match common.resumption {
            Resumption::Off => rustls::client::Resumption::disabled(),
            Resumption::Stateful | Resumption::Stateless => {
                rustls::client::Resumption::store(Arc::clone(sessions) as _)
                    .tls12_resumption(Tls12Resumption::SessionIdOrTickets)
            }
        };
        config.require_ems = true;
        config.enable_early_data = false;
        config.enable_secret_extraction = false;
        if let Some(key_log) = &common.key_log {
            config.key_log = key_log.clone();
        }
        Ok(config)
    }
}

fn build_client<I: Send + Sync + 'static>(
    common: &Common,
    verifier: PeerVerifier<I>,
    certificate: Arc<ClientCertificate>,
) -> Result<ClientConfig, BuildError> {
    ClientConfig::builder_with_details(common.provider.clone(), HandshakeClock::of(&common.clock))
        .with_protocol_versions(common.versions())
        .map(|builder| {
            let mut config = builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_client_cert_resolver(certificate);
            config.cert_compressors.clear();
            config.cert_decompressors.clear();
            config
        })
        .map_err(BuildError::Provider)
}

fn server_certificates(
    default: &Credentials,
    named: &[(String, Credentials)],
    provider: &CryptoProvider,
) -> Result<ServerCertificates, BuildError> {
    Ok(ServerCertificates {
        default: default.certified_key(provider)?,
        by_name: certificates_by_name(named, provider)?,
    })
}

fn certificates_by_name(
    named: &[(String, Credentials)],
    provider: &CryptoProvider,
) -> Result<HashMap<String, OwnKey>, BuildError> {
    let mut by_name = HashMap::new();
    for (name, credentials) in named {
        let name = name.to_ascii_lowercase();
        check_covers(credentials.certificate(), &name)?;
        let key = credentials.certified_key(provider)?;
        if by_name.insert(name.clone(), key).is_some() {
            return Err(BuildError::NameTwice { name });
        }
    }
    Ok(by_name)
}

/// Checks at start-up that a certificate is valid for the name that it was given for.
fn check_covers(certificate: &Certificate, name: &str) -> Result<(), BuildError> {
    // For a wildcard, one name below it represents all.
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
