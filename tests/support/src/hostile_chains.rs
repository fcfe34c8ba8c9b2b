//! The most expensive chains that a peer without a trusted certificate can present.
//!
//! Each fits into one TLS Certificate message (64 KiB), and is rejected. The attacker knows the
//! trusted root's name, because root names are public.

use countersign::testing::{Issued, KeyType, TestCa, der, oversized_rsa_spki};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The name of the root that the side under attack trusts.
pub const TRUSTED: &str = "Trusted Root";

/// One chain, and the reason code of its rejection.
pub struct Shape {
    pub name: &'static str,
    pub reason: &'static str,
    /// The key type of the trusted root, which decides what verifying its signatures costs.
    pub root: KeyType,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Shape {
    fn new(
        name: &'static str,
        reason: &'static str,
        leaf: &Issued,
        issuers: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        let leaf_der = leaf.leaf_der().clone();
        Self {
            name,
            reason,
            root: KeyType::P256,
            chain: std::iter::once(leaf_der).chain(issuers).collect(),
            key: leaf.key_der(),
        }
    }

    /// The octets of all certificates.
    pub fn size(&self) -> usize {
        self.chain.iter().map(|der| der.len()).sum()
    }
}

/// An honest chain of about this size: a leaf and its intermediate, of an authority that is not
/// trusted, with an extension that fills it up.
pub fn honest(size: usize) -> Shape {
    let filled = |fill: usize| {
        let root = TestCa::new("Honest Root");
        let filler = der::octet_string(vec![7; fill]);
        let intermediate = TestCa::builder("Honest CA").extension("1.2.3.4", false, &filler);
        let leaf = intermediate
            .signed_by(&root)
            .leaf()
            .dns("honest.example")
            .issue();
        Shape::new(
            "honest",
            "unknown_issuer",
            &leaf,
            leaf.chain()[1..].to_vec(),
        )
    };
    let empty = filled(0).size();
    filled(size.saturating_sub(empty))
}

/// All shapes.
pub fn all() -> Vec<Shape> {
    let mut shapes = vec![
        same_name("same name, 3 keys", 3, 0),
        same_name("same name, 7 keys", 7, 0),
        same_name("same name, 9 keys", 9, 0),
        same_name("same name, 9 keys, 800 extensions each", 9, 800),
        repeated(),
        ring(),
        ladder(
            "ladder to an unknown root",
            "Unknown Root",
            "unknown_issuer",
        ),
        ladder("ladder to a root's name", TRUSTED, "bad_signature"),
        oversized_keys(),
        many_names(),
        many_constraints(),
        long_names(),
        many_purposes(),
    ];
    for (name, kind) in [
        ("root's name, 9 P-256 keys", KeyType::P256),
        ("root's name, 9 P-384 keys", KeyType::P384),
        ("root's name, 9 P-521 keys", KeyType::P521),
        ("root's name, 9 RSA-2048 keys", KeyType::Rsa2048),
    ] {
        shapes.push(named_as_root(name, kind));
    }
    shapes
}

/// A leaf, and self-signed authorities of one name.
fn same_name(name: &'static str, keys: usize, extensions: usize) -> Shape {
    // All of them share 64 KiB.
    let extensions = extensions.min(60_000 / keys / 15);
    let evil = || {
        let mut builder = TestCa::builder("Evil");
        for number in 0..extensions {
            builder = builder.extension(&format!("1.3.9.{number}"), false, &der::null());
        }
        builder.root()
    };
    let authorities: Vec<TestCa> = (0..keys).map(|_| evil()).collect();
    let leaf = authorities[0].leaf().dns("a.example").issue();
    Shape::new(
        name,
        "unknown_issuer",
        &leaf,
        authorities.iter().map(TestCa::certificate_der),
    )
}

fn repeated() -> Shape {
    let evil = TestCa::new("Evil");
    let leaf = evil.leaf().dns("a.example").issue();
    let copies = std::iter::repeat_n(evil.certificate_der(), 9);
    Shape::new("one authority, 9 times", "unknown_issuer", &leaf, copies)
}

/// Three authorities that all signed each other, and each has a certificate in the root's name.
fn ring() -> Shape {
    let root = TestCa::new(TRUSTED);
    let members = ["One", "Two", "Three"].map(TestCa::new);
    let mut certificates = Vec::new();
    for member in &members {
        for issuer in members
            .iter()
            .filter(|it| it.subject_der() != member.subject_der())
        {
            certificates.push(member.cross_signed_by(issuer).certificate_der());
        }
        certificates.push(member.cross_signed_by(&root).certificate_der());
    }
    let leaf = members[0].leaf().dns("a.example").issue();
    Shape::new(
        "ring of cross-signed authorities",
        "bad_signature",
        &leaf,
        certificates,
    )
}

fn ladder(name: &'static str, root: &str, reason: &'static str) -> Shape {
    let mut authority = TestCa::new(root);
    for step in 0..6 {
        authority = authority.intermediate(&format!("Step {step}"));
    }
    let leaf = authority.leaf().dns("a.example").issue();
    Shape::new(name, reason, &leaf, leaf.chain()[1..].to_vec())
}

/// RSA keys of the greatest allowed size, so that the verifier computes their signatures.
fn oversized_keys() -> Shape {
    let root = TestCa::new(TRUSTED);
    let algorithm = der::sequence(&[der::oid("1.2.840.113549.1.1.11"), der::null()]);
    let signed = || {
        root.leaf()
            .signature_algorithm_der(algorithm.clone())
            .signature(vec![0x5a; 1024])
    };
    let issuers = (0..9u8).map(|number| {
        let mut spki = oversized_rsa_spki(8192);
        let middle = spki.len() / 2;
        spki[middle] = number;
        let mut issuer = signed().ca().subject_der(root.subject_der().to_vec());
        issuer = issuer.spki_der(spki);
        issuer.issue().leaf_der().clone()
    });
    let leaf = signed().dns("a.example").issue();
    Shape::new(
        "root's name, 9 RSA-8192 keys",
        "bad_signature",
        &leaf,
        issuers.collect::<Vec<_>>(),
    )
}

fn many_names() -> Shape {
    let evil = TestCa::new("Evil");
    let mut leaf = evil.leaf();
    for number in 0..10_000 {
        leaf = leaf.dns(&format!("{:02x}", number % 256));
    }
    Shape::new(
        "10,000 subjectAltNames",
        "unknown_issuer",
        &leaf.issue(),
        [evil.certificate_der()],
    )
}

fn many_constraints() -> Shape {
    let subtree = |number: usize| der::sequence(&[der::tlv(0x82, format!("{number:x}"))]);
    let subtrees: Vec<Vec<u8>> = (0..7_000).map(subtree).collect();
    let constraints = der::sequence(&[der::tlv(0xa0, subtrees.concat())]);
    let root = TestCa::new(TRUSTED);
    let ca = TestCa::builder("Constrained")
        .name_constraints(&constraints)
        .signed_by(&root);
    let leaf = ca.leaf().dns("a.example").issue();
    Shape::new(
        "60 kB of name constraints",
        "bad_signature",
        &leaf,
        [ca.certificate_der()],
    )
}

fn long_names() -> Shape {
    let name = "x".repeat(2_900);
    let authorities: Vec<TestCa> = (0..9).map(|_| TestCa::new(&name)).collect();
    let leaf = authorities[0].leaf().dns("a.example").issue();
    let issuers = authorities.iter().map(TestCa::certificate_der);
    Shape::new("names of 2.9 kB, 9 keys", "unknown_issuer", &leaf, issuers)
}

fn many_purposes() -> Shape {
    let evil = TestCa::new("Evil");
    let purposes: Vec<String> = (0..6_000).map(|number| format!("1.3.9.{number}")).collect();
    let purposes: Vec<&str> = purposes.iter().map(String::as_str).collect();
    let leaf = evil
        .leaf()
        .dns("a.example")
        .extended_key_usage(Some(&purposes))
        .issue();
    Shape::new(
        "6,000 extended key usages",
        "wrong_extended_key_usage",
        &leaf,
        [evil.certificate_der()],
    )
}

/// Authorities with the trusted root's name and keys of its type: only signatures distinguish them.
fn named_as_root(name: &'static str, kind: KeyType) -> Shape {
    let authority = || TestCa::builder(TRUSTED).key(kind).root();
    let authorities: Vec<TestCa> = (0..9).map(|_| authority()).collect();
    // Without a key identifier, and issued by the last one, so that the verifier tries all before it.
    let leaf = authorities[8].leaf().key(kind).without_extensions().issue();
    let issuers = authorities.iter().map(TestCa::certificate_der);
    Shape {
        root: kind,
        ..Shape::new(name, "too_many_candidates", &leaf, issuers)
    }
}
