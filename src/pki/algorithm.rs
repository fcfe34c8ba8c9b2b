//! Signature algorithms and public keys in words, and whether a crypto provider can verify them.
//!
//! rustls-webpki compares AlgorithmIdentifiers octet by octet, and the crypto provider checks the size of
//! a key when it verifies a signature. Both report only that a signature is not valid. A key of 1024 bits
//! then looks like a forgery, so the causes are separated here.

use std::borrow::Cow;
use std::fmt;

use rustls_pki_types::SignatureVerificationAlgorithm;

use super::der::{self, NotDer, Reader};
use super::oid_names::{NamedOid, oid_name};
use super::provider::Backend;
use super::signed::bit_string;
use crate::diagnostic::{Diagnostic, display_diagnostic};

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// The limits of both crypto providers for RSA, in bits.
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
/// The longest public exponent that both crypto providers accept, in bits.
const MAX_EXPONENT_BITS: usize = 33;

/// The arc of NIST's signature algorithms, below which 17 to 19 are ML-DSA (RFC 9881) and 20 to 31 SLH-DSA
/// (RFC 9909). Both have one identifier for the key and for the signature.
const NIST_SIGNATURES: &str = "2.16.840.1.101.3.4.3.";

/// Whether a key or signature of this algorithm, a dotted object identifier, resists quantum computers.
pub(crate) fn is_post_quantum_signature(oid: &str) -> bool {
    let arc = oid.strip_prefix(NIST_SIGNATURES);
    arc.is_some_and(|arc| {
        let is_number = arc.len() == 2 && arc.bytes().all(|digit| digit.is_ascii_digit());
        is_number && ("17"..="31").contains(&arc)
    })
}

/// Whether the key in a SubjectPublicKeyInfo makes signatures that resist quantum computers.
pub(crate) fn is_post_quantum_key(spki: &[u8]) -> bool {
    let oid = || -> Result<String, NotDer> {
        let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
        let mut algorithm = Reader::new(parts.expect(der::SEQUENCE)?.content);
        der::oid_to_string(algorithm.expect(der::OBJECT_IDENTIFIER)?.content)
    };
    oid().is_ok_and(|oid| is_post_quantum_signature(&oid))
}

/// Whether the content of an AlgorithmIdentifier is that of a signature that resists quantum computers.
pub(crate) fn is_post_quantum_algorithm(content: &[u8]) -> bool {
    let oid = || der::oid_to_string(Reader::new(content).expect(der::OBJECT_IDENTIFIER)?.content);
    oid().is_ok_and(|oid: String| is_post_quantum_signature(&oid))
}

/// Why signatures of the key in a SubjectPublicKeyInfo are not approved by FIPS 186-5 and FIPS 204, for
/// these algorithms of a crypto provider; `None` if they are.
///
/// AWS-LC's module does not refuse what is not approved: it leaves the decision to the caller.
pub(crate) fn not_fips<'p>(
    spki: &[u8],
    algorithms: impl IntoIterator<Item = &'p &'static dyn SignatureVerificationAlgorithm>,
) -> Option<String> {
    /// FIPS 186-5 section A.1.1: the public exponent is over 2^16.
    const MIN_EXPONENT_BITS: usize = 17;

    let Ok(key) = Key::read(spki) else {
        return Some("the key cannot be read".into());
    };
    let mut known = algorithms
        .into_iter()
        .filter(|known| known.public_key_alg_id().as_ref() == key.algorithm)
        .peekable();
    if known.peek().is_none() {
        return Some(format!(
            "the key is {key}, which the crypto provider does not support"
        ));
    }
    if let Some(other) = known.find(|known| !known.fips()) {
        let id = other.signature_alg_id();
        return Some(format!(
            "the key is {key}, and the crypto provider's {} is not of a FIPS module",
            describe_algorithm(id.as_ref())
        ));
    }
    match &key.kind {
        Kind::Rsa(rsa) if rsa.bits < MIN_RSA_BITS => Some(format!(
            "the key is {key}, and FIPS 186-5 requires at least {MIN_RSA_BITS} bits"
        )),
        Kind::Rsa(rsa) if !rsa.bits.is_multiple_of(2) => Some(format!(
            "the key is {key}, and FIPS 186-5 requires an even number of bits"
        )),
        Kind::Rsa(rsa) if rsa.exponent_bits < MIN_EXPONENT_BITS => Some(format!(
            "the key is {key} with a public exponent of {} bits, and FIPS 186-5 requires one over 65,536",
            rsa.exponent_bits
        )),
        _ => None,
    }
}

