//! What mutual TLS costs with us, beside raw rustls in the same run.
//!
//! `cargo bench --bench handshake` prints a table at the end. Everything happens in memory, on one
//! thread, with certificates of P-256: a root, an intermediate and a leaf on each side. What is
//! timed is one side's own work from the first byte of a connection to the first byte of the
//! application, session tickets included: the polls of its future, or its calls into rustls.
//!
//! Rounds of ours and of raw rustls alternate, and a ratio is the median over such pairs, so that
//! whatever slows the machine down slows both.

#[path = "handshake/blocking.rs"]
mod blocking;
#[path = "handshake/streams.rs"]
mod streams;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Connector, policy};
use criterion::Criterion;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use blocking::Blocking;
use streams::Streams;

const SERVER_NAME: &str = "server.example";

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .configure_from_args();
    let hybrid = World::new(aws_lc_rs::default_provider());
    let plain = World::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    });

    let streams = Streams::new();
    let mut table = Vec::new();
    for (exchange, world) in [("X25519MLKEM768", &hybrid), ("X25519", &plain)] {
        for kind in [Kind::Full, Kind::Resumed] {
            for side in [Side::Server, Side::Client] {
                let name = format!("accept+connect/{exchange}/{side} {kind}");
                let mut pair = Pair::new(world, side, kind, &streams);
                table.push(measure(&mut criterion, name, || pair.round()));
            }
        }
    }
    for kind in [Kind::Full, Kind::Resumed] {
        for side in [Side::Server, Side::Client] {
            let name = format!("without tokio/X25519MLKEM768/{side} {kind}");
            let mut pair = Pair::new(&hybrid, side, kind, &Blocking);
            table.push(measure(&mut criterion, name, || pair.round()));
        }
    }
    criterion.final_summary();
    for row in table {
        print!("{row}");
    }
}

/// Which side is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Resumed,
}

/// What the timed side of one round took: with us, and with raw rustls.
type Round = (Duration, Duration);

/// Has criterion time both, and keeps the pairs.
fn measure(criterion: &mut Criterion, name: String, round: impl FnMut() -> Round) -> Row {
    let round = RefCell::new(round);
    let pairs = RefCell::new(Vec::new());
    let sum_of = |rounds: u64, pick: fn(Round) -> Duration| -> Duration {
        (0..rounds)
            .map(|_| {
                let pair = (round.borrow_mut())();
                pairs.borrow_mut().push(pair);
                pick(pair)
            })
            .sum()
    };
    let mut group = criterion.benchmark_group(&name);
    group.bench_function("ours", |bencher| {
        bencher.iter_custom(|rounds| sum_of(rounds, |(ours, _)| ours));
    });
    group.bench_function("raw rustls", |bencher| {
        bencher.iter_custom(|rounds| sum_of(rounds, |(_, raw)| raw));
    });
    group.finish();
    Row {
        name,
        pairs: pairs.into_inner(),
    }
}

struct Row {
    name: String,
    pairs: Vec<Round>,
}

impl fmt::Display for Row {
    /// Nothing for what was filtered out, or only tried once as a test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pairs.len() < 100 {
            return Ok(());
        }
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let median = |of: fn(Round) -> f64| {
            let mut values: Vec<f64> = self.pairs.iter().map(|pair| of(*pair)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        writeln!(
            f,
            "{:<46} ours {:>4.0} µs, raw rustls {:>4.0} µs, ratio {:.2} ({} pairs)",
            format!("{}:", self.name),
            micros(Duration::from_secs_f64(median(
                |(ours, _)| ours.as_secs_f64()
            ))),
            micros(Duration::from_secs_f64(
                median(|(_, raw)| raw.as_secs_f64())
            )),
            median(|(ours, raw)| ours.as_secs_f64() / raw.as_secs_f64()),
            self.pairs.len(),
        )
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
        })
    }
}

/// The same certificates and the same cryptography for everybody.
struct World {
    root: TestCa,
    server: Issued,
    client: Issued,
    provider: Arc<CryptoProvider>,
}

impl World {
    fn new(provider: CryptoProvider) -> Self {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing CA");
        Self {
            server: issuing.leaf().dns(SERVER_NAME).issue(),
            client: issuing.leaf().dns("client.example").issue(),
            provider: Arc::new(provider),
            root,
        }
    }

