//! Ready-made rules that look up one value.

mod exact;
mod fingerprints;
mod trust_domain;

pub use exact::{Exact, exact};
pub use fingerprints::{FingerprintSet, certificates, public_keys};
pub use trust_domain::{TrustDomains, trust_domain, trust_domains};

use super::{Decision, Policy};
use crate::Peer;

/// Allows every peer with a trusted certificate and an identity. Made by [`allow_any`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::AllowAny;
/// use countersign::{Policy as _, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy: AllowAny = policy::allow_any();
/// let peer = testing::peer("worker.example".parse::<DnsName>()?);
/// assert!(policy.authorize(&peer).is_allowed());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AllowAny(());

/// Allows every peer whose certificate is trusted and yields an identity.
///
/// A builder always requires a policy. This one makes "every trusted peer" explicit, so that a review
/// finds it.
#[doc(alias = "allow_all")]
pub const fn allow_any() -> AllowAny {
    AllowAny(())
}

impl<I> Policy<I> for AllowAny {
    fn authorize(&self, _: &Peer<I>) -> Decision {
        Decision::allow("allow_any")
    }
}

/// The reason for which a set denies.
fn none_of(what: &str, count: usize, rule: &str) -> String {
    match count {
        0 => format!("rule \"{rule}\" is empty, so it denies every peer"),
        1 => format!("{what} is not the one that rule \"{rule}\" allows"),
        _ => format!("{what} is none of the {count} that rule \"{rule}\" allows"),
    }
}
