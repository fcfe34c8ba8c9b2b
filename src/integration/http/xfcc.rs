//! Envoy's `X-Forwarded-Client-Cert`.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ForwardError;
use crate::Certificate;
use crate::pki::{DistinguishedName, GeneralName};
use crate::trust::VerifiedChain;

/// A field of Envoy's `X-Forwarded-Client-Cert`.
///
/// ```
/// use countersign::integration::http::{ForwardedIdentity, XfccField};
///
/// let forward = ForwardedIdentity::new().xfcc([
///     XfccField::By("spiffe://example.org/ns/gateway".to_owned()),
///     XfccField::Hash,
///     XfccField::Uri,
/// ]);
/// ```
#[doc(alias = "xfcc")]
#[doc(alias = "x-forwarded-client-cert")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum XfccField {
    /// `By`: the proxy, as the URI of its own certificate.
    By(String),
    /// `Hash`: the SHA-256 of the peer's certificate in hexadecimal.
    Hash,
    /// `Cert`: the peer's certificate, as PEM in URL encoding.
    Cert,
    /// `Chain`: the verified path, the peer's certificate first and without the root, as PEM in URL
    /// encoding.
    Chain,
    /// `Subject`: the subject as RFC 4514 text. It is for people: different names can have the same text.
    Subject,
    /// `URI`: each URI among the subject alternative names.
    Uri,
    /// `DNS`: each DNS name among the subject alternative names.
    Dns,
}

/// The element of one peer.
pub(super) fn element(fields: &[XfccField], chain: &VerifiedChain) -> Result<String, ForwardError> {
    let leaf = chain.leaf();
    let names = || {
        leaf.subject_alternative_names()
            .map_err(|error| ForwardError::Names {
                certificate: leaf.clone(),
                error,
            })
    };
    let mut pairs = Vec::new();
    let mut fields = fields.to_vec();
    fields.sort(); // Envoy's order
    fields.dedup();
    for field in &fields {
        match field {
            XfccField::By(uri) => pairs.push(("By", value(uri.as_bytes(), leaf)?)),
            XfccField::Hash => pairs.push(("Hash", leaf.sha256().to_string())),
            XfccField::Cert => {
                pairs.push(("Cert", quoted(&url_encoded_pem(std::slice::from_ref(leaf)))));
            }
            XfccField::Chain => {
                pairs.push(("Chain", quoted(&url_encoded_pem(chain.certificates()))));
            }
            XfccField::Subject => pairs.push(("Subject", quoted(&subject(leaf.subject())))),
            XfccField::Uri => {
                for name in names()? {
                    if let GeneralName::Uri(uri) = name {
                        pairs.push(("URI", value(uri, leaf)?));
                    }
                }
            }
            XfccField::Dns => {
                for name in names()? {
                    if let GeneralName::Dns(name) = name {
                        pairs.push(("DNS", value(name, leaf)?));
                    }
                }
            }
        }
    }
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(pairs.join(";"))
}

/// A value, in quotes if it has a delimiter, with its own quotes escaped.
///
/// Envoy has no escape for a backslash, so a backslash before a quote would be ambiguous.
fn value(bytes: &[u8], certificate: &Certificate) -> Result<String, ForwardError> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| {
            text.bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\')
        })
        .ok_or_else(|| ForwardError::Unrepresentable {
            certificate: certificate.clone(),
        })?;
    if text.is_empty() || text.contains([',', ';', '=', '"', ' ']) {
        Ok(quoted(&text.replace('"', "\\\"")))
    } else {
        Ok(text.to_owned())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// RFC 4514, with special characters escaped by hexadecimal digits. The text has no quote, and no
/// backslash before one.
fn subject(name: &DistinguishedName) -> String {
    let text = name.to_string();
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                // A pair of digits.
                Some(next) if next.is_ascii_hexdigit() => {
                    plain.push('\\');
                    plain.push(next);
                }
                Some(next) => push_escaped(&mut plain, next),
                None => {}
            },
            ' '..='~' => plain.push(character),
            _ => push_escaped(&mut plain, character),
        }
    }
    plain
}

fn push_escaped(text: &mut String, character: char) {
    let mut buffer = [0; 4];
    for byte in character.encode_utf8(&mut buffer).bytes() {
        let _ = write!(text, "\\{byte:02X}"); // writing to a string does not fail
    }
}

/// PEM (RFC 7468), with the characters encoded that have a meaning in a URL.
fn url_encoded_pem(certificates: &[Certificate]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut base64 = &*STANDARD.encode(certificate.der());
        while !base64.is_empty() {
            let (line, rest) = base64.split_at(base64.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            base64 = rest;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    let mut encoded = String::with_capacity(pem.len() + pem.len() / 8);
    for character in pem.chars() {
        match character {
            '\n' => encoded.push_str("%0A"),
            ' ' => encoded.push_str("%20"),
            '+' => encoded.push_str("%2B"),
            '/' => encoded.push_str("%2F"),
            '=' => encoded.push_str("%3D"),
            plain => encoded.push(plain),
        }
    }
    encoded
}
