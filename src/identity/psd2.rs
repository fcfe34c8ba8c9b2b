//! eIDAS certificates of payment service providers under PSD2 (ETSI TS 119 495, ETSI EN 319 412-1).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::extractor::{exactly_one, sealed::Sealed};
use super::read::{attribute_text, check_text, utf8};
use super::{FromCertificate, IdentityError, IdentityErrorKind, Single};
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::{Certificate, NameAttribute};

/// A payment service provider: its identifier, its roles, and the competent authority.
///
/// The letters of the competent authority, such as `FCA`, are upper case by TS 119 495. Some certificates
/// have lower-case ones. They are converted, so that a provider has one identity.
///
/// `Display` and `FromStr` use `PSDGB-FCA-123456;PSP_PI,PSP_AI;GB-FCA;Financial Conduct Authority`:
/// organization identifier, roles in order, the competent authority's identifier and name.
///
/// ```
/// use countersign::identity::{Psd2, Psd2Role};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provider: Psd2 = "PSDGB-FCA-123456;PSP_AI;GB-FCA;Financial Conduct Authority".parse()?;
/// assert!(provider.has_role(Psd2Role::AccountInformation));
/// let extractor = Psd2::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Psd2 {
    organization_identifier: Box<str>,
    roles: BTreeSet<Psd2Role>,
    authority_id: Box<str>,
    authority_name: Box<str>,
}

/// A role of a payment service provider (TS 119 495 section 4.2).
///
/// ```
/// use countersign::identity::Psd2Role;
///
/// assert_eq!(Psd2Role::PaymentInitiation.name(), "PSP_PI");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Psd2Role {
    /// `PSP_AS`, 0.4.0.19495.1.1: account servicing.
    AccountServicing,
    /// `PSP_PI`, 0.4.0.19495.1.2: payment initiation.
    PaymentInitiation,
    /// `PSP_AI`, 0.4.0.19495.1.3: account information.
    AccountInformation,
    /// `PSP_IC`, 0.4.0.19495.1.4: issuing of card-based payment instruments.
    CardIssuing,
}

impl Psd2Role {
    const ALL: [Self; 4] = [
        Self::AccountServicing,
        Self::PaymentInitiation,
        Self::AccountInformation,
        Self::CardIssuing,
    ];

    /// The role's name in the standard, such as `PSP_AI`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountServicing => "PSP_AS",
            Self::PaymentInitiation => "PSP_PI",
            Self::AccountInformation => "PSP_AI",
            Self::CardIssuing => "PSP_IC",
        }
    }

    const fn oid(self) -> &'static str {
        match self {
            Self::AccountServicing => "0.4.0.19495.1.1",
            Self::PaymentInitiation => "0.4.0.19495.1.2",
            Self::AccountInformation => "0.4.0.19495.1.3",
            Self::CardIssuing => "0.4.0.19495.1.4",
        }
    }
}

impl fmt::Display for Psd2Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Psd2Role {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not one of the four names.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| IdentityError::bad_syntax("not a PSD2 role"))
    }
}

/// `id-etsi-psd2-qcStatement`.
const PSD2_STATEMENT: &str = "0.4.0.19495.2";
/// `id-pe-qcStatements` (RFC 3739 section 3.2.6).
const QC_STATEMENTS: &str = "1.3.6.1.5.5.7.1.3";

impl Psd2 {
    /// The longest organization identifier, authority identifier and name, in characters
    /// (TS 119 495 annex A).
    pub const MAX_LENGTH: usize = 256;

    /// Reads the subject's only organizationIdentifier and the only PSD2 QCStatement.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The organization's identifier, such as `PSDGB-FCA-123456` (EN 319 412-1 section 5.1.4).
    pub const fn organization_identifier(&self) -> &str {
        &self.organization_identifier
    }

    /// The roles, each once, in order.
    pub fn roles(&self) -> impl Iterator<Item = Psd2Role> {
        self.roles.iter().copied()
    }

