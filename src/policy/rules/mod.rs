//! Ready-made rules that look one thing up.

mod exact;
mod fingerprints;
mod trust_domain;

pub use exact::{Exact, exact};
pub use fingerprints::{FingerprintSet, certificates, public_keys};
pub use trust_domain::{TrustDomains, trust_domain, trust_domains};

use super::{Decision, Policy};
use crate::Peer;

/// Allows every peer that the trust store vouches for; made by [`allow_any`].
#[derive(Clone, Copy, Debug)]
pub struct AllowAny(());

/// Allows every peer whose certificate is trusted and yields an identity.
///
/// There is no way to leave the policy out; whoever wants this writes it, and it shows in review.
pub const fn allow_any() -> AllowAny {
    AllowAny(())
}

impl<I> Policy<I> for AllowAny {
    fn authorize(&self, _: &Peer<I>) -> Decision {
        Decision::allow("allow_any")
    }
}

/// Why a set denies.
fn none_of(what: &str, count: usize, rule: &str) -> String {
    match count {
        0 => format!("rule \"{rule}\" is empty, so it allows nobody"),
        1 => format!("{what} is not the one that rule \"{rule}\" allows"),
        _ => format!("{what} is none of the {count} that rule \"{rule}\" allows"),
    }
}
