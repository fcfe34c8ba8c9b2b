//! The entries of a CRL: revoked certificates, and those that a delta CRL removes.

use std::collections::HashMap;

use super::extensions::{for_each_extension, unknown_critical};
use super::range_in;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::error::CrlFormatError;
use crate::pki::name_matching::ComparableName;
use crate::pki::san::read_general_name;
use crate::pki::{GeneralName, SerialNumber};

const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

/// What a CRL has about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Revoked,
    /// A delta CRL removes the certificate from its base (reason removeFromCRL).
    Removed,
}

/// Which entries a CRL may have.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Entries may name another issuer (RFC 5280 section 5.3.3).
    pub(super) indirect: bool,
    /// Entries may be removals. In a complete CRL, removeFromCRL is not allowed and counts as revoked.
    pub(super) delta: bool,
}

/// The entries, by the issuer of the certificates.
#[derive(Default)]
pub(super) struct Entries {
    own: Group,
    /// Those of an indirect CRL about other issuers' certificates, compared by RFC 5280 section 7.1.
    others: HashMap<ComparableName, Group>,
}

/// The offsets of serial numbers in the CRL, by ascending [`Key`].
#[derive(Default)]
struct Group {
    revoked: Box<[u32]>,
    removed: Box<[u32]>,
}

impl Group {
    fn entry(&self, der: &[u8], wanted: Key<'_>) -> Option<Entry> {
        let has = |offsets: &[u32]| {
            let found = offsets.binary_search_by(|&offset| key_at(der, offset).cmp(&wanted));
            found.is_ok()
        };
        // A serial number that is both revoked and removed is revoked.
        if has(&self.revoked) {
            Some(Entry::Revoked)
        } else {
            has(&self.removed).then_some(Entry::Removed)
        }
    }

    fn len(&self) -> usize {
        self.revoked.len() + self.removed.len()
    }
}

/// The entries of one issuer while they are read. The first octets are kept beside the offset, so that
/// most comparisons need only this vector.
type Found = Vec<(usize, u64, u32)>;

