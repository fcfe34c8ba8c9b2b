//! The options about CRLs and trust domains have their effect.

use std::ffi::OsString;
use std::path::PathBuf;

use countersign::testing::{Issued, TestCa};

use crate::example::countersign;
use crate::failure::failure;
use crate::interop::Pki;
use crate::log::{Outcome, outcomes, refused};
use crate::programs::run;
use crate::running::{Server, client, with};

/// A file among those of `pki`, as an argument.
fn file(pki: &Pki, name: &str, bytes: impl AsRef<[u8]>) -> OsString {
    pki.write(name, bytes).into()
}

fn options<const N: usize>(options: [&str; N]) -> Vec<OsString> {
    options.map(Into::into).into()
}

/// The exit status of `inspect` about this chain, and its output.
async fn inspect(pki: &Pki, issued: &Issued, arguments: &[OsString]) -> (Option<i32>, String) {
    let chain = pki.write("inspected.pem", issued.chain_pem());
    let finished = run(countersign("inspect").arg(chain).args(arguments), "").await;
    (finished.code, finished.stdout)
}

#[tokio::test]
async fn a_revoked_client_is_rejected_and_reports_it() {
    let pki = Pki::new();
    let (good, bad) = (pki.client("good"), pki.ca.leaf().common_name("bad").issue());
    let bad_files = pki.files("bad", &bad);
    let folder = pki.ca_file.with_file_name("crls");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("old.crl"), pki.ca.crl().build()).unwrap();
    let newer = pki.ca.crl().number(2).revoke(bad.serial());
    std::fs::write(folder.join("new.pem"), newer.pem()).unwrap();

    let mut arguments = options(["--identity", "cn", "--allow-any"]);
    arguments.extend(with("--trust", &pki.ca_file).map(Into::into));
    arguments.extend(with("--crl", &folder).map(Into::into));
    let server = Server::start(&pki.files("server", &pki.server()), &arguments).await;

    let trust = with("--trust", &pki.ca_file);
    let admitted = client(&good, &trust, &server.url()).await;
    assert_eq!(admitted.code, Some(0));
    let refused = client(&bad_files, &trust, &server.url()).await;
    assert_eq!(
        failure(&refused),
        "the server refused our certificate \"CN=bad\": certificate_revoked (it is revoked, by a \
         CRL or a deny list there); get a new certificate for a new key"
    );
    let stopped = server.stop().await;
    let outcomes = outcomes(&stopped.log);
    assert_eq!(
        outcomes,
        [Outcome::Admitted, Outcome::Refused("revoked".into())]
    );
}

