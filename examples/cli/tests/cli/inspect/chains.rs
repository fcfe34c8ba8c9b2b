//! Whether a chain is trusted: by side, time and roots.

use std::time::Duration;

use countersign::Side;
use countersign::TrustStore;
use countersign::testing::{Issued, TestCa};
use countersign::trust::TrustError;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::reports::{asking, checked, report_for};
use crate::identities::hex;
use countersign_cli::inspect::report::{Question, Report, parse_time};

const DAY: u64 = 24 * 60 * 60;

fn in_days(days: i64) -> UnixTime {
    let now = UnixTime::now().as_secs();
    let seconds = now.saturating_add_signed(days * DAY as i64);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn verify(issued: &Issued, question: &Question) -> Value {
    report_for(issued.chain_pem(), question)["verify"].clone()
}

#[test]
fn a_trusted_chain_is_reported_with_its_path() {
    let time = |text: &str| parse_time(text).expect("a time");
    let validity = |end| (in_days(-1), time(end));
    let (not_before, not_after) = validity("2049-12-31T00:00:00Z");
    let root = TestCa::builder("Root")
        .validity(not_before, not_after)
        .root();
    let (not_before, not_after) = validity("2045-01-01T00:00:00Z");
    let issuing = TestCa::builder("Issuing")
        .validity(not_before, not_after)
        .signed_by(&root);
    let (not_before, not_after) = validity("2049-01-01T00:00:00Z");
    let issued = issuing
        .leaf()
        .common_name("alice")
        .validity(not_before, not_after)
        .issue();
    let at = "2040-01-02T03:04:05Z";
    let sha256 = |der: &[u8]| hex(&Sha256::digest(der));
    assert_eq!(
        verify(&issued, &asking(root.trust(), Side::Server, time(at))),
        json!({"ok": {
            "as": "server",
            "at": at,
            "path": [
                {"subject": "CN=alice", "sha256": sha256(issued.leaf_der())},
                {"subject": "CN=Issuing", "sha256": sha256(&issuing.certificate_der())},
            ],
            "anchor": {"type": "root", "subject": "CN=Root"},
            "not_after": "2045-01-01T00:00:00Z",
        }})
    );
}

#[test]
fn a_rejected_chain_is_reported_with_its_reason() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let good = issuing.leaf().common_name("alice").issue();
    let as_client = |now| asking(root.trust(), Side::Client, now);
    let as_server = |now| asking(root.trust(), Side::Server, now);
    let strange = TestCa::new("Strange").trust();
    let today = in_days(0);
    let intermediate = || {
        let pem = issuing.pem();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("issuing.pem");
        std::fs::write(&file, pem).expect("written");
        let store = root.trust().with_intermediates_pem_file(file);
        asking(store.expect("an issuer"), Side::Client, today)
    };
    let client_only = root.leaf().client_only().issue();
    let server_only = root.leaf().server_only().issue();
    let self_signed = root.leaf().common_name("me").ca().self_signed();
    let pinned = |issued: &Issued| {
        let store = TrustStore::empty().pin(&issued.certificate());
        asking(store, Side::Client, today)
    };
    let v1 = root.leaf().version(1).common_name("old").issue();
    let forged = root.leaf().signature(vec![0; 70]).issue();
    let odd = root
        .leaf()
        .extension("1.2.3.4", true, &[0x05, 0x00])
        .issue();
    for (what, issued, question, reason) in [
        ("good", &good, as_client(today), None),
        ("good as a server", &good, as_server(today), None),
        ("at its last day", &good, as_client(in_days(364)), None),
        (
            "--at after its end",
            &good,
            as_client(in_days(366)),
            Some("expired"),
        ),
        (
            "--at before its begin",
            &good,
            as_client(in_days(-2)),
            Some("not_yet_valid"),
        ),
        (
            "another CA's",
            &good,
            asking(strange, Side::Client, today),
            Some("unknown_issuer"),
        ),
        (
            "without its intermediate",
            &good.leaf_only(),
            as_client(today),
            Some("unknown_issuer"),
        ),
        (
            "with --intermediate",
            &good.leaf_only(),
            intermediate(),
            None,
        ),
        ("a client as client", &client_only, as_client(today), None),
        (
            "a client --as server",
            &client_only,
            as_server(today),
            Some("wrong_extended_key_usage"),
        ),
        ("a server --as server", &server_only, as_server(today), None),
        (
            "a server as client",
            &server_only,
            as_client(today),
            Some("wrong_extended_key_usage"),
        ),
        (
            "self-signed",
            &self_signed,
            as_client(today),
            Some("ca_as_end_entity"),
        ),
        (
            "another pin",
            &self_signed,
            pinned(&good),
            Some("ca_as_end_entity"),
        ),
        ("version 1", &v1, as_client(today), Some("v1_certificate")),
        ("forged", &forged, as_client(today), Some("bad_signature")),
        (
            "unknown critical extension",
            &odd,
            as_client(today),
            Some("invalid_path"),
        ),
    ] {
        let report = report_for(issued.chain_pem(), &question);
        assert!(report["certificate"].is_object(), "{what}");
        let verify = &report["verify"];
        assert_eq!(verify["error"].as_str(), reason, "{what}: {verify:#}");
        assert_eq!(verify["ok"].is_object(), reason.is_none(), "{what}");
    }

    let by_pin = verify(&client_only, &pinned(&client_only));
    assert_eq!(
        by_pin["ok"]["anchor"],
        json!({"type": "pinned_certificate", "subject": null})
    );
}

