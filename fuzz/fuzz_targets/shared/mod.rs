//! What several targets have in common: the checks of every extractor's result and of every error, and a PKI.
#![allow(dead_code, reason = "each target uses a part of it")]

pub mod pki;
pub mod text;

use std::fmt::{Debug, Display};
use std::str::FromStr;

use countersign::Certificate;
use countersign::identity::{IdentityError, IdentityExtractor};
use text::one_line;

/// The parser of an extracted identity accepts its text and returns an equal identity. An error has
/// one of the stable reasons. Neither text has control characters.
pub fn check<X>(extractor: &X, certificate: &Certificate)
where
    X: IdentityExtractor,
    X::Identity: Display + Debug + PartialEq + FromStr<Err: Debug>,
{
    match extractor.extract(certificate) {
        Ok(identity) => {
            let text = identity.to_string();
            one_line(&text);
            one_line(&format!("{identity:?}"));
            let again = text.parse::<X::Identity>();
            assert_eq!(again.as_ref().ok(), Some(&identity), "{text}");
        }
        Err(error) => {
            let error: IdentityError = error;
            const REASONS: [&str; 6] = [
                "missing",
                "ambiguous",
                "bad_encoding",
                "bad_syntax",
                "too_long",
                "forbidden",
            ];
            assert!(REASONS.contains(&error.reason()), "{}", error.reason());
            one_line(&error.to_string());
        }
    }
}
