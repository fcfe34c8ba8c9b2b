//! Why a peer is allowed or denied, as operators read it. Run with `INSTA_UPDATE=always` to take new
//! snapshots, and read them before they are committed.

use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{self, PatternSet, Policy, SpiffePattern};
use countersign::testing::{self, TestCa};
use countersign::{ConnectionInfo, Decision, Peer};

fn spiffe(id: &str) -> SpiffeId {
    id.parse().unwrap()
}

/// The explanations for these peers.
fn explained<I>(
    policy: &impl Policy<I>,
    peers: impl IntoIterator<Item = (&'static str, Peer<I>)>,
) -> String {
    let paragraphs: Vec<String> = peers
        .into_iter()
        .map(|(name, peer)| {
            let explanation = policy::explain(policy, &peer);
            assert_eq!(explanation.decision(), &policy.authorize(&peer), "{name}");
            format!("{name}\n{explanation}")
        })
        .collect();
    paragraphs.join("\n\n")
}

fn workloads<const N: usize>(ids: [&'static str; N]) -> [(&'static str, Peer<SpiffeId>); N] {
    ids.map(|id| (id, testing::peer(spiffe(id))))
}

/// An allow list alone.
#[test]
fn allow_list() {
    let policy = policy::exact([
        spiffe("spiffe://example.org/ns/billing"),
        spiffe("spiffe://example.org/ns/shop"),
    ])
    .named("callers of orders");
    let text = explained(
        &policy,
        workloads([
            "spiffe://example.org/ns/billing",
            "spiffe://example.org/ns/billing/sa/worker",
        ]),
    );
    insta::assert_snapshot!(text);
}

/// Several rules, one of them a closure of the application.
#[test]
fn any_of_patterns_and_a_closure() {
    let patterns = PatternSet::<SpiffePattern>::new()
        .rule("billing", ["spiffe://example.org/ns/billing/*"])
        .and_then(|set| set.rule("partners", ["spiffe://bank.example/*"]))
        .unwrap();
    let policy = policy::any_of((
        patterns,
        policy::trust_domain("ops.example".parse().unwrap()),
        |peer: &Peer<SpiffeId>| {
            if peer.identity().path().ends_with("/health") {
                Decision::allow("health checks")
            } else {
                Decision::deny("it is no health check")
            }
        },
    ));
    let text = explained(
        &policy,
        workloads([
            "spiffe://example.org/ns/billing/sa/worker",
            "spiffe://bank.example/teller",
            "spiffe://ops.example/on-call",
            "spiffe://example.org/ns/shop/health",
            "spiffe://example.org/ns/shop",
        ]),
    );
    insta::assert_snapshot!(text);
}

/// A deny list before everything else, with an exception to a group.
#[test]
fn deny_list_and_exception() {
    let policy = policy::deny_first(
        policy::any_of((
            policy::exact([spiffe("spiffe://example.org/ns/billing/sa/old")]).named("leaked keys"),
            policy::spiffe_patterns(["spiffe://example.org/ns/test/*"]).unwrap(),
        )),
        policy::all_of((
            policy::trust_domain("example.org".parse().unwrap()),
            policy::not(policy::spiffe_patterns(["spiffe://example.org/public/*"]).unwrap())
                .named("not public"),
        )),
    );
    let text = explained(
        &policy,
        workloads([
            "spiffe://example.org/ns/billing/sa/new",
            "spiffe://example.org/ns/billing/sa/old",
            "spiffe://example.org/public/web",
            "spiffe://example.com/ns/billing",
        ]),
    );
    insta::assert_snapshot!(text);
}

/// Host names, and a pinned key beside them.
#[test]
fn host_names_and_a_pinned_key() {
    let ca = TestCa::new("Root");
    let pinned = ca.leaf().dns("legacy.example.net").issue();
    let other = ca.leaf().dns("legacy.example.net").issue();
    let policy = policy::any_of((
        policy::dns_patterns(["*.workers.example.org", "db.example.org"]).unwrap(),
        policy::public_keys([pinned.certificate().spki_sha256()]).named("the legacy host's key"),
    ));
    let name = |text: &str| text.parse::<DnsName>().unwrap();
    let legacy = |issued| {
        testing::peer_of(
            name("legacy.example.net"),
            &ca,
            issued,
            ConnectionInfo::default(),
        )
    };
    let text = explained(
        &policy,
        [
            (
                "one.workers.example.org",
                testing::peer(name("one.workers.example.org")),
            ),
            ("db.example.org", testing::peer(name("db.example.org"))),
            (
                "one.eu.workers.example.org",
                testing::peer(name("one.eu.workers.example.org")),
            ),
            ("legacy.example.net with its key", legacy(&pinned)),
            ("legacy.example.net with another key", legacy(&other)),
        ],
    );
    insta::assert_snapshot!(text);
}

/// A candidate beside the policy in force. The candidate has a bug.
#[test]
fn shadowed_candidate() {
    let policy = policy::shadow(
        policy::trust_domain("example.org".parse().unwrap()),
        policy::all_of((
            policy::spiffe_patterns(["spiffe://example.org/ns/*"]).unwrap(),
            |peer: &Peer<SpiffeId>| {
                let namespace = peer.identity().segments().nth(1).expect("a namespace");
                Decision::allow(format!("namespace {namespace}"))
            },
        )),
        |_| (),
    );
    let text = explained(
        &policy,
        workloads([
            "spiffe://example.org/ns/billing",
            "spiffe://example.org/host/7",
            "spiffe://example.org/ns",
            "spiffe://example.com/ns/billing",
        ]),
    );
    insta::assert_snapshot!(text);
}
