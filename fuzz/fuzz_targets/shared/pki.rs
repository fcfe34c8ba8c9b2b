//! A fixed PKI with everything that makes paths hard to find, and the chain, the trust and the CRLs that an
//! input chooses from it.
//!
//! The keys are new in each process, so an input names certificates by their places: the first byte is a
//! byte of flags, the second chooses the roots, two more the CRLs, the fifth the time, and each byte that
//! follows is a certificate of the presented chain, the leaf first.

use std::sync::LazyLock;
use std::time::Duration;

use countersign::pki::Crl;
use countersign::testing::{FixedClock, KeyUsageBits, TestCa, der};
use countersign::trust::{
    ChainVerifier, Crls, ExpiredCrl, Profile, Revocation, RevocationDepth, Trust, TrustBundles,
    UnknownStatus,
};
use countersign::{Certificate, Side, TrustStore};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

pub const BY_DOMAIN: u8 = 1;
pub const STRICT: u8 = 1 << 1;
pub const SERVERS: u8 = 1 << 2;
pub const UNKNOWN_IS_GOOD: u8 = 1 << 3;
pub const LEAF_ONLY: u8 = 1 << 4;
pub const STALE_IS_GOOD: u8 = 1 << 5;
pub const MORE_INTERMEDIATES: u8 = 1 << 6;

/// The CA whose constraints are about URIs.
pub const URIS: &str = "URIs";

/// The keyIdentifier of no CA, in the authorityKeyIdentifier of a leaf.
pub const OF_ANOTHER: &[u8] = b"another";

const DOMAINS: [&str; 2] = ["a.example", "b.example"];
const DAY: u64 = 24 * 60 * 60;

pub static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

pub struct Pki {
    now: u64,
    roots: Vec<TestCa>,
    /// Leaves and CAs, of which an input makes a chain.
    pub certificates: Vec<CertificateDer<'static>>,
    /// How many of them are leaves.
    pub leaves: usize,
    crls: Vec<CertificateRevocationListDer<'static>>,
}

/// What an input chose.
pub struct Chosen {
    pub flags: u8,
    pub side: Side,
    pub profile: Profile,
    pub roots: Vec<CertificateDer<'static>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    pub now: UnixTime,
    pub chain: Vec<CertificateDer<'static>>,
}

