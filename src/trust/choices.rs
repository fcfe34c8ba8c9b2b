//! The explicit options of a trust store about path validation.

use std::time::Duration;

use super::{EkuPolicy, TrustError};
use crate::pki::Excerpt;

/// How the issuer's name in a certificate is compared with the subject of a possible issuer.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::NameMatching;
///
/// let trust = TestCa::new("Root").trust().name_matching(NameMatching::Rfc5280);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameMatching {
    /// As DER, octet by octet, as in Go and rustls-webpki.
    #[default]
    Exact,
    /// By RFC 5280 section 7.1, as in OpenSSL: the string type, case and repeated white space do not
    /// matter. For authorities that write their name in one way and the issuer of their certificates in
    /// another.
    Rfc5280,
}

/// The certificate policies that a path must be valid for (RFC 5280 section 6.1.1 (c) and (e) to (g)).
///
/// By default any policy is acceptable, and none is required unless a certificate of the path requires
/// one (policyConstraints). Policies are processed by RFC 9618, whose work is linear in the certificates.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::CertificatePolicies;
///
/// // Only certificates of the PIV authentication policy.
/// let policies = CertificatePolicies::require(["2.16.840.1.101.3.2.1.3.13"])?;
/// let trust = TestCa::new("Root").trust().certificate_policies(policies);
/// # Ok::<(), countersign::trust::TrustError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatePolicies {
    /// Dotted; `None` for any.
    acceptable: Option<Vec<String>>,
    explicit: bool,
    inhibit_mapping: bool,
    inhibit_any: bool,
}

const ANY_POLICY: &str = "2.5.29.32.0";

impl CertificatePolicies {
    /// The default: any policy, or none.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requires that the path is valid for one of these policies, given as dotted object identifiers of
    /// the root's domain. `2.5.29.32.0` (anyPolicy) requires that it is valid for some policy.
    ///
    /// # Errors
    /// [`TrustError::NotAPolicy`]: there is none, or one is not a dotted object identifier, such as
    /// `"PIV"` or `"1.02"`.
    pub fn require<T: Into<String>>(
        policies: impl IntoIterator<Item = T>,
    ) -> Result<Self, TrustError> {
        let policies: Vec<String> = policies.into_iter().map(Into::into).collect();
        if let Some(policy) = policies.iter().find(|policy| !is_oid(policy)) {
            let policy = policy.clone();
            return Err(TrustError::NotAPolicy { policy });
        }
        if policies.is_empty() {
            let policy = String::new();
            return Err(TrustError::NotAPolicy { policy });
        }
        let accepts_any = policies.iter().any(|policy| policy == ANY_POLICY);
        Ok(Self {
            acceptable: (!accepts_any).then_some(policies),
            explicit: true,
            ..Self::default()
        })
    }

    /// Rejects policies that are reached by a mapping (initial-policy-mapping-inhibit).
    #[must_use]
    pub const fn inhibit_mapping(mut self) -> Self {
        self.inhibit_mapping = true;
        self
    }

    /// Does not let anyPolicy in a certificate stand for the required policies
    /// (initial-any-policy-inhibit).
    #[must_use]
    pub const fn inhibit_any_policy(mut self) -> Self {
        self.inhibit_any = true;
        self
    }

    pub(super) const fn are_default(&self) -> bool {
        self.acceptable.is_none() && !self.explicit && !self.inhibit_mapping && !self.inhibit_any
    }

    pub(super) const fn is_explicit(&self) -> bool {
        self.explicit
    }

    pub(super) const fn inhibits_mapping(&self) -> bool {
        self.inhibit_mapping
    }

    pub(super) const fn inhibits_any(&self) -> bool {
        self.inhibit_any
    }

    pub(super) fn accepts(&self, policy: &str) -> bool {
        let acceptable = self.acceptable.as_ref();
        acceptable.is_none_or(|all| all.iter().any(|known| known == policy))
    }

    /// The acceptable policies; empty for any.
    pub(super) fn accepted(&self) -> Excerpt<String> {
        let acceptable = self.acceptable.as_deref().unwrap_or_default();
        Excerpt::new(acceptable.iter().cloned(), acceptable.len())
    }
}

/// Whether a text is a dotted object identifier: decimal arcs without leading zeros, of which the first
/// is 0 to 2, and below 0 and 1 the second at most 39.
fn is_oid(text: &str) -> bool {
    let arcs: Option<Vec<u128>> = text
        .split('.')
        .map(|arc| {
            let is_plain = arc == "0" || !arc.starts_with('0');
            let is_number = arc.bytes().all(|octet| octet.is_ascii_digit());
            (is_plain && is_number).then(|| arc.parse().ok()).flatten()
        })
        .collect();
    match arcs.as_deref() {
        Some([0 | 1, second, ..]) => *second <= 39,
        Some([2, _, ..]) => true,
        _ => false,
    }
}

/// The most that a notBefore may be ahead of our clock.
pub(super) const MAX_CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// All options of a trust store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(super) names: NameMatching,
    /// Instead of the verifier's.
    pub(super) extended_key_usage: Option<EkuPolicy>,
    pub(super) clock_tolerance: Duration,
    pub(super) policies: CertificatePolicies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dotted_object_identifiers() {
        for good in [
            "1.3",
            "2.16.840.1.101.3.2.1.48.1",
            "0.39",
            "2.999",
            "2.25.340282366920938463463374607431768211455",
        ] {
            assert!(CertificatePolicies::require([good]).is_ok(), "{good}");
        }
        for bad in [
            "", "1", "3.1", "1.40", "1.02", "1..2", "1.2.", "PIV", "+1.2", "1.-2", " 1.2",
        ] {
            let error = CertificatePolicies::require([bad]).unwrap_err();
            assert_eq!(error.reason(), "not_a_policy", "{bad}");
        }
        assert!(CertificatePolicies::require::<&str>([]).is_err());
    }
}