    /// Whether the provider has this role.
    pub fn has_role(&self, role: Psd2Role) -> bool {
        self.roles.contains(&role)
    }

    /// The national competent authority's identifier, such as `GB-FCA`.
    pub const fn authority_id(&self) -> &str {
        &self.authority_id
    }

    /// The national competent authority's name.
    pub const fn authority_name(&self) -> &str {
        &self.authority_name
    }

    fn new(
        organization_identifier: &str,
        roles: Vec<Psd2Role>,
        authority_id: &str,
        authority_name: &str,
    ) -> Result<Self, IdentityError> {
        let organization_identifier = with_upper_case_authority(organization_identifier);
        check_organization_identifier(&organization_identifier)?;
        let authority_id = match authority_id.split_once('-') {
            Some((country, authority)) => format!("{country}-{}", authority.to_ascii_uppercase()),
            None => authority_id.to_owned(),
        };
        check_authority_id(&authority_id)?;
        check_text(
            authority_name,
            Self::MAX_LENGTH,
            "competent authority's name",
        )?;
        let count = roles.len();
        let roles: BTreeSet<Psd2Role> = roles.into_iter().collect();
        if roles.is_empty() {
            return Err(IdentityError::bad_syntax("the PSD2 statement has no role"));
        }
        if roles.len() != count {
            return Err(IdentityError::new(
                IdentityErrorKind::Ambiguous,
                "the PSD2 statement has the same role twice",
            ));
        }
        Ok(Self {
            organization_identifier: organization_identifier.into(),
            roles,
            authority_id: authority_id.into(),
            authority_name: authority_name.into(),
        })
    }

    fn read(certificate: &Certificate) -> Result<Self, IdentityError> {
        let field = "organizationIdentifier";
        let identifiers = certificate
            .subject()
            .attributes_of(NameAttribute::ORGANIZATION_IDENTIFIER);
        let identifier = exactly_one(identifiers, field)?;
        let statement = psd2_statement(certificate)?;
        Self::new(
            &attribute_text(&identifier, field)?,
            statement.roles,
            statement.authority_id,
            statement.authority_name,
        )
    }
}

/// The identifier with its authority's letters in upper case, where it is of the scheme `PSD`.
fn with_upper_case_authority(text: &str) -> String {
    let mut parts = text.splitn(3, '-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(scheme), Some(authority), Some(number)) if scheme.starts_with("PSD") => {
            format!("{scheme}-{}-{number}", authority.to_ascii_uppercase())
        }
        _ => text.to_owned(),
    }
}

/// Checks for a scheme of three letters, a country, a hyphen and a reference: `PSDGB-FCA-123456`,
/// `VATDE-123456789`, `LEIXG-529900…`.
fn check_organization_identifier(text: &str) -> Result<(), IdentityError> {
    check_text(text, Psd2::MAX_LENGTH, "organizationIdentifier")?;
    let well_formed = text.split_once('-').is_some_and(|(scheme, reference)| {
        scheme.len() == 5
            && scheme.bytes().all(|byte| byte.is_ascii_uppercase())
            && !reference.is_empty()
            && reference
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b';')
    });
    if !well_formed {
        return Err(IdentityError::bad_syntax(
            "the organizationIdentifier is not of the form PSDGB-FCA-123456",
        ));
    }
    match text.strip_prefix("PSD") {
        // TS 119 495 section 5.2.1: the authority's two to eight letters come before the number.
        Some(rest) => match rest[3..].split_once('-') {
            Some((authority, number)) if is_authority(authority) && !number.is_empty() => Ok(()),
            _ => Err(IdentityError::bad_syntax(
                "a PSD organizationIdentifier contains its authority: PSDGB-FCA-123456",
            )),
        },
        None => Ok(()),
    }
}

