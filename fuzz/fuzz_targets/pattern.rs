//! Patterns of identities and identities, one on each line. A pattern displays as it was written, and a
//! set of patterns matches what its patterns match one by one.
#![no_main]

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use countersign::policy::{DnsPattern, Pattern, PatternSet, SpiffePattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').collect();
    check::<SpiffePattern>(&lines, spiffe_by_segments);
    check::<DnsPattern>(&lines, dns_by_labels);
});

fn check<P>(lines: &[&str], by_parts: fn(&str, &str) -> bool)
where
    P: Pattern + Clone + Ord + Debug,
    P::Identity: FromStr + Display,
{
    let mut patterns = BTreeSet::new();
    for line in lines {
        match line.parse::<P>() {
            Ok(pattern) => {
                let shown = pattern.to_string();
                // Only DNS names are changed to lower case.
                assert!(shown.eq_ignore_ascii_case(line));
                assert_eq!(shown.parse::<P>().ok().as_ref(), Some(&pattern));
                assert!(!shown.contains(char::is_control) && shown != "*");
                patterns.insert(pattern);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    !text.is_empty() && !text.contains(char::is_control),
                    "{text:?}"
                );
            }
        }
    }
    let set: PatternSet<P> = patterns.iter().cloned().collect();
    assert_eq!(set.len(), patterns.len());
    for line in lines {
        let Ok(identity) = line.parse::<P::Identity>() else {
            continue;
        };
        let mut any = false;
        for pattern in &patterns {
            let matches = pattern.matches(&identity);
            assert_eq!(
                matches,
                by_parts(&pattern.to_string(), &identity.to_string()),
                "{identity} against {pattern}"
            );
            any |= matches;
        }
        assert_eq!(set.contains(&identity), any, "{identity}");
        if let Some(found) = set.matching(&identity) {
            assert!(patterns.contains(&found) && found.matches(&identity));
        }
    }
}

/// The meaning of a SPIFFE pattern, segment by segment.
fn spiffe_by_segments(pattern: &str, id: &str) -> bool {
    let (pattern, id): (Vec<&str>, Vec<&str>) =
        (pattern.split('/').collect(), id.split('/').collect());
    match pattern.split_last() {
        Some((&"*", above)) => id.len() > above.len() && id.starts_with(above),
        _ => pattern == id,
    }
}

/// The meaning of a DNS pattern, label by label.
fn dns_by_labels(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), name.split('.').collect());
    pattern.len() == name.len()
        && pattern
            .iter()
            .zip(&name)
            .enumerate()
            .all(|(place, (label, found))| label == found || (place == 0 && *label == "*"))
}
