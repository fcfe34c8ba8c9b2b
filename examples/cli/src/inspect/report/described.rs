//! One certificate.

use countersign::pki::{GeneralName, PublicKeyKind, key_purpose_name, oid_name};
use countersign::{Certificate, Diagnostic as _};
use serde::Serialize;

use super::text::{self, hex};

#[derive(Serialize)]
pub(super) struct Described {
    /// RFC 4514, for people. The extractor `dn` returns the value that is compared.
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) sha256: String,
    pub(super) spki_sha256: String,
    /// `null` if the extension cannot be read; `san_error` says why.
    pub(super) san: Option<Vec<Name>>,
    pub(super) san_error: Option<String>,
    pub(super) is_ca: bool,
    pub(super) is_self_issued: bool,
    pub(super) version: u32,
    pub(super) key_usage: Option<Vec<String>>,
    pub(super) extended_key_usage: Option<Vec<String>>,
    pub(super) public_key: PublicKey,
    /// The name and the object identifier.
    pub(super) signature_algorithm: String,
    pub(super) extensions: Vec<Extension>,
    #[serde(skip)]
    pub(super) validity: (u64, u64),
}

/// A subject alternative name: its value where it is text, or its bytes.
#[derive(Serialize)]
pub(super) struct Name {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hex: Option<String>,
    /// Of an otherName.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oid: Option<String>,
    /// Of an entry of an unknown kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<u8>,
}

#[derive(Serialize)]
pub(super) struct PublicKey {
    pub(super) algorithm: String,
    /// Known for RSA only.
    pub(super) bits: Option<usize>,
    /// The kind, and the size or curve, in words.
    pub(super) description: String,
}

#[derive(Serialize)]
pub(super) struct Extension {
    pub(super) oid: String,
    /// For known extensions.
    pub(super) name: Option<&'static str>,
    pub(super) critical: bool,
}

impl Described {
    pub(super) fn new(certificate: &Certificate) -> Self {
        let san = certificate.subject_alternative_names();
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.serial().to_string(),
            not_before: text::time(not_before),
            not_after: text::time(not_after),
            sha256: certificate.sha256().to_string(),
            spki_sha256: certificate.spki_sha256().to_string(),
            san: san.ok().map(|names| names.iter().map(Name::new).collect()),
            san_error: san.err().map(|error| error.cause().into_owned()),
            is_ca: certificate.is_ca(),
            is_self_issued: certificate.is_self_issued(),
            version: certificate.version(),
            key_usage: certificate
                .key_usage()
                .map(|usage| match &*usage.to_string() {
                    "nothing" => Vec::new(),
                    names => names.split(", ").map(str::to_owned).collect(),
                }),
            extended_key_usage: certificate.extended_key_usage().map(|oids| {
                let name = |oid: &String| key_purpose_name(oid).unwrap_or(oid).to_owned();
                oids.iter().map(name).collect()
            }),
            public_key: PublicKey::new(certificate),
            signature_algorithm: certificate.signature_algorithm(),
            extensions: certificate
                .extensions()
                .iter()
                .map(|extension| Extension {
                    oid: extension.oid().to_owned(),
                    name: oid_name(extension.oid()),
                    critical: extension.is_critical(),
                })
                .collect(),
            validity: (not_before.as_secs(), not_after.as_secs()),
        }
    }
}

impl Name {
    fn new(name: &GeneralName) -> Self {
        match name {
            GeneralName::Email(bytes) => Self::of_text("email", bytes),
            GeneralName::Dns(bytes) => Self::of_text("dns", bytes),
            GeneralName::Uri(bytes) => Self::of_text("uri", bytes),
            GeneralName::Ip(octets) => Self {
                value: text::ip_address(octets),
                ..Self::of_bytes("ip", octets)
            },
            GeneralName::DirectoryName(name) => Self::with_value("directory", name.to_string()),
            GeneralName::RegisteredId(oid) => Self::with_value("registered_id", oid.clone()),
            GeneralName::OtherName { oid, value } => Self {
                oid: Some(oid.clone()),
                value: text::utf8_string(value),
                ..Self::of_bytes("other", value)
            },
            GeneralName::Unreadable { tag, content } => Self {
                tag: Some(*tag),
                ..Self::of_bytes("unreadable", content)
            },
            // A kind that the library adds later.
            other => Self::with_value("unknown", format!("{other:?}")),
        }
    }

    fn of_text(kind: &'static str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::with_value(kind, text.to_owned()),
            Err(_) => Self::of_bytes(kind, bytes),
        }
    }

    const fn with_value(kind: &'static str, value: String) -> Self {
        Self {
            kind,
            value: Some(value),
            hex: None,
            oid: None,
            tag: None,
        }
    }

    fn of_bytes(kind: &'static str, bytes: &[u8]) -> Self {
        Self {
            kind,
            value: None,
            hex: Some(hex(bytes)),
            oid: None,
            tag: None,
        }
    }
}

impl PublicKey {
    fn new(certificate: &Certificate) -> Self {
        let (algorithm, bits) = match certificate.public_key() {
            PublicKeyKind::Rsa { bits } => ("RSA", Some(*bits)),
            PublicKeyKind::Other { algorithm } => match &**algorithm {
                "1.2.840.10045.2.1" => ("elliptic curve", None),
                "1.3.101.112" => ("Ed25519", None),
                "1.2.840.113549.1.1.1" => ("RSA", None), // with a key that cannot be read
                oid => (oid, None),
            },
            _ => ("unknown", None),
        };
        Self {
            algorithm: algorithm.to_owned(),
            bits,
            description: certificate.key_description(),
        }
    }
}
