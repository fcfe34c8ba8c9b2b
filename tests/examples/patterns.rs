//! What `--allow` means.

use countersign::identity::{CommonName, DnsName, SpiffeId};

use crate::shared::{AllowList, Named};

/// Whether the pattern allows the identity.
fn allows<I: Named>(pattern: &str, identity: &str) -> bool {
    let list = AllowList::<I>::parse(&[pattern.to_owned()]).expect("a pattern");
    let Ok(identity) = identity.parse::<I>() else {
        panic!("{identity} is no identity");
    };
    let rule = list.rule_for(&identity);
    assert!(rule.is_none_or(|rule| rule == pattern), "{rule:?}");
    rule.is_some()
}

fn problem<I: Named>(pattern: &str) -> String {
    match AllowList::<I>::parse(&[pattern.to_owned()]) {
        Ok(_) => panic!("{pattern} is taken"),
        Err(problem) => problem,
    }
}

#[test]
fn spiffe_patterns_match_whole_segments_below_their_prefix() {
    let domain = "spiffe://example.org/*";
    let prefix = "spiffe://example.org/ns/billing/*";
    for (pattern, identity, allowed) in [
        ("spiffe://example.org/a", "spiffe://example.org/a", true),
        ("spiffe://example.org/a", "spiffe://example.org/A", false),
        ("spiffe://example.org/a", "spiffe://example.org/a/b", false),
        (domain, "spiffe://example.org/a", true),
        (domain, "spiffe://example.org/a/b/c", true),
        (domain, "spiffe://example.org", false),
        (domain, "spiffe://example.org.evil/a", false),
        (domain, "spiffe://example.com/a", false),
        (prefix, "spiffe://example.org/ns/billing/worker", true),
        (prefix, "spiffe://example.org/ns/billing/a/b", true),
        (prefix, "spiffe://example.org/ns/billing", false),
        (prefix, "spiffe://example.org/ns/billing-2/worker", false),
        (prefix, "spiffe://example.org/ns", false),
        (prefix, "spiffe://example.com/ns/billing/worker", false),
    ] {
        let result = allows::<SpiffeId>(pattern, identity);
        assert_eq!(result, allowed, "{pattern} and {identity}");
    }
}

#[test]
fn dns_patterns_stand_for_exactly_one_more_label() {
    for (pattern, identity, allowed) in [
        ("a.example.org", "a.example.org", true),
        ("A.example.org", "a.Example.org", true),
        ("a.example.org", "b.example.org", false),
        ("*.example.org", "a.example.org", true),
        ("*.Example.org", "a.example.org", true),
        ("*.example.org", "example.org", false),
        ("*.example.org", "a.b.example.org", false),
        ("*.example.org", "a.notexample.org", false),
        ("*.example.org", "aexample.org", false),
    ] {
        let result = allows::<DnsName>(pattern, identity);
        assert_eq!(result, allowed, "{pattern} and {identity}");
    }
}

#[test]
fn common_names_are_matched_exactly() {
    assert!(allows::<CommonName>("alice", "alice"));
    assert!(!allows::<CommonName>("alice", "Alice"));
    assert!(!allows::<CommonName>("*", "alice"), "no wildcards here");
    assert!(!allows::<CommonName>("a/*", "a/b"), "no wildcards here");
}

#[test]
fn a_pattern_that_could_match_nobody_is_an_error() {
    for (pattern, why) in [
        ("billing", "starts with spiffe://"),
        ("*", "starts with spiffe://"),
        ("spiffe://*", "has only lower-case letters"),
        ("spiffe://*/a", "has only lower-case letters"),
        ("spiffe://Example.org/*", "has only lower-case letters"),
        ("spiffe://example.org/*/*", "has only letters"),
        ("spiffe://example.org/a*", "has only letters"),
        ("spiffe://example.org/*/a", "has only letters"),
        ("spiffe://example.org//*", "empty segment"),
        ("spiffe://example.org/", "empty segment"),
        (
            "spiffe://example.org",
            "spiffe://example.org/* allows all workloads",
        ),
    ] {
        let problem = problem::<SpiffeId>(pattern);
        assert!(problem.contains(why), "{pattern}: {problem}");
        assert!(problem.starts_with(&format!("--allow {pattern}: ")));
    }
    for (pattern, why) in [
        ("*", "a wildcard"),
        ("*.*.example.org", "a wildcard"),
        ("a.*.example.org", "only ASCII letters"),
        ("a*.example.org", "only ASCII letters"),
        ("*.", "empty label"),
        ("192.0.2.1", "numeric"),
    ] {
        let problem = problem::<DnsName>(pattern);
        assert!(problem.contains(why), "{pattern}: {problem}");
    }
    assert!(problem::<CommonName>("").contains("empty"));
}