fn is_authority(text: &str) -> bool {
    (2..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `GB-FCA` (TS 119 495 section 5.2.3).
fn check_authority_id(text: &str) -> Result<(), IdentityError> {
    check_text(text, Psd2::MAX_LENGTH, "competent authority's identifier")?;
    let well_formed = text.split_once('-').is_some_and(|(country, authority)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && is_authority(authority)
    });
    if well_formed {
        Ok(())
    } else {
        Err(IdentityError::bad_syntax(
            "the competent authority's identifier is not of the form GB-FCA",
        ))
    }
}

struct Statement<'a> {
    roles: Vec<Psd2Role>,
    authority_name: &'a str,
    authority_id: &'a str,
}

/// `QCStatements ::= SEQUENCE OF SEQUENCE { statementId OID, statementInfo ANY OPTIONAL }`
fn psd2_statement(certificate: &Certificate) -> Result<Statement<'_>, IdentityError> {
    let not_der = |NotDer| IdentityError::bad_encoding("the QCStatements are not DER");
    let extensions = certificate
        .extensions()
        .iter()
        .filter(|extension| extension.oid() == QC_STATEMENTS)
        .collect();
    let extension = exactly_one(extensions, "QCStatements extension")?;
    let mut reader = Reader::new(der::single(extension.value(), der::SEQUENCE).map_err(not_der)?);
    let mut found = Vec::new();
    while !reader.is_empty() {
        let content = reader.expect(der::SEQUENCE).map_err(not_der)?.content;
        let mut statement = Reader::new(content);
        let oid = statement.expect(der::OBJECT_IDENTIFIER).map_err(not_der)?;
        if der::oid_to_string(oid.content).map_err(not_der)? == PSD2_STATEMENT {
            found.push(statement);
        }
    }
    read_statement(exactly_one(found, "PSD2 QCStatement")?)
}

/// `PSD2QcType ::= SEQUENCE { rolesOfPSP SEQUENCE OF SEQUENCE { roleOfPspOid OID, roleOfPspName
/// UTF8String }, nCAName UTF8String, nCAId UTF8String }`
fn read_statement(mut statement: Reader<'_>) -> Result<Statement<'_>, IdentityError> {
    const UTF8_STRING: u8 = 0x0c;

    let not_der = |NotDer| IdentityError::bad_encoding("the PSD2 statement is not DER");
    let info = statement.expect(der::SEQUENCE).map_err(not_der)?.content;
    statement.end().map_err(not_der)?;
    let mut info = Reader::new(info);
    let mut role_list = Reader::new(info.expect(der::SEQUENCE).map_err(not_der)?.content);
    let name = info.expect(UTF8_STRING).map_err(not_der)?.content;
    let id = info.expect(UTF8_STRING).map_err(not_der)?.content;
    info.end().map_err(not_der)?;

    let mut roles = Vec::new();
    // TS 119 495 annex A. Certificates by an old version of the OpenBanking profile have one SEQUENCE for all
    // roles, or none.
    let flat = || {
        IdentityError::bad_encoding(
            "the PSD2 roles are written without a SEQUENCE for each role (ETSI TS 119 495 annex A)",
        )
    };
    if role_list.clone().optional(der::OBJECT_IDENTIFIER) != Ok(None) {
        return Err(flat());
    }
    while !role_list.is_empty() {
        let mut role = Reader::new(role_list.expect(der::SEQUENCE).map_err(not_der)?.content);
        let oid = role.expect(der::OBJECT_IDENTIFIER).map_err(not_der)?;
        let oid = der::oid_to_string(oid.content).map_err(not_der)?;
        let role_name = role.expect(UTF8_STRING).map_err(not_der)?.content;
        role.end().map_err(|NotDer| flat())?;
        let role_name = utf8(role_name, "PSD2 role")?;
        // The role is encoded twice, as identifier and as name. They must agree.
        let known: Psd2Role = role_name.parse()?;
        if known.oid() != oid {
            return Err(IdentityError::bad_syntax(
                "a PSD2 role's identifier does not match its name",
            ));
        }
        roles.push(known);
    }
    Ok(Statement {
        roles,
        authority_name: utf8(name, "competent authority's name")?,
        authority_id: utf8(id, "competent authority's identifier")?,
    })
}

impl Sealed for Psd2 {}

impl FromCertificate for Psd2 {
    const FIELD: &'static str = "PSD2 identity";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        Ok(vec![Self::read(certificate)])
    }

    fn string_attributes() -> &'static [&'static str] {
        &[NameAttribute::ORGANIZATION_IDENTIFIER]
    }
}

