//! The outer structure of a certificate (RFC 5280 section 4.1), parsed as strict DER.
//!
//! rustls-webpki is equally strict. General-purpose parsers accept lengths that are not minimal and
//! octets that belong to no field. Here every octet belongs to a field, so that a certificate has one
//! encoding and one fingerprint. What is not DER is named, because the operator has to find the tool that
//! wrote it.

use std::borrow::Cow;

use rustls_pki_types::UnixTime;

use super::der::{self, NotDer, Reader, Tlv};
use super::signed::bit_string;
use super::text::Hex;
use super::time;

/// The part of a certificate that is not as RFC 5280 requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// The field, and what is wrong with it.
    pub(super) part: Cow<'static, str>,
    pub(super) remedy: &'static str,
}

impl Defect {
    const ISSUE_ANEW: &'static str = "have it issued anew, with a tool that writes DER";

    pub(super) const fn new(part: &'static str) -> Self {
        Self {
            part: Cow::Borrowed(part),
            remedy: Self::ISSUE_ANEW,
        }
    }

    /// Bytes after the certificate.
    pub(super) fn trailing(bytes: &[u8]) -> Self {
        const SHOWN: usize = 8;
        let (count, more) = (bytes.len(), if bytes.len() > SHOWN { "…" } else { "" });
        let shown = Hex(bytes.get(..SHOWN).unwrap_or(bytes));
        let bytes = if count == 1 { "byte" } else { "bytes" };
        Self {
            part: format!("the end: data follows the certificate: {count} {bytes} ({shown}{more})")
                .into(),
            remedy: "write it without them: openssl x509 -in CERT.pem -out CERT.new.pem",
        }
    }

    fn time(field: &'static str, tlv: Tlv<'_>) -> Self {
        Self {
            part: format!("{field}: {}", time::Malformed(tlv)).into(),
            remedy: "have it issued anew, with a tool that writes dates as RFC 5280 section 4.1.2.5 requires (UTCTime YYMMDDHHMMSSZ through 2049, GeneralizedTime YYYYMMDDHHMMSSZ from 2050 on)",
        }
    }
}

/// What is wrong, for a field that is not DER.
const fn at(part: &'static str) -> impl Fn(NotDer) -> Defect {
    move |NotDer| Defect::new(part)
}

/// The fields of a certificate, undecoded where not stated otherwise.
pub(super) struct Structure<'a> {
    /// As encoded: 2 means version 3.
    pub(super) version: u32,
    /// The INTEGER's content. It may be negative, too long or empty.
    pub(super) serial: &'a [u8],
    /// The issuer's name as a whole TLV, not checked.
    pub(super) issuer: &'a [u8],
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    /// The subject's name as a whole TLV, not checked.
    pub(super) subject: &'a [u8],
    pub(super) spki: Spki<'a>,
    pub(super) has_unique_id: bool,
    pub(super) extensions: Vec<RawExtension<'a>>,
}

/// `SubjectPublicKeyInfo ::= SEQUENCE { algorithm, subjectPublicKey BIT STRING }`
pub(super) struct Spki<'a> {
    pub(super) whole: &'a [u8],
    /// The OBJECT IDENTIFIER's content.
    pub(super) algorithm: &'a [u8],
    pub(super) key: &'a [u8],
}

pub(super) struct RawExtension<'a> {
    /// The OBJECT IDENTIFIER's content.
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    /// The content of the OCTET STRING.
    pub(super) value: &'a [u8],
}

const STRUCTURE: &str = "the X.509 structure";
const UNIQUE_ID: &str = "a unique identifier";

const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

