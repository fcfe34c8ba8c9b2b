//! What is wrong with a certificate, or with those that stand above it.

use countersign::pki::Crl;
use countersign::testing::{CrlBuilder, Issued, KeyType, KeyUsageBits};
use countersign::trust::{Crls, Limits, Profile, TrustBundles};
use countersign::{Acceptor, TrustStore};

use super::cases::{Case, Situation};
use super::world::{LONG_AGO, NEXT_MONTH, World, at, built, ca};
use crate::callers::Program;

pub(crate) fn cases(world: &World, good: &Situation) -> Vec<Case> {
    let shows = |issued: &Issued| good.with(|call| call.client = Some(world.files(issued)));
    let may = |usage: KeyUsageBits| shows(&world.alice().key_usage(Some(usage)).issue());
    let by = |acceptor: Acceptor<_>, issued: &Issued| {
        shows(issued).with(|call| call.acceptor = acceptor)
    };
    let sign = KeyUsageBits::DIGITAL_SIGNATURE;

    // Signs, although it may not.
    let servant = ca("Servant").key_usage(Some(sign)).signed_by(&world.root);
    // May have no authority below.
    let last = ca("Last").path_len(Some(0)).signed_by(&world.root);
    let beyond = ca("Beyond").signed_by(&last);
    let usage = [3, 2, 2, 4]; // keyCertSign
    let twice = ca("Twice").extension("2.5.29.15", true, &usage);
    let twice = twice.signed_by(&world.root);
    let deepest = (1..=3).fold(world.root.clone(), |above, level| {
        ca(&format!("Level {level}")).signed_by(&above)
    });
    let deep = world.alice_of(&deepest).issue();
    let three = Limits::default().chain_length(3);
    // gnutls-cli takes no file with more than the 10 that are allowed unless set.
    let trusts_deepest = || built(world.acceptor_of(deepest.trust()).limits(three));
    // An unknown extension of 4 KiB.
    let wordy = world
        .alice()
        .extension("1.3.6.1.4.1.55555.1", false, &[0; 4096]);
    let wordy = wordy.issue();
    let bounded = |bytes| built(world.acceptor().max_handshake_bytes(bytes));
    let large = world.alice().key(KeyType::Rsa4096).issue();
    let limited = |bits| built(world.acceptor().limits(Limits::default().rsa_bits(bits)));
    let strict = || built(world.acceptor().profile(Profile::Rfc5280));
    let of = |id| world.alice().spiffe(id).issue();
    let bundles = |domains: &[&str]| {
        let with = |bundles: TrustBundles, domain: &&str| {
            let domain = domain.parse().expect("a domain");
            bundles.with(domain, world.root.trust()).expect("a bundle")
        };
        let none = TrustStore::by_trust_domain();
        built(world.acceptor_of(domains.iter().fold(none, with)))
    };
    let revoking = |usage: KeyUsageBits| {
        let issuer = ca("Lists").key_usage(Some(usage)).root();
        let list = list(issuer.crl().next_update(at(NEXT_MONTH)));
        let acceptor = world.acceptor_of(issuer.trust());
        let crls = Crls::new([list]).expect("CRLs");
        by(
            built(acceptor.revocation(crls)),
            &world.alice_of(&issuer).issue(),
        )
    };

    vec![
        Case::new(
            "A key that may not sign",
            may(KeyUsageBits::KEY_ENCIPHERMENT),
            may(sign | KeyUsageBits::KEY_ENCIPHERMENT),
            "Issue it with `keyUsage=digitalSignature`: in TLS 1.3 every key signs (RFC 8446 \
             section 4.4.2.2). `keyEncipherment` alone is for the RSA key exchange of TLS 1.2 and \
             older.",
        ),
        Case::new(
            "A client that may sign certificates",
            may(sign | KeyUsageBits::KEY_CERT_SIGN),
            may(sign),
            "Issue it without `keyCertSign` and `cRLSign`: with them, the client could issue \
             certificates for further clients.",
        ),
        Case::new(
            "An issuer that may not issue certificates",
            shows(&world.alice_of(&servant).issue()),
            shows(&world.alice_of(&world.issuing).issue()),
            "Issue the intermediate with `basicConstraints=critical,CA:TRUE` and \
             `keyUsage=critical,keyCertSign`, or issue the certificate by an authority that has \
             them.",
        ),
        Case::new(
            "A path that is longer than an authority allows",
            shows(&world.alice_of(&beyond).issue()),
            shows(&world.alice_of(&last).issue()),
            "The path violates a rule of RFC 5280: here the path length (`pathlen:0` allows no CA \
             below). Name constraints and unknown critical extensions have the same result. \
             `countersign inspect CERTIFICATE.pem` with the server's `--trust` shows which.",
        ),
        Case::new(
            "Too many certificates",
            by(trusts_deepest(), &deep),
            by(trusts_deepest(), &deep.leaf_only()),
            "Remove from the client's file all certificates other than its own and the \
             intermediates that the server needs, such as roots or the system's bundle. Or raise \
             the limit (`limits`, `chain_length`; default 10).",
        ),
        Case::new(
            "Too many bytes in a handshake",
            by(bounded(2048), &wordy),
            by(bounded(256 * 1024), &wordy),
            "Check which certificates the client's file has besides its own and its \
             intermediates, and how long their names are. Or raise `max_handshake_bytes` (default \
             256 KiB).",
        ),
        Case::new(
            "A certificate that cannot be read",
            shows(&world.alice_of(&twice).issue()).with(|call| call.by = LENIENT),
            shows(&world.alice_of(&world.issuing).issue()),
            "The message has the certificate's position in the chain and the malformed part: here \
             an intermediate has two keyUsage extensions. Reissue it. Some programs cannot load \
             such a certificate.",
        ),
        Case::new(
            "A key that is too large",
            by(limited(2048), &large),
            by(limited(4096), &large),
            "Create a smaller RSA key, or an ECDSA P-256 key. Or raise the server's limit \
             (`limits`, `rsa_bits`; default 8,192 bits).",
        ),
        Case::new(
            "A certificate that violates RFC 5280",
            by(strict(), &world.alice().dns("alice_1.example").issue()),
            by(strict(), &world.alice().dns("alice-1.example").issue()),
            "The server enforces all of RFC 5280 section 4 (`Profile::Rfc5280`), and its message \
             names the rule. Reissue the certificate, or choose `Profile::Compatible`.",
        ),
        Case::new(
            "A CRL of an issuer that may not sign CRLs",
            revoking(KeyUsageBits::KEY_CERT_SIGN),
            revoking(KeyUsageBits::KEY_CERT_SIGN | KeyUsageBits::CRL_SIGN),
            "The error is in the CA's certificate: issue the CA's certificate with \
             `keyUsage=critical,keyCertSign,cRLSign`, and load it.",
        ),
        Case::new(
            "Another trust domain",
            by(
                bundles(&["prod.example"]),
                &of("spiffe://staging.example/alice"),
            ),
            by(
                bundles(&["prod.example", "staging.example"]),
                &of("spiffe://staging.example/alice"),
            ),
            "Check that the client runs in the right environment. If it should be admitted, give \
             the server that trust domain's bundle (`TrustStore::by_trust_domain`, \
             `--trust-domain`).",
        ),
        Case::new(
            "No trust domain",
            by(bundles(&["prod.example"]), &world.alice().issue()),
            by(
                bundles(&["prod.example"]),
                &of("spiffe://prod.example/alice"),
            ),
            "The server chooses roots by SPIFFE trust domain, and the certificate must have exactly \
             one SPIFFE ID, as its only URI SAN: issue it as an X.509-SVID.",
        ),
    ]
}

/// Those that do not look into intermediates of their own.
const LENIENT: &[Program] = &[
    Program::Curl,
    Program::OpenSsl,
    Program::Python,
    Program::Go,
    Program::Node,
    Program::Nginx,
    Program::Haproxy,
];

fn list(list: CrlBuilder) -> Crl {
    Crl::from_der(&list.this_update(at(LONG_AGO)).build()).expect("a CRL")
}
