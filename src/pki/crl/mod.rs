//! Certificate revocation lists (RFC 5280 section 5), parsed once, as strict DER.

mod algorithm;
mod entries;
mod extensions;
mod points;
mod scope;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};

use self::entries::{Entries, Key};
use self::extensions::Extensions;
use self::scope::Scope;
use super::der::{self, NotDer, Reader, Tlv};
use super::error::CrlFormatError;
use super::key_id::AuthorityKey;
use super::name_matching::ComparableName;
use super::signed::{Signed, bit_string};
use super::time::{self, Rfc3339};
use super::{Certificate, DistinguishedName, SerialNumber, ShortName, ShortSerial};

pub(crate) use self::entries::Entry;
pub(crate) use self::points::DistributionPoints;
pub(crate) use self::scope::Reasons;

/// Whether a CRL must have a number.
///
/// RFC 5280 requires a cRLNumber of every CA (section 5.2.3), and version 2 (section 5.1.2.1). Many CAs
/// make CRLs without: easy-rsa, Go's `CreateCRL`, cfssl and NSS omit the number, and Java's keytool and
/// `openssl ca` with its default configuration write version 1, which has none.
///
/// ```
/// use countersign::pki::{Crl, CrlNumber};
/// use countersign::testing::TestCa;
///
/// let der = TestCa::new("Root").crl().without_number().build();
/// assert!(Crl::from_der(&der).is_err());
/// let crl = Crl::from_der_with(&der, CrlNumber::Optional)?;
/// assert_eq!(crl.number(), None);
/// # Ok::<(), countersign::pki::CrlFormatError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlNumber {
    /// A CRL without a number is an error, and so is version 1.
    #[default]
    Required,
    /// A CRL may be without a number, and version 1. CRLs of one issuer and scope are then ordered by
    /// thisUpdate: the newest counts. If several have the same thisUpdate and no number orders them, a
    /// certificate is revoked when any of them lists it.
    ///
    /// # Security
    /// The protection against a rollback compares thisUpdate only, which has a resolution of one second.
    /// Between two CRLs of one second, only one that keeps every entry of the other may replace it.
    /// Version 1 has no authorityKeyIdentifier, so that CRLs of several authorities with one name are
    /// distinguished by their signatures only.
    Optional,
}

/// One certificate revocation list, parsed: complete or delta, direct or indirect.
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
    extensions: Extensions,
    entries: Entries,
}