#[test]
fn a_file_that_cannot_be_read_is_not_trusted() {
    let root = TestCa::new("Root");
    let pem = root.intermediate("Issuing").leaf().issue().chain_pem();
    let question = || asking(root.trust(), Side::Client, in_days(0));
    let cut_off = &pem.as_bytes()[..pem.len() - 9];
    let malformed = countersign::testing::der::pem("CERTIFICATE", b"\x30\0");
    let behind = format!("{pem}{malformed}");
    for (what, bytes, reason) in [
        ("empty", &b""[..], "no_certificate"),
        ("cut off behind the first", cut_off, "damaged_file"),
        ("malformed", malformed.as_bytes(), "malformed_certificate"),
        (
            "malformed behind it",
            behind.as_bytes(),
            "malformed_certificate",
        ),
        ("many", root.pem().repeat(11).as_bytes(), "chain_too_long"),
    ] {
        let report = report_for(bytes, &question());
        assert_eq!(report["verify"]["error"], reason, "{what}: {report:#}");
    }

    // Without readable roots, no chain is trusted.
    let missing: Result<TrustStore, TrustError> = TrustStore::from_pem_file("no-such-file.pem");
    let question = Question {
        trusted: Err(missing.expect_err("there is no such file").into()),
        ..asking(TrustStore::empty(), Side::Client, in_days(0))
    };
    let report = Report::on("it.pem", Ok(pem.as_bytes()), &question);
    let json = checked(&report);
    assert_eq!(json["verify"]["error"], "unreadable_file");
    assert!(json["certificate"].is_object() && !report.is_good());
}

#[test]
fn the_text_has_the_verdict_with_its_side_and_time() {
    let root = TestCa::new("Root");
    let issued = root
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .issue();
    let pem = issued.chain_pem();
    let text = |question: &Question| Report::on("it.pem", Ok(pem.as_bytes()), question).to_string();

    let trusted = text(&asking(root.trust(), Side::Client, in_days(0)));
    for part in [
        "\nTRUSTED as a client at ",
        "\n  path          CN=alice\n                CN=Issuing\n  anchored in   the root CN=Root\n",
    ] {
        assert!(trusted.contains(part), "{part}\nis not in\n{trusted}");
    }
    let then = parse_time("2020-01-01T00:00:00Z").expect("a time");
    let refused = text(&asking(root.trust(), Side::Server, then));
    for part in [
        "Z  (not yet)\n",
        "\nREFUSED as a server at 2020-01-01T00:00:00Z (not_yet_valid)\n",
        "is not valid before",
    ] {
        assert!(refused.contains(part), "{part}\nis not in\n{refused}");
    }
    let unasked = text(&asking(TrustStore::empty(), Side::Client, then));
    assert!(
        unasked.contains("\nNot verified: give --trust, --trust-domain or --pin"),
        "{unasked}"
    );
}
