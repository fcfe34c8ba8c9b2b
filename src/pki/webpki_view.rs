//! A certificate as rustls-webpki can read it.
//!
//! rustls-webpki rejects certificates with critical extensions about policies, and with unique
//! identifiers, when it parses them: also to verify a handshake's signature or a server name. Our own
//! path validation has processed those parts. The key and the names are the same in this view.

use std::borrow::Cow;

use rustls_pki_types::CertificateDer;

use super::der::{self, NotDer, Reader};

const VERSION: u8 = 0xa0;
const UNIQUE_IDS: [u8; 2] = [0x81, 0x82];
const EXTENSIONS: u8 = 0xa3;

/// The certificate without the parts that rustls-webpki does not read. Only for its key and its names:
/// the issuer's signature does not fit.
pub(crate) fn webpki_view<'a>(der: &'a CertificateDer<'_>) -> Cow<'a, CertificateDer<'a>> {
    match without_unknown(der) {
        Ok(Some(view)) => Cow::Owned(CertificateDer::from(view)),
        // Without such a part, or not a certificate, which rustls-webpki reports.
        Ok(None) | Err(NotDer) => Cow::Owned(CertificateDer::from(der.as_ref())),
    }
}

/// The SubjectPublicKeyInfo of a certificate.
pub(crate) fn spki_of<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], NotDer> {
    let mut parts = Reader::new(der::single(certificate, der::SEQUENCE)?);
    let mut fields = Reader::new(parts.expect(der::SEQUENCE)?.content);
    fields.optional(VERSION)?;
    fields.expect(der::INTEGER)?; // serial number
    for _ in ["signature", "issuer", "validity", "subject"] {
        fields.expect(der::SEQUENCE)?;
    }
    Ok(fields.expect(der::SEQUENCE)?.whole)
}

/// `None` if it has no such part.
fn without_unknown(certificate: &[u8]) -> Result<Option<Vec<u8>>, NotDer> {
    let mut parts = Reader::new(der::single(certificate, der::SEQUENCE)?);
    let mut fields = Reader::new(parts.expect(der::SEQUENCE)?.content);
    if !has_unknown(fields.clone())? {
        return Ok(None);
    }
    let (algorithm, signature) = (parts.any()?.whole, parts.any()?.whole);
    let mut tbs = Vec::new();
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == EXTENSIONS {
            let mut extensions = Reader::new(der::single(field.content, der::SEQUENCE)?);
            let mut kept = Vec::new();
            while !extensions.is_empty() {
                let extension = extensions.expect(der::SEQUENCE)?;
                if !is_critical_policy(extension.content)? {
                    kept.extend(extension.whole);
                }
            }
            let mut explicit = der::sequence(&der::sequence(&kept));
            explicit[0] = EXTENSIONS;
            tbs.extend(explicit);
        } else if !UNIQUE_IDS.contains(&field.tag) {
            tbs.extend(field.whole);
        }
    }
    let whole = [&der::sequence(&tbs), algorithm, signature].concat();
    Ok(Some(der::sequence(&whole)))
}

/// Whether a field of the signed part is such a part, or has one.
fn has_unknown(mut fields: Reader<'_>) -> Result<bool, NotDer> {
    while !fields.is_empty() {
        let field = fields.any()?;
        if UNIQUE_IDS.contains(&field.tag) {
            return Ok(true);
        }
        if field.tag == EXTENSIONS {
            let mut extensions = Reader::new(der::single(field.content, der::SEQUENCE)?);
            while !extensions.is_empty() {
                if is_critical_policy(extensions.expect(der::SEQUENCE)?.content)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether the content of an extension is one of certificatePolicies, policyMappings, policyConstraints
/// and inhibitAnyPolicy, and critical.
fn is_critical_policy(content: &[u8]) -> Result<bool, NotDer> {
    let mut fields = Reader::new(content);
    let oid = fields.expect(der::OBJECT_IDENTIFIER)?.content;
    let critical = fields.optional(der::BOOLEAN)?;
    let is_policy = matches!(oid, [0x55, 0x1d, 32 | 33 | 36 | 54]);
    Ok(is_policy && critical.is_some())
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Certificate;
    use crate::testing::{KeyType, TestCa};

    #[test]
    fn the_key_is_that_of_the_certificate() {
        let root = TestCa::new("Root");
        let leaf = || root.leaf().common_name("alice");
        for leaf in [
            leaf(),
            leaf().key(KeyType::Ed25519),
            leaf().key(KeyType::P384).policies(&["1.2.3"]),
            leaf().version(1).without_extensions(),
        ] {
            let issued = leaf.issue();
            let der = issued.leaf_der();
            let certificate = Certificate::from_der(der).expect("a certificate");
            assert_eq!(spki_of(der), Ok(certificate.spki()));
            for end in 0..der.len() {
                assert_eq!(spki_of(&der[..end].into()), Err(NotDer), "{end}");
            }
        }
    }

    #[test]
    fn only_parts_that_are_unknown_are_left_out() {
        let root = TestCa::new("Root");
        let plain = root.leaf().dns("a.example").issue();
        assert_eq!(*webpki_view(plain.leaf_der()), *plain.leaf_der());
        let policies = crate::testing::der::sequence(&[crate::testing::der::sequence(&[
            crate::testing::der::oid("1.2.3"),
        ])]);
        let leaf = root.leaf().dns("a.example");
        let critical = leaf.extension("2.5.29.32", true, &policies).issue();
        let view = webpki_view(critical.leaf_der());
        assert!(webpki::EndEntityCert::try_from(critical.leaf_der()).is_err());
        let view = webpki::EndEntityCert::try_from(&*view).expect("a certificate");
        assert_eq!(view.valid_dns_names().collect::<Vec<_>>(), ["a.example"]);
    }
}
