//! The life of a server as a sequence of operations, held against a model: a peer is admitted exactly when
//! the rules of that moment admit it, full or resumed; an open connection works exactly as long as they do;
//! and each attempt has one event.
//!
//! The first byte chooses the version of TLS and the kind of resumption. Then each operation has two bytes:
//! what, and with what.
#![no_main]

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use countersign::audit::{Action, Memory};
use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{CrlBuilder, FixedClock, Issued, TestCa};
use countersign::trust::{Crls, Revocation};
use countersign::{
    Acceptor, Connector, Decision, Peer, Resumption, TlsStream, TrustStore, Update, policy,
};
use libfuzzer_sys::fuzz_target;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

const TLS_1_2: u8 = 1;
const STATELESS: u8 = 1 << 1;
const DAY: u64 = 24 * 60 * 60;
/// More than one connection drains.
const DRAINED: Duration = Duration::from_secs(40);

fuzz_target!(|input: &[u8]| {
    let Some((&flags, operations)) = input.split_first() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut server = Server::new(flags);
        for pair in operations.chunks_exact(2).take(24) {
            server.does(pair[0], pair[1]).await;
            server.is_as_expected().await;
        }
        server.ends().await;
    });
});

struct Pki {
    servers: TestCa,
    server: Issued,
    cas: [TestCa; 2],
    clients: [Client; 3],
    start: u64,
}

struct Client {
    ca: usize,
    name: DnsName,
    issued: Issued,
    not_before: u64,
    not_after: u64,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let start = FixedClock::now().time().as_secs();
    let servers = ca("Servers", start);
    let server = servers
        .leaf()
        .dns("server.example")
        .validity(at(start - 3600 * DAY), at(start + 3600 * DAY))
        .issue();
    let cas = [ca("Clients A", start), ca("Clients B", start)];
    let client = |number: usize, ca: usize, days: u64| {
        let name = format!("client{number}.example");
        let (not_before, not_after) = (start - days * DAY, start + days * DAY);
        let issued = cas[ca]
            .leaf()
            .dns(&name)
            .serial(&[1, number as u8])
            .validity(at(not_before), at(not_after))
            .issue();
        Client {
            ca,
            name: name.parse().expect("a name"),
            issued,
            not_before,
            not_after,
        }
    };
    let clients = [client(0, 0, 300), client(1, 0, 3), client(2, 1, 30)];
    Pki {
        server,
        servers,
        clients,
        cas,
        start,
    }
});

