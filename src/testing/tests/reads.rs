//! Counts how often certificates are parsed.

use crate::audit::{Memory, PresentedCertificate};
use crate::identity::DnsName;
use crate::pki::reads;
use crate::testing::TestCa;
use crate::{Acceptor, Connector, policy};

/// Both sides run on this thread. The connector parses the one certificate of the server.
#[tokio::test]
async fn a_rejected_chain_is_parsed_once_also_for_the_audit_trail() {
    let (ours, theirs) = (TestCa::new("Ours"), TestCa::new("Theirs"));
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(ours.leaf().dns("server.example").issue().credentials())
        .trust(ours.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .audit(trail.clone());
    let acceptor = acceptor.build().expect("an acceptor");
    let authority = (0..5).fold(theirs, |ca, step| ca.intermediate(&format!("Step {step}")));
    let client = authority.leaf().dns("client.example").issue();
    let connector = Connector::builder()
        .credentials(client.credentials())
        .trust(ours.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any());
    let connector = connector.build().expect("a connector");

    let before = reads::so_far();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(async move { connector.connect("server.example", far).await.err() });
    let refused = acceptor.accept(near).await.expect_err("refused");
    let _ = client.await;
    assert_eq!(refused.reason(), "unknown_issuer");
    let [event] = &trail.events()[..] else {
        panic!("one event")
    };
    let read = event.certificates.iter();
    let read = read.filter(|it| matches!(it, PresentedCertificate::Read(_)));
    assert_eq!(read.count(), 6);
    let by_client = 1;
    assert_eq!(reads::so_far() - before, 6 + by_client);
}
