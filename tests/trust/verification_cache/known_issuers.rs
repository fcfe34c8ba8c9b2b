//! A new leaf of a known intermediate costs one signature, and is otherwise verified as any other.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use countersign::builder::{Builder, ServerSide};
use countersign::identity::{DnsName, SpiffeId, TrustDomain};
use countersign::pki::Crl;
use countersign::testing::{FixedClock, Issued, TestCa, der};
use countersign::trust::{Crls, TrustBundles};
use countersign::{Acceptor, ConnectionInfo, Control, TrustStore, Update, policy};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::support::says;
use crate::counting::counting;
use support::SERVER;

/// A gate, and how many signatures of certificates it has verified.
struct Counting {
    acceptor: Acceptor<DnsName>,
    signatures: &'static AtomicUsize,
}

impl Counting {
    fn new(
        root: &TestCa,
        trust: TrustStore,
        build: impl FnOnce(Builder<ServerSide, DnsName>) -> Builder<ServerSide, DnsName>,
    ) -> Self {
        let (provider, signatures) = counting();
        let builder = Acceptor::builder()
            .credentials(root.leaf().dns(SERVER).issue().credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .crypto_provider(provider);
        let acceptor = build(builder).build().unwrap();
        signatures.store(0, SeqCst);
        Self {
            acceptor,
            signatures,
        }
    }

    fn of(root: &TestCa) -> Self {
        Self::new(root, root.trust(), |builder| builder)
    }

    fn control(&self) -> &Control<DnsName> {
        self.acceptor.control()
    }

    /// The verdict, and the number of signatures that it took.
    fn says(&self, chain: &[CertificateDer<'_>]) -> (&'static str, usize) {
        let before = self.signatures.load(SeqCst);
        let verdict = says(self.control(), chain);
        (verdict, self.signatures.load(SeqCst) - before)
    }

    /// Why a chain is rejected.
    fn cause(&self, chain: &[CertificateDer<'_>]) -> String {
        let refused = self.control().admit_chain(chain, ConnectionInfo::default());
        refused.map(drop).unwrap_err().to_string()
    }

    /// The verdict about a new leaf of this authority.
    fn says_of_leaf_of(&self, ca: &TestCa) -> (&'static str, usize) {
        self.says(new_leaf(ca).chain())
    }
}

fn new_leaf(ca: &TestCa) -> Issued {
    ca.leaf().dns("client.example").issue()
}

fn changed(der: &CertificateDer<'_>, place: usize) -> CertificateDer<'static> {
    let mut der = der.to_vec();
    der[place] ^= 1;
    der.into()
}

#[test]
fn a_new_leaf_of_a_known_intermediate_costs_one_signature() {
    let root = TestCa::new("Root");
    let upper = root.intermediate("Upper");
    let lower = upper.intermediate("Lower");
    let gate = Counting::of(&root);
    assert_eq!(gate.says_of_leaf_of(&lower), ("good", 3));
    for _ in 0..3 {
        assert_eq!(gate.says_of_leaf_of(&lower), ("good", 1));
    }
    // What is known of one authority helps with others.
    assert_eq!(gate.says_of_leaf_of(&upper), ("good", 1));
    let beside = upper.intermediate("Beside");
    assert_eq!(gate.says_of_leaf_of(&beside), ("good", 2));
    assert_eq!(gate.says_of_leaf_of(&beside), ("good", 1));
    assert_eq!(gate.says_of_leaf_of(&root), ("good", 1));

    // Without a cache, each chain is verified whole.
    let gate = Counting::new(&root, root.trust(), |builder| builder.verification_cache(0));
    for _ in 0..2 {
        assert_eq!(gate.says_of_leaf_of(&lower), ("good", 3));
    }
}

#[test]
fn an_intermediate_of_the_store_is_known_too() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let certificate = countersign::Certificate::from_der(&issuing.certificate_der()).unwrap();
    let trust = root.trust().with_intermediate(certificate);
    let gate = Counting::new(&root, trust, |builder| builder);
    for signatures in [2, 1, 1] {
        let leaf = new_leaf(&issuing).leaf_only();
        assert_eq!(gate.says(leaf.chain()), ("good", signatures));
    }
}

#[test]
fn the_signature_of_a_new_leaf_is_verified() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let gate = Counting::of(&root);
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    let leaf = new_leaf(&issuing);
    let mut chain = leaf.chain().to_vec();
    chain[0] = changed(&chain[0], chain[0].len() - 1);
    assert_eq!(gate.says(&chain), ("bad_signature", 1));
    assert_eq!(gate.says(leaf.chain()), ("good", 1));
    // Nor is a namesake with another key taken for it.
    let mut chain = new_leaf(&issuing.same_name_other_key()).chain().to_vec();
    chain.push(issuing.certificate_der());
    assert_eq!(gate.says(&chain), ("bad_signature", 1));
}

/// One bit of the intermediate is changed: in its signature, or in what is signed.
#[test]
fn a_changed_intermediate_is_not_the_known_one() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let known = issuing.certificate_der();
    let find = |part: &[u8]| {
        let mut windows = known.windows(part.len());
        windows.position(|window| window == part).unwrap()
    };
    let serial = countersign::Certificate::from_der(&known).unwrap();
    let in_serial = find(serial.serial().as_bytes()) + serial.serial().as_bytes().len() - 1;
    let gate = Counting::of(&root);
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    for place in [known.len() - 1, in_serial] {
        let leaf = new_leaf(&issuing);
        let mut chain = leaf.chain().to_vec();
        chain[1] = changed(&known, place);
        assert_eq!(gate.says(&chain), ("bad_signature", 1), "{place}");
        // With the good one beside it, the good one is used.
        chain.push(known.clone());
        assert_eq!(gate.says(&chain).0, "good", "{place}");
        assert_eq!(gate.says(leaf.chain()), ("good", 1), "{place}");
    }
}

#[test]
fn a_known_intermediate_expires() {
    let start = UnixTime::now().as_secs();
    let at = |second| UnixTime::since_unix_epoch(Duration::from_secs(start + second));
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing").validity(at(100), at(200));
    let issuing = issuing.signed_by(&root);
    let clock = FixedClock::at(at(150));
    let gate = Counting::new(&root, root.trust(), |builder| builder.clock(clock.clone()));
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    for (second, verdict) in [
        (99, "not_yet_valid"),
        (100, "good"),
        (200, "good"),
        (201, "expired"),
    ] {
        clock.set(at(second));
        assert_eq!(gate.says_of_leaf_of(&issuing), (verdict, 1), "at {second}");
    }
}

#[test]
fn the_status_of_a_known_intermediate_is_checked_each_time() {
    let start = UnixTime::now().as_secs();
    let at = |second| UnixTime::since_unix_epoch(Duration::from_secs(start + second));
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let of_root = root.crl().next_update(at(100)).build();
    let of_issuing = issuing.crl().next_update(at(1000)).build();
    let crls = [of_root, of_issuing].map(|list| Crl::from_der(&list).unwrap());
    let clock = FixedClock::at(at(50));
    let gate = Counting::new(&root, root.trust(), |builder| {
        let builder = builder.clock(clock.clone());
        builder.revocation(Crls::new(crls).unwrap())
    });
    assert_eq!(gate.says_of_leaf_of(&issuing).0, "good");
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 1));
    clock.set(at(100));
    assert_eq!(gate.says_of_leaf_of(&issuing).0, "crl_expired");
    clock.set(at(99));
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 1));
}

