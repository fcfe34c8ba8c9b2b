//! What both benches of the gateway need: an upstream, a configuration and clients.

use std::path::{Path, PathBuf};

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, policy};
use tokio::net::TcpStream;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A listener for an upstream with mutual TLS, and its port.
pub(crate) async fn mtls_listener(
    ca: &TestCa,
) -> Result<(Listener<TcpStream, DnsName>, u16), BoxError> {
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .alpn(["h2", "http/1.1"])
        .build()?;
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    Ok((listener, port))
}

/// Writes the gateway's files, with these upstreams and routes, and returns its configuration.
pub(crate) fn write_files(
    ca: &TestCa,
    folder: &Path,
    upstreams: &str,
) -> Result<PathBuf, BoxError> {
    let own = ca.leaf().dns("localhost").issue();
    let config = format!(
        r#"
        listen = "127.0.0.1:0"
        [tls]
        cert = "gateway.crt"
        key = "gateway.key"
        trust = ["ca.crt"]
        identity = "dns"
        allow = ["client.example"]
        [limits]
        reload_seconds = 3600
        rate = {{ per_minute = 100000000, burst = 100000000 }}
        [forward]
        client_cert = true
        xfcc = ["hash", "dns"]
        {upstreams}
        "#
    );
    for (name, text) in [
        ("ca.crt", ca.pem()),
        ("gateway.crt", own.chain_pem()),
        ("gateway.key", own.key_pem()),
        ("gateway.toml", config),
    ] {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(folder.join("gateway.toml"))
}

/// A connector for a client of the gateway.
pub(crate) fn connector(ca: &TestCa, alpn: &str) -> Result<Connector<DnsName>, BoxError> {
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["localhost".parse()?]))
        .alpn([alpn])
        .build()?;
    Ok(connector)
}
