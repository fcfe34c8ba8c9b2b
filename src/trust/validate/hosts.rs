//! Names within constraints, by kind (RFC 5280 section 4.2.1.10). `None`: the name or the constraint is
//! not well-formed, which the caller rejects.

/// Whether a dNSName is a constraint's name, or has labels before it. A leading dot requires at least
/// one more label, and the empty constraint contains all names.
pub(super) fn dns_within(name: &[u8], base: &[u8], is_excluded: bool) -> Option<bool> {
    let (host, is_wildcard) = match name.strip_prefix(b"*.") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let suffix = base.strip_prefix(b".").unwrap_or(base);
    if !is_host(host) || !(suffix.is_empty() || is_host(suffix)) {
        return None;
    }
    let within = if is_wildcard {
        // The wildcard is a label of its own, below the rest.
        is_suffix(host, suffix)
    } else if base.first() == Some(&b'.') {
        is_suffix(host, suffix) && host.len() > suffix.len()
    } else {
        is_suffix(host, suffix)
    };
    // A wildcard is also excluded if a name that it matches is.
    Some(within || (is_excluded && is_wildcard && is_suffix(suffix, host)))
}

/// Whether an rfc822Name is in a constraint: a mailbox, a host, or the hosts of a domain (leading dot).
pub(super) fn email_within(name: &[u8], base: &[u8]) -> Option<bool> {
    let (local, host) = split_mailbox(name)?;
    if let Some((base_local, base_host)) = split_mailbox(base) {
        return Some(local == base_local && host.eq_ignore_ascii_case(base_host));
    }
    host_within(host, base)
}

/// Whether the host of a URI is in a constraint: a host, or the hosts of a domain (leading dot).
pub(super) fn uri_within(name: &[u8], base: &[u8]) -> Option<bool> {
    host_within(host_of_uri(name)?, base)
}

/// Whether an address is in a network: an address and a mask of the same length.
pub(super) fn ip_within(address: &[u8], network: &[u8]) -> Option<bool> {
    if !matches!(address.len(), 4 | 16) || !matches!(network.len(), 8 | 32) {
        return None;
    }
    let (base, mask) = network.split_at(network.len() / 2);
    // A mask is ones before zeros (RFC 4632).
    let ones: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let set: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let is_prefix = mask.windows(2).all(|pair| pair[0] == 0xff || pair[1] == 0);
    if ones != set || !is_prefix {
        return None;
    }
    let masked = |octets: &[u8]| -> Vec<u8> {
        let octets = octets.iter().zip(mask);
        octets.map(|(octet, mask)| octet & mask).collect()
    };
    Some(address.len() == base.len() && masked(address) == masked(base))
}

/// A host is a constraint's, or below its domain. An empty constraint contains all hosts.
fn host_within(host: &[u8], base: &[u8]) -> Option<bool> {
    let suffix = base.strip_prefix(b".").unwrap_or(base);
    if base.is_empty() {
        return Some(true);
    }
    if !is_host(suffix) {
        return None;
    }
    Some(if base[0] == b'.' {
        is_suffix(host, suffix) && host.len() > suffix.len()
    } else {
        host.eq_ignore_ascii_case(suffix)
    })
}

/// Whether `suffix` is `host` or its last labels.
fn is_suffix(host: &[u8], suffix: &[u8]) -> bool {
    let Some(rest) = host.len().checked_sub(suffix.len()) else {
        return false;
    };
    host[rest..].eq_ignore_ascii_case(suffix)
        && (rest == 0 || suffix.is_empty() || host[rest - 1] == b'.')
}

fn split_mailbox(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().rposition(|&octet| octet == b'@')?;
    let (local, host) = (&name[..at], &name[at + 1..]);
    let is_quoted = local.len() > 2 && local.starts_with(b"\"") && local.ends_with(b"\"");
    let is_local = !local.is_empty() && (is_quoted || !local.contains(&b'@'));
    (is_local && name.is_ascii() && is_host(host)).then_some((local, host))
}

