//! Why the revocation status of a certificate is unknown.

use std::borrow::Cow;
use std::fmt;

use rustls_pki_types::UnixTime;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::text::{Brief, Escaped};
use crate::pki::time::Rfc3339;

/// Why no CRL has the revocation status of a certificate.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::trust::StatusError;
///
/// assert_eq!(StatusError::NoCrl.cause(), "no CRL of its issuer is loaded");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// No CRL has the name of its issuer.
    NoCrl,
    /// A CRL has the name of its issuer, and another key than its issuer's signed it.
    OtherKey,
    /// A CRL says that this issuer's key signed it, and the signature is wrong.
    BadSignature,
    /// The CRL of its issuer is signed with an algorithm that is not supported.
    SignatureAlgorithm {
        /// Its name, or its object identifier.
        algorithm: String,
    },
    /// A CRL has the name of its issuer in another encoding: the names are equal by RFC 5280 section 7.1
    /// and differ in string types, case or white space.
    NameEncoding,
    /// The CRLs of its issuer are about certificates of the other kind (issuing distribution point,
    /// onlyContainsUserCerts or onlyContainsCACerts).
    OtherKind {
        /// Whether they are about CA certificates only, and the certificate is an end entity's.
        only_authorities: bool,
    },
    /// The CRL of none of its distribution points is loaded.
    OutOfScope {
        /// The distribution points of the certificate that have a name.
        wanted: Vec<String>,
        /// The distribution points of the CRLs of its issuer that are loaded.
        loaded: Vec<String>,
    },
    /// Only a delta CRL of its issuer is loaded, and not the complete CRL that it changes.
    DeltaOnly,
    /// The CRLs have the status for some reasons of revocation only (onlySomeReasons).
    SomeReasons {
        /// The reasons that no CRL has.
        missing: Vec<&'static str>,
    },
    /// The thisUpdate of its issuer's CRL is in the future, by more than the tolerance
    /// ([`Revocation::clock_tolerance`](crate::trust::Revocation::clock_tolerance)).
    NotInForce {
        /// The CRL's thisUpdate.
        this_update: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
}

impl Diagnostic for StatusError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoCrl => "no_crl",
            Self::OtherKey => "crl_of_other_key",
            Self::BadSignature => "crl_bad_signature",
            Self::SignatureAlgorithm { .. } => "crl_signature_algorithm",
            Self::NameEncoding => "crl_name_encoding",
            Self::OtherKind { .. } => "crl_of_other_kind",
            Self::OutOfScope { .. } => "crl_out_of_scope",
            Self::DeltaOnly => "delta_crl_only",
            Self::SomeReasons { .. } => "crl_with_some_reasons",
            Self::NotInForce { .. } => "crl_not_in_force",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoCrl => "no CRL of its issuer is loaded",
            Self::OtherKey => {
                "a CRL of its issuer's name is loaded, but another key signed it: another CA has that name, or the CA's key was replaced"
            }
            Self::BadSignature => {
                "the CRL of its issuer names the issuer's key, and its signature is wrong: the file was changed after it was signed"
            }
            Self::SignatureAlgorithm { algorithm } => {
                return format!(
                    "the CRL of its issuer is signed with {}, which is not supported",
                    Escaped(algorithm)
                )
                .into();
            }
            Self::NameEncoding => {
                "a CRL of its issuer's name is loaded, but encodes the name differently (string type, case or white space, RFC 5280 section 7.1)"
            }
            Self::OtherKind {
                only_authorities: true,
            } => {
                "the CRL of its issuer is about CA certificates only (onlyContainsCACerts, RFC 5280 section 5.2.5)"
            }
            Self::OtherKind {
                only_authorities: false,
            } => {
                "the CRL of its issuer is about end entity certificates only (onlyContainsUserCerts, RFC 5280 section 5.2.5)"
            }
            Self::OutOfScope { wanted, loaded } => {
                return format!(
                    "the CRLs of its issuer that are loaded are about other certificates: its distribution points are {}, and the CRLs loaded are those of {}",
                    Listed(wanted),
                    Listed(loaded)
                )
                .into();
            }
            Self::DeltaOnly => {
                "only a delta CRL of its issuer is loaded, and not the complete CRL that it changes"
            }
            Self::SomeReasons { missing } => {
                return format!(
                    "the CRLs of its issuer have only some reasons of revocation (onlySomeReasons, RFC 5280 section 5.2.5); missing: {}",
                    missing.join(", ")
                )
                .into();
            }
            Self::NotInForce { this_update, now } => {
                return format!(
                    "the CRL of its issuer is not in force until {}, and our clock says {}",
                    Rfc3339(*this_update),
                    Rfc3339(*now)
                )
                .into();
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NotInForce { .. } => {
                "correct the clock of this machine or of the CA, whichever is wrong, or load a CRL that is in force"
            }
            Self::BadSignature => "fetch it again from its issuer",
            Self::SignatureAlgorithm { .. } => {
                "have its issuer sign CRLs with SHA-256 or better (AD CS: `certutil -setreg ca\\csp\\CNGHashAlgorithm SHA256`; openssl: `default_md = sha256`)"
            }
            Self::NameEncoding => {
                "have the CA sign its CRLs with the subject of its own certificate, byte for byte"
            }
            Self::OtherKind { .. } => "load its issuer's CRL for certificates of this kind too",
            Self::OutOfScope { .. } => "load the CRL of the certificate's own distribution point",
            Self::DeltaOnly => "load the complete CRL beside the delta",
            Self::SomeReasons { .. } => "load the CRLs of the missing reasons too",
            Self::NoCrl | Self::OtherKey => {
                "load it, or declare with no_crl_from that its issuer publishes none"
            }
        }
        .into()
    }
}

/// At most five names, each cut after 256 bytes: a peer chooses its distribution points.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;

        if self.0.is_empty() {
            return f.write_str("(none with a URI or a directory name)");
        }
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}\"{}\"", Brief(Escaped(name)))?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

display_diagnostic!(StatusError);
