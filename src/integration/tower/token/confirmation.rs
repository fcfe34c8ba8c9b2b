//! The certificate that a token is bound to, and the proof that the peer is its owner.

use std::borrow::Cow;

use http::request::Parts;

use super::VerifiedToken;
use crate::diagnostic::display_diagnostic;
use crate::{Diagnostic, Peer};

/// The claim `cnf` of a token (RFC 7800): the key that its owner must prove to own.
///
/// With the feature `serde`, it is read from the claim's JSON:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use countersign::integration::tower::Confirmation;
///
/// let cnf = r#"{"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}"#;
/// let confirmation: Confirmation = serde_json::from_str(cnf)?;
/// assert!(confirmation.x5t_s256().is_some());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    x5t_s256: Option<String>,
    others: Vec<String>,
}

impl Confirmation {
    /// The token is bound to the certificate with this thumbprint `x5t#S256` (RFC 8705 section 3.1).
    pub fn certificate(x5t_s256: impl Into<String>) -> Self {
        Self {
            x5t_s256: Some(x5t_s256.into()),
            others: Vec::new(),
        }
    }

    /// The same, and this other member of `cnf`, such as `jkt` (RFC 9449).
    #[must_use]
    pub fn and(mut self, member: impl Into<String>) -> Self {
        self.others.push(member.into());
        self
    }

    /// The thumbprint of the certificate that the token is bound to.
    pub fn x5t_s256(&self) -> Option<&str> {
        self.x5t_s256.as_deref()
    }

    /// The names of the other members of `cnf`.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(|member| &**member)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Confirmation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Confirmation;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the members of a cnf claim")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<Confirmation, A::Error> {
                let mut confirmation = Confirmation::default();
                while let Some(name) = members.next_key::<String>()? {
                    if name != "x5t#S256" {
                        members.next_value::<serde::de::IgnoredAny>()?;
                        confirmation.others.push(name);
                    } else if confirmation.x5t_s256.is_none() {
                        confirmation.x5t_s256 = Some(members.next_value()?);
                    } else {
                        return Err(serde::de::Error::duplicate_field("x5t#S256"));
                    }
                }
                Ok(confirmation)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Checks that a request comes from the owner of a token.
///
/// [`CertificateBinding`] is the proof of RFC 8705. Other bindings, such as a proof token in a header,
/// implement the trait:
///
/// ```
/// use countersign::Peer;
/// use countersign::integration::tower::{ProofError, ProofOfPossession, VerifiedToken};
/// use http::request::Parts;
///
/// /// The token names the workload that may use it.
/// struct SameName;
///
/// impl<I: ToString> ProofOfPossession<I, String> for SameName {
///     fn check(
///         &self,
///         peer: &Peer<I>,
///         _: &Parts,
///         token: &VerifiedToken<String>,
///     ) -> Result<(), ProofError> {
///         if peer.identity().to_string() == *token.claims() {
///             Ok(())
///         } else {
///             Err(ProofError::new("token_of_another_workload", "the token names another workload"))
///         }
///     }
/// }
/// ```
pub trait ProofOfPossession<I, C>: Send + Sync {
    /// Checks the proof. It runs on the request's task, so it must not block.
    ///
    /// # Errors
    /// [`ProofError`]: the request does not prove that it comes from the token's owner.
    fn check(
        &self,
        peer: &Peer<I>,
        request: &Parts,
        token: &VerifiedToken<C>,
    ) -> Result<(), ProofError>;
}

/// The proof of RFC 8705: the token is bound to the certificate of the request's peer.
///
/// A token without `cnf` is refused, unless [`accept_unbound`](Self::accept_unbound) allows it. A token
/// whose `cnf` has another member than `x5t#S256` is refused, because nothing checks that member.
///
/// ```
/// use countersign::integration::tower::CertificateBinding;
///
/// let migration = CertificateBinding::default().accept_unbound();
/// assert_ne!(migration, CertificateBinding::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateBinding {
    accept_unbound: bool,
}

impl CertificateBinding {
    /// Accepts tokens without `cnf` too. Default: they are refused.
    ///
    /// # Security
    /// An unbound token is of use to anyone who has a certificate that the acceptor admits. Use it only
    /// until every client has bound tokens.
    #[must_use]
    pub const fn accept_unbound(mut self) -> Self {
        self.accept_unbound = true;
        self
    }
}

impl<I, C> ProofOfPossession<I, C> for CertificateBinding {
    fn check(&self, peer: &Peer<I>, _: &Parts, token: &VerifiedToken<C>) -> Result<(), ProofError> {
        let Some(confirmation) = token.confirmation() else {
            return if self.accept_unbound {
                Ok(())
            } else {
                Err(ProofError::new(
                    "token_not_bound",
                    "the token is not bound to a certificate (it has no cnf claim)",
                ))
            };
        };
        if let Some(member) = confirmation.others().next() {
            let why = format!("the token's cnf has the member {member:?}, which is not checked");
            return Err(ProofError::new("token_binding_not_supported", why));
        }
        match confirmation.x5t_s256() {
            None => Err(ProofError::new(
                "token_not_bound",
                "the token is not bound to a certificate (its cnf has no x5t#S256)",
            )),
            Some(thumbprint) if *thumbprint == *peer.certificate().x5t_s256() => Ok(()),
            Some(_) => Err(ProofError::new(
                "token_of_another_certificate",
                "the token is bound to another certificate than the peer's",
            )),
        }
    }
}

/// Why a request does not prove that it comes from the token's owner.
///
/// ```
/// use countersign::integration::tower::ProofError;
///
/// let error = ProofError::new("token_replayed", "the proof has been used before");
/// assert_eq!(error.reason(), "token_replayed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ProofError {
    reason: &'static str,
    why: Cow<'static, str>,
}

impl ProofError {
    /// An error with this stable code and this cause, for the audit trail. The client does not get them.
    pub fn new(reason: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        let why = why.into();
        Self { reason, why }
    }

    /// The stable code for programs.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Diagnostic for ProofError {
    fn reason(&self) -> &'static str {
        self.reason
    }

    fn cause(&self) -> Cow<'_, str> {
        Cow::Borrowed(&*self.why)
    }

    fn remedy(&self) -> Cow<'_, str> {
        "the client must get a token that is bound to the certificate of its connections".into()
    }
}

display_diagnostic!(ProofError);
