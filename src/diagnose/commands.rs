//! Commands for a shell with OpenSSL 3.
//!
//! Values that a peer chose are only included if they consist of harmless characters.

use crate::pki::named::describe_name;
use crate::pki::text::MAX_VALUE;
use crate::pki::{Certificate, GeneralName, key_purpose_name};
use crate::side::Side;

/// The limit of names, and of purposes, in a command.
const MAX_NAMES: usize = 16;
/// The longest name in a command, in bytes.
const MAX_NAME: usize = MAX_VALUE;

/// Commands that issue an end entity's certificate again, with the same names and key.
pub(super) fn reissue(leaf: &Certificate, usage: Side, also_named: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = also_named.into_iter().map(alternative_name).collect();
    let mut all_names_kept = true;
    for name in leaf.subject_alternative_names().unwrap_or_default() {
        match plain_name(name) {
            Some(name) if names.len() < MAX_NAMES => names.push(name),
            _ => all_names_kept = false,
        }
    }
    let mut lines = vec![
        "basicConstraints=critical,CA:FALSE".to_owned(),
        "keyUsage=critical,digitalSignature".to_owned(),
        format!("extendedKeyUsage={}", purposes(leaf, usage)),
        "authorityKeyIdentifier=keyid,issuer".to_owned(),
    ];
    if !names.is_empty() {
        let critical = if leaf.subject().is_empty() {
            "critical,"
        } else {
            ""
        };
        lines.push(format!("subjectAltName={critical}{}", names.join(",")));
    }
    if !all_names_kept {
        lines.push("# add its other subjectAltName entries".to_owned());
    }
    sign(&lines)
}

/// Commands that issue an authority's certificate again, with the same name and key.
pub(super) fn reissue_authority(path_length: Option<usize>) -> Vec<String> {
    let path_length = path_length.map_or_else(String::new, |length| format!(",pathlen:{length}"));
    sign(&[
        format!("basicConstraints=critical,CA:TRUE{path_length}"),
        "keyUsage=critical,keyCertSign,cRLSign".to_owned(),
        "subjectKeyIdentifier=hash".to_owned(),
        "authorityKeyIdentifier=keyid,issuer".to_owned(),
    ])
}

fn sign(extensions: &[String]) -> Vec<String> {
    let quoted: Vec<String> = extensions.iter().map(|line| format!("'{line}'")).collect();
    vec![
        "openssl x509 -in CERT.pem -x509toreq -signkey KEY.pem -out CERT.req".to_owned(),
        format!("printf '%s\\n' {} > CERT.ext", quoted.join(" ")),
        "openssl x509 -req -in CERT.req -CA CA.pem -CAkey CA.key -CAcreateserial -days 90 -extfile CERT.ext -out CERT.new.pem".to_owned(),
    ]
}

pub(super) fn lines<const N: usize>(commands: [&str; N]) -> Vec<String> {
    commands.map(str::to_owned).to_vec()
}

/// The purpose that is required, and those that the certificate has already.
fn purposes(leaf: &Certificate, usage: Side) -> String {
    let mut oids: Vec<&str> = vec![usage.usage_oid()];
    for oid in leaf.extended_key_usage().unwrap_or_default() {
        let fits = oids.len() < MAX_NAMES && oid.len() <= MAX_NAME;
        if fits && !oids.contains(&&**oid) {
            oids.push(oid);
        }
    }
    let names: Vec<&str> = oids
        .into_iter()
        .map(|oid| key_purpose_name(oid).unwrap_or(oid))
        .collect();
    names.join(",")
}

/// A server name: a host name or an address.
fn alternative_name(server_name: &str) -> String {
    if server_name.parse::<std::net::IpAddr>().is_ok() {
        format!("IP:{server_name}")
    } else {
        format!("DNS:{server_name}")
    }
}

/// A name as an argument of `openssl`; `None` for a name that has a meaning there or in a shell.
fn plain_name(name: &GeneralName) -> Option<String> {
    // `describe_name` would cut a long name.
    let plain = |kind: &str, value: &[u8]| {
        let is_fit = value.len() <= MAX_NAME && value.iter().all(|&octet| is_plain(octet));
        let text = std::str::from_utf8(value).ok().filter(|_| is_fit)?;
        Some(format!("{kind}:{text}"))
    };
    match name {
        GeneralName::Dns(value) => plain("DNS", value),
        GeneralName::Uri(value) => plain("URI", value),
        GeneralName::Email(value) => plain("email", value),
        GeneralName::Ip(octets) if matches!(octets.len(), 4 | 16) => Some(describe_name(name)),
        _ => None,
    }
}

const fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b':' | b'/' | b'@' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_in_commands() {
        let dns = |text: &[u8]| plain_name(&GeneralName::Dns(text.into()));
        assert_eq!(dns(b"a-b.example"), Some("DNS:a-b.example".into()));
        let uri = plain_name(&GeneralName::Uri((*b"spiffe://a/ns/b_c").into()));
        assert_eq!(uri, Some("URI:spiffe://a/ns/b_c".into()));
        for bad in [
            "a' ; rm -rf ~",
            "$(id)",
            "a,DNS:b",
            "a\nb",
            "é",
            "*.example",
            "a%41",
        ] {
            assert_eq!(dns(bad.as_bytes()), None, "{bad}");
        }
        let ip = |octets: &[u8]| plain_name(&GeneralName::Ip(octets.into()));
        assert_eq!(ip(&[10, 0, 0, 1]), Some("IP:10.0.0.1".into()));
        assert_eq!(ip(&[10, 0]), None);
    }

    #[test]
    fn a_server_name_is_a_host_name_or_an_address() {
        assert_eq!(alternative_name("a.example"), "DNS:a.example");
        assert_eq!(alternative_name("::1"), "IP:::1");
    }
}