#[test]
fn a_known_intermediate_is_revoked() {
    let root = TestCa::new("Root");
    let (issuing, beside) = (root.intermediate("Issuing"), root.intermediate("Beside"));
    let gate = Counting::of(&root);
    for ca in [&issuing, &beside] {
        assert_eq!(gate.says_of_leaf_of(ca), ("good", 2));
        assert_eq!(gate.says_of_leaf_of(ca), ("good", 1));
    }
    let serial = countersign::Certificate::from_der(&issuing.certificate_der()).unwrap();
    let revoking = root.crl().revoke(serial.serial().as_bytes()).build();
    let lists = [revoking, issuing.crl().build(), beside.crl().build()];
    let crls = Crls::new(lists.map(|list| Crl::from_der(&list).unwrap())).unwrap();
    gate.control()
        .update(Update::new().revocation(crls))
        .unwrap();
    for _ in 0..2 {
        assert_eq!(gate.says_of_leaf_of(&issuing).0, "revoked");
        assert_eq!(gate.says_of_leaf_of(&beside).0, "good");
    }
}

#[test]
fn a_known_intermediate_does_not_outlive_its_root() {
    let (old, new) = (TestCa::new("Old"), TestCa::new("New"));
    let issuing = old.intermediate("Issuing");
    let gate = Counting::of(&old);
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    let replace = |trust: TrustStore| gate.control().update(Update::new().trust(trust)).unwrap();
    for (trust, verdict) in [
        (new.trust(), "unknown_issuer"),
        // A root of the same name with another key.
        (old.same_name_other_key().trust(), "bad_signature"),
        (old.trust(), "good"),
    ] {
        replace(trust);
        assert_eq!(gate.says_of_leaf_of(&issuing).0, verdict);
    }
    // The authority itself is signed by both.
    let crossed = issuing.cross_signed_by(&new);
    replace(old.trust().and(new.trust()));
    assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    assert_eq!(gate.says_of_leaf_of(&crossed), ("good", 2));
    assert_eq!(gate.says_of_leaf_of(&crossed), ("good", 1));
    replace(new.trust());
    assert_eq!(gate.says_of_leaf_of(&issuing).0, "unknown_issuer");
    assert_eq!(gate.says_of_leaf_of(&crossed).0, "good");
}

