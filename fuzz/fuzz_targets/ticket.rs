//! Sessions and tickets of a server, with hostile bytes: nothing but what it has granted is resumed, and
//! only as it was granted.
//!
//! The first byte chooses the edit, two more its place, and the rest is the key, the session or the ticket.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use countersign::fuzzing::leaf_of_session;
use countersign::identity::Fingerprint;
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::{Acceptor, Resumption, policy};
use libfuzzer_sys::fuzz_target;
use rustls::server::{ProducesTickets, StoresServerSessions};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

fuzz_target!(|input: &[u8]| {
    let [edit, high, low, bytes @ ..] = input else {
        return;
    };
    let fixture = &*FIXTURE;
    let at = usize::from(u16::from_be_bytes([*high, *low]));
    let tickets = &fixture.stateless.ticketer;
    let store = &fixture.stateful.session_storage;

    // What a client has made up.
    assert_eq!(tickets.decrypt(bytes), None);
    assert_eq!(store.get(bytes), None);
    assert_eq!(store.take(bytes), None);
    // A session of a client that has proven nothing is neither kept nor sealed.
    if leaf_of_session(bytes) != Some(fixture.client.leaf_der().as_ref()) {
        assert!(!store.put(b"made up".to_vec(), bytes.to_vec()));
        assert_eq!(store.get(b"made up"), None);
        assert_eq!(tickets.encrypt(bytes), None);
    }

    for granted in &fixture.tickets {
        assert!(tickets.decrypt(granted).is_some());
        let edited = edited(granted, *edit, at, bytes);
        assert_eq!(tickets.decrypt(&edited).is_some(), edited == *granted);
    }
    for granted in &fixture.sessions {
        assert_eq!(
            leaf_of_session(granted),
            Some(fixture.client.leaf_der().as_ref())
        );
        // The key was proven, so that rustls may store what it likes: it gets the same back, once.
        let edited = edited(granted, *edit, at, bytes);
        let key = bytes.to_vec();
        if store.put(key.clone(), edited.clone()) {
            assert!(leaf_of_session(&edited).is_some());
            assert_eq!(store.get(&key).as_ref(), Some(&edited));
            assert_eq!(store.take(&key), Some(edited.clone()));
            assert_eq!(store.take(&key), None);
        }
        if let Some(ticket) = tickets.encrypt(&edited) {
            assert_eq!(tickets.decrypt(&ticket), Some(edited));
        }
    }
});

fn edited(bytes: &[u8], edit: u8, at: usize, with: &[u8]) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    let at = at % edited.len();
    match edit % 5 {
        0 => edited[at] ^= with.first().copied().unwrap_or(0),
        1 => edited.truncate(at),
        2 => drop(edited.splice(at..at, with.iter().copied())),
        3 => {
            let end = edited.len().min(at + with.len());
            edited.splice(at..end, with.iter().copied());
        }
        _ => drop(edited.drain(..at)),
    }
    edited
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

struct Fixture {
    client: Issued,
    stateful: Arc<ServerConfig>,
    stateless: Arc<ServerConfig>,
    /// What rustls has sealed, and what it has stored.
    tickets: Vec<Vec<u8>>,
    sessions: Vec<Vec<u8>>,
    /// They keep the rules of the configurations.
    _acceptors: [Acceptor<Fingerprint>; 2],
}

impl Fixture {
    fn new() -> Self {
        let ca = TestCa::new("Root");
        let client = ca.leaf().dns("client.example").issue();
        let clock = FixedClock::now();
        let acceptor = |choice| {
            Acceptor::builder()
                .credentials(ca.leaf().dns("server.example").issue().credentials())
                .trust(ca.trust())
                .identify(Fingerprint::certificate_extractor())
                .authorize(policy::allow_any())
                .clock(clock.clone())
                .resumption(choice)
                .build()
                .expect("an acceptor")
        };
        let acceptors = [
            acceptor(Resumption::Stateful),
            acceptor(Resumption::Stateless),
        ];
        let [stateful, stateless] = acceptors
            .each_ref()
            .map(Acceptor::unauthorized_rustls_config);
        let watched = Arc::new(Watched {
            kept: Mutex::default(),
            keys: Mutex::default(),
            store: Arc::clone(&stateful.session_storage),
            tickets: Arc::clone(&stateless.ticketer),
        });
        let mut with_store = (*stateful).clone();
        with_store.session_storage = watched.clone();
        handshake(&ca, &client, with_store);
        let sessions = std::mem::take(&mut *watched.kept.lock().expect("no panic"));
        // libFuzzer would learn the keys of what is kept from the comparisons of the store.
        for key in std::mem::take(&mut *watched.keys.lock().expect("no panic")) {
            assert!(stateful.session_storage.take(&key).is_some());
        }
        let mut with_tickets = (*stateless).clone();
        with_tickets.ticketer = watched.clone();
        handshake(&ca, &client, with_tickets);
        let tickets = std::mem::take(&mut *watched.kept.lock().expect("no panic"));
        assert!(!sessions.is_empty() && !tickets.is_empty());
        Self {
            client,
            stateful,
            stateless,
            tickets,
            sessions,
            _acceptors: acceptors,
        }
    }
}

/// Keeps what passes to the server's own store and tickets.
#[derive(Debug)]
struct Watched {
    kept: Mutex<Vec<Vec<u8>>>,
    keys: Mutex<Vec<Vec<u8>>>,
    store: Arc<dyn StoresServerSessions>,
    tickets: Arc<dyn ProducesTickets>,
}

impl StoresServerSessions for Watched {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.lock().expect("no panic").push(value.clone());
        self.keys.lock().expect("no panic").push(key.clone());
        self.store.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl ProducesTickets for Watched {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ticket = self.tickets.encrypt(plain)?;
        self.kept.lock().expect("no panic").push(ticket.clone());
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.tickets.decrypt(cipher)
    }
}

fn handshake(ca: &TestCa, client: &Issued, config: ServerConfig) {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der()).expect("a root");
    let provider = rustls::crypto::ring::default_provider();
    let client = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has it")
        .with_root_certificates(roots)
        .with_client_auth_cert(client.chain().to_vec(), client.key_der())
        .expect("a key");
    let name = "server.example".try_into().expect("a name");
    let mut client = ClientConnection::new(client.into(), name).expect("a client");
    let mut server = ServerConnection::new(config.into()).expect("a server");
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("memory");
        }
        server.read_tls(&mut &*flight).expect("memory");
        server.process_new_packets().expect("a good client");
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).expect("memory");
        }
        client.read_tls(&mut &*flight).expect("memory");
        client.process_new_packets().expect("a good server");
    }
}
