//! Version 2: binary (section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, HeaderError, Parsed};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
pub(super) const HEAD: usize = 16;
/// The type of the checksum (section 2.2.3).
const CRC32C: u8 = 0x03;

/// Reads a header whose first bytes match the signature.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Ok(Parsed::Incomplete {
            missing: HEAD - bytes.len(),
        });
    };
    let [command, family, high, low] = head[SIGNATURE.len()..] else {
        return Err(HeaderError::Missing); // the head has sixteen bytes
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Malformed("its version or command is unknown")),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEAD + length > Header::MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(Parsed::Incomplete {
            missing: length - rest.len(),
        });
    };
    let length = HEAD + length;
    let header = if is_local {
        // The receiver must discard the block, family included.
        Header::Local
    } else {
        forwarded(family, block, &bytes[..length])?
    };
    Ok(Parsed::Complete { header, length })
}

/// Reads the block of a client that a proxy forwards. `whole` is the header.
fn forwarded(family: u8, block: &[u8], whole: &[u8]) -> Result<Header, HeaderError> {
    let too_short = || HeaderError::Malformed("it is too short for its addresses");
    let (header, tlvs) = match family {
        // Without addresses; the receiver ignores the block.
        0x00 => return Ok(Header::Unknown),
        0x11 => {
            let (addresses, tlvs) = block.split_first_chunk::<12>().ok_or_else(too_short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            let (source, destination) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
            let [source_port, destination_port] = both(ports);
            let header = Header::tcp(
                SocketAddr::from((source, source_port)),
                SocketAddr::from((destination, destination_port)),
            )?;
            (header, tlvs)
        }
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or_else(too_short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or_else(too_short)?;
            let (ports, tlvs) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
            let [source_port, destination_port] = both(*ports);
            let header = Header::tcp(
                SocketAddr::from((Ipv6Addr::from(*source), source_port)),
                SocketAddr::from((Ipv6Addr::from(*destination), destination_port)),
            )?;
            (header, tlvs)
        }
        // Two paths of Unix sockets.
        0x31 => {
            let (_, tlvs) = block.split_at_checked(216).ok_or_else(too_short)?;
            (Header::Unknown, tlvs)
        }
        0x12 | 0x22 | 0x32 => {
            return Err(HeaderError::Malformed("it states datagrams, over a stream"));
        }
        _ => {
            return Err(HeaderError::Malformed(
                "its address family or protocol is unknown",
            ));
        }
    };
    check_tlvs(tlvs, whole)?;
    Ok(header)
}

fn both([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [[a, b], [c, d]].map(u16::from_be_bytes)
}

/// Skips the type-length-values, which must fill the block, and verifies the checksum.
fn check_tlvs(mut tlvs: &[u8], whole: &[u8]) -> Result<(), HeaderError> {
    let broken = HeaderError::Malformed("its type-length-values do not fit its length");
    let mut checksum = None;
    while !tlvs.is_empty() {
        let (&[kind, high, low], rest) = tlvs.split_first_chunk().ok_or(broken)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(broken)?;
        if kind == CRC32C {
            let value = <[u8; 4]>::try_from(value);
            let value =
                value.map_err(|_| HeaderError::Malformed("its checksum has not four bytes"))?;
            let place = whole.len() - rest.len() - value.len();
            if checksum
                .replace((u32::from_be_bytes(value), place))
                .is_some()
            {
                return Err(HeaderError::Malformed("it has two checksums"));
            }
        }
        tlvs = rest;
    }
    match checksum {
        Some((stated, place)) if stated != crc32c(whole, place) => Err(HeaderError::BadChecksum),
        _ => Ok(()),
    }
}

/// CRC-32C (RFC 3720 appendix B.4) of bytes, the four at `place` counted as zero.
fn crc32c(bytes: &[u8], place: usize) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78; // reversed
    let is_checksum = |index: usize| (place..place + 4).contains(&index);
    let of_byte = |crc: u32, (index, byte): (usize, &u8)| {
        let byte = if is_checksum(index) { 0 } else { *byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    };
    !bytes.iter().enumerate().fold(!0, of_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];

    fn header_of(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
        match parse(bytes)? {
            Parsed::Complete { header, length } => {
                assert_eq!(length, bytes.len());
                Ok(header)
            }
            Parsed::Incomplete { .. } => panic!("{bytes:?} is incomplete"),
        }
    }

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        let place = bytes.len() - 4;
        let checksum = crc32c(&bytes, place).to_be_bytes();
        bytes.truncate(place);
        bytes.extend(checksum);
        bytes
    }

    #[test]
    fn addresses_are_read() {
        let header = read(&header_of(0x21, 0x11, &V4)).expect("a header");
        let source = "192.0.2.7:4711".parse().expect("an address");
        let destination = "198.51.100.1:443".parse().expect("an address");
        assert_eq!(
            header,
            Header::Tcp {
                source,
                destination
            }
        );

        let [source, destination] = ["2001:db8::7", "::1"]
            .map(|ip: &str| ip.parse::<Ipv6Addr>().expect("an address").octets());
        let block = [&source[..], &destination, &[0x12, 0x67, 0, 1]].concat();
        let header = read(&header_of(0x21, 0x21, &block)).expect("a header");
        let source = "[2001:db8::7]:4711".parse().expect("an address");
        assert_eq!(header.source(), Some(source));
    }

    #[test]
    fn a_client_without_an_address_and_the_proxy_itself_have_none() {
        let local = |family, block: &[u8]| read(&header_of(0x20, family, block));
        assert_eq!(local(0x00, &[]), Ok(Header::Local));
        // Whatever is in the block is discarded.
        assert_eq!(local(0x11, &V4), Ok(Header::Local));
        assert_eq!(local(0xff, &[1]), Ok(Header::Local));
        assert_eq!(read(&header_of(0x21, 0x00, &[])), Ok(Header::Unknown));
        assert_eq!(
            read(&header_of(0x21, 0x31, &[b'/'; 216])),
            Ok(Header::Unknown)
        );
    }

    #[test]
    fn what_the_specification_does_not_define_is_malformed() {
        let zero = [0; 12];
        for (command, family, block) in [
            (0x22, 0x11, &V4[..]),
            (0x11, 0x11, &V4),
            (0x31, 0x11, &V4),
            (0x01, 0x11, &V4),
            (0x21, 0x10, &V4),
            (0x21, 0x12, &V4),
            (0x21, 0x13, &V4),
            (0x21, 0x22, &[0; 36]),
            (0x21, 0x32, &[0; 216]),
            (0x21, 0x01, &[]),
            (0x21, 0x41, &V4),
            (0x21, 0x11, &V4[..11]),
            (0x21, 0x21, &V4),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x11, &zero),
        ] {
            let error = read(&header_of(command, family, block)).expect_err("malformed");
            assert_eq!(
                error.reason(),
                "proxy_header_malformed",
                "{command:x} {family:x}"
            );
        }
    }

    #[test]
    fn type_length_values_fill_the_block() {
        let with = |tlvs: &[u8]| read(&header_of(0x21, 0x11, &[&V4, tlvs].concat()));
        for good in [&[][..], &[4, 0, 0], &[1, 0, 2, b'h', b'2', 4, 0, 1, 0]] {
            assert!(with(good).is_ok(), "{good:?}");
        }
        for bad in [
            &[4][..],
            &[4, 0],
            &[4, 0, 1],
            &[4, 0xff, 0xff, 0],
            &[4, 0, 0, 4],
            &[3, 0, 3, 1, 2, 3],
        ] {
            let error = with(bad).expect_err("malformed");
            assert_eq!(error.reason(), "proxy_header_malformed", "{bad:?}");
        }
    }

    #[test]
    fn the_checksum_is_verified_where_there_is_one() {
        // The check value of the algorithm.
        assert_eq!(crc32c(b"123456789", 9), 0xe306_9283);

        let block = [&V4[..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat();
        let good = with_checksum(header_of(0x21, 0x11, &block));
        assert!(read(&good).is_ok());
        for changed in [16, 23, 25, good.len() - 1] {
            let mut bad = good.clone();
            bad[changed] ^= 1;
            assert_eq!(read(&bad), Err(HeaderError::BadChecksum), "{changed}");
        }
        let twice = [
            &V4[..],
            &[CRC32C, 0, 4, 0, 0, 0, 0],
            &[CRC32C, 0, 4, 0, 0, 0, 0],
        ]
        .concat();
        let error = read(&with_checksum(header_of(0x21, 0x11, &twice))).expect_err("malformed");
        assert_eq!(error.reason(), "proxy_header_malformed");
    }

    #[test]
    fn a_long_header_is_refused_before_it_is_read() {
        let of_length = |length: usize| {
            let length = u16::try_from(length).expect("short").to_be_bytes();
            parse(&[SIGNATURE, &[0x21, 0x11], &length].concat())
        };
        let longest = Header::MAX - HEAD;
        assert_eq!(
            of_length(longest),
            Ok(Parsed::Incomplete { missing: longest })
        );
        assert_eq!(of_length(longest + 1), Err(HeaderError::TooLong));
        assert_eq!(of_length(0xffff), Err(HeaderError::TooLong));
    }
}
