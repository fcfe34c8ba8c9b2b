//! The example `server` behind nginx and HAProxy, which show it a certificate of their own.
#![cfg(unix)] // signals, and Unix sockets

#[path = "common/example.rs"]
mod example;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "common/proxies.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod proxies;
#[path = "examples/running.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use interop::{BOTH, Files, Pki, Tls};
use proxies::{Proxy, Running, together};
use running::log::{Outcome, outcomes, refused};
use running::{Server, with};
use serde_json::Value;

#[tokio::test]
async fn nginx_as_a_client() {
    is_judged(Proxy::Nginx, nginx).await;
}

#[tokio::test]
async fn haproxy_as_a_client() {
    is_judged(Proxy::Haproxy, haproxy).await;
}

/// A configuration that leads to the server on this port.
type Site = fn(&Pki, u16, Tls, Option<&Files>) -> String;

fn nginx(pki: &Pki, port: u16, tls: Tls, files: Option<&Files>) -> String {
    let version = match tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let certificate = files.map_or(String::new(), |files| {
        let (cert, key) = (files.cert.display(), files.key.display());
        format!("proxy_ssl_certificate {cert};\nproxy_ssl_certificate_key {key};\n")
    });
    format!(
        "location / {{\nproxy_pass https://127.0.0.1:{port};\nproxy_ssl_protocols {version};\n\
         proxy_ssl_verify on;\nproxy_ssl_name localhost;\nproxy_ssl_server_name on;\n\
         proxy_ssl_trusted_certificate {};\n{certificate}}}",
        pki.ca_file.display()
    )
}

fn haproxy(pki: &Pki, port: u16, tls: Tls, files: Option<&Files>) -> String {
    let version = match tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let certificate = files.map_or(String::new(), |files| {
        format!("crt {}", together(files).display())
    });
    format!(
        " server there 127.0.0.1:{port} ssl verify required sni str(localhost) \
         verifyhost localhost ssl-min-ver {version} ssl-max-ver {version} \
         ca-file {} {certificate}\n",
        pki.ca_file.display()
    )
}

async fn is_judged(proxy: Proxy, site: Site) {
    if !proxy.is_installed() {
        return;
    }
    let pki = Pki::new();
    let (alice, mallory) = (pki.client("alice"), pki.client("mallory"));
    for tls in BOTH {
        let asked = ask(proxy, site, &pki, tls, Some(&alice), None).await;
        assert_eq!(
            (asked.status, asked.log),
            (200, vec![Outcome::Admitted]),
            "{tls:?}"
        );
        let page: Value = serde_json::from_str(&asked.body).expect("JSON");
        let version = match tls {
            Tls::V12 => "1.2",
            Tls::V13 => "1.3",
        };
        assert_eq!(
            (&page["identity"], &page["tls"]),
            (&"alice".into(), &version.into())
        );

        for (files, reason, alert) in [
            (Some(&mallory), "denied", "alert access denied"),
            (None, "no_certificate", "alert certificate required"),
        ] {
            let asked = ask(proxy, site, &pki, tls, files, Some(alert)).await;
            assert_eq!(asked.log, [refused(reason)], "{tls:?}");
            // HAProxy calls it unavailable when the alert comes before its handshake is over.
            let unavailable = proxy == Proxy::Haproxy && asked.status == 503;
            assert!(
                asked.status == 502 || unavailable,
                "{tls:?}: {}",
                asked.status
            );
        }
    }
}

/// The proxy's answer, and the server's log.
struct Asked {
    status: u16,
    body: String,
    log: Vec<Outcome>,
}

/// Asks the server through the proxy, whose own log has these words.
async fn ask(
    proxy: Proxy,
    site: Site,
    pki: &Pki,
    tls: Tls,
    files: Option<&Files>,
    words: Option<&str>,
) -> Asked {
    let arguments = ["--tls12", "--identity", "cn", "--allow", "alice"].map(Into::into);
    let arguments = arguments.into_iter().chain(with("--trust", &pki.ca_file));
    let server = Server::start(&pki.files("server", &pki.server()), arguments).await;
    let running = Running::as_client(proxy, &site(pki, server.port, tls, files)).await;
    let (status, body) = running.get().await;
    if let Some(words) = words {
        running.says(words).await;
    }
    drop(running); // and its open connections
    Asked {
        status,
        body,
        log: outcomes(&server.stop().await.log),
    }
}
