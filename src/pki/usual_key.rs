//! One encoding for each public key.
//!
//! The same key has several SubjectPublicKeyInfos: RSA with parameters NULL or absent, or under the
//! identifiers of RSASSA-PSS and RSAES-OAEP; an elliptic curve by name or by explicit parameters, with
//! a point that is uncompressed, compressed or hybrid (RFC 3279 section 2.3, RFC 4055, RFC 5480,
//! SEC 1 section 2.3.3). A deny list must recognize a key in each encoding.

use num_bigint::BigUint;

use super::algorithm::is_post_quantum_signature;
use super::der::{self, NotDer, Reader};
use super::oid_names::oid_name;
use super::signed::bit_string;

/// Object identifiers, as the contents of their DER.
mod oid {
    pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub(super) const RSA_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
    pub(super) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    pub(super) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(super) const ECDH: &[u8] = &[0x2b, 0x81, 4, 1, 12];
    pub(super) const ECMQV: &[u8] = &[0x2b, 0x81, 4, 1, 13];
    pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(super) const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
    pub(super) const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
}

/// A curve of FIPS 186-5: y² = x³ − 3x + b modulo p, with p ≡ 3 modulo 4.
struct Curve {
    oid: &'static [u8],
    /// Octets of a coordinate.
    size: usize,
    p: BigUint,
    b: BigUint,
}

impl Curve {
    fn all() -> [Self; 3] {
        let hex = |digits: &str| BigUint::parse_bytes(digits.as_bytes(), 16).unwrap_or_default();
        [
            Self {
                oid: oid::P256,
                size: 32,
                p: hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
                b: hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
            },
            Self {
                oid: oid::P384,
                size: 48,
                p: hex(
                    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
                ),
                b: hex(
                    "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
                ),
            },
            Self {
                oid: oid::P521,
                size: 66,
                p: (BigUint::from(1_u8) << 521_u32) - 1_u8,
                b: hex(
                    "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
                ),
            },
        ]
    }

    /// The y coordinate of this parity for an x coordinate, if the curve has such a point.
    fn y(&self, x: &BigUint, is_odd: bool) -> Option<BigUint> {
        let p = &self.p;
        let square = (x.pow(3) + 3_u8 * (p - x % p) + &self.b) % p;
        let root = square.modpow(&((p + 1_u8) >> 2_u32), p);
        if &root * &root % p != square {
            return None;
        }
        let has_parity = root.bit(0) == is_odd;
        Some(if has_parity { root } else { p - root })
    }
}

/// The usual SubjectPublicKeyInfo of the key in `spki`: RSA as rsaEncryption with NULL, the curves of
/// FIPS 186-5 by name with an uncompressed point. `None` for keys with one known encoding.
pub(crate) fn usual_encoding(spki: &[u8]) -> Option<Vec<u8>> {
    read(spki).ok().flatten()
}

/// Other encodings of the key with the usual encoding `usual`, whose digests a deny list may have: a
/// compressed point, RSA without parameters, and RSA for RSASSA-PSS.
pub(crate) fn other_encodings(usual: &[u8]) -> Vec<Vec<u8>> {
    others(usual).unwrap_or_default()
}

fn others(usual: &[u8]) -> Result<Vec<Vec<u8>>, NotDer> {
    let mut parts = Reader::new(der::single(usual, der::SEQUENCE)?);
    let mut algorithm = Reader::new(parts.expect(der::SEQUENCE)?.content);
    let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
    let oid = algorithm.expect(der::OBJECT_IDENTIFIER)?;
    Ok(match (oid.content, key) {
        (oid::RSA, _) => [oid::RSA, oid::RSA_PSS]
            .map(|oid| subject_public_key_info(&tlv(der::OBJECT_IDENTIFIER, oid), key))
            .into(),
        (oid::EC, [4, point @ ..]) => {
            let curve = algorithm.expect(der::OBJECT_IDENTIFIER)?;
            let parity = point.last().map_or(0, |last| last & 1);
            let x = &point[..point.len() / 2];
            let point = [&[2 | parity], x].concat();
            let algorithm = [oid.whole, curve.whole].concat();
            vec![subject_public_key_info(&algorithm, &point)]
        }
        _ => Vec::new(),
    })
}

