//! The rules on sets of certificate and key fingerprints.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use super::none_of;
use crate::Peer;
use crate::pki::{Certificate, Fingerprint};
use crate::policy::{Decision, Explanation, Policy};

/// Allows peers by the fingerprint of their certificate or key. Made by [`certificates`] and
/// [`public_keys`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::{self, FingerprintSet};
/// use countersign::{Policy as _, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let peer = testing::peer("bank.example".parse::<DnsName>()?);
/// let partners: FingerprintSet =
///     policy::public_keys([peer.certificate().spki_sha256()]).named("partner bank");
/// assert!(partners.authorize(&peer).is_allowed());
/// # Ok(())
/// # }
/// ```
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
/// The rule does not depend on the identity, so it is a policy for every type of identity. The chain
/// must lead to a root of the trust store in any case. A renewed certificate has another fingerprint; use
/// [`public_keys`] for peers that keep their key.
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
/// Do not use this fingerprint to *deny*. The holder of a certificate with an ECDSA signature can replace
/// the signature's `s` by the curve's order minus `s`: the certificate stays valid, and has another
/// fingerprint.
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
/// A renewed certificate with the same key has the same fingerprint. Otherwise as [`certificates`].
pub fn public_keys(fingerprints: impl IntoIterator<Item = Fingerprint>) -> FingerprintSet {
    FingerprintSet {
        of: Of::PublicKey,
        rule: "public_keys".into(),
        ..certificates(fingerprints)
    }
}

impl FingerprintSet {
    /// Sets the rule's name, which every allowing decision contains. Default: `"certificates"` or
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
