//! Clients for the servers of this package.

use std::error::Error;

use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::testing::TestCa;
use countersign::{Connector, policy};
use http::Request;
use http_body_util::{BodyExt as _, Empty};

/// A client of this name.
///
/// # Errors
/// Those of the builder.
pub fn client(ca: &TestCa, name: &str) -> Result<Connector<DnsName>, Box<dyn Error>> {
    let connector = Connector::builder()
        .credentials(ca.leaf().dns(name).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["localhost".parse()?]))
        .alpn(["h2", "http/1.1"])
        .build()?;
    Ok(connector)
}

/// What a client of this name gets: a status and a text, or no connection.
///
/// # Errors
/// Those of the builder, and a response that breaks off.
pub async fn ask(ca: &TestCa, name: &str, url: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::new(client(ca, name)?);
    let request = Request::get(url).body(Empty::<axum::body::Bytes>::new())?;
    let Ok(response) = client.request(request).await else {
        return Ok("denied by TLS".into());
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body))
        .trim_end()
        .to_owned())
}

/// Prints what clients of a server get of `/` and `/admin`: one that is allowed, an administrator, and one that is
/// not allowed.
///
/// # Errors
/// As for [`ask`].
pub async fn ask_all(ca: &TestCa, port: u16) -> Result<(), Box<dyn Error>> {
    for (name, path) in [
        ("alice.example", "/"),
        ("alice.example", "/admin"),
        ("admin.example", "/admin"),
        ("eve.example", "/"),
    ] {
        let url = format!("https://localhost:{port}{path}");
        println!("{name} {path}: {}", ask(ca, name, &url).await?);
    }
    Ok(())
}
