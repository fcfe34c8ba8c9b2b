//! Credentials and trust stores, from good files and bad.

use std::fs;
use std::path::PathBuf;

use countersign::pki::PublicKeyKind;
use countersign::testing::der::{self, pem};
use countersign::testing::{Issued, KeyType, KeyUsageBits, TestCa, oversized_rsa_spki};
use countersign::trust::Crls;
use countersign::{Certificate, Credentials, TrustStore};
use rustls_pki_types::PrivateKeyDer;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn issue(key: KeyType) -> Issued {
    TestCa::new("Root")
        .intermediate("Middle")
        .leaf()
        .dns("a.example")
        .key(key)
        .issue()
}

#[test]
fn every_kind_of_key_and_file_loads() {
    let folder = Folder::new();
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
    ] {
        let issued = issue(key);
        let chain = folder.write("chain.pem", issued.chain_pem());
        let secret = folder.write("key.pem", issued.key_pem());
        let loaded = Credentials::from_pem_files(&chain, &secret).unwrap();
        assert_eq!(loaded.chain(), issued.chain(), "{key:?}");
        assert_eq!(loaded.certificate(), &issued.certificate());
        let rsa = matches!(
            loaded.certificate().public_key(),
            PublicKeyKind::Rsa { bits: 2048 }
        );
        assert_eq!(rsa, key == KeyType::Rsa2048);

        // Both in one file, in either order.
        for both in [
            format!("{}{}", issued.chain_pem(), issued.key_pem()),
            format!("{}{}", issued.key_pem(), issued.chain_pem()),
        ] {
            let both = folder.write("both.pem", both);
            Credentials::from_pem_files(&both, &both).unwrap();
        }

        let leaf = folder.write("leaf.der", issued.leaf_der());
        let secret = folder.write("key.der", issued.key_der().secret_der());
        let loaded = Credentials::from_der_files(&leaf, &secret).unwrap();
        assert_eq!(loaded.chain().len(), 1);
    }
}

#[test]
fn what_credentials_reject() {
    let folder = Folder::new();
    let one = issue(KeyType::P256);
    let other = issue(KeyType::P256);
    let (chain, key) = (one.chain_pem(), one.key_pem());
    let reversed: String = {
        let mut reversed = one.chain().to_vec();
        reversed.reverse();
        reversed.iter().map(|der| pem("CERTIFICATE", der)).collect()
    };
    let ed25519 = issue(KeyType::Ed25519);
    for (chain, key, reason, words) in [
        (
            chain.clone(),
            other.key_pem(),
            "key_mismatch",
            "does not match certificate",
        ),
        (
            reversed,
            key.clone(),
            "key_mismatch",
            "it matches certificate 2 of the chain: put the leaf first",
        ),
        (
            chain.clone(),
            ed25519.key_pem(),
            "key_mismatch",
            "does not match",
        ),
        (
            key.clone(),
            key.clone(),
            "no_certificate",
            "chain.pem holds no certificate",
        ),
        (
            chain.clone(),
            chain.clone(),
            "no_private_key",
            "key.pem holds no private key",
        ),
        (
            chain.clone(),
            format!("{key}{key}"),
            "several_private_keys",
            "more than one private key",
        ),
        (
            chain.clone(),
            pem("PRIVATE KEY", b"\x30\x03\x02\x01\x00"),
            "unusable_key",
            "key.pem cannot be used",
        ),
        (
            chain.clone(),
            pem("ENCRYPTED PRIVATE KEY", b"\x30\x00"),
            "encrypted_key",
            "openssl pkey -in KEY.pem -out",
        ),
        (
            pem("CERTIFICATE", b"\x30\x00"),
            key.clone(),
            "malformed_certificate",
            "certificate 1 of the chain",
        ),
        (
            format!("{chain}{}", pem("CERTIFICATE", b"\x30\x00")),
            key.clone(),
            "malformed_certificate",
            "certificate 3 of the chain",
        ),
        (
            chain[..chain.len() - 40].into(),
            key.clone(),
            "pem_cut_off",
            "block 2",
        ),
        (
            String::new(),
            key.clone(),
            "no_pem_block",
            "chain.pem holds no PEM block",
        ),
        (
            String::from_utf8_lossy(b"0\x03abc").into(),
            key,
            "not_pem",
            "chain.pem is unknown data in DER",
        ),
    ] {
        let chain = folder.write("chain.pem", chain);
        let key = folder.write("key.pem", key);
        let error = Credentials::from_pem_files(&chain, &key).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.reason(), reason, "{message}");
        assert!(message.contains(words), "{words:?} is not in: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let missing = folder.0.path().join("missing.pem");
    let error = Credentials::from_pem_files(&missing, &missing).unwrap_err();
    assert_eq!(error.reason(), "unreadable_file");
    assert!(error.to_string().contains("missing.pem"), "{error}");

    let v1 = TestCa::new("Root")
        .leaf()
        .common_name("old")
        .version(1)
        .issue();
    let error = Credentials::from_pem(v1.chain_pem(), v1.key_pem()).unwrap_err();
    assert_eq!(error.reason(), "v1_certificate");
    assert!(error.to_string().contains("-extfile"), "{error}");
    let error = Credentials::from_der(Vec::new(), one.key_der()).unwrap_err();
    assert_eq!(error.reason(), "no_certificate");
    let garbage = PrivateKeyDer::Pkcs8(b"garbage".to_vec().into());
    let error = Credentials::from_der(one.chain().to_vec(), garbage).unwrap_err();
    assert_eq!(error.reason(), "unusable_key");
}

#[test]
fn a_signer_of_its_own() {
    let issued = issue(KeyType::P256);
    let load = |issued: &Issued| {
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&issued.key_der()).unwrap()
    };
    Credentials::from_signer(issued.chain().to_vec(), load(&issued)).unwrap();
    let error = Credentials::from_signer(issued.chain().to_vec(), load(&issue(KeyType::P256)));
    assert_eq!(error.unwrap_err().reason(), "key_mismatch");
}

