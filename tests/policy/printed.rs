//! What is printed of a policy: its kind and its size, and no peer that it allows or denies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::SpiffeId;
use countersign::policy::{
    self, AllOf, AnyOf, Cached, DenyFirst, DnsPattern, Not, PatternSet, Policy as _, Shadow,
    SpiffePattern,
};
use countersign::{Decision, Peer, testing};

#[test]
fn debug_output_lists_no_peer() {
    let secret = || policy::exact(["spiffe://example.org/secret".parse::<SpiffeId>().unwrap()]);
    let any_of: AnyOf<SpiffeId> = policy::any_of((secret(), policy::allow_any()));
    let all_of: AllOf<SpiffeId> = policy::all_of((secret(),));
    let not: Not<SpiffeId> = policy::not(secret()).named("secret");
    let deny_first: DenyFirst<SpiffeId> = policy::deny_first(secret(), policy::allow_any());
    let shadow: Shadow<SpiffeId> = policy::shadow(secret(), policy::allow_any(), |_| ());
    let patterns = policy::spiffe_patterns(["spiffe://secret/*", "spiffe://secret/a"]).unwrap();
    let key = testing::peer(()).certificate().spki_sha256();
    let ask = |_: Peer<SpiffeId>| std::future::ready(Decision::deny("secret"));
    let cached: Cached<SpiffeId, _> = policy::cached(ask, Duration::from_secs(60), 10);
    for (printed, expected) in [
        (
            format!("{:?}", secret().named("callers")),
            r#"Exact { rule: "callers", identities: 1 }"#,
        ),
        (format!("{any_of:?}"), "AnyOf { policies: 2 }"),
        (format!("{all_of:?}"), "AllOf { policies: 1 }"),
        (format!("{not:?}"), "Not { .. }"),
        (format!("{deny_first:?}"), "DenyFirst { .. }"),
        (format!("{shadow:?}"), "Shadow { .. }"),
        (
            format!("{patterns:?}"),
            r#"PatternSet { of: "SPIFFE", patterns: 2 }"#,
        ),
        (
            format!("{:?}", policy::public_keys([key])),
            r#"FingerprintSet { of: PublicKey, rule: "public_keys", fingerprints: 1 }"#,
        ),
        (
            format!("{:?}", policy::certificates([])),
            r#"FingerprintSet { of: Certificate, rule: "certificates", fingerprints: 0 }"#,
        ),
        (
            format!("{:?}", policy::trust_domain("secret".parse().unwrap())),
            "TrustDomains { rule: None, domains: 1 }",
        ),
        (
            format!("{cached:?}"),
            "Cached { life: 60s, denials: 5s, capacity: 10, .. }",
        ),
    ] {
        assert_eq!(printed, expected);
    }
}

/// A pattern is a rule of the application, and is printed as it is matched.
#[test]
fn patterns_are_printed() {
    let dns: DnsPattern = "*.Example.ORG".parse().unwrap();
    assert_eq!(dns.as_str(), "*.example.org");
    assert_eq!(format!("{dns:?}"), "DnsPattern(*.example.org)");
    let spiffe: SpiffePattern = "spiffe://example.org/a/*".parse().unwrap();
    assert_eq!(spiffe.as_str(), "spiffe://example.org/a/*");
    assert_eq!(
        format!("{spiffe:?}"),
        "SpiffePattern(spiffe://example.org/a/*)"
    );

    let mut set = PatternSet::default();
    assert!(set.is_empty());
    assert!(set.insert(dns) && !set.is_empty());
}

#[test]
fn a_difference_is_printed_with_both_decisions() {
    let printed: Arc<Mutex<String>> = Arc::default();
    let print = printed.clone();
    let shadow = policy::shadow(
        policy::allow_any(),
        |_: &Peer<()>| Decision::deny("not soon"),
        move |difference| *print.lock().unwrap() = format!("{difference:?}"),
    );
    let peer = testing::peer(());
    let enforced = shadow.authorize(&peer);
    assert!(enforced.is_allowed());
    assert_eq!(
        *printed.lock().unwrap(),
        format!(
            "Difference {{ certificate: {:?}, enforced: {enforced:?}, candidate: {:?} }}",
            peer.certificate(),
            Some(Decision::deny("not soon"))
        )
    );
}
