use super::der;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use sha2::{Digest as _, Sha256};
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

/// The type of a key with its signature algorithm.
///
/// ```
/// use countersign::testing::{KeyType, TestCa};
///
/// let ca = TestCa::builder("Root").key(KeyType::P384).root();
/// let leaf = ca.leaf().dns("a.example").key(KeyType::Ed25519).issue();
/// assert_eq!(leaf.chain().len(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// ECDSA on P-256, with SHA-256.
    #[default]
    P256,
    /// ECDSA on P-384, with SHA-384.
    P384,
    /// ECDSA on P-521, with SHA-512. Needs the feature `aws-lc-rs`.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA of 2,048 bits, PKCS#1 v1.5 with SHA-256. Needs the feature `aws-lc-rs`.
    Rsa2048,
    /// RSA of 4,096 bits, PKCS#1 v1.5 with SHA-256. Needs the feature `aws-lc-rs`. Making one can take
    /// a second.
    Rsa4096,
    /// ML-DSA-44 (FIPS 204, security category 2). Needs the feature `aws-lc-rs`.
    MlDsa44,
    /// ML-DSA-65 (FIPS 204, security category 3). Needs the feature `aws-lc-rs`.
    MlDsa65,
    /// ML-DSA-87 (FIPS 204, security category 5). Needs the feature `aws-lc-rs`.
    MlDsa87,
}

/// A set of `keyUsage` bits, joined with `|`.
///
/// ```
/// use countersign::testing::{KeyUsageBits, TestCa};
///
/// let bits = KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_ENCIPHERMENT;
/// let leaf = TestCa::new("Root").leaf().key_usage(Some(bits)).issue();
/// assert!(leaf.certificate().key_usage().unwrap().digital_signature());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyUsageBits(u16);

impl KeyUsageBits {
    /// No bit: a certificate without an allowed use.
    pub const NONE: Self = Self(0);
    /// digitalSignature (0).
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// nonRepudiation, also called contentCommitment (1).
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// keyEncipherment (2).
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// dataEncipherment (3).
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// keyAgreement (4).
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign (5).
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign (6).
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// encipherOnly (7).
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// decipherOnly (8).
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    /// The BIT STRING without trailing zero bits, which DER forbids in a named bit list.
    pub fn to_der(self) -> Vec<u8> {
        let used = 16 - self.0.leading_zeros();
        // Bit 0 of the list is the top bit of the first octet.
        let octets = self.0.reverse_bits().to_be_bytes();
        let len = used.div_ceil(8);
        der::bit_string((len * 8 - used) as u8, &octets[..len as usize])
    }
}

impl BitOr for KeyUsageBits {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for KeyUsageBits {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// A SubjectPublicKeyInfo with an RSA modulus of exactly this number of bits. It is odd, and
/// no private key belongs to it. A large modulus makes signature verification slow.
///
/// ```
/// use countersign::testing::{TestCa, oversized_rsa_spki};
///
/// let huge = TestCa::new("Root").leaf().spki_der(oversized_rsa_spki(16_384)).issue();
/// assert!(huge.leaf_der().len() > 2_048);
/// ```
///
/// # Panics
/// If `bits` is less than 8.
pub fn oversized_rsa_spki(bits: usize) -> Vec<u8> {
    assert!(bits >= 8, "a modulus of at least 8 bits");
    let mut modulus = vec![0xa5; bits.div_ceil(8)];
    let top = ((bits - 1) % 8) as u32;
    modulus[0] = 1 << top;
    if let Some(last) = modulus.last_mut() {
        *last |= 1;
    }
    if top == 7 {
        modulus.insert(0, 0);
    }
    let key = der::sequence(&[der::tlv(0x02, modulus), der::integer(65_537)]);
    let algorithm = der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]);
    der::sequence(&[algorithm, der::bit_string(0, key)])
}

/// A private key that signs. Clones are cheap and share the key.
#[derive(Clone)]
pub(super) struct Key {
    kind: KeyType,
    pair: Arc<KeyPair>,
}

