//! PEM files and keys.

use countersign::testing::{Issued, KeyType, der};
use rustls_pki_types::PrivateKeyDer;

use super::{Made, client, root};

pub(super) fn cases() -> Vec<Made> {
    [chains(), keys()].into_iter().flatten().collect()
}

fn chains() -> Vec<Made> {
    let made = |name: &str, what: &str, change: &dyn Fn(String) -> Vec<u8>| {
        let root = root();
        let issued = client(&root).issue();
        let made = Made::new(name, what, &root, &issued);
        made.file("chain.pem", change(issued.chain_pem()))
    };
    let text = |name: &str, what: &str, change: &dyn Fn(&str) -> String| {
        made(name, what, &|pem| {
            change(&pem.replace("\r\n", "\n")).into_bytes()
        })
    };
    let label = |name: &str, what: &str, label: &str| {
        text(name, what, &|pem| pem.replace("CERTIFICATE", label))
    };
    let utf16 = |pem: String| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(pem.encode_utf16().collect::<Vec<_>>());
        units.flat_map(u16::to_le_bytes).collect()
    };
    let attributes = "Bag Attributes\n    friendlyName: worker\nsubject=CN = worker-7\n\n";
    let parameters = der::pem(
        "DH PARAMETERS",
        &der::sequence(&[der::integer(23), der::integer(5)]),
    );
    let root_and_rest = |rest: &str| rest.to_owned();
    vec![
        text("pem", "as openssl writes it", &root_and_rest),
        text("pem-crlf", "CRLF", &|pem| pem.replace('\n', "\r\n")),
        text("pem-no-final-newline", "no newline at the end", &|pem| {
            pem.trim_end().into()
        }),
        text(
            "pem-bag-attributes",
            "Bag Attributes before the block",
            &|pem| format!("{attributes}{pem}"),
        ),
        text("pem-bom", "UTF-8 byte order mark", &|pem| {
            format!("\u{feff}{pem}")
        }),
        made("pem-utf16", "UTF-16LE with byte order mark", &utf16),
        text("pem-indented", "every line indented by four", &|pem| {
            pem.lines().map(|line| format!("    {line}\n")).collect()
        }),
        text("pem-escaped-newlines", "\\n instead of newlines", &|pem| {
            pem.replace('\n', "\\n")
        }),
        text("pem-cut-off", "cut off", &|pem| pem[..pem.len() / 2].into()),
        text("pem-empty", "an empty file", &|_| String::new()),
        text(
            "pem-dh-parameters",
            "DH PARAMETERS after the certificate",
            &|pem| format!("{pem}{parameters}"),
        ),
        label(
            "pem-x509-certificate",
            "BEGIN X509 CERTIFICATE",
            "X509 CERTIFICATE",
        ),
        label(
            "pem-trusted-certificate",
            "BEGIN TRUSTED CERTIFICATE",
            "TRUSTED CERTIFICATE",
        ),
        label(
            "pem-request",
            "a certificate request",
            "CERTIFICATE REQUEST",
        ),
        label("pem-pkcs7", "BEGIN PKCS7", "PKCS7"),
        made("der", "a DER certificate", &|pem| der_of(&pem)),
        text(
            "pem-trailing-octets",
            "four zero octets after the certificate's DER",
            &|pem| der::pem("CERTIFICATE", &[der_of(pem), vec![0; 4]].concat()),
        ),
    ]
}

fn der_of(pem: &str) -> Vec<u8> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn keys() -> Vec<Made> {
    let made = |name: &str, what: &str, kind: KeyType, pem: &dyn Fn(&Issued) -> String| {
        let root = root();
        let issued = client(&root).key(kind).issue();
        let pem = pem(&issued);
        Made::new(name, what, &root, &issued).file("key.pem", pem)
    };
    let labelled =
        |label: &'static str| move |issued: &Issued| der::pem(label, pkcs8(issued).as_slice());
    let parameters = der::pem("EC PARAMETERS", &der::oid("1.2.840.10045.3.1.7"));
    let encrypted =
        "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n";
    let p256 = KeyType::P256;
    vec![
        made("key-pkcs8", "PKCS#8", p256, &Issued::key_pem),
        made(
            "key-ed25519",
            "Ed25519 in PKCS#8",
            KeyType::Ed25519,
            &Issued::key_pem,
        ),
        made(
            "key-with-ec-parameters",
            "EC PARAMETERS before the key",
            p256,
            &|issued| format!("{parameters}{}", issued.key_pem()),
        ),
        made(
            "key-pkcs8-as-ec",
            "PKCS#8 inside EC PRIVATE KEY",
            p256,
            &labelled("EC PRIVATE KEY"),
        ),
        made(
            "key-pkcs8-as-rsa",
            "PKCS#8 inside RSA PRIVATE KEY",
            KeyType::Rsa2048,
            &labelled("RSA PRIVATE KEY"),
        ),
        made(
            "key-pkcs1-as-pkcs8",
            "PKCS#1 inside PRIVATE KEY",
            KeyType::Rsa2048,
            &|issued| {
                let pkcs1 = super::elements(&pkcs8(issued)).remove(2);
                let (_, content, _) = super::split(&pkcs1);
                der::pem("PRIVATE KEY", content)
            },
        ),
        made(
            "key-sec1-as-pkcs8",
            "SEC1 without its curve inside PRIVATE KEY",
            p256,
            &|issued| {
                let sec1 = super::elements(&pkcs8(issued)).remove(2);
                let (_, content, _) = super::split(&sec1);
                der::pem("PRIVATE KEY", content)
            },
        ),
        made(
            "key-encrypted",
            "ENCRYPTED PRIVATE KEY",
            p256,
            &labelled("ENCRYPTED PRIVATE KEY"),
        ),
        made(
            "key-encrypted-traditional",
            "Proc-Type: 4,ENCRYPTED",
            p256,
            &|issued| {
                let pem = der::pem("EC PRIVATE KEY", &pkcs8(issued)).replace("\r\n", "\n");
                pem.replacen('\n', &format!("\n{encrypted}"), 1)
            },
        ),
        made(
            "key-openssh",
            "an OpenSSH key",
            p256,
            &labelled("OPENSSH PRIVATE KEY"),
        ),
        made("key-public", "a public key", p256, &labelled("PUBLIC KEY")),
        made(
            "key-of-another",
            "the key of another certificate",
            p256,
            &|_| client(&root()).issue().key_pem(),
        ),
        made("key-twice", "two keys", p256, &|issued| {
            issued.key_pem().repeat(2)
        }),
        made(
            "key-missing",
            "a certificate in place of the key",
            p256,
            &Issued::chain_pem,
        ),
    ]
}

fn pkcs8(issued: &Issued) -> Vec<u8> {
    match issued.key_der() {
        PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der().to_vec(),
        _ => unreachable!("the test CA makes PKCS#8"),
    }
}