impl Crl {
    /// Parses a DER-encoded CRL.
    ///
    /// It must be version 2 and have a cRLNumber and a nextUpdate. It may be a delta CRL, an indirect CRL,
    /// or one for some reasons only.
    ///
    /// # Errors
    /// [`CrlFormatError`] names the part that cannot be read, or the property that is not supported, such
    /// as an unknown critical extension.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlFormatError> {
        Self::from_der_with(der, CrlNumber::Required)
    }

    /// As [`from_der`](Self::from_der), optionally without a number.
    ///
    /// # Errors
    /// As for [`from_der`](Self::from_der).
    pub fn from_der_with(der: &[u8], number: CrlNumber) -> Result<Self, CrlFormatError> {
        Self::from_boxed(der.into(), number)
    }

    pub(crate) fn from_boxed(der: Box<[u8]>, number: CrlNumber) -> Result<Self, CrlFormatError> {
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

        let fields = Fields::read(tbs.content, number)?;
        if fields.algorithm != algorithm.whole {
            return Err(Malformed(
                "the algorithm: the signed one differs from the signature's",
            ));
        }
        let extensions = match fields.extensions {
            Some(content) => Extensions::read(content, &fields.issuer)?,
            None => Extensions::default(),
        };
        if extensions.number.is_none() && number == CrlNumber::Required {
            return Err(CrlFormatError::BadNumber("number is missing"));
        }
        let kind = entries::Kind {
            indirect: extensions.scope.indirect,
            delta: extensions.delta_base.is_some(),
        };
        let entries = Entries::read(&der, fields.entries, kind)?;

        let range = |part: &[u8]| range_in(&der, part);
        let (message, algorithm, signature) =
            (range(tbs.whole), range(algorithm.content), range(signature));
        Ok(Self {
            inner: Arc::new(Inner {
                message,
                algorithm,
                signature,
                issuer: fields.issuer,
                this_update: fields.this_update,
                next_update: fields.next_update,
                extensions,
                entries,
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

    /// Its cRLNumber, which increases with each CRL of the same issuer and scope. `None` only under
    /// [`CrlNumber::Optional`].
    pub fn number(&self) -> Option<&SerialNumber> {
        self.inner.extensions.number.as_ref()
    }

    /// Whether it is a delta CRL, which contains only the changes since a complete CRL (RFC 5280 section
    /// 5.2.4).
    pub fn is_delta(&self) -> bool {
        self.inner.extensions.delta_base.is_some()
    }

    /// The number of its entries. Those of a delta CRL can also be removals.
    pub fn len(&self) -> usize {
        self.inner.entries.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it revokes the certificate of its issuer with this serial number.
    ///
    /// This is a binary search. A delta CRL answers for its own entries only.
    pub fn revokes(&self, serial: &SerialNumber) -> bool {
        let inner = &*self.inner;
        inner.entries.own(&inner.der, serial) == Some(Entry::Revoked)
    }

    /// Its entry about a certificate that `issuer` signed.
    pub(crate) fn entry(
        &self,
        certificate: &Certificate,
        issuer: &DistinguishedName,
    ) -> Option<Entry> {
        let (inner, serial) = (&*self.inner, certificate.serial());
        let own = || inner.entries.own(&inner.der, serial);
        if !inner.extensions.scope.indirect {
            return own(); // it is asked only about its issuer's certificates
        }
        // The names may be encoded differently (RFC 5280 section 7.1). A missed entry would be a revoked
        // certificate that is accepted.
        let wanted = ComparableName::of(issuer);
        let own = (ComparableName::of(&inner.issuer) == wanted)
            .then(own)
            .flatten();
        own.or_else(|| inner.entries.of_issuer(&inner.der, &wanted, serial))
    }

    /// For which reasons of revocation it has the status of a certificate that `issuer` signed (RFC 5280
    /// section 6.3.3 (b) and (d)).
    ///
    /// A certificate that names distribution points is covered only by a CRL that is published at one
    /// of them, or that has no distribution point, or that of the issuer's name. A certificate that names
    /// none may be on any CRL of its issuer.
    pub(crate) fn coverage(
        &self,
        certificate: &Certificate,
        points: &DistributionPoints,
        issuer: &DistinguishedName,
    ) -> Reasons {
        let scope = &self.inner.extensions.scope;
        if !scope.is_about(certificate.is_ca()) {
            return Reasons::NONE;
        }
        scope.coverage(self.issuer(), points, issuer)
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.inner.extensions.scope
    }

    /// Whether both cover the same certificates, so that the newer one replaces the other.
    pub(crate) fn same_scope(&self, other: &Self) -> bool {
        self.inner.issuer == other.inner.issuer && self.scope() == other.scope()
    }

    /// Whether it was issued after `other`: by thisUpdate, then by number if both have one.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        let (this, other_this) = (self.this_update().as_secs(), other.this_update().as_secs());
        this > other_this
            || (this == other_this
                && both(self.key(), other.key()).is_some_and(|(own, other)| own > other))
    }

    /// Whether `other` has the same issuer and scope and was issued later: by number, which increases
    /// monotonically (RFC 5280 section 5.2.3), or by thisUpdate with the same number.
    ///
    /// Without a number on both sides, by thisUpdate. If that is equal too, their order is unknown, and a
    /// CRL that lacks an entry of `other` counts as the earlier one.
    pub(crate) fn is_rollback_of(&self, other: &Self) -> bool {
        if !self.same_scope(other) {
            return false;
        }
        let (this, other_this) = (self.this_update().as_secs(), other.this_update().as_secs());
        match both(self.key(), other.key()) {
            Some((own, others)) => (own, this) < (others, other_this),
            None if this == other_this => {
                self.is_delta() != other.is_delta() || !self.has_all_of(other)
            }
            None => this < other_this,
        }
    }

    fn has_all_of(&self, other: &Self) -> bool {
        let (own, other) = (&*self.inner, &*other.inner);
        own.entries
            .have_all_of(&own.der, &other.entries, &other.der)
    }

    /// Whether this delta CRL is about the same certificates as a complete CRL, and not older (RFC 5280
    /// section 6.3.3 (c)): both have the same issuer, scope and authorityKeyIdentifier.
    pub(crate) fn is_newer_delta_of(&self, complete: &Self) -> bool {
        self.is_delta()
            && !complete.is_delta()
            && self.same_scope(complete)
            && self.inner.extensions.authority_key == complete.inner.extensions.authority_key
            && both(self.key(), complete.key()).is_some_and(|(own, complete)| own >= complete)
    }

    /// Whether this delta CRL can also be applied to it: the complete one is not older than the delta's
    /// base.
    pub(crate) fn is_delta_of(&self, complete: &Self) -> bool {
        let base = self.inner.extensions.delta_base.as_ref();
        let base = base.map(|base| Key::of(base.as_bytes()));
        self.is_newer_delta_of(complete)
            && both(base, complete.key()).is_some_and(|(base, complete)| base <= complete)
    }

    fn key(&self) -> Option<Key<'_>> {
        self.number().map(|number| Key::of(number.as_bytes()))
    }

    /// Whether both are clones of one value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether the authorityKeyIdentifiers of both exist and differ (RFC 5280 section 5.2.1).
    pub(crate) fn names_another_key_than(&self, other: &Self) -> bool {
        let key = |list: &Self| list.inner.extensions.authority_key.clone();
        both(key(self), key(other)).is_some_and(|(own, other)| own != other)
    }

    /// The keyIdentifier of its authorityKeyIdentifier.
    pub(crate) fn authority_key_id(&self) -> Option<&[u8]> {
        let value = self.inner.extensions.authority_key.as_deref()?;
        AuthorityKey::read(value).ok()?.key
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

    /// The name of its signature algorithm, if none of these algorithms is it.
    pub(crate) fn unsupported_algorithm(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Option<String> {
        let own = &self.inner.der[self.inner.algorithm.clone()];
        let mut known = algorithms.iter();
        let is_known = known.any(|known| known.signature_alg_id().as_ref() == own);
        (!is_known).then(|| algorithm::name(own))
    }
}

/// The fields of the signed part.
struct Fields<'a> {
    algorithm: &'a [u8],
    issuer: DistinguishedName,
    this_update: UnixTime,
    next_update: UnixTime,
    /// The content of revokedCertificates.
    entries: &'a [u8],
    /// The content of crlExtensions.
    extensions: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(tbs: &'a [u8], number: CrlNumber) -> Result<Self, CrlFormatError> {
        use CrlFormatError::Malformed;

        let outer = |part: &'static str| move |_: NotDer| Malformed(part);
        let mut fields = Reader::new(tbs);
        let mut next = fields.any().map_err(outer("the signed part"))?;
        // Version 1 has no version field: the algorithm is first.
        let version_1 = next.tag == der::SEQUENCE;
        if version_1 && number == CrlNumber::Required {
            return Err(CrlFormatError::Version1);
        }
        if !version_1 {
            if next.tag != der::INTEGER || next.content != [1] {
                return Err(Malformed("the version"));
            }
            next = fields.any().map_err(outer("the signed algorithm"))?;
        }
        let algorithm = next.whole;
        next = fields.any().map_err(outer("the issuer's name"))?;
        let issuer = DistinguishedName::from_der(next.whole).map_err(outer("the issuer's name"))?;
        next = fields.any().map_err(outer("thisUpdate"))?;
        let this_update = read_time("thisUpdate", next)?;
        next = match fields.any() {
            Ok(next) if matches!(next.tag, time::UTC_TIME | time::GENERALIZED_TIME) => next,
            _ => return Err(CrlFormatError::NoNextUpdate),
        };
        let next_update = read_time("nextUpdate", next)?;
        let entries = fields
            .optional(der::SEQUENCE)
            .map_err(outer("the revoked certificates"))?;
        let extensions = match fields.is_empty() {
            true => None,
            false => Some(
                fields
                    .expect(EXTENSIONS)
                    .map_err(outer("the extensions"))?
                    .content,
            ),
        };
        fields.end().map_err(outer("the end of the signed part"))?;
        if version_1 && extensions.is_some() {
            return Err(Malformed("the extensions: version 1 has none"));
        }
        Ok(Self {
            algorithm,
            issuer,
            this_update,
            next_update,
            entries: entries.map_or(&[], |entries| entries.content),
            extensions,
        })
    }
}

/// A time of the CRL. One that is not DER is named with its text, because CAs make such.
fn read_time(field: &'static str, tlv: Tlv<'_>) -> Result<UnixTime, CrlFormatError> {
    time::read(tlv).map_err(|NotDer| match tlv.tag {
        time::UTC_TIME | time::GENERALIZED_TIME => CrlFormatError::BadTime {
            field,
            value: String::from_utf8_lossy(tlv.content)
                .chars()
                .take(40)
                .collect(),
        },
        _ => CrlFormatError::Malformed(field),
    })
}

/// Both values, if both exist.
fn both<T>(one: Option<T>, other: Option<T>) -> Option<(T, T)> {
    Some((one?, other?))
}

/// The number of a CRL after a space; nothing without one.
struct Number<'a>(Option<&'a SerialNumber>);

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(number) => write!(f, " {}", ShortSerial(number)),
        }
    }
}

/// One line that names the CRL.
impl fmt::Display for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CRL{} of \"{}\" ({} to {})",
            Number(self.number()),
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
            .field("number", &self.number())
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

/// The range of `part`, a subslice of `whole`.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}