fn read(spki: &[u8]) -> Result<Option<Vec<u8>>, NotDer> {
    let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
    let mut algorithm = Reader::new(parts.expect(der::SEQUENCE)?.content);
    let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
    match algorithm.expect(der::OBJECT_IDENTIFIER)?.content {
        oid::RSA | oid::RSA_OAEP | oid::RSA_PSS => rsa(key).map(Some),
        oid::EC | oid::ECDH | oid::ECMQV => Ok(elliptic(algorithm, key)?),
        _ => Ok(None),
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`
fn rsa(key: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut numbers = Reader::new(der::single(key, der::SEQUENCE)?);
    let modulus = integer(numbers.expect(der::INTEGER)?.content);
    let exponent = integer(numbers.expect(der::INTEGER)?.content);
    let key = der::sequence(&[modulus, exponent].concat());
    let null = [0x05, 0];
    let algorithm = [tlv(der::OBJECT_IDENTIFIER, oid::RSA), null.into()].concat();
    Ok(subject_public_key_info(&algorithm, &key))
}

fn elliptic(mut algorithm: Reader<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, NotDer> {
    let parameters = algorithm.any()?;
    let curves = Curve::all();
    let curve = if parameters.tag == der::OBJECT_IDENTIFIER {
        curves.iter().find(|curve| curve.oid == parameters.content)
    } else {
        let prime = prime_of(parameters.content)?;
        curves.iter().find(|curve| curve.p == prime)
    };
    let Some(curve) = curve else {
        return Ok(None);
    };
    let Some(point) = uncompressed(curve, key) else {
        return Ok(None);
    };
    let algorithm = [oid::EC, curve.oid].map(|oid| tlv(der::OBJECT_IDENTIFIER, oid));
    Ok(Some(subject_public_key_info(&algorithm.concat(), &point)))
}

/// `ECParameters ::= SEQUENCE { version, fieldID SEQUENCE { prime-field, p INTEGER }, … }`
fn prime_of(parameters: &[u8]) -> Result<BigUint, NotDer> {
    let mut fields = Reader::new(parameters);
    fields.expect(der::INTEGER)?;
    let mut field = Reader::new(fields.expect(der::SEQUENCE)?.content);
    field.expect(der::OBJECT_IDENTIFIER)?;
    let prime = field.expect(der::INTEGER)?;
    Ok(BigUint::from_bytes_be(prime.content))
}

/// SEC 1 section 2.3.4.
fn uncompressed(curve: &Curve, point: &[u8]) -> Option<Vec<u8>> {
    let (&form, coordinates) = point.split_first()?;
    let xy = match form {
        4 | 6 | 7 if coordinates.len() == 2 * curve.size => coordinates.to_vec(),
        2 | 3 if coordinates.len() == curve.size => {
            let y = curve.y(&BigUint::from_bytes_be(coordinates), form == 3)?;
            let y = y.to_bytes_be();
            let zeros = curve.size.checked_sub(y.len())?;
            [coordinates, &vec![0; zeros], &y].concat()
        }
        _ => return None,
    };
    Some([&[4], &*xy].concat())
}

fn subject_public_key_info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let key = tlv(der::BIT_STRING, &[&[0], key].concat());
    der::sequence(&[der::sequence(algorithm), key].concat())
}

/// A positive INTEGER in its shortest form.
fn integer(content: &[u8]) -> Vec<u8> {
    let zeros = content.iter().take_while(|&&octet| octet == 0).count();
    let number = &content[zeros..];
    let needs_zero = number.first().is_none_or(|&first| first >= 0x80);
    let sign = if needs_zero { &[0][..] } else { &[] };
    tlv(der::INTEGER, &[sign, number].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = der::sequence(content);
    der[0] = tag; // the length does not depend on the tag
    der
}

/// The kind of a key, with its size or curve: `RSA of 1024 bits`, `elliptic curve secp256k1`.
pub(crate) fn key_name(spki: &[u8]) -> String {
    named(spki).unwrap_or_else(|_| "a key that cannot be read".into())
}

fn named(spki: &[u8]) -> Result<String, NotDer> {
    let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
    let mut algorithm = Reader::new(parts.expect(der::SEQUENCE)?.content);
    let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
    let oid = algorithm.expect(der::OBJECT_IDENTIFIER)?.content;
    let dotted = der::oid_to_string(oid)?;
    Ok(match oid {
        oid::RSA => format!("RSA of {} bits", rsa_bits(key)?),
        oid::RSA_PSS => format!("RSA for PSS only, of {} bits", rsa_bits(key)?),
        oid::EC => {
            let parameters = algorithm.any()?;
            if parameters.tag != der::OBJECT_IDENTIFIER {
                return Ok("elliptic curve with explicit parameters".into());
            }
            let dotted = der::oid_to_string(parameters.content)?;
            let curve = match &*dotted {
                "1.2.840.10045.3.1.7" => "P-256",
                "1.3.132.0.34" => "P-384",
                "1.3.132.0.35" => "P-521",
                "1.3.132.0.10" => "secp256k1",
                "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
                "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
                "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
                _ => &dotted,
            };
            format!("elliptic curve {curve}")
        }
        _ => match &*dotted {
            "1.3.101.112" => "Ed25519".into(),
            "1.3.101.113" => "Ed448".into(),
            "1.2.840.10040.4.1" => "DSA".into(),
            other if is_post_quantum_signature(other) => {
                oid_name(other).unwrap_or(other).to_owned()
            }
            _ => format!("a key of the algorithm {dotted}"),
        },
    })
}

fn rsa_bits(key: &[u8]) -> Result<u64, NotDer> {
    let mut numbers = Reader::new(der::single(key, der::SEQUENCE)?);
    let modulus = numbers.expect(der::INTEGER)?.content;
    Ok(BigUint::from_bytes_be(modulus).bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator of P-256 with y odd: SEC 2 section 2.4.2.
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    fn octets(hex: &str) -> Vec<u8> {
        crate::pki::text::from_hex(hex).expect("hexadecimal")
    }

    fn of_curve(parameters: &[u8], point: &[u8]) -> Vec<u8> {
        let algorithm = [&tlv(der::OBJECT_IDENTIFIER, oid::EC), parameters].concat();
        subject_public_key_info(&algorithm, point)
    }

    #[test]
    fn each_form_of_a_point_is_one_key() {
        let named = tlv(der::OBJECT_IDENTIFIER, oid::P256);
        let (x, y) = (octets(X), octets(Y));
        let usual = of_curve(&named, &[&[4], &*x, &y].concat());
        let explicit = {
            let prime = tlv(
                der::INTEGER,
                &[&[0], &*Curve::all()[0].p.to_bytes_be()].concat(),
            );
            let prime_field = [0x2a, 0x86, 0x48, 0xce, 0x3d, 1, 1];
            let field = [tlv(der::OBJECT_IDENTIFIER, &prime_field), prime].concat();
            der::sequence(&[tlv(der::INTEGER, &[1]), der::sequence(&field)].concat())
        };
        for (parameters, point) in [
            (&named, [&[4], &*x, &y].concat()),
            (&named, [&[3], &*x].concat()),
            (&named, [&[7], &*x, &y].concat()),
            (&explicit, [&[4], &*x, &y].concat()),
            (&explicit, [&[3], &*x].concat()),
        ] {
            let found = usual_encoding(&of_curve(parameters, &point));
            assert_eq!(found.as_ref(), Some(&usual), "{point:02x?}");
        }
        let other = usual_encoding(&of_curve(&named, &[&[2], &*x].concat()));
        assert!(other.is_some_and(|other| other != usual), "the other y");
        let short = of_curve(&named, &[2, 1, 2]);
        assert_eq!(usual_encoding(&short), None);
    }

    #[test]
    fn the_curves_have_their_generators() {
        for (curve, x) in [
            (
                1,
                "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
            ),
            (
                2,
                "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
            ),
        ] {
            let curve = &Curve::all()[curve];
            let x = BigUint::from_bytes_be(&octets(x));
            assert!(curve.y(&x, true).is_some());
        }
    }

    #[test]
    fn each_form_of_an_rsa_key_is_one_key() {
        let key = |modulus: &[u8]| {
            let modulus = tlv(der::INTEGER, modulus);
            der::sequence(&[modulus, tlv(der::INTEGER, &[1, 0, 1])].concat())
        };
        let spki = |oid: &[u8], parameters: &[u8], key: &[u8]| {
            subject_public_key_info(
                &[&tlv(der::OBJECT_IDENTIFIER, oid), parameters].concat(),
                key,
            )
        };
        let usual = spki(oid::RSA, &[5, 0], &key(&[0, 0xa5, 1]));
        for (oid, parameters, modulus) in [
            (oid::RSA, &[5, 0][..], &[0, 0xa5, 1][..]),
            (oid::RSA, &[], &[0, 0xa5, 1]),
            (oid::RSA_PSS, &[], &[0, 0xa5, 1]),
            (oid::RSA_PSS, &[0x30, 0], &[0, 0xa5, 1]),
            (oid::RSA, &[5, 0], &[0, 0, 0xa5, 1]),
        ] {
            let found = usual_encoding(&spki(oid, parameters, &key(modulus)));
            assert_eq!(
                found.as_ref(),
                Some(&usual),
                "{parameters:02x?} {modulus:02x?}"
            );
        }
        assert_eq!(
            usual_encoding(&spki(&[0x2b, 0x65, 0x70], &[], &[7; 32])),
            None
        );
        assert_eq!(usual_encoding(b"\x30\x00"), None);
    }

    #[test]
    fn keys_have_names_with_size_or_curve() {
        let curve = |dotted: &[u8]| of_curve(&tlv(der::OBJECT_IDENTIFIER, dotted), &[4]);
        let of = |oid: &[u8], key: &[u8]| {
            let algorithm = tlv(der::OBJECT_IDENTIFIER, oid);
            subject_public_key_info(&algorithm, key)
        };
        let modulus = tlv(der::INTEGER, &[0x7f, 1]);
        let rsa = der::sequence(&[modulus, tlv(der::INTEGER, &[3])].concat());
        for (spki, name) in [
            (of(oid::RSA, &rsa), "RSA of 15 bits"),
            (of(oid::RSA_PSS, &rsa), "RSA for PSS only, of 15 bits"),
            (curve(oid::P256), "elliptic curve P-256"),
            (curve(&[0x2b, 0x81, 4, 0, 10]), "elliptic curve secp256k1"),
            (of(&[0x2b, 0x65, 0x71], &[1]), "Ed448"),
            (
                of(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18], &[1]),
                "ML-DSA-65",
            ),
            (
                of_curve(&der::sequence(&[]), &[4]),
                "elliptic curve with explicit parameters",
            ),
            (of(&[0x2a, 3], &[1]), "a key of the algorithm 1.2.3"),
            (vec![0x30], "a key that cannot be read"),
        ] {
            assert_eq!(key_name(&spki), name);
        }
    }
}
