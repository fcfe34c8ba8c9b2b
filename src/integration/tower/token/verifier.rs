//! What the application contributes: the verification of a token.

use std::borrow::Cow;

use super::Confirmation;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;

/// Verifies an access token: its signature or its introspection, issuer, audience and time.
///
/// Closures that return at once are verifiers. Implement the trait for one that waits, such as token
/// introspection (RFC 7662):
///
/// ```
/// use countersign::integration::tower::{TokenError, TokenVerifier, VerifiedToken};
///
/// struct Introspection;
///
/// impl TokenVerifier for Introspection {
///     type Claims = String;
///
///     async fn verify(&self, token: &str) -> Result<VerifiedToken<String>, TokenError> {
///         Err(TokenError::unavailable("the authorization server does not answer"))
///     }
/// }
/// ```
pub trait TokenVerifier: Send + Sync {
    /// What the token says, for the code behind the layer.
    type Claims: Send + Sync + 'static;

    /// Verifies this token.
    ///
    /// # Errors
    /// [`TokenError`]: the token is not valid, or the verifier cannot decide now.
    ///
    /// # Cancel safety
    /// The layer drops the future if the client goes away.
    fn verify(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<VerifiedToken<Self::Claims>, TokenError>> + Send;
}

impl<C, F> TokenVerifier for F
where
    C: Send + Sync + 'static,
    F: Fn(&str) -> Result<VerifiedToken<C>, TokenError> + Send + Sync,
{
    type Claims = C;

    async fn verify(&self, token: &str) -> Result<VerifiedToken<C>, TokenError> {
        self(token)
    }
}

/// A token that the application has verified.
///
/// ```
/// use countersign::integration::tower::{Confirmation, VerifiedToken};
///
/// let thumbprint = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
/// let token = VerifiedToken::new("alice", Some(Confirmation::certificate(thumbprint)));
/// assert_eq!(token.claims(), &"alice");
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedToken<C> {
    claims: C,
    confirmation: Option<Confirmation>,
}

impl<C> VerifiedToken<C> {
    /// A token with these claims, of which `cnf` is the confirmation. `None` for a token without `cnf`.
    pub const fn new(claims: C, confirmation: Option<Confirmation>) -> Self {
        Self {
            claims,
            confirmation,
        }
    }

    /// What the token says.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// Its claim `cnf`.
    pub const fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_ref()
    }

    pub(super) fn into_claims(self) -> C {
        self.claims
    }
}

/// Why the application does not accept a token.
///
/// ```
/// use countersign::integration::tower::TokenError;
///
/// let error = TokenError::expired();
/// assert_eq!(error.reason(), "token_expired");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is not valid.
    Invalid {
        /// The cause, for the audit trail. The client does not get it.
        why: Cow<'static, str>,
    },
    /// The token has expired.
    Expired,
    /// The token cannot be verified now: the request gets the status 503.
    Unavailable {
        /// The cause, for the audit trail. The client does not get it.
        why: Cow<'static, str>,
    },
}

impl TokenError {
    /// The token is not valid, for this reason.
    pub fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { why: why.into() }
    }

    /// The token has expired.
    pub const fn expired() -> Self {
        Self::Expired
    }

    /// The token cannot be verified now, for this reason.
    pub fn unavailable(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unavailable { why: why.into() }
    }

    /// A stable code for programs: `"token_invalid"`, `"token_expired"`, `"token_verifier_unavailable"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "token_invalid",
            Self::Expired => "token_expired",
            Self::Unavailable { .. } => "token_verifier_unavailable",
        }
    }
}

impl Diagnostic for TokenError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Invalid { why } => format!("the token is not valid: {why}").into(),
            Self::Expired => "the token has expired".into(),
            Self::Unavailable { why } => format!("the token cannot be verified: {why}").into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Invalid { .. } | Self::Expired => {
                "the client must get a new token from its authorization server"
            }
            Self::Unavailable { .. } => "check the verifier; the client may try again",
        }
        .into()
    }
}

display_diagnostic!(TokenError);
