//! Clients of every kind.

use std::sync::Arc;

use countersign::testing::{Issued, TestCa};
use rustls::ClientConfig;
use rustls::client::{ResolvesClientCert, Resumption};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use support::{SERVER, Version, raw_client, thief};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Plan {
    Good,
    Resumes,
    Denied,
    Listed,
    Nameless,
    Expired,
    Stranger,
    Bare,
    Thief,
    OldVersion,
    Plaintext,
    Garbage,
    Leaves,
    DistrustsUs,
    Stalls,
    Shed,
    Abandoned,
}

impl Plan {
    pub(crate) const ALL: [Self; 17] = [
        Self::Good,
        Self::Resumes,
        Self::Denied,
        Self::Listed,
        Self::Nameless,
        Self::Expired,
        Self::Stranger,
        Self::Bare,
        Self::Thief,
        Self::OldVersion,
        Self::Plaintext,
        Self::Garbage,
        Self::Leaves,
        Self::DistrustsUs,
        Self::Stalls,
        Self::Shed,
        Self::Abandoned,
    ];

    /// What the client of this number does.
    pub(crate) fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    /// What comes of it, unless the machine is too slow even for two seconds.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Good | Self::Resumes => "admitted",
            Self::Denied => "denied",
            Self::Listed => "deny_listed",
            Self::Nameless => "identity_missing",
            Self::Expired => "expired",
            Self::Stranger => "unknown_issuer",
            Self::Bare => "no_certificate",
            Self::Thief => "key_not_proven",
            Self::OldVersion => "version_too_old",
            Self::Plaintext => "plaintext_http",
            Self::Garbage => "tls",
            Self::Leaves => "closed",
            Self::DistrustsUs => "alert_received",
            Self::Stalls => "timed_out",
            Self::Shed => "address_not_admitted",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The configurations of those that speak TLS.
pub(crate) struct Clients {
    good: Arc<ClientConfig>,
    resumes: Arc<ClientConfig>,
    denied: Arc<ClientConfig>,
    listed: Arc<ClientConfig>,
    nameless: Arc<ClientConfig>,
    expired: Arc<ClientConfig>,
    stranger: Arc<ClientConfig>,
    bare: Arc<ClientConfig>,
    thief: Arc<ClientConfig>,
    old_version: Arc<ClientConfig>,
    distrusts_us: Arc<ClientConfig>,
}

impl Clients {
    pub(crate) fn new(ca: &TestCa) -> Self {
        let other_ca = TestCa::new("Another root");
        let shows = |issued: &Issued| -> Option<Arc<dyn ResolvesClientCert>> {
            Some(thief(issued, issued)) // its own, with its own key
        };
        let config = |version, resolver| {
            let mut config = raw_client(ca, version, resolver);
            config.resumption = Resumption::disabled();
            Arc::new(config)
        };
        let of = |issued: Issued| config(Version::Tls13, shows(&issued));
        let named = |name: &str| ca.leaf().dns(name).issue();
        let good = named("client.example");
        Self {
            good: of(named("client.example")),
            resumes: Arc::new(raw_client(
                ca,
                Version::Tls13,
                shows(&named("resumes.example")),
            )),
            denied: of(named("denied.example")),
            listed: of(named("listed.example")),
            nameless: of(ca.leaf().common_name("no name that counts").issue()),
            expired: of(ca.leaf().dns("old.example").expired().issue()),
            stranger: of(other_ca.leaf().dns("client.example").issue()),
            bare: config(Version::Tls13, None),
            thief: config(
                Version::Tls13,
                Some(thief(&good, &named("mallory.example"))),
            ),
            old_version: config(Version::Tls12, shows(&good)),
            distrusts_us: {
                let mut config = raw_client(&other_ca, Version::Tls13, shows(&good));
                config.resumption = Resumption::disabled();
                Arc::new(config)
            },
        }
    }

    /// Does as planned, until the server has said all that it wants to say.
    pub(crate) async fn go(&self, plan: Plan, io: DuplexStream) {
        match plan {
            Plan::Good => handshake(&self.good, io).await,
            Plan::Resumes => handshake(&self.resumes, io).await,
            Plan::Denied => handshake(&self.denied, io).await,
            Plan::Listed => handshake(&self.listed, io).await,
            Plan::Nameless => handshake(&self.nameless, io).await,
            Plan::Expired => handshake(&self.expired, io).await,
            Plan::Stranger => handshake(&self.stranger, io).await,
            Plan::Bare => handshake(&self.bare, io).await,
            Plan::Thief => handshake(&self.thief, io).await,
            Plan::OldVersion => handshake(&self.old_version, io).await,
            Plan::DistrustsUs => handshake(&self.distrusts_us, io).await,
            Plan::Plaintext => send(io, b"GET / HTTP/1.1\r\n\r\n").await,
            Plan::Garbage => send(io, &[0xff; 64]).await,
            Plan::Leaves => drop(io),
            Plan::Stalls | Plan::Shed => send(io, b"").await,
            Plan::Abandoned => panic!("that is the server's affair"),
        }
    }
}

async fn handshake(config: &Arc<ClientConfig>, io: DuplexStream) {
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    if let Ok(mut tls) = connector.connect(SERVER.try_into().unwrap(), io).await {
        // Tickets come, and whatever the server has against us.
        let _ = tls.read_to_end(&mut Vec::new()).await;
    }
}

async fn send(mut io: DuplexStream, bytes: &[u8]) {
    let _ = io.write_all(bytes).await;
    let _ = io.read_to_end(&mut Vec::new()).await;
}
