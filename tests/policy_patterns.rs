//! Patterns of SPIFFE IDs and DNS names: what each matches, and what is none.

use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{
    self, DnsPattern, InvalidDnsPattern, InvalidSpiffePattern, Pattern, PatternSet, SpiffePattern,
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
fn dns_wildcards_stand_for_one_whole_label() {
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

/// The pattern alone, in a set of its own, and among others, must agree.
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
fn what_is_no_spiffe_pattern() {
    use InvalidSpiffePattern as E;

    let long = |length: usize| format!("spiffe://d/{}/*", "p".repeat(length - 13));
    assert!(long(2048).parse::<SpiffePattern>().is_ok());
    for (text, error) in [
        ("*", E::Everybody.to_string()),
        ("", "starts with spiffe://".to_owned()),
        ("/*", "starts with spiffe://".to_owned()),
        ("example.org/*", "starts with spiffe://".to_owned()),
        ("*/a", "starts with spiffe://".to_owned()),
        ("*://example.org/a", "starts with spiffe://".to_owned()),
        ("SPIFFE://example.org/*", "starts with spiffe://".to_owned()),
        ("https://example.org/*", "starts with spiffe://".to_owned()),
        ("spiffe://*", E::WildcardTrustDomain.to_string()),
        ("spiffe://*/*", E::WildcardTrustDomain.to_string()),
        ("spiffe://*/a", E::WildcardTrustDomain.to_string()),
        (
            "spiffe://*.example.org/a",
            E::WildcardTrustDomain.to_string(),
        ),
        ("spiffe://example.*/*", E::WildcardTrustDomain.to_string()),
        ("spiffe://example.org*", E::WildcardTrustDomain.to_string()),
        ("spiffe://example.org/*/a", E::WildcardNotLast.to_string()),
        ("spiffe://example.org/a/*/b", E::WildcardNotLast.to_string()),
        ("spiffe://example.org/*/*", E::WildcardNotLast.to_string()),
        ("spiffe://example.org/a/*/", E::WildcardNotLast.to_string()),
        ("spiffe://example.org/a*", E::PartialSegment.to_string()),
        ("spiffe://example.org/*a", E::PartialSegment.to_string()),
        ("spiffe://example.org/**", E::PartialSegment.to_string()),
        ("spiffe://example.org/a*/*", E::PartialSegment.to_string()),
        ("spiffe://example.org", E::NoPath.to_string()),
        (
            "spiffe://example.org/",
            "empty path segment or a trailing slash".to_owned(),
        ),
        (
            "spiffe://example.org//*",
            "empty path segment or a trailing slash".to_owned(),
        ),
        (
            "spiffe://example.org/a/",
            "empty path segment or a trailing slash".to_owned(),
        ),
        (
            "spiffe://example.org/a//*",
            "empty path segment or a trailing slash".to_owned(),
        ),
        ("spiffe:///*", "no trust domain".to_owned()),
        ("spiffe://Example.org/*", "trust domain has only".to_owned()),
        (
            "spiffe://example.org:443/*",
            "trust domain has only".to_owned(),
        ),
        (
            "spiffe://bücher.example/*",
            "trust domain has only".to_owned(),
        ),
        (
            "spiffe://example.org/./*",
            "'.' or '..' path segment".to_owned(),
        ),
        (
            "spiffe://example.org/a/../*",
            "'.' or '..' path segment".to_owned(),
        ),
        (
            "spiffe://example.org/%2a",
            "path segment has only".to_owned(),
        ),
        (
            "spiffe://example.org/a?/*",
            "path segment has only".to_owned(),
        ),
        (
            "spiffe://example.org/ä/*",
            "path segment has only".to_owned(),
        ),
        ("spiffe://example.org/a/* ", E::PartialSegment.to_string()),
        (
            " spiffe://example.org/a/*",
            "starts with spiffe://".to_owned(),
        ),
        (&long(2049), "longer than any SPIFFE ID".to_owned()),
    ] {
        let actual = text.parse::<SpiffePattern>().expect_err(text).to_string();
        assert!(actual.contains(&error), "{text}: {actual}");
    }
}

#[test]
fn what_is_no_dns_pattern() {
    use InvalidDnsPattern as E;

    let label = "a".repeat(63);
    let long = |last: usize| format!("*.{label}.{label}.{label}.{}", "b".repeat(last));
    assert_eq!(long(59).len(), 253);
    assert!(long(59).parse::<DnsPattern>().is_ok());
    for (text, error) in [
        ("*", E::Everybody.to_string()),
        ("a.*.example.org", E::WildcardNotLeftmost.to_string()),
        ("a.example.*", E::WildcardNotLeftmost.to_string()),
        ("*.*.example.org", E::WildcardNotLeftmost.to_string()),
        ("*.*", E::WildcardNotLeftmost.to_string()),
        ("a*.example.org", E::PartialLabel.to_string()),
        ("*a.example.org", E::PartialLabel.to_string()),
        ("**.example.org", E::PartialLabel.to_string()),
        ("*.a*.example.org", E::PartialLabel.to_string()),
        ("xn--*.example.org", E::PartialLabel.to_string()),
        ("*example.org", E::PartialLabel.to_string()),
        ("", "no empty label".to_owned()),
        ("*.", "no empty label".to_owned()),
        ("*.example.org.", "no empty label".to_owned()),
        ("*..example.org", "no empty label".to_owned()),
        (".example.org", "no empty label".to_owned()),
        ("*.bücher.example", "DNS label has only".to_owned()),
        ("*.еxample.org", "DNS label has only".to_owned()), // a Cyrillic е
        ("*.exam ple.org", "DNS label has only".to_owned()),
        ("*.-example.org", "DNS label has only".to_owned()),
        ("*.example.org:443", "DNS label has only".to_owned()),
        ("*.0.0.127", "label of digits".to_owned()),
        ("127.0.0.1", "label of digits".to_owned()),
        (&long(60), "longer than any DNS name".to_owned()),
    ] {
        let actual = text.parse::<DnsPattern>().expect_err(text).to_string();
        assert!(actual.contains(&error), "{text}: {actual}");
    }
}

#[test]
fn patterns_show_as_they_are_written() {
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
    assert_eq!(*error.error(), InvalidSpiffePattern::PartialSegment);
    assert_eq!(
        error.to_string(),
        "\"spiffe://example.org/a*\": the wildcard stands for whole segments: write .../a/*, not .../a*"
    );
    let error = policy::dns_patterns(["a\u{202e}\n.example"]).expect_err("no pattern");
    assert!(!error.to_string().contains(['\u{202e}', '\n']), "{error}");
    let error = policy::trust_domains(["example.org", "example.org/a"]).expect_err("a path");
    assert_eq!(error.entry(), "example.org/a");
}
