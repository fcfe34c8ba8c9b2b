//! Certificate revocation lists (RFC 5280 section 5), parsed once, as strict DER.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};

use super::der::{self, NotDer, Reader, Tlv};
use super::error::CrlFormatError;
use super::san::is_general_name;
use super::signed::{Signed, bit_string};
use super::time::{self, Rfc3339};
use super::{Certificate, DistinguishedName, SerialNumber, ShortName, ShortSerial};

/// One certificate revocation list, version 2, parsed.
///
/// Parsing does not verify the signature. It is verified with the issuer's key when the issuer is known.
///
/// Cloning is cheap: clones share their parts. A CRL takes the memory of its DER, and four octets for
/// each revoked certificate.
///
/// ```
/// use countersign::pki::Crl;
/// use countersign::testing::TestCa;
///
/// let ca = TestCa::new("Root");
/// let (alice, bob) = (ca.leaf().issue(), ca.leaf().issue());
/// let crl = Crl::from_der(&ca.crl().revoke(alice.serial()).build())?;
/// assert!(crl.revokes(alice.certificate().serial()));
/// assert!(!crl.revokes(bob.certificate().serial()));
/// # Ok::<(), countersign::pki::CrlFormatError>(())
/// ```
#[derive(Clone)]
pub struct Crl {
    inner: Arc<Inner>,
}

struct Inner {
    der: Box<[u8]>,
    message: Range<usize>,
    algorithm: Range<usize>,
    signature: Range<usize>,
    issuer: DistinguishedName,
    this_update: UnixTime,
    next_update: UnixTime,
    number: SerialNumber,
    scope: Scope,
    /// The value of the authorityKeyIdentifier extension.
    authority_key: Option<Box<[u8]>>,
    /// The offsets of the revoked serial numbers in `der`, by ascending [`Key`].
    revoked: Box<[u32]>,
}

/// Which certificates of its issuer a CRL covers (RFC 5280 section 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope {
    /// The URIs at which the CRL is published, where the issuer has several. Empty for a single CRL.
    uris: Vec<Box<[u8]>>,
    only_end_entities: bool,
    only_authorities: bool,
}

const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];