/// The name and the object identifier of a signature algorithm:
/// `ecdsa-with-SHA256 (1.2.840.10045.4.3.2)`.
///
/// `der` is an encoded AlgorithmIdentifier of a certificate, a CRL or a request. RSASSA-PSS is described
/// with its hash functions and the length of its salt.
///
/// ```
/// use countersign::pki::signature_algorithm_name;
///
/// let sha1 = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5, 5, 0];
/// assert_eq!(signature_algorithm_name(&sha1), "sha1WithRSAEncryption (1.2.840.113549.1.1.5)");
/// assert_eq!(signature_algorithm_name(&[]), "an unreadable algorithm");
/// ```
pub fn signature_algorithm_name(der: &[u8]) -> String {
    match der::single(der, der::SEQUENCE) {
        Ok(content) => describe_algorithm(content),
        Err(NotDer) => UNREADABLE_ALGORITHM.into(),
    }
}

/// The remedy for ML-DSA where the provider lacks it.
pub(crate) const USE_AWS_LC_RS: &str = "build with the feature aws-lc-rs, whose crypto provider verifies ML-DSA (with several providers, do not call crypto_provider() with another)";

const UNREADABLE_ALGORITHM: &str = "an unreadable algorithm";

/// As [`signature_algorithm_name`], for the content of the AlgorithmIdentifier.
pub(crate) fn describe_algorithm(content: &[u8]) -> String {
    let read = || -> Result<String, NotDer> {
        let mut parts = Reader::new(content);
        let oid = der::oid_to_text(parts.expect(der::OBJECT_IDENTIFIER)?.content)?;
        if oid == RSASSA_PSS {
            let pss = Pss::read(&mut parts)?;
            return Ok(format!("RSASSA-PSS with {pss} ({oid})"));
        }
        Ok(NamedOid(&oid).to_string())
    };
    read().unwrap_or_else(|NotDer| UNREADABLE_ALGORITHM.into())
}

/// `RSASSA-PSS-params` (RFC 4055 section 3.1).
struct Pss {
    hash: String,
    mask_hash: String,
    salt: usize,
}

impl Pss {
    fn read(parts: &mut Reader<'_>) -> Result<Self, NotDer> {
        let sha1 = || "SHA-1".to_owned();
        let mut read = Self {
            hash: sha1(),
            mask_hash: sha1(),
            salt: 20,
        };
        if parts.is_empty() {
            return Ok(read);
        }
        let mut fields = Reader::new(parts.expect(der::SEQUENCE)?.content);
        if let Some(hash) = fields.optional(0xa0)? {
            read.hash = hash_name(hash.content)?;
        }
        if let Some(mask) = fields.optional(0xa1)? {
            let mut mask = Reader::new(der::single(mask.content, der::SEQUENCE)?);
            mask.expect(der::OBJECT_IDENTIFIER)?;
            read.mask_hash = hash_name(mask.expect(der::SEQUENCE)?.whole)?;
        }
        if let Some(salt) = fields.optional(0xa2)? {
            let octets = der::single(salt.content, der::INTEGER)?;
            read.salt = octets
                .iter()
                .try_fold(0_usize, |sum, octet| {
                    sum.checked_mul(256)?.checked_add(usize::from(*octet))
                })
                .ok_or(NotDer)?;
        }
        Ok(read)
    }
}

