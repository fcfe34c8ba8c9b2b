//! Gates whose extractor counts how often it is asked: once for each verified chain that is not
//! remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::identity::{DnsName, IdentityError, IdentityExtractor};
use countersign::testing::TestCa;
use countersign::{
    Acceptor, Certificate, ConnectionInfo, Connector, Control, Policy, Resumption, policy,
};
use rustls_pki_types::CertificateDer;

use support::SERVER;

/// Reads DNS names, and counts.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<AtomicUsize>);

impl Asked {
    /// How often it was asked since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl IdentityExtractor for Asked {
    type Identity = DnsName;

    fn extract(&self, certificate: &Certificate) -> Result<DnsName, IdentityError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        DnsName::extractor().extract(certificate)
    }
}

/// Makes full handshakes only.
pub(crate) fn acceptor(ca: &TestCa, asked: &Asked) -> Builder<ServerSide, DnsName> {
    acceptor_with(ca, asked, policy::allow_any())
}

pub(crate) fn acceptor_with(
    ca: &TestCa,
    asked: &Asked,
    policy: impl Policy<DnsName> + 'static,
) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(asked.clone())
        .authorize(policy)
        .allow_tls12()
        .resumption(Resumption::Off)
}

/// Makes full handshakes only.
pub(crate) fn connector(ca: &TestCa, asked: &Asked) -> Builder<ClientSide, DnsName> {
    Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(asked.clone())
        .authorize(policy::allow_any())
        .allow_tls12()
        .resumption(Resumption::Off)
}

/// `good`, or the reason of the refusal.
pub(crate) fn says(gate: &Control<DnsName>, chain: &[CertificateDer<'_>]) -> &'static str {
    match gate.admit_chain(chain, ConnectionInfo::default()) {
        Ok(_) => "good",
        Err(error) => error.reason(),
    }
}
