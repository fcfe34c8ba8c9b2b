//! The policy that the command line writes: `--allow PATTERN`.

use std::fmt::Display;
use std::str::FromStr;

use countersign::identity::{CommonName, DnsName, SpiffeId};
use countersign::{Decision, Peer, Policy};

/// Allows the peers whose identity one of the patterns matches; the pattern is the rule's name.
#[derive(Debug)]
pub(crate) struct AllowList<I>(Vec<Pattern<I>>);

#[derive(Debug)]
struct Pattern<I> {
    text: String,
    matches: Matches<I>,
}

#[derive(Debug)]
enum Matches<I> {
    Exactly(I),
    Below(I),
}

impl<I: Named> AllowList<I> {
    /// Reads the patterns; one that can match nobody is an error, not a rule that never applies.
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, String> {
        patterns
            .iter()
            .map(|text| Pattern::parse(text).map_err(|error| format!("--allow {text}: {error}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first pattern that matches.
    pub(crate) fn rule_for(&self, identity: &I) -> Option<&str> {
        let rule = self.0.iter().find(|pattern| match &pattern.matches {
            Matches::Exactly(wanted) => identity == wanted,
            Matches::Below(parent) => identity.is_below(parent),
        })?;
        Some(&rule.text)
    }
}

impl<I: Named> Policy<I> for AllowList<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        match self.rule_for(peer.identity()) {
            Some(rule) => Decision::allow(rule.to_owned()),
            None => Decision::deny(format!("no --allow pattern matches {}", peer.identity())),
        }
    }
}

impl<I: Named> Pattern<I> {
    fn parse(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.parse::<I>().map_err(|error| error.to_string());
        let matches = match I::parent_in(text) {
            Some(parent) => Matches::Below(parse(parent)?),
            None => {
                let wanted = parse(text)?;
                wanted.can_be_a_peer()?;
                Matches::Exactly(wanted)
            }
        };
        Ok(Self {
            text: text.to_owned(),
            matches,
        })
    }
}

/// An identity that a pattern can name.
pub(crate) trait Named:
    FromStr<Err: Display> + Display + Eq + Send + Sync + 'static
{
    /// What stands beside the wildcard of a pattern that has one.
    fn parent_in(pattern: &str) -> Option<&str>;

    /// Whether the wildcard beside `parent` stands for `self`.
    fn is_below(&self, parent: &Self) -> bool;

    /// Whether a peer's certificate could yield exactly this identity.
    fn can_be_a_peer(&self) -> Result<(), String> {
        Ok(())
    }
}

/// `spiffe://domain/prefix/*`: whatever is below the prefix, by whole segments, and not the prefix
/// itself.
impl Named for SpiffeId {
    fn parent_in(pattern: &str) -> Option<&str> {
        // `spiffe://*` has no parent: it is an ID with a bad trust domain.
        pattern
            .strip_suffix("/*")
            .filter(|parent| *parent != "spiffe:/")
    }

    fn is_below(&self, parent: &Self) -> bool {
        self.as_str()
            .strip_prefix(parent.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }

    fn can_be_a_peer(&self) -> Result<(), String> {
        if self.path().is_empty() {
            return Err(format!(
                "this names a trust domain, not a workload; {self}/* allows all workloads of it"
            ));
        }
        Ok(())
    }
}

/// `*.domain`: exactly one more label.
impl Named for DnsName {
    fn parent_in(pattern: &str) -> Option<&str> {
        pattern.strip_prefix("*.")
    }

    fn is_below(&self, parent: &Self) -> bool {
        self.as_str()
            .split_once('.')
            .is_some_and(|(_, rest)| rest == parent.as_str())
    }
}

/// Exact names only: a common name has no structure.
impl Named for CommonName {
    fn parent_in(_: &str) -> Option<&str> {
        None
    }

    fn is_below(&self, _: &Self) -> bool {
        false
    }
}