impl Crl {
    /// Parses a DER-encoded CRL.
    ///
    /// It must be version 2, complete for its scope, and have a cRLNumber and a nextUpdate.
    ///
    /// # Errors
    /// [`CrlFormatError`] names the part that cannot be read, or the property that is not supported: a
    /// delta CRL, an indirect CRL, a CRL for some reasons only, an unknown critical extension.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlFormatError> {
        Self::from_boxed(der.into())
    }

    pub(crate) fn from_boxed(der: Box<[u8]>) -> Result<Self, CrlFormatError> {
        use CrlFormatError::Malformed;

        if u32::try_from(der.len()).is_err() {
            return Err(Malformed("it: over 4 GiB"));
        }
        let outer = |part: &'static str| move |_: NotDer| Malformed(part);
        let mut list =
            Reader::new(der::single(&der, der::SEQUENCE).map_err(outer("the outer structure"))?);
        let tbs = list
            .expect(der::SEQUENCE)
            .map_err(outer("the signed part"))?;
        let algorithm = list
            .expect(der::SEQUENCE)
            .map_err(outer("the signature's algorithm"))?;
        let signature = list
            .expect(der::BIT_STRING)
            .and_then(|value| bit_string(value.content))
            .map_err(outer("the signature"))?;
        list.end().map_err(outer("the end: data follows"))?;

        let mut fields = Reader::new(tbs.content);
        let mut next = fields.any().map_err(outer("the signed part"))?;
        // Version 1 has no version field: the algorithm is first.
        if next.tag == der::SEQUENCE {
            return Err(CrlFormatError::Version1);
        }
        if next.tag != der::INTEGER || next.content != [1] {
            return Err(Malformed("the version"));
        }
        next = fields.any().map_err(outer("the signed algorithm"))?;
        if next.whole != algorithm.whole {
            return Err(Malformed(
                "the algorithm: the signed one differs from the signature's",
            ));
        }
        next = fields.any().map_err(outer("the issuer's name"))?;
        let issuer = DistinguishedName::from_der(next.whole).map_err(outer("the issuer's name"))?;
        next = fields.any().map_err(outer("thisUpdate"))?;
        let this_update = time::read(next).map_err(outer("thisUpdate"))?;
        next = match fields.any() {
            Ok(next) if matches!(next.tag, time::UTC_TIME | time::GENERALIZED_TIME) => next,
            _ => return Err(CrlFormatError::NoNextUpdate),
        };
        let next_update = time::read(next).map_err(outer("nextUpdate"))?;
        next = fields
            .any()
            .map_err(|NotDer| CrlFormatError::BadNumber("number is missing"))?;
        let revoked = if next.tag == der::SEQUENCE {
            let entries = read_entries(&der, next.content)?;
            next = fields
                .any()
                .map_err(|NotDer| CrlFormatError::BadNumber("number is missing"))?;
            entries
        } else {
            Box::default()
        };
        if next.tag != EXTENSIONS {
            return Err(Malformed("the extensions"));
        }
        fields.end().map_err(outer("the end of the signed part"))?;
        let Extensions {
            number,
            scope,
            authority_key,
        } = read_extensions(next.content)?;

        let range = |part: &[u8]| range_in(&der, part);
        let (message, algorithm, signature) =
            (range(tbs.whole), range(algorithm.content), range(signature));
        Ok(Self {
            inner: Arc::new(Inner {
                message,
                algorithm,
                signature,
                issuer,
                this_update,
                next_update,
                number,
                scope,
                authority_key,
                revoked,
                der,
            }),
        })
    }

    /// The name of the certificate authority that issued it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.inner.issuer
    }

    /// The time at which it was issued.
    pub fn this_update(&self) -> UnixTime {
        self.inner.this_update
    }

    /// The time at which the next CRL is due. From then on this one has expired.
    pub fn next_update(&self) -> UnixTime {
        self.inner.next_update
    }

    /// Its cRLNumber, which increases with each CRL of the same issuer and scope.
    pub fn number(&self) -> &SerialNumber {
        &self.inner.number
    }

    /// The number of certificates that it revokes.
    pub fn len(&self) -> usize {
        self.inner.revoked.len()
    }

    /// Whether it revokes no certificate.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it revokes the certificate of its issuer with this serial number.
    ///
    /// This is a binary search.
    pub fn revokes(&self, serial: &SerialNumber) -> bool {
        let wanted = Key::of(serial.as_bytes());
        self.inner
            .revoked
            .binary_search_by(|&offset| self.inner.key_at(offset).cmp(&wanted))
            .is_ok()
    }

    /// Whether this certificate of its issuer is within its scope.
    ///
    /// A certificate that names distribution points is covered only by a CRL that is published at one
    /// of them. A certificate that names none may be on any CRL of its issuer.
    pub(crate) fn covers(&self, certificate: &Certificate) -> bool {
        let scope = &self.inner.scope;
        let of_this_kind = if certificate.is_ca() {
            !scope.only_end_entities
        } else {
            !scope.only_authorities
        };
        if !of_this_kind || scope.uris.is_empty() {
            return of_this_kind;
        }
        match distribution_points(certificate) {
            None => true,
            Some(points) => points
                .unwrap_or_default() // malformed ones match nothing: the status is unknown
                .iter()
                .any(|uri| scope.uris.iter().any(|own| **own == **uri)),
        }
    }

    /// Whether both cover the same certificates, so that the newer one replaces the other.
    pub(crate) fn same_scope(&self, other: &Self) -> bool {
        self.inner.issuer == other.inner.issuer && self.inner.scope == other.inner.scope
    }

    /// Whether it was issued after `other`: by thisUpdate, then by number.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        let age = |crl: &Self| {
            (
                crl.this_update().as_secs(),
                Key::of(crl.number().as_bytes()).owned(),
            )
        };
        age(self) > age(other)
    }

    /// Whether `other` has the same issuer and scope and was issued later: by number, which increases
    /// monotonically (RFC 5280 section 5.2.3), or by thisUpdate with the same number.
    pub(crate) fn is_rollback_of(&self, other: &Self) -> bool {
        let age = |crl: &Self| {
            (
                Key::of(crl.number().as_bytes()).owned(),
                crl.this_update().as_secs(),
            )
        };
        self.same_scope(other) && age(self) < age(other)
    }

    /// Whether both are clones of one value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether the authorityKeyIdentifiers of both exist and differ (RFC 5280 section 5.2.1).
    pub(crate) fn names_another_key_than(&self, other: &Self) -> bool {
        let (own, other) = (&self.inner.authority_key, &other.inner.authority_key);
        own.is_some() && other.is_some() && own != other
    }

    /// Whether the owner of the key in this SubjectPublicKeyInfo signed it.
    pub(crate) fn is_signed_by(
        &self,
        spki: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let inner = &*self.inner;
        let signed = Signed {
            message: &inner.der[inner.message.clone()],
            algorithm: &inner.der[inner.algorithm.clone()],
            signature: &inner.der[inner.signature.clone()],
        };
        signed.is_by(spki, algorithms)
    }
}

