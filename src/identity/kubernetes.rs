//! Kubernetes users (Kubernetes documentation, "Authenticating: X509 client certificates").

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::extractor::{exactly_one, sealed::Sealed};
use super::read::{attribute_text, check_text};
use super::{CommonName, FromCertificate, IdentityError, Single};
use crate::pki::{Certificate, NameAttribute};

/// A Kubernetes user: the subject's common name is the user, its organizations are the groups.
///
/// A group that occurs twice counts once. `Display` and `FromStr` use `CN=user,O=group,…` with the groups
/// in order, and a backslash before `,`, `\` and `=` in a name.
///
/// ```
/// use countersign::identity::KubernetesUser;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let user: KubernetesUser = "CN=alice,O=dev,O=ops".parse()?;
/// assert!(user.is_in("ops") && !user.is_in("system:masters"));
/// let extractor = KubernetesUser::extractor();
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// RBAC cannot restrict members of `system:masters`. Check for that group in the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KubernetesUser {
    name: CommonName,
    groups: BTreeSet<Box<str>>,
}

impl KubernetesUser {
    /// The longest group, in characters (`ub-organization-name`).
    pub const MAX_GROUP_LENGTH: usize = 64;

    /// Reads the subject's only common name, and its organizations.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The user's name.
    pub const fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The groups, each once, in order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| &**group)
    }

    /// Whether the user is in this group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    fn new<'a>(
        name: &str,
        groups: impl IntoIterator<Item = Result<Cow<'a, str>, IdentityError>>,
    ) -> Result<Self, IdentityError> {
        let groups = groups.into_iter().map(|group| {
            let group = group?;
            check_text(&group, Self::MAX_GROUP_LENGTH, "organization")?;
            Ok(group.into())
        });
        Ok(Self {
            name: name.parse()?,
            groups: groups.collect::<Result<_, IdentityError>>()?,
        })
    }

    fn read(certificate: &Certificate) -> Result<Self, IdentityError> {
        let subject = certificate.subject();
        let names = subject.attributes_of(NameAttribute::COMMON_NAME);
        let name = exactly_one(names, "common name")?;
        let organizations = subject.attributes_of(NameAttribute::ORGANIZATION);
        Self::new(
            &attribute_text(&name, "common name")?,
            organizations
                .iter()
                .map(|organization| attribute_text(organization, "organization")),
        )
    }
}

impl Sealed for KubernetesUser {}

impl FromCertificate for KubernetesUser {
    const FIELD: &'static str = "Kubernetes user";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        Ok(vec![Self::read(certificate)])
    }

    fn string_attributes() -> &'static [&'static str] {
        &[NameAttribute::COMMON_NAME, NameAttribute::ORGANIZATION]
    }

    fn common_name(&self) -> Option<&str> {
        Some(self.name())
    }
}

impl FromStr for KubernetesUser {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not `CN=user` and then `O=group`s. Otherwise as for [`CommonName`].
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = || {
            IdentityError::bad_syntax(
                "a Kubernetes user is written as CN=user,O=group,… with a backslash before ',', '\\' and '=' in a name",
            )
        };
        let mut parts = split_unescaped(text).into_iter();
        let name = parts
            .next()
            .and_then(|part| unescape(part.strip_prefix("CN=")?));
        let groups: Option<Vec<String>> = parts
            .map(|part| unescape(part.strip_prefix("O=")?))
            .collect();
        let (name, groups) = name.zip(groups).ok_or_else(bad)?;
        Self::new(&name, groups.into_iter().map(|group| Ok(group.into())))
    }
}

impl fmt::Display for KubernetesUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CN={}", Escaped(self.name()))?;
        self.groups()
            .try_for_each(|group| write!(f, ",O={}", Escaped(group)))
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        self.0.chars().try_for_each(|character| {
            if matches!(character, ',' | '\\' | '=') {
                f.write_char('\\')?;
            }
            f.write_char(character)
        })
    }
}

/// Splits at commas that have no backslash before them.
fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, character) in text.char_indices() {
        if character == ',' && !escaped {
            parts.push(&text[start..index]);
            start = index + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// `None`: a backslash is missing, or is before a character that needs none.
fn unescape(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters
                .next()
                .filter(|next| matches!(next, ',' | '\\' | '='))?,
            ',' | '=' => return None,
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let user: KubernetesUser = "CN=alice,O=ops,O=dev,O=dev".parse().expect("valid");
        assert_eq!(user.name(), "alice");
        assert_eq!(user.groups().collect::<Vec<_>>(), ["dev", "ops"]);
        assert!(user.is_in("dev") && !user.is_in("de"));
        assert_eq!(user.to_string(), "CN=alice,O=dev,O=ops");
        let odd: KubernetesUser = r"CN=a\,O\=b\\,O=c".parse().expect("valid");
        assert_eq!(odd.name(), r"a,O=b\");
        assert_eq!(odd.to_string().parse(), Ok(odd));
        for bad in [
            "",
            "alice",
            "CN=",
            "O=a",
            "CN=a,CN=b",
            "CN=a,",
            "CN=a,O=",
            "CN=a=b",
            r"CN=a\",
            r"CN=\a",
            "CN=a,OU=b",
        ] {
            let error = bad.parse::<KubernetesUser>().expect_err(bad);
            assert_eq!(error.reason(), "bad_syntax", "{bad}");
        }
    }
}
