//! Everything that the sequences are made of, issued once.

use std::time::Duration;

use countersign::TrustStore;
use countersign::identity::{SerialAndIssuer, SpiffeId};
use countersign::pki::{Certificate, Crl};
use countersign::policy::DenyEntry;
use countersign::testing::{CrlBuilder, Issued, LeafBuilder, TestCa};
use countersign::trust::{Crls, ExpiredCrl, Revocation, RevocationDepth, Trust, UnknownStatus};
use rustls_pki_types::{CertificateDer, UnixTime};

pub(crate) const SERVER: &str = "server.example";

/// Seconds after [`World::start`] around which something begins or ends.
pub(crate) const EDGES: [u64; 4] = [100, 200, 300, 400];

pub(crate) struct World {
    pub(crate) start: UnixTime,
    pub(crate) own: Issued,
    pub(crate) chains: Vec<Chain>,
    pub(crate) trusts: Vec<Trust>,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) denials: Vec<DenyEntry<SpiffeId>>,
}

pub(crate) struct Chain {
    pub(crate) label: &'static str,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Whether some trust admits it.
    pub(crate) can_be_good: bool,
}

/// The authorities: two roots, one more of the first one's name, and one that both certified.
struct Authorities {
    one: TestCa,
    two: TestCa,
    namesake: TestCa,
    below_one: TestCa,
    below_two: TestCa,
    short_lived: TestCa,
    shared_by_one: TestCa,
    shared_by_two: TestCa,
}

impl World {
    pub(crate) fn new() -> Self {
        // The authorities' certificates are valid around today.
        let start = UnixTime::now();
        let at = |second| at(start, second);
        let one = TestCa::new("Root One");
        let two = TestCa::new("Root Two");
        let shared_by_one = one.intermediate("Shared");
        let of = Authorities {
            namesake: one.same_name_other_key(),
            below_one: one.intermediate("Issuing One"),
            below_two: two.intermediate("Issuing Two"),
            short_lived: TestCa::builder("Short")
                .validity(at(100), at(300))
                .signed_by(&one),
            shared_by_two: shared_by_one.cross_signed_by(&two),
            shared_by_one,
            one,
            two,
        };
        let leaves = Leaves::new(&of, start);
        Self {
            start,
            own: of.one.leaf().dns(SERVER).issue(),
            trusts: trusts(&of, &leaves),
            revocations: revocations(&of, &leaves, start),
            denials: denials(&of, &leaves),
            chains: chains(&of, &leaves),
        }
    }
}

fn at(start: UnixTime, second: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(start.as_secs() + second))
}

/// A leaf for an ID of the trust domain `a.example` or `b.example`.
fn leaf(ca: &TestCa, id: &str) -> LeafBuilder {
    ca.leaf().dns(SERVER).spiffe(&format!("spiffe://{id}"))
}

struct Leaves {
    direct: Issued,
    through: Issued,
    early: Issued,
    late: Issued,
    through_short_lived: Issued,
    of_two: Issued,
    through_two: Issued,
    minted: Issued,
    of_namesake: Issued,
    pinned: Issued,
    key_pinned: Issued,
    shared: Issued,
    ambiguous: Issued,
    nameless: Issued,
}

impl Leaves {
    fn new(of: &Authorities, start: UnixTime) -> Self {
        let at = |second| at(start, second);
        let unrelated = TestCa::new("unused");
        let ambiguous = leaf(&of.one, "a.example/one").spiffe("spiffe://a.example/two");
        Self {
            direct: leaf(&of.one, "a.example/direct").issue(),
            through: leaf(&of.below_one, "a.example/through").issue(),
            early: leaf(&of.one, "a.example/early")
                .validity(at(0), at(200))
                .issue(),
            late: leaf(&of.one, "a.example/late")
                .validity(at(200), at(400))
                .issue(),
            through_short_lived: leaf(&of.short_lived, "a.example/short").issue(),
            of_two: leaf(&of.two, "b.example/direct").issue(),
            through_two: leaf(&of.below_two, "b.example/through").issue(),
            minted: leaf(&of.one, "b.example/direct").issue(),
            of_namesake: leaf(&of.namesake, "a.example/direct").issue(),
            pinned: leaf(&unrelated, "a.example/pinned")
                .validity(at(0), at(300))
                .self_signed(),
            key_pinned: leaf(&unrelated, "b.example/pinned").self_signed(),
            shared: leaf(&of.shared_by_one, "a.example/shared").issue(),
            ambiguous: ambiguous.issue(),
            nameless: of.one.leaf().dns(SERVER).issue(),
        }
    }
}

fn chains(of: &Authorities, leaves: &Leaves) -> Vec<Chain> {
    let chain = |label, certificates| Chain {
        label,
        certificates,
        can_be_good: true,
    };
    let sent = |label, issued: &Issued| chain(label, issued.chain().to_vec());
    let alone = |label, issued: &Issued| chain(label, vec![issued.leaf_der().clone()]);
    let with = |label, issued: &Issued, more: &[&TestCa]| {
        let more = more.iter().map(|ca| ca.certificate_der());
        chain(label, issued.chain().iter().cloned().chain(more).collect())
    };
    let two_paths = |label, order: [&TestCa; 2]| Chain {
        ..with(label, &leaves.shared.leaf_only(), &order)
    };
    let bad = |chain: Chain| Chain {
        can_be_good: false,
        ..chain
    };
    vec![
        sent("direct", &leaves.direct),
        with("direct, with more", &leaves.direct, &[&of.two]),
        sent("through an intermediate", &leaves.through),
        with("through, with more", &leaves.through, &[&of.below_two]),
        sent("early", &leaves.early),
        sent("late", &leaves.late),
        sent("through a short-lived one", &leaves.through_short_lived),
        sent("of two", &leaves.of_two),
        sent("through, of two", &leaves.through_two),
        sent("of one, for the other's domain", &leaves.minted),
        sent("pinned", &leaves.pinned),
        sent("pinned by key", &leaves.key_pinned),
        sent("by one", &leaves.shared),
        two_paths("by one and two", [&of.shared_by_one, &of.shared_by_two]),
        two_paths("by two and one", [&of.shared_by_two, &of.shared_by_one]),
        bad(alone("through, alone", &leaves.through)),
        bad(sent("of a namesake", &leaves.of_namesake)),
        bad(sent("two identities", &leaves.ambiguous)),
        bad(sent("no identity", &leaves.nameless)),
        bad(chain("an authority", of.below_one.chain_der())),
    ]
}

