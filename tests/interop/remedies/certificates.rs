//! Certificates in other formats and encodings.

use countersign::testing::{Issued, TestCa};
use countersign::{Credentials, TrustStore};

use crate::commands::{Folder, has};

/// A chain of two certificates as `chain.pem`, and its key as `KEY.pem`.
fn issued(folder: &Folder) -> Issued {
    let issued = TestCa::new("Root")
        .intermediate("Issuing")
        .leaf()
        .dns("a.example")
        .issue();
    folder.write("chain.pem", issued.chain_pem());
    folder.write("KEY.pem", issued.key_pem());
    issued
}

/// `FILE` is refused as a chain for this reason; after its remedy, `FILE.pem` loads.
#[track_caller]
fn cure_chain(folder: &Folder, issued: &Issued, reason: &str, inputs: &[&str]) {
    let load = |name| Credentials::from_pem_files(folder.path(name), folder.path("KEY.pem"));
    let error = load("FILE").unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    folder.apply_all(&error, inputs);
    let loaded = load("FILE.pem").unwrap();
    assert_eq!(loaded.certificate(), &issued.certificate(), "{error}");
    assert!(loaded.warnings().is_empty(), "{:?}", loaded.warnings());
}

#[test]
fn pkcs7_in_der_and_pem() {
    if !has(&["openssl", "sed"]) {
        return;
    }
    let folder = Folder::new();
    let issued = issued(&folder);
    let make = "openssl crl2pkcs7 -nocrl -certfile chain.pem -out FILE -outform";
    folder.shell(&format!("{make} der"), "");
    cure_chain(&folder, &issued, "not_pem", &[""]);
    folder.shell(&format!("{make} pem"), "");
    cure_chain(&folder, &issued, "unexpected_pem_block", &[""]);
    // As some Windows tools label it.
    folder.shell("sed -i 's/PKCS7/CERTIFICATE/' FILE", "");
    cure_chain(&folder, &issued, "pem_mislabelled", &[""]);
}

#[test]
fn pkcs12_and_java_keystores_hold_certificates_and_key() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let issued = issued(&folder);
    let load = |name| Credentials::from_pem_files(folder.path(name), folder.path(name));
    folder.shell(
        "openssl pkcs12 -export -in chain.pem -inkey KEY.pem -name a -passout pass:secret -out FILE",
        "",
    );
    let error = load("FILE").unwrap_err();
    assert_eq!(error.reason(), "not_pem", "{error}");
    assert!(error.to_string().contains("a PKCS#12 archive"), "{error}");
    folder.apply(&error, "secret\n");
    assert_eq!(
        load("FILE.pem").unwrap().certificate(),
        &issued.certificate()
    );

    if !has(&["keytool"]) {
        return;
    }
    folder.shell("rm FILE.pem && mv FILE made.p12", "");
    folder.shell(
        "keytool -importkeystore -srckeystore made.p12 -srcstoretype PKCS12 -srcstorepass secret \
         -destkeystore FILE -deststoretype JKS -deststorepass secret",
        "",
    );
    let error = load("FILE").unwrap_err();
    assert!(error.to_string().contains("a Java keystore"), "{error}");
    // The new passphrase twice, and the old one.
    folder.apply_all(&error, &["secret\nsecret\nsecret\n", "secret\n"]);
    assert_eq!(
        load("FILE.pem").unwrap().certificate(),
        &issued.certificate()
    );
}

#[test]
fn der_and_trusted_certificates() {
    if !has(&["openssl", "sed"]) {
        return;
    }
    let folder = Folder::new();
    let issued = issued(&folder);
    folder.shell("openssl x509 -in chain.pem -outform der -out FILE", "");
    cure_chain(&folder, &issued, "not_pem", &[""]);
    for options in ["", "-addtrust serverAuth -setalias a"] {
        folder.shell(
            &format!("openssl x509 -in chain.pem -trustout {options} -out FILE"),
            "",
        );
        cure_chain(&folder, &issued, "unexpected_pem_block", &[""]);
    }
    // Trust settings under a label that has none.
    folder.shell("sed -i 's/TRUSTED CERT/CERT/' FILE", "");
    cure_chain(&folder, &issued, "pem_mislabelled", &[""]);
}

