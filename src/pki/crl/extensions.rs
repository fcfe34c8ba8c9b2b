//! The extensions of a CRL (RFC 5280 section 5.2).

use super::scope::Scope;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::error::CrlFormatError;
use crate::pki::{DistinguishedName, SerialNumber};

const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];

/// The extensions of a CRL that are used.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) number: Option<SerialNumber>,
    /// The BaseCRLNumber of a delta CRL.
    pub(super) delta_base: Option<SerialNumber>,
    pub(super) scope: Scope,
    /// The value of the authorityKeyIdentifier.
    pub(super) authority_key: Option<Box<[u8]>>,
}

impl Extensions {
    pub(super) fn read(content: &[u8], issuer: &DistinguishedName) -> Result<Self, CrlFormatError> {
        let mut number = None;
        let mut delta_base = None;
        let mut scope = None;
        let mut authority_key = None;
        let list = der::single(content, der::SEQUENCE)
            .map_err(|NotDer| CrlFormatError::Malformed("the extensions"))?;
        for_each_extension(list, |oid, critical, value| match oid {
            NUMBER if critical => Err(CrlFormatError::BadNumber("number is critical")),
            NUMBER => set_once(&mut number, read_number(value)?),
            DELTA_INDICATOR => set_once(&mut delta_base, read_number(value)?),
            ISSUING_DISTRIBUTION_POINT => set_once(&mut scope, Scope::read(value, issuer)?),
            AUTHORITY_KEY_IDENTIFIER => set_once(&mut authority_key, value.into()),
            _ if critical => Err(unknown_critical(oid)),
            _ => Ok(()),
        })?;
        if delta_base.is_some() && number.is_none() {
            return Err(CrlFormatError::Delta);
        }
        Ok(Self {
            number,
            delta_base,
            scope: scope.unwrap_or_default(),
            authority_key,
        })
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), CrlFormatError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(CrlFormatError::Malformed("an extension: it occurs twice")),
    }
}

pub(super) fn unknown_critical(oid: &[u8]) -> CrlFormatError {
    match der::oid_to_string(oid) {
        Ok(oid) => CrlFormatError::CriticalExtension { oid },
        Err(NotDer) => CrlFormatError::Malformed("an extension's object identifier"),
    }
}

/// `Extension ::= SEQUENCE { extnID OID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }`
pub(super) fn for_each_extension(
    content: &[u8],
    mut read: impl FnMut(&[u8], bool, &[u8]) -> Result<(), CrlFormatError>,
) -> Result<(), CrlFormatError> {
    let mut extensions = Reader::new(content);
    while !extensions.is_empty() {
        let (oid, critical, value) = extension(&mut extensions)
            .map_err(|NotDer| CrlFormatError::Malformed("an extension"))?;
        read(oid, critical, value)?;
    }
    Ok(())
}

fn extension<'a>(extensions: &mut Reader<'a>) -> Result<(&'a [u8], bool, &'a [u8]), NotDer> {
    let mut parts = Reader::new(extensions.expect(der::SEQUENCE)?.content);
    let oid = parts.expect(der::OBJECT_IDENTIFIER)?.content;
    der::oid_to_string(oid)?; // must be minimal: a known OID must have one encoding
    let mut next = parts.any()?;
    let critical = next.tag == der::BOOLEAN;
    if critical {
        if next.content != [0xff] {
            return Err(NotDer);
        }
        next = parts.any()?;
    }
    parts.end()?;
    if next.tag != der::OCTET_STRING {
        return Err(NotDer);
    }
    Ok((oid, critical, next.content))
}

fn read_number(value: &[u8]) -> Result<SerialNumber, CrlFormatError> {
    match der::single(value, der::INTEGER) {
        Ok(octets)
            if octets.first().is_some_and(|first| first & 0x80 == 0) && octets.len() <= 21 =>
        {
            Ok(SerialNumber::from_octets(octets))
        }
        _ => Err(CrlFormatError::BadNumber(
            "number is not a number of at most 20 octets",
        )),
    }
}
