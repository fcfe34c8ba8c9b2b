//! A certificate as rustls-webpki can read it.
//!
//! rustls-webpki rejects certificates with critical extensions about policies, and with unique
//! identifiers, when it parses them: also to verify a handshake's signature or a server name. Our own
//! path validation has processed those parts. The key and the names are the same in this view.

use std::borrow::Cow;

use rustls_pki_types::CertificateDer;

use super::der::{self, NotDer, Reader};

/// The certificate without the parts that rustls-webpki does not read. Only for its key and its names:
/// the issuer's signature does not fit.
pub(crate) fn webpki_view<'a>(der: &'a CertificateDer<'_>) -> Cow<'a, CertificateDer<'a>> {
    match without_unknown(der) {
        Ok(Some(view)) => Cow::Owned(CertificateDer::from(view)),
        // Without such a part, or not a certificate, which rustls-webpki reports.
        Ok(None) | Err(NotDer) => Cow::Owned(CertificateDer::from(der.as_ref())),
    }
}

/// `None` if it has no such part.
fn without_unknown(certificate: &[u8]) -> Result<Option<Vec<u8>>, NotDer> {
    const UNIQUE_IDS: [u8; 2] = [0x81, 0x82];
    const EXTENSIONS: u8 = 0xa3;

    let mut parts = Reader::new(der::single(certificate, der::SEQUENCE)?);
    let mut fields = Reader::new(parts.expect(der::SEQUENCE)?.content);
    let (algorithm, signature) = (parts.any()?.whole, parts.any()?.whole);
    let (mut tbs, mut is_changed) = (Vec::new(), false);
    while !fields.is_empty() {
        let field = fields.any()?;
        if UNIQUE_IDS.contains(&field.tag) {
            is_changed = true;
        } else if field.tag == EXTENSIONS {
            let mut extensions = Reader::new(der::single(field.content, der::SEQUENCE)?);
            let mut kept = Vec::new();
            while !extensions.is_empty() {
                let extension = extensions.expect(der::SEQUENCE)?;
                if is_critical_policy(extension.content)? {
                    is_changed = true;
                } else {
                    kept.extend(extension.whole);
                }
            }
            let mut explicit = der::sequence(&der::sequence(&kept));
            explicit[0] = EXTENSIONS;
            tbs.extend(explicit);
        } else {
            tbs.extend(field.whole);
        }
    }
    let whole = || der::sequence(&[&der::sequence(&tbs), algorithm, signature].concat());
    Ok(is_changed.then(whole))
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
