//! The operator: one change after the other, good and bad ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::policy::DenyEntry;
use countersign::{Decision, Peer, Update};
use rustls_pki_types::UnixTime;
use tokio::time::sleep;

use crate::clients::name;
use crate::model::{Authority, Rules, Shown, SinkMode};
use crate::random::{Deck, Random};
use crate::world::{DAY, MAX_AGE, PATIENCE, World, crls, write_credentials};

/// How often the stream repeats its value.
const REPEAT: Duration = Duration::from_millis(200);

/// Clients connect within this time.
const NOTICED: Duration = Duration::from_millis(150);

/// A kind of change.
#[derive(Clone, Copy)]
enum Kind {
    Policy {
        is_async: bool,
    },
    Deny,
    /// Takes a denial back, or denies if there is none.
    Undeny,
    Revoke,
    Trust,
    BadTrust,
    Credentials {
        is_good: bool,
    },
    BadUpdates,
    /// By so many days; `None` for a clock without a time.
    Clock(Option<i64>),
    Sink(SinkMode),
    Outage,
    Close,
}

/// All of them take about ten seconds.
const KINDS: [(usize, Kind); 18] = [
    (4, Kind::Policy { is_async: false }),
    (2, Kind::Policy { is_async: true }),
    (2, Kind::Deny),
    (3, Kind::Undeny),
    (3, Kind::Revoke),
    (3, Kind::Trust),
    (2, Kind::BadTrust),
    (2, Kind::Credentials { is_good: true }),
    (2, Kind::Credentials { is_good: false }),
    (1, Kind::BadUpdates),
    (1, Kind::Clock(None)),
    (1, Kind::Clock(Some(2))),
    (1, Kind::Clock(Some(60))),
    (1, Kind::Clock(Some(-2))),
    (1, Kind::Sink(SinkMode::Fails)),
    (1, Kind::Sink(SinkMode::Panics)),
    (1, Kind::Outage),
    (3, Kind::Close),
];

pub(crate) struct Operator {
    world: Arc<World>,
    random: Random,
    kinds: Deck<Kind>,
    clients: usize,
    /// Of the CRLs in force.
    number: u64,
    trust: Arc<Repeated>,
}

/// The value that the stream of trust repeats.
struct Repeated {
    tag: AtomicU8,
    is_silent: AtomicBool,
    stop: AtomicBool,
}

impl Operator {
    pub(crate) fn new(world: &Arc<World>, seed: u64, clients: usize) -> Self {
        let trust = Arc::new(Repeated {
            tag: AtomicU8::new(0),
            is_silent: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        tokio::spawn(repeat(Arc::clone(world), Arc::clone(&trust)));
        Self {
            world: Arc::clone(world),
            random: Random::new(seed, 1),
            kinds: Deck::new(&KINDS),
            clients,
            number: 1,
            trust,
        }
    }

    /// Changes until it is stopped; then everything is as at the beginning.
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::SeqCst) {
            self.change().await;
            sleep(self.random.millis(120)).await;
        }
        self.clock(Some(0)).await;
        self.set_sink(SinkMode::Records);
        self.set_trust(0).await;
        self.set_crls(&[]);
        let names = self.names(100);
        self.allow(names, false);
        for name in self.world.model.newest().denied.clone() {
            self.undeny(&name);
        }
        self
    }

    pub(crate) fn stop(&self) {
        self.trust.stop.store(true, Ordering::SeqCst);
    }

    async fn change(&mut self) {
        match self.kinds.draw(&mut self.random) {
            Kind::Policy { is_async } => {
                let names = self.names(85);
                self.allow(names, is_async);
            }
            Kind::Deny => self.deny(),
            Kind::Undeny => match self.world.model.newest().denied.first() {
                Some(name) => self.undeny(name),
                None => self.deny(),
            },
            Kind::Revoke => self.revoke(),
            Kind::Trust => {
                // Mostly both authorities are trusted, so that there are open connections to close.
                let is_both = self.trust.tag.load(Ordering::SeqCst) == 0;
                let tag = [1, 2][self.random.below(2)];
                self.set_trust(if is_both { tag } else { 0 }).await;
                if self.random.percent(60) {
                    self.set_trust(0).await;
                }
            }
            Kind::BadTrust => self.bad_trust().await,
            Kind::Credentials { is_good } => self.credentials(is_good).await,
            Kind::BadUpdates => self.bad_updates(),
            Kind::Clock(days) => {
                self.clock(days.map(|days| days * DAY as i64)).await;
                if self.random.percent(80) {
                    sleep(NOTICED + self.random.millis(200)).await;
                    self.clock(Some(0)).await;
                }
            }
            Kind::Sink(mode) => {
                self.set_sink(mode);
                sleep(NOTICED + self.random.millis(200)).await;
                self.set_sink(SinkMode::Records);
            }
            Kind::Outage => self.outage().await,
            Kind::Close => {
                let name = self.connected();
                self.world.model.note(format!("closes all of {name}"));
                let of_it = |peer: &Peer<DnsName>| peer.identity().to_string() == name;
                self.world.acceptor.control().close_where(of_it);
            }
        }
    }

