//! Certificates, parsed once, as strict DER.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use super::algorithm;
use super::der;
use super::extension_oid::{
    BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE, SUBJECT_ALTERNATIVE_NAME,
};
use super::name::{DistinguishedName, ShortName};
use super::oid_names::oid_name;
use super::san::{GeneralName, SanError, read_general_names};
use super::signed::{Signed, bit_string};
use super::structure::{Defect, Spki, Structure};
use super::text::{Bounded, Hex, from_hex};
use super::time::Rfc3339;
use super::usual_key;
use crate::diagnostic::{Diagnostic, display_diagnostic};

/// One X.509 certificate (RFC 5280), parsed.
///
/// Parsing verifies no signature: only the certificates of a
/// [`VerifiedChain`](crate::trust::VerifiedChain) are verified.
///
/// Cloning is cheap: clones share their parts.
///
/// ```
/// use countersign::Certificate;
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").leaf().common_name("alice").issue();
/// let certificate = Certificate::from_der(issued.leaf_der())?;
/// assert_eq!(certificate.subject().to_string(), "CN=alice");
/// assert!(!certificate.is_ca());
/// # Ok::<(), countersign::pki::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    der: CertificateDer<'static>,
    version: u32,
    serial: SerialNumber,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    not_before: UnixTime,
    not_after: UnixTime,
    spki: Box<[u8]>,
    key: PublicKeyKind,
    extensions: Vec<Extension>,
    subject_alternative_names: Result<Vec<GeneralName>, SanError>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Vec<String>>,
    is_ca: bool,
    has_unique_id: bool,
    sha256: OnceLock<Fingerprint>,
    spki_sha256: OnceLock<Fingerprint>,
}

impl Certificate {
    /// Parses a DER-encoded certificate.
    ///
    /// The structure, the names and the extensions for identity and usage are parsed as strict DER. A
    /// malformed or repeated subjectAltName is an error of
    /// [`subject_alternative_names`](Self::subject_alternative_names), so that identities from other
    /// fields remain readable.
    ///
    /// # Errors
    /// [`CertificateError`] names the part that cannot be read: bytes that are not a certificate,
    /// trailing data, a name that is not DER, or a keyUsage, extendedKeyUsage or basicConstraints that
    /// is not DER or occurs twice.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        #[cfg(all(test, feature = "tokio"))]
        reads::count();
        let malformed = CertificateError::new;
        let mut reader = der::Reader::new(der);
        let read = Structure::read(&mut reader).map_err(CertificateError)?;
        if !reader.is_empty() {
            return Err(CertificateError(Defect::trailing(reader.rest())));
        }
        // Object identifiers must be minimal. Otherwise this parser could find a subjectAltName that
        // rustls-webpki does not.
        let oid = |content, part| der::oid_to_text(content).map_err(|_| malformed(part));
        let name = |raw, part| DistinguishedName::from_der(raw).map_err(|_| malformed(part));

        let extensions: Vec<Extension> = read
            .extensions
            .iter()
            .map(|extension| {
                Ok(Extension {
                    oid: oid(extension.oid, "an extension's object identifier")?,
                    critical: extension.critical,
                    value: extension.value.into(),
                })
            })
            .collect::<Result<_, _>>()?;

        let key_usage = at_most_one(&extensions, KEY_USAGE)
            .map_err(|()| malformed("keyUsage: the extension occurs twice"))?
            .map(|value| KeyUsage::from_der(value).ok_or_else(|| malformed("keyUsage")))
            .transpose()?;
        let extended_key_usage = at_most_one(&extensions, EXTENDED_KEY_USAGE)
            .map_err(|()| malformed("extendedKeyUsage: the extension occurs twice"))?
            .map(|value| read_oids(value).map_err(|_| malformed("extendedKeyUsage")))
            .transpose()?;
        let is_ca = at_most_one(&extensions, BASIC_CONSTRAINTS)
            .map_err(|()| malformed("basicConstraints: the extension occurs twice"))?
            .map(|value| read_is_ca(value).map_err(|_| malformed("basicConstraints")))
            .transpose()?
            .unwrap_or(false);
        let subject_alternative_names = match at_most_one(&extensions, SUBJECT_ALTERNATIVE_NAME) {
            Err(()) => Err(SanError::Duplicate),
            Ok(None) => Ok(Vec::new()),
            Ok(Some(value)) => read_general_names(value),
        };

