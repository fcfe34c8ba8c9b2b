//! Name constraints (RFC 5280 sections 4.2.1.10 and 6.1.3 (b) and (c)).

use std::fmt::Display;

use super::hosts::{dns_within, email_within, ip_within, uri_within};
use super::{Path, invalid, malformed};
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::extension_oid::{NAME_CONSTRAINTS, SUBJECT_ALTERNATIVE_NAME};
use crate::pki::name_matching::ComparableName;
use crate::pki::named::describe_name;
use crate::pki::text::{Brief, Escaped};
use crate::pki::{Certificate, DistinguishedName, GeneralName, NameAttribute};
use crate::trust::extensions::name_constraints;
use crate::trust::{ChainError, PathError};

/// The most comparisons of a name with a constraint for one path; a comparison of long names counts as
/// several. rustls-webpki has the same limit.
const MAX_COMPARISONS: usize = 250_000;

/// The constraints of one issuer or root.
struct Constraints<'a> {
    permitted: Vec<Base<'a>>,
    excluded: Vec<Base<'a>>,
}

/// A kind of name, by the tag of GeneralName, with a subtree of it.
enum Base<'a> {
    Email(&'a [u8]),
    Dns(&'a [u8]),
    Directory(ComparableName, DistinguishedName),
    Uri(&'a [u8]),
    Ip(&'a [u8]),
    /// A kind for which RFC 5280 defines no subtrees, with the type of an otherName.
    Unsupported(u8, Option<&'a [u8]>),
}

/// A name of a certificate, in a form to compare.
enum Name<'a> {
    San(&'a GeneralName, Option<ComparableName>),
    Subject(ComparableName, &'a DistinguishedName),
    /// An emailAddress of the subject.
    SubjectEmail(&'a [u8]),
}

/// RFC 9598: rfc822Name constraints apply to this otherName, too.
const SMTP_UTF8_MAILBOX: &str = "1.3.6.1.5.5.7.8.9";

const OTHER_NAME: u8 = 0xa0;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// Checks the names of a path by the constraints of all issuers above them.
pub(super) fn check(path: Path<'_>) -> Result<(), ChainError> {
    let issuers = &path.certificates[1..];
    if path.root_constraints.is_none() && issuers.iter().all(|it| name_constraints(it).is_none()) {
        return Ok(());
    }
    let mut in_force = Vec::new();
    let mut left = MAX_COMPARISONS;
    let top = path.certificates[path.certificates.len() - 1];
    if let Some(constraints) = path.root_constraints {
        let read = Constraints::read(constraints).map_err(|_| malformed(top, NAME_CONSTRAINTS))?;
        in_force.push(read);
    }
    for (place, certificate) in path.certificates.iter().copied().enumerate().rev() {
        let is_leaf = place == 0;
        if !in_force.is_empty() && (is_leaf || !certificate.is_self_issued()) {
            check_names(certificate, &in_force, &mut left)?;
        }
        if is_leaf {
            break;
        }
        if let Some(constraints) = name_constraints(certificate) {
            let read = Constraints::read(constraints);
            in_force.push(read.map_err(|_| malformed(certificate, NAME_CONSTRAINTS))?);
        }
    }
    Ok(())
}

/// Whether constraints, given as the content of the extension, do not allow the names of a certificate.
pub(crate) fn violates(certificate: &Certificate, constraints: &[u8]) -> bool {
    let Ok(constraints) = Constraints::read(constraints) else {
        return true;
    };
    check_names(certificate, &[constraints], &mut { MAX_COMPARISONS }).is_err()
}

/// Whether constraints are about names that rustls-webpki supports.
pub(super) fn has_only_dns_and_ip(constraints: &[u8]) -> bool {
    Constraints::read(constraints).is_ok_and(|constraints| {
        let mut all = constraints.permitted.iter().chain(&constraints.excluded);
        all.all(|base| matches!(base, Base::Dns(_) | Base::Ip(_)))
    })
}

fn check_names(
    certificate: &Certificate,
    in_force: &[Constraints<'_>],
    left: &mut usize,
) -> Result<(), ChainError> {
    let sans = certificate
        .subject_alternative_names()
        .map_err(|_| malformed(certificate, SUBJECT_ALTERNATIVE_NAME))?;
    let mut names: Vec<Name<'_>> = sans
        .iter()
        .map(|san| match san {
            GeneralName::DirectoryName(name) => Name::San(san, Some(ComparableName::of(name))),
            _ => Name::San(san, None),
        })
        .collect();
    let subject = certificate.subject();
    let attributes = subject.attributes();
    if !subject.is_empty() {
        names.push(Name::Subject(ComparableName::of(subject), subject));
        if !sans.iter().any(|san| matches!(san, GeneralName::Email(_))) {
            let emails = attributes.iter();
            let emails = emails.filter(|it| it.oid() == NameAttribute::EMAIL_ADDRESS);
            names.extend(emails.map(|it| Name::SubjectEmail(it.value())));
        }
    }
    for constraints in in_force {
        for name in &names {
            constraints
                .check(name, left)
                .map_err(|problem| invalid(certificate, problem))?;
        }
    }
    Ok(())
}

impl<'a> Constraints<'a> {
    /// Reads the content of `NameConstraints ::= SEQUENCE { permittedSubtrees [0], excludedSubtrees
    /// [1] }`, both optional.
    fn read(content: &'a [u8]) -> Result<Self, NotDer> {
        let mut fields = Reader::new(content);
        let permitted = fields.optional(0xa0)?;
        let excluded = fields.optional(0xa1)?;
        fields.end()?;
        let subtrees = |field: Option<der::Tlv<'a>>| match field {
            None => Ok(Vec::new()),
            Some(field) => read_subtrees(field.content),
        };
        Ok(Self {
            permitted: subtrees(permitted)?,
            excluded: subtrees(excluded)?,
        })
    }

    fn check(&self, name: &Name<'_>, left: &mut usize) -> Result<(), PathError> {
        let mut is_permitted = None;
        let mut first = None;
        for base in &self.permitted {
            if let Some(within) = name.is_within(base, false, left)? {
                first = first.or(Some(base));
                is_permitted = Some(is_permitted.unwrap_or(false) || within);
            }
        }
        if is_permitted == Some(false) {
            return Err(PathError::NameNotPermitted {
                name: name.described(),
                permitted: first.map(Base::described).unwrap_or_default(),
            });
        }
        for base in &self.excluded {
            if name.is_within(base, true, left)? == Some(true) {
                return Err(PathError::NameExcluded {
                    name: name.described(),
                    excluded: base.described(),
                });
            }
        }
        Ok(())
    }
}

/// `GeneralSubtrees ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { base, minimum [0] DEFAULT 0, maximum [1]
/// OPTIONAL }`. Section 4.2.1.10: minimum is zero, and maximum is absent.
fn read_subtrees(content: &[u8]) -> Result<Vec<Base<'_>>, NotDer> {
    let mut all = Reader::new(content);
    let mut bases = Vec::new();
    while !all.is_empty() {
        let mut subtree = Reader::new(all.expect(der::SEQUENCE)?.content);
        let base = subtree.any()?;
        subtree.end()?;
        bases.push(match base.tag {
            EMAIL => Base::Email(base.content),
            DNS => Base::Dns(base.content),
            URI => Base::Uri(base.content),
            IP => Base::Ip(base.content),
            DIRECTORY => {
                let name = DistinguishedName::from_der(base.content)?;
                Base::Directory(ComparableName::of(&name), name)
            }
            OTHER_NAME => {
                let oid = Reader::new(base.content).expect(der::OBJECT_IDENTIFIER)?;
                Base::Unsupported(base.tag, Some(oid.content))
            }
            tag if crate::pki::san::is_general_name(tag) => Base::Unsupported(tag, None),
            _ => return Err(NotDer),
        });
    }
    Ok(bases)
}

impl Name<'_> {
    /// Whether the name is in a subtree; `None` if the two are of different kinds.
    fn is_within(
        &self,
        base: &Base<'_>,
        is_excluded: bool,
        left: &mut usize,
    ) -> Result<Option<bool>, PathError> {
        *left = left
            .checked_sub(1 + base.cost() / 32)
            .ok_or(PathError::TooManyNameComparisons)?;
        let within = match (self, base) {
            (Self::San(GeneralName::Email(name), _), Base::Email(base)) => email_within(name, base),
            (Self::SubjectEmail(name), Base::Email(base)) => email_within(name, base),
            (Self::San(GeneralName::Dns(name), _), Base::Dns(base)) => {
                dns_within(name, base, is_excluded)
            }
            (Self::San(GeneralName::Uri(name), _), Base::Uri(base)) => uri_within(name, base),
            (Self::San(GeneralName::Ip(name), _), Base::Ip(base)) => ip_within(name, base),
            (Self::San(_, Some(name)), Base::Directory(base, _))
            | (Self::Subject(name, _), Base::Directory(base, _)) => Some(name.is_within(base)),
            (Self::San(name, _), _) if may_be_of_kind(name, base) => {
                return Err(PathError::NameConstraintKind {
                    name: describe(&describe_name(name)),
                    kind: base.kind(),
                });
            }
            _ => return Ok(None),
        };
        // A name or constraint that is not well-formed is neither permitted nor certainly not excluded.
        Ok(Some(within.unwrap_or(is_excluded)))
    }

    fn described(&self) -> String {
        match self {
            Self::San(name, _) => describe(&describe_name(name)),
            Self::Subject(_, name) => describe(&format_args!("the subject \"{name}\"")),
            Self::SubjectEmail(email) => {
                let email = String::from_utf8_lossy(email);
                describe(&format_args!("the subject's emailAddress {email}"))
            }
        }
    }
}

/// Whether a name that is not supported, or not readable, may be of the kind of a constraint.
fn may_be_of_kind(name: &GeneralName, base: &Base<'_>) -> bool {
    match (name, base) {
        (GeneralName::OtherName { oid, .. }, Base::Unsupported(OTHER_NAME, Some(base))) => {
            // Names of another type are of another form.
            der::oid_to_string(base).is_ok_and(|base| base == *oid)
        }
        (GeneralName::OtherName { oid, .. }, Base::Email(_)) => oid == SMTP_UTF8_MAILBOX,
        (GeneralName::RegisteredId(_), Base::Unsupported(tag, _)) => tag & 0x1f == 8,
        (GeneralName::Unreadable { tag, .. }, base) => tag & 0x1f == base.tag() & 0x1f,
        _ => false,
    }
}

impl Base<'_> {
    fn cost(&self) -> usize {
        match self {
            Self::Email(base) | Self::Dns(base) | Self::Uri(base) | Self::Ip(base) => base.len(),
            Self::Directory(base, _) => base.cost(),
            Self::Unsupported(..) => 0,
        }
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Email(_) => EMAIL,
            Self::Dns(_) => DNS,
            Self::Directory(..) => DIRECTORY,
            Self::Uri(_) => URI,
            Self::Ip(_) => IP,
            Self::Unsupported(tag, _) => *tag,
        }
    }

    fn kind(&self) -> String {
        match (self.tag() & 0x1f, self) {
            (0, Self::Unsupported(_, Some(oid))) => match der::oid_to_string(oid).as_deref() {
                Ok("1.3.6.1.4.1.311.20.2.3") => "otherName userPrincipalName".to_owned(),
                Ok(oid) => format!("otherName {}", describe(&oid)),
                Err(NotDer) => "otherName".to_owned(),
            },
            (1, _) => "rfc822Name".to_owned(),
            (2, _) => "dNSName".to_owned(),
            (3, _) => "x400Address".to_owned(),
            (4, _) => "directoryName".to_owned(),
            (5, _) => "ediPartyName".to_owned(),
            (6, _) => "uniformResourceIdentifier".to_owned(),
            (7, _) => "iPAddress".to_owned(),
            _ => "registeredID".to_owned(),
        }
    }

    fn described(&self) -> String {
        let text = |base: &[u8]| Escaped(&String::from_utf8_lossy(base)).to_string();
        let value = match self {
            Self::Email(base) | Self::Dns(base) | Self::Uri(base) => text(base),
            Self::Ip(network) => {
                let (address, mask) = network.split_at(network.len() / 2);
                let ones: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
                match crate::pki::named::ip_address(address) {
                    Some(address) => format!("{address}/{ones}"),
                    None => "a malformed network".to_owned(),
                }
            }
            Self::Directory(_, name) => name.to_string(),
            Self::Unsupported(..) => String::new(),
        };
        describe(&format_args!("{} \"{value}\"", self.kind()))
    }
}

/// A text that is cut and safe to print.
fn describe(text: &dyn Display) -> String {
    Brief(text).to_string()
}