impl fmt::Display for Pss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.hash)?;
        if self.mask_hash != self.hash {
            write!(f, "MGF1 with {}, ", self.mask_hash)?;
        }
        write!(f, "a salt of {} bytes", self.salt)
    }
}

/// The name of the hash function in an AlgorithmIdentifier.
fn hash_name(der: &[u8]) -> Result<String, NotDer> {
    let mut parts = Reader::new(der::single(der, der::SEQUENCE)?);
    let oid = der::oid_to_text(parts.expect(der::OBJECT_IDENTIFIER)?.content)?;
    Ok(oid_name(&oid).map_or_else(|| oid.clone().into_owned(), str::to_owned))
}

/// A signature algorithm that the crypto provider does not support.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::AlgorithmError;
///
/// let sha1 = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5, 5, 0];
/// let error = AlgorithmError::of(&sha1);
/// assert_eq!(error.name(), "sha1WithRSAEncryption (1.2.840.113549.1.1.5)");
/// assert!(error.cause().ends_with("because SHA-1 is not secure"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AlgorithmError {
    name: String,
    weakness: Weakness,
}

/// Why an algorithm is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    /// Of its hash function.
    Hash(&'static str),
    Dsa,
    PssParameters,
    Sha224,
    Kind,
}

impl AlgorithmError {
    /// The error for an encoded AlgorithmIdentifier.
    pub fn of(der: &[u8]) -> Self {
        Self::of_content(der::single(der, der::SEQUENCE).unwrap_or_default())
    }

    /// As [`of`](Self::of), for the content of the AlgorithmIdentifier.
    pub(crate) fn of_content(content: &[u8]) -> Self {
        let name = describe_algorithm(content);
        let folded = name.to_ascii_lowercase();
        let has = |part: &str| folded.contains(part);
        let pss = has("pss");
        let weakness = if has("md2") {
            Weakness::Hash("MD2")
        } else if has("md4") {
            Weakness::Hash("MD4")
        } else if has("md5") {
            Weakness::Hash("MD5")
        } else if has("sha1") || has("sha-1,") || (has("ripemd") && !pss) {
            Weakness::Hash(if has("ripemd") { "RIPEMD-160" } else { "SHA-1" })
        } else if has("ecdsa") || !has("dsa") {
            match () {
                () if pss => Weakness::PssParameters,
                () if has("sha224") || has("sha-224") => Weakness::Sha224,
                () => Weakness::Kind,
            }
        } else if has("ml-dsa") || has("slh-dsa") {
            Weakness::Kind
        } else {
            Weakness::Dsa
        };
        Self { name, weakness }
    }

    /// The name and the object identifier, as [`signature_algorithm_name`] returns them.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Diagnostic for AlgorithmError {
    fn reason(&self) -> &'static str {
        "unsupported_algorithm"
    }

    fn cause(&self) -> Cow<'_, str> {
        let name = &self.name;
        let because: &str = match self.weakness {
            Weakness::Hash(hash) => &format!(", because {hash} is not secure"),
            Weakness::Dsa => ", because DSA has no use in TLS any more",
            Weakness::PssParameters => {
                ": it supports SHA-256, SHA-384 and SHA-512, MGF1 with the same hash, and a salt as long as the hash"
            }
            Weakness::Sha224 | Weakness::Kind => "",
        };
        format!(
            "the signature algorithm is {name}, which the crypto provider does not support{because}"
        )
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self.weakness {
            Weakness::Hash(_) | Weakness::Sha224 => {
                "have its issuer sign it again with SHA-256 (openssl: -sha256, or default_md = sha256)"
            }
            Weakness::PssParameters => {
                "have its issuer sign it again with a salt as long as the hash (openssl: -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest), or with sha256WithRSAEncryption"
            }
            Weakness::Kind if self.name.starts_with("ML-DSA") => USE_AWS_LC_RS,
            Weakness::Dsa | Weakness::Kind => {
                "have it signed by a CA with a key of ECDSA P-256 or P-384, Ed25519 or RSA, with SHA-256 or SHA-384"
            }
        }
        .into()
    }
}