    /// A client that is connected, if one is.
    fn connected(&mut self) -> String {
        let open = self.world.acceptor.control().connections();
        match open.get(self.random.below(open.len())) {
            Some(open) => open.peer().identity().to_string(),
            None => name(self.random.below(self.clients)),
        }
    }

    /// So many of a hundred clients, by chance.
    fn names(&mut self, percent: usize) -> Vec<String> {
        let all = (0..self.clients).map(name);
        all.filter(|_| self.random.percent(percent)).collect()
    }

    fn allow(&self, names: Vec<String>, is_async: bool) {
        let allowed: std::collections::BTreeSet<_> = names.into_iter().collect();
        self.world
            .model
            .begin(&format!("policy {allowed:?}, async: {is_async}"), |rules| {
                rules.allowed.clone_from(&allowed);
                rules.is_async = is_async;
            });
        let decide =
            move |peer: &Peer<DnsName>| match allowed.contains(&peer.identity().to_string()) {
                true => Decision::allow("chaos"),
                false => Decision::deny("by chance"),
            };
        let control = self.world.acceptor.control();
        if is_async {
            let decide = Arc::new(decide);
            let decide = move |peer: Peer<DnsName>| {
                let decide = Arc::clone(&decide);
                async move {
                    tokio::task::yield_now().await;
                    sleep(Duration::from_millis(2)).await;
                    decide(&peer)
                }
            };
            control.set_async_policy(decide, PATIENCE);
        } else {
            control.set_policy(decide);
        }
        self.committed(if is_async { "async policy" } else { "policy" });
    }

    fn deny(&mut self) {
        let name = self.connected();
        self.world.model.begin(&format!("deny {name}"), |rules| {
            rules.denied.insert(name.clone());
        });
        self.world.denied.insert(entry(&name));
        self.committed("deny");
    }

    fn undeny(&self, name: &str) {
        self.world
            .model
            .begin(&format!("no longer deny {name}"), |rules| {
                rules.denied.remove(name);
            });
        assert!(self.world.denied.remove(&entry(name)));
        self.committed("no longer deny");
    }

    /// Revokes certificates of open connections.
    fn revoke(&mut self) {
        let open = self.world.acceptor.control().connections();
        let chosen = self.random.below(open.len());
        let mut revoked = Vec::new();
        for (number, connection) in open.iter().enumerate() {
            if number == chosen || self.random.percent(15) {
                revoked.push(connection.peer().certificate().serial().as_bytes().to_vec());
            }
        }
        self.set_crls(&revoked);
    }

    fn set_crls(&mut self, revoked: &[Vec<u8>]) {
        let number = self.number + 1;
        let update = crls(&self.world.authorities, number, revoked);
        self.world
            .model
            .begin(&format!("CRL {number} with {}", revoked.len()), |rules| {
                rules.revoked = revoked.iter().cloned().collect();
            });
        let control = self.world.acceptor.control();
        match control.update(Update::new().revocation(update)) {
            Ok(_) => {
                self.number = number;
                self.committed("CRLs");
            }
            Err(error) => {
                self.world.model.roll_back();
                self.refused_by_clock(&format!("{error:?}"));
            }
        }
    }

    async fn set_trust(&mut self, tag: u8) {
        if self.trust.tag.load(Ordering::SeqCst) == tag {
            return;
        }
        self.right_clock().await;
        self.world.model.begin(&format!("trust {tag}"), |rules| {
            rules.trusted = match tag {
                0 => [Authority::A, Authority::B].into(),
                1 => [Authority::A].into(),
                _ => [Authority::B].into(),
            };
        });
        let applied = self.world.reload.status().applied;
        self.trust.tag.store(tag, Ordering::SeqCst);
        self.world.trust.send(Ok(tag)).unwrap();
        self.until("the trust is applied", || {
            self.world.reload.status().applied > applied
        })
        .await;
        self.committed("trust");
    }

