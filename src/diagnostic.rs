//! What every error of this crate reports, beside its message.

use std::borrow::Cow;
use std::error::Error;

/// A stable code, the cause, and a remedy: implemented by every error of this crate.
///
/// `Display` joins the two texts: `{cause}; {remedy}`, on one line. A program matches on
/// [`reason`](Self::reason), which stays the same when the texts improve; a user interface shows cause
/// and remedy apart.
pub trait Diagnostic: Error {
    /// A stable code for programs, such as `"unknown_issuer"`.
    fn reason(&self) -> &'static str;

    /// What happened, with the certificate, file or value it is about.
    fn cause(&self) -> Cow<'_, str>;

    /// What to do about it.
    fn remedy(&self) -> Cow<'_, str>;
}

/// Implements `Display` as cause and remedy.
#[allow(unused_macros)]
macro_rules! display_diagnostic {
    ($error:ty) => {
        impl std::fmt::Display for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                use $crate::Diagnostic;

                write!(f, "{}; {}", self.cause(), self.remedy())
            }
        }
    };
}
#[allow(unused_imports)]
pub(crate) use display_diagnostic;