display_diagnostic!(AlgorithmError);

/// A public key: its kind, and its size or curve.
pub(crate) struct Key<'a> {
    /// The content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    kind: Kind<'a>,
}

enum Kind<'a> {
    Rsa(Rsa),
    /// Restricted to RSASSA-PSS (RFC 4055 section 1.2).
    RsaPss(Rsa),
    /// By the name of the curve.
    Named {
        curve: Cow<'static, str>,
        point: &'a [u8],
    },
    /// With explicit parameters, or none.
    UnnamedCurve,
    Dsa {
        bits: Option<usize>,
    },
    Other(Cow<'static, str>),
}

struct Rsa {
    bits: usize,
    exponent_bits: usize,
}

impl<'a> Key<'a> {
    /// `spki` is an encoded SubjectPublicKeyInfo.
    pub(crate) fn read(spki: &'a [u8]) -> Result<Self, NotDer> {
        let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
        let algorithm = parts.expect(der::SEQUENCE)?.content;
        let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
        let mut fields = Reader::new(algorithm);
        let oid = der::oid_to_text(fields.expect(der::OBJECT_IDENTIFIER)?.content)?;
        let kind = match &*oid {
            RSA_ENCRYPTION => Kind::Rsa(Rsa::read(key)?),
            RSASSA_PSS => Kind::RsaPss(Rsa::read(key)?),
            EC_PUBLIC_KEY => match fields.optional(der::OBJECT_IDENTIFIER)? {
                Some(curve) => Kind::Named {
                    curve: der::oid_to_text(curve.content)?,
                    point: key,
                },
                None => Kind::UnnamedCurve,
            },
            "1.2.840.10040.4.1" => Kind::Dsa {
                bits: dsa_bits(&mut fields).ok(),
            },
            _ => Kind::Other(oid),
        };
        Ok(Self { algorithm, kind })
    }

    /// Whether one of these algorithms of a crypto provider verifies signatures of this key.
    pub(crate) fn check<'p>(
        &self,
        algorithms: impl IntoIterator<Item = &'p &'static dyn SignatureVerificationAlgorithm> + Clone,
    ) -> Result<(), KeyError> {
        let mut all = algorithms.clone().into_iter();
        let is_known = all.any(|known| known.public_key_alg_id().as_ref() == self.algorithm);
        let backend = || Backend::of(algorithms.clone());
        match &self.kind {
            Kind::RsaPss(rsa) => return Err(KeyError::PssOnly { bits: rsa.bits }),
            Kind::UnnamedCurve => return Err(KeyError::NoNamedCurve),
            Kind::Other(oid) if matches!(&**oid, "1.3.101.110" | "1.3.101.111") => {
                return Err(KeyError::KeyAgreement {
                    key: self.to_string(),
                });
            }
            Kind::Rsa(rsa) => rsa.check(backend)?,
            _ => {}
        }
        match &self.kind {
            Kind::Rsa(_) if !is_known => Err(KeyError::NoNull),
            _ if !is_known => Err(KeyError::Unsupported {
                key: self.to_string(),
                supported: supported(algorithms),
            }),
            Kind::Named { point, .. } => match point.first() {
                Some(4) => Ok(()),
                Some(2 | 3) if backend() != Backend::Ring => Ok(()),
                _ => Err(KeyError::PointFormat {
                    key: self.to_string(),
                }),
            },
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Rsa(rsa) => write!(f, "RSA {} bits", rsa.bits),
            Kind::RsaPss(rsa) => write!(f, "RSASSA-PSS {} bits ({RSASSA_PSS})", rsa.bits),
            Kind::Named { curve, .. } => match &**curve {
                "1.2.840.10045.3.1.7" | "1.3.132.0.34" | "1.3.132.0.35" => {
                    write!(f, "elliptic curve {}", oid_name(curve).unwrap_or(curve))
                }
                other => write!(f, "elliptic curve {}", NamedOid(other)),
            },
            Kind::UnnamedCurve => f.write_str("elliptic curve with explicit parameters"),
            Kind::Dsa { bits: Some(bits) } => write!(f, "DSA {bits} bits (1.2.840.10040.4.1)"),
            Kind::Dsa { bits: None } => f.write_str("DSA (1.2.840.10040.4.1)"),
            Kind::Other(oid) => match (&**oid, oid_name(oid)) {
                ("1.3.101.112", Some(name)) => f.write_str(name),
                (oid, _) => NamedOid(oid).fmt(f),
            },
        }
    }
}

