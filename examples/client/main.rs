//! An HTTPS client that proves who it is, and checks whom it talks to.
//!
//! ```text
//! cargo run --example client -- --cert client.crt --key client.key --trust servers-ca.crt \
//!     https://localhost:8443/
//! ```
//!
//! Prints the body that it gets. Exits with 0, or with 1 and one line on standard error.

mod http;
#[path = "../shared/mod.rs"]
mod shared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Parser};
use countersign::gate::ServerNameVerification;
use countersign::identity::IdentityExtractor;
use countersign::{Certificate, Connector, Policy, TrustStore, policy};
use hyper::Uri;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use shared::{AllowList, IdentityKind, Material};

/// An HTTP/1.1 and HTTP/2 client over mutual TLS: gets one URL
#[derive(Debug, Parser)]
#[command(name = "client")]
#[command(group(
    ArgGroup::new("believed").required(true).multiple(true)
        .args(["trust", "trust_domain", "webpki_roots", "pin"])
))]
struct Args {
    #[command(flatten)]
    material: Material,
    /// Believe the public certificate authorities (needs the feature webpki-roots)
    #[arg(long, conflicts_with_all = ["trust", "trust_domain"])]
    webpki_roots: bool,
    /// Which field of the server's certificate says who it is; with spiffe, its host name is not
    /// looked at. Default: the host name counts, and nothing else
    #[arg(long, value_enum, requires = "allow")]
    identity: Option<IdentityKind>,
    /// Talk to the server with this identity, in the forms that the server's --allow has
    #[arg(long, value_name = "PATTERN", requires = "identity")]
    allow: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// What to get, such as https://localhost:8443/
    url: Uri,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let limit = Duration::from_secs(args.timeout);
    let runtime = Runtime::new()?;
    let result = runtime.block_on(async { timeout(limit, get(args)).await });
    // A name that is still being looked up must not keep the program from ending.
    runtime.shutdown_background();
    result.map_err(|_elapsed| format!("not finished within {limit:?}"))?
}

/// Whom to talk to, by the command line.
async fn get(args: &Args) -> Result<(), Box<dyn Error>> {
    match args.identity {
        None => {
            // The verified host name is all that counts; any identity will do.
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
) -> Result<(), Box<dyn Error>>
where
    X: IdentityExtractor<Identity: Send + Sync> + 'static,
{
    let (host, port) = http::host_and_port(&args.url)?;
    let roots = if args.webpki_roots {
        webpki_roots()?
    } else {
        TrustStore::empty()
    };
    let believing = args.material.believed.read(roots)?;
    let mut builder = Connector::builder()
        .credentials(args.material.credentials()?)
        .trust(believing.trust)
        .identify(extractor)
        .authorize(policy)
        .server_names(names)
        .alpn(["h2", "http/1.1"]);
    if let Some(revocation) = believing.revocation {
        builder = builder.revocation(revocation);
    }
    if args.material.tls12 {
        builder = builder.allow_tls12();
    }
    let connector = builder.build()?;

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
