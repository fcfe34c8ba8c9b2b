//! The client: one call.

use std::error::Error;
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::integration::tonic::Channel;
use countersign::{Certificate, Connector, TrustStore};
use tonic::transport::Endpoint;

use countersign_cli::options::{AllowList, IdentityKind, TlsOptions};
use countersign_frameworks::invoices::{Invoice, InvoicesClient};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    tls: TlsOptions,
    /// The field of the server's certificate that is its identity
    #[arg(long, value_enum)]
    identity: IdentityKind,
    /// Allow the server with this identity
    #[arg(long, value_name = "PATTERN", num_args = 1, required = true)]
    allow: Vec<String>,
    /// The server's URL, such as https://localhost:50051
    url: String,
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, clap::Subcommand)]
enum Call {
    /// Create an invoice for this customer
    Create { customer: String },
    /// Watch so many invoices, with a pause before each
    Watch {
        count: u64,
        #[arg(default_value_t = 100)]
        every_ms: u64,
    },
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let kind = args.identity;
    let sources = args.tls.sources(TrustStore::empty()).await;
    let sources = sources.map_err(|failure| failure.to_string())?;
    let mut builder = Connector::builder()
        .credentials_from(sources.credentials)?
        .trust_from(sources.trust)?
        .identify(move |certificate: &Certificate| kind.extract(certificate))
        .authorize(AllowList::parse(kind, &args.allow)?)
        .alpn(["h2"]);
    if kind == IdentityKind::Spiffe {
        // The policy checks the ID; the certificate needs no host name.
        builder = builder.server_names(ServerNameVerification::ByPolicy);
    }
    if let Some(revocation) = sources.revocation {
        builder = builder.revocation_from(revocation)?;
    }
    if args.tls.tls12 {
        builder = builder.allow_tls12();
    }
    let endpoint = Endpoint::from_shared(args.url.clone())?;
    let mut client = InvoicesClient::new(Channel::new(builder.build()?, endpoint));
    match &args.call {
        Call::Create { customer } => show(&client.create(customer).await?),
        Call::Watch { count, every_ms } => {
            let mut invoices = client
                .watch(*count, Duration::from_millis(*every_ms))
                .await?;
            while let Some(invoice) = invoices.message().await? {
                show(&invoice);
            }
        }
    }
    Ok(())
}

fn show(invoice: &Invoice) {
    println!(
        "invoice {} for {}, made by {}",
        invoice.number, invoice.customer, invoice.made_by
    );
}