fn ca(name: &str, start: u64) -> TestCa {
    TestCa::builder(name)
        .validity(at(start - 3600 * DAY), at(start + 3600 * DAY))
        .root()
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// What the model knows of the rules.
#[derive(Clone, Copy)]
struct Rules {
    /// By client.
    denied: u8,
    listed: u8,
    revoked: u8,
    /// By CA.
    trusted: u8,
}

impl Rules {
    /// Whether a peer that was admitted stays.
    fn keep(self, client: usize) -> bool {
        let has = |mask: u8, bit: usize| mask >> bit & 1 == 1;
        !has(self.denied | self.listed | self.revoked, client)
            && has(self.trusted, PKI.clients[client].ca)
    }

    fn admit(self, client: usize, now: u64) -> bool {
        let Client {
            not_before,
            not_after,
            ..
        } = PKI.clients[client];
        self.keep(client) && (not_before..=not_after).contains(&now)
    }
}

struct Server {
    acceptor: Acceptor<DnsName>,
    connectors: Vec<Connector<DnsName>>,
    plain: Vec<Arc<ClientConfig>>,
    list: DenyList<DnsName>,
    clock: FixedClock,
    trail: Memory,
    rules: Rules,
    attempts: usize,
    admitted: usize,
    updates: u64,
    open: Vec<Open>,
}

struct Open {
    client: usize,
    server: TlsStream<DuplexStream, DnsName>,
    far: Far,
    /// Whether the model still keeps it.
    is_kept: bool,
}

enum Far {
    Ours(Box<TlsStream<DuplexStream, DnsName>>),
    Plain(Box<tokio_rustls::client::TlsStream<DuplexStream>>),
}

impl Far {
    async fn echo(&mut self, server: &mut TlsStream<DuplexStream, DnsName>) -> io::Result<()> {
        server.write_all(b"s").await?;
        server.flush().await?;
        match self {
            Self::Ours(stream) => {
                assert_eq!(stream.read_u8().await?, b's');
                stream.write_all(b"c").await?;
                stream.flush().await?;
            }
            Self::Plain(stream) => {
                assert_eq!(stream.read_u8().await?, b's');
                stream.write_all(b"c").await?;
                stream.flush().await?;
            }
        }
        assert_eq!(server.read_u8().await?, b'c');
        Ok(())
    }
}

impl Server {
    fn new(flags: u8) -> Self {
        let has = |flag| flags & flag != 0;
        let clock = FixedClock::at(at(PKI.start));
        let (list, trail) = (DenyList::new(), Memory::new());
        let builder = Acceptor::builder()
            .credentials(PKI.server.credentials())
            .trust(trust(0b11))
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .deny_list(&list)
            .clock(clock.clone())
            .audit(trail.clone())
            .audit_refusals_per_second(None)
            .allow_tls12();
        let resumption = if has(STATELESS) {
            Resumption::Stateless
        } else {
            Resumption::Stateful
        };
        let acceptor = builder.resumption(resumption).build().expect("an acceptor");
        let connector = |client: &Client| {
            Connector::builder()
                .credentials(client.issued.credentials())
                .trust(PKI.servers.trust())
                .identify(DnsName::extractor())
                .authorize(policy::allow_any())
                .clock(clock.clone())
                .build()
                .expect("a connector")
        };
        let version = if has(TLS_1_2) { &TLS12 } else { &TLS13 };
        let mut roots = RootCertStore::empty();
        roots.add(PKI.servers.certificate_der()).expect("a root");
        let plain = |client: &Client| {
            let config = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_protocol_versions(&[version])
                .expect("ring has both")
                .with_root_certificates(roots.clone())
                .with_client_auth_cert(client.issued.chain().to_vec(), client.issued.key_der());
            Arc::new(config.expect("a key"))
        };
        Self {
            acceptor,
            connectors: PKI.clients.iter().map(connector).collect(),
            plain: PKI.clients.iter().map(plain).collect(),
            list,
            clock,
            trail,
            rules: Rules {
                denied: 0,
                listed: 0,
                revoked: 0,
                trusted: 0b11,
            },
            attempts: 0,
            admitted: 0,
            updates: 1,
            open: Vec::new(),
        }
    }

    async fn does(&mut self, what: u8, with: u8) {
        let client = usize::from(with) % PKI.clients.len();
        match what % 10 {
            0 | 1 => self.opens(client, what % 10 == 1).await,
            2 => self.changes_policy(with & 0b111),
            3 => self.changes_trust(with),
            4 => {
                let entry = DenyEntry::Identity(PKI.clients[client].name.clone());
                if with & 0x80 == 0 {
                    self.list.insert(entry);
                    self.rules.listed |= 1 << client;
                } else {
                    self.list.remove(&entry);
                    self.rules.listed &= !(1 << client);
                }
            }
            5 => {
                let days = u64::from(with & 0x3f) * DAY;
                let now = self.clock.time().as_secs();
                let now = if with & 0x80 == 0 {
                    now + days
                } else {
                    now - days
                };
                self.clock
                    .set(at(now.clamp(PKI.start - 400 * DAY, PKI.start + 400 * DAY)));
                sleep(DRAINED).await;
                let now = self.clock.time().as_secs();
                for open in &mut self.open {
                    open.is_kept &= now <= PKI.clients[open.client].not_after;
                }
            }
            6 => {
                if let Some(open) = self.one(with)
                    && let Far::Plain(stream) = &mut open.far
                    && open.is_kept
                {
                    // TLS 1.2 has no KeyUpdate.
                    let _ = stream.get_mut().1.refresh_traffic_keys();
                    open.far.echo(&mut open.server).await.expect("it is open");
                }
            }
            7 => {
                let place = usize::from(with);
                if !self.open.is_empty() {
                    let place = place % self.open.len();
                    self.close(place).await;
                }
            }
            8 => {
                let name = &PKI.clients[client].name;
                let control = self.acceptor.control();
                let closed = control.close_where(|peer| peer.identity() == name);
                let kept = self.open.iter_mut().filter(|open| open.is_kept);
                let mut expected = 0;
                for open in kept.filter(|open| open.client == client) {
                    open.is_kept = false;
                    expected += 1;
                }
                assert_eq!(closed, expected);
            }
            _ => {
                if let Some(open) = self.one(with)
                    && open.is_kept
                {
                    open.far.echo(&mut open.server).await.expect("it is open");
                }
            }
        }
        let rules = self.rules;
        for open in &mut self.open {
            open.is_kept &= rules.keep(open.client);
        }
    }

    fn one(&mut self, with: u8) -> Option<&mut Open> {
        let places = self.open.len();
        self.open.get_mut(usize::from(with).checked_rem(places)?)
    }

    async fn opens(&mut self, client: usize, is_plain: bool) {
        let (near, far) = duplex(64 * 1024);
        let accepting = self.acceptor.accept(near);
        let connecting = async {
            if is_plain {
                let connector = tokio_rustls::TlsConnector::from(self.plain[client].clone());
                let name = "server.example".try_into().expect("a name");
                let stream = connector.connect(name, far).await.ok()?;
                Some(Far::Plain(Box::new(stream)))
            } else {
                let connecting = self.connectors[client].connect("server.example", far);
                Some(Far::Ours(Box::new(connecting.await.ok()?)))
            }
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        self.attempts += 1;
        let now = self.clock.time().as_secs();
        let expected = self.rules.admit(client, now);
        assert_eq!(
            accepted.is_ok(),
            expected,
            "client {client} at {now}: {:?}",
            accepted.err()
        );
        let Ok(server) = accepted else { return };
        self.admitted += 1;
        let far = connected.expect("the server has admitted it");
        assert_eq!(server.peer().identity(), &PKI.clients[client].name);
        self.open.push(Open {
            client,
            server,
            far,
            is_kept: true,
        });
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.far.echo(&mut open.server).await.expect("it is open");
    }

    fn changes_policy(&mut self, denied: u8) {
        self.rules.denied = denied;
        let control = self.acceptor.control();
        control.set_policy(move |peer: &Peer<DnsName>| {
            let mut clients = PKI.clients.iter();
            let client = clients.position(|client| client.name == *peer.identity());
            match client {
                Some(client) if denied >> client & 1 == 0 => Decision::allow("it is not denied"),
                _ => Decision::deny("it is denied"),
            }
        });
    }

    fn changes_trust(&mut self, with: u8) {
        let trusted = with & 0b11;
        let mut update = Update::new();
        let revoked = with >> 2 & 0b11;
        if trusted != 0 {
            update = update.trust(trust(trusted));
        }
        update = update.revocation(revocation(revoked, self.updates));
        let updated = self.acceptor.control().update(update);
        updated.expect("each list is newer than the one before");
        self.updates += 1;
        self.rules.revoked = revoked;
        if trusted != 0 {
            self.rules.trusted = trusted;
        }
    }

    async fn close(&mut self, place: usize) {
        let mut open = self.open.remove(place);
        match &mut open.far {
            Far::Ours(stream) => drop(stream.shutdown().await),
            Far::Plain(stream) => drop(stream.shutdown().await),
        }
        let read = timeout(DRAINED, open.server.read_u8())
            .await
            .expect("closed");
        let error = read.expect_err("nothing was sent");
        let kind = if open.is_kept {
            io::ErrorKind::UnexpectedEof
        } else {
            io::ErrorKind::ConnectionAborted
        };
        assert_eq!(error.kind(), kind, "{error}");
    }

    async fn is_as_expected(&mut self) {
        let attempts = self.trail.events();
        let attempts = attempts.iter().filter(|event| event.action.ends_attempt());
        assert_eq!(attempts.count(), self.attempts);
        let kept = self.open.iter().filter(|open| open.is_kept).count();
        assert_eq!(self.acceptor.control().connections().len(), kept);
        for open in &mut self.open {
            let worked = timeout(DRAINED, open.far.echo(&mut open.server)).await;
            let worked = worked.is_ok_and(|result| result.is_ok());
            assert_eq!(worked, open.is_kept, "client {}", open.client);
        }
        // What was cut is dropped by the application.
        self.open.retain(|open| open.is_kept);
    }

    async fn ends(mut self) {
        while !self.open.is_empty() {
            self.close(0).await;
        }
        sleep(DRAINED).await;
        let events = self.trail.events();
        let count = |action| events.iter().filter(|event| event.action == action).count();
        assert_eq!(count(Action::Admitted), self.admitted);
        assert_eq!(count(Action::Closed), self.admitted);
        assert!(self.acceptor.control().connections().is_empty());
    }
}

fn trust(mask: u8) -> TrustStore {
    let cas = PKI.cas.iter().enumerate();
    let trusted = cas.filter(|(place, _)| mask >> place & 1 == 1);
    let mut store = TrustStore::empty();
    for (_, ca) in trusted {
        store = store.and(ca.trust());
    }
    store
}

/// CRLs of both CAs, of which the first revokes these clients.
fn revocation(clients: u8, number: u64) -> Revocation {
    let good = |crl: CrlBuilder| {
        crl.this_update(at(PKI.start - 3000 * DAY))
            .next_update(at(PKI.start + 3000 * DAY))
            .number(number)
            .build()
    };
    let revoked = (0..2).filter(|client| clients >> client & 1 == 1);
    let first = revoked.fold(PKI.cas[0].crl(), |crl, client| crl.revoke(&[1, client]));
    let lists = [good(first), good(PKI.cas[1].crl())];
    let read = lists.iter().map(|der| Crl::from_der(der).expect("a CRL"));
    Revocation::new(Crls::new(read).expect("two"))
}
