//! PEM files, good and damaged, through two decoders and into our own types.
//!
//! `rustls_pki_types::pem` took over from `rustls-pemfile`, which is archived
//! (RUSTSEC-2025-0134) and used nowhere but here: both must read the same blocks from the same
//! bytes. It is compared with what [`TrustStore`] and [`Credentials`] make of the same file: they
//! take every block of it, or give a reason.

use countersign::testing::{Issued, KeyType, TestCa, der};
use countersign::{Credentials, TrustStore};
use rustls_pemfile::Item;
use rustls_pki_types::pem::{Error as PemError, PemObject as _, SectionKind};

#[test]
fn both_decoders_read_the_same_and_we_skip_nothing() {
    let cases = cases();
    for case in &cases {
        let name = case.name;
        let found = read_by_pki_types(&case.pem);
        assert_eq!(found, read_by_pemfile(&case.pem), "{name}");
        assert_eq!(found, read_by_pki_types_from_reader(&case.pem), "{name}");
        assert_eq!(labels(&found), case.blocks, "{name}");
    }
    let differing: Vec<String> = cases
        .iter()
        .map(|case| (case, (trust(case), credentials(case))))
        .filter(|(case, (trust, credentials))| {
            (&**trust, &**credentials) != (case.trust, case.credentials)
        })
        .map(|(case, answers)| format!("{}: {answers:?}", case.name))
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// What the file makes as a trust store: every block is a root in it, or there is none.
fn trust(case: &Case) -> String {
    let store = match TrustStore::from_pem(&case.pem) {
        Ok(store) => store,
        Err(error) => return error.reason().into(),
    };
    let roots = store.anchors().len();
    assert_eq!(
        roots,
        count(&case.pem, "-----BEGIN "),
        "{}: a block was skipped",
        case.name
    );
    format!("{roots} roots")
}

/// What the file makes as chain and key in one: every block has its use, or there are none.
fn credentials(case: &Case) -> String {
    let credentials = match Credentials::from_pem(&case.pem, &case.pem) {
        Ok(credentials) => credentials,
        Err(error) => return error.reason().into(),
    };
    let length = credentials.chain().len();
    let used = length + 1 + count(&case.pem, "-----BEGIN EC PARAMETERS-----");
    assert_eq!(
        used,
        count(&case.pem, "-----BEGIN "),
        "{}: a block was skipped",
        case.name
    );
    let certificates: Vec<_> = read_by_pki_types(&case.pem)
        .into_iter()
        .flatten()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| der.into())
        .collect();
    // The decoders pass over the label of old.
    if !credentials.warnings().is_empty() {
        return format!("chain of {length}, with a warning");
    }
    assert_eq!(credentials.chain(), certificates, "{}", case.name);
    format!("chain of {length}")
}

/// The only difference found: `rustls-pemfile` decodes a block before it looks at the label.
#[test]
fn damage_in_a_block_of_an_unknown_kind_is_seen_by_one_decoder_only() {
    let root = TestCa::new("Root").pem();
    let damaged = format!("-----BEGIN ODDITY-----\n!!!\n-----END ODDITY-----\n{root}");
    assert_eq!(
        labels(&read_by_pki_types(damaged.as_bytes())),
        "CERTIFICATE"
    );
    assert_eq!(labels(&read_by_pemfile(damaged.as_bytes())), "!base64");
    // To us it does not matter: what is not a certificate has no business in a trust store.
    let error = TrustStore::from_pem(damaged).expect_err("an unknown kind of block");
    assert_eq!(error.reason(), "unexpected_pem_block");
    assert!(error.to_string().contains("is a ODDITY"), "{error}");
}

struct Case {
    name: &'static str,
    pem: Vec<u8>,
    /// What both decoders find, up to the first error.
    blocks: &'static str,
    /// `N roots`, or the reason why the file makes no trust store.
    trust: &'static str,
    /// `chain of N`, or the reason why the file, as chain and key in one, makes no credentials.
    credentials: &'static str,
}

fn case(
    name: &'static str,
    pem: impl Into<Vec<u8>>,
    blocks: &'static str,
    trust: &'static str,
    credentials: &'static str,
) -> Case {
    Case {
        name,
        pem: pem.into(),
        blocks,
        trust,
        credentials,
    }
}