#[test]
fn trust_stores_from_files_folders_and_bytes() {
    let folder = Folder::new();
    let (one, other) = (TestCa::new("One"), TestCa::new("Other"));
    let file = folder.write("roots.pem", format!("# ours\n{}{}", one.pem(), other.pem()));
    assert_eq!(TrustStore::from_pem_file(&file).unwrap().anchors().len(), 2);
    assert_eq!(TrustStore::from_pem(one.pem()).unwrap().anchors().len(), 1);
    let der = [
        one.certificate_der(),
        other.certificate_der(),
        one.certificate_der(),
    ];
    assert_eq!(
        TrustStore::from_der(der).unwrap().anchors().len(),
        2,
        "each once"
    );

    // roots.pem is read as well; other names, hidden files and folders are not.
    folder.write("third.crt", TestCa::new("Third").pem());
    folder.write(".hidden.pem", "garbage");
    folder.write("README", "garbage");
    fs::create_dir(folder.0.path().join("sub.pem")).unwrap();
    let store = TrustStore::from_pem_dir(folder.0.path()).unwrap();
    assert_eq!(store.anchors().len(), 3);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(one.certificate_der()).unwrap();
    let store = TrustStore::from_root_store(roots)
        .and(other.trust())
        .and(one.trust());
    assert_eq!(store.anchors().len(), 2);
    assert!(TrustStore::empty().is_empty() && !store.is_empty());
}

