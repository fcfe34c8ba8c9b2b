//! The program itself: its command line, its output and its exit status.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use countersign::testing::TestCa;
use serde_json::Value;
use tempfile::TempDir;

use super::reports::parse;
use crate::example::countersign;
use crate::programs::{Finished, run};

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn write(&self, name: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name.as_ref());
        std::fs::write(&path, bytes).expect("written");
        path
    }
}

async fn inspect<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    let finished = run(countersign("inspect").args(arguments), "").await;
    eprintln!("{finished:?}");
    finished
}

/// The exit status and the JSON of a run with `--json`.
async fn json(arguments: &[&OsStr]) -> (Option<i32>, Value) {
    let finished = inspect(arguments.iter().copied().chain(["--json".as_ref()])).await;
    assert_eq!(finished.stderr, "");
    (finished.code, parse(&finished.stdout))
}

#[tokio::test]
async fn the_exit_status_is_what_help_says() {
    let fixture = Fixture::new();
    let (root, strange) = (TestCa::new("Root"), TestCa::new("Strange"));
    let issuing = root.intermediate("Issuing");
    let issued = issuing.leaf().common_name("alice").client_only().issue();
    let chain = fixture.write("chain.pem", issued.chain_pem());
    let leaf = fixture.write("leaf.der", issued.leaf_der());
    let key = fixture.write("key.pem", issued.key_pem());
    let pin = fixture.write("pin.pem", issued.leaf_only().chain_pem());
    let roots = fixture.write("roots.pem", root.pem());
    let strange = fixture.write("strange.pem", strange.pem());
    let issuing = fixture.write("issuing.pem", issuing.pem());
    let missing = fixture.folder.path().join("missing.pem");
    let odd = fixture.write(
        OsString::from_vec(b"odd \xff\x1b[2J".into()),
        issued.chain_pem(),
    );

    let (trust, pin_option, intermediate) = ("--trust", "--pin", "--intermediate");
    let (at, side): (&OsStr, &OsStr) = ("--at".as_ref(), "--as".as_ref());
    let option = |name: &'static str| OsStr::new(name);
    for (arguments, code, error) in [
        (vec![chain.as_os_str()], 0, None),
        (vec![leaf.as_os_str()], 0, None),
        (vec![odd.as_os_str()], 0, None),
        (vec![key.as_os_str()], 1, None),
        (vec![missing.as_os_str()], 1, None),
        (vec![fixture.folder.path().as_os_str()], 1, None),
        (
            vec![chain.as_os_str(), option(trust), roots.as_os_str()],
            0,
            None,
        ),
        (
            vec![
                chain.as_os_str(),
                option(trust),
                strange.as_os_str(),
                option(trust),
                roots.as_os_str(),
            ],
            0,
            None,
        ),
        (
            vec![chain.as_os_str(), option(trust), strange.as_os_str()],
            1,
            Some("unknown_issuer"),
        ),
        (
            vec![leaf.as_os_str(), option(trust), roots.as_os_str()],
            1,
            Some("unknown_issuer"),
        ),
        (
            vec![
                leaf.as_os_str(),
                option(trust),
                roots.as_os_str(),
                option(intermediate),
                issuing.as_os_str(),
            ],
            0,
            None,
        ),
        (
            vec![leaf.as_os_str(), option(pin_option), pin.as_os_str()],
            0,
            None,
        ),
        (
            vec![
                chain.as_os_str(),
                option(trust),
                roots.as_os_str(),
                at,
                option("2020-01-01T00:00:00+01:00"),
            ],
            1,
            Some("not_yet_valid"),
        ),
        (
            vec![
                chain.as_os_str(),
                option(trust),
                roots.as_os_str(),
                side,
                option("server"),
            ],
            1,
            Some("wrong_extended_key_usage"),
        ),
        (
            vec![chain.as_os_str(), option(trust), missing.as_os_str()],
            1,
            Some("unreadable_file"),
        ),
    ] {
        let (actual, report) = json(&arguments).await;
        assert_eq!(actual, Some(code), "{arguments:?}");
        assert_eq!(report["verify"]["error"].as_str(), error, "{arguments:?}");
        assert_eq!(report["problem"].is_null(), code == 0 || error.is_some());
    }
}

