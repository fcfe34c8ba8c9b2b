//! Writes the seed corpus: `cargo run --example seed` in this folder, after changing a seed.
//!
//! Names tell what a file holds. Keys are fresh each time, so the bytes differ from run to run.

use std::fs;
use std::path::Path;

use countersign::testing::{KeyType, KeyUsageBits, LeafBuilder, TestCa, der, oversized_rsa_spki};
use rustls_pki_types::UnixTime;

fn main() -> std::io::Result<()> {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing CA");
    certificates(&root, &issuing)?;
    pem(&root, &issuing)?;
    handshakes()
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn certificates(root: &TestCa, issuing: &TestCa) -> std::io::Result<()> {
    let put = |name: &str, leaf: LeafBuilder| write("certificate", name, leaf.issue().leaf_der());
    let leaf = || issuing.leaf();
    write("certificate", "root", root.certificate_der())?;
    write("certificate", "intermediate", issuing.certificate_der())?;
    let v1 = TestCa::builder("Root").version(1).root();
    write("certificate", "v1", v1.certificate_der())?;
    put("spiffe", leaf().spiffe("spiffe://example.org/ns/billing"))?;
    put("dns", leaf().common_name("client").dns("client.example"))?;
    put("common-name", leaf().common_name("client"))?;
    put(
        "ed25519",
        leaf().key(KeyType::Ed25519).dns("client.example"),
    )?;
    put("p384", leaf().key(KeyType::P384).dns("client.example"))?;
    put("rsa", leaf().spki_der(oversized_rsa_spki(2048)))?;
    put(
        "names-of-all-kinds",
        leaf()
            .dns("client.example")
            .uri("https://client.example/")
            .email("client@example.org")
            .ip(std::net::Ipv4Addr::LOCALHOST.into())
            .ip(std::net::Ipv6Addr::LOCALHOST.into())
            .upn("client@example.org")
            .directory_name(&der::common_name("client"))
            .registered_id("1.3.6.1.4.1.311"),
    )?;
    put(
        "subject-of-many-attributes",
        leaf()
            .attribute("2.5.4.6", 0x13, b"DE")
            .attribute("2.5.4.10", 0x0c, "Größe GmbH".as_bytes())
            .multi_valued_rdn(&[
                ("2.5.4.11", 0x0c, b"a"),
                ("2.5.4.97", 0x13, b"PSDDE-BAFIN-1"),
            ])
            .attribute("2.5.4.3", 0x1e, b"\0c\0n")
            .attribute("2.5.4.3", 0x14, b"t61"),
    )?;
    put(
        "hostile-text",
        leaf()
            .common_name("admin\0.example\n\u{202e}")
            .dns("*.example.org")
            .general_name(0x86, b"spiffe://ex\xe4mple.org/")
            .general_name(0xa6, b"constructed"),
    )?;
    put("san-not-der", leaf().san_der(vec![0x30, 0x80, 0, 0]))?;
    put(
        "san-twice",
        leaf()
            .dns("a.example")
            .extension("2.5.29.17", false, &[0x30, 0]),
    )?;
    put(
        "no-extensions",
        leaf().common_name("client").without_extensions(),
    )?;
    put(
        "odd-extensions",
        leaf()
            .key_usage(Some(
                KeyUsageBits::KEY_CERT_SIGN | KeyUsageBits::DECIPHER_ONLY,
            ))
            .extension("1.2.3.4", true, b"\x05\x00")
            .serial(&[0xff, 0xfe])
            .validity(
                UnixTime::since_unix_epoch(std::time::Duration::ZERO),
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(253_402_300_799)),
            ),
    )
}

fn pem(root: &TestCa, issuing: &TestCa) -> std::io::Result<()> {
    let leaf = issuing.leaf().dns("server.example").issue();
    let (chain, key, ca) = (leaf.chain_pem(), leaf.key_pem(), root.pem());
    let put = |name: &str, pem: &str| write("pem", name, pem);
    put("root", &ca)?;
    put(
        "roots-with-comments",
        &format!("# one\n{ca}\n# two\n{}", issuing.pem()),
    )?;
    put("chain-and-key", &format!("{chain}{key}"))?;
    put("key", &key)?;
    put("crl", &root.crl().revoke(&[1, 2, 3]).pem())?;
    put("crlf", &ca.replace('\n', "\r\n"))?;
    put("cut-off", &ca[..ca.len() - 30])?;
    put("byte-order-mark", &format!("\u{feff}{ca}"))?;
    put("trusted", &ca.replace("CERTIFICATE", "TRUSTED CERTIFICATE"))?;
    put("encrypted", &key.replace("PRIVATE", "ENCRYPTED PRIVATE"))?;
    put(
        "encrypted-of-old",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    )?;
    put(
        "empty-block",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    )
}

/// See the target for what the bytes mean.
fn handshakes() -> std::io::Result<()> {
    for (name, recipe) in [
        ("untouched", &[0][..]),
        ("untouched-tls12", &[2]),
        ("without-intermediate", &[4]),
        ("chain-twice", &[16]),
        ("leaf-set", &[0, 0, 0, 40, 0xff]),
        ("leaf-bit", &[0, 1, 1, 0x40, 3]),
        ("leaf-longer", &[0, 3, 0xff, 0xff, 0]),
        ("leaf-cut-off", &[0, 5, 1, 0, 0]),
        ("intermediate-bit", &[8, 1, 0, 200, 3]),
        ("signed-untouched", &[1]),
        ("signed-untouched-tls12", &[3]),
        ("signed-set", &[1, 0, 1, 0x20, 0]),
        ("signed-twice", &[1, 6, 1, 0x40, 30]),
        (
            "signed-text",
            b"\x01\x07\x01\x50\x10spiffe://example.org/ns/admin",
        ),
    ] {
        write("handshake", name, recipe)?;
    }
    Ok(())
}
