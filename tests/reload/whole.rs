//! Every piece of the application panics or fails at random, while rules are replaced, peers connect and
//! connections are open: each decision is by one set of rules, and every count is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use countersign::audit::{AuditEvent, AuditSink, RecordError};
use countersign::identity::{DnsName, IdentityError, IdentityErrorKind, IdentityExtractor as _};
use countersign::policy::{DenyEntry, DenyList, Policy};
use countersign::reload::{Handle, Reload, Source};
use countersign::rustls::sign::{Signer, SigningKey};
use countersign::rustls::time_provider::TimeProvider;
use countersign::rustls::{SignatureAlgorithm, SignatureScheme};
use countersign::testing::{self, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{
    Acceptor, Certificate, ConnectionInfo, Connector, Credentials, Decision, Peer, TlsStream,
    TrustStore, Update, policy,
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use tokio::io::DuplexStream;

use crate::material::{Folder, NEVER, Way, number_of};
use support::SERVER;

const TURNS: usize = 60;

/// Decides which call of which piece fails.
static CHAOS: Chaos = Chaos {
    is_on: AtomicBool::new(false),
    state: AtomicU64::new(1),
    calls: Mutex::new(BTreeMap::new()),
};

struct Chaos {
    is_on: AtomicBool,
    state: AtomicU64,
    /// Of each piece, how often it was called.
    calls: Mutex<BTreeMap<&'static str, usize>>,
}

impl Chaos {
    /// Whether this call fails: one of so many does, and the second one in any case.
    fn strikes(&self, piece: &'static str, one_in: u64) -> bool {
        // A panic while another one unwinds aborts the process.
        if !self.is_on.load(SeqCst) || std::thread::panicking() {
            return false;
        }
        let step = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mut calls = locked(&self.calls);
        let calls = calls.entry(piece).or_default();
        *calls += 1;
        *calls == 2 || (mixed ^ (mixed >> 27)).is_multiple_of(one_in)
    }

    fn trip(&self, piece: &'static str, one_in: u64) {
        if self.strikes(piece, one_in) {
            resume_unwind(Box::new(Payload)); // no message on stderr
        }
    }
}

/// What a panic carries is the application's, too.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        CHAOS.trip("drop payload", 8);
    }
}

/// The result, unless there is a panic.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.map_err(std::mem::forget).ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// An identity; entries of the deny list also fail when they are dropped.
struct Name {
    name: DnsName,
    is_entry: bool,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CHAOS.trip("print", 8);
        self.name.fmt(f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        CHAOS.trip("eq", 16);
        self.name == other.name
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        CHAOS.trip("hash", 16);
        self.name.hash(state);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.is_entry {
            CHAOS.trip("drop entry", 4);
        }
    }
}

/// The rules of one set, of which there are two kinds in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    number: usize,
    is_odd: bool,
}

impl Set {
    fn read(text: &str) -> Self {
        let (number, kind) = text.split_once(' ').unwrap();
        Self {
            number: number.parse().unwrap(),
            is_odd: kind == "odd",
        }
    }

    fn write(self, folder: &Folder) {
        let kind = if self.is_odd { "odd" } else { "even" };
        folder.replace("set.txt", format!("{} {kind}", self.number));
    }

    /// Who is denied by the policy: with the other rules of this set, all those whose names contain "never".
    fn allows(self, name: &str) -> bool {
        match name {
            "policy.example" | "never-list.example" => self.is_odd,
            "never-trust.example" | "never-crl.example" => !self.is_odd,
            _ => true,
        }
    }

    fn entries(self) -> Vec<DenyEntry<Name>> {
        let name = if self.is_odd {
            "never-list.example"
        } else {
            "list.example"
        };
        let entry = |name: &str| {
            DenyEntry::Identity(Name {
                name: name.parse().unwrap(),
                is_entry: true,
            })
        };
        vec![entry(name), entry("another.example")]
    }

    /// Why this set rejects a peer.
    fn rejects(self, name: &str) -> Option<&'static str> {
        Some(match (name, self.is_odd) {
            ("never-list.example", true) | ("list.example", false) => "deny_listed",
            ("never-trust.example" | "trust.example", false) => "unknown_issuer",
            ("never-crl.example" | "crl.example", false) => "revoked",
            _ if self.allows(name) => return None,
            _ => "denied",
        })
    }
}

struct Rules(Set);