#[rustfmt::skip] // a table
fn cases() -> Vec<Case> {
    const NO_PEM: &str = "no_pem_block";
    const CUT_OFF: &str = "pem_cut_off";
    const DAMAGED: &str = "pem_damaged";
    const INDENTED: &str = "pem_indented";
    const UNEXPECTED: &str = "unexpected_pem_block";
    const NO_KEY: &str = "no_private_key";
    const ENCRYPTED: &str = "encrypted_key";

    let root = TestCa::new("Root");
    let issuing = root.intermediate("Policy CA").intermediate("Issuing CA");
    let leaf = issuing.leaf().dns("server.example").issue();
    let other = issuing.leaf().dns("other.example").issue();
    let (chain, key) = (leaf.chain_pem(), leaf.key_pem());
    let alone = leaf.leaf_only();
    let both = format!("{}{key}", alone.chain_pem());
    let (ca, ca2) = (root.pem(), TestCa::new("Second root").pem());
    let crl = root.crl().pem();
    let sec1 = der::pem("EC PRIVATE KEY", &inner_key(&leaf));
    let with_key = |kind| TestCa::new("Root").leaf().key(kind).issue();
    let rsa = with_key(KeyType::Rsa2048);
    let pkcs1 = der::pem("RSA PRIVATE KEY", &inner_key(&rsa));
    let ed25519 = with_key(KeyType::Ed25519);
    let p384 = with_key(KeyType::P384);
    let p384_sec1 = der::pem("EC PRIVATE KEY", &inner_key(&p384));
    let parameters = der::pem("EC PARAMETERS", &der::oid("1.2.840.10045.3.1.7"));
    let spki = der::pem("PUBLIC KEY", leaf.certificate().spki());
    let request = der::pem("CERTIFICATE REQUEST", &[0x30, 0]);
    let trusted = ca.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let old_label = ca.replace("CERTIFICATE", "X509 CERTIFICATE");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let encrypted_pkcs1 = pkcs1.replacen("-----\n",
        "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1);

    let begin = "-----BEGIN CERTIFICATE-----\n";
    let end = "-----END CERTIFICATE-----\n";
    let cut = |pem: &str, bytes: usize| pem[..pem.len() - bytes].to_owned();
    let indented = |pem: &str| pem.lines().map(|line| format!("  {line}\n")).collect::<String>();

    vec![
        // Good files.
        case("a root", &*ca, "CERTIFICATE", "1 roots", NO_KEY),
        case("two roots", format!("{ca}{ca2}"), "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),
        case("a chain and its key", format!("{chain}{key}"),
            "CERTIFICATE CERTIFICATE CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 3"),
        case("the key first", format!("{key}{chain}"),
            "PRIVATE KEY CERTIFICATE CERTIFICATE CERTIFICATE", UNEXPECTED, "chain of 3"),
        case("a leaf", alone.chain_pem(), "CERTIFICATE", "not_an_issuer", NO_KEY),
        case("a SEC1 key", format!("{}{sec1}", alone.chain_pem()),
            "CERTIFICATE EC PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("a SEC1 key behind its parameters", format!("{parameters}{sec1}{chain}"),
            "EC PRIVATE KEY CERTIFICATE CERTIFICATE CERTIFICATE", UNEXPECTED, "chain of 3"),
        case("a P-384 key", format!("{}{}", p384.chain_pem(), p384.key_pem()),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("a P-384 SEC1 key", format!("{}{p384_sec1}", p384.chain_pem()),
            "CERTIFICATE EC PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("an RSA key", format!("{}{}", rsa.chain_pem(), rsa.key_pem()),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("a PKCS#1 key", format!("{}{pkcs1}", rsa.chain_pem()),
            "CERTIFICATE RSA PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("an Ed25519 key", format!("{}{}", ed25519.chain_pem(), ed25519.key_pem()),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("comments between", format!("Root of the tests\n{ca}\n# and\n\n{ca2}bye\n"),
            "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),
        case("a byte order mark before a comment", format!("\u{feff}# our root\n{ca}"),
            "CERTIFICATE", "1 roots", NO_KEY),
        case("bytes that are no UTF-8 between", [ca.as_bytes(), b"\xff\xfe\n", ca2.as_bytes()].concat(),
            "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),

        // Lines.
        case("CRLF", format!("{ca}{ca2}").replace('\n', "\r\n"),
            "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),
        case("CR alone", format!("{ca}{ca2}").replace('\n', "\r"),
            "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),
        case("mixed line ends", format!("{ca}{}", ca2.replace('\n', "\r\n")),
            "CERTIFICATE CERTIFICATE", "2 roots", NO_KEY),
        case("no newline at the end", cut(&ca, 1), "CERTIFICATE", "1 roots", NO_KEY),
        case("no newline at the end of the key", cut(&both, 1),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 1"),
        case("empty lines in a block", ca.replace(begin, &format!("{begin}\n\n")),
            "CERTIFICATE", "1 roots", NO_KEY),
        case("all base64 in one line", ca.replace(end, &format!("\n{end}")).replace('\n', "")
            .replace("E-----M", "E-----\nM").replace("-----END", "\n-----END"),
            "CERTIFICATE", "1 roots", NO_KEY),
        case("spaces behind every line", ca.replace('\n', "  \n"), "CERTIFICATE", "1 roots", NO_KEY),

        // What the decoders do not see at all, we do not overlook.
        case("a byte order mark", format!("\u{feff}{ca}"), "", "1 roots", NO_KEY),
        case("a byte order mark, and a second root behind it", format!("\u{feff}{ca}{ca2}"),
            "CERTIFICATE", "2 roots", NO_KEY),
        case("a space before BEGIN", format!("{ca2} {ca}"), "CERTIFICATE", INDENTED, INDENTED),
        case("an indented block", format!("{ca2}{}", indented(&ca)), "CERTIFICATE", INDENTED, INDENTED),
        case("an indented block alone", indented(&ca), "", INDENTED, INDENTED),
        case("an END without BEGIN", format!("{ca}{end}"), "CERTIFICATE", DAMAGED, DAMAGED),
        case("BEGIN in lower case", ca.replace(begin, "-----begin CERTIFICATE-----\n"),
            "", DAMAGED, DAMAGED),
        case("four dashes before BEGIN", ca2.clone() + &ca[1..], "CERTIFICATE", DAMAGED, DAMAGED),
        case("six dashes before BEGIN", format!("{ca2}-{ca}"), "CERTIFICATE", DAMAGED, DAMAGED),

        // Damage.
        case("nothing", "", "", NO_PEM, NO_PEM),
        case("only a comment", "# no certificates yet\n", "", NO_PEM, NO_PEM),
        case("DER", root.certificate_der().to_vec(), "", "not_pem", "not_pem"),
        case("cut off in the END line", cut(&ca, 8), "!missing_end", CUT_OFF, CUT_OFF),
        case("cut off in the base64", cut(&ca, 100), "!missing_end", CUT_OFF, CUT_OFF),
        case("cut off behind BEGIN", begin, "!missing_end", CUT_OFF, CUT_OFF),
        case("cut off in the BEGIN line", "-----BEGIN CERTIFI", "!illegal_start", DAMAGED, DAMAGED),
        case("the second one cut off", format!("{ca}{}", cut(&ca2, 100)),
            "CERTIFICATE !missing_end", CUT_OFF, CUT_OFF),
        case("no END line", ca.replace(end, ""), "!missing_end", CUT_OFF, CUT_OFF),
        // The decoders make one block of the two.
        case("BEGIN in a block", ca[..begin.len() + 65].to_owned() + &ca2,
            "CERTIFICATE", CUT_OFF, CUT_OFF),
        case("BEGIN twice", format!("{begin}{ca}"), "CERTIFICATE", CUT_OFF, CUT_OFF),
        case("an END of another kind", ca.replace("END CERTIFICATE", "END X509 CRL"),
            "!missing_end", CUT_OFF, CUT_OFF),
        case("a BEGIN of another kind", ca.replace("BEGIN CERTIFICATE", "BEGIN X509 CRL"),
            "!missing_end", CUT_OFF, CUT_OFF),
        case("a character that is not base64", ca.replacen("MI", "M!", 1), "!base64", DAMAGED, DAMAGED),
        case("padding in the middle", ca.replacen("MI", "M=", 1), "!base64", DAMAGED, DAMAGED),
        case("URL-safe base64", format!("{begin}MAD-_w==\n{end}"), "!base64", DAMAGED, DAMAGED),
        case("a header in a block", ca.replace(begin, &format!("{begin}Comment: root\n\n")),
            "!base64", DAMAGED, DAMAGED),
        case("six dashes behind BEGIN", ca.replacen("-----\n", "------\n", 1),
            "!illegal_start", DAMAGED, DAMAGED),
        case("four dashes behind BEGIN", ca.replacen("-----\n", "----\n", 1),
            "!illegal_start", DAMAGED, DAMAGED),
        case("an empty block", format!("{begin}{end}"),
            "CERTIFICATE", "malformed_certificate", NO_KEY),
        case("good base64 of no certificate", format!("{begin}MAA=\n{end}{key}"),
            "CERTIFICATE PRIVATE KEY", "malformed_certificate", "malformed_certificate"),
        case("a byte behind the certificate",
            der::pem("CERTIFICATE", &[&*root.certificate_der(), &[0]].concat()),
            "CERTIFICATE", "malformed_certificate", NO_KEY),

        // Blocks of other kinds.
        case("a key alone", &*key, "PRIVATE KEY", UNEXPECTED, "no_certificate"),
        case("two keys", format!("{both}{}", other.key_pem()),
            "CERTIFICATE PRIVATE KEY PRIVATE KEY", UNEXPECTED, "several_private_keys"),
        case("the same key twice", format!("{both}{sec1}"),
            "CERTIFICATE PRIVATE KEY EC PRIVATE KEY", UNEXPECTED, "several_private_keys"),
        case("another certificate's key", format!("{}{key}", other.chain_pem()),
            "CERTIFICATE CERTIFICATE CERTIFICATE PRIVATE KEY", UNEXPECTED, "key_mismatch"),
        case("a PKCS#1 key called PKCS#8", format!("{}{}", rsa.chain_pem(), pkcs1.replace("RSA ", "")),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 1, with a warning"),
        case("a CRL", &*crl, "X509 CRL", UNEXPECTED, UNEXPECTED),
        case("a root and a CRL", format!("{ca}{crl}"), "CERTIFICATE X509 CRL", UNEXPECTED, UNEXPECTED),
        case("a public key", format!("{both}{spki}"),
            "CERTIFICATE PRIVATE KEY PUBLIC KEY", UNEXPECTED, UNEXPECTED),
        case("a request", &*request, "CERTIFICATE REQUEST", UNEXPECTED, UNEXPECTED),
        case("an encrypted key", &*encrypted, "", ENCRYPTED, ENCRYPTED),
        case("a chain and an encrypted key", format!("{chain}{encrypted}"),
            "CERTIFICATE CERTIFICATE CERTIFICATE", ENCRYPTED, ENCRYPTED),
        case("an encrypted key of the old form", format!("{}{encrypted_pkcs1}", rsa.chain_pem()),
            "CERTIFICATE !base64", ENCRYPTED, ENCRYPTED),
        // Labels that the decoders pass over in silence.
        case("openssl's TRUSTED CERTIFICATE", format!("{ca2}{trusted}"),
            "CERTIFICATE", UNEXPECTED, UNEXPECTED),
        case("an intermediate under a label of old", format!("{both}{old_label}"),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, "chain of 2, with a warning"),
        case("a label in lower case", format!("{both}{}", ca.replace("CERTIFICATE", "certificate")),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, UNEXPECTED),
        case("no label", format!("{both}{}", ca.replace("CERTIFICATE", "")),
            "CERTIFICATE PRIVATE KEY", UNEXPECTED, UNEXPECTED),
    ]
}

/// A block, or the kind of error at which the reading stopped.
type Found = Result<(SectionKind, Vec<u8>), &'static str>;

fn read_by_pki_types(pem: &[u8]) -> Vec<Found> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    up_to_the_first_error(sections.map(|section| section.map_err(kind_of)))
}

fn read_by_pki_types_from_reader(pem: &[u8]) -> Vec<Found> {
    let sections = <(SectionKind, Vec<u8>)>::pem_reader_iter(pem);
    up_to_the_first_error(sections.map(|section| section.map_err(kind_of)))
}

fn kind_of(error: PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "!missing_end",
        PemError::IllegalSectionStart { .. } => "!illegal_start",
        PemError::Base64Decode(_) => "!base64",
        other => panic!("another error: {other}"),
    }
}

fn read_by_pemfile(mut pem: &[u8]) -> Vec<Found> {
    let items = rustls_pemfile::read_all(&mut pem).map(|item| match item {
        Ok(Item::X509Certificate(der)) => Ok((SectionKind::Certificate, der.to_vec())),
        Ok(Item::SubjectPublicKeyInfo(der)) => Ok((SectionKind::PublicKey, der.to_vec())),
        Ok(Item::Pkcs1Key(der)) => {
            Ok((SectionKind::RsaPrivateKey, der.secret_pkcs1_der().to_vec()))
        }
        Ok(Item::Pkcs8Key(der)) => Ok((SectionKind::PrivateKey, der.secret_pkcs8_der().to_vec())),
        Ok(Item::Sec1Key(der)) => Ok((SectionKind::EcPrivateKey, der.secret_sec1_der().to_vec())),
        Ok(Item::Crl(der)) => Ok((SectionKind::Crl, der.to_vec())),
        Ok(Item::Csr(der)) => Ok((SectionKind::Csr, der.to_vec())),
        Ok(other) => panic!("another item: {other:?}"),
        // Its errors became `io::Error`s, which only the text distinguishes.
        Err(error) => Err(match error.to_string() {
            text if text.starts_with("section end") => "!missing_end",
            text if text.starts_with("illegal section start") => "!illegal_start",
            _ => "!base64",
        }),
    });
    up_to_the_first_error(items)
}

/// Nobody goes on behind damage.
fn up_to_the_first_error(found: impl Iterator<Item = Found>) -> Vec<Found> {
    let mut failed = false;
    found
        .take_while(|found| !std::mem::replace(&mut failed, found.is_err()))
        .collect()
}

fn labels(found: &[Found]) -> String {
    let label = |found: &Found| match found {
        Ok((SectionKind::Certificate, _)) => "CERTIFICATE",
        Ok((SectionKind::PublicKey, _)) => "PUBLIC KEY",
        Ok((SectionKind::RsaPrivateKey, _)) => "RSA PRIVATE KEY",
        Ok((SectionKind::PrivateKey, _)) => "PRIVATE KEY",
        Ok((SectionKind::EcPrivateKey, _)) => "EC PRIVATE KEY",
        Ok((SectionKind::Crl, _)) => "X509 CRL",
        Ok((SectionKind::Csr, _)) => "CERTIFICATE REQUEST",
        Ok((other, _)) => panic!("another kind of block: {other:?}"),
        Err(kind) => kind,
    };
    found.iter().map(label).collect::<Vec<_>>().join(" ")
}

fn count(haystack: &[u8], needle: &str) -> usize {
    haystack
        .windows(needle.len())
        .filter(|window| *window == needle.as_bytes())
        .count()
}

/// The PKCS#1 or SEC1 key inside a PKCS#8 key (RFC 5958):
/// `SEQUENCE { INTEGER, AlgorithmIdentifier, OCTET STRING }`.
fn inner_key(issued: &Issued) -> Vec<u8> {
    let key = issued.key_der();
    let (_, content, _) = read_tlv(key.secret_der());
    let (_, _, rest) = read_tlv(content);
    let (_, _, rest) = read_tlv(rest);
    let (tag, inner, _) = read_tlv(rest);
    assert_eq!(tag, 0x04, "an OCTET STRING");
    inner.to_vec()
}

/// The tag, the content and what follows.
fn read_tlv(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (head, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = der[2..2 + octets]
                .iter()
                .fold(0, |length, octet| length << 8 | usize::from(*octet));
            (2 + octets, length)
        }
    };
    (der[0], &der[head..head + length], &der[head + length..])
}