        Ok(Self {
            inner: Arc::new(Inner {
                version: read.version.saturating_add(1),
                serial: SerialNumber(read.serial.into()),
                issuer: name(read.issuer, "the issuer's name")?,
                subject: name(read.subject, "the subject's name")?,
                not_before: read.not_before,
                not_after: read.not_after,
                spki: read.spki.whole.into(),
                key: match rsa_bits(&read.spki) {
                    Some(bits) => PublicKeyKind::Rsa { bits },
                    None => PublicKeyKind::Other {
                        algorithm: oid(read.spki.algorithm, "the public key's algorithm")?
                            .into_owned(),
                    },
                },
                sha256: OnceLock::new(),
                spki_sha256: OnceLock::new(),
                extensions,
                subject_alternative_names,
                key_usage,
                extended_key_usage,
                is_ca,
                has_unique_id: read.has_unique_id,
                der: CertificateDer::from(der.to_vec()),
            }),
        })
    }

    /// The certificate's DER encoding.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.inner.der
    }

    /// The X.509 version: 1, 2 or 3.
    pub fn version(&self) -> u32 {
        self.inner.version
    }

    /// The serial number, unique per issuer.
    pub fn serial(&self) -> &SerialNumber {
        &self.inner.serial
    }

    /// The name of the certificate authority that signed it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.inner.issuer
    }

    /// The name of its holder. It may be empty.
    pub fn subject(&self) -> &DistinguishedName {
        &self.inner.subject
    }

    /// The first second of its validity.
    pub fn not_before(&self) -> UnixTime {
        self.inner.not_before
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> UnixTime {
        self.inner.not_after
    }

    /// The DER of its SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.inner.spki
    }

    /// The algorithm of its public key and, for RSA, the size.
    pub fn public_key(&self) -> &PublicKeyKind {
        &self.inner.key
    }

    /// The kind of its public key, and its size or curve, in words: `RSA 2048 bits`,
    /// `elliptic curve P-256`, `elliptic curve secp256k1 (1.3.132.0.10)`, `Ed25519`.
    ///
    /// ```
    /// use countersign::testing::{KeyType, TestCa};
    ///
    /// let leaf = TestCa::new("Root").leaf().key(KeyType::P384);
    /// let certificate = leaf.issue().certificate();
    /// assert_eq!(certificate.key_description(), "elliptic curve P-384");
    /// ```
    pub fn key_description(&self) -> String {
        algorithm::describe_key(self.spki())
    }

    /// The name and the object identifier of the algorithm that it is signed with, as
    /// [`signature_algorithm_name`](super::signature_algorithm_name) returns it.
    ///
    /// ```
    /// use countersign::testing::TestCa;
    ///
    /// let certificate = TestCa::new("Root").leaf().issue().certificate();
    /// assert_eq!(certificate.signature_algorithm(), "ecdsa-with-SHA256 (1.2.840.10045.4.3.2)");
    /// ```
    pub fn signature_algorithm(&self) -> String {
        let content = self.signed().map_or(&[][..], |signed| signed.algorithm);
        algorithm::describe_algorithm(content)
    }

    /// The subject alternative names of every kind, in order; empty without the extension.
    ///
    /// # Errors
    /// [`SanError`]: the extension occurs twice, or is not DER.
    pub fn subject_alternative_names(&self) -> Result<&[GeneralName], SanError> {
        match &self.inner.subject_alternative_names {
            Ok(names) => Ok(names),
            Err(error) => Err(*error),
        }
    }

    /// The keyUsage extension, if there is one.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.inner.key_usage
    }

    /// The purposes in the extendedKeyUsage extension as dotted object identifiers, if there is
    /// one: `1.3.6.1.5.5.7.3.2` is clientAuth, `1.3.6.1.5.5.7.3.1` serverAuth.
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        self.inner.extended_key_usage.as_deref()
    }

    /// Whether it is a certificate authority by its basicConstraints.
    pub fn is_ca(&self) -> bool {
        self.inner.is_ca
    }

    /// Whether it has an issuerUniqueID or a subjectUniqueID (RFC 5280 section 4.1.2.8).
    pub(crate) fn has_unique_ids(&self) -> bool {
        self.inner.has_unique_id
    }

    /// All extensions, in order, duplicates included.
    pub fn extensions(&self) -> &[Extension] {
        &self.inner.extensions
    }

    /// SHA-256 over the whole certificate, as `openssl x509 -fingerprint -sha256` prints it.
    pub fn sha256(&self) -> Fingerprint {
        *self
            .inner
            .sha256
            .get_or_init(|| Fingerprint::of(self.der()))
    }

    /// SHA-256 over the SubjectPublicKeyInfo. A renewed certificate with the same key has the same.
    pub fn spki_sha256(&self) -> Fingerprint {
        *self
            .inner
            .spki_sha256
            .get_or_init(|| Fingerprint::of(self.spki()))
    }

    /// SHA-256 over the usual SubjectPublicKeyInfo of its key: the same for each encoding of the key.
    /// For keys with one known encoding it is [`spki_sha256`](Self::spki_sha256).
    pub(crate) fn usual_spki_sha256(&self) -> Fingerprint {
        match usual_key::usual_encoding(self.spki()) {
            Some(usual) if usual != self.spki() => Fingerprint::of(&usual),
            _ => self.spki_sha256(),
        }
    }

    /// SHA-256 over the other encodings of its key whose digests tools print.
    pub(crate) fn other_spki_sha256s(&self) -> Vec<Fingerprint> {
        let usual = usual_key::usual_encoding(self.spki());
        let others = usual.map(|usual| usual_key::other_encodings(&usual));
        let others = others.unwrap_or_default();
        others.iter().map(|spki| Fingerprint::of(spki)).collect()
    }

    /// The message that its issuer signed, and the signature.
    pub(crate) fn signed(&self) -> Result<Signed<'_>, der::NotDer> {
        let mut parts = der::Reader::new(der::single(self.der(), der::SEQUENCE)?);
        Ok(Signed {
            message: parts.expect(der::SEQUENCE)?.whole,
            algorithm: parts.expect(der::SEQUENCE)?.content,
            signature: bit_string(parts.expect(der::BIT_STRING)?.content)?,
        })
    }

    /// The value of the first extension with this object identifier.
    pub(crate) fn extension(&self, oid: &str) -> Option<&[u8]> {
        let mut all = self.inner.extensions.iter();
        let extension = all.find(|extension| extension.oid == oid)?;
        Some(&extension.value)
    }

    /// Whether the issuer's name is the subject's. The signature is not checked.
    pub fn is_self_issued(&self) -> bool {
        self.inner.issuer == self.inner.subject
    }
}

