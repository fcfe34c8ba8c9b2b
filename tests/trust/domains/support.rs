//! Two trust domains with a certificate authority each.

use std::sync::{Arc, Mutex};

use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::gate::ServerNameVerification;
use countersign::identity::{SpiffeId, TrustDomain};
use countersign::testing::{Accepted, Connected, Issued, TestCa};
use countersign::trust::{Trust, TrustBundles};
use countersign::{Acceptor, Connector, Decision, Peer, TrustStore, policy};

use support::{SERVER, Version, provider};

pub(crate) const PROD: &str = "prod.example";
pub(crate) const STAGING: &str = "staging.example";

pub(crate) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

pub(crate) struct Domains {
    pub(crate) prod: TestCa,
    pub(crate) staging: TestCa,
}

impl Domains {
    pub(crate) fn new() -> Self {
        Self {
            prod: TestCa::new("Prod Root"),
            staging: TestCa::new("Staging Root"),
        }
    }

    pub(crate) fn trust(&self) -> TrustBundles {
        let bundles = TrustStore::by_trust_domain();
        let bundles = bundles.with(domain(PROD), self.prod.trust()).unwrap();
        bundles.with(domain(STAGING), self.staging.trust()).unwrap()
    }

    /// An acceptor of the domain `prod.example`, for peers of both.
    pub(crate) fn acceptor(&self, trust: impl Into<Trust>) -> Builder<ServerSide, SpiffeId> {
        Acceptor::builder()
            .credentials(member(&self.prod, PROD).credentials())
            .trust(trust)
            .identify(SpiffeId::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
    }

    /// A connector with this certificate, for servers of both domains.
    pub(crate) fn connector(&self, issued: &Issued) -> Builder<ClientSide, SpiffeId> {
        Connector::builder()
            .credentials(issued.credentials())
            .trust(self.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::allow_any())
            .server_names(ServerNameVerification::ByPolicy)
            .allow_tls12()
    }

    /// The connector built, speaking this version only.
    pub(crate) fn client(&self, issued: &Issued, version: Version) -> Connector<SpiffeId> {
        let builder = self.connector(issued);
        builder.crypto_provider(provider(version)).build().unwrap()
    }
}

/// A certificate by this authority for an ID of this trust domain, its own or not.
pub(crate) fn member(ca: &TestCa, trust_domain: &str) -> Issued {
    ca.leaf()
        .spiffe(&format!("spiffe://{trust_domain}/billing"))
        .issue()
}

pub(crate) async fn meet(
    acceptor: &Acceptor<SpiffeId>,
    connector: &Connector<SpiffeId>,
) -> (Accepted<SpiffeId>, Connected<SpiffeId>) {
    countersign::testing::handshake(acceptor, connector, SERVER).await
}

/// A policy that allows every peer and records whether it resumed a session.
#[derive(Clone, Default)]
pub(crate) struct Resumed(Arc<Mutex<Vec<bool>>>);

impl Resumed {
    pub(crate) fn policy(&self) -> impl Fn(&Peer<SpiffeId>) -> Decision + Send + Sync + use<> {
        let seen = self.0.clone();
        move |peer| {
            seen.lock().unwrap().push(peer.connection().is_resumed());
            Decision::allow("any peer")
        }
    }

    /// The records since the last call.
    pub(crate) fn take(&self) -> Vec<bool> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
