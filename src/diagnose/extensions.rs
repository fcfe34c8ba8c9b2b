//! The extensions that tell which key issued a certificate, and what an issuer is limited to.

use crate::pki::der::{self, NotDer, Reader};
use crate::pki::san::read_general_name;
use crate::pki::text::{Brief, Escaped, Hex};
use crate::pki::{Certificate, DistinguishedName, GeneralName, ShortName};

/// The keyIdentifier of the subjectKeyIdentifier (RFC 5280 section 4.2.1.2).
pub(super) fn subject_key(certificate: &Certificate) -> Option<&[u8]> {
    der::single(certificate.extension("2.5.29.14")?, der::OCTET_STRING).ok()
}

/// The authorityKeyIdentifier (RFC 5280 section 4.2.1.1), as far as it can be read.
#[derive(Default)]
pub(super) struct AuthorityKey<'a> {
    pub(super) key: Option<&'a [u8]>,
    /// Who issued the issuer's certificate.
    pub(super) issuer_of_issuer: Option<DistinguishedName>,
}

impl<'a> AuthorityKey<'a> {
    pub(super) fn of(certificate: &'a Certificate) -> Self {
        let Some(value) = certificate.extension("2.5.29.35") else {
            return Self::default();
        };
        Self::read(value).unwrap_or_default()
    }