#[tokio::test]
async fn the_default_output_is_text() {
    let fixture = Fixture::new();
    let root = TestCa::new("Root");
    let issued = root.leaf().common_name("alice").issue();
    let chain = fixture.write("chain.pem", issued.chain_pem());
    let roots = fixture.write("roots.pem", root.pem());
    let options = [chain.as_os_str(), "--trust".as_ref(), roots.as_os_str()];
    let finished = inspect(options).await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));
    for part in [
        "\n  subject       CN=alice\n",
        "\n  cn            ok            alice\n",
        "\n  dns           missing       (the certificate has no DNS SAN)\n",
        "\nTRUSTED as a client at ",
    ] {
        assert!(
            finished.stdout.contains(part),
            "{part}\n{}",
            finished.stdout
        );
    }
    let missing = inspect([fixture.folder.path().join("missing.pem")]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stdout.starts_with("problem: "), "{missing:?}");
}

#[tokio::test]
async fn explain_reports_the_cause_first() {
    let fixture = Fixture::new();
    let root = TestCa::new("Root");
    let issued = root.leaf().common_name("alice").dns("a.example").issue();
    let other = root.leaf().issue();
    let chain = fixture.write("chain.pem", issued.chain_pem());
    let roots = fixture.write("roots.pem", root.pem());
    let key = fixture.write("key.pem", issued.key_pem());
    let other_key = fixture.write("other.pem", other.key_pem());
    let missing = fixture.folder.path().join("missing.pem");
    for (side, name, key, code, cause) in [
        ("client", "a.example", &key, 0, Value::Null),
        ("server", "b.example", &key, 1, "name_mismatch".into()),
        ("client", "a.example", &other_key, 1, "key_mismatch".into()),
        ("client", "a.example", &missing, 1, Value::Null),
    ] {
        let options: [&OsStr; 10] = [
            chain.as_ref(),
            "--explain".as_ref(),
            "--trust".as_ref(),
            roots.as_ref(),
            "--as".as_ref(),
            side.as_ref(),
            "--server-name".as_ref(),
            name.as_ref(),
            "--key".as_ref(),
            key.as_ref(),
        ];
        let (actual, report) = json(&options).await;
        assert_eq!(actual, Some(code), "{report:#}");
        assert_eq!(report["explain"]["findings"][0]["code"], cause);
        assert_eq!(report["problem"].is_null(), *key != missing);
        let text = inspect(options).await;
        assert_eq!(text.code, Some(code));
        assert!(text.stdout.contains("\nSteps\n"), "{text:?}");
    }
}

#[tokio::test]
async fn an_invalid_command_line_is_rejected() {
    for (arguments, why) in [
        (&[][..], "<CHAIN>"),
        (
            &["a.pem", "--at", "yesterday"],
            "not a time as in 2026-11-21T09:30:00Z",
        ),
        (&["a.pem", "--at", "1969-12-31T23:59:59Z"], "before 1970"),
        (
            &["a.pem", "--as", "proxy"],
            "possible values: client, server",
        ),
        (&["a.pem", "b.pem"], "unexpected argument 'b.pem'"),
        (&["a.pem", "--explain"], "--trust <FILE>"),
        (&["a.pem", "--server-name", "a.example"], "--explain"),
        (&["a.pem", "--key", "a.key"], "--explain"),
        (
            &["a.pem", "--connect", "a.example:443"],
            "cannot be used with",
        ),
        (&["--connect", "a.example"], "not HOST:PORT"),
        (
            &["--connect", "a.example:443", "--key", "a.key"],
            "belongs to --cert",
        ),
        (
            &["--connect", "a.example:443", "--cert", "a.crt"],
            "--key <FILE|URI>",
        ),
        (&["--timeout", "3", "a.pem"], "are for --connect"),
        (
            &[
                "--cert",
                "a.crt",
                "--key",
                "a.key",
                "--explain",
                "--pin",
                "b.pem",
                "a.pem",
            ],
            "are for --connect",
        ),
        (
            &[
                "a.pem",
                "--explain",
                "--pin",
                "b.pem",
                "--server-name",
                "a b",
            ],
            "neither a DNS name nor an IP address",
        ),
    ] {
        let finished = inspect(arguments).await;
        assert_eq!((finished.code, &*finished.stdout), (Some(2), ""));
        assert!(finished.stderr.contains(why), "{why}");
    }
    let help = inspect(["--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Exit status:"), "{help:?}");
}
