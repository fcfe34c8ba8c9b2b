//! The examples of the root package print what they show.

use support::example::root_example;
use support::programs::run;

/// What an example prints.
async fn printed(example: &str) -> String {
    let finished = run(&mut root_example(example), "").await;
    assert_eq!(
        (finished.code, &*finished.stderr),
        (Some(0), ""),
        "{example}"
    );
    finished.stdout
}

#[tokio::test]
async fn quickstart_admits_one_client_and_rejects_two_with_the_reason() {
    let printed = printed("quickstart").await;
    for part in [
        "client billing: hello spiffe://example.org/ns/billing/worker\n",
        "server: denied: denied by policy: only billing may call orders",
        "client shipping: the server refused our certificate \"CN=shipping\": access_denied (",
        "server: unknown_issuer: unknown issuer: ",
        "client billing: the server refused our certificate \"CN=billing\": unknown_ca (issuer \"CN=Other CA\" ",
    ] {
        assert!(printed.contains(part), "{part}\nis not in\n{printed}");
    }
    assert_eq!(printed.lines().count(), 5, "{printed}");
}

#[tokio::test]
async fn hot_reload_renews_the_certificate_and_closes_a_connection_that_is_no_longer_allowed() {
    let printed = printed("hot_reload").await;
    let lines: Vec<_> = printed.lines().collect();
    let [first, renewed, closed] = lines[..] else {
        panic!("{printed}");
    };
    assert_eq!(first, "certificate: 01");
    assert_eq!(renewed, "certificate after the renewal: 02");
    assert!(closed.contains("access_denied"), "{closed}");
}

#[tokio::test]
async fn own_extractor_reads_a_typed_identity() {
    assert_eq!(
        printed("own_extractor").await,
        "urn:device:acme:4711: Device { tenant: \"acme\", serial: 4711 }\n\
         urn:device:other:4711: denied\n\
         urn:device:acme:unknown: identity_bad_syntax\n"
    );
}

#[tokio::test]
async fn async_policy_asks_once_for_each_peer_and_denies_a_late_decision() {
    assert_eq!(
        printed("async_policy").await,
        "alice: allowed by directory\n\
         alice: allowed by directory\n\
         eve: denied\n\
         slow: policy_timed_out\n\
         directory calls: 3\n"
    );
}
