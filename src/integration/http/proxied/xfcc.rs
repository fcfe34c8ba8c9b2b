//! Envoy's `X-Forwarded-Client-Cert`, with `SANITIZE_SET`: one element.
//!
//! Envoy writes the client's names without quotes or escapes, so that a name with `;` or `,` could add
//! fields. Envoy writes its fields in one order, and those with a certificate precede those with names. So
//! the order is demanded: no name can add a certificate.

use super::ders::{Der, Unreadable};
use super::pem;
use crate::Certificate;
use crate::pki::GeneralName;

/// The fields, in Envoy's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    By,
    Hash,
    Cert,
    Chain,
    Subject,
    Uri,
    Dns,
}

impl Key {
    fn of(name: &[u8]) -> Option<Self> {
        // Envoy's documentation: keys are case-insensitive.
        [
            (&b"By"[..], Self::By),
            (b"Hash", Self::Hash),
            (b"Cert", Self::Cert),
            (b"Chain", Self::Chain),
            (b"Subject", Self::Subject),
            (b"URI", Self::Uri),
            (b"DNS", Self::Dns),
        ]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, key)| key)
    }

    const fn may_repeat(self) -> bool {
        matches!(self, Self::By | Self::Uri | Self::Dns)
    }
}

/// The chain of the only element, leaf first.
pub(super) fn chain(value: &[u8]) -> Result<Vec<Der>, Unreadable> {
    let fields = fields(value)?;
    let first = |wanted: Key| {
        let mut found = fields.iter().filter(|(key, _)| *key == wanted);
        found.next().map(|(_, value)| &**value)
    };
    let certificate = first(Key::Cert).map(pem::certificates).transpose()?;
    let chain = first(Key::Chain).map(pem::certificates).transpose()?;
    let certificates = match (certificate, chain) {
        (None, None) => {
            return Err(Unreadable::Malformed(
                "it has no certificate, so Envoy needs set_current_client_cert_details with cert or chain",
            ));
        }
        (Some(certificate), None) if certificate.len() != 1 => {
            return Err(Unreadable::Malformed("Cert has not one certificate"));
        }
        (Some(certificate), Some(chain)) if certificate[..] != chain[..1.min(chain.len())] => {
            return Err(Unreadable::Differs("Cert"));
        }
        (_, Some(chain)) => chain,
        (Some(certificate), None) => certificate,
    };
    let leaf = certificates.first();
    let leaf = leaf.and_then(|der| Certificate::from_der(der).ok());
    let leaf = leaf.ok_or(Unreadable::Malformed(
        "its first certificate cannot be parsed",
    ))?;
    agree(&fields, &leaf)?;
    Ok(certificates)
}

/// Whether hash and names are those of the certificate.
fn agree(fields: &[(Key, Vec<u8>)], leaf: &Certificate) -> Result<(), Unreadable> {
    for (key, value) in fields {
        let has = |wanted: fn(&GeneralName) -> Option<&[u8]>| {
            let names = leaf.subject_alternative_names();
            names.is_ok_and(|names| names.iter().filter_map(wanted).any(|name| name == value))
        };
        let has_no_uri = || {
            let names = leaf.subject_alternative_names();
            names.is_ok_and(|names| !names.iter().any(|name| uri(name).is_some()))
        };
        let differs = match key {
            Key::Hash => {
                let own = leaf.sha256().to_string();
                (!own.as_bytes().eq_ignore_ascii_case(value)).then_some("Hash")
            }
            // Envoy writes the field also for a certificate without one.
            Key::Uri if value.is_empty() && has_no_uri() => None,
            Key::Uri => (!has(uri)).then_some("URI"),
            Key::Dns => (!has(dns)).then_some("DNS"),
            // The proxy's own name, the certificate itself, and a text for people.
            Key::By | Key::Cert | Key::Chain | Key::Subject => None,
        };
        if let Some(part) = differs {
            return Err(Unreadable::Differs(part));
        }
    }
    Ok(())
}

fn uri(name: &GeneralName) -> Option<&[u8]> {
    match name {
        GeneralName::Uri(uri) => Some(uri),
        _ => None,
    }
}

fn dns(name: &GeneralName) -> Option<&[u8]> {
    match name {
        GeneralName::Dns(name) => Some(name),
        _ => None,
    }
}

/// The fields of the only element.
fn fields(value: &[u8]) -> Result<Vec<(Key, Vec<u8>)>, Unreadable> {
    let mut fields: Vec<(Key, Vec<u8>)> = Vec::new();
    let mut rest = value;
    loop {
        let equals = rest.iter().position(|byte| *byte == b'=');
        let equals = equals.ok_or(Unreadable::Malformed("a field has no value"))?;
        let key =
            Key::of(&rest[..equals]).ok_or(Unreadable::Malformed("it has an unknown field"))?;
        if let Some((last, _)) = fields.last()
            && (key < *last || key == *last && !key.may_repeat())
        {
            return Err(Unreadable::Malformed(
                "a field is repeated, or not in Envoy's order",
            ));
        }
        let (value, after) = field_value(&rest[equals + 1..])?;
        fields.push((key, value));
        match after {
            [] => return Ok(fields),
            [b';', after @ ..] => rest = after,
            [b',', ..] => {
                return Err(Unreadable::Malformed(
                    "it has several elements, so Envoy needs forward_client_cert_details: SANITIZE_SET",
                ));
            }
            _ => return Err(Unreadable::Malformed("text follows a quoted value")),
        }
    }
}

/// A value, in quotes or not, and what follows it.
fn field_value(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Unreadable> {
    if !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Unreadable::Malformed(
            "it has characters outside printable ASCII",
        ));
    }
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b';' | b','));
        let (value, after) = text.split_at(end.unwrap_or(text.len()));
        return if value.contains(&b'"') {
            Err(Unreadable::Malformed("a quote is within a value"))
        } else {
            Ok((value.to_vec(), after))
        };
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Ok((value, after)),
            // Of Envoy, or of RFC 4514 in a subject.
            [b'\\', escaped, after @ ..] => {
                if *escaped != b'"' {
                    value.push(b'\\');
                }
                value.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return Err(Unreadable::Malformed("a quoted value does not end")),
        }
    }
}
