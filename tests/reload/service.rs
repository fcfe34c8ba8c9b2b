//! A service all of whose pieces are the application's, and can be made to panic once.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use countersign::audit::{AuditEvent, AuditSink, RecordError};
use countersign::identity::{DnsName, IdentityExtractor as _};
use countersign::policy::{AsyncPolicy, DenyEntry, DenyList, Policy};
use countersign::reload::{Handle, Reload, Source};
use countersign::testing::{self, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{
    Acceptor, ConnectionInfo, Connector, Credentials, Decision, Peer, TlsStream, TrustStore, Update,
};
use rustls::sign::{Signer, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use tokio::io::DuplexStream;

use crate::material::{Folder, NEVER, Way};
use support::SERVER;

/// The pieces that are to panic, each once.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<&'static str>>>);

impl Faults {
    pub fn arm(&self, pieces: &[&'static str]) {
        self.0.lock().unwrap().extend(pieces);
    }

    pub fn left(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    fn takes(&self, piece: &str) -> bool {
        let mut pieces = self.0.lock().unwrap();
        let found = pieces.iter().position(|armed| *armed == piece);
        found.map(|index| pieces.remove(index)).is_some()
    }

    fn trip(&self, piece: &str) {
        if self.takes(piece) {
            resume_unwind(Box::new("planned")); // without a word on stderr
        }
    }
}

/// An identity of the application's own.
pub struct Name(DnsName, Faults);

impl Name {
    fn trip(&self, what: &str) {
        self.1.trip(&format!("{what} {}", self.0));
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trip("print");
        self.0.fmt(f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.trip("eq");
        self.0 == other.0
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.trip("hash");
        self.0.hash(state);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.trip("drop");
    }
}

/// Denies b.example from version 2 on.
pub struct Versioned(u8, Faults);

/// The same, asynchronously.
pub struct AsyncVersioned(Versioned);

impl AsyncPolicy<Name> for AsyncVersioned {
    fn authorize(&self, peer: Peer<Name>) -> impl Future<Output = Decision> + Send {
        let name = peer.identity().0.as_str().to_owned();
        self.0.1.trip(&format!("call {name}"));
        async move {
            tokio::task::yield_now().await;
            self.0.1.trip(&format!("poll {name}"));
            if self.0.1.takes(&format!("hang {name}")) {
                std::future::pending::<()>().await;
            }
            self.0.authorize(&peer)
        }
    }
}

impl Policy<Name> for Versioned {
    fn authorize(&self, peer: &Peer<Name>) -> Decision {
        let name = peer.identity().0.as_str();
        self.1.trip(&format!("policy {} {name}", self.0));
        if self.0 > 1 && name == "b.example" {
            Decision::deny("not b")
        } else {
            Decision::allow("any other peer")
        }
    }
}

impl Drop for Versioned {
    fn drop(&mut self) {
        self.1.trip(&format!("drop policy {}", self.0));
    }
}

/// What a loader says.
#[derive(Debug)]
struct LoadFailure(Faults);

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trip("print error");
        f.write_str("planned")
    }
}

impl std::error::Error for LoadFailure {}

impl Drop for LoadFailure {
    fn drop(&mut self) {
        self.0.trip("drop error");
    }
}

#[derive(Debug)]
struct Clock(Faults);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.trip("clock");
        let has_time = !self.0.takes("clock: none");
        has_time.then(UnixTime::now)
    }
}

struct Sink(Faults);

impl AuditSink for Sink {
    fn record(&self, _: &Arc<AuditEvent>) -> Result<(), RecordError> {
        self.0.trip("sink");
        if self.0.takes("sink: error") {
            return Err(RecordError::new("planned"));
        }
        Ok(())
    }
}

/// A key that is elsewhere.
#[derive(Debug)]
struct Hsm(Arc<dyn SigningKey>, Faults);

impl SigningKey for Hsm {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(offered)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.1.trip("public key");
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// A waker that panics when it is to.
struct Woken(Faults, &'static str);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.trip(self.1);
    }
}

type Stream = TlsStream<DuplexStream, Name>;

/// Which set is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    Old,
    New,
}

