//! Which certificates a CRL covers (RFC 5280 section 5.2.5), and for which reasons.

use std::ops::{BitAnd, BitOr};

use super::points::{DistributionPoints, Point, PointNames};
use crate::pki::DistinguishedName;
use crate::pki::der::{self, NotDer, Reader, Tlv};
use crate::pki::error::CrlFormatError;

/// A set of reasons of revocation (`ReasonFlags`, RFC 5280 section 4.2.1.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasons(u16);

impl Reasons {
    pub(crate) const NONE: Self = Self(0);
    /// The bits 1 (keyCompromise) to 8 (aACompromise). Bit 0 is not used.
    pub(crate) const ALL: Self = Self(0b1_1111_1110);

    /// Reads the content of a BIT STRING.
    pub(super) fn read(content: &[u8]) -> Result<Self, NotDer> {
        let (&unused, octets) = content.split_first().ok_or(NotDer)?;
        if unused > 7 || octets.is_empty() || octets.len() > 2 {
            return Err(NotDer);
        }
        let bit = |number: u16| {
            let octet = octets.get(usize::from(number / 8)).copied().unwrap_or(0);
            octet & (0x80 >> (number % 8)) != 0
        };
        let set = (1..=8).filter(|&number| bit(number));
        Ok(Self(set.fold(0, |all, number| all | 1 << number)))
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The names of those that are missing.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        const NAMES: [&str; 8] = [
            "keyCompromise",
            "cACompromise",
            "affiliationChanged",
            "superseded",
            "cessationOfOperation",
            "certificateHold",
            "privilegeWithdrawn",
            "aACompromise",
        ];
        let bits = (1..).zip(NAMES);
        let missing = bits.filter(|(bit, _)| self.0 & (1 << bit) == 0);
        missing.map(|(_, name)| name).collect()
    }
}

impl BitOr for Reasons {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Reasons {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The issuing distribution point. The default is that of a CRL without one, which covers everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The names of the point at which the CRL is published. Empty for a single CRL.
    points: PointNames,
    pub(crate) only_end_entities: bool,
    pub(crate) only_authorities: bool,
    pub(super) indirect: bool,
    /// The reasons that it has; `None` for all.
    reasons: Option<Reasons>,
}

impl Scope {
    /// Reads an `IssuingDistributionPoint`, with its implicitly tagged fields.
    pub(super) fn read(value: &[u8], issuer: &DistinguishedName) -> Result<Self, CrlFormatError> {
        let malformed = |_: NotDer| CrlFormatError::Malformed("the issuing distribution point");
        let is_true = |tlv: Tlv<'_>| der::read_bool(tlv.content).map_err(malformed);
        let mut scope = Self::default();
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
                    scope.points = PointNames::read(field.content, issuer).map_err(malformed)?;
                    if scope.points.is_empty() {
                        let problem = "it has neither a URI nor a directory name";
                        return Err(CrlFormatError::Scope(problem));
                    }
                }
                0x81 => scope.only_end_entities = is_true(field)?,
                0x82 => scope.only_authorities = is_true(field)?,
                0x83 => scope.reasons = Some(Reasons::read(field.content).map_err(malformed)?),
                0x84 => scope.indirect = is_true(field)?,
                0x85 if is_true(field)? => {
                    return Err(CrlFormatError::Scope("it is about attribute certificates"));
                }
                0x85 => {}
                _ => return Err(malformed(NotDer)),
            }
        }
        if scope.only_end_entities && scope.only_authorities {
            return Err(CrlFormatError::Scope("it excludes every certificate"));
        }
        Ok(scope)
    }

    /// Whether it is about certificates of authorities, or of end entities.
    pub(crate) fn is_about(&self, authority: bool) -> bool {
        !(if authority {
            self.only_end_entities
        } else {
            self.only_authorities
        })
    }

    /// The names of its point, for people.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.points.texts().collect()
    }

    /// For which reasons a CRL of `own`, with this scope, has the status of certificates of `issuer` with
    /// these distribution points (RFC 5280 section 6.3.3 (b) and (d)).
    pub(super) fn coverage(
        &self,
        own: &DistinguishedName,
        points: &DistributionPoints,
        issuer: &DistinguishedName,
    ) -> Reasons {
        let reasons = self.reasons.unwrap_or(Reasons::ALL);
        let is_issuers = own == issuer;
        // Without a distribution point that leads to it, a CRL of the certificate's issuer counts when
        // its point is the issuer's name, or it has none (the last paragraph of section 6.3.3). Beyond
        // that, URIs are addresses: a certificate without distribution points may be on such a list. A
        // directory name is not, because the issuer's is the one that such a certificate implies.
        let unnamed = matches!(points, DistributionPoints::None) && self.points.has_uri();
        let implied = unnamed || self.points.is_empty() || self.points.contains(issuer);
        if is_issuers && implied {
            return reasons;
        }
        points
            .iter()
            .filter(|point| self.is_at(point, own, is_issuers))
            .fold(Reasons::NONE, |all, point| all | (reasons & point.reasons))
    }

    fn is_at(&self, point: &Point, own: &DistinguishedName, is_issuers: bool) -> bool {
        let by_its_issuer = match &point.crl_issuers {
            None => is_issuers,
            Some(issuers) => self.indirect && issuers.contains(own),
        };
        let at_its_place = self.points.is_empty()
            || match &point.names {
                Some(names) => self.points.has_common_with(names),
                None => {
                    let mut issuers = point.crl_issuers.iter().flatten();
                    issuers.any(|issuer| self.points.contains(issuer))
                }
            };
        by_its_issuer && at_its_place
    }
}