#[test]
fn what_trust_stores_reject() {
    let folder = Folder::new();
    let ca = TestCa::new("Root");
    let good = ca.pem();
    let leaf = pem("CERTIFICATE", ca.leaf().dns("a.example").issue().leaf_der());
    let no_sign = TestCa::builder("No keyCertSign")
        .key_usage(Some(KeyUsageBits::CRL_SIGN))
        .root()
        .pem();
    let big = pem(
        "CERTIFICATE",
        ca.leaf()
            .ca()
            .spki_der(oversized_rsa_spki(9000))
            .issue()
            .leaf_der(),
    );
    for (pem, reason, words) in [
        (
            format!("{good}{}", pem("CERTIFICATE", b"\x30\x00")),
            "malformed_certificate",
            "roots.pem, block 2 (line",
        ),
        (
            format!("{good}{leaf}"),
            "not_an_issuer",
            "roots.pem, block 2 (line",
        ),
        (
            leaf,
            "not_an_issuer",
            "to trust exactly this certificate, pin it",
        ),
        (no_sign, "not_an_issuer", "CN=No keyCertSign"),
        (big, "malformed_certificate", "RSA key of 9000 bits"),
        (
            format!("{good}{}", pem("PRIVATE KEY", b"x")),
            "unexpected_pem_block",
            "block 2",
        ),
        (
            good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            "unexpected_pem_block",
            "TRUSTED CERTIFICATE",
        ),
        (
            good[..good.len() / 2].to_owned(),
            "pem_cut_off",
            "roots.pem, block 1 (line 1)",
        ),
        (
            format!("{}{good}", good.replace("-----END CERTIFICATE-----\n", "")),
            "pem_cut_off",
            "block 1 (line 1)",
        ),
        (good.replacen('M', "!", 1), "pem_damaged", "block 1"),
        (
            String::new(),
            "no_pem_block",
            "roots.pem holds no PEM block",
        ),
    ] {
        let file = folder.write("roots.pem", pem);
        for error in [
            TrustStore::from_pem_file(&file).unwrap_err(),
            TrustStore::from_pem_dir(folder.0.path()).unwrap_err(),
        ] {
            let message = error.to_string();
            assert_eq!(error.reason(), reason, "{message}");
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
    }
    let empty = Folder::new();
    assert_eq!(
        TrustStore::from_pem_dir(empty.0.path())
            .unwrap_err()
            .reason(),
        "empty_folder"
    );
    let missing = empty.0.path().join("missing");
    assert_eq!(
        TrustStore::from_pem_dir(&missing).unwrap_err().reason(),
        "unreadable_file"
    );
    assert_eq!(
        TrustStore::from_pem_file(&missing).unwrap_err().reason(),
        "unreadable_file"
    );
}

#[cfg(unix)]
#[test]
fn a_dangling_symlink_is_not_skipped() {
    let folder = Folder::new();
    folder.write("good.pem", TestCa::new("Root").pem());
    std::os::unix::fs::symlink("nowhere", folder.0.path().join("gone.pem")).unwrap();
    let error = TrustStore::from_pem_dir(folder.0.path()).unwrap_err();
    assert_eq!(error.reason(), "unreadable_file");
    assert!(error.to_string().contains("gone.pem"), "{error}");
}

/// Each in a thread, since a reader that waits for a writer waits indefinitely.
#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_and_blocks_no_loader() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("a.pem");
    let Ok(made) = std::process::Command::new("mkfifo").arg(&pipe).status() else {
        eprintln!("no mkfifo here");
        return;
    };
    assert!(made.success());
    let good = folder.path().join("good");
    fs::write(&good, TestCa::new("Root").leaf().issue().chain_pem()).unwrap();
    let folder = folder.path().to_path_buf();
    type Load = Box<dyn FnOnce() -> &'static str + Send>;
    let (p, q) = (pipe.clone(), pipe.clone());
    let loaders: Vec<(&str, Load)> = vec![
        ("chain", {
            let (pipe, good) = (pipe.clone(), good.clone());
            Box::new(move || {
                Credentials::from_pem_files(pipe, good)
                    .unwrap_err()
                    .reason()
            })
        }),
        ("key", {
            let (pipe, good) = (pipe.clone(), good.clone());
            Box::new(move || {
                Credentials::from_pem_files(good, pipe)
                    .unwrap_err()
                    .reason()
            })
        }),
        ("DER key", {
            Box::new(move || Credentials::from_der_files(good, p).unwrap_err().reason())
        }),
        ("roots", {
            Box::new(move || TrustStore::from_pem_file(q).unwrap_err().reason())
        }),
        ("a folder of roots", {
            let folder = folder.clone();
            Box::new(move || TrustStore::from_pem_dir(folder).unwrap_err().reason())
        }),
        ("CRLs", {
            Box::new(move || Crls::from_file(pipe).unwrap_err().reason())
        }),
        ("a folder of CRLs", {
            Box::new(move || Crls::from_dir(folder).unwrap_err().reason())
        }),
    ];
    for (what, load) in loaders {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(load()));
        let reason = receiver.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(reason, Ok("not_a_file"), "{what}");
    }
}