pub struct Service {
    pub faults: Faults,
    pub folder: Folder,
    pub acceptor: Acceptor<Name>,
    pub handle: Handle,
    pub denied: DenyList<Name>,
    old_ca: TestCa,
    new_ca: TestCa,
    both: TestCa,
    /// Names with their certificates: b and c are denied by what is new, d is trusted by what is
    /// old only, e by what is new only.
    peers: Vec<(&'static str, Issued)>,
}

impl Service {
    pub async fn new() -> Self {
        let faults = Faults::default();
        let [old_ca, new_ca, both] = ["Old", "New", "Both"].map(TestCa::new);
        let of = |ca: &TestCa, name| (name, ca.leaf().dns(name).issue());
        let peers = vec![
            of(&both, "b.example"),
            of(&both, "a.example"),
            of(&both, "c.example"),
            of(&old_ca, "d.example"),
            of(&new_ca, "e.example"),
        ];
        let denied = DenyList::new();
        let folder = Folder::new(Way::Rename);
        let identify = {
            let faults = faults.clone();
            move |certificate: &countersign::Certificate| {
                let name = DnsName::extractor().extract(certificate)?;
                Ok(Name(name, faults.clone()))
            }
        };
        let server = both.leaf().dns(SERVER).issue();
        let acceptor = Acceptor::builder()
            .credentials(server.credentials())
            .trust(both.trust())
            .identify(identify)
            .authorize(Versioned(0, faults.clone()))
            .deny_list(&denied)
            .clock(Clock(faults.clone()))
            .audit(Sink(faults.clone()))
            .build()
            .unwrap();
        folder.replace("tls.crt", server.chain_pem());
        folder.replace("tls.key", server.key_pem());
        folder.replace("ca.pem", format!("{}{}", both.pem(), old_ca.pem()));
        folder.replace("policy.txt", "1");
        folder.replace("deny.txt", "gone.example");
        folder.replace("all.crl", crls([&old_ca, &new_ca, &both], 1));
        let handle = reload(&acceptor, &denied, &folder, &faults).start().await;
        Self {
            faults,
            folder,
            acceptor,
            handle: handle.unwrap(),
            denied,
            old_ca,
            new_ca,
            both,
            peers,
        }
    }

    /// Replaces all files; the credentials too, if they are to be.
    pub fn write_new(&self, with_credentials: bool) {
        let (folder, both, new) = (&self.folder, &self.both, &self.new_ca);
        folder.replace("ca.pem", format!("{}{}", both.pem(), new.pem()));
        folder.replace("policy.txt", "2");
        folder.replace("deny.txt", "c.example");
        folder.replace("all.crl", crls([&self.old_ca, new, both], 2));
        if with_credentials {
            let server = both.leaf().dns(SERVER).issue();
            folder.replace("tls.crt", server.chain_pem());
            folder.replace("tls.key", server.key_pem());
        }
    }

    /// Which set decides about new peers: one of them, as a whole.
    pub fn in_force(&self) -> InForce {
        let control = self.acceptor.control();
        let reasons = self.peers.iter().map(|(_, issued)| {
            let info = ConnectionInfo::default();
            let admitted = control.admit_chain(issued.chain(), info);
            admitted.map_or_else(|e| e.reason(), |_| YES)
        });
        match *reasons.collect::<Vec<_>>() {
            [YES, YES, YES, YES, "unknown_issuer"] => InForce::Old,
            ["denied", YES, "deny_listed", "unknown_issuer", YES] => InForce::New,
            ref reasons => panic!("a mixture: {reasons:?}"),
        }
    }

    /// What becomes of new peers with any kind of policy, in their order.
    pub async fn decisions(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        for (_, issued) in &self.peers {
            let info = ConnectionInfo::default();
            let control = self.acceptor.control();
            let admitted = control.admit_chain_async(issued.chain(), info).await;
            reasons.push(admitted.map_or_else(|e| e.reason(), |_| YES));
        }
        reasons
    }

