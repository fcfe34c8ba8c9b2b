//! Clients that connect, resume, hold, give up, rotate; and peers that are none.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::audit::{Action, AuditEvent};
use countersign::identity::DnsName;
use countersign::integration::quinn;
use countersign::testing::Issued;
use countersign::{Connector, Update, policy};
use support::Version;
use support::raw::RawClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::model::{Authority, Model, Outcome, Shown};
use crate::random::{Deck, Random};
use crate::session::{Session, tcp};
use crate::world::{DAY, HANDSHAKE, NAME, QUIC, World};

/// How long an outcome is waited for: a peer that stalls has one when the time for handshakes is over.
const OUTCOME: Duration = Duration::from_secs(30);

const PROTOCOLS: [&str; 5] = ["http/1.1", "h2", "grpc", "quic", "raw"];

/// What a client does next.
#[derive(Clone, Copy)]
enum Step {
    Session(&'static str),
    Abandon,
    Rotate,
}

const STEPS: [(usize, Step); 7] = [
    (2, Step::Session(PROTOCOLS[0])),
    (2, Step::Session(PROTOCOLS[1])),
    (2, Step::Session(PROTOCOLS[2])),
    (2, Step::Session(PROTOCOLS[3])),
    (2, Step::Session(PROTOCOLS[4])),
    (1, Step::Abandon),
    (1, Step::Rotate),
];

/// What a peer that is no client does next.
#[derive(Clone, Copy)]
enum Prank {
    Garbage,
    Datagram,
    Anonymous,
    Stranger,
    StallBriefly,
    /// Until the server's time is over.
    Stall,
}

const PRANKS: [(usize, Prank); 6] = [
    (3, Prank::Garbage),
    (3, Prank::Datagram),
    (3, Prank::Anonymous),
    (3, Prank::Stranger),
    (2, Prank::StallBriefly),
    (1, Prank::Stall),
];

/// A client with its connectors.
pub(crate) struct Client {
    world: Arc<World>,
    random: Random,
    name: String,
    authority: Authority,
    /// For how many seconds its certificates are valid, before and after now.
    valid: u64,
    shown: Arc<Shown>,
    http1: Connector<DnsName>,
    http2: Connector<DnsName>,
    quic: quinn::Client<DnsName>,
    raw: RawClient,
    /// The outcomes that the connectors have recorded.
    recorded: Arc<AtomicU64>,
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, seed: u64, number: usize) -> Self {
        let authority = [Authority::A, Authority::B][number % 2];
        // Some have certificates that a jump of the clock finds expired, or not valid yet.
        let valid = if number % 4 < 2 { 300 * DAY } else { DAY };
        let name = name(number);
        let (issued, shown) = world.authorities.client(&name, authority, valid);
        let recorded = Arc::new(AtomicU64::new(0));
        let connector = |alpn: &str| {
            let recorded = Arc::clone(&recorded);
            Connector::builder()
                .credentials(issued.credentials())
                .trust(world.authorities.servers.trust())
                .identify(DnsName::extractor())
                .authorize(policy::exact([NAME.parse().unwrap()]))
                .audit_refusals_per_second(None)
                .audit(move |event: &AuditEvent| {
                    let ends = u64::from(event.action.ends_attempt());
                    recorded.fetch_add(ends, Ordering::SeqCst);
                })
                .alpn([alpn])
                .build()
                .unwrap()
        };
        let http2 = connector("h2");
        // Another address than those of TCP, so that a port is that of one attempt.
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
        let quic = quinn::Client::builder(http2.clone()).alpn([QUIC]);
        Self {
            random: Random::new(seed, number as u64 + 100),
            http1: connector("http/1.1"),
            http2,
            quic: quic.bind(address).unwrap(),
            raw: raw(world, &issued),
            world: Arc::clone(world),
            name,
            authority,
            valid,
            shown,
            recorded,
        }
    }

    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) {
        let mut steps = Deck::new(&STEPS);
        while !stop.load(Ordering::SeqCst) {
            match steps.draw(&mut self.random) {
                Step::Session(protocol) => {
                    let hold = match self.random.percent(50) {
                        true => self.random.millis(2000),
                        false => Duration::ZERO,
                    };
                    self.session(protocol, hold).await;
                }
                Step::Abandon => self.abandon().await,
                Step::Rotate => self.rotate(),
            }
            sleep(self.random.millis(100)).await;
        }
        self.check_figures().await;
    }

    /// With rules that admit it, it is served over each protocol.
    pub(crate) async fn must_be_served(&mut self) {
        for protocol in PROTOCOLS {
            if !self.session(protocol, Duration::ZERO).await {
                let text = format!("{} is not served over {protocol} in the end", self.name);
                self.world.model.violation(text);
            }
        }
    }

    /// Each attempt of its connectors has one outcome.
    async fn check_figures(&self) {
        let attempts = || {
            let stats = [self.http1.control().stats(), self.http2.control().stats()];
            stats.iter().map(|stats| stats.attempts()).sum::<u64>()
        };
        let (attempts, recorded) = (attempts(), self.recorded.load(Ordering::SeqCst));
        if attempts != recorded {
            let text = format!(
                "{} has {attempts} attempts and {recorded} outcomes",
                self.name
            );
            self.world.model.violation(text);
        }
    }

    /// New credentials, for the next connections.
    fn rotate(&mut self) {
        let authorities = &self.world.authorities;
        let (issued, shown) = authorities.client(&self.name, self.authority, self.valid);
        for connector in [&self.http1, &self.http2] {
            // What does not fit changes nothing.
            let wrong = Update::new().trust(countersign::TrustStore::empty());
            assert!(connector.control().update(wrong).is_err());
            let update = Update::new().credentials(issued.credentials());
            connector.control().update(update).unwrap();
        }
        self.raw = raw(&self.world, &issued);
        self.shown = shown;
        self.world.model.count("rotations of clients");
    }

    /// Begins a handshake, and leaves.
    async fn abandon(&mut self) {
        let model = &self.world.model;
        let Ok((tcp, from)) = tcp(model, self.world.http, "abandon", Some(&self.shown)).await
        else {
            return model.violation("TCP does not connect".into());
        };
        let patience = Duration::from_micros(self.random.below(20_000) as u64);
        let _given_up = timeout(patience, self.http1.connect(NAME, tcp)).await;
        model.count("abandoned by clients");
        await_outcome(model, from).await;
        model.settle(from);
    }

    /// Connects, asks, and asks again for so long. Whether it was served.
    async fn session(&mut self, protocol: &'static str, hold: Duration) -> bool {
        let (world, shown) = (Arc::clone(&self.world), Arc::clone(&self.shown));
        let model = &world.model;
        let began = Instant::now();
        let from = Arc::new(Mutex::new(Vec::new()));
        let connecting = self.connect(protocol, &from);
        let mut session = match timeout(Duration::from_secs(20), connecting).await {
            Ok(connected) => connected,
            Err(_) => Err("HANGS: no connection within 20 s".into()),
        };
        let asked = match &mut session {
            Ok(session) => session.ask().await.map_err(|error| format!("{error:?}")),
            Err(error) => Err(error.clone()),
        };
        let to = Instant::now();
        let addresses = from.lock().unwrap().clone();
        let mut outcome = None;
        for address in &addresses {
            outcome = await_outcome(model, *address).await;
        }
        self.check(protocol, &asked, outcome, (began, to));
        let is_served = asked.is_ok();
        if let (Ok(session), Some(outcome), true) = (&mut session, outcome, is_served) {
            self.hold(protocol, session, outcome, &from, (to, hold))
                .await;
        }
        drop(session);
        let addresses = std::mem::take(&mut *from.lock().unwrap());
        for address in addresses {
            await_outcome(model, address).await;
            model.settle(address);
        }
        model.count(if is_served { "served" } else { "not served" });
        drop(shown);
        is_served
    }

    async fn connect(
        &self,
        protocol: &'static str,
        from: &Arc<Mutex<Vec<SocketAddr>>>,
    ) -> Result<Session, String> {
        let (world, shown) = (&self.world, &self.shown);
        let failed = |error: &dyn std::fmt::Debug| format!("{error:?}");
        match protocol {
            "grpc" => Ok(Session::grpc(
                &world.model,
                world.grpc,
                &self.http2,
                shown,
                from,
            )),
            "quic" => {
                let address = self.quic.local_addr().unwrap();
                world
                    .model
                    .attempt(Instant::now(), address, "quic", Some(shown));
                from.lock().unwrap().push(address);
                let connected = self.quic.connect(world.quic, NAME).await;
                connected.map(Session::Quic).map_err(|error| failed(&error))
            }
            _ => {
                let connected = tcp(&world.model, world.http, protocol, Some(shown)).await;
                let (tcp, address) = connected.map_err(|error| failed(&error))?;
                from.lock().unwrap().push(address);
                let session = if protocol == "raw" {
                    Session::raw(tcp, &Arc::new(self.raw.config.clone())).await
                } else {
                    let is_http1 = protocol == "http/1.1";
                    let connector = if is_http1 { &self.http1 } else { &self.http2 };
                    match connector.connect(NAME, tcp).await {
                        Ok(tls) if is_http1 => Session::http1(tls).await,
                        Ok(tls) => Session::http2(tls).await,
                        Err(error) => Err(error.into()),
                    }
                };
                session.map_err(|error| failed(&error))
            }
        }
    }

    /// What the client has seen fits to what the server has recorded.
    fn check(
        &self,
        protocol: &str,
        asked: &Result<String, String>,
        outcome: Option<Outcome>,
        (began, to): (Instant, Instant),
    ) {
        let model = &self.world.model;
        let text = || format!("{} over {protocol}: {asked:?}, {outcome:?}", self.name);
        let verdict = model.verdict(&self.shown, began, to);
        let is_admitted = outcome.is_some_and(|outcome| outcome.action == Action::Admitted);
        match asked {
            Ok(name) if *name != self.name => model.violation(format!("wrong name: {}", text())),
            Ok(_) if !is_admitted || verdict.must_be_refused => {
                model.violation(format!("served, but not admitted: {}", text()));
            }
            Ok(_) => {}
            Err(error) => {
                let closing = outcome.and_then(|outcome| outcome.connection);
                let is_closing = closing.is_some_and(|it| model.is_closing(it));
                if error.contains("HANGS") || (verdict.must_be_admitted && !is_closing) {
                    model.violation(format!("not served, but to be admitted: {}", text()));
                }
                let is_slow = to - began > HANDSHAKE / 2;
                let is_of_handshake = outcome.is_some_and(|outcome| {
                    matches!(
                        outcome.action,
                        Action::HandshakeFailed | Action::TimedOut | Action::Abandoned
                    )
                });
                if is_of_handshake && !is_slow {
                    model.violation(format!("a good handshake failed: {}", text()));
                }
                if protocol == "raw" && outcome.is_some_and(|it| it.reason.is_some()) {
                    let seen = error.contains("AlertReceived");
                    model.count(if seen {
                        "alerts seen"
                    } else {
                        "alerts not seen"
                    });
                    if !seen {
                        model.violation(format!("no alert was seen: {}", text()));
                    }
                }
            }
        }
    }

    /// Asks again and again over the same connection.
    async fn hold(
        &mut self,
        protocol: &str,
        session: &mut Session,
        outcome: Outcome,
        from: &Mutex<Vec<SocketAddr>>,
        (since, hold): (Instant, Duration),
    ) {
        let (model, mut last) = (Arc::clone(&self.world.model), since);
        while since.elapsed() < hold {
            sleep(self.random.millis(150)).await;
            let began = Instant::now();
            let asked = session.ask().await;
            let now = Instant::now();
            // A channel may have connected again.
            let is_same = from.lock().unwrap().len() == 1;
            match asked {
                Ok(_) if model.verdict(&self.shown, began, now).must_be_refused => {
                    let text = format!("{} over {protocol}: served when refused", self.name);
                    return model.violation(text);
                }
                Ok(_) => last = now,
                Err(error) => {
                    let is_closing = outcome.connection.is_some_and(|it| model.is_closing(it));
                    let verdict = model.verdict(&self.shown, last, now);
                    if is_same && !is_closing && verdict.must_be_admitted {
                        let text = format!("{} over {protocol}: lost: {error:?}", self.name);
                        model.violation(text);
                    }
                    return;
                }
            }
        }
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("client-{number}.example")
}

