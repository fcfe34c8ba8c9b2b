//! The policy that the command line writes: `--allow PATTERN`.

use countersign::identity::{DnsName, SpiffeId};
use countersign::{Decision, Peer, Policy};

use super::identity::{Identity, IdentityKind};

/// Allows the peers whose identity one of the patterns matches; the pattern is the rule's name.
#[derive(Debug)]
pub(crate) struct AllowList(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    text: String,
    matches: Matches,
}

#[derive(Debug)]
enum Matches {
    Exactly(Identity),
    /// `spiffe://domain/prefix/*`: whatever is below the prefix, by whole segments, and not the
    /// prefix itself.
    SpiffeBelow(SpiffeId),
    /// `*.domain`: exactly one more label.
    DnsBelow(DnsName),
}

impl AllowList {
    /// Reads the patterns; one that can match nobody is an error, not a rule that never applies.
    pub(crate) fn parse(kind: IdentityKind, patterns: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            let matches = Matches::parse(kind, text)
                .map_err(|error| format!("--allow {text}: {error}{}", hint(kind)))?;
            Ok(Pattern {
                text: text.clone(),
                matches,
            })
        };
        patterns
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first pattern that matches.
    pub(crate) fn rule_for(&self, identity: &Identity) -> Option<&str> {
        let rule = self.0.iter().find(|rule| rule.matches.fits(identity))?;
        Some(&rule.text)
    }
}

impl Policy<Identity> for AllowList {
    fn authorize(&self, peer: &Peer<Identity>) -> Decision {
        match self.rule_for(peer.identity()) {
            Some(rule) => Decision::allow(rule.to_owned()),
            None => Decision::deny(format!("no --allow pattern matches {}", peer.identity())),
        }
    }
}

impl Matches {
    fn parse(kind: IdentityKind, text: &str) -> Result<Self, String> {
        // `spiffe://*` has no prefix: it is an ID with a bad trust domain.
        let spiffe_parent = text
            .strip_suffix("/*")
            .filter(|parent| *parent != "spiffe:/");
        match (kind, spiffe_parent, text.strip_prefix("*.")) {
            (IdentityKind::Spiffe, Some(parent), _) => parse(parent).map(Self::SpiffeBelow),
            (IdentityKind::Dns, _, Some(parent)) => parse(parent).map(Self::DnsBelow),
            _ => {
                let wanted = kind.parse(text)?;
                can_be_a_peer(&wanted)?;
                Ok(Self::Exactly(wanted))
            }
        }
    }

    fn fits(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::Exactly(wanted), identity) => identity == wanted,
            (Self::SpiffeBelow(parent), Identity::Spiffe(id)) => id
                .as_str()
                .strip_prefix(parent.as_str())
                .is_some_and(|rest| rest.starts_with('/')),
            (Self::DnsBelow(parent), Identity::Dns(name)) => name
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == parent.as_str()),
            _ => false,
        }
    }
}

fn parse<I: std::str::FromStr<Err: ToString>>(text: &str) -> Result<I, String> {
    text.parse().map_err(|error: I::Err| error.to_string())
}

/// Whether a peer's certificate could yield exactly this identity.
fn can_be_a_peer(wanted: &Identity) -> Result<(), String> {
    match wanted {
        Identity::Spiffe(id) if id.path().is_empty() => Err(format!(
            "this names a trust domain, not a workload; {id}/* allows all workloads of it"
        )),
        _ => Ok(()),
    }
}

/// Where to get a value that nobody types by heart.
const fn hint(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Dn | IdentityKind::Serial => {
            "; `cargo run --example inspect -- CERTIFICATE.pem` prints it"
        }
        _ => "",
    }
}
