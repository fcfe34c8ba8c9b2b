//! Output has colours where it is for a terminal, and errors have the form of `clap` and `rustc`.

use crate::example::countersign;
use crate::interop::Pki;
use crate::programs::{Finished, run};
use crate::running::{Server, identity_of, with};

const ESCAPE: char = '\u{1b}';

/// Runs `inspect` on a certificate, with these variables.
async fn inspect(pki: &Pki, variables: &[(&str, &str)]) -> Finished {
    let files = pki.client("alice");
    let mut inspect = countersign("inspect");
    inspect.arg(files.cert).arg("--trust").arg(&pki.ca_file);
    run(inspect.envs(variables.iter().copied()), "").await
}

/// The text without SGR sequences.
fn plain(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (_, rest) = part.split_once('m').expect("an SGR sequence");
        text + rest
    })
}

#[tokio::test]
async fn a_report_has_colours_for_a_terminal_only() {
    let pki = Pki::new();
    let piped = inspect(&pki, &[]).await;
    assert_eq!(piped.code, Some(0));
    assert!(!piped.stdout.contains(ESCAPE), "{piped:?}");

    let coloured = inspect(&pki, &[("CLICOLOR_FORCE", "1")]).await;
    assert!(
        coloured
            .stdout
            .contains("\u{1b}[1m\u{1b}[32mTRUSTED\u{1b}[0m as a client")
    );
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&plain(&coloured.stdout)), lines(&piped.stdout));
    assert!(plain(&coloured.stdout).contains("\n  subject       CN=alice\n"));

    let forbidden = inspect(&pki, &[("NO_COLOR", "1"), ("TERM", "xterm")]).await;
    assert!(!forbidden.stdout.contains(ESCAPE), "{forbidden:?}");
}

#[tokio::test]
async fn json_is_the_same_on_a_terminal() {
    let pki = Pki::new();
    let files = pki.client("alice");
    let mut inspect = countersign("inspect");
    inspect
        .arg(files.cert)
        .arg("--json")
        .env("CLICOLOR_FORCE", "1");
    let finished = run(&mut inspect, "").await;
    assert_eq!(finished.code, Some(0));
    assert!(!finished.stdout.contains(ESCAPE), "{finished:?}");
}

#[tokio::test]
async fn call_aligns_a_json_body_for_a_terminal_only() {
    let pki = Pki::new();
    let options = ["--identity", "cn", "--allow", "alice"].map(Into::into);
    let options = options.into_iter().chain(with("--trust", &pki.ca_file));
    let server = Server::start(&pki.files("server", &pki.server()), options).await;
    let alice = pki.client("alice");
    let call = async |force: Option<&str>| {
        let mut call = countersign("call");
        call.args(identity_of(&alice))
            .args(with("--trust", &pki.ca_file));
        call.arg(server.url());
        call.envs(force.map(|force| ("CLICOLOR_FORCE", force)));
        run(&mut call, "").await.stdout
    };
    let piped = call(None).await;
    assert!(piped.starts_with("{\"identity\":\"alice\","), "{piped}");
    let coloured = call(Some("1")).await;
    assert!(coloured.contains(ESCAPE), "{coloured}");
    assert!(
        plain(&coloured).contains("\nidentity     alice\nresumed      false\n"),
        "{coloured}"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_error_names_its_code_its_cause_and_its_remedy() {
    let pki = Pki::new();
    let alice = pki.client("alice");
    let mut call = countersign("call");
    call.args(identity_of(&alice))
        .args(["--trust", "missing.pem"]);
    let finished = run(call.arg("https://localhost:1/"), "").await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.starts_with("error[unreadable_file]: "),
        "{finished:?}"
    );

    let mut call = countersign("call");
    call.args(identity_of(&alice))
        .args(["--trust", "missing.pem"]);
    call.arg("https://localhost:1/").env("CLICOLOR_FORCE", "1");
    let finished = run(&mut call, "").await;
    assert!(
        plain(&finished.stderr).starts_with("error[unreadable_file]: "),
        "{finished:?}"
    );
    assert!(finished.stderr.starts_with(ESCAPE), "{finished:?}");
}

#[tokio::test]
async fn without_a_command_the_help_lists_all_of_them() {
    let finished = run(
        &mut crate::programs::command(env!("CARGO_BIN_EXE_countersign")),
        "",
    )
    .await;
    assert_eq!(finished.code, Some(2));
    for command in ["serve", "call", "inspect", "gateway", "dev-certs"] {
        let line = format!("\n  {command} ");
        assert!(finished.stderr.contains(&line), "{command}: {finished:?}");
    }
}
