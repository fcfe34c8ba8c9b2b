//! The extensions that identify the key of a certificate and of its issuer.

use super::der::{self, NotDer, Reader};
use super::san::read_general_name;
use super::{Certificate, DistinguishedName, GeneralName, extension_oid};

/// The keyIdentifier of the subjectKeyIdentifier (RFC 5280 section 4.2.1.2).
pub(crate) fn subject_key(certificate: &Certificate) -> Option<&[u8]> {
    der::single(
        certificate.extension(extension_oid::SUBJECT_KEY_IDENTIFIER)?,
        der::OCTET_STRING,
    )
    .ok()
}

/// The authorityKeyIdentifier (RFC 5280 section 4.2.1.1), as far as it can be read.
#[derive(Default)]
pub(crate) struct AuthorityKey<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// The issuer of the issuer's certificate.
    pub(crate) issuer_of_issuer: Option<DistinguishedName>,
}

impl<'a> AuthorityKey<'a> {
    pub(crate) fn of(certificate: &'a Certificate) -> Self {
        let Some(value) = certificate.extension(extension_oid::AUTHORITY_KEY_IDENTIFIER) else {
            return Self::default();
        };
        Self::read(value).unwrap_or_default()
    }

    /// `SEQUENCE { keyIdentifier [0], authorityCertIssuer [1] GeneralNames, serial [2] }`, all
    /// optional.
    pub(crate) fn read(value: &'a [u8]) -> Result<Self, NotDer> {
        let mut fields = Reader::new(der::single(value, der::SEQUENCE)?);
        let key = fields.optional(0x80)?.map(|field| field.content);
        let mut issuer_of_issuer = None;
        if let Some(names) = fields.optional(0xa1)? {
            let name = Reader::new(names.content).any()?;
            if let GeneralName::DirectoryName(name) = read_general_name(name.tag, name.content) {
                issuer_of_issuer = Some(name);
            }
        }
        Ok(Self {
            key,
            issuer_of_issuer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_key_is_read_with_its_issuer() {
        let read = |value: &[u8]| {
            AuthorityKey::read(value).map(|found| {
                let issuer = found.issuer_of_issuer.map(|name| name.to_string());
                (found.key.map(<[u8]>::to_vec), issuer)
            })
        };
        assert_eq!(
            read(b"\x30\x04\x80\x02\x01\x02"),
            Ok((Some(vec![1, 2]), None))
        );
        let name = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01R";
        let names = [&[0xa1, 16, 0xa4, 14][..], name].concat();
        let whole = [&[0x30, 18][..], &names].concat();
        assert_eq!(read(&whole), Ok((None, Some("CN=R".into()))));
        assert_eq!(read(b"\x30\x00"), Ok((None, None)));
        assert_eq!(read(b"\x30\x02\xa1\x00"), Err(NotDer));
        assert_eq!(read(b"\x04\x00"), Err(NotDer));
    }
}