impl Key {
    pub(super) fn generate(kind: KeyType) -> Self {
        let pair = match kind {
            KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            #[cfg(feature = "aws-lc-rs")]
            KeyType::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            #[cfg(feature = "aws-lc-rs")]
            KeyType::Rsa2048 => {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
            }
            #[cfg(feature = "aws-lc-rs")]
            KeyType::Rsa4096 => {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096)
            }
            #[cfg(feature = "aws-lc-rs")]
            KeyType::MlDsa44 => KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44),
            #[cfg(feature = "aws-lc-rs")]
            KeyType::MlDsa65 => KeyPair::generate_for(&rcgen::PKCS_ML_DSA_65),
            #[cfg(feature = "aws-lc-rs")]
            KeyType::MlDsa87 => KeyPair::generate_for(&rcgen::PKCS_ML_DSA_87),
            #[cfg(not(feature = "aws-lc-rs"))]
            KeyType::P521 => panic!("ring has no P-521: enable the feature `aws-lc-rs`"),
            #[cfg(not(feature = "aws-lc-rs"))]
            KeyType::Rsa2048 | KeyType::Rsa4096 => {
                panic!("ring makes no RSA keys: enable the feature `aws-lc-rs`")
            }
            #[cfg(not(feature = "aws-lc-rs"))]
            KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => {
                panic!("ring has no ML-DSA: enable the feature `aws-lc-rs`")
            }
        };
        Self {
            kind,
            pair: Arc::new(pair.expect("the provider makes a key of this type")),
        }
    }

    pub(super) fn kind(&self) -> KeyType {
        self.kind
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    pub(super) fn pkcs8(&self) -> Vec<u8> {
        let der = self.pair.serialized_der();
        if self.kind != KeyType::Ed25519 {
            return der.to_vec();
        }
        // The providers add the public key, which makes it PKCS#8 v2. OpenSSL reads only v1.
        let head = [der::integer(0), der::sequence(&[der::oid("1.3.101.112")])].concat();
        let at = der
            .windows(4)
            .position(|window| window == [0x04, 0x22, 0x04, 0x20])
            .expect("an Ed25519 key holds a seed of 32 octets");
        der::tlv(0x30, [&head, &der[at..at + 36]].concat())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).expect("the provider signs")
    }

    /// The signature's AlgorithmIdentifier: no parameters for ECDSA (RFC 5758), Ed25519 (RFC 8410) and
    /// ML-DSA (RFC 9881), NULL for RSA (RFC 4055).
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self.kind {
            KeyType::P256 => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
            KeyType::P384 => der::sequence(&[der::oid("1.2.840.10045.4.3.3")]),
            KeyType::P521 => der::sequence(&[der::oid("1.2.840.10045.4.3.4")]),
            KeyType::Ed25519 => der::sequence(&[der::oid("1.3.101.112")]),
            KeyType::Rsa2048 | KeyType::Rsa4096 => {
                der::sequence(&[der::oid("1.2.840.113549.1.1.11"), der::null()])
            }
            KeyType::MlDsa44 => der::sequence(&[der::oid("2.16.840.1.101.3.4.3.17")]),
            KeyType::MlDsa65 => der::sequence(&[der::oid("2.16.840.1.101.3.4.3.18")]),
            KeyType::MlDsa87 => der::sequence(&[der::oid("2.16.840.1.101.3.4.3.19")]),
        }
    }

    /// The key identifier: the first 160 bits of the public key's SHA-256 (RFC 7093, method 1).
    pub(super) fn id(&self) -> Vec<u8> {
        Sha256::digest(self.pair.public_key_raw())[..20].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_is_a_minimal_bit_string() {
        use KeyUsageBits as K;
        assert_eq!(K::NONE.to_der(), [3, 1, 0]);
        assert_eq!(K::DIGITAL_SIGNATURE.to_der(), [3, 2, 7, 0x80]);
        assert_eq!((K::KEY_CERT_SIGN | K::CRL_SIGN).to_der(), [3, 2, 1, 0x06]);
        assert_eq!(K::ENCIPHER_ONLY.to_der(), [3, 2, 0, 0x01]);
        assert_eq!(
            (K::KEY_AGREEMENT | K::DECIPHER_ONLY).to_der(),
            [3, 3, 7, 0x08, 0x80]
        );
    }

    #[test]
    fn oversized_moduli_have_the_given_size() {
        // INTEGER 00 80 a5 … a5 of 2,048 octets and the sign octet.
        let spki = oversized_rsa_spki(16_384);
        let head = [0x02, 0x82, 0x08, 0x01, 0x00, 0x80, 0xa5];
        assert!(spki.windows(head.len()).any(|window| window == head));
        let spki = oversized_rsa_spki(16_385);
        let head = [0x02, 0x82, 0x08, 0x01, 0x01, 0xa5];
        assert!(spki.windows(head.len()).any(|window| window == head));
    }

    #[test]
    fn ed25519_keys_are_exported_as_pkcs8_v1() {
        let key = Key::generate(KeyType::Ed25519);
        let der = key.pkcs8();
        assert_eq!(der.len(), 48);
        assert_eq!(der[..5], [0x30, 0x2e, 0x02, 0x01, 0x00]);
        let pkcs8 = rustls_pki_types::PrivatePkcs8KeyDer::from(der);
        let again = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ED25519);
        assert_eq!(again.unwrap().public_key_raw(), key.pair.public_key_raw());
    }

    #[cfg(not(feature = "aws-lc-rs"))]
    #[test]
    #[should_panic(expected = "ring has no ML-DSA")]
    fn ring_panics_with_the_cause_for_ml_dsa() {
        Key::generate(KeyType::MlDsa65);
    }

    #[cfg(not(feature = "aws-lc-rs"))]
    #[test]
    #[should_panic(expected = "ring makes no RSA keys")]
    fn ring_panics_with_the_cause_for_rsa() {
        Key::generate(KeyType::Rsa2048);
    }
}
