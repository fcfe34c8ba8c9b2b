//! What every error of this crate reports, beside its message.

use std::borrow::Cow;
use std::fmt::{Debug, Display};

/// A stable code, the cause, and a remedy: implemented by every error of this crate.
///
/// `Display` joins the two texts: `{cause}; {remedy}`, on one line. A program matches on
/// [`reason`](Self::reason), which stays the same when the texts improve. A user interface can show
/// cause and remedy separately:
///
/// ```
/// use countersign::{Diagnostic, TrustStore};
///
/// let error = TrustStore::from_pem("no certificate").unwrap_err();
/// assert_eq!(error.reason(), "no_pem_block");
/// assert_eq!(error.cause(), "the given bytes holds no PEM block");
/// assert_eq!(error.remedy(), "give one with -----BEGIN lines");
/// assert_eq!(error.to_string(), format!("{}; {}", error.cause(), error.remedy()));
/// ```
///
/// The types implement [`std::error::Error`] too. That trait has a deprecated method `cause`, so that code
/// which imports both traits writes `Diagnostic::cause(&error)`.
pub trait Diagnostic: Debug + Display {
    /// A stable code for programs, such as `"unknown_issuer"`.
    fn reason(&self) -> &'static str;

    /// What happened, with the certificate, file or value it is about.
    fn cause(&self) -> Cow<'_, str>;

    /// What to do about it.
    fn remedy(&self) -> Cow<'_, str>;
}

/// Implements `Display` as cause and remedy.
macro_rules! display_diagnostic {
    ($error:ty) => {
        impl std::fmt::Display for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                use $crate::diagnostic::Diagnostic;

                let (cause, remedy) = (Diagnostic::cause(self), Diagnostic::remedy(self));
                write!(f, "{cause}; {remedy}")
            }
        }
    };
}
pub(crate) use display_diagnostic;
