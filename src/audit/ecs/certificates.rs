//! What JSON says of certificates. It is the same in each event of a certificate, so a sink remembers it.

use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::MAX_IN_CHAIN;
use super::object::Object;
use crate::pki::text::MAX_VALUE;
use crate::pki::time::Rfc3339;
use crate::pki::{
    Certificate, DistinguishedName, Fingerprint, GeneralName, ShortName, ShortSerial,
};

/// The certificates of which a sink remembers the text: about 2 kB each, at most 20 kB.
const REMEMBERED: usize = 512;

/// The texts of the last certificates.
pub(in crate::audit) struct Texts(Cache<Fingerprint, Arc<Text>>);

/// The text of a certificate: the members of JSON objects.
pub(super) struct Text {
    /// In the list of certificates.
    pub(super) listed: String,
    /// In `tls.client` or `tls.server`.
    pub(super) side: String,
}

impl Texts {
    pub(in crate::audit) fn new() -> Self {
        Self(Cache::new(REMEMBERED))
    }

    pub(super) fn of(&self, certificate: &Certificate) -> Arc<Text> {
        let fingerprint = certificate.sha256();
        match self.0.get(&fingerprint) {
            Some(text) => text,
            None => {
                let text = Arc::new(Text::of(certificate));
                self.0.insert(fingerprint, Arc::clone(&text));
                text
            }
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Texts").field(&self.0.len()).finish()
    }
}

impl Text {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let (mut listed, mut side) = (String::new(), String::new());
        Object::members(&mut listed, |it| list_entry(it, certificate));
        Object::members(&mut side, |it| leaf(it, certificate));
        Self { listed, side }
    }
}

fn list_entry(out: &mut Object<'_>, certificate: &Certificate) {
    name(out, "subject", certificate.subject(), MAX_IN_CHAIN);
    name(out, "issuer", certificate.issuer(), MAX_IN_CHAIN);
    out.shown("serial", ShortSerial(certificate.serial()));
    out.shown("sha256", certificate.sha256());
    out.shown("spki_sha256", certificate.spki_sha256());
    validity(out, certificate);
}

fn leaf(out: &mut Object<'_>, leaf: &Certificate) {
    name(out, "subject", leaf.subject(), MAX_VALUE);
    name(out, "issuer", leaf.issuer(), MAX_VALUE);
    validity(out, leaf);
    out.object("hash", |hash| {
        // In upper case, as the Elastic Common Schema requires.
        hash.code("sha256", &leaf.sha256().to_string().to_uppercase());
    });
    out.object("x509", |x509| {
        x509.shown("version_number", leaf.version());
        let serial = ShortSerial(leaf.serial()).to_string();
        x509.code("serial_number", &serial.to_uppercase());
        x509.object("subject", |it| names_of(it, leaf.subject()));
        x509.object("issuer", |it| names_of(it, leaf.issuer()));
        validity(x509, leaf);
        let names = leaf.subject_alternative_names().unwrap_or_default();
        x509.texts_if_any("alternative_names", names.iter().filter_map(text_of));
    });
}

fn validity(out: &mut Object<'_>, certificate: &Certificate) {
    out.shown("not_before", Rfc3339(certificate.not_before()));
    out.shown("not_after", Rfc3339(certificate.not_after()));
}

fn names_of(out: &mut Object<'_>, distinguished: &DistinguishedName) {
    name(out, "distinguished_name", distinguished, MAX_VALUE);
    let common_names = distinguished.attributes_of("2.5.4.3");
    let readable = common_names.iter().filter_map(|name| name.text().ok());
    out.texts_if_any("common_name", readable);
}

fn name(out: &mut Object<'_>, key: &str, name: &DistinguishedName, limit: usize) {
    out.cut(key, limit, |bounded| ShortName(name).write(bounded));
}

/// A name that is text or an address.
fn text_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Email(text) | GeneralName::Dns(text) | GeneralName::Uri(text) => {
            Some(String::from_utf8_lossy(text).into_owned())
        }
        GeneralName::Ip(octets) => match **octets {
            [a, b, c, d] => Some(std::net::Ipv4Addr::from([a, b, c, d]).to_string()),
            _ => <[u8; 16]>::try_from(&**octets)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        },
        _ => None,
    }
}
