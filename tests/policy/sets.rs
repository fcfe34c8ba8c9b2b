//! Sets of patterns: which pattern decides, and that a set agrees with its patterns.

use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{self, DnsPattern, Pattern, PatternSet, SpiffePattern};
use countersign::{Policy as _, testing};

#[test]
fn the_most_specific_pattern_gives_the_rule() {
    let set = PatternSet::<SpiffePattern>::new()
        .rule("all", ["spiffe://example.org/*"])
        .and_then(|set| set.rule("billing", ["spiffe://example.org/ns/billing/*"]))
        .and_then(|set| set.rule("worker", ["spiffe://example.org/ns/billing/sa/worker"]))
        .unwrap();
    for (id, rule) in [
        ("spiffe://example.org/ns/billing/sa/worker", "worker"),
        ("spiffe://example.org/ns/billing/sa/worker/1", "billing"),
        ("spiffe://example.org/ns/billing/sa", "billing"),
        ("spiffe://example.org/ns/billing", "all"),
        ("spiffe://example.org/ns/shop", "all"),
    ] {
        let peer = testing::peer(id.parse::<SpiffeId>().unwrap());
        assert_eq!(set.authorize(&peer).rule(), Some(rule), "{id}");
    }
    let stranger = testing::peer("spiffe://example.com/a".parse::<SpiffeId>().unwrap());
    assert_eq!(
        set.authorize(&stranger).reason(),
        Some("spiffe://example.com/a matches none of 3 SPIFFE patterns")
    );
}

#[test]
fn a_pattern_that_is_in_the_set_keeps_its_rule() {
    let mut set = PatternSet::<DnsPattern>::new();
    assert!(set.insert_named("first", "*.example.org".parse().unwrap()));
    assert!(!set.insert_named("second", "*.EXAMPLE.org".parse().unwrap()));
    assert!(!set.insert("*.example.org".parse().unwrap()));
    assert!(set.insert("example.org".parse().unwrap()), "not the same");
    assert_eq!(set.len(), 2);
    for (name, rule) in [("a.example.org", "first"), ("example.org", "example.org")] {
        let peer = testing::peer(name.parse::<DnsName>().unwrap());
        assert_eq!(set.authorize(&peer).rule(), Some(rule));
    }
}

/// The name of a rule is stored once, for all of its patterns.
#[test]
fn each_of_many_patterns_has_the_name_of_its_rule() {
    let mut set = PatternSet::<DnsPattern>::new();
    let all = |zone: &'static str| {
        (0..100).map(move |number| (format!("rule {number}"), format!("n{number}.{zone}")))
    };
    for (rule, name) in all("example.org").chain(all("example.com")) {
        assert!(set.insert_named(rule, name.parse().unwrap()));
    }
    assert_eq!(set.len(), 200);
    for (rule, name) in all("example.org").chain(all("example.com")) {
        let peer = testing::peer(name.parse::<DnsName>().unwrap());
        assert_eq!(set.authorize(&peer).rule(), Some(&*rule), "{name}");
    }
}

#[test]
fn an_empty_set_denies() {
    let set = policy::dns_patterns([""; 0]).unwrap();
    let decision = set.authorize(&testing::peer("a.example".parse::<DnsName>().unwrap()));
    assert_eq!(
        decision.reason(),
        Some("there is no DNS pattern, so no peer matches")
    );
}

/// The longest and deepest ID, against patterns at every depth.
#[test]
fn the_deepest_id_finds_its_patterns() {
    let deepest = format!("spiffe://d{}", "/a".repeat(1019));
    let id: SpiffeId = deepest.parse().unwrap();
    let below = |depth: usize| format!("spiffe://d{}/*", "/a".repeat(depth));
    for depth in [0, 1, 500, 1018] {
        let set = policy::spiffe_patterns([below(depth), "spiffe://d/b/*".into()]).unwrap();
        let found = set.matching(&id).map(|pattern| pattern.to_string());
        assert_eq!(found, Some(below(depth)));
    }
    let as_deep: SpiffeId = deepest[..deepest.len() - 2].parse().unwrap();
    let set = policy::spiffe_patterns([below(1018)]).unwrap();
    assert!(set.contains(&id) && !set.contains(&as_deep));
    let all = policy::spiffe_patterns((0..1019).map(below)).unwrap();
    let found = all.matching(&id).map(|pattern| pattern.to_string());
    assert_eq!(found, Some(below(1018)));
}

/// Sets of up to 60 patterns over few names, so that most identities nearly match.
#[test]
fn a_set_agrees_with_a_scan() {
    let mut random = Random(0x5eed);
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..100 {
        let ids: Vec<SpiffePattern> = (0..random.below(60))
            .map(|_| format!("{}{}", spiffe(&mut random), ["", "/*"][random.below(2)]))
            .filter_map(|text| text.parse().ok())
            .collect();
        let names: Vec<DnsPattern> = (0..random.below(60))
            .map(|_| format!("{}{}", ["", "*."][random.below(2)], dns(&mut random)))
            .map(|text| text.parse().unwrap())
            .collect();
        for _ in 0..40 {
            let id = spiffe(&mut random).parse().unwrap();
            let name = dns(&mut random).parse().unwrap();
            for found in [agree(&ids, &id), agree(&names, &name)] {
                *if found { &mut hits } else { &mut misses } += 1;
            }
        }
    }
    // Otherwise it would prove little.
    assert!(hits > 1000 && misses > 1000, "{hits} hits, {misses} misses");
}

fn agree<P>(patterns: &[P], identity: &P::Identity) -> bool
where
    P: Pattern + Clone + PartialEq + std::fmt::Debug,
    P::Identity: std::fmt::Debug,
{
    let set: PatternSet<P> = patterns.iter().cloned().collect();
    let matching: Vec<&P> = patterns
        .iter()
        .filter(|pattern| pattern.matches(identity))
        .collect();
    let found = set.matching(identity);
    assert_eq!(
        set.contains(identity),
        !matching.is_empty(),
        "{identity:?} in {patterns:?}"
    );
    match &found {
        None => assert!(matching.is_empty()),
        Some(found) => {
            assert!(matching.contains(&found), "{found} for {identity:?}");
            // The most specific: exact, or else the longest.
            let rank = |pattern: &P| {
                let text = pattern.to_string();
                (!text.contains('*'), text.len())
            };
            assert_eq!(matching.iter().map(|p| rank(p)).max(), Some(rank(found)));
        }
    }
    found.is_some()
}

fn spiffe(random: &mut Random) -> String {
    let mut text = format!("spiffe://{}", ["d", "e", "d.e", "dd"][random.below(4)]);
    for _ in 0..random.below(5) {
        text.push('/');
        text.push_str(["a", "b", "aa", "a.b"][random.below(4)]);
    }
    text
}

fn dns(random: &mut Random) -> String {
    let labels = (0..=random.below(3)).map(|_| ["a", "b", "ab"][random.below(3)]);
    labels.collect::<Vec<_>>().join(".")
}

/// A linear congruential generator (Knuth's MMIX): the same patterns in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn an_empty_set_denies_and_says_that_it_is_empty() {
    let peer = testing::peer("a.example".parse::<DnsName>().unwrap());
    let empty = policy::exact::<DnsName>([]);
    let decision = empty.authorize(&peer);
    let reason = decision.reason().expect("a denial");
    assert!(
        reason.ends_with("is empty, so it denies every peer"),
        "{reason}"
    );
}
