//! Extensions that name an issuer or limit it.

use crate::pki::der::{self, NotDer, Reader};
use crate::pki::named::{describe_name, ip_address};
use crate::pki::san::read_general_name;
use crate::pki::text::{Brief, Hex};
use crate::pki::{Certificate, GeneralName};

/// Whether authorityInfoAccess says where the issuer's certificate can be fetched (RFC 5280
/// section 4.2.2.1).
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

/// Name constraints in words: `permits only DNS:corp.example, and excludes IP:10.0.0.0/8`.
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
        Ok(parts) if !parts.is_empty() => parts.join(", and "),
        _ => "limits names in an unreadable way".into(),
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
    match ip_address(address) {
        Some(address) => format!("IP:{address}/{bits}"),
        _ => format!("IP:#{}", Brief(Hex(octets))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_described_in_words() {
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
            "permits only DNS:corp.example, IP:10.0.0.0/8, and excludes email:evil.example"
        );
        for bad in [&b""[..], b"\xa0\x05\x30", b"\x04\x00", b"\xa0\x02\x30\x00"] {
            assert_eq!(
                describe_constraints(bad),
                "limits names in an unreadable way",
                "{bad:02x?}"
            );
        }
        assert_eq!(range(b"\x0a"), "IP:#0a");
        assert_eq!(range(b""), "IP:#");
    }
}
