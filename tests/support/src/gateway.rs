//! The files of a gateway.

use std::io;
use std::path::{Path, PathBuf};

use countersign::testing::TestCa;

/// Writes the files of a gateway for `client.example`, with these upstreams and routes. Returns that of its
/// configuration.
pub fn write_files(ca: &TestCa, folder: &Path, upstreams: &str) -> io::Result<PathBuf> {
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
