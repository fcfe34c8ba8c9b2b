//! `countersign call`: an HTTPS client that presents a certificate, and authorizes the server.
//!
//! ```text
//! countersign call --cert client.crt --key client.key --trust servers-ca.crt https://localhost:8443/
//! ```
//!
//! Standard output gets the body of the response.

mod http;
mod http3;

use std::time::Duration;

use clap::ArgGroup;
use countersign::gate::ServerNameVerification;
use countersign::identity::IdentityExtractor;
use countersign::{Certificate, Connector, Policy, TrustStore, policy};
use hyper::Uri;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::options::{AllowList, IdentityKind, TlsOptions};
use crate::terminal::Failure;

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("trusted").required(true).multiple(true)
        .args(["trust", "trust_domain", "webpki_roots", "pin", "spiffe"])
))]
pub struct Args {
    #[command(flatten)]
    tls: TlsOptions,
    /// Trust the public certificate authorities (needs the feature webpki-roots)
    #[arg(long, conflicts_with_all = ["trust", "trust_domain", "spiffe"])]
    webpki_roots: bool,
    /// The field of the server's certificate that is its identity; with spiffe, its host name is not
    /// verified. Default: the host name is verified, and nothing else
    #[arg(long, value_enum, requires = "allow")]
    identity: Option<IdentityKind>,
    /// Allow the server with this identity, in the forms of `serve --allow`
    #[arg(long, value_name = "PATTERN", requires = "identity")]
    allow: Vec<String>,
    /// Use HTTP/3, over QUIC on UDP
    #[arg(long)]
    http3: bool,
    /// The limit for the whole call
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// The URL to get, such as https://localhost:8443/
    url: Uri,
}

/// Gets the URL, and writes the body to standard output.
pub fn run(args: &Args) -> Result<(), Failure> {
    let limit = Duration::from_secs(args.timeout);
    let runtime = Runtime::new()?;
    let result = runtime.block_on(async { timeout(limit, get(args)).await });
    // Its threads close the sessions of a token, in which modules such as SoftHSM crash if the process exits first. A
    // name resolution in progress must not delay the exit for long.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(done) => done,
        Err(_elapsed) => Err(format!("not finished within {limit:?}").into()),
    }
}

/// Chooses how to verify the server.
async fn get(args: &Args) -> Result<(), Failure> {
    match args.identity {
        None => {
            // The host name is verified; any identity is allowed.
            let fingerprint = |certificate: &Certificate| Ok(certificate.sha256());
            get_from(
                args,
                fingerprint,
                policy::allow_any(),
                ServerNameVerification::Verify,
            )
            .await
        }
        Some(kind) => {
            let names = match kind {
                IdentityKind::Spiffe => ServerNameVerification::ByPolicy,
                _ => ServerNameVerification::Verify,
            };
            let extractor = move |certificate: &Certificate| kind.extract(certificate);
            get_from(args, extractor, AllowList::parse(kind, &args.allow)?, names).await
        }
    }
}

async fn get_from<X>(
    args: &Args,
    extractor: X,
    policy: impl Policy<X::Identity> + 'static,
    names: ServerNameVerification,
) -> Result<(), Failure>
where
    X: IdentityExtractor<Identity: Send + Sync> + 'static,
{
    let (host, port) = http::host_and_port(&args.url)?;
    let roots = if args.webpki_roots {
        webpki_roots()?
    } else {
        TrustStore::empty()
    };
    let sources = args.tls.sources(roots).await?;
    let mut builder = Connector::builder()
        .credentials_from(sources.credentials)?
        .trust_from(sources.trust)?
        .identify(extractor)
        .authorize(policy)
        .server_names(names)
        .alpn(["h2", "http/1.1"]);
    if let Some(revocation) = sources.revocation {
        builder = builder.revocation_from(revocation)?;
    }
    if args.tls.tls12 {
        builder = builder.allow_tls12();
    }
    builder = builder.post_quantum(args.tls.post_quantum());
    let connector = builder.build()?;

    if args.http3 {
        return http3::get(connector, (host, port), &args.url).await;
    }
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("cannot connect to {host} port {port}: {error}"))?;
    let stream = connector.connect(host, tcp).await?;
    http::get(stream, &args.url).await
}

#[cfg(feature = "webpki-roots")]
fn webpki_roots() -> Result<TrustStore, &'static str> {
    Ok(TrustStore::webpki_roots())
}

#[cfg(not(feature = "webpki-roots"))]
fn webpki_roots() -> Result<TrustStore, &'static str> {
    Err("--webpki-roots is not compiled in: build with `--features webpki-roots`")
}
