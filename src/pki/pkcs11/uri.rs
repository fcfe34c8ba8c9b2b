//! PKCS #11 URIs (RFC 7512).
//!
//! Read strictly: an attribute that is unknown, or occurs twice, could mean that another key is wanted than the
//! one that would be found. Errors name attributes and never values, since one of them is the PIN.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::Pkcs11Error;
use super::pin::Pin;

/// What a URI says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) model: Option<String>,
    pub(super) library_manufacturer: Option<String>,
    pub(super) library_description: Option<String>,
    pub(super) library_version: Option<String>,
    pub(super) slot_description: Option<String>,
    pub(super) slot_manufacturer: Option<String>,
    pub(super) slot_id: Option<u64>,
    /// The label of the key.
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module_path: Option<PathBuf>,
    pub(super) pin_source: Option<PathBuf>,
    pub(super) pin_value: Option<Pin>,
}

impl Uri {
    pub(super) fn parse(text: &str) -> Result<Self, Pkcs11Error> {
        // RFC 3986 section 3.1: schemes are case-insensitive.
        let rest = match text.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pkcs11:") => rest,
            _ => return Err(problem("it does not begin with `pkcs11:`")),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut uri = Self::default();
        let mut seen = Vec::new();
        for (attribute, is_query) in path
            .split(';')
            .filter(|_| !path.is_empty())
            .map(|attribute| (attribute, false))
            .chain(
                query
                    .into_iter()
                    .flat_map(|query| query.split('&').map(|attribute| (attribute, true))),
            )
        {
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| problem("an attribute has no `=`"))?;
            let Some(name) = known(name, is_query) else {
                return Err(unknown(name, is_query));
            };
            if seen.contains(&name) {
                return Err(problem(format!("the attribute `{name}` occurs twice")));
            }
            seen.push(name);
            let value = decode(name, value, is_query)?;
            uri.set(name, value)?;
        }
        if uri.pin_source.is_some() && uri.pin_value.is_some() {
            return Err(problem("it has both `pin-source` and `pin-value`"));
        }
        Ok(uri)
    }

    fn set(&mut self, name: &'static str, value: Zeroizing<Vec<u8>>) -> Result<(), Pkcs11Error> {
        let text = || match std::str::from_utf8(&value) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(problem(format!("the value of `{name}` is not UTF-8"))),
        };
        match name {
            "token" => self.token = Some(text()?),
            "manufacturer" => self.manufacturer = Some(text()?),
            "serial" => self.serial = Some(text()?),
            "model" => self.model = Some(text()?),
            "library-manufacturer" => self.library_manufacturer = Some(text()?),
            "library-description" => self.library_description = Some(text()?),
            "library-version" => self.library_version = Some(text()?),
            "slot-description" => self.slot_description = Some(text()?),
            "slot-manufacturer" => self.slot_manufacturer = Some(text()?),
            "slot-id" => {
                let text = text()?;
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| is_number);
                let number = number.ok_or_else(|| problem("`slot-id` is not a number"))?;
                self.slot_id = Some(number);
            }
            "object" => self.object = Some(text()?),
            "id" => {
                if value.is_empty() {
                    return Err(problem("`id` is empty"));
                }
                self.id = Some(value.to_vec());
            }
            "type" => {
                if **value != *b"private" {
                    return Err(problem("its `type` is not `private`"));
                }
            }
            "module-path" => self.module_path = Some(absolute(name, text()?)?),
            "pin-source" => self.pin_source = Some(pin_file(text()?)?),
            _ => self.pin_value = Some(Pin::new(value.to_vec())),
        }
        Ok(())
    }

    /// The attributes of the token that is wanted, for errors.
    pub(super) fn token_wanted(&self) -> String {
        let slot_id = self.slot_id.map(|id| id.to_string());
        let parts = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("serial", &self.serial),
            ("model", &self.model),
            ("library-manufacturer", &self.library_manufacturer),
            ("library-description", &self.library_description),
            ("library-version", &self.library_version),
            ("slot-description", &self.slot_description),
            ("slot-manufacturer", &self.slot_manufacturer),
            ("slot-id", &slot_id),
        ];
        listed(parts.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name}={value}"))
        }))
    }

    /// The attributes of the key that is wanted, for errors.
    pub(super) fn key_wanted(&self) -> String {
        let label = self.object.as_ref().map(|label| format!("object={label}"));
        let id = self.id.as_ref().map(|id| {
            let bytes = id.iter().map(|byte| format!("%{byte:02X}"));
            format!("id={}", bytes.collect::<String>())
        });
        listed(label.into_iter().chain(id))
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return "any".into();
    }
    parts.join(";")
}

