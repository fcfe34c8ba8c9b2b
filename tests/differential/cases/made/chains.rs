//! Usages, constraints, chains and algorithms.

use countersign::testing::{
    Issued, KeyType, KeyUsageBits, LeafBuilder, TestCa, TestCaBuilder, der, oversized_rsa_spki,
};

use super::{Choice, DAY, Made, client, from_now, root};

const ANY: &str = "2.5.29.37.0";
const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
const SERVER: &str = "1.3.6.1.5.5.7.3.1";
const POLICY: &str = "2.16.840.1.101.3.2.1.3.13";

pub(super) fn cases() -> Vec<Made> {
    let all = [
        usages(),
        critical(),
        constraints(),
        chains(),
        leaf_keys(),
        signatures(),
    ];
    all.into_iter().flatten().collect()
}

fn leaf(name: &str, what: &str, change: impl FnOnce(LeafBuilder) -> LeafBuilder) -> Made {
    let root = root();
    Made::new(name, what, &root, &change(client(&root)).issue())
}

fn issuing(root: &TestCa, change: impl FnOnce(TestCaBuilder) -> TestCaBuilder) -> TestCa {
    change(TestCa::builder("Example Issuing CA")).signed_by(root)
}

/// A chain with an intermediate.
fn below(name: &str, what: &str, change: impl FnOnce(TestCaBuilder) -> TestCaBuilder) -> Made {
    let root = root();
    Made::new(name, what, &root, &client(&issuing(&root, change)).issue())
}

fn usages() -> Vec<Made> {
    let usage = |bits| move |leaf: LeafBuilder| leaf.key_usage(Some(bits));
    let purposes =
        |oids: &'static [&str]| move |leaf: LeafBuilder| leaf.extended_key_usage(Some(oids));
    let raw = |octets: &[u8]| {
        let value = der::tlv(0x03, octets);
        move |leaf: LeafBuilder| leaf.key_usage(None).extension("2.5.29.15", true, &value)
    };
    let may_sign = KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_CERT_SIGN;
    vec![
        leaf("client-auth", "clientAuth", |leaf| leaf),
        leaf(
            "server-auth-only",
            "serverAuth only, as public CAs issue",
            purposes(&[SERVER]),
        ),
        leaf("any-purpose", "anyExtendedKeyUsage only", purposes(&[ANY])),
        leaf(
            "any-purpose-and-client",
            "anyExtendedKeyUsage and clientAuth",
            purposes(&[ANY, CLIENT]),
        ),
        leaf("purposes-empty", "empty extendedKeyUsage", |leaf| {
            leaf.extended_key_usage(None).extension(
                "2.5.29.37",
                false,
                &der::sequence::<Vec<u8>>(&[]),
            )
        }),
        below(
            "issuer-server-auth",
            "intermediate limited to serverAuth",
            |ca| ca.extended_key_usage(&[SERVER]),
        ),
        leaf(
            "key-encipherment-only",
            "keyEncipherment only",
            usage(KeyUsageBits::KEY_ENCIPHERMENT),
        ),
        leaf(
            "end-entity-may-sign",
            "CA:FALSE and keyCertSign",
            usage(may_sign),
        ),
        leaf(
            "key-usage-not-trimmed",
            "keyUsage 00 80, not trimmed",
            raw(&[0, 0x80]),
        ),
        leaf(
            "key-usage-three-octets",
            "keyUsage of three octets",
            raw(&[0, 0x80, 0, 0]),
        ),
    ]
}

fn critical() -> Vec<Made> {
    let policies = der::sequence(&[der::sequence(&[der::oid(POLICY)])]);
    let required = der::sequence(&[der::tlv(0x80, [0])]);
    let in_leaf = policies.clone();
    vec![
        leaf(
            "unknown-critical",
            "an unknown critical extension in the leaf",
            |leaf| leaf.extension("1.3.6.1.4.1.53594.1.1", true, &der::octet_string(b"abc")),
        ),
        leaf(
            "critical-policies",
            "certificatePolicies critical in the leaf",
            move |leaf| leaf.extension("2.5.29.32", true, &in_leaf),
        ),
        below(
            "policy-constraints-unmet",
            "intermediate requires a policy, the leaf has none",
            |ca| {
                ca.extension("2.5.29.32", false, &policies)
                    .extension("2.5.29.36", true, &required)
            },
        ),
    ]
}