/// Whether one of these algorithms verifies signatures of the key in a SubjectPublicKeyInfo.
pub(crate) fn check_key<'p>(
    spki: &[u8],
    algorithms: impl IntoIterator<Item = &'p &'static dyn SignatureVerificationAlgorithm> + Clone,
) -> Result<(), KeyError> {
    let key = Key::read(spki).map_err(|NotDer| KeyError::Malformed)?;
    key.check(algorithms)
}

/// The kind and the size or curve of the key in a SubjectPublicKeyInfo.
pub(crate) fn describe_key(spki: &[u8]) -> String {
    match Key::read(spki) {
        Ok(key) => key.to_string(),
        Err(NotDer) => "an unreadable key".into(),
    }
}

impl Rsa {
    /// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`
    fn read(key: &[u8]) -> Result<Self, NotDer> {
        let mut numbers = Reader::new(der::single(key, der::SEQUENCE)?);
        let bits = bits_of(numbers.expect(der::INTEGER)?.content);
        let exponent_bits = bits_of(numbers.expect(der::INTEGER)?.content);
        Ok(Self {
            bits,
            exponent_bits,
        })
    }

    fn check(&self, backend: impl FnOnce() -> Backend) -> Result<(), KeyError> {
        let bits = self.bits;
        // ring rounds the size up to whole octets.
        let is_too_small = match bits {
            2041..MIN_RSA_BITS => backend() == Backend::AwsLcRs,
            _ => bits < MIN_RSA_BITS,
        };
        if is_too_small {
            Err(KeyError::RsaTooSmall { bits })
        } else if bits > MAX_RSA_BITS {
            Err(KeyError::RsaTooLarge { bits })
        } else if !(2..=MAX_EXPONENT_BITS).contains(&self.exponent_bits) {
            Err(KeyError::RsaExponent {
                bits: self.exponent_bits,
            })
        } else {
            Ok(())
        }
    }
}

/// `Dss-Parms ::= SEQUENCE { p INTEGER, q INTEGER, g INTEGER }`: the size of p.
fn dsa_bits(fields: &mut Reader<'_>) -> Result<usize, NotDer> {
    let mut numbers = Reader::new(fields.expect(der::SEQUENCE)?.content);
    Ok(bits_of(numbers.expect(der::INTEGER)?.content))
}

/// The position of the highest set bit.
fn bits_of(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|&&octet| octet == 0).count();
    number.get(zeros).map_or(0, |top| {
        (number.len() - zeros) * 8 - top.leading_zeros() as usize
    })
}