impl fmt::Display for Certificate {
    /// One line that names the certificate: subject, issuer, serial number and fingerprint. Names are
    /// cut after 256 bytes and the serial number after 64 digits, with a mark. The line has less than
    /// 800 bytes for any certificate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject().is_empty() {
            f.write_str("certificate with an empty subject")?;
        } else {
            write!(f, "certificate \"{}\"", ShortName(self.subject()))?;
        }
        if self.is_self_issued() {
            f.write_str(" (self-issued")?;
        } else {
            write!(f, " (issuer \"{}\"", ShortName(self.issuer()))?;
        }
        let sha256 = self.sha256();
        write!(
            f,
            ", serial {}, sha256 {}…)",
            ShortSerial(self.serial()),
            Hex(&sha256.as_bytes()[..8])
        )
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", self.subject())
            .field("issuer", self.issuer())
            .field("serial", &format_args!("{}", ShortSerial(self.serial())))
            .field(
                "not_before",
                &format_args!("{}", Rfc3339(self.not_before())),
            )
            .field("not_after", &format_args!("{}", Rfc3339(self.not_after())))
            .field("sha256", &format_args!("{}", self.sha256()))
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.inner.der == other.inner.der
    }
}

impl Eq for Certificate {}

/// One extension of a certificate, undecoded.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let leaf = TestCa::new("Root").leaf().extension("1.2.3.4", false, &[5, 0]);
/// let certificate = leaf.issue().certificate();
/// let mut extensions = certificate.extensions().iter();
/// let extension = extensions.find(|extension| extension.oid() == "1.2.3.4").unwrap();
/// assert_eq!((extension.is_critical(), extension.value()), (false, &[5, 0][..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    oid: Cow<'static, str>,
    critical: bool,
    value: Box<[u8]>,
}

