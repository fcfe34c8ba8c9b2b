//! The result of a policy.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// What a policy decided, and why.
///
/// An allowing decision contains the name of the rule, a denying one the reason. Both are for logs and
/// operators. The peer receives only the alert `access_denied`.
///
/// ```
/// use countersign::Decision;
///
/// let decision = Decision::deny("only workers may connect");
/// assert!(!decision.is_allowed());
/// assert_eq!(decision.reason(), Some("only workers may connect"));
/// assert_eq!(Decision::allow("workers").rule(), Some("workers"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    allowed: bool,
    text: Cow<'static, str>,
}

impl Decision {
    /// Allows the peer, by the rule of this name.
    pub fn allow(rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            allowed: true,
            text: rule.into(),
        }
    }

    /// Denies the peer, for this reason.
    pub fn deny(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            allowed: false,
            text: reason.into(),
        }
    }

    /// As [`deny`](Self::deny), for a formatted reason. It takes one allocation; `format!` takes several
    /// if the text begins with a value.
    pub(super) fn deny_because(reason: fmt::Arguments<'_>) -> Self {
        let mut text = String::with_capacity(160);
        // Only a `Display` that fails is an error; the reason ends there.
        let _ = text.write_fmt(reason);
        Self::deny(text)
    }

    /// Whether the peer may connect.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// The rule that allows, if the decision allows.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.allowed.then_some(&*self.text)
    }

    /// The reason, if the decision denies.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        (!self.allowed).then_some(&*self.text)
    }

    /// The rule of an allowing decision, or the reason of a denying one.
    pub(crate) fn into_result(self) -> Result<Cow<'static, str>, Cow<'static, str>> {
        if self.allowed {
            Ok(self.text)
        } else {
            Err(self.text)
        }
    }
}
