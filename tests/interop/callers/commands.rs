//! Programs that make one call each time they are run.

use std::path::PathBuf;

use super::{Answer, Order, Speaks};
use support::interop::{Files, Tls};
use support::programs::{Finished, command, run, run_with_open_input};

pub(super) async fn curl(order: Order<'_>) -> Answer {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"])
        .args(["--max-time", &order.wait().as_secs_f64().to_string()])
        .arg("--cacert")
        .arg(order.ca);
    match order.tls {
        Tls::V12 => curl.args(["--tlsv1.2", "--tls-max", "1.2"]),
        Tls::V13 => curl.arg("--tlsv1.3"),
    };
    if order.speaks == Speaks::TlsByRsa {
        curl.args(["--ciphers", RSA]);
    }
    if let Some(files) = order.files {
        curl.arg("--cert").arg(&files.cert);
        curl.arg("--key").arg(&files.key);
    }
    let finished = run(curl.arg(order.url()), "").await;
    if finished.code == Some(0) {
        return Answer::Page(finished.stdout);
    }
    // What follows the first line explains it at length.
    Answer::Error(finished.stderr.lines().next().unwrap_or_default().into())
}

pub(super) async fn openssl(order: Order<'_>) -> Answer {
    let mut openssl = command("openssl");
    openssl
        .args(["s_client", "-ign_eof", "-verify_return_error"])
        .args(["-connect", &format!("127.0.0.1:{}", order.port)])
        .arg("-CAfile")
        .arg(order.ca)
        .arg(match order.tls {
            Tls::V12 => "-tls1_2",
            Tls::V13 => "-tls1_3",
        });
    if order.host.parse::<std::net::IpAddr>().is_ok() {
        openssl.args(["-verify_ip", order.host]);
    } else {
        openssl.args(["-verify_hostname", order.host, "-servername", order.host]);
    }
    match order.speaks {
        Speaks::TlsByRsa => drop(openssl.args(["-cipher", RSA])),
        Speaks::TlsWithUnknownAlpn => drop(openssl.args(["-alpn", "unknown"])),
        _ => {}
    }
    if let Some(files) = order.files {
        openssl.arg("-cert").arg(&files.cert);
        if let Some(chain) = intermediates(files) {
            openssl.arg("-cert_chain").arg(chain);
        }
        openssl.arg("-key").arg(&files.key);
    }
    let finished = run(&mut openssl, REQUEST).await;
    answer(&finished, |line| {
        // `write:errno=104`: the connection was reset.
        line.contains(":error:")
            || ["verify error:", "write:errno="]
                .iter()
                .any(|start| line.starts_with(start))
    })
}

/// Of the file of `-cert` it takes the first certificate only: a file of the others.
fn intermediates(files: &Files) -> Option<PathBuf> {
    let pem = std::fs::read_to_string(&files.cert).expect("a certificate");
    let second = pem.match_indices("-----BEGIN").nth(1)?.0;
    let path = files.cert.with_extension("chain");
    std::fs::write(&path, &pem[second..]).expect("the folder is writable");
    Some(path)
}

pub(super) async fn gnutls(order: Order<'_>) -> Answer {
    let mut gnutls = command("gnutls-cli");
    gnutls
        .args(["--port", &order.port.to_string(), "--x509cafile"])
        .arg(order.ca)
        .args([
            "--priority",
            match (order.tls, order.speaks) {
                (_, Speaks::TlsWithoutEms) => "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH",
                (_, Speaks::TlsByRsa) => "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA",
                (Tls::V12, _) => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                (Tls::V13, _) => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
            },
        ]);
    if order.speaks == Speaks::TlsWithUnknownAlpn {
        gnutls.args(["--alpn", "unknown"]);
    }
    if let Some(files) = order.files {
        gnutls.arg("--x509certfile").arg(&files.cert);
        gnutls.arg("--x509keyfile").arg(&files.key);
    }
    let finished = run_with_open_input(gnutls.arg(order.host), REQUEST).await;
    answer(&finished, |line| {
        [
            "*** Fatal error:",
            "*** Received alert",
            "*** PKI verification",
            "- Status: The certificate is NOT",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    })
}

/// As OpenSSL calls a suite with RSA key exchange.
const RSA: &str = "AES128-GCM-SHA256";

pub(super) const REQUEST: &str = "GET / HTTP/1.0\r\n\r\n";

/// A page if there is one, or else the lines about an error.
fn answer(finished: &Finished, is_error: impl Fn(&str) -> bool) -> Answer {
    if let Some(page) = page(&finished.stdout) {
        return Answer::Page(page.into());
    }
    let mut lines: Vec<&str> = finished
        .stderr
        .lines()
        .chain(finished.stdout.lines())
        .collect();
    lines.retain(|line| is_error(line));
    lines.dedup();
    assert!(
        !lines.is_empty(),
        "neither a page nor an error: {finished:?}"
    );
    Answer::Error(lines.join(" "))
}

/// The body of the response in the output of the program.
pub(super) fn page(said: &str) -> Option<&str> {
    let (_, response) = said.split_once(" 200 OK\r\n")?;
    let (head, rest) = response.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    })?;
    rest.get(..length.parse().ok()?)
}
