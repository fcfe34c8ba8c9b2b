//! The mechanisms of PKCS#11 that make TLS's signatures, and the encodings between them.

use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use rustls::SignatureScheme;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::pki::der::{self, NotDer, Reader};
use crate::pki::provider;

/// The schemes that are tried, the preferred one first.
pub(super) const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    /// The last byte of its object identifier, and its length.
    const fn numbers(self) -> (u8, u8) {
        match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
        }
    }

    /// RFC 8017 section 9.2, note 1.
    fn digest_info(self, message: &[u8]) -> Vec<u8> {
        let (oid, length) = self.numbers();
        let mut info = vec![0x30, 17 + length, 0x30, 13, 6, 9];
        info.extend([0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, oid, 5, 0, 4, length]);
        info.extend(self.of(message));
        info
    }
}

/// How a token makes one scheme's signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Of a hash, as two integers of this size.
    Ecdsa(Hash, usize),
    Ed25519,
    Pss(Hash, Hashes),
    Pkcs1(Hash, Hashes),
}

/// Which side hashes the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hashes {
    Here,
    Token,
}

impl Way {
    /// The ways to make this scheme's signatures, the preferred one first. Which of them a token has is tried:
    /// some list mechanisms that they do not have for a key, and TPMs have some that they do not list.
    pub(super) fn all(scheme: SignatureScheme) -> Vec<Self> {
        use SignatureScheme as S;

        // A hash is shorter than some messages, for tokens behind a slow line.
        let rsa = |make: fn(Hash, Hashes) -> Self, hash| {
            vec![make(hash, Hashes::Here), make(hash, Hashes::Token)]
        };
        match scheme {
            S::ECDSA_NISTP256_SHA256 => vec![Self::Ecdsa(Hash::Sha256, 32)],
            S::ECDSA_NISTP384_SHA384 => vec![Self::Ecdsa(Hash::Sha384, 48)],
            S::ECDSA_NISTP521_SHA512 => vec![Self::Ecdsa(Hash::Sha512, 66)],
            S::ED25519 => vec![Self::Ed25519],
            S::RSA_PSS_SHA256 => rsa(Self::Pss, Hash::Sha256),
            S::RSA_PSS_SHA384 => rsa(Self::Pss, Hash::Sha384),
            S::RSA_PSS_SHA512 => rsa(Self::Pss, Hash::Sha512),
            S::RSA_PKCS1_SHA256 => rsa(Self::Pkcs1, Hash::Sha256),
            S::RSA_PKCS1_SHA384 => rsa(Self::Pkcs1, Hash::Sha384),
            S::RSA_PKCS1_SHA512 => rsa(Self::Pkcs1, Hash::Sha512),
            _ => Vec::new(),
        }
    }

    /// The mechanism, and what it is given.
    pub(super) fn input(self, message: &[u8]) -> (Mechanism<'static>, Vec<u8>) {
        match self {
            Self::Ecdsa(hash, _) => (Mechanism::Ecdsa, hash.of(message)),
            Self::Ed25519 => {
                let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
                (Mechanism::Eddsa(pure), message.to_vec())
            }
            Self::Pss(hash, hashes) => {
                let parameters = pss(hash);
                match hashes {
                    Hashes::Here => (Mechanism::RsaPkcsPss(parameters), hash.of(message)),
                    Hashes::Token => {
                        let mechanism = match hash {
                            Hash::Sha256 => Mechanism::Sha256RsaPkcsPss(parameters),
                            Hash::Sha384 => Mechanism::Sha384RsaPkcsPss(parameters),
                            Hash::Sha512 => Mechanism::Sha512RsaPkcsPss(parameters),
                        };
                        (mechanism, message.to_vec())
                    }
                }
            }
            Self::Pkcs1(hash, Hashes::Here) => (Mechanism::RsaPkcs, hash.digest_info(message)),
            Self::Pkcs1(hash, Hashes::Token) => {
                let mechanism = match hash {
                    Hash::Sha256 => Mechanism::Sha256RsaPkcs,
                    Hash::Sha384 => Mechanism::Sha384RsaPkcs,
                    Hash::Sha512 => Mechanism::Sha512RsaPkcs,
                };
                (mechanism, message.to_vec())
            }
        }
    }