fn problem(problem: impl Into<String>) -> Pkcs11Error {
    Pkcs11Error::Uri {
        problem: problem.into(),
    }
}

/// RFC 7512 section 2.3.
fn known(name: &str, is_query: bool) -> Option<&'static str> {
    const PATH: [&str; 13] = [
        "token",
        "manufacturer",
        "serial",
        "model",
        "library-manufacturer",
        "library-description",
        "library-version",
        "slot-description",
        "slot-manufacturer",
        "slot-id",
        "object",
        "id",
        "type",
    ];
    const QUERY: [&str; 3] = ["module-path", "pin-source", "pin-value"];
    let names: &[&'static str] = if is_query { &QUERY } else { &PATH };
    names.iter().copied().find(|known| *known == name)
}

fn unknown(name: &str, is_query: bool) -> Pkcs11Error {
    if known(name, !is_query).is_some() {
        let (place, mark) = if is_query {
            ("before", ';')
        } else {
            ("after", '&')
        };
        return problem(format!(
            "the attribute `{name}` belongs {place} the `?`, separated by `{mark}`"
        ));
    }
    match name {
        "module-name" => problem("`module-name` is not supported: give `module-path`"),
        // What follows a stray `&` may be a part of a PIN.
        _ if is_query => problem(
            "an attribute after the `?` is not supported: `module-path`, `pin-source` and `pin-value` are",
        ),
        _ if is_name(name) => problem(format!("the attribute `{name}` is not supported")),
        _ => problem("an attribute has no valid name"),
    }
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Percent-decoding, of the characters that RFC 7512 section 2.3 allows.
fn decode(name: &str, value: &str, is_query: bool) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next()), digit(bytes.next()));
            let byte = high
                .zip(low)
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            let broken = || {
                problem(format!(
                    "the value of `{name}` has a `%` without two hexadecimal digits"
                ))
            };
            decoded.push(byte.ok_or_else(broken)?);
            continue;
        }
        let is_allowed = byte.is_ascii_alphanumeric()
            || b"-._~:[]@!$'()*+,=".contains(&byte)
            || (is_query && b"/?|".contains(&byte))
            || (!is_query && byte == b'&');
        if !is_allowed {
            return Err(problem(format!(
                "the value of `{name}` has a character that must be written as `%` and two hexadecimal digits"
            )));
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

/// Other paths are looked up in the working directory or in the folders of libraries.
fn absolute(name: &str, text: String) -> Result<PathBuf, Pkcs11Error> {
    let path = PathBuf::from(text);
    if !path.is_absolute() {
        return Err(problem(format!("`{name}` is not an absolute path")));
    }
    Ok(path)
}

/// RFC 7512 section 2.4: a path, or a `file:` URI. Commands (`|`) are not run.
fn pin_file(text: String) -> Result<PathBuf, Pkcs11Error> {
    let path = match text.strip_prefix("file:") {
        Some(rest) => match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        },
        None => &text,
    };
    absolute("pin-source", path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(text: &str) -> String {
        let error = Uri::parse(text).expect_err(text);
        assert_eq!(crate::Diagnostic::reason(&error), "pkcs11_uri");
        error.to_string()
    }

    #[test]
    fn a_uri_says_which_token_key_module_and_pin() {
        let uri = "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;object=my-key;type=private;id=%69%95%3E%5C%F4%BD%EC%91;slot-id=7?pin-source=file:/etc/token_pin&module-path=/usr/lib/m.so";
        let uri = Uri::parse(uri).expect("a URI");
        let token = "The Software PKCS#11 Softtoken";
        assert_eq!(uri.token.as_deref(), Some(token));
        assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
        assert_eq!(uri.object.as_deref(), Some("my-key"));
        assert_eq!(
            uri.id.as_deref(),
            Some(&b"\x69\x95\x3e\x5c\xf4\xbd\xec\x91"[..])
        );
        assert_eq!(uri.slot_id, Some(7));
        assert_eq!(uri.pin_source, Some("/etc/token_pin".into()));
        assert_eq!(uri.module_path, Some("/usr/lib/m.so".into()));
        assert_eq!(uri.pin_value, None);
        let token = "token=The Software PKCS#11 Softtoken;manufacturer=Snake Oil, Inc.;slot-id=7";
        assert_eq!(uri.token_wanted(), token);
        assert_eq!(
            uri.key_wanted(),
            "object=my-key;id=%69%95%3E%5C%F4%BD%EC%91"
        );

        assert_eq!(Uri::parse("pkcs11:").expect("empty"), Uri::default());
        assert_eq!(Uri::parse("PKCS11:").expect("empty").token_wanted(), "any");
        for text in ["file:/p", "file:///p", "file://localhost/p", "/p"] {
            let uri = Uri::parse(&format!("pkcs11:?pin-source={text}")).expect(text);
            assert_eq!(uri.pin_source, Some("/p".into()), "{text}");
        }
        let uri = Uri::parse("pkcs11:?pin-value=12%2634").expect("a URI");
        assert_eq!(uri.pin_value, Some(Pin::new("12&34")));
    }

    #[test]
    fn what_is_ambiguous_or_unknown_is_an_error() {
        for (text, expected) in [
            ("pkcs12:token=a", "does not begin with `pkcs11:`"),
            ("pkcs1", "does not begin with `pkcs11:`"),
            ("pkcs11:token=a;token=a", "`token` occurs twice"),
            ("pkcs11:token=a;", "has no `=`"),
            ("pkcs11:;token=a", "has no `=`"),
            ("pkcs11:token=a?", "has no `=`"),
            ("pkcs11:token", "has no `=`"),
            ("pkcs11:Token=a", "`Token` is not supported"),
            ("pkcs11:x-mine=a", "`x-mine` is not supported"),
            ("pkcs11:pin-value=1", "`pin-value` belongs after the `?`"),
            ("pkcs11:?token=1", "`token` belongs before the `?`"),
            ("pkcs11:?module-name=softhsm2", "give `module-path`"),
            ("pkcs11:?module-path=softhsm2.so", "not an absolute path"),
            ("pkcs11:?module-path=", "not an absolute path"),
            ("pkcs11:?pin-source=pin", "not an absolute path"),
            ("pkcs11:?pin-source=|echo", "not an absolute path"),
            ("pkcs11:?pin-source=file://host/p", "not an absolute path"),
            (
                "pkcs11:?pin-source=/p&pin-value=1",
                "both `pin-source` and `pin-value`",
            ),
            ("pkcs11:type=cert", "not `private`"),
            ("pkcs11:id=", "`id` is empty"),
            ("pkcs11:slot-id=+1", "`slot-id` is not a number"),
            ("pkcs11:slot-id=", "`slot-id` is not a number"),
            (
                "pkcs11:slot-id=99999999999999999999",
                "`slot-id` is not a number",
            ),
            ("pkcs11:token=a%2", "without two hexadecimal digits"),
            ("pkcs11:token=a%zz", "without two hexadecimal digits"),
            ("pkcs11:token=a%+1", "without two hexadecimal digits"),
            ("pkcs11:token=a b", "must be written as"),
            ("pkcs11:token=a/b", "must be written as"),
            ("pkcs11:token=a#b", "must be written as"),
            ("pkcs11:token=\u{e9}", "must be written as"),
            ("pkcs11:token=%ff", "is not UTF-8"),
        ] {
            let found = problem_of(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn no_error_and_no_debug_output_has_the_pin() {
        for text in [
            "pkcs11:?pin-value=s3cret&pin-value=s3cret",
            "pkcs11:?pin-value=s3cret&s3cret!",
            "pkcs11:?pin-value=s3cret&s3cret=",
            "pkcs11:?pin-value=s3cret%",
            "pkcs11:?pin-value=s3cret#",
            "pkcs11:?pin-value=s3cret&pin-source=/s",
        ] {
            let found = problem_of(text);
            assert!(!found.contains("s3cret"), "{text}: {found}");
        }
        let uri = Uri::parse("pkcs11:token=a?pin-value=s3cret").expect("a URI");
        assert!(!format!("{uri:?}").contains("s3cret"));
    }
}
