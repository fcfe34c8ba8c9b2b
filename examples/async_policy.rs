//! A policy that asks another system, with a timeout and a cache.
//!
//! ```text
//! cargo run --example async_policy
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy::AsyncPolicy;
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, Connector, Decision, Peer, policy};
use tokio::time::sleep;

/// The client of a directory service, which knows the permissions of each name.
#[derive(Clone, Default)]
struct Directory {
    calls: Arc<AtomicU32>,
}

impl Directory {
    async fn may_connect(&self, name: &str) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let delay = if name.starts_with("slow") { 5000 } else { 10 };
        sleep(Duration::from_millis(delay)).await;
        name != "eve.example"
    }
}

/// Admits the peers that the directory allows.
struct AskDirectory(Directory);

impl AsyncPolicy<DnsName> for AskDirectory {
    async fn authorize(&self, peer: Peer<DnsName>) -> Decision {
        if self.0.may_connect(peer.identity().as_str()).await {
            Decision::allow("directory")
        } else {
            Decision::deny("the directory does not allow it")
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let directory = Directory::default();
    // Decisions are cached for a minute, for up to 10,000 peers; denials for 5 seconds.
    let cached = policy::cached(
        AskDirectory(directory.clone()),
        Duration::from_secs(60),
        10_000,
    );
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        // A decision later than the timeout counts as a denial.
        .authorize_async(cached, Duration::from_millis(500))
        .build()?;
    let alice = ca.leaf().dns("alice.example").issue();
    let eve = ca.leaf().dns("eve.example").issue();
    let slow = ca.leaf().dns("slow.example").issue();
    for (name, own) in [
        ("alice", &alice),
        ("alice", &alice),
        ("eve", &eve),
        ("slow", &slow),
    ] {
        let connector = Connector::builder()
            .credentials(own.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()?;
        // In memory. A server calls `acceptor.accept(tcp)`.
        let (accepted, _) = testing::handshake(&acceptor, &connector, "localhost").await;
        match accepted {
            Ok(stream) => println!("{name}: allowed by {}", stream.rule()),
            Err(error) => println!("{name}: {}", error.reason()),
        }
    }
    println!(
        "directory calls: {}",
        directory.calls.load(Ordering::Relaxed)
    );
    Ok(())
}