/// The kinds of keys that these algorithms verify: `Ed25519, P-256 and RSA of 2048 to 8192 bits`.
fn supported<'p>(
    algorithms: impl IntoIterator<Item = &'p &'static dyn SignatureVerificationAlgorithm>,
) -> String {
    let mut names: Vec<String> = Vec::new();
    for algorithm in algorithms {
        let id = algorithm.public_key_alg_id();
        let mut fields = Reader::new(id.as_ref());
        let mut oid = || -> Option<Cow<'static, str>> {
            der::oid_to_text(fields.optional(der::OBJECT_IDENTIFIER).ok()??.content).ok()
        };
        let Some(kind) = oid() else { continue };
        let name = match &*kind {
            RSA_ENCRYPTION => format!("RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"),
            EC_PUBLIC_KEY => match oid() {
                Some(curve) => oid_name(&curve).unwrap_or(&curve).to_owned(),
                None => continue,
            },
            other => oid_name(other).unwrap_or(other).to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    match names.split_last() {
        None => "no key at all".into(),
        Some((one, [])) => one.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Why a crypto provider cannot verify the signatures of a public key.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::KeyError;
///
/// let error = KeyError::RsaTooSmall { bits: 1024 };
/// assert_eq!(error.cause(), "the key is RSA 1024 bits, and at least 2048 bits are needed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The provider has no algorithm for this kind of key, or this curve.
    Unsupported {
        /// The key, in words.
        key: String,
        /// The keys that the provider supports, in words.
        supported: String,
    },
    /// RSA with a modulus that is too small.
    RsaTooSmall {
        /// The modulus' size.
        bits: usize,
    },
    /// RSA with a modulus that is too large.
    RsaTooLarge {
        /// The modulus' size.
        bits: usize,
    },
    /// RSA with a public exponent of 1, or one that is too large.
    RsaExponent {
        /// The exponent's size.
        bits: usize,
    },
    /// RSA whose AlgorithmIdentifier lacks the parameter NULL (RFC 3279 section 2.3.1).
    NoNull,
    /// RSA that the certificate restricts to RSASSA-PSS (RFC 4055 section 1.2).
    PssOnly {
        /// The modulus' size.
        bits: usize,
    },
    /// An elliptic curve that is not named (RFC 5480 section 2.1.1).
    NoNamedCurve,
    /// A point of an elliptic curve in a form that the provider does not read.
    PointFormat {
        /// The key, in words.
        key: String,
    },
    /// A key for key agreement, which signs nothing.
    KeyAgreement {
        /// The key, in words.
        key: String,
    },
    /// The key cannot be read.
    Malformed,
}

impl Diagnostic for KeyError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "key_kind",
            Self::RsaTooSmall { .. } => "rsa_too_small",
            Self::RsaTooLarge { .. } => "rsa_too_large",
            Self::RsaExponent { .. } => "rsa_exponent",
            Self::NoNull => "rsa_without_null",
            Self::PssOnly { .. } => "rsa_pss_only",
            Self::NoNamedCurve => "no_named_curve",
            Self::PointFormat { .. } => "point_format",
            Self::KeyAgreement { .. } => "key_agreement",
            Self::Malformed => "malformed_key",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Unsupported { key, supported } => format!(
                "the key is {key}, and the crypto provider verifies signatures of {supported}"
            ),
            Self::RsaTooSmall { bits } => {
                format!("the key is RSA {bits} bits, and at least {MIN_RSA_BITS} bits are needed")
            }
            Self::RsaTooLarge { bits } => {
                format!("the key is RSA {bits} bits, and at most {MAX_RSA_BITS} bits are supported")
            }
            Self::RsaExponent { bits } => format!(
                "the key is RSA with a public exponent of {bits} bits, and 2 to {MAX_EXPONENT_BITS} bits are supported"
            ),
            Self::NoNull => {
                "the key is RSA, and its AlgorithmIdentifier lacks the parameter NULL that RFC 3279 section 2.3.1 requires"
                    .into()
            }
            Self::PssOnly { bits } => format!(
                "the key is RSA {bits} bits that its certificate restricts to RSASSA-PSS ({RSASSA_PSS}), which the crypto provider does not support: RSA keys need rsaEncryption ({RSA_ENCRYPTION})"
            ),
            Self::NoNamedCurve => {
                "the key is an elliptic curve with explicit parameters, and RFC 5480 section 2.1.1 requires the curve by its name"
                    .into()
            }
            Self::PointFormat { key } => format!(
                "the key is {key} with its point in a compressed or hybrid form, which the crypto provider does not read"
            ),
            Self::KeyAgreement { key } => {
                format!("the key is {key}, which is for key agreement and cannot sign")
            }
            Self::Malformed => "the key cannot be read".into(),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoNull => {
                "issue it again for the same key, with a tool that writes the NULL, such as openssl"
            }
            Self::PssOnly { .. } => {
                "make an rsaEncryption key (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.new.pem) and issue it for that: it can sign with RSASSA-PSS too"
            }
            Self::NoNamedCurve => {
                "write the key with the name of its curve (openssl ec -in KEY.pem -param_enc named_curve -out KEY.new.pem) and issue it again for that"
            }
            Self::PointFormat { .. } => {
                "write the key with an uncompressed point (openssl ec -in KEY.pem -conv_form uncompressed -out KEY.new.pem) and issue it again for that"
            }
            Self::Unsupported { key, .. } if key.starts_with("ML-DSA") => USE_AWS_LC_RS,
            _ => {
                "make a key that is supported (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.new.pem) and issue it again for that"
            }
        }
        .into()
    }
}