impl Inner {
    fn key_at(&self, offset: u32) -> Key<'_> {
        key_at(&self.der, offset)
    }
}

/// One line that names the CRL.
impl fmt::Display for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CRL {} of \"{}\" ({} to {})",
            ShortSerial(self.number()),
            ShortName(self.issuer()),
            Rfc3339(self.this_update()),
            Rfc3339(self.next_update())
        )
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", self.issuer())
            .field("number", self.number())
            .field(
                "this_update",
                &format_args!("{}", Rfc3339(self.this_update())),
            )
            .field(
                "next_update",
                &format_args!("{}", Rfc3339(self.next_update())),
            )
            .field("revoked", &self.len())
            .finish_non_exhaustive()
    }
}

const EXTENSIONS: u8 = 0xa0;

/// A serial number as a sort key: without superfluous sign octets, shorter ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    length: usize,
    octets: &'a [u8],
}

impl<'a> Key<'a> {
    fn of(mut octets: &'a [u8]) -> Self {
        while let [sign, next, ..] = octets {
            let superfluous =
                (*sign == 0 && next & 0x80 == 0) || (*sign == 0xff && next & 0x80 != 0);
            if !superfluous {
                break;
            }
            octets = &octets[1..];
        }
        Self {
            length: octets.len(),
            octets,
        }
    }

    fn owned(self) -> (usize, Vec<u8>) {
        (self.length, self.octets.to_vec())
    }
}

/// The serial number whose INTEGER, with a length of one octet, starts at this offset.
fn key_at(der: &[u8], offset: u32) -> Key<'_> {
    // The offset is that of an INTEGER that was parsed in these bytes.
    let start = offset as usize;
    let length = usize::from(der[start + 1]);
    Key::of(&der[start + 2..start + 2 + length])
}

/// Finds the serial numbers of `revokedCertificates`, sorted.
fn read_entries(der: &[u8], content: &[u8]) -> Result<Box<[u32]>, CrlFormatError> {
    let malformed = |_: NotDer| CrlFormatError::Malformed("a revoked certificate's entry");
    let mut entries = Reader::new(content);
    // The first octets are kept beside the offset, so that most comparisons need only this vector.
    let mut found: Vec<(usize, u64, u32)> = Vec::new();
    while !entries.is_empty() {
        let mut entry = Reader::new(entries.expect(der::SEQUENCE).map_err(malformed)?.content);
        let serial = entry.expect(der::INTEGER).map_err(malformed)?;
        if serial.content.is_empty() || serial.content.len() > 127 {
            return Err(malformed(NotDer));
        }
        time::read(entry.any().map_err(malformed)?).map_err(malformed)?;
        if !entry.is_empty() {
            let extensions = entry.expect(der::SEQUENCE).map_err(malformed)?;
            entry.end().map_err(malformed)?;
            check_entry_extensions(extensions.content)?;
        }
        // The CRL has less than 4 GiB.
        let offset = range_in(der, serial.whole).start as u32;
        let key = key_at(der, offset);
        let mut first = [0; 8];
        for (kept, &octet) in first.iter_mut().zip(key.octets) {
            *kept = octet;
        }
        found.push((key.length, u64::from_be_bytes(first), offset));
    }
    found.sort_unstable_by(|a, b| {
        (a.0, a.1)
            .cmp(&(b.0, b.1))
            .then_with(|| key_at(der, a.2).cmp(&key_at(der, b.2)))
    });
    Ok(found.into_iter().map(|(_, _, offset)| offset).collect())
}

