//! A fleet of servers whose deny list, rules and CRLs are in NATS or Redis.
//!
//! ```text
//! fleet publish --broker nats://127.0.0.1:4222 … rules rules.txt     # also: deny, crls
//! fleet node --broker nats://127.0.0.1:4222 --cert node.crt --key node.key --trust ca.crt
//! ```

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use countersign_fleet::BoxError;
use countersign_fleet::node::{Args, BrokerOptions, Node};
use countersign_fleet::parts::Part;
use tokio::signal::unix::{SignalKind, signal};

/// Servers that take their rules from a broker
#[derive(Debug, Parser)]
#[command(name = "fleet", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until SIGTERM
    Node(Box<Args>),
    /// Replace a part for all nodes
    Publish {
        #[command(flatten)]
        common: Box<BrokerOptions>,
        part: Part,
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    match Cli::parse().command {
        Command::Node(args) => {
            let mut stop = signal(SignalKind::terminate())?;
            let node = Node::start(&args).await?;
            let handle = node.handle();
            println!("listening on {}", node.address);
            println!("status on {}", node.status_address);
            std::io::stdout().flush()?;
            tokio::spawn(async move {
                stop.recv().await;
                handle.shutdown(Duration::from_secs(10)).await;
            });
            node.serve().await;
        }
        Command::Publish { common, part, file } => {
            let value = std::fs::read(&file)?;
            // A mistake is found before any node sees it.
            part.check(&value)?;
            let mut connection = common.broker()?.connect().await?;
            let revision = connection.publish(part.key(), value).await?;
            println!("revision {revision}");
        }
    }
    Ok(())
}