impl Pki {
    fn new() -> Self {
        let now = FixedClock::now().time().as_secs();
        let at = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let one = TestCa::new("Root One");
        let two = TestCa::new("Root Two");
        let impostor = one.same_name_other_key();
        let issuing = one.intermediate("Issuing");
        let deep = issuing.intermediate("Deep");
        let deeper = deep.intermediate("Deeper");
        let crossed = issuing.cross_signed_by(&two);
        let other_key = issuing.same_name_other_key();
        // Two that have certified each other.
        let here = TestCa::builder("Here").signed_by(&one);
        let there = TestCa::builder("There").signed_by(&here);
        let back = here.cross_signed_by(&there);
        let expired = TestCa::builder("Expired")
            .validity(at(now - 20 * DAY), at(now - 10 * DAY))
            .signed_by(&one);
        let flat = TestCa::builder("Flat").path_len(Some(0)).signed_by(&one);
        let below_flat = flat.intermediate("Below Flat");
        let no_sign = TestCa::builder("No Sign")
            .key_usage(Some(KeyUsageBits::DIGITAL_SIGNATURE))
            .signed_by(&one);
        let no_ca = TestCa::builder("No CA")
            .no_basic_constraints()
            .signed_by(&one);
        let dns = |name: &str| der::tlv(0x82, name);
        let uri = |host: &str| der::tlv(0x86, host);
        let named = TestCa::builder("Named")
            .constrain_names(&[dns("example.org")], &[dns("bad.example.org")])
            .signed_by(&one);
        let uris = TestCa::builder(URIS)
            .constrain_names(&[uri("a.example")], &[])
            .signed_by(&one);
        let odd = TestCa::builder("Odd")
            .extension("1.2.3.4", true, &[5, 0])
            .signed_by(&two);
        let clients = TestCa::builder("Clients")
            .extended_key_usage(&["1.3.6.1.5.5.7.3.2"])
            .signed_by(&two);
        let no_key_usage = TestCa::builder("No Usage").key_usage(None).signed_by(&two);

        let cas = [
            &one,
            &two,
            &impostor,
            &issuing,
            &deep,
            &deeper,
            &crossed,
            &other_key,
            &here,
            &there,
            &back,
            &expired,
            &flat,
            &below_flat,
            &no_sign,
            &no_ca,
            &named,
            &odd,
            &clients,
            &no_key_usage,
            &uris,
        ];
        let mut certificates = Vec::new();
        for (number, ca) in cas.iter().enumerate() {
            let domain = DOMAINS[number % 2];
            let leaf = || {
                ca.leaf()
                    .spiffe(&format!("spiffe://{domain}/x"))
                    .dns("x.example.org")
                    .serial(&[1, number as u8])
            };
            certificates.push(leaf().issue().leaf_der().clone());
        }
        let leaf = || {
            issuing
                .leaf()
                .spiffe("spiffe://a.example/x")
                .dns("x.example.org")
        };
        for odd in [
            leaf().expired(),
            leaf().not_yet_valid(),
            leaf().client_only(),
            leaf().server_only(),
            leaf().ca(),
            leaf().key_usage(Some(KeyUsageBits::KEY_CERT_SIGN)),
            leaf().key_usage(Some(KeyUsageBits::KEY_ENCIPHERMENT)),
            leaf().version(1).without_extensions(),
            leaf().extension("1.2.3.4", true, &[5, 0]),
            leaf().serial(&[0xff]),
            leaf().authority_key_id(None),
            leaf().authority_key_id(Some(OF_ANOTHER)),
            leaf().spiffe("spiffe://b.example/y"),
            leaf().signature(vec![0x30, 0]),
            issuing.leaf().common_name("no names"),
            issuing.leaf().spiffe("spiffe://c.example/x"),
            issuing.leaf().san_der(vec![0x30, 0x80, 0, 0]),
            named.leaf().dns("bad.example.org"),
            named.leaf().spiffe("spiffe://b.example/x"),
            named
                .leaf()
                .san_der(der::sequence(&[der::tlv(0x87, [1, 2, 3])])),
        ] {
            certificates.push(odd.issue().leaf_der().clone());
        }
        certificates.push(leaf().self_signed().leaf_der().clone());
        let leaves = certificates.len();
        certificates.extend(cas.iter().map(|ca| ca.certificate_der()));

        let crls = [
            one.crl(),
            one.crl().revoke(&[1, 0]).number(2),
            one.crl().next_update(at(now - 1)).number(3),
            two.crl().revoke(&[1, 1]),
            issuing.crl(),
            issuing.crl().revoke(&[1, 3]).number(2),
            issuing.crl().this_update(at(now + 10 * DAY)),
            deep.crl().revoke(&[1, 4]),
            other_key.crl().revoke(&[1, 3]),
            here.crl(),
            there.crl(),
            no_key_usage.crl(),
            no_sign.crl(),
            impostor.crl().revoke(&[1, 0]),
            named.crl().without_next_update(),
            crossed.crl().extension("1.2.3.4", true, &[5, 0]),
        ];
        Self {
            now,
            roots: vec![one.clone(), two.clone(), impostor.clone(), issuing.clone()],
            certificates,
            leaves,
            crls: crls.map(countersign::testing::CrlBuilder::build).to_vec(),
        }
    }

