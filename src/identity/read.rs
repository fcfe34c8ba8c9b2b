//! Strict readers for the fields of a certificate.

use std::borrow::Cow;

use super::IdentityError;
use crate::diagnostic::Diagnostic;
use crate::pki::text::is_unsafe_to_print;
use crate::pki::{Certificate, GeneralName, NameAttribute, SanError, StringRules, der, strings};

/// The SANs of one kind, including unreadable ones.
///
/// `tag_number` is the kind's number in `GeneralName` (RFC 5280 section 4.2.1.6). An entry with that number
/// in another class or as constructed counts, and is an error.
pub(super) fn sans<'a, T>(
    certificate: &'a Certificate,
    tag_number: u8,
    field: &'static str,
    select: impl Fn(&'a GeneralName) -> Option<T>,
) -> Result<Vec<Result<T, IdentityError>>, IdentityError> {
    let names = certificate
        .subject_alternative_names()
        .map_err(|error| match error {
            SanError::Duplicate => IdentityError::new(
                super::IdentityErrorKind::Ambiguous,
                error.cause().into_owned(),
            ),
            _ => IdentityError::bad_encoding(error.cause().into_owned()),
        })?;
    Ok(names
        .iter()
        .filter_map(|name| match name {
            GeneralName::Unreadable { tag, .. } if tag & 0x1f == tag_number => {
                Some(Err(IdentityError::bad_encoding(format!(
                    "a {field} has the ASN.1 tag 0x{tag:02x} or content of another type"
                ))))
            }
            readable => select(readable).map(Ok),
        })
        .collect())
}

/// The SANs of a kind that is an IA5String, each parsed by its identity's grammar.
pub(super) fn text_sans<'a, I>(
    certificate: &'a Certificate,
    tag_number: u8,
    field: &'static str,
    select: impl Fn(&'a GeneralName) -> Option<&'a [u8]>,
) -> Result<Vec<Result<I, IdentityError>>, IdentityError>
where
    I: std::str::FromStr<Err = IdentityError>,
{
    let values = sans(certificate, tag_number, field, select)?;
    Ok(values
        .into_iter()
        .map(|value| utf8(value?, field)?.parse())
        .collect())
}

/// The attributes of one type in the subject, each parsed by its identity's grammar.
pub(super) fn attributes<I>(
    certificate: &Certificate,
    oid: &str,
    field: &'static str,
) -> Vec<Result<I, IdentityError>>
where
    I: std::str::FromStr<Err = IdentityError>,
{
    certificate
        .subject()
        .attributes_of(oid)
        .iter()
        .map(|attribute| attribute_text(attribute, field)?.parse())
        .collect()
}

pub(super) fn attribute_text<'a>(
    attribute: &NameAttribute<'a>,
    field: &str,
) -> Result<Cow<'a, str>, IdentityError> {
    attribute.text().map_err(|_| {
        IdentityError::bad_encoding(format!(
            "the {field} cannot be read: it is {}",
            described(attribute)
        ))
    })
}

/// What an attribute is that is not text.
fn described(attribute: &NameAttribute<'_>) -> String {
    let name = der::type_name(attribute.tag());
    if strings::is_string(attribute.tag()) {
        format!(
            "{name} with octets that this type does not allow, or that programs read differently"
        )
    } else {
        format!("{name}, which is not a string")
    }
}

/// Checks that every attribute of these types follows the rules.
pub(super) fn check_strings(
    certificate: &Certificate,
    oids: &[&str],
    rules: StringRules,
) -> Result<(), IdentityError> {
    let attributes = certificate.subject().attributes();
    let broken = attributes.iter().find(|attribute| {
        oids.contains(&attribute.oid())
            && attribute.text().is_ok()
            && attribute.text_by(rules).is_err()
    });
    match broken {
        None => Ok(()),
        Some(attribute) => Err(IdentityError::bad_encoding(format!(
            "the subject's attribute {} is {} that the strict string rules do not allow",
            attribute.oid(),
            der::type_name(attribute.tag())
        ))),
    }
}

pub(super) fn utf8<'a>(bytes: &'a [u8], field: &str) -> Result<&'a str, IdentityError> {
    std::str::from_utf8(bytes)
        .map_err(|_| IdentityError::bad_encoding(format!("the {field} is not valid text")))
}

/// Checks a text of a directory: not empty, at most `max` characters, and none that control, hide or reorder
/// text.
pub(super) fn check_text(text: &str, max: usize, field: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::bad_syntax(format!("the {field} is empty")));
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::bad_syntax(format!(
            "the {field} has a control character"
        )));
    }
    if text.chars().count() > max {
        return Err(IdentityError::too_long(format!(
            "a {field} is at most {max} characters long"
        )));
    }
    if text.chars().any(is_unsafe_to_print) {
        return Err(IdentityError::forbidden(format!(
            "the {field} has an invisible or bidirectional control character"
        )));
    }
    Ok(())
}

/// `Display`, `Debug` and the seal of an identity whose only field is its text.
macro_rules! text_identity {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub const fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }

        impl crate::identity::extractor::sealed::Sealed for $name {}
    };
}
pub(super) use text_identity;
