//! What `--allow` means.

use countersign_cli::options::AllowList;
use countersign_cli::options::IdentityKind::{self, Cn, Dn, Dns, Ip, Kubernetes, Serial, Spiffe};

/// Whether the pattern allows the identity.
fn allows(kind: IdentityKind, pattern: &str, identity: &str) -> bool {
    let list = AllowList::parse(kind, &[pattern.to_owned()]).expect("a pattern");
    let identity = kind.parse(identity).expect(identity);
    let rule = list.rule_for(&identity);
    assert!(rule.is_none_or(|rule| rule == pattern), "{rule:?}");
    rule.is_some()
}

fn problem(kind: IdentityKind, pattern: &str) -> String {
    match AllowList::parse(kind, &[pattern.to_owned()]) {
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
        (domain, "spiffe://example.org.evil/a", false),
        (domain, "spiffe://example.com/a", false),
        (prefix, "spiffe://example.org/ns/billing/worker", true),
        (prefix, "spiffe://example.org/ns/billing/a/b", true),
        (prefix, "spiffe://example.org/ns/billing", false),
        (prefix, "spiffe://example.org/ns/billing-2/worker", false),
        (prefix, "spiffe://example.org/ns", false),
        (prefix, "spiffe://example.com/ns/billing/worker", false),
    ] {
        let result = allows(Spiffe, pattern, identity);
        assert_eq!(result, allowed, "{pattern} and {identity}");
    }
}

#[test]
fn dns_patterns_match_exactly_one_more_label() {
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
        let result = allows(Dns, pattern, identity);
        assert_eq!(result, allowed, "{pattern} and {identity}");
    }
}

#[test]
fn common_names_are_matched_exactly() {
    assert!(allows(Cn, "alice", "alice"));
    assert!(!allows(Cn, "alice", "Alice"));
    assert!(!allows(Cn, "*", "alice"), "no wildcards here");
    assert!(!allows(Cn, "a/*", "a/b"), "no wildcards here");
}

#[test]
fn other_kinds_are_matched_exactly() {
    assert!(allows(Ip, "2001:DB8::1", "2001:db8:0::1"));
    assert!(!allows(Ip, "::ffff:192.0.2.1", "192.0.2.1"));
    for (identity, allowed) in [
        ("CN=alice,O=dev,O=ops", true),
        ("CN=alice,O=dev", false),
        ("CN=alice,O=dev,O=ops,O=system:masters", false),
    ] {
        let result = allows(Kubernetes, "CN=alice,O=ops,O=dev", identity);
        assert_eq!(result, allowed, "{identity}");
    }
}

#[test]
fn an_error_about_a_long_value_has_a_hint() {
    for (kind, pattern, why) in [
        (
            Dn,
            "CN=alice,O=Example",
            "--allow CN=alice,O=Example: a subject is written as '#'",
        ),
        (
            Dn,
            "#30",
            "--allow #30: not the DER of a distinguished name",
        ),
        (
            Serial,
            "0a1b",
            "--allow 0a1b: a serial number with its issuer is written as serial:HEX",
        ),
    ] {
        let problem = problem(kind, pattern);
        assert!(problem.starts_with(why), "{problem}");
        assert!(problem.ends_with("; `countersign inspect CERTIFICATE.pem` prints it"));
    }
    assert!(!problem(Cn, "").contains("inspect"));
}

#[test]
fn a_pattern_that_cannot_match_is_an_error() {
    for (pattern, why) in [
        ("billing", "starts with spiffe://"),
        ("*", "alone would allow every peer"),
        ("spiffe://*", "a trust domain cannot contain a wildcard"),
        ("spiffe://*/a", "a trust domain cannot contain a wildcard"),
        ("spiffe://Example.org/*", "has only lower-case letters"),
        ("spiffe://example.org/*/*", "only be the last segment"),
        ("spiffe://example.org/a*", "matches whole segments"),
        ("spiffe://example.org/*/a", "only be the last segment"),
        ("spiffe://example.org//*", "empty path segment"),
        ("spiffe://example.org/", "empty path segment"),
        (
            "spiffe://example.org",
            "write spiffe://example.org/* for the workloads",
        ),
    ] {
        let problem = problem(Spiffe, pattern);
        assert!(problem.contains(why), "{pattern}: {problem}");
        assert!(problem.starts_with(&format!("--allow {pattern}: ")));
    }
    for (pattern, why) in [
        ("*", "alone would allow every peer"),
        ("*.*.example.org", "only be the left-most label"),
        ("a.*.example.org", "only be the left-most label"),
        ("a*.example.org", "one whole label"),
        ("*.", "empty label"),
        ("192.0.2.1", "a label of digits"),
    ] {
        let problem = problem(Dns, pattern);
        assert!(problem.contains(why), "{pattern}: {problem}");
    }
    assert!(problem(Cn, "").contains("empty"));
}