    /// The new trust and new credentials.
    pub fn update(&self) -> Update {
        let server = self.both.leaf().dns(SERVER).issue();
        let provider = support::provider(support::Version::Tls13);
        let key = provider.key_provider.load_private_key(server.key_der());
        let hsm = Arc::new(Hsm(key.unwrap(), self.faults.clone()));
        let credentials = Credentials::from_signer(server.chain().to_vec(), hsm);
        Update::new()
            .trust(self.both.trust().and(self.new_ca.trust()))
            .credentials(credentials.unwrap())
    }

    pub fn policy(&self) -> Versioned {
        Versioned(2, self.faults.clone())
    }

    pub fn async_policy(&self) -> AsyncVersioned {
        AsyncVersioned(self.policy())
    }

    /// The new entries of the deny list.
    pub fn entries(&self) -> impl Iterator<Item = DenyEntry<Name>> {
        let faults = self.faults.clone();
        ["c.example"].into_iter().map(move |name| {
            faults.trip("iterate");
            DenyEntry::Identity(Name(name.parse().unwrap(), faults.clone()))
        })
    }

    /// Opens connections to the clients that the old set admits, in their order.
    pub async fn open(&self) -> Vec<(Stream, TlsStream<DuplexStream, DnsName>)> {
        let mut open = Vec::new();
        for (_, issued) in &self.peers[..4] {
            let connector = Connector::builder()
                .credentials(issued.credentials())
                .trust(self.both.trust().and(self.old_ca.trust()))
                .identify(DnsName::extractor())
                .authorize(countersign::policy::allow_any())
                .build()
                .unwrap();
            let (server, client) = testing::handshake(&self.acceptor, &connector, SERVER).await;
            open.push((server.unwrap(), client.unwrap()));
        }
        open
    }

    /// A waker that may panic when it is woken.
    pub fn waker(&self, piece: &'static str) -> Waker {
        Arc::new(Woken(self.faults.clone(), piece)).into()
    }
}

/// What becomes of a peer that is admitted.
pub const YES: &str = "admitted";

fn crls(authorities: [&TestCa; 3], number: u64) -> String {
    authorities.map(|ca| ca.crl().number(number).pem()).concat()
}

fn reload(
    acceptor: &Acceptor<Name>,
    denied: &DenyList<Name>,
    folder: &Folder,
    faults: &Faults,
) -> Reload<Name> {
    let [trust, policy, deny, crls] = [(); 4].map(|()| faults.clone());
    let touched = folder.path("ca.pem");
    Reload::of(acceptor)
        .credentials(Source::pem_files(
            folder.path("tls.crt"),
            folder.path("tls.key"),
        ))
        .trust(
            Source::<TrustStore>::pem_file(folder.path("ca.pem")).map(move |store| {
                trust.trip("load trust");
                store
            }),
        )
        .revocation(
            Source::text_file(folder.path("all.crl")).try_map(move |text| {
                crls.trip("load CRLs");
                if crls.takes("fail CRLs") {
                    return Err(LoadFailure(crls.clone()));
                }
                Ok(Crls::from_bytes(text).unwrap())
            }),
        )
        .policy(
            Source::text_file(folder.path("policy.txt")).try_map(move |text| {
                policy.trip("parse policy");
                let version = Versioned(text.parse().unwrap(), policy.clone());
                if policy.takes("touch") {
                    let ca = std::fs::read_to_string(&touched).unwrap();
                    std::fs::write(&touched, format!("{ca}\n")).unwrap();
                }
                if policy.takes("fail policy") {
                    return Err(LoadFailure(policy.clone()));
                }
                Ok(version)
            }),
        )
        .deny_list(
            denied,
            Source::text_file(folder.path("deny.txt")).try_map(move |text| {
                deny.trip("parse deny list");
                let name = text.parse::<DnsName>()?;
                Ok::<_, countersign::identity::IdentityError>(vec![DenyEntry::Identity(Name(
                    name,
                    deny.clone(),
                ))])
            }),
        )
        .every(NEVER)
}
