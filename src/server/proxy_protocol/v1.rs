//! Version 1: a line of text (section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, HeaderError, Parsed};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` with its end of line.
pub(super) const SHORTEST: usize = 15;
/// The longest line, with its end.
const LONGEST: usize = 107;
/// The shortest line with addresses.
const SHORTEST_TCP: usize = b"PROXY TCP6 :: :: 0 0\r\n".len();
/// The spaces of a line with addresses.
const SPACES: usize = 5;
/// A carriage return and a line feed.
const END_OF_LINE: usize = 2;
const FIELDS: HeaderError = HeaderError::Malformed(
    "the line does not have two addresses and two ports with one space between each",
);

/// Reads a header whose first bytes match the signature.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let within = &bytes[..bytes.len().min(LONGEST)];
    match end_of_line(within)? {
        Some(end) => Ok(Parsed::Complete {
            header: line(&within[..end])?,
            length: end + 2,
        }),
        None => {
            let missing = match within.strip_suffix(b"\r") {
                Some(text) => line(text).map(|_| 1)?,
                None => missing(within)?,
            };
            if bytes.len() + missing > LONGEST {
                return Err(HeaderError::TooLong);
            }
            Ok(Parsed::Incomplete { missing })
        }
    }
}

/// The place of the carriage return and line feed. Each of the two alone is an error.
fn end_of_line(bytes: &[u8]) -> Result<Option<usize>, HeaderError> {
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Ok(Some(end)),
        (b'\r', None) => Ok(None),
        _ => Err(HeaderError::Malformed(
            "the line does not end with a carriage return and a line feed",
        )),
    }
}

/// How many bytes every line that begins so, and has no end yet, has left at least.
fn missing(bytes: &[u8]) -> Result<usize, HeaderError> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let begins = |name: &[u8]| rest.iter().zip(name).all(|(one, other)| one == other);
    if rest.is_empty() {
        return Ok(SHORTEST - bytes.len());
    }
    if begins(b"UNKNOWN") {
        return Ok(END_OF_LINE.max(SHORTEST.saturating_sub(bytes.len())));
    }
    if !begins(b"TCP4 ") && !begins(b"TCP6 ") {
        return Err(HeaderError::Malformed(
            "its protocol is neither TCP4 nor TCP6 nor UNKNOWN",
        ));
    }
    if bytes.windows(2).any(|pair| pair == b"  ") {
        return Err(FIELDS);
    }
    let spaces = bytes.iter().filter(|byte| **byte == b' ').count();
    // Each field that is missing has a character, and a space before it.
    let fields = 2 * SPACES.saturating_sub(spaces) + usize::from(bytes.ends_with(b" "));
    Ok((END_OF_LINE + fields).max(SHORTEST_TCP.saturating_sub(bytes.len())))
}

/// Reads a line without its end.
fn line(line: &[u8]) -> Result<Header, HeaderError> {
    let rest = &line[SIGNATURE.len()..]; // it begins with the signature, which has no end of line
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        // The receiver must ignore what follows.
        return Ok(Header::Unknown);
    }
    let text = std::str::from_utf8(rest)
        .map_err(|_| HeaderError::Malformed("the line has bytes outside ASCII"))?;
    let fields: Vec<&str> = text.split(' ').collect();
    let [protocol, source, destination, source_port, destination_port] = fields[..] else {
        return Err(FIELDS);
    };
    let address = |text| match protocol {
        "TCP4" => ip::<Ipv4Addr>(text),
        "TCP6" => ip::<Ipv6Addr>(text),
        _ => Err(HeaderError::Malformed(
            "its protocol is neither TCP4 nor TCP6 nor UNKNOWN",
        )),
    };
    Header::tcp(
        SocketAddr::new(address(source)?, port(source_port)?),
        SocketAddr::new(address(destination)?, port(destination_port)?),
    )
}

/// std's parsers accept neither leading zeros nor zones.
fn ip<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, HeaderError> {
    let address = text.parse::<A>();
    let address =
        address.map_err(|_| HeaderError::Malformed("an address is none of its family"))?;
    Ok(address.into())
}

fn port(text: &str) -> Result<u16, HeaderError> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = text == "0" || !text.starts_with('0');
    text.parse()
        .ok()
        .filter(|_| is_decimal && is_canonical)
        .ok_or(HeaderError::Malformed(
            "a port is not a decimal number up to 65535",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> Result<Header, HeaderError> {
        match parse(line.as_bytes())? {
            Parsed::Complete { header, length } => {
                assert_eq!(length, line.len());
                Ok(header)
            }
            Parsed::Incomplete { .. } => panic!("{line:?} is incomplete"),
        }
    }

    /// A reader gets the same answer wherever it stops: what no line can begin with is an error at once.
    #[test]
    fn a_line_that_cannot_become_a_header_is_rejected_before_its_end() {
        let filled = "0".repeat(80);
        for (begin, is_rejected) in [
            ("PROXY TCP6 ::  ", true),
            ("PROXY TCP6 :: ", false),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 \r", true),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r", true),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r", false),
            (&format!("PROXY TCP6 :: :: {filled} 1 \r"), true),
            ("PROXY UNKNOWN  x\r", false),
        ] {
            let parsed = parse(begin.as_bytes());
            assert_eq!(parsed.is_err(), is_rejected, "{begin:?}: {parsed:?}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        for (line, source) in [
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
                "192.0.2.7:4711",
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 4711 443\r\n",
                "[2001:db8::7]:4711",
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 0 65535\r\n",
                "[::ffff:192.0.2.7]:0",
            ),
        ] {
            let source = source.parse().expect("an address");
            assert_eq!(header(line).expect(line).source(), Some(source));
        }
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b\tc\0\r\n"] {
            assert_eq!(header(line), Ok(Header::Unknown));
        }
    }

    #[test]
    fn a_line_with_two_readings_is_malformed() {
        for line in [
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1  1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7\t198.51.100.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
            "PROXY TCP6 fe80::1%1 fe80::2 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n",
            "PROXY TCP4 0xC0000207 198.51.100.1 1 2\r\n",
            "PROXY TCP4 0.0.0.0 198.51.100.1 1 2\r\n",
            "PROXY TCP4 255.255.255.255 198.51.100.1 1 2\r\n",
            "PROXY TCP4 224.0.0.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\rPROXY",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY unknown\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.\u{664} 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
        ] {
            let error = header(line).expect_err(line);
            assert_eq!(error.reason(), "proxy_header_malformed", "{line:?}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(header(&line(107)), Ok(Header::Unknown));
        assert_eq!(parse(line(108).as_bytes()), Err(HeaderError::TooLong));
        // It is known before the line ends.
        assert_eq!(
            parse(&line(200).as_bytes()[..106]),
            Err(HeaderError::TooLong)
        );
    }
}
