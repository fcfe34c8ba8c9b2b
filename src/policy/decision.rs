//! The answer of a policy.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// What a policy decided, and why.
///
/// An allowing decision names the rule that allowed; a denying one gives the reason. Both are for
/// the log and for people: the peer learns nothing but the alert `access_denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    allowed: bool,
    text: Cow<'static, str>,
}

impl Decision {
    /// Lets the peer in, by the rule of this name.
    pub fn allow(rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            allowed: true,
            text: rule.into(),
        }
    }

    /// Turns the peer away, for this reason.
    pub fn deny(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            allowed: false,
            text: reason.into(),
        }
    }

    /// As [`deny`](Self::deny), for a reason that is put together: with one allocation, where
    /// `format!` needs several if the text begins with a value.
    pub(super) fn deny_because(reason: fmt::Arguments<'_>) -> Self {
        let mut text = String::with_capacity(160);
        // Only a `Display` that fails would be an error, and then the reason is cut off there.
        let _ = text.write_fmt(reason);
        Self::deny(text)
    }

    /// Whether the peer may connect.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// The rule that allowed, if one did.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.allowed.then_some(&*self.text)
    }

    /// The reason for denying, if it denies.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        (!self.allowed).then_some(&*self.text)
    }

    /// The rule's name, or else the reason for denying.
    pub(crate) fn into_result(self) -> Result<Cow<'static, str>, Cow<'static, str>> {
        if self.allowed {
            Ok(self.text)
        } else {
            Err(self.text)
        }
    }
}