impl Extension {
    /// The extension's dotted object identifier.
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// Whether a verifier that does not know the extension must reject the certificate.
    pub const fn is_critical(&self) -> bool {
        self.critical
    }

    /// The DER inside the extension's OCTET STRING.
    pub const fn value(&self) -> &[u8] {
        &self.value
    }
}

/// The kind of a certificate's public key.
///
/// ```
/// use countersign::pki::PublicKeyKind;
/// use countersign::testing::{KeyType, TestCa};
///
/// let leaf = TestCa::new("Root").leaf().key(KeyType::Rsa2048);
/// let certificate = leaf.issue().certificate();
/// assert_eq!(certificate.public_key(), &PublicKeyKind::Rsa { bits: 2048 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKeyKind {
    /// RSA, with the modulus' size in bits.
    Rsa {
        /// The position of the modulus' highest set bit.
        bits: usize,
    },
    /// Any other algorithm.
    Other {
        /// The algorithm's dotted object identifier: `1.2.840.10045.2.1` is elliptic curve,
        /// `1.3.101.112` Ed25519.
        algorithm: String,
    },
}

/// A certificate's serial number: the content octets of the INTEGER.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").leaf().issue();
/// let certificate = issued.certificate();
/// assert_eq!(certificate.serial().as_bytes(), issued.serial());
/// println!("{}", certificate.serial()); // hexadecimal
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(Box<[u8]>);

impl SerialNumber {
    pub(crate) fn from_octets(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// The big-endian two's-complement octets, as in the certificate (a leading zero octet
    /// included).
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    /// Lower-case hexadecimal of the octets, without a leading sign octet. A negative number, which
    /// RFC 5280 forbids, is a minus sign and the absolute value, as OpenSSL prints it and as a deny
    /// list reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            [0, rest @ ..] if !rest.is_empty() => Hex(rest).fmt(f),
            all if all.first().is_some_and(|first| first & 0x80 != 0) => {
                write!(f, "-{}", Hex(&absolute(all)))
            }
            all => Hex(all).fmt(f),
        }
    }
}

/// The negative of a number in two's complement, with as many octets.
pub(crate) fn negated(number: &[u8]) -> Vec<u8> {
    let mut octets: Vec<u8> = number.iter().map(|octet| !octet).collect();
    for octet in octets.iter_mut().rev() {
        let (sum, carries) = octet.overflowing_add(1);
        *octet = sum;
        if !carries {
            break;
        }
    }
    octets
}

/// The absolute value of a negative number in two's complement, without leading zeros.
pub(crate) fn absolute(negative: &[u8]) -> Vec<u8> {
    let mut octets = negated(negative);
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.split_off(zeros)
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({})", ShortSerial(self))
    }
}

/// A serial number for logs and errors. RFC 5280 allows 20 octets; a number of more than 32 is cut.
pub(crate) struct ShortSerial<'a>(pub(crate) &'a SerialNumber);