impl Entries {
    /// Reads the content of `revokedCertificates`, a part of `der`.
    pub(super) fn read(der: &[u8], content: &[u8], kind: Kind) -> Result<Self, CrlFormatError> {
        let malformed = |_: NotDer| CrlFormatError::Malformed("a revoked certificate's entry");
        let mut entries = Reader::new(content);
        let (mut revoked, mut removed) = (Found::new(), Found::new());
        let mut others: HashMap<ComparableName, (Found, Found)> = HashMap::new();
        let mut issuer: Option<ComparableName> = None;
        while !entries.is_empty() {
            let mut entry = Reader::new(entries.expect(der::SEQUENCE).map_err(malformed)?.content);
            let serial = entry.expect(der::INTEGER).map_err(malformed)?;
            if serial.content.is_empty() || serial.content.len() > 127 {
                return Err(malformed(NotDer));
            }
            super::read_time("revocationDate", entry.any().map_err(malformed)?)?;
            let mut is_removed = false;
            if !entry.is_empty() {
                let extensions = entry.expect(der::SEQUENCE).map_err(malformed)?;
                entry.end().map_err(malformed)?;
                let read = EntryExtensions::read(extensions.content, kind)?;
                is_removed = read.removed;
                issuer = read.issuer.or(issuer); // it applies to the next entries too
            }
            let found = match &issuer {
                None if is_removed => &mut removed,
                None => &mut revoked,
                Some(issuer) => {
                    let of_issuer = others.entry(issuer.clone()).or_default();
                    if is_removed {
                        &mut of_issuer.1
                    } else {
                        &mut of_issuer.0
                    }
                }
            };
            // The CRL has less than 4 GiB.
            found.push(keyed(der, range_in(der, serial.whole).start as u32));
        }
        let group = |(revoked, removed)| Group {
            revoked: sorted(der, revoked),
            removed: sorted(der, removed),
        };
        Ok(Self {
            own: group((revoked, removed)),
            others: others
                .into_iter()
                .map(|(issuer, found)| (issuer, group(found)))
                .collect(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.own.len() + self.others.values().map(Group::len).sum::<usize>()
    }

    /// The entry about a certificate of the CRL's issuer.
    pub(super) fn own(&self, der: &[u8], serial: &SerialNumber) -> Option<Entry> {
        self.own.entry(der, Key::of(serial.as_bytes()))
    }

    /// The entry that names this issuer of the certificate.
    pub(super) fn of_issuer(
        &self,
        der: &[u8],
        issuer: &ComparableName,
        serial: &SerialNumber,
    ) -> Option<Entry> {
        let group = self.others.get(issuer)?;
        group.entry(der, Key::of(serial.as_bytes()))
    }

    /// Whether each certificate that `other` revokes is revoked here.
    pub(super) fn have_all_of(&self, der: &[u8], other: &Self, other_der: &[u8]) -> bool {
        let contains = |own: &Group, others: &Group| {
            others
                .revoked
                .iter()
                .all(|&offset| own.entry(der, key_at(other_der, offset)) == Some(Entry::Revoked))
        };
        let none = Group::default();
        contains(&self.own, &other.own)
            && other
                .others
                .iter()
                .all(|(issuer, others)| contains(self.others.get(issuer).unwrap_or(&none), others))
    }
}

fn keyed(der: &[u8], offset: u32) -> (usize, u64, u32) {
    let key = key_at(der, offset);
    let mut first = [0; 8];
    for (kept, &octet) in first.iter_mut().zip(key.octets) {
        *kept = octet;
    }
    (key.length, u64::from_be_bytes(first), offset)
}

fn sorted(der: &[u8], mut found: Found) -> Box<[u32]> {
    found.sort_unstable_by(|a, b| {
        (a.0, a.1)
            .cmp(&(b.0, b.1))
            .then_with(|| key_at(der, a.2).cmp(&key_at(der, b.2)))
    });
    found.into_iter().map(|(_, _, offset)| offset).collect()
}

/// The extensions of an entry that are used.
#[derive(Default)]
struct EntryExtensions {
    /// The certificate's issuer.
    issuer: Option<ComparableName>,
    removed: bool,
}

impl EntryExtensions {
    fn read(content: &[u8], kind: Kind) -> Result<Self, CrlFormatError> {
        const REMOVE_FROM_CRL: &[u8] = &[10, 1, 8]; // ENUMERATED 8

        let mut read = Self::default();
        for_each_extension(content, |oid, critical, value| match oid {
            REASON_CODE => {
                read.removed = kind.delta && value == REMOVE_FROM_CRL;
                Ok(())
            }
            INVALIDITY_DATE => Ok(()),
            CERTIFICATE_ISSUER if kind.indirect => {
                let issuer = read_issuer(value).map_err(|NotDer| {
                    CrlFormatError::Malformed("the certificate issuer of an entry")
                })?;
                read.issuer = Some(issuer);
                Ok(())
            }
            CERTIFICATE_ISSUER => Err(CrlFormatError::Indirect),
            _ if critical => Err(unknown_critical(oid)),
            _ => Ok(()),
        })?;
        Ok(read)
    }
}

/// `CertificateIssuer ::= GeneralNames`, with the one distinguished name of RFC 5280 section 5.3.3.
fn read_issuer(value: &[u8]) -> Result<ComparableName, NotDer> {
    let mut names = Reader::new(der::single(value, der::SEQUENCE)?);
    let name = names.any()?;
    names.end()?;
    match read_general_name(name.tag, name.content) {
        GeneralName::DirectoryName(name) => Ok(ComparableName::of(&name)),
        _ => Err(NotDer),
    }
}

/// A serial number as a sort key: without superfluous sign octets, shorter ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    length: usize,
    octets: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn of(mut octets: &'a [u8]) -> Self {
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
}

/// The serial number whose INTEGER, with a length of one octet, starts at this offset.
fn key_at(der: &[u8], offset: u32) -> Key<'_> {
    // The offset is that of an INTEGER that was parsed in these bytes.
    let start = offset as usize;
    let length = usize::from(der[start + 1]);
    Key::of(&der[start + 2..start + 2 + length])
}
