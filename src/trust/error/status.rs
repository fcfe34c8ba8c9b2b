//! Why the revocation status of a certificate is unknown.

use std::borrow::Cow;

use rustls_pki_types::UnixTime;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::time::Rfc3339;

/// Why no CRL has the revocation status of a certificate.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::trust::StatusError;
///
/// assert_eq!(StatusError::NoCrl.cause(), "no CRL of its issuer is loaded");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// No CRL has the name of its issuer.
    NoCrl,
    /// A CRL has the name of its issuer, and another key than its issuer's signed it.
    OtherKey,
    /// The CRLs of its issuer are about other certificates (issuing distribution point).
    OutOfScope,
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
            Self::OutOfScope => "crl_out_of_scope",
            Self::NotInForce { .. } => "crl_not_in_force",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoCrl => "no CRL of its issuer is loaded",
            Self::OtherKey => {
                "a CRL of its issuer's name is loaded, but another key signed it: another CA has that name, or the CA's key was replaced"
            }
            Self::OutOfScope => {
                "the CRLs of its issuer that are loaded are about other certificates"
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
            Self::NoCrl | Self::OtherKey | Self::OutOfScope => {
                "load it, or declare with no_crl_from that its issuer publishes none"
            }
        }
        .into()
    }
}

display_diagnostic!(StatusError);