/// The host of a URI with an authority. RFC 5280 rejects URIs without one and those whose host is an
/// address. Octets that RFC 3986 does not allow have several readings: some end the authority at a backslash.
fn host_of_uri(uri: &[u8]) -> Option<&[u8]> {
    if !uri.iter().all(|&octet| is_of_uri(octet)) {
        return None;
    }
    let colon = uri.iter().position(|&octet| octet == b':')?;
    let scheme = &uri[..colon];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|&it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.'));
    let rest = uri[colon + 1..].strip_prefix(b"//")?;
    let end = rest.iter().position(|it| matches!(it, b'/' | b'?' | b'#'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let user = authority.iter().rposition(|&octet| octet == b'@');
    let mut host = &authority[user.map_or(0, |at| at + 1)..];
    if let Some(colon) = host.iter().position(|&octet| octet == b':') {
        if !host[colon + 1..].iter().all(u8::is_ascii_digit) {
            return None;
        }
        host = &host[..colon];
    }
    let last = host.rsplit(|&octet| octet == b'.').next()?;
    let is_address = last.iter().all(u8::is_ascii_digit);
    (is_scheme && is_host(host) && !is_address).then_some(host)
}

/// Unreserved, reserved, or of a percent-encoded octet (RFC 3986 section 2).
fn is_of_uri(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&octet)
}

/// Labels of letters, digits, hyphens and underscores. A dot at the end is not a label.
fn is_host(host: &[u8]) -> bool {
    host.len() <= 253
        && host.split(|&octet| octet == b'.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .iter()
                    .all(|&it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_are_within_by_labels() {
        for (name, base, permitted, excluded) in [
            ("a.example", "a.example", Some(true), Some(true)),
            ("B.a.EXAMPLE", "a.example", Some(true), Some(true)),
            ("xa.example", "a.example", Some(false), Some(false)),
            ("a.example", "", Some(true), Some(true)),
            ("a.example", ".a.example", Some(false), Some(false)),
            ("b.a.example", ".a.example", Some(true), Some(true)),
            ("*.a.example", "a.example", Some(true), Some(true)),
            ("*.example", "a.example", Some(false), Some(true)),
            ("*.b.example", "a.example", Some(false), Some(false)),
            ("a.example.", "a.example", None, None),
            ("a..example", "a.example", None, None),
            ("a.example", "*.example", None, None),
            ("", "a.example", None, None),
        ] {
            let of = |is_excluded| dns_within(name.as_bytes(), base.as_bytes(), is_excluded);
            assert_eq!(of(false), permitted, "{name} in {base}");
            assert_eq!(of(true), excluded, "{name} in {base}, excluded");
        }
    }

    #[test]
    fn mailboxes_are_within_mailbox_host_or_domain() {
        for (name, base, within) in [
            ("a@b.example", "a@B.example", Some(true)),
            ("A@b.example", "a@b.example", Some(false)),
            ("a@b.example", "b.example", Some(true)),
            ("a@c.b.example", "b.example", Some(false)),
            ("a@c.b.example", ".b.example", Some(true)),
            ("a@b.example", ".b.example", Some(false)),
            ("a@b.example", "", Some(true)),
            ("b.example", "b.example", None),
            ("x@y@b.example", "b.example", None),
            ("\"x@y@b.example", "b.example", None),
            ("x@y\"@b.example", "b.example", None),
            ("@b.example", "b.example", None),
            ("a@", "b.example", None),
            ("\"x@y\"@b.example", "b.example", Some(true)),
            ("a@b.example", "b..example", None),
        ] {
            let found = email_within(name.as_bytes(), base.as_bytes());
            assert_eq!(found, within, "{name} in {base}");
        }
    }

    #[test]
    fn uris_are_within_by_their_host() {
        for (name, base, within) in [
            ("spiffe://example.org/ns/a", "example.org", Some(true)),
            ("spiffe://EXAMPLE.org", "example.org", Some(true)),
            ("spiffe://a.example.org/x", "example.org", Some(false)),
            ("spiffe://a.example.org/x", ".example.org", Some(true)),
            (
                "https://user@example.org:443/?a@b",
                "example.org",
                Some(true),
            ),
            ("https://example.org@evil.test/", "example.org", Some(false)),
            ("https://evil.test#@example.org", "example.org", Some(false)),
            ("https://evil.test\\@example.org", "example.org", None),
            ("https://example.org/a b", "example.org", None),
            ("https://example.org/%20~'", "example.org", Some(true)),
            ("urn:uuid:1", "example.org", None),
            ("https://192.0.2.1/", "example.org", None),
            ("https://[2001:db8::1]/", "example.org", None),
            ("https://example.org:x/", "example.org", None),
            ("//example.org", "example.org", None),
            ("://example.org", "example.org", None),
            ("1https://example.org", "example.org", None),
            ("https:///x", "example.org", None),
        ] {
            let found = uri_within(name.as_bytes(), base.as_bytes());
            assert_eq!(found, within, "{name} in {base}");
        }
    }

    #[test]
    fn addresses_are_within_their_network() {
        let network = [10, 1, 0, 0, 255, 255, 128, 0];
        assert_eq!(ip_within(&[10, 1, 127, 1], &network), Some(true));
        assert_eq!(ip_within(&[10, 1, 128, 1], &network), Some(false));
        assert_eq!(ip_within(&[0; 16], &network), Some(false));
        assert_eq!(ip_within(&[10, 1, 0], &network), None);
        assert_eq!(ip_within(&[10, 1, 0, 1], &network[1..]), None);
        for mask in [[255, 0, 255, 0], [0xfd, 0, 0, 0], [0xf0, 0x80, 0, 0]] {
            let network = [&[10, 0, 0, 0][..], &mask].concat();
            assert_eq!(ip_within(&[10, 0, 0, 1], &network), None, "{mask:?}");
        }
    }
}
