//! A whole handshake in memory, with a client that has a valid key and presents a mutated chain.
//!
//! The input is a recipe, so that it does not depend on the keys of this process: a byte of flags, then
//! edits of four bytes each. The edits change the issued chain, which breaks a signature, and the gate
//! must reject it. Or they change what the CA signs, so that hostile content has a valid signature, and
//! the gate must decide without a panic.
#![no_main]

use std::sync::{Arc, LazyLock};

use countersign::identity::SpiffeId;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, ConnectionInfo, policy};
use libfuzzer_sys::fuzz_target;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::CertificateDer;

const SIGNED_BY_THE_CA: u8 = 1;
const TLS_1_2: u8 = 1 << 1;
const WITHOUT_INTERMEDIATE: u8 = 1 << 2;
const EDIT_THE_INTERMEDIATE: u8 = 1 << 3;
const REPEAT_THE_CHAIN: u8 = 1 << 4;

fuzz_target!(|recipe: &[u8]| {
    let Some((&flags, edits)) = recipe.split_first() else {
        return;
    };
    let has = |flag| flags & flag != 0;
    let fixture = &*FIXTURE;

    let mut chain: Vec<CertificateDer<'static>> = fixture.client.chain().to_vec();
    if has(SIGNED_BY_THE_CA) {
        chain[0] = fixture.sign(edits);
    } else {
        let edited = usize::from(has(EDIT_THE_INTERMEDIATE));
        chain[edited] = edit(chain[edited].to_vec(), edits).into();
    }
    let untouched = chain == fixture.client.chain();
    if has(WITHOUT_INTERMEDIATE) {
        chain.truncate(1);
    }
    if has(REPEAT_THE_CHAIN) {
        chain.extend(chain.clone());
    }

    // First the gate alone, then the gate after a handshake.
    let by_chain = fixture
        .acceptor
        .control()
        .admit_chain(&chain, ConnectionInfo::default());
    match &by_chain {
        Ok(admission) => {
            let peer = admission.peer();
            assert_eq!(*peer.certificate().der(), chain[0]);
            assert!(!format!("{peer:?}").contains(char::is_control));
        }
        Err(error) => {
            assert!(!error.reason().is_empty());
            assert!(!error.to_string().contains(char::is_control), "{error}");
            let _ = format!("{error:?}");
        }
    }
    let version = if has(TLS_1_2) { &TLS12 } else { &TLS13 };
    let admitted = fixture
        .handshake(version, chain.clone())
        .is_some_and(|server| {
            let admission = fixture.acceptor.control().admit(&server, None);
            if let Ok(admission) = &admission {
                let certificate = admission.peer().certificate();
                assert_eq!(*certificate.der(), chain[0]);
                assert_eq!(certificate.spki(), fixture.client.certificate().spki());
            }
            admission.is_ok()
        });

    assert!(
        !admitted || by_chain.is_ok(),
        "rejected by its chain, then admitted"
    );
    if !has(SIGNED_BY_THE_CA) {
        // Only the issued chain is admitted. More certificates after it change nothing.
        let whole = !has(WITHOUT_INTERMEDIATE);
        let edited_leaf = chain[0] != *fixture.client.leaf_der();
        assert!(!(admitted && edited_leaf), "a forged certificate");
        assert!(by_chain.is_err() || !edited_leaf, "a forged certificate");
        assert!(!untouched || !whole || admitted, "{:?}", by_chain.err());
        assert!(!untouched || whole || !admitted, "no path to the root");
    }
});

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

struct Fixture {
    issuing: TestCa,
    client: Issued,
    client_key: Arc<dyn SigningKey>,
    acceptor: Acceptor<SpiffeId>,
    roots: RootCertStore,
}

impl Fixture {
    fn new() -> Self {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing CA");
        let client = issuing
            .leaf()
            .common_name("client")
            .spiffe("spiffe://example.org/ns/billing")
            .dns("client.example")
            .issue();
        let server = issuing.leaf().dns("server.example").issue();
        let acceptor = Acceptor::builder()
            .credentials(server.credentials())
            .trust(root.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .build()
            .expect("an acceptor");
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate_der()).expect("a root");
        Self {
            issuing,
            client_key: ring::sign::any_supported_type(&client.key_der()).expect("a key"),
            client,
            acceptor,
            roots,
        }
    }

    /// A certificate for the client's key. The edits change its content before the CA signs it.
    fn sign(&self, edits: &[u8]) -> CertificateDer<'static> {
        let edits = edits.to_vec();
        let issued = self
            .issuing
            .leaf()
            .common_name("client")
            .spiffe("spiffe://example.org/ns/billing")
            .dns("client.example")
            .serial(&[1])
            .spki_der(self.client.certificate().spki().to_vec())
            .map_tbs(move |tbs| edit(tbs, &edits))
            .issue();
        issued.leaf_der().clone()
    }

    /// The server's side of a finished handshake, or `None` if it failed.
    fn handshake(
        &self,
        version: &'static SupportedProtocolVersion,
        chain: Vec<CertificateDer<'static>>,
    ) -> Option<ServerConnection> {
        let certified = CertifiedKey::new(chain, self.client_key.clone());
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[version])
            .expect("ring has both versions")
            .with_root_certificates(self.roots.clone())
            .with_client_cert_resolver(Arc::new(Always(Arc::new(certified))));
        config.resumption = Resumption::disabled();
        let name = "server.example".try_into().expect("a name");
        let mut client = ClientConnection::new(config.into(), name).expect("a client");
        let mut server =
            ServerConnection::new(self.acceptor.unauthorized_rustls_config()).expect("a server");
        while client.is_handshaking() || server.is_handshaking() {
            let flight = written(|to| client.write_tls(to));
            let mut flight = &flight[..];
            while !flight.is_empty() {
                server.read_tls(&mut flight).ok()?;
                server.process_new_packets().ok()?;
            }
            let flight = written(|to| server.write_tls(to));
            let mut flight = &flight[..];
            while !flight.is_empty() {
                client.read_tls(&mut flight).ok()?;
                client.process_new_packets().ok()?;
            }
        }
        Some(server)
    }
}

/// Everything that a side sends now.
fn written(mut write_tls: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize>) -> Vec<u8> {
    let mut flight = Vec::new();
    while write_tls(&mut flight).expect("writing to memory") > 0 {}
    flight
}

/// Presents the same chain for every request of a server.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Applies the edits: operation, position (two bytes), value.
fn edit(mut der: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    /// Larger than the certificates in use.
    const MAX: usize = 16 * 1024;

    for (number, step) in edits.chunks_exact(4).enumerate() {
        let [operation, high, low, value] = *step else {
            return der;
        };
        if der.is_empty() {
            return der;
        }
        let at = usize::from(u16::from_be_bytes([high, low])) % der.len();
        match operation % 8 {
            0 => der[at] = value,
            1 => der[at] ^= 1 << (value % 8),
            2 => der[at] = der[at].wrapping_add(value),
            3 => der.insert(at, value),
            4 => drop(der.remove(at)),
            5 => der.truncate(at + 1),
            // A part is repeated, like a duplicate extension or name.
            6 => {
                let end = (at + usize::from(value)).min(der.len());
                let piece = der[at..end].to_vec();
                der.splice(at..at, piece);
            }
            // The rest of the recipe is text that replaces a part.
            _ => {
                let text = &edits[(number + 1) * 4..];
                let end = (at + usize::from(value)).min(der.len());
                der.splice(at..end, text.iter().copied());
                der.truncate(MAX);
                return der;
            }
        }
        der.truncate(MAX);
    }
    der
}
