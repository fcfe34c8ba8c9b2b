//! Patterns of SPIFFE IDs and DNS names: what each matches, and which texts are rejected.

use countersign::Diagnostic;
use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{
    self, DnsPattern, DnsPatternError, Pattern, PatternSet, SpiffePattern, SpiffePatternError,
};

#[test]
fn spiffe_patterns_end_at_segment_boundaries() {
    const BILLING: &str = "spiffe://example.org/ns/billing/*";
    const DOMAIN: &str = "spiffe://example.org/*";
    const EXACT: &str = "spiffe://example.org/ns/billing";

    for (pattern, id, matches) in [
        (BILLING, "spiffe://example.org/ns/billing/sa", true),
        (BILLING, "spiffe://example.org/ns/billing/sa/worker", true),
        (BILLING, "spiffe://example.org/ns/billing", false),
        (BILLING, "spiffe://example.org/ns/billing-test/sa", false),
        (BILLING, "spiffe://example.org/ns/billin/g", false),
        (BILLING, "spiffe://example.org/ns/Billing/sa", false),
        (BILLING, "spiffe://example.org/x/ns/billing/sa", false),
        (BILLING, "spiffe://example.com/ns/billing/sa", false),
        (BILLING, "spiffe://sub.example.org/ns/billing/sa", false),
        // A dot is a dot (CVE-2026-39350).
        (
            "spiffe://example.org/ns/a.b/*",
            "spiffe://example.org/ns/a.b/c",
            true,
        ),
        (
            "spiffe://example.org/ns/a.b/*",
            "spiffe://example.org/ns/axb/c",
            false,
        ),
        (DOMAIN, "spiffe://examplexorg/a", false),
        (DOMAIN, "spiffe://example.org/a", true),
        (DOMAIN, "spiffe://example.org/a/b/c/d/e/f", true),
        (DOMAIN, "spiffe://example.org", false),
        (DOMAIN, "spiffe://example.org.evil.example/a", false),
        (DOMAIN, "spiffe://evil.example/example.org/a", false),
        (EXACT, "spiffe://example.org/ns/billing", true),
        (EXACT, "spiffe://example.org/ns/billing/sa", false),
        (EXACT, "spiffe://example.org/ns/BILLING", false),
        (EXACT, "spiffe://example.org/ns", false),
    ] {
        check::<SpiffePattern>(pattern, &id.parse::<SpiffeId>().unwrap(), id, matches);
    }
}

#[test]
fn dns_wildcards_match_one_whole_label() {
    const WORKERS: &str = "*.workers.example.org";

    for (pattern, name, matches) in [
        (WORKERS, "one.workers.example.org", true),
        (WORKERS, "ONE.Workers.Example.ORG", true),
        (WORKERS, "xn--bcher-kva.workers.example.org", true),
        (WORKERS, "_one.workers.example.org", true),
        (WORKERS, "workers.example.org", false),
        (WORKERS, "one.eu.workers.example.org", false),
        (WORKERS, "one-workers.example.org", false),
        (WORKERS, "one.xworkers.example.org", false),
        (WORKERS, "one.workers.example.org.evil.example", false),
        ("*.Workers.EXAMPLE.org", "one.workers.example.org", true),
        ("*.xn--bcher-kva.example", "a.xn--bcher-kva.example", true),
        ("*.xn--bcher-kva.example", "a.bucher.example", false),
        ("*.internal", "db.internal", true),
        ("*.internal", "internal", false),
        ("*.internal", "a.db.internal", false),
        ("db.internal", "db.internal", true),
        ("DB.internal", "db.INTERNAL", true),
        ("db.internal", "a.db.internal", false),
    ] {
        check::<DnsPattern>(pattern, &name.parse::<DnsName>().unwrap(), name, matches);
    }
}

/// A pattern decides the same alone, in a set of its own, and in a larger set.
fn check<P>(pattern: &str, identity: &P::Identity, text: &str, matches: bool)
where
    P: Pattern + Clone + PartialEq + std::fmt::Debug,
{
    let parsed: P = pattern.parse().ok().unwrap();
    assert_eq!(
        parsed.matches(identity),
        matches,
        "{text} against {pattern}"
    );
    let set: PatternSet<P> = [parsed.clone()].into_iter().collect();
    assert_eq!(
        set.contains(identity),
        matches,
        "{text} in a set of {pattern}"
    );
    assert_eq!(set.matching(identity), matches.then_some(parsed));
}