fn certificate(ca: &TestCa) -> Certificate {
    Certificate::from_der(&ca.certificate_der()).unwrap()
}

fn trusts(of: &Authorities, leaves: &Leaves) -> Vec<Trust> {
    let (one, two) = (|| of.one.trust(), || of.two.trust());
    let pins = |store: TrustStore| {
        store
            .pin(&leaves.pinned.certificate())
            .pin_spki(leaves.key_pinned.certificate().spki_sha256())
    };
    let domains = |bundles: Vec<(&str, TrustStore)>| {
        let by_domain = bundles
            .into_iter()
            .fold(TrustStore::by_trust_domain(), |all, (name, bundle)| {
                all.with(name.parse().unwrap(), bundle).unwrap()
            });
        Trust::from(by_domain)
    };
    vec![
        one().into(),
        two().into(),
        one().and(two()).into(),
        two().and(of.namesake.trust()).and(one()).into(),
        pins(one()).into(),
        one().with_intermediate(certificate(&of.below_one)).into(),
        domains(vec![("a.example", one())]),
        domains(vec![("a.example", one()), ("b.example", two())]),
        domains(vec![("a.example", two()), ("b.example", pins(one()))]),
        domains(vec![("a.example", pins(one()).and(two()))]),
    ]
}

fn revocations(of: &Authorities, leaves: &Leaves, start: UnixTime) -> Vec<Revocation> {
    let all = [
        &of.one,
        &of.two,
        &of.namesake,
        &of.below_one,
        &of.below_two,
        &of.short_lived,
        &of.shared_by_one,
    ];
    // A list of each authority, changed as `change` wants.
    let with = |change: &dyn Fn(&TestCa, CrlBuilder) -> Option<CrlBuilder>| {
        let lists = all.iter().filter_map(|ca| change(ca, ca.crl()));
        let lists = lists.map(|list| Crl::from_der(&list.build()).unwrap());
        Revocation::new(Crls::new(lists).unwrap())
    };
    let is = |ca: &TestCa, other: &TestCa| ca.certificate_der() == other.certificate_der();
    let due = |list: CrlBuilder, second| list.next_update(at(start, second));
    let complete = with(&|_, list| Some(list));
    let some_due = with(&|ca, list| {
        let second = if is(ca, &of.one) { 200 } else { 300 };
        Some(due(list, second))
    });
    // Neither that of the CA of the same name: alone it would not fit the trust.
    let roots = [&of.one, &of.two, &of.namesake];
    let without_roots = with(&|ca, list| (!roots.iter().any(|root| is(ca, root))).then_some(list));
    let serial = |ca: &TestCa| certificate(ca).serial().as_bytes().to_vec();
    vec![
        complete.clone(),
        with(&|_, list| {
            let revoked = [&leaves.direct, &leaves.through, &leaves.shared];
            Some(
                revoked
                    .iter()
                    .fold(list, |list, leaf| list.revoke(leaf.serial())),
            )
        }),
        // One of the two paths, and an intermediate.
        with(&|ca, list| {
            let of_one = is(ca, &of.one);
            let revoked = [serial(&of.shared_by_one), serial(&of.below_one)];
            let revoke = |list: CrlBuilder| {
                revoked
                    .iter()
                    .fold(list, |list, serial| list.revoke(serial))
            };
            Some(if of_one { revoke(list) } else { list })
        }),
        with(&|ca, list| {
            Some(match is(ca, &of.two) {
                true => list.revoke(&serial(&of.shared_by_two)),
                false => due(list, 300),
            })
        }),
        some_due.clone(),
        some_due.clone().grace(Duration::from_secs(100)),
        some_due.expired(ExpiredCrl::Ignore),
        without_roots.clone(),
        without_roots.clone().depth(RevocationDepth::EndEntity),
        without_roots.clone().unknown_status(UnknownStatus::Allow),
        without_roots.no_crl_from(&certificate(&of.one)),
        complete.depth(RevocationDepth::EndEntity),
    ]
}

fn denials(of: &Authorities, leaves: &Leaves) -> Vec<DenyEntry<SpiffeId>> {
    let serial =
        |certificate: &Certificate| DenyEntry::Serial(SerialAndIssuer::of(certificate).unwrap());
    let key = |certificate: &Certificate| DenyEntry::Key(certificate.spki_sha256());
    let identity = |id: &str| DenyEntry::Identity(id.parse().unwrap());
    vec![
        serial(&leaves.direct.certificate()),
        serial(&certificate(&of.below_one)),
        // One of two paths: which of them is taken must not depend on the cache either.
        serial(&certificate(&of.shared_by_one)),
        serial(&certificate(&of.shared_by_two)),
        key(&leaves.through.certificate()),
        key(&certificate(&of.shared_by_one)),
        key(&certificate(&of.below_two)),
        identity("spiffe://a.example/early"),
        identity("spiffe://b.example/direct"),
    ]
}