impl Policy<Name> for Rules {
    fn authorize(&self, peer: &Peer<Name>) -> Decision {
        CHAOS.trip("policy", 16);
        if self.0.allows(peer.identity().name.as_str()) {
            Decision::allow(self.0.number.to_string())
        } else {
            Decision::deny("not by this set")
        }
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        CHAOS.trip("drop policy", 2);
    }
}

fn identify(certificate: &Certificate) -> Result<Name, IdentityError> {
    CHAOS.trip("identify", 16);
    if CHAOS.strikes("identify: error", 16) {
        return Err(IdentityError::new(IdentityErrorKind::Missing, "planned"));
    }
    let name = DnsName::extractor().extract(certificate)?;
    Ok(Name {
        name,
        is_entry: false,
    })
}

fn describe(name: &Name) -> String {
    CHAOS.trip("describe", 16);
    name.to_string()
}

#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        CHAOS.trip("clock", 64);
        let has_time = !CHAOS.strikes("clock: none", 64);
        has_time.then(UnixTime::now)
    }
}

/// A key that is elsewhere.
#[derive(Debug)]
struct Hsm(Arc<dyn SigningKey>);

impl SigningKey for Hsm {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        CHAOS.trip("sign", 32);
        let is_there = !CHAOS.strikes("sign: none", 32);
        is_there.then(|| self.0.choose_scheme(offered))?
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        CHAOS.trip("public key", 16);
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        CHAOS.trip("algorithm", 32);
        self.0.algorithm()
    }
}

/// Counts, for each attempt, how often its outcome was written, and how often it was recorded.
#[derive(Default)]
struct Sink {
    outcomes: Mutex<BTreeMap<u64, (usize, usize)>>,
    cut: AtomicU64,
    failed: AtomicU64,
}

struct SharedSink(Arc<Sink>);

impl AuditSink for SharedSink {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        let panics = CHAOS.strikes("sink", 16);
        let is_recorded = !panics && !CHAOS.strikes("sink: error", 16);
        if event.action.ends_attempt() {
            let mut outcomes = locked(&self.0.outcomes);
            let (written, recorded) = outcomes.entry(event.connection.unwrap()).or_default();
            *written += 1;
            *recorded += usize::from(is_recorded);
        }
        if event.action == countersign::audit::Action::Cut {
            self.0.cut.fetch_add(1, SeqCst);
        }
        if is_recorded {
            return Ok(());
        }
        self.0.failed.fetch_add(1, SeqCst);
        if panics {
            resume_unwind(Box::new(Payload));
        }
        Err(RecordError::new("planned"))
    }
}

/// Which numbers were in force, in their order, and the one that may come into force now.
#[derive(Default)]
struct Log {
    numbers: Mutex<(Vec<usize>, Option<usize>)>,
}

impl Log {
    fn begin(&self, number: usize) {
        locked(&self.numbers).1 = Some(number);
    }

    fn end(&self, is_applied: bool) {
        let (numbers, pending) = &mut *locked(&self.numbers);
        numbers.extend(pending.take().filter(|_| is_applied));
    }

    fn len(&self) -> usize {
        locked(&self.numbers).0.len()
    }

    /// Whether the number was, or may have been, in force since there were `before` numbers.
    fn was_in_force_since(&self, before: usize, number: usize) -> bool {
        let (numbers, pending) = &*locked(&self.numbers);
        numbers[before - 1..].contains(&number) || *pending == Some(number)
    }
}

struct World {
    acceptor: Acceptor<Name>,
    denied: DenyList<Name>,
    sink: Arc<Sink>,
    folder: Folder,
    root: TestCa,
    other: TestCa,
    peers: BTreeMap<&'static str, Issued>,
    certificates: Log,
    policies: Log,
    /// What was seen of a server's certificate or a policy: it must have been applied in the end.
    seen: Mutex<BTreeSet<usize>>,
    attempts: AtomicU64,
    is_over: AtomicBool,
}

const NEVER_ADMITTED: [(&str, [&str; 2]); 3] = [
    ("never-list.example", ["denied", "deny_listed"]),
    ("never-trust.example", ["unknown_issuer", "denied"]),
    ("never-crl.example", ["revoked", "denied"]),
];

/// Those that an odd set admits and an even one rejects, each for another reason; and one that all admit.
const OPEN: [&str; 5] = [
    "trust.example",
    "list.example",
    "crl.example",
    "policy.example",
    "always.example",
];