    /// Values of the stream that cannot be used, and errors of it, change nothing.
    async fn bad_trust(&mut self) {
        self.right_clock().await;
        let refused = self.world.reload.status().refused;
        let item =
            [Ok(3), Ok(7), Err("the control plane burns".into())][self.random.below(3)].clone();
        self.world.model.note(format!("bad trust {item:?}"));
        // Repeated good values would hide it.
        self.trust.is_silent.store(true, Ordering::SeqCst);
        let is_item = item.is_ok();
        self.world.trust.send(item).unwrap();
        if is_item {
            let status = || self.world.reload.status().refused > refused;
            self.until("the trust is refused", status).await;
        }
        let tag = self.trust.tag.load(Ordering::SeqCst);
        self.world.trust.send(Ok(tag)).unwrap();
        self.trust.is_silent.store(false, Ordering::SeqCst);
        // A set is applied as a whole, so nothing else is while a part of it is bad.
        let has_recovered = || self.world.reload.status().last_error.is_none();
        self.until("the trust is good again", has_recovered).await;
        self.world.model.count("bad trust");
    }

    /// The stream is silent for too long: no peer is admitted.
    async fn outage(&mut self) {
        self.right_clock().await;
        self.trust.is_silent.store(true, Ordering::SeqCst);
        self.world
            .model
            .begin("outage", |rules| rules.suspended = true);
        let is_suspended = || self.world.reload.status().suspended.is_some();
        self.until("suspended", is_suspended).await;
        self.committed("outage");
        sleep(Duration::from_millis(300)).await;
        self.world
            .model
            .begin("outage is over", |rules| rules.suspended = false);
        self.trust.is_silent.store(false, Ordering::SeqCst);
        self.until("no longer suspended", || !is_suspended()).await;
        self.committed("outage is over");
    }

    /// New credentials of the server, by files: good ones, and those that change nothing.
    async fn credentials(&mut self, is_good: bool) {
        let world = &self.world;
        let (own, other) = (world.authorities.server(), world.authorities.server());
        let expired = world
            .authorities
            .servers
            .leaf()
            .dns("localhost")
            .expired()
            .issue();
        let (chain, key) = match self.random.below(3) {
            _ if is_good => (own.chain_pem(), own.key_pem()),
            0 => (own.chain_pem(), other.key_pem()),
            1 => ("-----BEGIN CERTIFICATE-----\nAAAA".into(), own.key_pem()),
            _ => (expired.chain_pem(), expired.key_pem()),
        };
        write_credentials(world.folder.path(), &chain, &key);
        let applied = world.reload.reload_now().await;
        world
            .model
            .note(format!("credentials, good: {is_good}: {applied:?}"));
        match applied {
            Ok(_) if is_good => world.model.count("rotations of the server"),
            Err(_) if !is_good => world.model.count("bad reloads"),
            Err(error) => self.refused_by_clock(&format!("{error:?}")),
            Ok(_) => world.model.violation("bad credentials were applied".into()),
        }
        if !is_good {
            // A set is applied as a whole, so nothing else is while a part of it is bad.
            write_credentials(world.folder.path(), &own.chain_pem(), &own.key_pem());
            if let Err(error) = world.reload.reload_now().await {
                self.refused_by_clock(&format!("{error:?}"));
            }
        }
    }

    /// Updates that change nothing: no root, an older CRL, a CRL by another key.
    fn bad_updates(&self) {
        let authorities = &self.world.authorities;
        let control = self.world.acceptor.control();
        let generation = control.generation();
        let impostor = authorities.a.same_name_other_key();
        let forged = impostor.crl().number(self.number + 10).build();
        let forged = countersign::trust::Crls::from_bytes(forged.to_vec()).unwrap();
        let bad = [
            Update::new().trust(countersign::TrustStore::empty()),
            Update::new().revocation(crls(authorities, self.number - 1, &[])),
            Update::new()
                .trust(authorities.a.trust())
                .revocation(forged),
        ];
        for (number, update) in bad.into_iter().enumerate() {
            if let Ok(generation) = control.update(update) {
                let text = format!("bad update {number} made generation {generation}");
                self.world.model.violation(text);
            }
        }
        if control.generation() != generation {
            self.world
                .model
                .violation("a refused update changed the generation".into());
        }
        self.world.model.count("bad updates");
    }

