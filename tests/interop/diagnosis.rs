//! The commands that a report prints do what it says.

use std::path::Path;

use countersign::Side;
use countersign::diagnose::{Case, Finding, diagnose};
use countersign::testing::{Issued, TestCa};
use countersign::trust::{ChainVerifier, Trust};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use support::programs::{command, has_openssl, run};

fn verifier(trust: impl Into<Trust>, usage: Side) -> ChainVerifier {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    ChainVerifier::new(trust, usage, &provider)
}

/// The files that the commands name.
fn files(folder: &Path, issued: &Issued, ca: &TestCa, ca_key: &str) {
    for (name, content) in [
        ("CERT.pem", issued.leaf_only().chain_pem()),
        ("KEY.pem", issued.key_pem()),
        ("CHAIN.pem", issued.chain_pem()),
        ("CA.pem", ca.pem()),
        ("CA.key", ca_key.to_owned()),
        ("ROOTS.pem", ca.pem()),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
}

async fn run_all(folder: &Path, finding: &Finding) {
    for line in finding.commands() {
        let finished = run(command("sh").args(["-c", line]).current_dir(folder), "").await;
        assert_eq!(finished.code, Some(0), "{line}: {finished:?}");
    }
}

/// A certificate that was issued in the wrong way is issued again by the commands alone, and then
/// nothing is wrong any more.
#[tokio::test]
async fn a_certificate_is_issued_anew() {
    if !has_openssl() {
        return;
    }
    // Its key is needed, which a `TestCa` keeps to itself: so the authority is a leaf by birth.
    let ca = TestCa::new("unused")
        .leaf()
        .common_name("Example CA")
        .ca()
        .self_signed();
    let folder = tempfile::tempdir().unwrap();
    let store = countersign::TrustStore::from_pem(ca.chain_pem()).unwrap();
    let stand_in = TestCa::new("Example CA");
    let name = ServerName::try_from("orders.example").unwrap();
    let (client, server) = (
        verifier(store.clone(), Side::Client),
        verifier(store, Side::Server),
    );
    let leaf = || stand_in.leaf().common_name("orders").dns("other.example");
    for (issued, verifier, wanted, code) in [
        (
            leaf().server_only().issue(),
            &client,
            None,
            "wrong_extended_key_usage",
        ),
        (leaf().version(1).issue(), &client, None, "v1_certificate"),
        (leaf().ca().issue(), &client, None, "ca_as_end_entity"),
        (leaf().expired().issue(), &client, None, "expired"),
        (leaf().issue(), &server, Some(&name), "name_mismatch"),
    ] {
        files(folder.path(), &issued, &stand_in, &ca.key_pem());
        std::fs::write(folder.path().join("CA.pem"), ca.chain_pem()).unwrap();
        let case = || {
            let case = Case::new(verifier, UnixTime::now());
            match wanted {
                Some(name) => case.server_name(name),
                None => case,
            }
        };
        let report = diagnose(issued.chain(), &case());
        let mut findings = report.findings().iter();
        let finding = findings.find(|finding| finding.code() == code).unwrap();
        run_all(folder.path(), finding).await;

        let new = CertificateDer::from_pem_file(folder.path().join("CERT.new.pem")).unwrap();
        let report = diagnose(&[new], &case());
        assert!(report.is_good(), "{code}: {report}");
    }
}

/// Those that only show something run, too.
#[tokio::test]
async fn every_command_runs() {
    if !has_openssl() {
        return;
    }
    let root = TestCa::new("Root");
    let ca = TestCa::new("unused")
        .leaf()
        .common_name("Example CA")
        .ca()
        .self_signed();
    let folder = tempfile::tempdir().unwrap();
    let verifier = verifier(root.trust(), Side::Client);
    let leaf = || root.leaf().common_name("alice").dns("alice.example");
    for issued in [
        leaf().not_yet_valid().issue(),
        leaf().self_signed(),
        TestCa::builder("No CA")
            .no_basic_constraints()
            .signed_by(&root)
            .leaf()
            .issue(),
    ] {
        files(folder.path(), &issued, &root, &ca.key_pem());
        std::fs::write(folder.path().join("CA.pem"), ca.chain_pem()).unwrap();
        let report = diagnose(issued.chain(), &Case::new(&verifier, UnixTime::now()));
        run_all(folder.path(), report.cause().unwrap()).await;
    }
}