impl fmt::Display for ShortSerial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded::new(f, 64).value(self.0)
    }
}

/// A SHA-256 digest of a certificate or of a public key.
///
/// ```
/// use countersign::pki::Fingerprint;
///
/// let of_nothing = Fingerprint::of(b"");
/// assert!(of_nothing.to_string().starts_with("e3b0c44298fc1c14"));
/// assert_eq!(of_nothing.to_string().parse(), Ok(of_nothing));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Digests `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest's 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Parses 64 hexadecimal digits of either case, with or without colons between octets
    /// (`openssl x509 -fingerprint` prints colons).
    ///
    /// # Errors
    /// [`FingerprintError`]: `"ab12"`, or a SHA-1 fingerprint of 40 digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let colons = text.contains(':');
        if colons && text.split(':').any(|octet| octet.len() != 2) {
            return Err(FingerprintError);
        }
        let digits = if colons { &text.replace(':', "") } else { text };
        from_hex(digits)
            .and_then(|digest| digest.try_into().ok())
            .map(Self)
            .ok_or(FingerprintError)
    }
}

/// The text is not a SHA-256 digest in hexadecimal.
///
/// ```
/// use countersign::pki::{Fingerprint, FingerprintError};
///
/// assert_eq!("ab12".parse::<Fingerprint>(), Err(FingerprintError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FingerprintError;

impl Diagnostic for FingerprintError {
    fn reason(&self) -> &'static str {
        "malformed_fingerprint"
    }

    fn cause(&self) -> Cow<'_, str> {
        "not a SHA-256 fingerprint".into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "give 64 hexadecimal digits, with or without colons".into()
    }
}

display_diagnostic!(FingerprintError);

impl fmt::Display for Fingerprint {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The keyUsage extension (RFC 5280 section 4.2.1.3).
///
/// ```
/// use countersign::testing::{KeyUsageBits, TestCa};
///
/// let leaf = TestCa::new("Root").leaf().key_usage(Some(KeyUsageBits::DIGITAL_SIGNATURE));
/// let usage = leaf.issue().certificate().key_usage().unwrap();
/// assert!(usage.digital_signature() && !usage.key_cert_sign());
/// assert_eq!(usage.to_string(), "digitalSignature");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// The named bits, bit 0 (digitalSignature) in the highest place.
    bits: u16,
}

impl KeyUsage {
    const NAMES: [&'static str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];

    fn from_der(value: &[u8]) -> Option<Self> {
        let content = der::single(value, der::BIT_STRING).ok()?;
        let (&unused, octets) = content.split_first()?;
        let last = octets.last().copied().unwrap_or(0);
        // The unused bits must exist and be zero. Nine bits have names, so two octets are enough.
        let padded = unused < 8 && last.trailing_zeros() >= u32::from(unused);
        if !padded || octets.len() > 2 || (octets.is_empty() && unused != 0) {
            return None;
        }
        let octet = |index: usize| octets.get(index).copied().unwrap_or(0);
        Some(Self {
            bits: u16::from_be_bytes([octet(0), octet(1)]),
        })
    }

    const fn has(self, bit: u32) -> bool {
        self.bits & (0x8000 >> bit) != 0
    }

    /// The key may sign handshakes. TLS requires this of an end entity.
    pub const fn digital_signature(self) -> bool {
        self.has(0)
    }

    /// The key may sign certificates. An issuer needs this.
    pub const fn key_cert_sign(self) -> bool {
        self.has(5)
    }

    /// The key may sign CRLs.
    pub const fn crl_sign(self) -> bool {
        self.has(6)
    }
}

impl fmt::Display for KeyUsage {
    /// The names of RFC 5280, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in (0..).zip(Self::NAMES) {
            if self.has(bit) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        if separator.is_empty() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUsage({self})")
    }
}