fn raw(world: &World, issued: &Issued) -> RawClient {
    let raw = RawClient::new(&world.authorities.servers, Version::Tls13, Some(issued));
    raw.sessions.collect_and_spend();
    raw
}

/// Waits for the outcome; the model has it from the sink.
async fn await_outcome(model: &Model, from: SocketAddr) -> Option<Outcome> {
    let start = Instant::now();
    loop {
        if let Some(outcome) = model.try_outcome(from) {
            return Some(outcome);
        }
        if start.elapsed() > OUTCOME {
            model.violation(format!("{from} has no outcome after {OUTCOME:?}"));
            return None;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Peers that are no clients: garbage, silence, no certificate, a certificate of a stranger.
pub(crate) async fn strangers(world: Arc<World>, mut random: Random, stop: Arc<AtomicBool>) {
    let authorities = &world.authorities;
    let (issued, shown) = authorities.client("client-0.example", Authority::Stranger, 300 * DAY);
    let stranger = raw(&world, &issued);
    let anonymous = RawClient::new(&authorities.servers, Version::Tls13, None);
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut pranks = Deck::new(&PRANKS);
    while !stop.load(Ordering::SeqCst) {
        let to = [world.http, world.grpc][random.below(2)];
        match pranks.draw(&mut random) {
            Prank::Garbage => garbage(&world.model, to, &mut random).await,
            Prank::Datagram => {
                let _ = udp.send_to(&random.bytes(1400), world.quic).await;
                world.model.count("datagrams of garbage");
            }
            Prank::Anonymous => refused(&world.model, to, "anonymous", &anonymous, None).await,
            Prank::Stranger => {
                refused(&world.model, to, "stranger", &stranger, Some(&shown)).await;
            }
            Prank::StallBriefly => {
                let time = random.millis(1500);
                stall(&world.model, to, &anonymous, &mut random, Some(time)).await;
            }
            Prank::Stall => stall(&world.model, to, &anonymous, &mut random, None).await,
        }
        sleep(random.millis(200)).await;
    }
}

async fn garbage(model: &Model, to: SocketAddr, random: &mut Random) {
    let Ok((mut tcp, from)) = tcp(model, to, "garbage", None).await else {
        return model.violation("TCP does not connect".into());
    };
    let mut bytes = random.bytes(4096);
    if random.percent(50) {
        // The head of a record, so that the rest is read.
        bytes.splice(0..0, [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
    }
    let _ = tcp.write_all(&bytes).await;
    let _ = tcp.shutdown().await;
    await_outcome(model, from).await;
    model.settle(from);
}

/// Sends a part of a ClientHello, and leaves after this time, or when the server's time is over.
async fn stall(
    model: &Model,
    to: SocketAddr,
    client: &RawClient,
    random: &mut Random,
    time: Option<Duration>,
) {
    let Ok((mut tcp, from)) = tcp(model, to, "stall", None).await else {
        return model.violation("TCP does not connect".into());
    };
    let hello = support::raw::pending(&mut client.start());
    let part = random.below(hello.len());
    let _ = tcp.write_all(&hello[..part]).await;
    match time {
        Some(time) => sleep(time).await,
        None => {
            let mut rest = Vec::new();
            let _ = timeout(OUTCOME, tcp.read_to_end(&mut rest)).await;
        }
    }
    drop(tcp);
    await_outcome(model, from).await;
    model.settle(from);
}

async fn refused(
    model: &Model,
    to: SocketAddr,
    what: &'static str,
    client: &RawClient,
    shown: Option<&Arc<Shown>>,
) {
    let Ok((tcp, from)) = tcp(model, to, what, shown).await else {
        return model.violation("TCP does not connect".into());
    };
    let asked = async {
        let mut session = Session::raw(tcp, &Arc::new(client.config.clone())).await?;
        session.ask().await
    };
    if asked.await.is_ok() {
        model.violation(format!("{what} was served"));
    }
    await_outcome(model, from).await;
    model.settle(from);
}