display_diagnostic!(KeyError);

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let oid = [&[der::OBJECT_IDENTIFIER, oid.len() as u8], oid].concat();
        der::sequence(&[&oid[..], parameters].concat())
    }

    #[test]
    fn ml_dsa_and_slh_dsa_are_post_quantum() {
        for (oid, expected) in [
            ("2.16.840.1.101.3.4.3.17", true),
            ("2.16.840.1.101.3.4.3.19", true),
            ("2.16.840.1.101.3.4.3.31", true),
            ("2.16.840.1.101.3.4.3.16", false),
            // HashML-DSA, which RFC 9881 section 2 leaves out of certificates.
            ("2.16.840.1.101.3.4.3.32", false),
            ("2.16.840.1.101.3.4.3.18.1", false),
            ("2.16.840.1.101.3.4.3.+18", false),
            ("1.3.101.112", false),
            ("", false),
        ] {
            assert_eq!(is_post_quantum_signature(oid), expected, "{oid}");
        }
        assert!(!is_post_quantum_key(&[0x30, 0]));
        assert!(!is_post_quantum_algorithm(&[]));
    }

    const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 10];

    #[test]
    fn algorithms_have_a_name_and_a_number() {
        for (der, name) in [
            (
                algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[]),
                "ecdsa-with-SHA256 (1.2.840.10045.4.3.2)",
            ),
            (algorithm(&[0x2b, 0x65, 0x71], &[]), "Ed448 (1.3.101.113)"),
            (algorithm(&[0x2a, 3, 4], &[]), "1.2.3.4"),
            (
                algorithm(PSS, &[]),
                "RSASSA-PSS with SHA-1, a salt of 20 bytes (1.2.840.113549.1.1.10)",
            ),
        ] {
            assert_eq!(signature_algorithm_name(&der), name);
        }
        for bad in [&[][..], &[0x30, 0], &[0x30, 2, 6, 0], &[0x30, 5]] {
            assert_eq!(signature_algorithm_name(bad), UNREADABLE_ALGORITHM);
        }
    }

    #[test]
    fn pss_is_described_with_its_hashes_and_salt() {
        let hash = |last| algorithm(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last], &[5, 0]);
        let tagged = |tag, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let mask = algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 8], &hash(2));
        let fields = [
            tagged(0xa0, &hash(1)),
            tagged(0xa1, &mask),
            tagged(0xa2, &[2, 1, 64]),
        ]
        .concat();
        let name = signature_algorithm_name(&algorithm(PSS, &der::sequence(&fields)));
        assert_eq!(
            name,
            "RSASSA-PSS with SHA-256, MGF1 with SHA-384, a salt of 64 bytes (1.2.840.113549.1.1.10)"
        );
    }

    #[test]
    fn nothing_that_is_cut_off_is_a_key() {
        let curve = [6, 5, 0x2b, 0x81, 4, 0, 10];
        let algorithm = algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &curve);
        let spki = der::sequence(&[&algorithm[..], &[3, 3, 0, 4, 9]].concat());
        assert_eq!(
            describe_key(&spki),
            "elliptic curve secp256k1 (1.3.132.0.10)"
        );
        for end in 0..spki.len() {
            assert_eq!(describe_key(&spki[..end]), "an unreadable key", "{end}");
        }
    }
}
