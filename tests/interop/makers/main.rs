//! Certificates and CRLs of the programs that people make them with.
//!
//! Each script makes a root, a good client, a revoked one and a CRL. The CRL loads, or the error names the
//! option with which it does. The good client is then accepted, and the revoked one is not.
#![cfg(unix)] // a shell
#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::path::Path;
use std::process::Command;

use countersign::pki::CrlNumber;
use countersign::pki_types::pem::PemObject as _;
use countersign::pki_types::{CertificateDer, UnixTime};
use countersign::trust::{ChainVerifier, Crls};
use countersign::{Diagnostic as _, Side, TrustStore};
use rustls::crypto::aws_lc_rs::default_provider;
use support::programs::{in_ci, is_there};

/// One program that makes certificates and CRLs.
struct Maker {
    /// The programs that the script needs.
    programs: &'static [&'static str],
    script: &'static str,
    /// The variable `KIND` of the script.
    kind: &'static str,
    /// The reason for which its CRL does not load by default.
    refused: Option<&'static str>,
}

#[track_caller]
fn check(maker: &Maker) {
    if !maker.programs.iter().all(|program| is_installed(program)) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("makers.go"),
        include_str!("scripts/makers.go"),
    )
    .unwrap();
    let output = Command::new("sh")
        .args(["-eu", "-c", maker.script])
        .env("KIND", maker.kind)
        .env("LC_ALL", "C.UTF-8")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let list = folder.path().join("list.crl");
    let crls = match (Crls::from_file(&list), maker.refused) {
        (Ok(crls), None) => crls,
        (Err(error), Some(reason)) => {
            assert_eq!(error.reason(), reason, "{error}");
            assert!(error.remedy().contains("CrlNumber::Optional"), "{error}");
            let loader = Crls::loader().number(CrlNumber::Optional);
            loader.from_file(&list).unwrap()
        }
        (outcome, _) => panic!("not as expected: {outcome:?}"),
    };
    let trust = TrustStore::from_pem_file(folder.path().join("root.pem")).unwrap();
    let verifier = ChainVerifier::new(trust, Side::Client, &default_provider()).revocation(crls);
    assert_eq!(verdict(&verifier, &folder.path().join("good.pem")), "good");
    let revoked = verdict(&verifier, &folder.path().join("revoked.pem"));
    assert_eq!(revoked, "revoked");
}

fn verdict(verifier: &ChainVerifier, chain: &Path) -> &'static str {
    let chain = CertificateDer::pem_file_iter(chain).unwrap();
    let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
    let verdict = verifier.verify(&chain, UnixTime::now());
    verdict.map_or_else(|error| error.reason(), |_| "good")
}

/// A program by its path, or by its name in PATH.
fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    is_there(found, program, in_ci())
}

#[test]
fn easy_rsa() {
    check(&Maker {
        programs: &["/usr/share/easy-rsa/easyrsa", "openssl"],
        script: include_str!("scripts/easy_rsa.sh"),
        kind: "",
        refused: Some("crl_number"),
    });
}

#[test]
fn openssl_ca_with_its_default_configuration() {
    check(&Maker {
        programs: &["openssl"],
        script: include_str!("scripts/openssl_ca.sh"),
        kind: "",
        refused: Some("v1_crl"),
    });
}

#[test]
fn java_keytool() {
    check(&Maker {
        programs: &["keytool", "openssl", "python3"],
        script: include_str!("scripts/keytool.sh"),
        kind: "",
        refused: Some("v1_crl"),
    });
}

#[test]
fn nss() {
    check(&Maker {
        programs: &["certutil", "crlutil"],
        script: include_str!("scripts/nss.sh"),
        kind: "",
        refused: Some("crl_number"),
    });
}

#[test]
fn strongswan_pki() {
    check(&Maker {
        programs: &["pki"],
        script: include_str!("scripts/strongswan.sh"),
        kind: "",
        refused: None,
    });
}

#[test]
fn gnutls_certtool() {
    check(&Maker {
        programs: &["certtool"],
        script: include_str!("scripts/gnutls.sh"),
        kind: "",
        refused: None,
    });
}

/// cfssl makes its CRLs with this function too.
#[test]
fn go_create_crl() {
    check(&Maker {
        programs: &["go"],
        script: include_str!("scripts/go.sh"),
        kind: "CreateCRL",
        refused: Some("crl_number"),
    });
}

/// With the extensions of step-ca's certificates.
#[test]
fn go_create_revocation_list() {
    check(&Maker {
        programs: &["go"],
        script: include_str!("scripts/go.sh"),
        kind: "CreateRevocationList",
        refused: None,
    });
}