#[tokio::test]
async fn the_client_rejects_a_revoked_server() {
    let pki = Pki::new();
    let issued = pki.server();
    let files = pki.files("server", &issued);
    let mut arguments = options(["--identity", "cn", "--allow-any"]);
    arguments.extend(with("--trust", &pki.ca_file).map(Into::into));
    let server = Server::start(&files, &arguments).await;
    let me = pki.client("me");
    let with_crl = |crl: OsString| {
        let mut arguments: Vec<OsString> = with("--trust", &pki.ca_file).map(Into::into).into();
        arguments.extend(["--crl".into(), crl]);
        arguments
    };
    let good = file(&pki, "good.crl", pki.ca.crl().build());
    let finished = client(&me, with_crl(good), &server.url()).await;
    assert_eq!(finished.code, Some(0));
    let bad = file(
        &pki,
        "bad.crl",
        pki.ca.crl().revoke(issued.serial()).build(),
    );
    let finished = client(&me, with_crl(bad), &server.url()).await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains(" is revoked, by CRL 01 "),
        "{finished:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn the_options_about_crls_have_an_effect() {
    let pki = Pki::new();
    let issuing = pki.ca.intermediate("Issuing CA");
    let issued = issuing.leaf().common_name("alice").issue();
    let roots = pki.ca_file.clone();
    let of_issuing = file(&pki, "issuing.crl", issuing.crl().build());
    let root_file = file(&pki, "root.pem", pki.ca.pem());
    let base = |more: &[OsString]| {
        let mut arguments: Vec<OsString> = with("--trust", &roots).map(Into::into).into();
        arguments.extend(["--crl".into(), of_issuing.clone()]);
        arguments.extend_from_slice(more);
        arguments
    };
    let no_crl = |issuer: OsString| base(&["--no-crl-issuer".into(), issuer]);

    // No CRL covers the certificate of the issuing CA.
    let (code, text) = inspect(&pki, &issued, &base(&[])).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("no CRL of its issuer is loaded"), "{text}");
    assert!(
        text.contains("\"CN=Interop Root\" publishes none"),
        "{text}"
    );
    for arguments in [
        base(&options(["--unknown-revocation", "allow"])),
        no_crl("CN=Interop Root".into()),
        no_crl(root_file),
    ] {
        let (code, text) = inspect(&pki, &issued, &arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    for (arguments, says) in [
        (
            base(&options(["--unknown-revocation", "deny"])),
            "no CRL of its issuer",
        ),
        (no_crl("CN=Other".into()), "no CRL of its issuer"),
        (
            no_crl("other.pem".into()),
            "no such file, and no name such as CN=",
        ),
        (
            no_crl(of_issuing.clone()),
            "the file contains no certificate",
        ),
        (
            base(&[
                "--crl".into(),
                file(&pki, "cut.crl", "-----BEGIN X509 CRL-----\nAAAA\n"),
            ]),
            "cut.crl, block 1 (line 1) has no matching -----END line",
        ),
    ] {
        let (code, text) = inspect(&pki, &issued, &arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
    // An option about CRLs without any is an error.
    let mut alone: Vec<OsString> = with("--trust", &roots).map(Into::into).into();
    alone.extend(options(["--unknown-revocation", "allow"]));
    let (code, _) = inspect(&pki, &issued, &alone).await;
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn a_trust_domain_vouches_for_itself_alone() {
    let pki = Pki::new();
    let partner = TestCa::new("Partner Root");
    let of =
        |name: &str, path: PathBuf| -> OsString { format!("{name}={}", path.display()).into() };
    let mut arguments = options(["--identity", "spiffe", "--allow-any", "--trust-domain"]);
    arguments.push(of("example.org", pki.ca_file.clone()));
    arguments.push("--trust-domain".into());
    arguments.push(of(
        "partner.example",
        pki.write("partner.pem", partner.pem()),
    ));
    let server = Server::start(&pki.files("server", &pki.server()), &arguments).await;

    let trust = with("--trust", &pki.ca_file);
    for (name, ca, id, reason) in [
        ("own", &pki.ca, "spiffe://example.org/a", None),
        ("theirs", &partner, "spiffe://partner.example/a", None),
        (
            "minted",
            &partner,
            "spiffe://example.org/a",
            Some("unknown_issuer"),
        ),
        (
            "foreign",
            &partner,
            "spiffe://foreign.example/a",
            Some("unknown_trust_domain"),
        ),
    ] {
        let files = pki.files(name, &ca.leaf().spiffe(id).issue());
        let finished = client(&files, &trust, &server.url()).await;
        assert_eq!(finished.code, Some(i32::from(reason.is_some())), "{name}");
        assert_eq!(
            finished.stderr.contains("unknown_ca"),
            reason.is_some(),
            "{name}"
        );
    }
    let stopped = server.stop().await;
    assert_eq!(
        outcomes(&stopped.log),
        [
            Outcome::Admitted,
            Outcome::Admitted,
            refused("unknown_issuer"),
            refused("unknown_trust_domain")
        ]
    );
}

#[tokio::test]
async fn inspect_verifies_by_trust_domain() {
    let pki = Pki::new();
    let good = pki.ca.leaf().spiffe("spiffe://example.org/a").issue();
    let other = pki.ca.leaf().spiffe("spiffe://other.example/a").issue();
    let none = pki.ca.leaf().dns("a.example").issue();
    let domain = format!("example.org={}", pki.ca_file.display());
    let arguments = options(["--trust-domain", &domain]);
    assert_eq!(inspect(&pki, &good, &arguments).await.0, Some(0));
    for (issued, says) in [
        (&other, "unknown trust domain"),
        (&none, "belongs to no trust domain"),
    ] {
        let (code, text) = inspect(&pki, issued, &arguments).await;
        assert_eq!(code, Some(1));
        assert!(text.contains(says), "{text}");
    }
    for (argument, says) in [
        ("example.org", "expected a trust domain and its file"),
        ("=a", "expected a trust domain and its file"),
        ("Example.org=a.pem", "only lower-case letters"),
    ] {
        let finished = run(
            countersign("inspect").args(["x.pem", "--trust-domain", argument]),
            "",
        )
        .await;
        assert_eq!(finished.code, Some(2));
        assert!(finished.stderr.contains(says), "{finished:?}");
    }
}