impl World {
    fn new() -> Arc<Self> {
        let [root, other] = ["Root", "Other"].map(TestCa::new);
        let peers = NEVER_ADMITTED.iter().map(|(name, _)| *name).chain(OPEN);
        let peers: BTreeMap<_, _> = peers
            .map(|name| {
                let is_others = name.contains("trust");
                let issuer = if is_others { &other } else { &root };
                (name, issuer.leaf().dns(name).issue())
            })
            .collect();
        let (denied, sink) = (DenyList::new(), Arc::new(Sink::default()));
        let acceptor = Acceptor::builder()
            .credentials(root.leaf().dns(SERVER).issue().credentials())
            .trust(root.trust())
            .identify(identify)
            .authorize(|_: &Peer<Name>| Decision::deny("there is no set yet"))
            .deny_list(&denied)
            .clock(Clock)
            .audit_as(SharedSink(sink.clone()), describe)
            .audit_refusals_per_second(None)
            .build()
            .unwrap();
        Arc::new(Self {
            acceptor,
            denied,
            sink,
            folder: Folder::new(Way::Rename),
            root,
            other,
            peers,
            certificates: Log::default(),
            policies: Log::default(),
            seen: Mutex::default(),
            attempts: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// Our own certificate with this number.
    fn credentials(&self, number: usize) -> Credentials {
        let leaf = self.root.leaf().common_name(&format!("set {number}"));
        let leaf = leaf.dns(SERVER).issue();
        let provider = support::provider(support::Version::Tls13);
        let key = provider.key_provider.load_private_key(leaf.key_der());
        let hsm = Arc::new(Hsm(key.unwrap()));
        Credentials::from_signer(leaf.chain().to_vec(), hsm).unwrap()
    }

    fn trust(&self, set: Set) -> TrustStore {
        if set.is_odd {
            self.root.trust().and(self.other.trust())
        } else {
            self.root.trust()
        }
    }

    fn crls(&self, set: Set) -> Crls {
        let number = set.number as u64 + 1;
        let mut crl = self.root.crl().number(number);
        if !set.is_odd {
            for revoked in ["crl.example", "never-crl.example"] {
                crl = crl.revoke(self.peers[revoked].serial());
            }
        }
        let of_other = self.other.crl().number(number).pem();
        Crls::from_bytes(crl.pem() + &of_other).unwrap()
    }

    async fn reload(self: &Arc<Self>) -> Handle {
        let source = |piece: &'static str| {
            Source::text_file(self.folder.path("set.txt")).try_map(move |text| {
                CHAOS.trip(piece, 32);
                if CHAOS.strikes("load: error", 64) {
                    return Err("planned");
                }
                Ok(Set::read(&text))
            })
        };
        let [a, b, c] = [self.clone(), self.clone(), self.clone()];
        Reload::of(&self.acceptor)
            .credentials(source("load credentials").map(move |set| a.credentials(set.number)))
            .trust(source("load trust").map(move |set| b.trust(set)))
            .revocation(source("load CRLs").map(move |set| c.crls(set)))
            .policy(source("load policy").map(Rules))
            .deny_list(&self.denied, source("load deny list").map(Set::entries))
            .every(NEVER)
            .start()
            .await
            .unwrap()
    }

    /// Peers that neither kind of set admits: a mixture of two sets would.
    fn ask_about_strangers(&self) {
        let mut reasons = BTreeSet::new();
        while !self.is_over.load(SeqCst) {
            for (name, _) in NEVER_ADMITTED {
                self.attempts.fetch_add(1, SeqCst);
                let chain = self.peers[name].chain();
                let control = self.acceptor.control();
                match control.admit_chain(chain, ConnectionInfo::default()) {
                    Err(error) => reasons.insert((name, error.reason())),
                    Ok(admission) => panic!("{name} is admitted by {}", admission.rule()),
                };
            }
        }
        for (name, expected) in NEVER_ADMITTED {
            for reason in expected {
                assert!(reasons.contains(&(name, reason)), "{name}: {reasons:?}");
            }
        }
    }

    fn connector(&self, name: &str) -> Connector<DnsName> {
        Connector::builder()
            .credentials(self.peers[name].credentials())
            .trust(self.root.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap()
    }

    /// A whole handshake, unless a piece fails. The certificate that the server shows, and the policy that
    /// decides, are of sets that were in force while it was made.
    async fn connect(self: &Arc<Self>, name: &'static str) -> Option<Open> {
        self.attempts.fetch_add(1, SeqCst);
        let before = (self.certificates.len(), self.policies.len());
        let (acceptor, connector) = (self.acceptor.clone(), self.connector(name));
        // A key that panics ends this task only.
        let made = async move { testing::handshake(&acceptor, &connector, SERVER).await };
        let made = tokio::spawn(made).await;
        let (Ok(server), Ok(client)) = made.map_err(std::mem::forget).ok()? else {
            return None;
        };
        let shown = number_of(client.peer().certificate());
        let rule = server.rule().parse().unwrap();
        assert!(
            self.certificates.was_in_force_since(before.0, shown),
            "certificate {shown}"
        );
        assert!(
            self.policies.was_in_force_since(before.1, rule),
            "policy {rule}"
        );
        assert!(shown <= rule, "the older policy {rule} with {shown}");
        locked(&self.seen).extend([shown, rule]);
        Some(Open {
            name,
            server,
            _client: client,
        })
    }

    /// Handshakes of a peer that all sets admit.
    fn connect_always(self: &Arc<Self>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let mut opened = 0;
        while !self.is_over.load(SeqCst) {
            let open = runtime.block_on(self.connect("always.example"));
            opened += usize::from(open.is_some());
        }
        assert!(opened > 0, "no connection");
    }
}

/// Reasons for which a connection may be cut by a piece that fails.
const FAULTS: [&str; 4] = [
    "authorization_panicked",
    "policy_panicked",
    "no_clock",
    "not_audited",
];

struct Open {
    name: &'static str,
    server: TlsStream<DuplexStream, Name>,
    _client: TlsStream<DuplexStream, DnsName>,
}

impl Open {
    fn why(&self) -> Option<&'static str> {
        self.server.draining().why().map(|why| why.reason())
    }

    /// It is open if this set admits its peer, and cut for the right reason otherwise.
    fn check(&self, set: Set) {
        let rejected = set.rejects(self.name);
        match self.why() {
            None => assert_eq!(rejected, None, "{} is open: {set:?}", self.name),
            Some(why) => assert!(
                Some(why) == rejected || FAULTS.contains(&why),
                "{} is cut: {why} {set:?}",
                self.name
            ),
        }
    }
}

/// A change by the application: its result says whether it is in force.
struct Changes {
    world: Arc<World>,
    handle: Handle,
    set: Set,
    next: usize,
    generation: u64,
    applied: u64,
    refused: u64,
}

impl Changes {
    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Everything at once, until it succeeds.
    async fn by_reload(&mut self) {
        let is_odd = !self.set.is_odd;
        loop {
            let number = self.number();
            let set = Set { number, is_odd };
            set.write(&self.world.folder);
            let logs = [&self.world.certificates, &self.world.policies];
            logs.iter().for_each(|log| log.begin(number));
            let is_applied = self.handle.reload_now().await.is_ok();
            logs.iter().for_each(|log| log.end(is_applied));
            if is_applied {
                self.applied += 1;
                self.generation += 1;
                self.set = set;
                return;
            }
            self.refused += 1;
            self.check();
        }
    }

    /// Another policy of the same kind: this cannot fail.
    fn by_policy(&mut self) {
        let number = self.number();
        self.world.policies.begin(number);
        let rules = Rules(Set { number, ..self.set });
        self.world.acceptor.control().set_policy(rules);
        self.world.policies.end(true);
    }

    /// The same trust again, with an own certificate that has expired in every second case.
    fn by_update(&mut self) {
        let world = self.world.clone();
        let update = Update::new().trust(world.trust(self.set));
        let is_expired = self.next.is_multiple_of(2);
        let update = if is_expired {
            let expired = world.root.leaf().dns(SERVER).expired().issue();
            update.credentials(expired.credentials())
        } else {
            update.revocation(world.crls(Set {
                number: self.next,
                ..self.set
            }))
        };
        let control = world.acceptor.control();
        if let Some(Ok(generation)) = caught(|| control.update(update)) {
            assert!(!is_expired);
            self.generation += 1;
            assert_eq!(generation, self.generation);
        }
    }

    /// The same entries again. A `Hash` that panics changes nothing.
    fn by_deny_list(&self) {
        let (list, entries) = (&self.world.denied, self.set.entries());
        caught(|| list.replace(entries));
    }

    /// Our view and the endpoint's are the same.
    fn check(&self) {
        let control = self.world.acceptor.control();
        assert_eq!(control.generation(), self.generation);
        let status = self.handle.status();
        assert_eq!(
            (status.applied, status.refused),
            (self.applied, self.refused)
        );
        assert_eq!(self.world.denied.len(), 2);
        for open in control.connections() {
            assert_eq!(open.generation(), self.generation, "{}", open.id());
        }
    }
}

/// What the threads beside the changes do.
enum Load {
    Strangers,
    Handshakes,
}

#[tokio::test(start_paused = true)]
async fn rules_are_in_force_as_a_whole_whatever_fails_under_load() {
    let world = World::new();
    let set = Set {
        number: 0,
        is_odd: false,
    };
    set.write(&world.folder);
    let handle = world.reload().await;
    for log in [&world.certificates, &world.policies] {
        log.begin(0);
        log.end(true);
    }
    let mut changes = Changes {
        world: world.clone(),
        handle,
        set,
        next: 0,
        generation: 2,
        applied: 1,
        refused: 0,
    };
    let threads: Vec<_> = [Load::Strangers, Load::Strangers, Load::Handshakes]
        .into_iter()
        .map(|load| {
            let world = world.clone();
            std::thread::spawn(move || match load {
                Load::Strangers => world.ask_about_strangers(),
                Load::Handshakes => world.connect_always(),
            })
        })
        .collect();
    CHAOS.is_on.store(true, SeqCst);
    let mut kept: Vec<Open> = Vec::new();
    for turn in 0..TURNS {
        changes.by_reload().await;
        changes.check();
        kept.iter().for_each(|open| open.check(changes.set));
        match turn % 4 {
            0 => changes.by_policy(),
            1 => changes.by_update(),
            2 => changes.by_deny_list(),
            _ => {}
        }
        changes.check();
        kept.iter().for_each(|open| open.check(changes.set));
        kept.retain(|open| open.why().is_none());
        if changes.set.is_odd {
            for name in OPEN {
                kept.extend(world.connect(name).await);
            }
        }
        kept.drain(..kept.len().saturating_sub(20)); // the oldest
    }
    CHAOS.is_on.store(false, SeqCst);
    world.is_over.store(true, SeqCst);
    for thread in threads {
        thread.join().expect("the load sees no mixture");
    }
    drop(kept);

    // What was seen was in force.
    let in_force: BTreeSet<usize> = [&world.certificates, &world.policies]
        .iter()
        .flat_map(|log| locked(&log.numbers).0.clone())
        .collect();
    let seen = locked(&world.seen);
    let unapplied: Vec<_> = seen.difference(&in_force).collect();
    assert!(unapplied.is_empty(), "{unapplied:?}");
    assert!(seen.len() > 10, "{seen:?}");

    // Each attempt is counted once, and recorded once if the sink took it.
    let stats = world.acceptor.control().stats();
    let attempts = world.attempts.load(SeqCst);
    assert_eq!((stats.attempts(), stats.in_flight), (attempts, 0));
    assert_eq!(stats.open, 0);
    assert_eq!(stats.cut, world.sink.cut.load(SeqCst));
    assert_eq!(stats.audit_dropped, world.sink.failed.load(SeqCst));
    let outcomes = locked(&world.sink.outcomes);
    assert_eq!(outcomes.len() as u64, attempts);
    for (id, (written, recorded)) in outcomes.iter() {
        // An admission that cannot be recorded is written again, as a denial.
        assert!(
            *recorded <= 1 && *written <= 2,
            "{id}: {written} {recorded}"
        );
    }

    // Each piece has failed.
    let calls = locked(&CHAOS.calls);
    let failed = calls.iter().filter(|(_, calls)| **calls > 1);
    assert!(failed.map(|(piece, _)| *piece).eq(PIECES), "{calls:?}");
}

const PIECES: [&str; 24] = [
    "algorithm",
    "clock",
    "clock: none",
    "describe",
    "drop entry",
    "drop payload",
    "drop policy",
    "eq",
    "hash",
    "identify",
    "identify: error",
    "load CRLs",
    "load credentials",
    "load deny list",
    "load policy",
    "load trust",
    "load: error",
    "policy",
    "print",
    "public key",
    "sign",
    "sign: none",
    "sink",
    "sink: error",
];