#[test]
fn pin_files() {
    let folder = Folder::new();
    let leaf = TestCa::new("Root").leaf().dns("a.example").issue();
    let file = folder.write("pin.pem", leaf.chain_pem());
    let store = TrustStore::empty().pin_pem_file(&file).unwrap();
    assert!(!store.is_empty() && store.anchors().is_empty());
    let old = TestCa::new("Root")
        .leaf()
        .common_name("old")
        .version(1)
        .issue();
    let file = folder.write("old.pem", old.chain_pem());
    let error = TrustStore::empty().pin_pem_file(&file).unwrap_err();
    assert_eq!(error.reason(), "v1_certificate");
    // An intermediate must be one.
    let error =
        TrustStore::empty().with_intermediates_pem_file(folder.write("leaf.pem", leaf.chain_pem()));
    assert_eq!(error.unwrap_err().reason(), "not_an_issuer");
}

#[cfg(feature = "webpki-roots")]
#[test]
fn the_roots_of_the_web() {
    assert!(TrustStore::webpki_roots().anchors().len() > 50);
}

#[test]
fn certificates_are_read_strictly() {
    let good = issue(KeyType::P256);
    let parse = |der: &[u8]| Certificate::from_der(der);
    assert!(parse(good.leaf_der()).is_ok());
    let mut trailing = good.leaf_der().to_vec();
    trailing.push(0);
    assert!(
        parse(&trailing)
            .unwrap_err()
            .to_string()
            .contains("data follows")
    );
    let ca = TestCa::new("Root");
    let with = |oid: &str, value: &[u8]| ca.leaf().extension(oid, false, value).issue();
    for (oid, value, part) in [
        (
            "2.5.29.15",
            &[3, 2, 7, 0x80][..],
            "keyUsage: the extension occurs twice",
        ),
        (
            "2.5.29.19",
            &[0x30, 0],
            "basicConstraints: the extension occurs twice",
        ),
        (
            "2.5.29.37",
            &[0x30, 0],
            "extendedKeyUsage: the extension occurs twice",
        ),
    ] {
        let error = parse(with(oid, value).leaf_der()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let malformed = ca
        .leaf()
        .key_usage(None)
        .extension("2.5.29.15", true, &[3, 2, 7, 0x81])
        .issue();
    assert!(
        parse(malformed.leaf_der())
            .unwrap_err()
            .to_string()
            .contains("keyUsage")
    );
    // A malformed SAN concerns only those who want to read it.
    let hostile = ca.leaf().san_der(vec![0x30, 0x80, 0, 0]).issue();
    let certificate = parse(hostile.leaf_der()).unwrap();
    assert!(certificate.subject_alternative_names().is_err());
    assert_eq!(certificate.issuer().to_string(), "CN=Root");
}

/// Two parsers must not see two certificates: rustls-webpki does not know this extension, and so it
/// must be no subjectAltName to us either.
#[test]
fn an_object_identifier_in_another_encoding_is_rejected() {
    let ca = TestCa::new("Root");
    let san = [
        0x30, 11, 0x82, 9, b'v', b'.', b'e', b'x', b'a', b'm', b'p', b'l', b'e',
    ];
    let issue = |oid: &[u8]| {
        let extension = der::sequence(&[der::tlv(0x06, oid), der::octet_string(san)]);
        let placeholder = der::extension("1.2.3.4", false, &[]);
        ca.leaf()
            .extension("1.2.3.4", false, &[])
            .map_tbs(move |tbs| replace(&tbs, &placeholder, &extension))
            .issue()
    };
    let minimal = issue(&[0x55, 0x1d, 0x11]);
    let names = minimal.certificate();
    assert_eq!(names.subject_alternative_names().unwrap().len(), 1);
    let error = Certificate::from_der(issue(&[0x55, 0x80, 0x1d, 0x11]).leaf_der()).unwrap_err();
    assert!(error.to_string().contains("object identifier"), "{error}");
}

/// Replaces the last extension of a TBSCertificate and mends the lengths around it.
fn replace(tbs: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let (fields, block) = split_last(content(tbs));
    assert_eq!(block[0], 0xa3, "the extensions come last");
    let (extensions, last) = split_last(content(content(block)));
    assert_eq!(last, old);
    let extensions = der::tlv(0x30, [extensions, new].concat());
    der::tlv(0x30, [fields, &der::tlv(0xa3, extensions)].concat())
}

/// The length of the first TLV's header, and of its content.
fn lengths(tlv: &[u8]) -> (usize, usize) {
    match tlv[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(tlv[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([tlv[2], tlv[3]]))),
        _ => panic!("no certificate of these tests is that long"),
    }
}

fn content(tlv: &[u8]) -> &[u8] {
    &tlv[lengths(tlv).0..]
}

/// Walks consecutive TLVs to the last one.
fn split_last(tlvs: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    loop {
        let (header, content) = lengths(&tlvs[start..]);
        let end = start + header + content;
        if end == tlvs.len() {
            return tlvs.split_at(start);
        }
        start = end;
    }
}

/// A file that is unusual and unambiguous, and the reasons of its warnings.
#[test]
fn unusual_files_load_with_a_warning() {
    let issued = issue(KeyType::P256);
    let rsa = issue(KeyType::Rsa2048);
    let (chain, key) = (issued.chain_pem(), issued.key_pem());
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(chain.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let dh = pem("DH PARAMETERS", b"\x30\x00");
    for (chain, key, reasons) in [
        (chain.clone().into_bytes(), key.clone(), &[][..]),
        (
            format!("\u{feff}{chain}").into(),
            format!("\u{feff}{key}"),
            &["byte_order_mark"],
        ),
        (utf16, key.clone(), &["utf16"]),
        (
            chain.replace("CERTIFICATE", "X509 CERTIFICATE").into(),
            key.clone(),
            &["pem_mislabelled", "pem_mislabelled"],
        ),
        (
            format!("{chain}{dh}").into(),
            format!("{key}{dh}"),
            &["pem_block_ignored", "pem_block_ignored"],
        ),
        (
            chain.clone().into(),
            key.replace("PRIVATE KEY", "EC PRIVATE KEY"),
            &["pem_mislabelled"],
        ),
        (
            rsa.chain_pem().into(),
            rsa.key_pem().replace("PRIVATE KEY", "RSA PRIVATE KEY"),
            &["pem_mislabelled"],
        ),
    ] {
        let loaded = Credentials::from_pem(&chain, &key).unwrap();
        let warnings = loaded.warnings();
        let found: Vec<_> = warnings.iter().map(|warning| warning.reason()).collect();
        // Both "files" are "the given bytes".
        if reasons == ["byte_order_mark"] {
            assert_eq!(found, ["byte_order_mark"], "{warnings:?}");
        } else {
            assert_eq!(found, reasons, "{warnings:?}");
        }
        assert_eq!(loaded.chain().len(), 2);
    }
    let roots = TestCa::new("Root").pem();
    TrustStore::from_pem(format!("\u{feff}{roots}")).unwrap();
}

#[test]
fn other_contents_are_named() {
    let issued = issue(KeyType::P256);
    let (chain, key) = (issued.chain_pem(), issued.key_pem());
    let leaf = issued.leaf_der().to_vec();
    let crl = TestCa::new("Root").crl().build().to_vec();
    let with_settings = [&leaf[..], b"\x30\x00"].concat();
    for (chain, key, reason, words) in [
        (
            leaf.clone(),
            key.clone(),
            "not_pem",
            "is a certificate in DER",
        ),
        (crl.clone(), key.clone(), "not_pem", "is a CRL in DER"),
        (
            pem("CERTIFICATE", &crl).into(),
            key.clone(),
            "pem_mislabelled",
            "contains a CRL",
        ),
        (
            pem("CERTIFICATE", &with_settings).into(),
            key.clone(),
            "pem_mislabelled",
            "trust settings",
        ),
        (
            pem("TRUSTED CERTIFICATE", &leaf).into(),
            key.clone(),
            "unexpected_pem_block",
            "openssl x509 -in FILE",
        ),
        (
            chain.clone().into(),
            pem("PRIVATE KEY", &leaf),
            "pem_mislabelled",
            "contains a certificate",
        ),
        (
            key.clone().into(),
            key,
            "no_certificate",
            "but a private key; give the certificate chain first",
        ),
        (
            chain.clone().into(),
            chain.clone(),
            "no_private_key",
            "but a certificate; give the certificate chain first",
        ),
        (
            chain.into(),
            pem("PUBLIC KEY", issued.certificate().spki()),
            "unexpected_pem_block",
            "give the private key that belongs to it",
        ),
    ] {
        let error = Credentials::from_pem(&chain, &key).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
