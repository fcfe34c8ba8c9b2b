//! [`Diagnostic`] for the errors that still join cause and remedy in one text.
//!
//! Each line of `joined!` goes when its type implements the trait itself, and this file with the last.

use std::borrow::Cow;

use crate::Diagnostic;
use crate::audit::RecordError;
use crate::identity::{IdentityError, IdentityErrorKind};
use crate::pki::{CredentialsError, PemError};
use crate::policy::{DenyEntryError, DnsPatternError, EntryError, SpiffePatternError};
use crate::trust::{BundleError, ChainError, CrlError, TrustError};

macro_rules! joined {
    ($($error:ty, |$this:ident| $reason:expr;)*) => {$(
        impl Diagnostic for $error {
            fn reason(&self) -> &'static str {
                let $this = self;
                $reason
            }

            fn cause(&self) -> Cow<'_, str> {
                parts(&self.to_string()).0.into()
            }

            fn remedy(&self) -> Cow<'_, str> {
                parts(&self.to_string()).1.into()
            }
        }
    )*};
}

joined! {
    ChainError, |error| error.reason();
    TrustError, |error| error.reason();
    BundleError, |error| error.reason();
    CrlError, |error| error.reason();
    CredentialsError, |error| error.reason();
    PemError, |error| error.reason();
    EntryError<SpiffePatternError>, |_error| "load_failed";
    EntryError<DnsPatternError>, |_error| "load_failed";
    DenyEntryError, |_error| "load_failed";
}

fn parts(text: &str) -> (String, String) {
    let (cause, remedy) = text.split_once("; ").unwrap_or((text, "correct it"));
    (cause.to_owned(), remedy.to_owned())
}

impl Diagnostic for IdentityError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        self.to_string().into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        use IdentityErrorKind as K;

        match self.kind() {
            K::Missing => "issue it with that field, or identify by one that it has",
            K::Ambiguous => "issue it with exactly one, or read them all() where several are right",
            K::Panicked => "see its panic message, and mend the extractor",
            K::BadEncoding | K::BadSyntax | K::TooLong | K::Forbidden => {
                "issue it with one that is well-formed and allowed"
            }
        }
        .into()
    }
}

impl Diagnostic for RecordError {
    fn reason(&self) -> &'static str {
        "not_recorded"
    }

    fn cause(&self) -> Cow<'_, str> {
        self.to_string().into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "check the audit sink".into()
    }
}