/// Name constraints of an intermediate, each with a leaf within and a leaf outside.
fn constraints() -> Vec<Made> {
    let mut cases = Vec::new();
    let mut pair = |kind: &str,
                    base: Vec<u8>,
                    excluded: bool,
                    names: [&dyn Fn(LeafBuilder) -> LeafBuilder; 2]| {
        let subtrees = der::tlv(if excluded { 0xa1 } else { 0xa0 }, der::sequence(&[base]));
        let constraints = der::sequence(&[subtrees]);
        let rule = if excluded { "excluded" } else { "permitted" };
        for (place, name) in ["within", "outside"].into_iter().zip(names) {
            let root = root();
            let ca = issuing(&root, |ca| ca.name_constraints(&constraints));
            cases.push(Made::new(
                &format!("{rule}-{kind}-{place}"),
                &format!("intermediate with {rule} {kind}, leaf {place}"),
                &root,
                &name(client(&ca)).issue(),
            ));
        }
    };
    let dn = der::common_name;
    let upn = der::oid("1.3.6.1.4.1.311.20.2.3");
    let upn = der::tlv(
        0xa0,
        [upn, der::tlv(0xa0, der::utf8("@corp.example"))].concat(),
    );
    pair(
        "dns",
        der::tlv(0x82, "example.org"),
        false,
        [&|leaf| leaf.dns("a.example.org"), &|leaf| {
            leaf.dns("a.example.com")
        }],
    );
    pair(
        "uri",
        der::tlv(0x86, "example.org"),
        false,
        [&|leaf| leaf.spiffe("spiffe://example.org/a"), &|leaf| {
            leaf.spiffe("spiffe://example.com/a")
        }],
    );
    pair(
        "mail",
        der::tlv(0x81, "example.org"),
        false,
        [&|leaf| leaf.email("ops@example.org"), &|leaf| {
            leaf.email("ops@example.com")
        }],
    );
    pair(
        "mail",
        der::tlv(0x81, "example.org"),
        true,
        [&|leaf| leaf.email("ops@example.org"), &|leaf| {
            leaf.email("ops@example.com")
        }],
    );
    pair(
        "directory-name",
        der::tlv(0xa4, dn("worker-7")),
        false,
        [&|leaf| leaf, &|leaf| leaf.subject_der(dn("worker-8"))],
    );
    pair(
        "upn",
        upn,
        false,
        [&|leaf| leaf.upn("ann@corp.example"), &|leaf| {
            leaf.upn("ann@other.example")
        }],
    );
    cases
}

fn chains() -> Vec<Made> {
    let root = root();
    let ca = issuing(&root, |ca| ca);
    let peer = client(&ca).issue();
    let made = |name: &str, what: &str| Made::new(name, what, &root, &peer);
    let (old, renewed) = (
        TestCa::new("Old Root"),
        issuing(&root, |ca| ca).same_name_other_key(),
    );
    let past = (from_now(-900 * DAY), from_now(-DAY));
    let expired = issuing(&root, |ca| ca.validity(past.0, past.1));
    let certificates: Vec<_> = [
        peer.leaf_der().clone(),
        root.certificate_der(),
        ca.certificate_der(),
    ]
    .into();
    let rekeyed = [
        peer.leaf_der().clone(),
        renewed.cross_signed_by(&root).certificate_der(),
    ];
    let mut deep = root.clone();
    for level in 0..10 {
        deep = deep.intermediate(&format!("Level {level} CA"));
    }
    let own = |leaf: LeafBuilder| leaf.self_signed();
    let opcua = own(client(&root).key_usage(Some(
        KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_CERT_SIGN,
    )));
    let critical =
        own(client(&root).extension("1.3.6.1.4.1.53594.1.1", true, &der::octet_string(b"abc")));
    let alone = |name: &str, what: &str, issued: &Issued| {
        Made::new(name, what, &root, issued).file("roots.pem", issued.chain_pem())
    };
    vec![
        made("intermediate", "leaf and intermediate"),
        made("wrong-order", "leaf, root, intermediate").chain(&certificates),
        made("missing-intermediate", "leaf alone, root trusted").chain([peer.leaf_der()]),
        made("intermediate-as-anchor", "leaf alone, intermediate trusted")
            .chain([peer.leaf_der()])
            .file("roots.pem", ca.pem()),
        made("unknown-root", "another root is trusted").file("roots.pem", old.pem()),
        made("root-other-key", "a root of the same name with another key")
            .file("roots.pem", root.same_name_other_key().pem()),
        made(
            "rekeyed-intermediate",
            "leaf of the intermediate's old key, intermediate with its new key",
        )
        .chain(&rekeyed),
        Made::new(
            "expired-intermediate",
            "the intermediate has expired",
            &root,
            &client(&expired).issue(),
        ),
        below(
            "no-basic-constraints",
            "intermediate without basicConstraints",
            |ca| ca.no_basic_constraints(),
        ),
        leaf("v1-leaf", "version 1 leaf", |leaf| {
            leaf.without_extensions().version(1)
        }),
        Made::new(
            "deep-chain",
            "ten intermediates",
            &root,
            &client(&deep).issue(),
        ),
        alone(
            "self-signed-pinned",
            "self-signed, CA:FALSE with keyCertSign, pinned",
            &opcua,
        )
        .choice(Choice::PIN),
        alone(
            "self-signed-as-root",
            "self-signed, CA:FALSE with keyCertSign, as a root",
            &opcua,
        ),
        alone(
            "unknown-critical-pinned",
            "self-signed with an unknown critical extension, pinned",
            &critical,
        )
        .choice(Choice::PIN),
    ]
}