    /// The token's signature as TLS encodes it. `None` if it is not one.
    pub(super) fn output(self, signature: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Ecdsa(_, size) => ecdsa_der(&signature, size),
            _ => Some(signature),
        }
    }
}

/// RFC 8446 section 4.2.3: the salt is as long as the hash.
fn pss(hash: Hash) -> PkcsPssParams {
    let (hash_alg, mgf, salt) = match hash {
        Hash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Hash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Hash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams {
        hash_alg,
        mgf,
        s_len: cryptoki::types::Ulong::new(salt),
    }
}

/// Two integers of fixed size as a DER sequence (RFC 3279 section 2.2.3).
fn ecdsa_der(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    if signature.len() != 2 * size {
        return None;
    }
    let (r, s) = signature.split_at(size);
    let mut content = integer(r);
    content.extend(integer(s));
    Some(der::sequence(&content))
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(zeros..).unwrap_or_default();
    let needs_zero = significant.first().is_none_or(|first| first & 0x80 != 0);
    let length = significant.len() + usize::from(needs_zero);
    // At most 67, so that the length is one byte.
    let mut integer = vec![der::INTEGER, u8::try_from(length).unwrap_or(u8::MAX)];
    integer.extend(needs_zero.then_some(0));
    integer.extend(significant);
    integer
}

/// The result of verifying a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    /// There is no provider that verifies such signatures.
    Unknown,
}

/// Verifies a signature with the key of an encoded SubjectPublicKeyInfo.
pub(super) fn verify(
    spki: &[u8],
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Verdict {
    let Some(provider) = provider::built_in() else {
        return Verdict::Unknown;
    };
    let Ok((algorithm, key)) = parts_of(spki) else {
        return Verdict::Bad;
    };
    let mapping = provider.signature_verification_algorithms.mapping;
    let algorithms = mapping.iter().find(|(known, _)| *known == scheme);
    let algorithms = algorithms.map_or(&[][..], |(_, algorithms)| algorithms);
    let mut verdict = Verdict::Unknown;
    for verifier in algorithms {
        if verifier.public_key_alg_id().as_ref() == algorithm {
            if verifier.verify_signature(key, message, signature).is_ok() {
                return Verdict::Good;
            }
            verdict = Verdict::Bad;
        }
    }
    verdict
}

/// The content of the AlgorithmIdentifier, and the bytes of the key.
fn parts_of(spki: &[u8]) -> Result<(&[u8], &[u8]), NotDer> {
    let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
    let algorithm = parts.expect(der::SEQUENCE)?.content;
    let bits = parts.expect(der::BIT_STRING)?.content;
    match bits.split_first() {
        Some((0, key)) => Ok((algorithm, key)),
        _ => Err(NotDer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_fixed_size_become_der() {
        let der = |bytes: &[u8], size| ecdsa_der(bytes, size);
        assert_eq!(der(&[1, 2], 1), Some(vec![0x30, 6, 2, 1, 1, 2, 1, 2]));
        let high = Some(vec![0x30, 7, 2, 2, 0, 0x80, 2, 1, 0]);
        assert_eq!(der(&[0, 0x80, 0, 0], 2), high);
        assert_eq!(der(&[1, 2, 3], 1), None);
        assert_eq!(der(&[], 32), None);
        let long = der(&[0xff; 132], 66).expect("a signature");
        assert_eq!(long[..4], [0x30, 0x81, 138, 2]);
    }

    #[test]
    fn hashes_are_in_their_digest_info() {
        let info = Hash::Sha256.digest_info(b"");
        let start = "3031300d060960864801650304020105000420e3b0c442";
        let hex: String = info.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(hex.starts_with(start), "{hex}");
        assert_eq!(info.len(), 51);
    }
}
