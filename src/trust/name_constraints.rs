//! Name constraints for common names, which rustls-webpki does not apply (RFC 5280 section 4.2.1.10).

use crate::pki::der::{self, NotDer, Reader};
use crate::pki::san::is_general_name;

/// The GeneralName tag of a dNSName.
const DNS: u8 = 0x82;

/// Whether the constraints, given as the content of the extension, allow `name` as a DNS name.
/// Constraints that cannot be parsed allow nothing.
pub(super) fn permits(constraints: &[u8], name: &str) -> bool {
    let read = || -> Result<bool, NotDer> {
        let mut fields = Reader::new(constraints);
        let permitted = fields.optional(0xa0)?;
        let excluded = fields.optional(0xa1)?;
        fields.end()?;
        let permitted = match permitted {
            Some(field) => dns_subtrees(field.content)?,
            None => Vec::new(),
        };
        let excluded = match excluded {
            Some(field) => dns_subtrees(field.content)?,
            None => Vec::new(),
        };
        let within = |subtrees: &[&[u8]]| subtrees.iter().any(|base| is_within(name, base));
        Ok((permitted.is_empty() || within(&permitted)) && !within(&excluded))
    };
    read().unwrap_or(false)
}

/// The dNSName bases of `GeneralSubtrees ::= SEQUENCE SIZE (1..MAX) OF GeneralSubtree`.
fn dns_subtrees(content: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    let mut all = Reader::new(content);
    let mut bases = Vec::new();
    while !all.is_empty() {
        let base = Reader::new(all.expect(der::SEQUENCE)?.content).any()?;
        if !is_general_name(base.tag) {
            return Err(NotDer);
        }
        if base.tag == DNS {
            bases.push(base.content);
        }
    }
    Ok(bases)
}

/// Whether `name` is `base` with zero or more labels before it. A leading dot requires at least one
/// label: RFC 5280 does not define it for DNS names, but OpenSSL and rustls-webpki support it.
fn is_within(name: &str, base: &[u8]) -> bool {
    let name = name.as_bytes();
    if base.is_empty() {
        return true;
    }
    let Some(rest) = name.len().checked_sub(base.len()) else {
        return false;
    };
    let is_at_label = base[0] == b'.' || rest == 0 || name[rest - 1] == b'.';
    name[rest..].eq_ignore_ascii_case(base) && is_at_label && !(base[0] == b'.' && rest == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMITS_PARTNER: &[u8] = b"\xa0\x13\x30\x11\x82\x0fpartner.example";
    const EXCLUDES_PARTNER: &[u8] = b"\xa1\x13\x30\x11\x82\x0fpartner.example";
    const PERMITS_ADDRESSES: &[u8] = b"\xa0\x0c\x30\x0a\x87\x08\x0a\0\0\0\xff\0\0\0";

    #[test]
    fn a_name_is_within_a_constraint_by_whole_labels() {
        for (name, base, within) in [
            ("partner.example", "partner.example", true),
            ("a.Partner.EXAMPLE", "partner.example", true),
            ("xpartner.example", "partner.example", false),
            ("example", "partner.example", false),
            ("partner.example", ".partner.example", false),
            ("a.partner.example", ".partner.example", true),
            ("orders.internal", "", true),
        ] {
            assert_eq!(is_within(name, base.as_bytes()), within, "{name} in {base}");
        }
    }

    #[test]
    fn constraints_with_a_base_that_is_not_a_general_name_allow_nothing() {
        for (tag, allows) in [(0x88, true), (0x89, false), (0xa9, false), (0x0c, false)] {
            let base = [&b"\xa0\x18\x30\x03"[..], &[tag, 1, 0x2a]].concat();
            let subtrees = [&base, &PERMITS_PARTNER[2..]].concat();
            assert_eq!(permits(&subtrees, "a.partner.example"), allows, "{tag:02x}");
        }
    }

    #[test]
    fn permitted_and_excluded_subtrees_are_applied() {
        assert!(permits(PERMITS_PARTNER, "a.partner.example"));
        assert!(!permits(PERMITS_PARTNER, "orders.internal"));
        assert!(!permits(EXCLUDES_PARTNER, "a.partner.example"));
        assert!(permits(EXCLUDES_PARTNER, "orders.internal"));
        assert!(
            permits(PERMITS_ADDRESSES, "orders.internal"),
            "of another kind"
        );
        for unreadable in [&b"\xa0\x05\x30"[..], b"\x04\x00"] {
            assert!(!permits(unreadable, "orders.internal"), "{unreadable:02x?}");
        }
    }
}