impl FromStr for Psd2 {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not four parts, or a malformed part. `ambiguous`: the same role twice. `too_long`,
    /// `forbidden`: as for a certificate.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts: Vec<&str> = text.splitn(4, ';').collect();
        let [organization, roles, authority_id, authority_name] = parts[..] else {
            return Err(IdentityError::bad_syntax(
                "a PSD2 identity is written as PSDGB-FCA-123456;PSP_AI;GB-FCA;Authority",
            ));
        };
        let roles = roles.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Self::new(organization, roles, authority_id, authority_name)
    }
}

impl fmt::Display for Psd2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.organization_identifier)?;
        for (index, role) in self.roles().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{role}")?;
        }
        write!(f, ";{};{}", self.authority_id, self.authority_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_in_lower_case_is_the_same_authority() {
        let lower: Psd2 = "PSDIE-cbi-c1-x;PSP_AI;IE-cbi;Central Bank"
            .parse()
            .expect("valid");
        let upper: Psd2 = "PSDIE-CBI-c1-x;PSP_AI;IE-CBI;Central Bank"
            .parse()
            .expect("valid");
        assert_eq!(lower, upper);
        assert_eq!(lower.organization_identifier(), "PSDIE-CBI-c1-x");
        // The number, and other schemes, keep their case.
        let vat: Psd2 = "VATDE-ab-c1;PSP_AI;DE-BAFIN;BaFin".parse().expect("valid");
        assert_eq!(vat.organization_identifier(), "VATDE-ab-c1");
    }

    #[test]
    fn the_text_form_reads_back() {
        let text = "PSDGB-FCA-123456;PSP_PI,PSP_AI;GB-FCA;Financial; Conduct Authority";
        let psp: Psd2 = text.parse().expect("valid");
        assert_eq!(psp.to_string(), text);
        assert!(psp.has_role(Psd2Role::PaymentInitiation));
        assert!(!psp.has_role(Psd2Role::CardIssuing));
        assert_eq!(psp.authority_name(), "Financial; Conduct Authority");
        for (bad, reason) in [
            ("", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI;GB-FCA", "bad_syntax"),
            ("PSDGB-FCA-1;;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_XX;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI,PSP_PI;GB-FCA;A", "ambiguous"),
            ("PSDGB-FCA-1;PSP_PI;GB-FCA;", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI;gb-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI;GB-F;A", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI;GBFCA;A", "bad_syntax"),
            ("PSDgb-FCA-1;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("PSDGB-f1a-1;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-1 2;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("VATDE-é1;PSP_PI;GB-FCA;A", "bad_syntax"),
            ("PSDGB-FCA-1;PSP_PI;GB-FCA;A\u{202e}", "forbidden"),
        ] {
            let error = bad.parse::<Psd2>().expect_err(bad);
            assert_eq!(error.reason(), reason, "{bad}");
        }
        // In a certificate, where no text form was split at it.
        let error = check_organization_identifier("PSDGB-FCA-1;2").expect_err("a semicolon");
        assert_eq!(error.reason(), "bad_syntax");
        assert!(
            "VATDE-123456789;PSP_AS;DE-BAFIN;BaFin"
                .parse::<Psd2>()
                .is_ok()
        );
    }
}
