//! Every file has a report.

use std::fs::{self, File};
use std::path::PathBuf;

use countersign::testing::{TestCa, der};
use serde_json::{Value, json};

use super::reports::{assert_says, assert_unreadable, checked, nothing, report_of};
use countersign_cli::inspect::report::Report;

#[test]
fn a_file_without_a_certificate_is_reported() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().common_name("alice").issue();
    let (pem, key) = (issued.chain_pem(), issued.key_pem());
    let der = issued.leaf_der();
    let half = &pem[..pem.len() / 2];
    let body = pem.lines().nth(1).expect("base64");
    for (what, bytes, why) in [
        ("empty", vec![], "the file is empty"),
        (
            "a new line",
            b"\n".to_vec(),
            "neither a PEM block nor a certificate in DER",
        ),
        (
            "text",
            b"hello".to_vec(),
            "neither a PEM block nor a certificate in DER",
        ),
        (
            "garbage",
            vec![0xff; 4096],
            "neither a PEM block nor a certificate in DER",
        ),
        (
            "base64 alone",
            body.into(),
            "neither a PEM block nor a certificate in DER",
        ),
        (
            "zeros",
            vec![0; 1 << 20],
            "neither a PEM block nor a certificate in DER",
        ),
        (
            "a SEQUENCE alone",
            vec![0x30],
            "cannot read the X.509 structure",
        ),
        (
            "a long SEQUENCE",
            [0x30, 0x84, 0xff, 0xff, 0xff, 0xff].into(),
            "the X.509 structure",
        ),
        (
            "half a DER file",
            der[..der.len() / 2].into(),
            "the X.509 structure",
        ),
        (
            "two in DER",
            [&**der, &**der].concat(),
            "data follows the certificate",
        ),
        (
            "a key",
            key.clone().into(),
            "of which the first is \"PRIVATE KEY\"",
        ),
        (
            "half a key",
            key[..key.len() / 2].into(),
            "of which the first is \"PRIVATE KEY\"",
        ),
        (
            "a label that clears the screen",
            b"-----BEGIN \x1b[2J\xff-----\n".to_vec(),
            "of which the first is \"\\u{1b}[2J\u{fffd}\"",
        ),
        (
            "half a PEM file",
            half.into(),
            "PEM block 1 cannot be read: it is cut off",
        ),
        (
            "half a certificate before a whole one",
            format!("{half}\n{pem}").into(),
            "PEM block 1 cannot be read: it is cut off",
        ),
        (
            "damaged base64",
            pem.replacen(body, &body.replace(|c| c < 'a', "!"), 1)
                .into(),
            "PEM block 1 cannot be read: its base64 is damaged",
        ),
        (
            "a damaged BEGIN line",
            pem.replacen("CERTIFICATE-----", "CERTIFICATE----", 1)
                .into(),
            "PEM block 1 cannot be read: its BEGIN line does not end in five dashes",
        ),
        (
            "a byte order mark",
            format!("\u{feff}{pem}{pem}").into(),
            "PEM block 1 cannot be read: a space or an invisible byte order mark precedes its BEGIN",
        ),
        (
            "an indented block before another",
            format!("  {}\n{pem}", pem.replace('\n', "\n  ")).into(),
            "PEM block 1 cannot be read: a space or an invisible byte order mark precedes its BEGIN",
        ),
        (
            "a damaged END line",
            pem.replace("END CERT", "END X CERT").into(),
            "PEM block 1 cannot be read: it is cut off",
        ),
        (
            "no base64",
            der::pem("CERTIFICATE", b"").into(),
            "the X.509 structure",
        ),
        (
            "a CRL as certificate",
            der::pem("CERTIFICATE", &[0x30, 0]).into(),
            "the X.509 structure",
        ),
    ] {
        let bytes: Vec<u8> = bytes;
        assert_unreadable(what, &report_of(bytes), why);
    }
}