impl<'a> Structure<'a> {
    /// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature BIT STRING }`
    ///
    /// Bytes after the certificate remain in `reader`.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Defect> {
        let outer = reader.expect(der::SEQUENCE).map_err(at(STRUCTURE))?;
        let mut certificate = Reader::new(outer.content);
        let tbs = certificate.expect(der::SEQUENCE).map_err(at(STRUCTURE))?;
        let structure = Self::read_tbs(tbs.content)?;
        read_algorithm(&mut certificate).map_err(at("the signature algorithm"))?;
        let signature = certificate.expect(der::BIT_STRING);
        signature
            .and_then(|signature| bit_string(signature.content))
            .and_then(|_| certificate.end())
            .map_err(at("the signature"))?;
        Ok(structure)
    }

    fn read_tbs(content: &'a [u8]) -> Result<Self, Defect> {
        let mut tbs = Reader::new(content);
        let version = read_versions(&mut tbs)?;
        let serial = read_serial(&mut tbs)?;
        read_algorithm(&mut tbs).map_err(at("the signature algorithm"))?;
        let issuer = tbs.any().map_err(at("the issuer's name"))?.whole;
        let (not_before, not_after) = read_validity(&mut tbs)?;
        let subject = tbs.any().map_err(at("the subject's name"))?.whole;
        let spki = read_spki(&mut tbs).map_err(at("the public key"))?;
        let mut has_unique_id = false;
        for tag in [ISSUER_UNIQUE_ID, SUBJECT_UNIQUE_ID] {
            let id = tbs.optional(tag).map_err(at(UNIQUE_ID))?;
            if let Some(id) = id {
                has_unique_id = true;
                check_bit_string(id.content).map_err(at(UNIQUE_ID))?;
            }
        }
        let extensions = tbs.optional(EXTENSIONS).map_err(at("the extensions"))?;
        let extensions = match extensions {
            None => Vec::new(),
            Some(extensions) => {
                read_extensions(extensions.content).map_err(at("the extensions"))?
            }
        };
        tbs.end().map_err(at(
            "the end of its signed part: it has a field that X.509 does not have",
        ))?;
        Ok(Self {
            version,
            serial,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            has_unique_id,
            extensions,
        })
    }
}

/// `version [0] EXPLICIT Version DEFAULT v1`
fn read_versions(tbs: &mut Reader<'_>) -> Result<u32, Defect> {
    const VERSION_FIELD: &str = "the version";

    let version = tbs.optional(VERSION).map_err(at(VERSION_FIELD))?;
    let Some(version) = version else {
        return Ok(0);
    };
    let content = der::single(version.content, der::INTEGER).map_err(at(VERSION_FIELD))?;
    read_version(content).map_err(at(VERSION_FIELD))
}

/// `CertificateSerialNumber ::= INTEGER`
///
/// A superfluous octet at its start is not DER, and is accepted: serial numbers are compared
/// as numbers.
fn read_serial<'a>(tbs: &mut Reader<'a>) -> Result<&'a [u8], Defect> {
    let serial = tbs.expect(der::INTEGER).map_err(at("the serial number"))?;
    Ok(serial.content)
}

/// `Validity ::= SEQUENCE { notBefore Time, notAfter Time }`
fn read_validity(tbs: &mut Reader<'_>) -> Result<(UnixTime, UnixTime), Defect> {
    const VALIDITY: &str = "the validity";

    let validity = tbs.expect(der::SEQUENCE).map_err(at(VALIDITY))?;
    let mut times = Reader::new(validity.content);
    let mut next = |field| -> Result<UnixTime, Defect> {
        let tlv = times.any().map_err(at(VALIDITY))?;
        time::read(tlv).map_err(|NotDer| Defect::time(field, tlv))
    };
    let (not_before, not_after) = (next("notBefore")?, next("notAfter")?);
    times.end().map_err(at(VALIDITY))?;
    Ok((not_before, not_after))
}

/// `Version ::= INTEGER`, minimal and not negative.
fn read_version(content: &[u8]) -> Result<u32, NotDer> {
    let octets = match content {
        [0] => content,
        [0, rest @ ..] if rest[0] >= 0x80 => rest,
        [1..=0x7f, ..] => content,
        _ => return Err(NotDer),
    };
    if octets.len() > 4 {
        return Err(NotDer);
    }
    Ok(octets
        .iter()
        .fold(0, |sum, &octet| (sum << 8) | u32::from(octet)))
}