fn check_entry_extensions(content: &[u8]) -> Result<(), CrlFormatError> {
    for_each_extension(content, |oid, critical, _| match oid {
        REASON_CODE | INVALIDITY_DATE => Ok(()),
        CERTIFICATE_ISSUER => Err(CrlFormatError::Indirect),
        _ if critical => Err(unknown_critical(oid)),
        _ => Ok(()),
    })
}

/// The extensions of a CRL that are used.
struct Extensions {
    number: SerialNumber,
    scope: Scope,
    authority_key: Option<Box<[u8]>>,
}

fn read_extensions(content: &[u8]) -> Result<Extensions, CrlFormatError> {
    let mut number = None;
    let mut scope = None;
    let mut authority_key = None;
    let list = der::single(content, der::SEQUENCE)
        .map_err(|NotDer| CrlFormatError::Malformed("the extensions"))?;
    for_each_extension(list, |oid, critical, value| match oid {
        NUMBER if critical => Err(CrlFormatError::BadNumber("number is critical")),
        NUMBER => set_once(&mut number, read_number(value)?),
        DELTA_INDICATOR => Err(CrlFormatError::Delta),
        ISSUING_DISTRIBUTION_POINT => set_once(&mut scope, read_scope(value)?),
        AUTHORITY_KEY_IDENTIFIER => set_once(&mut authority_key, value.into()),
        _ if critical => Err(unknown_critical(oid)),
        _ => Ok(()),
    })?;
    Ok(Extensions {
        number: number.ok_or(CrlFormatError::BadNumber("number is missing"))?,
        scope: scope.unwrap_or_default(),
        authority_key,
    })
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), CrlFormatError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(CrlFormatError::Malformed("an extension: it occurs twice")),
    }
}

fn unknown_critical(oid: &[u8]) -> CrlFormatError {
    match der::oid_to_string(oid) {
        Ok(oid) => CrlFormatError::CriticalExtension { oid },
        Err(NotDer) => CrlFormatError::Malformed("an extension's object identifier"),
    }
}

/// `Extension ::= SEQUENCE { extnID OID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }`
fn for_each_extension(
    content: &[u8],
    mut read: impl FnMut(&[u8], bool, &[u8]) -> Result<(), CrlFormatError>,
) -> Result<(), CrlFormatError> {
    let mut extensions = Reader::new(content);
    while !extensions.is_empty() {
        let (oid, critical, value) = extension(&mut extensions)
            .map_err(|NotDer| CrlFormatError::Malformed("an extension"))?;
        read(oid, critical, value)?;
    }
    Ok(())
}

fn extension<'a>(extensions: &mut Reader<'a>) -> Result<(&'a [u8], bool, &'a [u8]), NotDer> {
    let mut parts = Reader::new(extensions.expect(der::SEQUENCE)?.content);
    let oid = parts.expect(der::OBJECT_IDENTIFIER)?.content;
    der::oid_to_string(oid)?; // must be minimal: a known OID must have one encoding
    let mut next = parts.any()?;
    let critical = next.tag == der::BOOLEAN;
    if critical {
        if next.content != [0xff] {
            return Err(NotDer);
        }
        next = parts.any()?;
    }
    parts.end()?;
    if next.tag != der::OCTET_STRING {
        return Err(NotDer);
    }
    Ok((oid, critical, next.content))
}

