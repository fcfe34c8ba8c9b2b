//! Proxies, which call the server with a certificate of their own when they are called themselves.

use super::{Answer, Order, Speaks};
use support::interop::Tls;
use support::proxies::{Proxy, Running, together};

/// Its error is the line of nginx' log.
pub(super) async fn nginx(order: Order<'_>) -> Answer {
    let scheme = order.speaks.scheme();
    let version = match order.tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let certificate = order.files.map_or_else(String::new, |files| {
        let (cert, key) = (files.cert.display(), files.key.display());
        format!("proxy_ssl_certificate {cert};\nproxy_ssl_certificate_key {key};\n")
    });
    let site = format!(
        "location / {{\nproxy_pass {scheme}://127.0.0.1:{port};\nproxy_ssl_protocols {version};\n\
         proxy_ssl_verify on;\nproxy_ssl_name {host};\nproxy_ssl_server_name on;\n\
         proxy_ssl_trusted_certificate {ca};\n{certificate}}}",
        port = order.port,
        host = order.host,
        ca = order.ca.display()
    );
    let running = Running::as_client(Proxy::Nginx, &site).await;
    match running.get().await {
        (Some(200), body) => Answer::Page(body),
        // What is no HTTP it passes on.
        (Some(502) | None, _) => {
            // Between time and connection, and what it was about.
            let line = running.line(|line| line.contains(", upstream: ")).await;
            let (_, line) = line.split_once(": *").expect("a connection");
            let (_, line) = line.split_once(' ').expect("its number");
            let (line, _) = line.split_once(", client: ").expect("a client");
            Answer::Error(line.into())
        }
        other => panic!("neither a page nor the error of a proxy: {other:?}"),
    }
}

/// Its error is the log format's `%[ssl_bc_err_str]`.
pub(super) async fn haproxy(order: Order<'_>) -> Answer {
    assert_eq!(order.speaks, Speaks::Tls);
    let version = match order.tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let certificate = order.files.map_or_else(String::new, |files| {
        format!("crt {}", together(files).display())
    });
    let site = format!(
        " server there 127.0.0.1:{port} ssl verify required sni str({host}) verifyhost {host} \
         ssl-min-ver {version} ssl-max-ver {version} ca-file {ca} {certificate}\n",
        port = order.port,
        host = order.host,
        ca = order.ca.display()
    );
    let running = Running::as_client(Proxy::Haproxy, &site).await;
    match running.get().await {
        (Some(200), body) => Answer::Page(body),
        // It calls it unavailable when its handshake is not over yet.
        (Some(status @ (502 | 503)), _) => {
            let status = format!("{status} ");
            let line = running.line(|line| line.starts_with(&status)).await;
            Answer::Error(line[status.len()..].into())
        }
        other => panic!("neither a page nor the error of a proxy: {other:?}"),
    }
}