    fn acceptor(&self) -> Acceptor<DnsName> {
        Acceptor::builder()
            .credentials(self.server.credentials())
            .trust(self.root.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .crypto_provider(self.provider.clone())
            .build()
            .expect("an acceptor")
    }

    fn connector(&self) -> Connector<DnsName> {
        Connector::builder()
            .credentials(self.client.credentials())
            .trust(self.root.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .crypto_provider(self.provider.clone())
            .build()
            .expect("a connector")
    }

    /// A raw server. With the client timed and nothing to be resumed, it hands out no tickets: our
    /// connector would use them.
    fn raw_server(&self, side: Side, kind: Kind) -> Arc<ServerConfig> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots(), self.provider.clone())
                .build()
                .expect("a verifier");
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.server.chain().to_vec(), self.server.key_der())
            .expect("a certificate");
        if (side, kind) == (Side::Client, Kind::Full) {
            config.send_tls13_tickets = 0;
        }
        config.into()
    }

    /// A raw client, with sessions of its own.
    fn raw_client(&self, side: Side, kind: Kind) -> Arc<ClientConfig> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.roots(), self.provider.clone())
                .build()
                .expect("a verifier");
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(self.client.chain().to_vec(), self.client.key_der())
            .expect("a certificate");
        if (side, kind) == (Side::Server, Kind::Full) {
            config.resumption = Resumption::disabled();
        }
        config.into()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.certificate_der()).expect("a root");
        Arc::new(roots)
    }
}

/// A way to use both libraries.
trait Door {
    /// Makes a connection, and tells what each side took.
    ///
    /// # Panics
    /// If the handshake was of another kind: a number for that would be worse than none.
    fn handshake(&self, server: Server<'_>, client: Client<'_>, kind: Kind) -> Spent;
}

#[derive(Clone, Copy)]
enum Server<'a> {
    Ours(&'a Acceptor<DnsName>),
    Raw(&'a Arc<ServerConfig>),
}

#[derive(Clone, Copy)]
enum Client<'a> {
    Ours(&'a Connector<DnsName>),
    Raw(&'a Arc<ClientConfig>),
}

struct Spent {
    server: Duration,
    client: Duration,
}

/// Our side and a raw one, each with a raw other end of its own.
struct Pair<'a> {
    door: &'a dyn Door,
    ends: Ends,
    kind: Kind,
    rounds: u64,
}

enum Ends {
    Servers {
        ours: (Acceptor<DnsName>, Arc<ClientConfig>),
        raw: (Arc<ServerConfig>, Arc<ClientConfig>),
    },
    Clients {
        ours: (Arc<ServerConfig>, Connector<DnsName>),
        raw: (Arc<ServerConfig>, Arc<ClientConfig>),
    },
}

impl<'a> Pair<'a> {
    fn new(world: &World, side: Side, kind: Kind, door: &'a dyn Door) -> Self {
        let raw_server = || world.raw_server(side, kind);
        let raw_client = || world.raw_client(side, kind);
        let raw = (raw_server(), raw_client());
        let ends = match side {
            Side::Server => Ends::Servers {
                ours: (world.acceptor(), raw_client()),
                raw,
            },
            Side::Client => Ends::Clients {
                ours: (raw_server(), world.connector()),
                raw,
            },
        };
        let mut pair = Self {
            door,
            ends,
            kind: Kind::Full,
            rounds: 0,
        };
        // The first handshake is full, and brings the tickets for those after it.
        pair.round();
        pair.kind = kind;
        pair
    }

    /// One handshake of each, in turns first.
    fn round(&mut self) -> Round {
        self.rounds += 1;
        if self.rounds.is_multiple_of(2) {
            let ours = self.ours();
            (ours, self.raw())
        } else {
            let raw = self.raw();
            (self.ours(), raw)
        }
    }

    fn ours(&self) -> Duration {
        let handshake = |server, client| self.door.handshake(server, client, self.kind);
        match &self.ends {
            Ends::Servers { ours, .. } => {
                handshake(Server::Ours(&ours.0), Client::Raw(&ours.1)).server
            }
            Ends::Clients { ours, .. } => {
                handshake(Server::Raw(&ours.0), Client::Ours(&ours.1)).client
            }
        }
    }

    fn raw(&self) -> Duration {
        let handshake = |server, client| self.door.handshake(server, client, self.kind);
        match &self.ends {
            Ends::Servers { raw, .. } => handshake(Server::Raw(&raw.0), Client::Raw(&raw.1)).server,
            Ends::Clients { raw, .. } => handshake(Server::Raw(&raw.0), Client::Raw(&raw.1)).client,
        }
    }
}