/// The name of a purpose in extendedKeyUsage: `serverAuth` for `1.3.6.1.5.5.7.3.1`.
///
/// The purposes of RFC 5280 section 4.2.1.12 have a name, which openssl reads too; `None` for any other.
/// [`oid_name`](super::oid_name) knows more of them.
///
/// ```
/// use countersign::pki::key_purpose_name;
///
/// assert_eq!(key_purpose_name("1.3.6.1.5.5.7.3.2"), Some("clientAuth"));
/// assert_eq!(key_purpose_name("1.2.3"), None);
/// ```
pub fn key_purpose_name(oid: &str) -> Option<&'static str> {
    let last = match oid.strip_prefix("1.3.6.1.5.5.7.3.") {
        Some(last) => last,
        None if oid == "2.5.29.37.0" => return oid_name(oid),
        None => return None,
    };
    matches!(last, "1" | "2" | "3" | "4" | "8" | "9")
        .then(|| oid_name(oid))
        .flatten()
}

/// The bytes are not a certificate in strict DER.
///
/// ```
/// use countersign::{Certificate, Diagnostic};
///
/// let error = Certificate::from_der(b"not DER").unwrap_err();
/// assert_eq!(error.cause(), "malformed certificate: cannot read the X.509 structure");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CertificateError(Defect);

impl CertificateError {
    const fn new(part: &'static str) -> Self {
        Self(Defect::new(part))
    }
}

impl Diagnostic for CertificateError {
    fn reason(&self) -> &'static str {
        "malformed_certificate"
    }

    fn cause(&self) -> Cow<'_, str> {
        format!("malformed certificate: cannot read {}", self.0.part).into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        self.0.remedy.into()
    }
}

display_diagnostic!(CertificateError);

fn at_most_one<'a>(extensions: &'a [Extension], oid: &str) -> Result<Option<&'a [u8]>, ()> {
    let mut found = extensions.iter().filter(|extension| extension.oid == oid);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(()),
        (one, None) => Ok(one.map(|extension| &*extension.value)),
    }
}

/// `ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF OBJECT IDENTIFIER`
fn read_oids(value: &[u8]) -> Result<Vec<String>, der::NotDer> {
    let mut reader = der::Reader::new(der::single(value, der::SEQUENCE)?);
    let mut oids = Vec::new();
    while !reader.is_empty() {
        let oid = der::oid_to_text(reader.expect(der::OBJECT_IDENTIFIER)?.content)?;
        oids.push(oid.into_owned());
    }
    if oids.is_empty() {
        return Err(der::NotDer);
    }
    Ok(oids)
}

/// `BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }`
///
/// An explicit FALSE is not DER, but it is common and unambiguous.
fn read_is_ca(value: &[u8]) -> Result<bool, der::NotDer> {
    let mut reader = der::Reader::new(der::single(value, der::SEQUENCE)?);
    let mut is_ca = false;
    while !reader.is_empty() {
        let field = reader.any()?;
        if field.tag == der::BOOLEAN {
            is_ca = der::read_bool(field.content)?;
        }
    }
    Ok(is_ca)
}

/// The size of the modulus; `None` for keys of other kinds.
fn rsa_bits(spki: &Spki<'_>) -> Option<usize> {
    const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    if spki.algorithm != RSA_ENCRYPTION {
        return None;
    }
    let (_, key) = RSAPublicKey::from_der(spki.key).ok()?;
    Some(significant_bits(key.modulus))
}

fn significant_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|&&octet| octet == 0).count();
    modulus.get(zeros).map_or(0, |top| {
        (modulus.len() - zeros) * 8 - top.leading_zeros() as usize
    })
}

/// How many certificates a thread has parsed, for tests of the work that a peer can cause.
#[cfg(all(test, feature = "tokio"))]
pub(crate) mod reads {
    use std::cell::Cell;

    thread_local! {
        static READS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        READS.set(READS.get() + 1);
    }

    pub(crate) fn so_far() -> usize {
        READS.get()
    }
}