    pub fn choose(&self, input: &[u8]) -> Option<Chosen> {
        let [flags, trusted, low, high, time, chain @ ..] = input else {
            return None;
        };
        let roots = self.roots.iter().enumerate();
        let roots = roots.filter(|(bit, _)| trusted >> bit & 1 == 1);
        let lists = u16::from_be_bytes([*high, *low]);
        let crls = self.crls.iter().enumerate();
        let crls = crls.filter(|(bit, _)| lists >> bit & 1 == 1);
        let days = u64::from(*time % 64);
        let now = match time >> 6 {
            0 => self.now,
            1 => self.now + days * DAY,
            2 => self.now - days * DAY,
            _ => self.now + days * 365 * DAY,
        };
        let has = |flag| flags & flag != 0;
        Some(Chosen {
            flags: *flags,
            side: if has(SERVERS) {
                Side::Server
            } else {
                Side::Client
            },
            profile: if has(STRICT) {
                Profile::Rfc5280
            } else {
                Profile::Compatible
            },
            roots: roots.map(|(_, root)| root.certificate_der()).collect(),
            crls: crls.map(|(_, crl)| crl.clone()).collect(),
            now: UnixTime::since_unix_epoch(Duration::from_secs(now)),
            chain: self.chain(chain),
        })
    }

    fn chain(&self, places: &[u8]) -> Vec<CertificateDer<'static>> {
        let places = places.iter().take(12);
        places
            .map(|place| self.certificates[usize::from(*place) % self.certificates.len()].clone())
            .collect()
    }
}

impl Chosen {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The roots that count for the leaf. With trust domains, the first root is that of the first domain, and
    /// the others are those of the second.
    pub fn roots_for(&self, domain: Option<&str>) -> &[CertificateDer<'static>] {
        if !self.has(BY_DOMAIN) {
            return &self.roots;
        }
        let split = self.roots.len().min(1);
        match DOMAINS.iter().position(|known| Some(*known) == domain) {
            None => &[],
            Some(0) => &self.roots[..split],
            Some(_) => &self.roots[split..],
        }
    }

    fn store(&self) -> Option<TrustStore> {
        let mut store = TrustStore::from_der(self.roots.iter().cloned()).ok()?;
        if self.has(MORE_INTERMEDIATES) {
            store = store.with_intermediate(more());
        }
        Some(store)
    }

    /// By trust domain; `None` if a bundle would be empty.
    fn bundles(&self) -> Option<TrustBundles> {
        let mut bundles = TrustStore::by_trust_domain();
        for domain in DOMAINS {
            let mut store =
                TrustStore::from_der(self.roots_for(Some(domain)).iter().cloned()).ok()?;
            if self.has(MORE_INTERMEDIATES) {
                store = store.with_intermediate(more());
            }
            bundles = bundles
                .with(domain.parse().expect("a domain"), store)
                .ok()?;
        }
        Some(bundles)
    }

    fn revocation(&self) -> Option<Revocation> {
        let lists = self.crls.iter().filter_map(|der| Crl::from_der(der).ok());
        let mut rules = Revocation::new(Crls::new(lists).ok()?);
        if self.has(UNKNOWN_IS_GOOD) {
            rules = rules.unknown_status(UnknownStatus::Allow);
        }
        if self.has(LEAF_ONLY) {
            rules = rules.depth(RevocationDepth::EndEntity);
        }
        if self.has(STALE_IS_GOOD) {
            rules = rules.expired(ExpiredCrl::Ignore);
        }
        Some(rules)
    }

    /// The verifier of all this; `None` if the choice is none that an endpoint accepts.
    pub fn verifier(&self) -> Option<ChainVerifier> {
        let provider = rustls::crypto::ring::default_provider();
        let trust: Trust = if self.has(BY_DOMAIN) {
            self.bundles()?.into()
        } else {
            self.store()?.into()
        };
        let verifier = ChainVerifier::new(trust, self.side, &provider).profile(self.profile);
        Some(match self.revocation() {
            Some(rules) => verifier.revocation(rules),
            None => verifier,
        })
    }
}

/// An intermediate that the application has, beside what peers present.
pub fn more() -> Certificate {
    static MORE: LazyLock<Certificate> = LazyLock::new(|| {
        let pki = &*PKI;
        let issuing = &pki.certificates[pki.leaves + 3];
        Certificate::from_der(issuing).expect("a certificate")
    });
    MORE.clone()
}