#[test]
fn a_certificate_is_found_among_other_content() {
    let ca = TestCa::new("Root");
    let issued = ca
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .issue();
    let other = ca.leaf().common_name("other").issue();
    let (pem, key, other) = (issued.chain_pem(), issued.key_pem(), other.chain_pem());
    for (what, bytes) in [
        ("PEM", pem.clone().into()),
        ("DER", issued.leaf_der().to_vec()),
        ("with its key before", format!("{key}{pem}").into()),
        ("with its key behind", format!("{pem}{key}").into()),
        (
            "with half its key before",
            format!("{}\n{pem}", &key[..key.len() / 2]).into(),
        ),
        ("with CRLF", pem.replace('\n', "\r\n").into()),
        ("with CR", pem.replace('\n', "\r").into()),
        (
            "with one that is commented out before",
            format!("# {}\n{pem}", pem.replace('\n', "\n# ")).into(),
        ),
        (
            "with text around",
            format!("Subject: alice\n\n{pem}\nand no more").into(),
        ),
        ("first of two", format!("{pem}{other}").into()),
        (
            "with garbage before",
            [b"\xff\xfe\0\n", pem.as_bytes()].concat(),
        ),
    ] {
        let bytes: Vec<u8> = bytes;
        let expected = [
            ("/problem", Value::Null),
            ("/extractors/cn/ok", json!("alice")),
            (
                "/certificate/sha256",
                json!(issued.certificate().sha256().to_string()),
            ),
        ];
        assert_says(what, &report_of(bytes), &expected);
    }
}

#[test]
fn damage_after_the_first_certificate_is_reported_with_it() {
    let ca = TestCa::new("Root");
    let issued = ca
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .issue();
    let pem = issued.chain_pem();
    let report = Report::on("it.pem", Ok(&pem.as_bytes()[..pem.len() - 9]), &nothing());
    assert!(!report.is_good());
    let why = "it.pem: PEM block 2 cannot be read: it is cut off: there is no -----END line";
    let expected = [
        ("/problem", json!(why)),
        ("/extractors/cn/ok", json!("alice")),
    ];
    assert_says("cut off", &checked(&report), &expected);
}

#[test]
fn a_long_file_has_a_short_report() {
    let ca = TestCa::new("Root");
    let pem = ca.leaf().common_name("alice").issue().chain_pem();
    let broken = der::pem("CERTIFICATE", b"\x30\0");
    let bytes = [pem.as_str(), &ca.pem(), &broken.repeat(500)].concat();
    let human = Report::on("it.pem", Ok(bytes.as_bytes()), &nothing()).to_string();
    assert!(
        human.contains("\n  certificate \"CN=Root\" (self-issued, "),
        "{human}"
    );
    assert!(
        human.contains("\n  malformed certificate: cannot read "),
        "{human}"
    );
    assert!(human.contains("\n  and 491 more\n"), "{human}");
    assert!(human.lines().count() < 60, "{human}");
}

#[test]
fn unreadable_files_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let huge = folder.path().join("huge.pem");
    let file = File::create(&huge).expect("a file");
    file.set_len((16 << 20) + 1).expect("a sparse file");
    let folder_path = folder.path().to_path_buf();
    for (path, why) in [
        (folder.path().join("missing.pem"), "No such file"),
        (folder_path, "directory"),
        (huge, "over 16777216 bytes long"),
        (PathBuf::new(), "No such file"),
        (PathBuf::from("/dev/null"), "the file is empty"),
        (PathBuf::from("/dev/zero"), "over 16777216 bytes long"),
    ] {
        let report = Report::on_file(&path, &nothing());
        assert_unreadable(&path.to_string_lossy(), &checked(&report), why);
    }

    let good = folder.path().join("good.pem");
    let ca = TestCa::new("Root");
    fs::write(&good, ca.leaf().common_name("alice").issue().chain_pem()).expect("written");
    let report = checked(&Report::on_file(&good, &nothing()));
    assert_says("good", &report, &[("/extractors/cn/ok", json!("alice"))]);
}
