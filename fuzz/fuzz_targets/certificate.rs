//! The parsed certificate, and everything that reads it: hostile bytes return an error or a value.
//! They cause no panic, and no text that can mislead the reader of a log.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use countersign::identity::{CommonName, DnsName, IdentityError, IdentityExtractor, SpiffeId};
use countersign::pki::{Certificate, DistinguishedName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let certificate = match Certificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(error) => return shown(&error),
    };
    assert_eq!(certificate.der().as_ref(), der);
    assert_eq!(Certificate::from_der(der).as_ref(), Ok(&certificate));
    shown(&certificate);
    shown(certificate.serial());
    shown(&certificate.sha256());
    shown(&certificate.spki_sha256());
    assert!((1..=3).contains(&certificate.version()) || certificate.version() > 3);
    let _ = certificate.is_self_issued();
    let _ = (certificate.not_before(), certificate.not_after());
    let _ = (certificate.is_ca(), certificate.public_key());
    assert!(!certificate.spki().is_empty());
    if let Some(usage) = certificate.key_usage() {
        shown(&usage);
    }
    for purpose in certificate.extended_key_usage().unwrap_or_default() {
        one_line(purpose);
    }
    for extension in certificate.extensions() {
        one_line(extension.oid());
        one_line(&format!("{extension:?}"));
        let _ = (extension.is_critical(), extension.value());
    }
    match certificate.subject_alternative_names() {
        Ok(names) => names.iter().for_each(|name| one_line(&format!("{name:?}"))),
        Err(error) => shown(&error),
    }
    name(certificate.subject());
    name(certificate.issuer());

    identity(SpiffeId::extractor(), &certificate);
    identity(DnsName::extractor(), &certificate);
    identity(CommonName::extractor(), &certificate);
});

fn name(name: &DistinguishedName) {
    shown(name);
    assert_eq!(name.is_empty(), name.attributes().is_empty());
    for attribute in name.attributes() {
        one_line(&format!("{attribute:?}"));
        assert!(!name.attributes_of(attribute.oid()).is_empty());
        let _ = (attribute.tag(), attribute.value());
        if let Err(error) = attribute.text() {
            shown(&error);
        }
    }
}

/// The parser of an extracted identity accepts its text, and returns an equal identity.
fn identity<X>(extractor: X, certificate: &Certificate)
where
    X: IdentityExtractor,
    X::Identity: Display + Debug + PartialEq + FromStr<Err: Debug>,
{
    match extractor.extract(certificate) {
        Ok(identity) => {
            shown(&identity);
            let again = identity.to_string().parse::<X::Identity>();
            assert_eq!(again.as_ref().ok(), Some(&identity));
        }
        Err(error) => {
            let _: &IdentityError = &error;
            assert!(!error.reason().is_empty());
            shown(&error);
        }
    }
}

fn shown(value: &(impl Display + Debug)) {
    one_line(&value.to_string());
    one_line(&format!("{value:?}"));
}

/// A certificate's text has no line breaks and no control characters.
fn one_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
