//! Writes the seed corpus: `cargo run --example seed` in this folder, after a change of a seed.
//!
//! A file's name describes its content. Keys are new in each run, so the bytes differ between runs.

mod connections;
mod texts;

use std::fs;
use std::path::Path;

use countersign::testing::{
    CrlBuilder, KeyType, KeyUsageBits, LeafBuilder, TestCa, der, oversized_rsa_spki,
};
use rustls_pki_types::UnixTime;

fn main() -> std::io::Result<()> {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing CA");
    certificates(&root, &issuing)?;
    pem(&root, &issuing)?;
    crls(&root)?;
    audits(&root)?;
    patterns()?;
    handshakes()?;
    proxy_headers()?;
    proxied_identities(&issuing)?;
    extractions()?;
    texts::all(&root, &issuing)?;
    connections::all()
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn proxy_headers() -> std::io::Result<()> {
    let put = |name: &str, bytes: &[u8]| write("proxy_header", name, bytes);
    put(
        "v1-tcp4",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n\x16\x03\x01",
    )?;
    put("v1-tcp6", b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n")?;
    put("v1-unknown", b"PROXY UNKNOWN ::1 ::1 1 2\r\n")?;
    let v2 = |command: u8, family: u8, block: &[u8]| {
        let signature = b"\r\n\r\n\0\r\nQUIT\n";
        let length = u16::try_from(block.len()).expect("short").to_be_bytes();
        [&signature[..], &[command, family], &length, block].concat()
    };
    let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];
    put("v2-local", &v2(0x20, 0, &[]))?;
    put("v2-tcp4", &v2(0x21, 0x11, &v4))?;
    put("v2-tcp6", &v2(0x21, 0x21, &[1; 36]))?;
    put("v2-unix", &v2(0x21, 0x31, &[b'/'; 216]))?;
    let tlvs = [
        &v4[..],
        &[1, 0, 2, b'h', b'2', 4, 0, 0, 3, 0, 4, 0, 0, 0, 0],
    ]
    .concat();
    put("v2-checksum", &v2(0x21, 0x11, &tlvs))
}

/// The format, and the values of its headers, one in each line.
fn proxied_identities(issuing: &TestCa) -> std::io::Result<()> {
    let client = issuing.leaf().dns("client.example").uri("urn:a").issue();
    let pem = client.chain_pem();
    let leaf = client.leaf_only().chain_pem();
    let base64 = |pem: &str| -> Vec<String> {
        let blocks = pem.split("-----END CERTIFICATE-----");
        let blocks = blocks.map(|block| block.lines().filter(|line| !line.contains('-')).collect());
        blocks.filter(|block: &String| !block.is_empty()).collect()
    };
    let url = |pem: &str| {
        pem.replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
    };
    let base64 = base64(&pem);
    let put = |name: &str, format: u8, text: &str| {
        write(
            "proxied_identity",
            name,
            [&[format], text.as_bytes()].concat(),
        )
    };
    put("rfc9440", 0, &format!(":{}:\n:{}:", base64[0], base64[1]))?;
    let hash = client.certificate().sha256();
    let (certificate, chain) = (url(&leaf), url(&pem));
    put(
        "xfcc",
        1,
        &format!(
            "By=urn:b;Hash={hash};Cert=\"{certificate}\";Chain=\"{chain}\";Subject=\"CN=a\\,b\";URI=urn:a;DNS=client.example"
        ),
    )?;
    put("aws-chain", 2, &chain)?;
    put("aws-leaf", 3, &format!("{certificate}\n01"))?;
    put("nginx", 4, &certificate)?;
    put("haproxy", 5, &format!("{}\n{}", base64[0], base64[1]))
}

/// The length of a text, the text, and a certificate.
fn audits(root: &TestCa) -> std::io::Result<()> {
    let put = |name: &str, text: &str, der: &[u8]| {
        let length = u8::try_from(text.len()).expect("a short text");
        write("audit", name, [&[length], text.as_bytes(), der].concat())
    };
    let of = |name: &str| root.leaf().common_name(name).dns("client.example").issue();
    put("plain", "server.example", of("client").leaf_der())?;
    put(
        "bidi",
        "a\u{202e}b",
        of("client\u{2066}\u{202e}nimda").leaf_der(),
    )?;
    put(
        "lines",
        "a\nb\r\n{}",
        of("client\n{\"event\":1}").leaf_der(),
    )?;
    put("unreadable", "h2", &[0x30, 0x82, 0xff, 0xff])?;
    put("nothing", "", &[])
}

fn crls(root: &TestCa) -> std::io::Result<()> {
    let put = |name: &str, crl: CrlBuilder| write("crl", name, crl.build());
    put("empty", root.crl())?;
    let many = (1..40_u8).fold(root.crl().number(300), |crl, serial| {
        crl.revoke(&[serial, serial])
    });
    put("many", many)?;
    let scope = |point: Vec<u8>| {
        let extension = der::sequence(&[point]);
        root.crl().extension("2.5.29.28", true, &extension)
    };
    let uri = der::tlv(0x86, b"http://crl.example/1");
    put("shard", scope(der::tlv(0xa0, der::tlv(0xa0, uri))))?;
    put("only-end-entities", scope(der::tlv(0x81, [0xff])))?;
    put("indirect", scope(der::tlv(0x84, [0xff])))?;
    put("some-reasons", scope(der::tlv(0x83, [1, 0x7e])))?;
    put(
        "delta",
        root.crl().extension("2.5.29.27", true, &der::integer(1)),
    )?;
    write("crl", "pem", root.crl().pem())
}

fn certificates(root: &TestCa, issuing: &TestCa) -> std::io::Result<()> {
    let put = |name: &str, leaf: LeafBuilder| {
        let issued = leaf.issue();
        write("agreement", name, issued.leaf_der())?;
        write("certificate", name, issued.leaf_der())
    };
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
    // A name in parts, as BER allows it.
    let part = der::tlv(0x0c, "client.example");
    let names = der::sequence(&[der::tlv(0xa2, part)]);
    put("san-in-parts", leaf().san_der(names))?;
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

/// A pattern or an identity on each line.
fn patterns() -> std::io::Result<()> {
    for (name, lines) in [
        (
            "spiffe",
            &[
                "spiffe://example.org/ns/billing",
                "spiffe://example.org/ns/billing/*",
                "spiffe://example.org/*",
                "spiffe://example.org/ns/billing/sa/worker",
                "spiffe://example.org/ns/billing-test",
                "spiffe://example.org",
            ][..],
        ),
        (
            "dns",
            &[
                "*.workers.example.org",
                "Workers.Example.org",
                "one.workers.example.org",
                "a.one.workers.example.org",
            ],
        ),
        (
            "refused",
            &[
                "*",
                "spiffe://*/a",
                "spiffe://example.org/a*",
                "spiffe://example.org/*/a",
                "*.*.example.org",
                "a.*.example.org",
                "a*.example.org",
                "*.b\u{fc}cher.example",
            ],
        ),
    ] {
        write("pattern", name, lines.join("\n"))?;
    }
    Ok(())
}

/// The target describes what the bytes mean.
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

/// The raw values that the extractors' targets read.
fn extractions() -> std::io::Result<()> {
    let san = |entries: &[(u8, &[u8])]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(tag, content)| der::tlv(*tag, content))
            .collect();
        der::sequence(&entries)
    };
    let upn = [
        der::oid("1.3.6.1.4.1.311.20.2.3"),
        der::tlv(0xa0, der::utf8("alice@corp.example")),
    ]
    .concat();
    for (name, value) in [
        ("spiffe", san(&[(0x86, b"spiffe://example.org/ns/billing")])),
        ("dns", san(&[(0x82, b"Worker.example")])),
        ("email", san(&[(0x81, b"a.b@c.example")])),
        ("ip", san(&[(0x87, &[192, 0, 2, 1])])),
        ("uri", san(&[(0x86, b"https://a.example/%20?b#c")])),
        ("upn", san(&[(0xa0, &upn)])),
        (
            "all-kinds",
            san(&[
                (0x82, b"a.example"),
                (0x81, b"a@b.example"),
                (0x86, b"urn:a:b"),
                (0x87, &[0; 16]),
                (0xa0, &upn),
            ]),
        ),
        ("constructed", san(&[(0xa6, b"spiffe://example.org/a")])),
        ("wildcard", san(&[(0x82, b"*.example")])),
        ("nul", san(&[(0x82, b"a.example\0.b.example")])),
    ] {
        write("extract_san", name, value)?;
    }

    let name = |attributes: &[(&str, u8, &[u8])]| {
        let rdns: Vec<_> = attributes
            .iter()
            .map(|attribute| der::rdn(&[*attribute]))
            .collect();
        der::sequence(&rdns)
    };
    for (file, value) in [
        ("common-name", name(&[("2.5.4.3", 0x0c, b"worker")])),
        (
            "kubernetes",
            name(&[("2.5.4.10", 0x0c, b"dev"), ("2.5.4.3", 0x13, b"alice")]),
        ),
        ("unit", name(&[("2.5.4.11", 0x16, b"a@b")])),
        ("comma", name(&[("2.5.4.3", 0x0c, b"a,O=b\\=")])),
        ("t61", name(&[("2.5.4.3", 0x14, b"worker")])),
        ("bidi", name(&[("2.5.4.3", 0x0c, "\u{202e}a".as_bytes())])),
    ] {
        write("extract_subject", file, value)?;
    }

    let role = |oid, name| der::sequence(&[der::oid(oid), der::utf8(name)]);
    let statement = |roles: &[Vec<u8>], authority, id| {
        let info = der::sequence(&[der::sequence(roles), der::utf8(authority), der::utf8(id)]);
        der::sequence(&[der::sequence(&[der::oid("0.4.0.19495.2"), info])])
    };
    let (ai, pi) = (
        role("0.4.0.19495.1.3", "PSP_AI"),
        role("0.4.0.19495.1.2", "PSP_PI"),
    );
    write(
        "extract_extension",
        "two-roles",
        statement(&[ai.clone(), pi], "Authority; of X", "GB-FCA"),
    )?;
    write(
        "extract_extension",
        "same-role-twice",
        statement(&[ai.clone(), ai], "A", "DE-BAFIN"),
    )
}
