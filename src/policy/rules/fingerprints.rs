//! Sets of certificate and key fingerprints.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use super::none_of;
use crate::Peer;
use crate::pki::{Certificate, Fingerprint};
use crate::policy::{Decision, Explanation, Policy};

/// Allows peers by a fingerprint of their certificate; made by [`certificates`] and
/// [`public_keys`].
#[derive(Clone)]
pub struct FingerprintSet {
    of: Of,
    fingerprints: HashSet<Fingerprint>,
    rule: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Certificate,
    PublicKey,
}

/// Allows a peer whose certificate has one of these SHA-256 fingerprints, as
/// [`Certificate::sha256`] and `openssl x509 -fingerprint -sha256` give them.
///
/// It looks at nothing else, so it is a policy for every type of identity. The chain must lead to
/// a root of the trust store all the same. A renewed certificate has another fingerprint;
/// [`public_keys`] may fit better.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::pki::Fingerprint;
/// use countersign::policy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let known: Fingerprint =
///     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
/// let policy = policy::certificates([known]).named("partner bank");
/// # let _: &dyn countersign::Policy<DnsName> = &policy;
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// Never keep somebody *out* by this fingerprint. Whoever holds a certificate that is signed with
/// ECDSA can change the signature's `s` to the curve's order minus `s`: that is as valid, and the
/// fingerprint is another.
pub fn certificates(fingerprints: impl IntoIterator<Item = Fingerprint>) -> FingerprintSet {
    FingerprintSet {
        of: Of::Certificate,
        fingerprints: fingerprints.into_iter().collect(),
        rule: "certificates".into(),
    }
}

/// Allows a peer whose public key (SubjectPublicKeyInfo) has one of these SHA-256 fingerprints,
/// as [`Certificate::spki_sha256`] gives them.
///
/// They outlast renewals with the same key. Otherwise as [`certificates`].
pub fn public_keys(fingerprints: impl IntoIterator<Item = Fingerprint>) -> FingerprintSet {
    FingerprintSet {
        of: Of::PublicKey,
        rule: "public_keys".into(),
        ..certificates(fingerprints)
    }
}

impl FingerprintSet {
    /// Sets the rule's name, which stands in every allowing decision. Default `"certificates"` or
    /// `"public_keys"`.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = rule.into();
        self
    }

    fn fingerprint(&self, certificate: &Certificate) -> Fingerprint {
        match self.of {
            Of::Certificate => certificate.sha256(),
            Of::PublicKey => certificate.spki_sha256(),
        }
    }
}

impl<I> Policy<I> for FingerprintSet {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        let fingerprint = self.fingerprint(peer.certificate());
        if self.fingerprints.contains(&fingerprint) {
            return Decision::allow(self.rule.clone());
        }
        let what = match self.of {
            Of::Certificate => "the certificate's fingerprint",
            Of::PublicKey => "the public key's fingerprint",
        };
        Decision::deny(none_of(what, self.fingerprints.len(), &self.rule))
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        Explanation::of(self.authorize(peer)).by(match self.of {
            Of::Certificate => "certificates",
            Of::PublicKey => "public_keys",
        })
    }
}

impl fmt::Debug for FingerprintSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerprintSet")
            .field("of", &self.of)
            .field("rule", &self.rule)
            .field("fingerprints", &self.fingerprints.len())
            .finish()
    }
}
