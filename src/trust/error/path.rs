//! Which rule of path validation a path breaks.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::Excerpt;
use crate::pki::oid_names::NamedOid;

/// Which rule of path validation (RFC 5280 section 6) a path breaks.
///
/// These are the rules for which [`ChainError`](crate::trust::ChainError) has no variant of its own.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::trust::PathError;
///
/// let error = PathError::PathLength;
/// assert_eq!(error.reason(), "path_length");
/// assert_eq!(error.cause(), "it has more intermediates than an issuer's path length allows");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A name violates the name constraints of an issuer (section 4.2.1.10).
    NameConstraints,
    /// An issuer has more intermediates below it than its path length allows (section 4.2.1.9).
    PathLength,
    /// The path has more intermediates than [`Limits::intermediates`](crate::trust::Limits::intermediates).
    TooDeep,
    /// A critical extension is not known, so that the certificate must be rejected (section 4.2).
    UnknownExtension {
        /// Its dotted object identifier.
        oid: String,
    },
    /// An extension occurs twice (section 4.2).
    RepeatedExtension {
        /// Its dotted object identifier.
        oid: String,
    },
    /// An extension that path validation processes cannot be read. Of certificatePolicies and
    /// policyMappings, at most 512 entries are read, and no policy may occur twice (section 4.2.1.4).
    MalformedExtension {
        /// Its dotted object identifier.
        oid: String,
    },
    /// The signature's algorithm is not the one inside the signed part (section 4.1.1.2).
    AlgorithmMismatch,
    /// A name is in no permitted subtree of its kind (section 4.2.1.10).
    NameNotPermitted {
        /// The name, cut after 256 bytes.
        name: String,
        /// The first permitted subtree of this kind.
        permitted: String,
    },
    /// A name is in an excluded subtree, or cannot be compared with it (section 4.2.1.10).
    NameExcluded {
        /// The name, cut after 256 bytes.
        name: String,
        /// The subtree.
        excluded: String,
    },
    /// An issuer constrains names of a kind for which RFC 5280 defines no comparison, and the
    /// certificate has such a name (section 4.2.1.10).
    NameConstraintKind {
        /// The name, cut after 256 bytes.
        name: String,
        /// The kind, such as `otherName userPrincipalName`.
        kind: String,
    },
    /// The name constraints of the path need more than 250,000 comparisons.
    TooManyNameComparisons,
    /// The path is valid for no acceptable policy, and one is required, by the trust store or by a
    /// policyConstraints extension (sections 6.1.3 (f) and 6.1.5).
    NoPolicy {
        /// The acceptable policies; empty for any.
        accepted: Excerpt<String>,
    },
    /// A policyMappings extension maps from or to anyPolicy (section 6.1.4 (a)).
    MapsAnyPolicy,
    /// Another rule. The text is for people and may change.
    Other(String),
}

impl PathError {
    /// What rustls-webpki reports.
    pub(in crate::trust) fn of(error: &webpki::Error) -> Self {
        use webpki::Error as E;

        match error {
            E::NameConstraintViolation => Self::NameConstraints,
            E::PathLenConstraintViolated => Self::PathLength,
            E::MaximumPathDepthExceeded => Self::TooDeep,
            other => Self::Other(in_words(other).to_owned()),
        }
    }

    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NameConstraints | Self::NameNotPermitted { .. } | Self::NameExcluded { .. } => {
                "name_constraints"
            }
            Self::PathLength => "path_length",
            Self::TooDeep => "path_too_deep",
            Self::UnknownExtension { .. } => "critical_extension",
            Self::RepeatedExtension { .. } => "repeated_extension",
            Self::MalformedExtension { .. } => "malformed_extension",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::NameConstraintKind { .. } => "name_constraint_kind",
            Self::TooManyNameComparisons => "too_many_name_comparisons",
            Self::NoPolicy { .. } => "no_policy",
            Self::MapsAnyPolicy => "maps_any_policy",
            Self::Other(_) => "other",
        }
    }
}