fn read_number(value: &[u8]) -> Result<SerialNumber, CrlFormatError> {
    match der::single(value, der::INTEGER) {
        Ok(octets)
            if octets.first().is_some_and(|first| first & 0x80 == 0) && octets.len() <= 21 =>
        {
            Ok(SerialNumber::from_octets(octets))
        }
        _ => Err(CrlFormatError::BadNumber(
            "number is not a number of at most 20 octets",
        )),
    }
}

/// `IssuingDistributionPoint`, with its implicitly tagged fields.
fn read_scope(value: &[u8]) -> Result<Scope, CrlFormatError> {
    let malformed = |_: NotDer| CrlFormatError::Malformed("the issuing distribution point");
    let is_true = |tlv: Tlv<'_>| match tlv.content {
        [0xff] => Ok(true),
        [0x00] => Ok(false),
        _ => Err(malformed(NotDer)),
    };
    let mut scope = Scope::default();
    let mut fields = Reader::new(der::single(value, der::SEQUENCE).map_err(malformed)?);
    let mut last = None;
    while !fields.is_empty() {
        let field = fields.any().map_err(malformed)?;
        let number = field.tag & 0x1f;
        if last.replace(number).is_some_and(|last| last >= number) {
            return Err(malformed(NotDer)); // repeated, or out of order
        }
        match field.tag {
            0xa0 => {
                let name = der::single(field.content, FULL_NAME).map_err(|NotDer| {
                    CrlFormatError::Scope("its name is relative to the issuer's")
                })?;
                scope.uris = uris(name)
                    .map_err(malformed)?
                    .into_iter()
                    .map(Into::into)
                    .collect();
                if scope.uris.is_empty() {
                    return Err(CrlFormatError::Scope("it has no URI"));
                }
            }
            0x81 => scope.only_end_entities = is_true(field)?,
            0x82 => scope.only_authorities = is_true(field)?,
            0x83 => return Err(CrlFormatError::SomeReasons),
            0x84 if is_true(field)? => return Err(CrlFormatError::Indirect),
            0x85 if is_true(field)? => {
                return Err(CrlFormatError::Scope("it is about attribute certificates"));
            }
            0x84 | 0x85 => {}
            _ => return Err(malformed(NotDer)),
        }
    }
    if scope.only_end_entities && scope.only_authorities {
        return Err(CrlFormatError::Scope("it excludes every certificate"));
    }
    Ok(scope)
}

/// The tag of `fullName [0] GeneralNames` in `DistributionPointName`.
const FULL_NAME: u8 = 0xa0;

/// The URIs among general names.
fn uris(names: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    const URI: u8 = 0x86;
    let mut uris = Vec::new();
    let mut names = Reader::new(names);
    while !names.is_empty() {
        let name = names.any()?;
        if !is_general_name(name.tag) {
            return Err(NotDer);
        }
        if name.tag == URI {
            uris.push(name.content);
        }
    }
    Ok(uris)
}

/// The URIs of the complete CRL in the distribution points of a certificate (RFC 5280 section
/// 4.2.1.13); `None` without the extension.
fn distribution_points(certificate: &Certificate) -> Option<Result<Vec<&[u8]>, NotDer>> {
    const DISTRIBUTION_POINTS: &str = "2.5.29.31";
    let extension = certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid() == DISTRIBUTION_POINTS)?;
    Some(read_distribution_points(extension.value()))
}

fn read_distribution_points(value: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    let mut found = Vec::new();
    let mut points = Reader::new(der::single(value, der::SEQUENCE)?);
    while !points.is_empty() {
        let mut point = Reader::new(points.expect(der::SEQUENCE)?.content);
        let mut of_point = Vec::new();
        let mut complete = true;
        while !point.is_empty() {
            let field = point.any()?;
            if field.tag != 0xa0 {
                complete = false; // for some reasons only, or of another issuer
            } else if let Ok(name) = der::single(field.content, FULL_NAME) {
                of_point = uris(name)?;
            }
        }
        if complete {
            found.extend(of_point);
        }
    }
    Ok(found)
}

/// The range of `part`, a subslice of `whole`.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}