#[test]
fn rejected_spiffe_patterns() {
    use SpiffePatternError as E;

    let long = |length: usize| format!("spiffe://d/{}/*", "p".repeat(length - 13));
    assert!(long(2048).parse::<SpiffePattern>().is_ok());
    for (text, error) in [
        ("*", E::WildcardAlone),
        ("spiffe://*", E::WildcardTrustDomain),
        ("spiffe://*/*", E::WildcardTrustDomain),
        ("spiffe://*/a", E::WildcardTrustDomain),
        ("spiffe://*.example.org/a", E::WildcardTrustDomain),
        ("spiffe://example.*/*", E::WildcardTrustDomain),
        ("spiffe://example.org*", E::WildcardTrustDomain),
        ("spiffe://example.org/*/a", E::WildcardNotLast),
        ("spiffe://example.org/a/*/b", E::WildcardNotLast),
        ("spiffe://example.org/*/*", E::WildcardNotLast),
        ("spiffe://example.org/a/*/", E::WildcardNotLast),
        ("spiffe://example.org/a*", E::PartialSegment),
        ("spiffe://example.org/*a", E::PartialSegment),
        ("spiffe://example.org/**", E::PartialSegment),
        ("spiffe://example.org/a*/*", E::PartialSegment),
        ("spiffe://example.org", E::NoPath),
        ("spiffe://example.org/a/* ", E::PartialSegment),
    ] {
        assert_eq!(text.parse::<SpiffePattern>(), Err(error), "{text}");
    }
    // Apart from wildcards, it is the identity's grammar.
    for (text, why) in [
        ("", "starts with spiffe://"),
        ("/*", "starts with spiffe://"),
        ("example.org/*", "starts with spiffe://"),
        ("*/a", "starts with spiffe://"),
        ("*://example.org/a", "starts with spiffe://"),
        ("SPIFFE://example.org/*", "starts with spiffe://"),
        ("https://example.org/*", "starts with spiffe://"),
        ("spiffe://example.org/", "empty path segment"),
        ("spiffe://example.org//*", "empty path segment"),
        ("spiffe://example.org/a/", "empty path segment"),
        ("spiffe://example.org/a//*", "empty path segment"),
        ("spiffe:///*", "trust domain is empty"),
        ("spiffe://Example.org/*", "only lower-case letters"),
        ("spiffe://example.org:443/*", "only lower-case letters"),
        ("spiffe://bücher.example/*", "only lower-case letters"),
        ("spiffe://example.org/./*", "'.' or '..'"),
        ("spiffe://example.org/a/../*", "'.' or '..'"),
        ("spiffe://example.org/%2a", "path segment has only"),
        ("spiffe://example.org/a?/*", "path segment has only"),
        ("spiffe://example.org/ä/*", "path segment has only"),
        (" spiffe://example.org/a/*", "starts with spiffe://"),
        (&long(2049), "at most"),
    ] {
        match text.parse::<SpiffePattern>() {
            Err(E::Id(error)) => assert!(error.to_string().contains(why), "{text}: {error}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn rejected_dns_patterns() {
    use DnsPatternError as E;

    let label = "a".repeat(63);
    let long = |last: usize| format!("*.{label}.{label}.{label}.{}", "b".repeat(last));
    assert_eq!(long(59).len(), 253);
    assert!(long(59).parse::<DnsPattern>().is_ok());
    for (text, error) in [
        ("*", E::WildcardAlone),
        ("a.*.example.org", E::WildcardNotLeftmost),
        ("a.example.*", E::WildcardNotLeftmost),
        ("*.*.example.org", E::WildcardNotLeftmost),
        ("*.*", E::WildcardNotLeftmost),
        ("a*.example.org", E::PartialLabel),
        ("*a.example.org", E::PartialLabel),
        ("**.example.org", E::PartialLabel),
        ("*.a*.example.org", E::PartialLabel),
        ("xn--*.example.org", E::PartialLabel),
        ("*example.org", E::PartialLabel),
    ] {
        assert_eq!(text.parse::<DnsPattern>(), Err(error), "{text}");
    }
    // Apart from wildcards, it is the identity's grammar.
    for (text, why) in [
        ("", "empty label"),
        ("*.", "empty label"),
        ("*.example.org.", "empty label"),
        ("*..example.org", "empty label"),
        (".example.org", "empty label"),
        ("*.bücher.example", "only ASCII letters"),
        ("*.еxample.org", "only ASCII letters"), // a Cyrillic е
        ("*.exam ple.org", "only ASCII letters"),
        ("*.-example.org", "only ASCII letters"),
        ("*.example.org:443", "only ASCII letters"),
        ("*.0.0.127", "label of digits"),
        ("127.0.0.1", "label of digits"),
        (&long(60), "at most"),
    ] {
        match text.parse::<DnsPattern>() {
            Err(E::Name(error)) => assert!(error.to_string().contains(why), "{text}: {error}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn patterns_print_as_they_are_written() {
    for text in [
        "spiffe://example.org/a",
        "spiffe://example.org/*",
        "spiffe://d/a/*",
    ] {
        assert_eq!(text.parse::<SpiffePattern>().unwrap().to_string(), text);
    }
    for (text, shown) in [("*.Example.org", "*.example.org"), ("a.b", "a.b")] {
        assert_eq!(text.parse::<DnsPattern>().unwrap().to_string(), shown);
    }
}

#[test]
fn a_list_with_a_bad_entry_names_it() {
    let error = policy::spiffe_patterns(["spiffe://example.org/*", "spiffe://example.org/a*"])
        .expect_err("the second is no pattern");
    assert_eq!(error.entry(), "spiffe://example.org/a*");
    assert_eq!(*error.error(), SpiffePatternError::PartialSegment);
    assert_eq!(
        error.to_string(),
        "\"spiffe://example.org/a*\": the wildcard matches whole segments, not a part of one; write .../a/*, not .../a*"
    );
    let error = policy::dns_patterns(["a\u{202e}\n.example"]).expect_err("no pattern");
    assert!(!error.to_string().contains(['\u{202e}', '\n']), "{error}");
}

#[test]
fn every_pattern_error_has_a_cause_and_a_remedy() {
    fn check(error: &dyn Diagnostic) {
        let (cause, remedy) = (Diagnostic::cause(error), error.remedy());
        assert_eq!(error.to_string(), format!("{cause}; {remedy}"));
        assert!(!cause.contains("; ") && !remedy.contains("; "), "{error}");
        assert!(!error.reason().is_empty() && !remedy.is_empty(), "{error}");
    }
    for text in [
        "*",
        "spiffe://*/a",
        "spiffe://a/*/b",
        "spiffe://a/b*",
        "spiffe://a",
        "a",
    ] {
        check(&text.parse::<SpiffePattern>().unwrap_err());
        check(&policy::spiffe_patterns([text]).unwrap_err());
    }
    for text in ["*", "a.*.b", "a*.b", "a..b"] {
        check(&text.parse::<DnsPattern>().unwrap_err());
        check(&policy::dns_patterns([text]).unwrap_err());
    }
}
