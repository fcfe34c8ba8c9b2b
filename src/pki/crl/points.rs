//! Distribution points, as certificates and CRLs name them (RFC 5280 sections 4.2.1.13 and 5.2.5).

use super::scope::Reasons;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::san::{is_general_name, read_general_name};
use crate::pki::{Certificate, DistinguishedName, GeneralName, extension_oid};

const URI: u8 = 0x86;
const DIRECTORY_NAME: u8 = 0xa4;

/// The URIs and directory names of a distribution point, each a GeneralName in DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PointNames(Vec<Box<[u8]>>);

impl PointNames {
    /// Reads a `DistributionPointName`. A name that is relative to the CRL issuer's is completed with
    /// `issuer`.
    pub(super) fn read(content: &[u8], issuer: &DistinguishedName) -> Result<Self, NotDer> {
        const FULL_NAME: u8 = 0xa0;
        const RELATIVE_NAME: u8 = 0xa1;

        let mut choice = Reader::new(content);
        let name = choice.any()?;
        choice.end()?;
        match name.tag {
            FULL_NAME => Self::of_general_names(name.content),
            RELATIVE_NAME => {
                let rdn = tagged(der::SET, name.content);
                let rdns = [der::single(issuer.der(), der::SEQUENCE)?, &rdn].concat();
                let name = DistinguishedName::from_der(&der::sequence(&rdns))?;
                Ok(Self(vec![directory_name(&name)]))
            }
            _ => Err(NotDer),
        }
    }

    fn of_general_names(names: &[u8]) -> Result<Self, NotDer> {
        let mut found = Vec::new();
        let mut names = Reader::new(names);
        while !names.is_empty() {
            let name = names.any()?;
            if !is_general_name(name.tag) {
                return Err(NotDer);
            }
            if matches!(name.tag, URI | DIRECTORY_NAME) {
                found.push(name.whole.into());
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_uri(&self) -> bool {
        self.0.iter().any(|name| name.first() == Some(&URI))
    }

    pub(super) fn has_common_with(&self, other: &Self) -> bool {
        self.0.iter().any(|name| other.0.contains(name))
    }

    pub(super) fn contains(&self, name: &DistinguishedName) -> bool {
        self.0.contains(&directory_name(name))
    }

    /// The names for people.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().filter_map(|name| {
            let name = Reader::new(name).any().ok()?;
            match (name.tag, read_general_name(name.tag, name.content)) {
                (_, GeneralName::DirectoryName(name)) => Some(name.to_string()),
                (URI, _) => Some(String::from_utf8_lossy(name.content).into_owned()),
                _ => None,
            }
        })
    }
}

fn directory_name(name: &DistinguishedName) -> Box<[u8]> {
    tagged(DIRECTORY_NAME, name.der()).into()
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = der::sequence(content);
    der[0] = tag;
    der
}

/// The distribution points of a certificate.
#[derive(Clone, Debug)]
pub(crate) enum DistributionPoints {
    /// The certificate has none: it may be on any CRL of its issuer.
    None,
    /// Malformed ones are none that match a CRL.
    Some(Vec<Point>),
}

/// One distribution point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// `None` if the point has no name.
    pub(super) names: Option<PointNames>,
    /// The reasons that its CRL has.
    pub(super) reasons: Reasons,
    /// The issuers of its CRL, if it is not the certificate's.
    pub(super) crl_issuers: Option<Vec<DistinguishedName>>,
}

impl DistributionPoints {
    /// Those of a certificate that `issuer` signed.
    pub(crate) fn of(certificate: &Certificate, issuer: &DistinguishedName) -> Self {
        match certificate.extension(extension_oid::CRL_DISTRIBUTION_POINTS) {
            None => Self::None,
            Some(value) => Self::Some(read_points(value, issuer).unwrap_or_default()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Point> {
        match self {
            Self::None => [].iter(),
            Self::Some(points) => points.iter(),
        }
    }

    /// The issuers of CRLs that are not the certificate's issuer.
    pub(crate) fn crl_issuers(&self) -> impl Iterator<Item = &DistinguishedName> {
        let issuers = self.iter().filter_map(|point| point.crl_issuers.as_ref());
        issuers.flatten()
    }

    /// The names of all points, for people.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.iter()
            .filter_map(|point| point.names.as_ref())
            .flat_map(PointNames::texts)
            .collect()
    }
}

fn read_points(value: &[u8], issuer: &DistinguishedName) -> Result<Vec<Point>, NotDer> {
    let mut found = Vec::new();
    let mut points = Reader::new(der::single(value, der::SEQUENCE)?);
    while !points.is_empty() {
        found.push(read_point(points.expect(der::SEQUENCE)?.content, issuer)?);
    }
    Ok(found)
}

/// `SEQUENCE { distributionPoint [0], reasons [1], cRLIssuer [2] }`, all optional.
fn read_point(content: &[u8], issuer: &DistinguishedName) -> Result<Point, NotDer> {
    let mut fields = Reader::new(content);
    let name = fields.optional(0xa0)?;
    let reasons = match fields.optional(0x81)? {
        None => Reasons::ALL,
        Some(field) => Reasons::read(field.content)?,
    };
    let crl_issuers = match fields.optional(0xa2)? {
        None => None,
        Some(field) => Some(directory_names(field.content)?),
    };
    fields.end()?;
    // A relative name belongs to the CRL's issuer, which then has one name.
    let base = match crl_issuers.as_deref() {
        Some([one]) => one,
        _ => issuer,
    };
    let names = match name {
        None => None,
        Some(name) => Some(PointNames::read(name.content, base)?),
    };
    Ok(Point {
        names,
        reasons,
        crl_issuers,
    })
}

fn directory_names(content: &[u8]) -> Result<Vec<DistinguishedName>, NotDer> {
    let mut found = Vec::new();
    let mut names = Reader::new(content);
    while !names.is_empty() {
        let name = names.any()?;
        if !is_general_name(name.tag) {
            return Err(NotDer);
        }
        if let GeneralName::DirectoryName(name) = read_general_name(name.tag, name.content) {
            found.push(name);
        }
    }
    Ok(found)
}