#[test]
fn the_constraints_of_a_known_intermediate_are_enforced() {
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing")
        .constrain_names(&[der::tlv(0x82, "inside.example")], &[])
        .path_len(Some(0))
        .signed_by(&root);
    let gate = Counting::of(&root);
    let named = |name| issuing.leaf().dns(name).issue();
    assert_eq!(gate.says(named("a.inside.example").chain()), ("good", 2));
    let outside = named("a.outside.example");
    assert_eq!(gate.says(outside.chain()), ("invalid_path", 1));
    assert!(gate.cause(outside.chain()).contains("a.outside.example"));
    assert_eq!(gate.says(named("b.inside.example").chain()), ("good", 1));
    let below = issuing.intermediate("Below");
    let below = below.leaf().dns("c.inside.example").issue();
    assert_eq!(gate.says(below.chain()).0, "invalid_path");
    assert!(gate.cause(below.chain()).contains("path length"));
}

#[test]
fn a_known_intermediate_is_trusted_for_its_own_domain_only() {
    let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
    let issuing = one.intermediate("Issuing");
    let with = |bundles: TrustBundles, domain: &str, ca: &TestCa| {
        let domain = domain.parse::<TrustDomain>().unwrap();
        bundles.with(domain, ca.trust()).unwrap()
    };
    let bundles = with(TrustStore::by_trust_domain(), "one.example", &one);
    let bundles = with(bundles, "two.example", &two);
    let gate = Acceptor::builder()
        .credentials(one.leaf().dns(SERVER).issue().credentials())
        .trust(bundles)
        .identify(SpiffeId::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let says = |id: &str| {
        let leaf = issuing.leaf().spiffe(id).issue();
        let admitted = gate
            .control()
            .admit_chain(leaf.chain(), ConnectionInfo::default());
        admitted.map_or_else(|error| error.reason(), |_| "good")
    };
    for _ in 0..2 {
        assert_eq!(says("spiffe://one.example/a"), "good");
        assert_eq!(says("spiffe://two.example/a"), "unknown_issuer");
    }
}

/// A chain that is rejected, for whatever reason, leaves nothing that a later one could use.
#[test]
fn rejected_chains_make_no_issuer_known() {
    let root = TestCa::new("Root");
    let stranger = TestCa::new("Stranger");
    let gate = Counting::of(&root);
    for _ in 0..3 {
        let issuing = root.intermediate("Issuing");
        let expired = issuing.leaf().expired().issue();
        for _ in 0..2 {
            // Both signatures are verified each time.
            let (verdict, signatures) = gate.says(expired.chain());
            assert_eq!((verdict, signatures), ("expired", 2));
        }
        let of_stranger = new_leaf(&stranger.intermediate("Issuing"));
        assert_eq!(gate.says(of_stranger.chain()), ("unknown_issuer", 0));
        assert_eq!(gate.says_of_leaf_of(&issuing), ("good", 2));
    }
    // A path that passes both validators, and whose leaf is revoked.
    let issuing = root.intermediate("Issuing");
    let revoked = new_leaf(&issuing);
    let lists = [
        root.crl().build(),
        issuing.crl().revoke(revoked.serial()).build(),
    ];
    let crls = Crls::new(lists.map(|list| Crl::from_der(&list).unwrap())).unwrap();
    let gate = Counting::new(&root, root.trust(), |builder| builder.revocation(crls));
    let refused = [(); 3].map(|()| gate.says(revoked.chain()));
    // The first one verifies the signatures of CRLs, too.
    assert_eq!(refused[1..], [("revoked", 2); 2]);
    let admitted = [(); 3].map(|()| gate.says_of_leaf_of(&issuing));
    assert_eq!(admitted, [("good", 3), ("good", 1), ("good", 1)]);
}
