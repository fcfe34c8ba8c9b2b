//! The server: the clients that may connect, and the methods that each may call.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::{Acceptor, Certificate, Listener, TrustStore, policy};
use serde_json::json;
use tonic::transport::Server;

use countersign_cli::options::{AllowList, Identity, IdentityKind, TlsOptions, stop_signal};
use countersign_frameworks::invoices::{CREATE, Invoices, WATCH};
use http::Method;

/// The time for calls in flight when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsOptions,
    /// The field of a client's certificate that is its identity
    #[arg(long, value_enum)]
    identity: IdentityKind,
    /// The clients that may connect, and call Watch; as for `countersign serve`
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    allow: Vec<String>,
    /// The clients that may also call Create
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    create: Vec<String>,
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let kind = args.identity;
    let sources = args.tls.sources(TrustStore::empty()).await;
    let sources = sources.map_err(|failure| failure.to_string())?;
    let mut builder = Acceptor::builder()
        .credentials_from(sources.credentials)?
        .trust_from(sources.trust)?
        .identify(move |certificate: &Certificate| kind.extract(certificate))
        .authorize(AllowList::parse(kind, &args.allow)?)
        .alpn(["h2"]);
    if let Some(revocation) = sources.revocation {
        builder = builder.revocation_from(revocation)?;
    }
    if args.tls.tls12 {
        builder = builder.allow_tls12();
    }
    let creators = AllowList::parse_option("--create", kind, &args.create)?;
    let rules = RequestRules::<Identity>::new()
        .allow("create", creators, [Method::POST], CREATE)?
        .allow("watch", policy::allow_any(), [Method::POST], WATCH)?;
    let rules = AuthorizeRequest::new(rules).on_denied(|denied| {
        let peer = denied.peer.map(|peer| peer.identity().to_string());
        let path = denied.request.uri.path();
        eprintln!(
            "{}",
            json!({"event": "denied", "peer": peer, "path": path, "why": denied.why})
        );
    });

    let listener = Listener::builder(builder.build()?)
        .on_refused(|_, error| {
            let (reason, error) = (error.reason(), error.to_string());
            eprintln!(
                "{}",
                json!({"event": "refused", "reason": reason, "error": error})
            );
        })
        .bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    let stopped = stop_signal()?;
    let stop = async move {
        stopped.await;
        // tonic signals its clients to finish, and waits for them; this limits the time.
        tokio::spawn(async move { handle.shutdown(DRAIN_TIME).await });
    };
    writeln!(io::stdout(), "listening on {address}")?;
    Server::builder()
        .layer(rules)
        .add_service(Invoices::<Identity>::new())
        .serve_with_incoming_shutdown(listener, stop)
        .await?;
    Ok(())
}