/// Keys of leaves, as the server sees them.
fn leaf_keys() -> Vec<Made> {
    let named = |curve: &str, octets: usize| {
        let algorithm = [der::oid("1.2.840.10045.2.1"), der::oid(curve)];
        let point = [&[4][..], &vec![7; 2 * octets]].concat();
        der::sequence(&[der::sequence(&algorithm), der::bit_string(0, point)])
    };
    let plain = |oid: &str, octets: usize| {
        der::sequence(&[
            der::sequence(&[der::oid(oid)]),
            der::bit_string(0, vec![7; octets]),
        ])
    };
    let rsa = elements_of_rsa();
    let key = |name: &str, what: &str, spki: Vec<u8>| {
        leaf(name, what, |leaf| leaf.spki_der(spki)).choice(Choice::AS_PEER)
    };
    vec![
        key(
            "leaf-rsa-1024",
            "leaf key RSA of 1,024 bits",
            oversized_rsa_spki(1024),
        ),
        key(
            "leaf-rsa-2047",
            "leaf key RSA of 2,047 bits",
            oversized_rsa_spki(2047),
        ),
        key(
            "leaf-rsa-no-null",
            "leaf key rsaEncryption without NULL",
            der::sequence(&[
                der::sequence(&[der::oid("1.2.840.113549.1.1.1")]),
                rsa.clone(),
            ]),
        ),
        key(
            "leaf-rsa-pss",
            "leaf key of id-RSASSA-PSS",
            der::sequence(&[der::sequence(&[der::oid("1.2.840.113549.1.1.10")]), rsa]),
        ),
        key(
            "leaf-brainpool",
            "leaf key on brainpoolP256r1",
            named("1.3.36.3.3.2.8.1.1.7", 32),
        ),
        key(
            "leaf-secp256k1",
            "leaf key on secp256k1",
            named("1.3.132.0.10", 32),
        ),
        key("leaf-ed448", "leaf key Ed448", plain("1.3.101.113", 57)),
        leaf("leaf-ed25519", "leaf key Ed25519", |leaf| {
            leaf.key(KeyType::Ed25519)
        }),
        leaf("leaf-p521", "leaf key P-521", |leaf| {
            leaf.key(KeyType::P521)
        }),
    ]
}

/// The BIT STRING of an RSA key of 2,048 bits.
fn elements_of_rsa() -> Vec<u8> {
    super::elements(&oversized_rsa_spki(2048)).remove(1)
}

fn signatures() -> Vec<Made> {
    let rsa = || TestCa::builder("RSA CA").key(KeyType::Rsa2048).root();
    let signed = |name: &str, what: &str, oid: &str| {
        let ca = rsa();
        let algorithm = der::sequence(&[der::oid(oid), der::null()]);
        let leaf = client(&ca)
            .signature_algorithm_der(algorithm)
            .signature(vec![7; 256]);
        Made::new(name, what, &ca, &leaf.issue())
    };
    let root = root();
    let wrong = client(&root).signature(der::sequence(&[der::integer(7), der::integer(9)]));
    let p521 = TestCa::builder("P-521 CA").key(KeyType::P521).root();
    vec![
        signed(
            "signature-sha1",
            "RSA CA signs the leaf with SHA-1",
            "1.2.840.113549.1.1.5",
        ),
        signed(
            "signature-md5",
            "RSA CA signs the leaf with MD5",
            "1.2.840.113549.1.1.4",
        ),
        signed(
            "signature-wrong-rsa",
            "a signature that the CA did not make",
            "1.2.840.113549.1.1.11",
        ),
        Made::new(
            "signature-wrong-ecdsa",
            "a signature that the CA did not make",
            &root,
            &wrong.issue(),
        ),
        Made::new(
            "signature-p521",
            "a CA on P-521",
            &p521,
            &client(&p521).issue(),
        ),
    ]
}