impl Diagnostic for PathError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NameConstraints => "a name violates the name constraints of an issuer",
            Self::PathLength => "it has more intermediates than an issuer's path length allows",
            Self::TooDeep => "it has more intermediates than the limit of paths",
            Self::UnknownExtension { oid } => {
                return format!(
                    "the critical extension {} is not known, so that RFC 5280 section 4.2 requires a rejection",
                    NamedOid(oid)
                )
                .into();
            }
            Self::RepeatedExtension { oid } => {
                return format!("the extension {} occurs twice (RFC 5280 section 4.2)", NamedOid(oid))
                    .into();
            }
            Self::MalformedExtension { oid } => {
                return format!("the extension {} cannot be read", NamedOid(oid)).into();
            }
            Self::AlgorithmMismatch => {
                "the algorithm of its signature is not the one in its signed part (RFC 5280 section 4.1.1.2)"
            }
            Self::NameNotPermitted { name, permitted } => {
                return format!(
                    "the name constraints of an issuer do not permit {name}: it permits {permitted} (RFC 5280 section 4.2.1.10)"
                )
                .into();
            }
            Self::NameExcluded { name, excluded } => {
                return format!(
                    "the name constraints of an issuer exclude {name}: it excludes {excluded} (RFC 5280 section 4.2.1.10)"
                )
                .into();
            }
            Self::NameConstraintKind { name, kind } => {
                return format!(
                    "an issuer constrains names of the kind {kind}, for which RFC 5280 section 4.2.1.10 defines no comparison, and the certificate has {name}"
                )
                .into();
            }
            Self::TooManyNameComparisons => {
                "its names and the name constraints of its issuers need more than 250,000 comparisons"
            }
            Self::NoPolicy { accepted } if accepted.is_empty() => {
                "a certificate policy is required, and the path is valid for none (RFC 5280 section 6.1.5)"
            }
            Self::NoPolicy { accepted } => {
                return format!(
                    "the path is valid for none of the acceptable certificate policies {accepted} (RFC 5280 section 6.1.5)"
                )
                .into();
            }
            Self::MapsAnyPolicy => {
                "its policyMappings maps anyPolicy, which RFC 5280 section 4.2.1.5 forbids"
            }
            Self::Other(text) => text,
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::UnknownExtension { .. } => "issue it without the extension, or not critical",
            Self::RepeatedExtension { .. } => "issue it with the extension once",
            Self::MalformedExtension { .. } | Self::AlgorithmMismatch => {
                "issue it with a tool that writes DER by RFC 5280"
            }
            Self::NameNotPermitted { .. } | Self::NameExcluded { .. } => {
                "issue it with names that the issuer may give, or issue the issuer with other name constraints"
            }
            Self::NameConstraintKind { .. } => {
                "issue it without a name of this kind, or issue the issuer without constraints of it"
            }
            Self::TooDeep => {
                "issue it from an authority nearer to its root, or raise Limits::intermediates (default 6)"
            }
            Self::TooManyNameComparisons => "issue it with fewer names",
            Self::NoPolicy { accepted } if accepted.is_empty() => {
                "issue every certificate of the path with a common certificatePolicies, or the issuers without policyConstraints"
            }
            Self::NoPolicy { .. } => {
                "issue it for one of them, or accept its policies with TrustStore::certificate_policies"
            }
            Self::MapsAnyPolicy => "issue it without this mapping",
            _ => "diagnose() names the certificate that breaks the rule",
        }
        .into()
    }
}

display_diagnostic!(PathError);

/// An error of rustls-webpki for people. Its own `Display` is the name of a Rust identifier.
const fn in_words(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;

    match error {
        E::BadDer => "a part of it is not DER, or is not supported",
        E::BadDerTime => "a date in it is not DER",
        E::TrailingData(_) => "bytes follow a field in it",
        E::MalformedExtensions => {
            "its extensions are malformed: the list is empty, or an extension occurs twice"
        }
        E::ExtensionValueInvalid => "an extension is malformed or occurs twice",
        E::EmptyEkuExtension => "its extendedKeyUsage is empty",
        E::InvalidCertValidity => "its notBefore is after its notAfter",
        E::InvalidSerialNumber => "its serial number is malformed",
        E::SignatureAlgorithmMismatch => {
            "it names two different signature algorithms (RFC 5280 section 4.1.1.2), inside and beside its signed part"
        }
        E::UnsupportedCertVersion => "it is not X.509 version 3",
        E::UnsupportedNameType | E::MalformedNameConstraint => {
            "an issuer has name constraints that are malformed, or of a kind that is not supported"
        }
        E::InvalidNetworkMaskConstraint => {
            "an issuer has name constraints with an address mask that is not contiguous"
        }
        E::MalformedDnsIdentifier => "a DNS name in it is malformed",
        E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            "its verification takes more work than is allowed"
        }
        E::UnknownIssuer => "its issuer is not known",
        _ => "it breaks a rule of path validation",
    }
}