    /// Sets get in force only while their certificates are valid by the clock. One that was refused before is
    /// tried again, as the interval is long.
    async fn right_clock(&mut self) {
        if self.world.model.newest().clock != Some(0) {
            self.clock(Some(0)).await;
        }
        let reload = &self.world.reload;
        if reload.status().last_error.is_some()
            && let Err(error) = reload.reload_now().await
        {
            self.refused_by_clock(&format!("{error:?}"));
        }
    }

    async fn clock(&mut self, offset: Option<i64>) {
        let days = offset.map(|offset| offset / DAY as i64);
        self.world
            .model
            .begin(&format!("clock {days:?}"), |rules| rules.clock = offset);
        self.world.clock.set(offset);
        self.world.model.commit();
        self.world.model.count(match offset {
            None => "clock without a time",
            Some(offset) if offset > 0 => "clock ahead",
            Some(offset) if offset < 0 => "clock behind",
            Some(_) => "right clock",
        });
        // With 60 days no handshake gets so far that it notes the time: it takes the interval of the timers.
        if days == Some(2) || days.is_some() && self.random.percent(20) {
            self.expired_drain(&self.world.model.newest()).await;
        }
    }

    /// Open connections whose path has expired drain, or are cut.
    async fn expired_drain(&self, rules: &Rules) {
        let now = UnixTime::now()
            .as_secs()
            .saturating_add_signed(rules.clock.unwrap_or(0));
        let control = self.world.acceptor.control();
        let drains = || {
            let open = control.connections().into_iter();
            let mut expired = open.filter(|open| now > open.peer().chain().not_after().as_secs());
            expired.all(|open| open.close_reason().is_some())
        };
        self.until("what has expired drains", drains).await;
        self.world
            .model
            .count("expiry of open connections looked at");
    }

    fn set_sink(&self, mode: SinkMode) {
        self.world
            .model
            .begin(&format!("sink {mode:?}"), |rules| rules.sink = mode);
        self.world.sink.set(mode);
        self.world.model.commit();
        self.world.model.count(&format!("sink {mode:?}"));
    }

    /// The change has returned: open connections of peers that are refused now are cut.
    fn committed(&self, what: &str) {
        let (world, model) = (&self.world, &self.world.model);
        model.commit();
        let rules = model.newest();
        model.count(&format!("change: {what}"));
        if rules.is_async {
            model.count("changes under an async policy");
        }
        for open in world.acceptor.control().connections() {
            let certificate = open.peer().certificate();
            let name = open.peer().identity().to_string();
            let number = name.trim_start_matches("client-").split('.').next();
            let number = number
                .and_then(|it| it.parse::<usize>().ok())
                .unwrap_or_default();
            let shown = Shown {
                authority: [Authority::A, Authority::B][number % 2],
                serial: certificate.serial().as_bytes().to_vec(),
                name,
                not_before: 0,
                not_after: u64::MAX,
            };
            let causes = rules.immediate_causes(&shown);
            if !causes.is_empty() {
                model.violation(format!("open after the change: {causes:?}: {open:?}"));
            }
        }
    }

    /// A good change may only be refused while the clock is wrong.
    fn refused_by_clock(&self, error: &str) {
        if self.world.model.newest().clock == Some(0) {
            self.world
                .model
                .violation(format!("a good change was refused: {error}"));
        }
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            if start.elapsed() > PATIENCE {
                let status = self.world.reload.status();
                return self
                    .world
                    .model
                    .violation(format!("not so: {what}: {status:?}"));
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn entry(name: &str) -> DenyEntry<DnsName> {
    DenyEntry::Identity(name.parse().unwrap())
}

async fn repeat(world: Arc<World>, trust: Arc<Repeated>) {
    let mut last = Instant::now();
    while !trust.stop.load(Ordering::SeqCst) {
        sleep(REPEAT).await;
        if trust.is_silent.load(Ordering::SeqCst) {
            last = Instant::now();
            continue;
        }
        if last.elapsed() > MAX_AGE / 2 {
            world.model.excuse_suspension(MAX_AGE * 2);
        }
        last = Instant::now();
        let _ = world.trust.send(Ok(trust.tag.load(Ordering::SeqCst)));
    }
}