fn read_spki<'a>(reader: &mut Reader<'a>) -> Result<Spki<'a>, NotDer> {
    let spki = reader.expect(der::SEQUENCE)?;
    let mut parts = Reader::new(spki.content);
    let algorithm = read_algorithm(&mut parts)?;
    let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
    parts.end()?;
    Ok(Spki {
        whole: spki.whole,
        algorithm,
        key,
    })
}

/// `AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }`
fn read_algorithm<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], NotDer> {
    let mut parts = Reader::new(reader.expect(der::SEQUENCE)?.content);
    let oid = parts.expect(der::OBJECT_IDENTIFIER)?.content;
    if !parts.is_empty() {
        parts.any()?;
    }
    parts.end()?;
    Ok(oid)
}

/// Checks that the unused bits exist and are zero.
fn check_bit_string(content: &[u8]) -> Result<(), NotDer> {
    let (&unused, octets) = content.split_first().ok_or(NotDer)?;
    let zeros = octets.last().map_or(0, |last| last.trailing_zeros());
    if unused < 8 && u32::from(unused) <= zeros {
        Ok(())
    } else {
        Err(NotDer)
    }
}

/// `Extensions ::= SEQUENCE OF Extension`
fn read_extensions(content: &[u8]) -> Result<Vec<RawExtension<'_>>, NotDer> {
    let mut sequence = Reader::new(der::single(content, der::SEQUENCE)?);
    let mut extensions = Vec::new();
    while !sequence.is_empty() {
        extensions.push(read_extension(sequence.expect(der::SEQUENCE)?.content)?);
    }
    Ok(extensions)
}

/// `Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE,
/// extnValue OCTET STRING }`
fn read_extension(content: &[u8]) -> Result<RawExtension<'_>, NotDer> {
    let mut parts = Reader::new(content);
    let oid = parts.expect(der::OBJECT_IDENTIFIER)?.content;
    // An explicit FALSE is not DER, but it is common and unambiguous.
    let critical = match parts.optional(der::BOOLEAN)? {
        None => false,
        Some(critical) => der::read_bool(critical.content)?,
    };
    let value = parts.expect(der::OCTET_STRING)?.content;
    parts.end()?;
    Ok(RawExtension {
        oid,
        critical,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_minimal_and_not_negative() {
        for (content, version) in [
            (&[0][..], 0),
            (&[2], 2),
            (&[0, 0x80], 0x80),
            (&[0, 0xff, 0xff, 0xff, 0xff], u32::MAX),
        ] {
            assert_eq!(read_version(content), Ok(version));
        }
        for bad in [&[][..], &[0, 2], &[0x80], &[0, 0], &[1, 0, 0, 0, 0]] {
            assert_eq!(read_version(bad), Err(NotDer), "{bad:02x?}");
        }
    }

    #[test]
    fn an_extension_is_critical_only_if_the_boolean_is_true() {
        let read = |critical: &[u8]| {
            let content = [&[0x06, 3, 0x55, 0x1d, 0x11], critical, &[0x04, 1, 7]].concat();
            read_extension(&content).map(|extension| (extension.critical, extension.value.to_vec()))
        };
        assert_eq!(read(&[]), Ok((false, vec![7])));
        assert_eq!(read(&[0x01, 1, 0xff]), Ok((true, vec![7])));
        assert_eq!(read(&[0x01, 1, 0x00]), Ok((false, vec![7])));
        for bad in [&[0x01, 1, 0x01][..], &[0x01, 0], &[0x01, 2, 0xff, 0xff]] {
            assert_eq!(read(bad), Err(NotDer), "{bad:02x?}");
        }
    }

    #[test]
    fn the_unused_bits_of_a_bit_string_are_zero() {
        for (content, expected) in [
            (&[0][..], Ok(())),
            (&[0, 0xff], Ok(())),
            (&[1, 0xfe], Ok(())),
            (&[1, 0xff], Err(NotDer)),
            (&[1], Err(NotDer)),
            (&[8, 0], Err(NotDer)),
            (&[], Err(NotDer)),
        ] {
            assert_eq!(check_bit_string(content), expected, "{content:02x?}");
        }
    }
}
