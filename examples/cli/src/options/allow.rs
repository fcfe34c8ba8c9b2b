//! The policy that the command line writes: `--allow PATTERN`.

use countersign::policy::{DnsPattern, SpiffePattern};
use countersign::{Decision, Peer, Policy};

use super::identity::{Identity, IdentityKind};

/// Allows the peers whose identity one of the patterns matches; the pattern is the rule's name.
#[derive(Debug)]
pub struct AllowList(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    text: String,
    matches: Matches,
}

#[derive(Debug)]
enum Matches {
    Spiffe(SpiffePattern),
    Dns(DnsPattern),
    Exactly(Identity),
}

impl AllowList {
    /// Parses the patterns. A pattern that can match no identity is an error.
    pub fn parse(kind: IdentityKind, patterns: &[String]) -> Result<Self, String> {
        Self::parse_option("--allow", kind, patterns)
    }

    /// Like `parse`, for another option than --allow.
    pub fn parse_option(
        option: &str,
        kind: IdentityKind,
        patterns: &[String],
    ) -> Result<Self, String> {
        let parse = |text: &String| {
            let matches = Matches::parse(kind, text)
                .map_err(|error| format!("{option} {text}: {error}{}", hint(kind)))?;
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
    pub fn rule_for(&self, identity: &Identity) -> Option<&str> {
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
        match kind {
            IdentityKind::Spiffe => parse(text).map(Self::Spiffe),
            IdentityKind::Dns => parse(text).map(Self::Dns),
            _ => kind.parse(text).map(Self::Exactly),
        }
    }

    fn fits(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::Spiffe(pattern), Identity::Spiffe(id)) => pattern.matches(id),
            (Self::Dns(pattern), Identity::Dns(name)) => pattern.matches(name),
            (Self::Exactly(wanted), identity) => identity == wanted,
            _ => false,
        }
    }
}

fn parse<P: std::str::FromStr<Err: ToString>>(text: &str) -> Result<P, String> {
    text.parse().map_err(|error: P::Err| error.to_string())
}

/// How to get a value that is too long to type.
const fn hint(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Dn | IdentityKind::Serial => {
            "; `countersign inspect CERTIFICATE.pem` prints it"
        }
        _ => "",
    }
}