#[test]
fn a_crl_and_a_request_are_named_where_a_certificate_is_expected() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    issued(&folder);
    let request = "openssl req -new -key KEY.pem -subj /CN=a -out";
    folder.shell(&format!("{request} FILE"), "");
    folder.shell(&format!("{request} request.der -outform der"), "");
    folder.shell(
        "sed 's/CERTIFICATE REQUEST/CERTIFICATE/' FILE > mislabelled",
        "",
    );
    for name in ["FILE", "request.der", "mislabelled"] {
        let file = folder.path(name);
        let error = Credentials::from_pem_files(&file, folder.path("KEY.pem")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.to_lowercase().contains("certificate request"),
            "{text}"
        );
        assert!(
            text.contains("have a certificate authority issue"),
            "{text}"
        );
        TrustStore::from_pem_file(&file).unwrap_err();
    }
    let crl = TestCa::new("Root").crl().build();
    folder.write("FILE", &crl);
    let error = TrustStore::from_pem_file(folder.path("FILE")).unwrap_err();
    assert!(error.to_string().contains("is a CRL in DER"), "{error}");
    folder.apply(&error, "");
    countersign::trust::Crls::from_file(folder.path("FILE.pem")).unwrap();
}

#[test]
fn other_encodings_of_text() {
    if !has(&["iconv", "sed", "awk"]) {
        return;
    }
    let folder = Folder::new();
    let issued = issued(&folder);
    for encoding in ["UTF-16LE", "UTF-16BE"] {
        // iconv writes no byte order mark for these.
        folder.shell(&format!("iconv -t {encoding} chain.pem > FILE"), "");
        cure_chain(&folder, &issued, "text_encoding", &[""]);
    }
    let chain = issued.chain_pem();
    for escaped in [
        chain.replace('\n', "\\n"),
        chain.replace('\n', "\\r\\n"),
        format!("\"{}\"\n", chain.replace('\n', "\\n")),
    ] {
        folder.write("FILE", escaped);
        cure_chain(&folder, &issued, "pem_escaped_newlines", &[""]);
    }
    let joined = chain.replace("-----\n-----BEGIN", "----------BEGIN");
    assert_ne!(joined, chain);
    for broken in [joined, chain.replace('\n', " "), chain.replace('\n', "")] {
        folder.write("FILE", broken);
        cure_chain(&folder, &issued, "pem_line_breaks", &[""]);
    }
    for indent in ["    ", "\t"] {
        let indented: String = chain
            .lines()
            .map(|line| format!("{indent}{line}\n"))
            .collect();
        folder.write("FILE", format!("certificate: |\n{indented}"));
        cure_chain(&folder, &issued, "pem_indented", &[""]);
    }
}

/// What is loaded with a warning has a remedy, too.
#[test]
fn warnings_have_remedies_that_work() {
    if !has(&["iconv", "openssl"]) {
        return;
    }
    let folder = Folder::new();
    let issued = issued(&folder);
    let load = |name| Credentials::from_pem_files(folder.path(name), folder.path("KEY.pem"));
    let cure = |reason: &str| {
        let loaded = load("FILE").unwrap();
        let [warning] = loaded.warnings() else {
            panic!("one warning is expected: {:?}", loaded.warnings());
        };
        assert_eq!(warning.reason(), reason);
        folder.apply(warning, "");
        assert!(load("FILE.pem").unwrap().warnings().is_empty(), "{warning}");
    };
    folder.shell("iconv -t UTF-16 chain.pem > FILE", "");
    cure("utf16");
    let old = issued.leaf_only().chain_pem();
    folder.write("FILE", old.replace("CERTIFICATE", "X509 CERTIFICATE"));
    cure("pem_mislabelled");
}