    /// `SEQUENCE { keyIdentifier [0], authorityCertIssuer [1] GeneralNames, serial [2] }`, all
    /// optional.
    fn read(value: &'a [u8]) -> Result<Self, NotDer> {
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

/// Whether authorityInfoAccess says where the issuer's certificate can be fetched, which those of
/// roots are not (RFC 5280 section 4.2.2.1).
pub(super) fn names_an_issuer_to_fetch(certificate: &Certificate) -> bool {
    /// `id-ad-caIssuers`, 1.3.6.1.5.5.7.48.2
    const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let read = |value| -> Result<bool, NotDer> {
        let mut descriptions = Reader::new(der::single(value, der::SEQUENCE)?);
        while !descriptions.is_empty() {
            let mut description = Reader::new(descriptions.expect(der::SEQUENCE)?.content);
            if description.expect(der::OBJECT_IDENTIFIER)?.content == CA_ISSUERS {
                return Ok(true);
            }
        }
        Ok(false)
    };
    certificate
        .extension("1.3.6.1.5.5.7.1.1")
        .is_some_and(|value| read(value) == Ok(true))
}

/// The pathLenConstraint of basicConstraints: how many issuers may stand below.
pub(super) fn path_length(certificate: &Certificate) -> Option<usize> {
    let value = certificate.extension("2.5.29.19")?;
    let mut fields = Reader::new(der::single(value, der::SEQUENCE).ok()?);
    fields.optional(der::BOOLEAN).ok()?;
    match fields.expect(der::INTEGER).ok()?.content {
        [length] => Some(usize::from(*length)),
        _ => None,
    }
}

/// The content of the nameConstraints, without the outer SEQUENCE, as trust anchors hold it.
pub(super) fn name_constraints(certificate: &Certificate) -> Option<&[u8]> {
    der::single(certificate.extension("2.5.29.30")?, der::SEQUENCE).ok()
}

/// Name constraints in words: `permits only DNS:corp.example; excludes IP:10.0.0.0/8`.
pub(super) fn describe_constraints(content: &[u8]) -> String {
    let read = || -> Result<Vec<String>, NotDer> {
        let mut fields = Reader::new(content);
        let mut parts = Vec::new();
        for (tag, verb) in [(0xa0, "permits only"), (0xa1, "excludes")] {
            if let Some(field) = fields.optional(tag)? {
                parts.push(format!("{verb} {}", subtrees(field.content)?.join(", ")));
            }
        }
        Ok(parts)
    };
    match read() {
        Ok(parts) if !parts.is_empty() => parts.join("; "),
        _ => "limits names in a way that cannot be read".into(),
    }
}

/// `GeneralSubtree ::= SEQUENCE { base GeneralName, … }`
fn subtrees(content: &[u8]) -> Result<Vec<String>, NotDer> {
    const SHOWN: usize = 5;
    let mut all = Reader::new(content);
    let mut shown = Vec::new();
    let mut more = 0;
    while !all.is_empty() {
        let base = Reader::new(all.expect(der::SEQUENCE)?.content).any()?;
        if shown.len() == SHOWN {
            more += 1;
            continue;
        }
        shown.push(match read_general_name(base.tag, base.content) {
            GeneralName::Ip(octets) => range(&octets),
            name => describe_name(&name),
        });
    }
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Ok(shown)
}

/// An address with its mask.
fn range(octets: &[u8]) -> String {
    let (address, mask) = octets.split_at(octets.len() / 2);
    let bits: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    match ip(address) {
        Some(address) if address.len() > 1 => format!("IP:{address}/{bits}"),
        _ => format!("IP:#{}", Brief(Hex(octets))),
    }
}

fn ip(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from);
    Some(v4.or(v6).ok()?.to_string())
}

/// A name as OpenSSL writes it: `DNS:a.example`; cut where it is too long for a line.
pub(super) fn describe_name(name: &GeneralName) -> String {
    let text = |bytes: &[u8]| Escaped(&String::from_utf8_lossy(bytes)).to_string();
    match name {
        GeneralName::Dns(bytes) => format!("DNS:{}", text(bytes)),
        GeneralName::Uri(bytes) => format!("URI:{}", text(bytes)),
        GeneralName::Email(bytes) => format!("email:{}", text(bytes)),
        GeneralName::Ip(octets) => match ip(octets) {
            Some(address) => format!("IP:{address}"),
            None => format!("IP:#{}", Brief(Hex(octets))),
        },
        GeneralName::DirectoryName(name) => format!("dirName:{}", ShortName(name)),
        GeneralName::RegisteredId(oid) => format!("RID:{}", Escaped(oid)),
        GeneralName::OtherName { oid, .. } => format!("otherName:{}", Escaped(oid)),
        GeneralName::Unreadable { tag, .. } => format!("an unreadable name (tag 0x{tag:02x})"),
    }
}

/// Critical extensions that path validation does not know, and so must refuse (section 4.2).
pub(super) fn unknown_critical(certificate: &Certificate) -> Option<&str> {
    /// What rustls-webpki reads.
    const KNOWN: [&str; 7] = [
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.31",
        "2.5.29.37",
        "1.3.6.1.4.1.11129.2.4.2",
    ];
    certificate
        .extensions()
        .iter()
        .find(|extension| extension.is_critical() && !KNOWN.contains(&extension.oid()))
        .map(crate::pki::Extension::oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_told_in_words() {
        // permitted: DNS corp.example, IP 10.0.0.0/8; excluded: e-mail of evil.example
        let permitted = b"\xa0\x1c\x30\x0e\x82\x0ccorp.example\x30\x0a\x87\x08\x0a\0\0\0\xff\0\0\0";
        let excluded = b"\xa1\x10\x30\x0e\x81\x0cevil.example";
        let mut both = permitted.to_vec();
        assert_eq!(
            describe_constraints(permitted),
            "permits only DNS:corp.example, IP:10.0.0.0/8"
        );
        both.extend(excluded);
        assert_eq!(
            describe_constraints(&both),
            "permits only DNS:corp.example, IP:10.0.0.0/8; excludes email:evil.example"
        );
        for bad in [&b""[..], b"\xa0\x05\x30", b"\x04\x00", b"\xa0\x02\x30\x00"] {
            assert_eq!(
                describe_constraints(bad),
                "limits names in a way that cannot be read",
                "{bad:02x?}"
            );
        }
        assert_eq!(range(b"\x0a"), "IP:#0a");
        assert_eq!(range(b""), "IP:#");
    }

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
