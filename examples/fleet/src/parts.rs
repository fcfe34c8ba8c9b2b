//! The parts that a node takes from the broker, as values that were verified.
//!
//! A reload applies what has changed as a whole or not at all. So a value that cannot be applied must not reach
//! it: it would hold up a denial that arrives after it. Each value is verified in its stream, where a bad one is
//! an error that changes nothing else.

use std::str::FromStr as _;

use countersign::identity::SpiffeId;
use countersign::policy::{self, DenyEntry};
use countersign::trust::{Crls, Revocation};
use countersign::{Acceptor, Update};
use futures_util::{Stream, StreamExt as _};

use crate::BoxError;

pub const DENY: &str = "deny";
pub const RULES: &str = "rules";
pub const CRLS: &str = "crls";

/// A part of the configuration, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A deny list: an identity, `spki:SHA256` or `serial:HEX issuer:NAME` on each line
    Deny,
    /// The clients that may connect: SPIFFE IDs, or patterns such as `spiffe://example.org/shop/*`
    Rules,
    /// CRLs (PEM)
    Crls,
}

impl Part {
    pub const fn key(self) -> &'static str {
        match self {
            Self::Deny => DENY,
            Self::Rules => RULES,
            Self::Crls => CRLS,
        }
    }

    /// Whether a node could apply it, as far as it can be known without its trust.
    pub fn check(self, bytes: &[u8]) -> Result<(), BoxError> {
        match self {
            Self::Deny => deny_list(bytes).map(drop),
            Self::Rules => rules(bytes).map(drop),
            Self::Crls => Ok(Crls::from_bytes(bytes).map(drop)?),
        }
    }
}

/// A value with the bytes that it was made of, by which it is compared.
#[derive(Clone)]
pub struct Verified<T> {
    bytes: Vec<u8>,
    pub value: T,
}

impl<T> PartialEq for Verified<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// Verifies each value. The same bytes are verified once.
pub fn verified<T: Clone + Send + 'static>(
    values: impl Stream<Item = Result<Vec<u8>, BoxError>> + Send + 'static,
    verify: impl Fn(&[u8]) -> Result<T, BoxError> + Send + 'static,
) -> impl Stream<Item = Result<Verified<T>, BoxError>> + Send + 'static {
    let mut last: Option<Verified<T>> = None;
    values.map(move |bytes| {
        let bytes = bytes?;
        match &last {
            Some(last) if last.bytes == bytes => Ok(last.clone()),
            _ => {
                let value = verify(&bytes)?;
                let verified = Verified { bytes, value };
                last = Some(verified.clone());
                Ok(verified)
            }
        }
    })
}

pub fn deny_list(bytes: &[u8]) -> Result<Vec<DenyEntry<SpiffeId>>, BoxError> {
    Ok(DenyEntry::parse_list(text(bytes)?)?)
}

/// The patterns of the clients, which are valid.
pub fn rules(bytes: &[u8]) -> Result<Vec<String>, BoxError> {
    let lines = text(bytes)?.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let patterns: Vec<String> = lines.map(str::to_owned).collect();
    policy::spiffe_patterns(&patterns)?;
    Ok(patterns)
}

/// CRLs that the trust of this acceptor verifies, and that take nothing back. The acceptor serves no connection:
/// it has the last good CRLs, and rejects others as that of the node would.
pub fn crls(bytes: &[u8], probe: &Acceptor<SpiffeId>) -> Result<Revocation, BoxError> {
    let revocation = Revocation::new(Crls::from_bytes(bytes)?);
    let update = Update::new().revocation(revocation.clone());
    probe.control().update(update)?;
    Ok(revocation)
}

/// An empty value is a mistake: an empty list has a comment.
fn text(bytes: &[u8]) -> Result<&str, BoxError> {
    let text = std::str::from_utf8(bytes)?;
    if text.trim().is_empty() {
        return Err("the value is empty; write a comment (#) for an empty list".into());
    }
    Ok(text)
}

/// The identity of a broker, for `--broker-id`.
pub fn identity(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::from_str(text).map_err(|error| error.to_string())
}
