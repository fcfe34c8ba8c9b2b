//! Names of certificates for sentences.

use std::fmt;
use std::net::IpAddr;

use super::text::{Brief, Escaped, Hex};
use super::{Certificate, GeneralName, ShortName, ShortSerial};

/// A certificate by the shortest name that it has: `"CN=alice"`.
pub(crate) struct Named<'a>(pub(crate) &'a Certificate);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.0;
        if !certificate.subject().is_empty() {
            return write!(f, "\"{}\"", ShortName(certificate.subject()));
        }
        match certificate.subject_alternative_names().map(<[_]>::first) {
            Ok(Some(name)) => write!(f, "\"{}\"", describe_name(name)),
            _ => write!(f, "with serial {}", ShortSerial(certificate.serial())),
        }
    }
}

/// A name as OpenSSL writes it: `DNS:a.example`. A name that is too long for a line is cut.
pub(crate) fn describe_name(name: &GeneralName) -> String {
    let text = |bytes: &[u8]| Escaped(&String::from_utf8_lossy(bytes)).to_string();
    match name {
        GeneralName::Dns(bytes) => format!("DNS:{}", text(bytes)),
        GeneralName::Uri(bytes) => format!("URI:{}", text(bytes)),
        GeneralName::Email(bytes) => format!("email:{}", text(bytes)),
        GeneralName::Ip(octets) => match ip_address(octets) {
            Some(address) => format!("IP:{address}"),
            None => format!("IP:#{}", Brief(Hex(octets))),
        },
        GeneralName::DirectoryName(name) => format!("dirName:{}", ShortName(name)),
        GeneralName::RegisteredId(oid) => format!("RID:{}", Escaped(oid)),
        GeneralName::OtherName { oid, .. } => format!("otherName:{}", Escaped(oid)),
        GeneralName::Unreadable { tag, .. } => format!("an unreadable name (tag 0x{tag:02x})"),
    }
}

/// The address of 4 or 16 octets.
pub(crate) fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).ok()
}
