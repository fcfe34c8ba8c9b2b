//! Names, identities, times and numbers.

use countersign::testing::der;

use super::{DAY, HOUR, Made, SERIAL, client, from_now, root, with_element};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const PRINTABLE: u8 = 0x13;
const T61: u8 = 0x14;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

pub(super) fn cases() -> Vec<Made> {
    let all = [encodings(), sans(), times(), numbers()];
    all.into_iter().flatten().collect()
}

/// The subject's attributes in all string types.
fn encodings() -> Vec<Made> {
    let common_name = |name: &str, what: &str, tag: u8, value: &[u8]| {
        let root = root();
        let leaf = root.leaf().serial(&SERIAL).attribute(CN, tag, value);
        Made::new(name, what, &root, &leaf.issue()).identity("cn")
    };
    let root = root();
    let issuer = der::sequence(&[der::set(&[der::sequence(&[
        der::oid(CN),
        der::tlv(PRINTABLE, "Example Root CA"),
    ])])]);
    let issuer = client(&root).map_tbs(with_element(3, issuer)).issue();
    let latin = root
        .leaf()
        .serial(&SERIAL)
        .attribute(O, T61, b"M\xfcller GmbH");
    let groups: [(&str, u8, &[u8]); 2] = [
        (O, PRINTABLE, b"system:masters"),
        (O, PRINTABLE, b"dev:admins"),
    ];
    let groups = root.leaf().serial(&SERIAL).multi_valued_rdn(&groups);
    vec![
        Made::new(
            "issuer-other-string-type",
            "issuer written as PrintableString, the CA names itself in UTF8String",
            &root,
            &issuer,
        ),
        common_name("cn-utf8", "CN as UTF8String", 0x0c, b"pump-17"),
        common_name(
            "cn-printable",
            "CN as PrintableString",
            PRINTABLE,
            b"pump-17",
        ),
        common_name(
            "cn-printable-underscore",
            "CN as PrintableString with an underscore, which it does not have",
            PRINTABLE,
            b"eui48_6827194b53c2",
        ),
        common_name("cn-t61", "CN as T61String, ASCII only", T61, b"pump-17"),
        common_name(
            "cn-universal",
            "CN as UniversalString",
            UNIVERSAL,
            b"\0\0\0p\0\0\0u\0\0\0m\0\0\0p",
        ),
        common_name("cn-bmp", "CN as BMPString", BMP, b"\0p\0u\0m\0p"),
        common_name("cn-nul", "CN with a NUL", 0x0c, b"pump\0.example"),
        common_name("cn-long", "CN of 102 characters", 0x0c, &[b'x'; 102]),
        Made::new(
            "o-t61-latin1",
            "O as T61String with Latin-1, CN fine",
            &root,
            &latin.attribute(CN, 0x0c, b"pump-17").issue(),
        )
        .identity("cn"),
        Made::new(
            "groups-in-one-rdn",
            "two groups in one multi-valued RDN, as Go writes them",
            &root,
            &groups.attribute(CN, PRINTABLE, b"kubernetes-admin").issue(),
        )
        .identity("kubernetes"),
    ]
}

fn sans() -> Vec<Made> {
    let san = |name: &str, identity: &'static str, tag: u8, value: &str| {
        let root = root();
        let leaf = client(&root).general_name(tag, value.as_bytes());
        Made::new(name, &format!("SAN {value}"), &root, &leaf.issue()).identity(identity)
    };
    let root = root();
    let no_subject = |critical| {
        let leaf = root
            .leaf()
            .serial(&SERIAL)
            .subject_der(der::sequence::<Vec<u8>>(&[]));
        leaf.spiffe("spiffe://example.org/ns/a/sa/b")
            .san_critical(critical)
            .issue()
    };
    let empty = client(&root).san_der(der::sequence::<Vec<u8>>(&[]));
    vec![
        san("san-dns-upper", "dns", 0x82, "HOST.Corp.Example"),
        san("san-dns-underscore", "dns", 0x82, "WS_0042.corp.example"),
        san("san-dns-wildcard", "dns", 0x82, "*.apps.example"),
        san("san-dns-is-ip", "dns", 0x82, "10.1.2.3"),
        san(
            "san-uri-urn",
            "uri",
            0x86,
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ),
        san(
            "san-spiffe-upper",
            "spiffe",
            0x86,
            "spiffe://Example.org/ns/a",
        ),
        san("san-email-utf8", "email", 0x81, "j\u{fc}rgen@example.com"),
        Made::new(
            "san-empty",
            "subjectAltName with an empty sequence",
            &root,
            &empty.issue(),
        )
        .identity("cn"),
        Made::new(
            "no-subject",
            "no subject, critical SAN",
            &root,
            &no_subject(true),
        )
        .identity("spiffe"),
        Made::new(
            "no-subject-san-not-critical",
            "no subject, SAN not critical",
            &root,
            &no_subject(false),
        )
        .identity("spiffe"),
        Made::new(
            "two-spiffe-ids",
            "two SPIFFE IDs",
            &root,
            &client(&root)
                .spiffe("spiffe://example.org/a")
                .spiffe("spiffe://example.org/b")
                .issue(),
        )
        .identity("spiffe"),
    ]
}

fn times() -> Vec<Made> {
    let validity =
        |name: &str, what: &str, (tag, not_before): (u8, &str), not_after: (u8, &str)| {
            let root = root();
            let times = [
                der::tlv(tag, not_before),
                der::tlv(not_after.0, not_after.1),
            ];
            let leaf = client(&root).map_tbs(with_element(4, der::sequence(&times)));
            Made::new(name, what, &root, &leaf.issue())
        };
    let (start, end) = ((UTC_TIME, "260101000000Z"), (UTC_TIME, "491231235959Z"));
    let root = root();
    let year = 365 * DAY;
    vec![
        validity(
            "time-without-seconds",
            "UTCTime without seconds",
            (UTC_TIME, "2601010000Z"),
            end,
        ),
        validity(
            "time-with-offset",
            "UTCTime with an offset",
            (UTC_TIME, "260101000000+0100"),
            end,
        ),
        validity(
            "never-expires",
            "notAfter 99991231235959Z",
            start,
            (GENERALIZED_TIME, "99991231235959Z"),
        ),
        validity(
            "year-1950",
            "notBefore in 1950",
            (UTC_TIME, "500101000000Z"),
            end,
        ),
        Made::new(
            "not-yet-valid",
            "issued by a CA whose clock is two hours ahead",
            &root,
            &client(&root)
                .validity(from_now(2 * HOUR), from_now(year))
                .issue(),
        ),
        Made::new(
            "expired",
            "expired an hour ago",
            &root,
            &client(&root)
                .validity(from_now(-year), from_now(-HOUR))
                .issue(),
        ),
    ]
}

fn numbers() -> Vec<Made> {
    let serial = |name: &str, what: &str, serial: &[u8]| {
        let root = root();
        let leaf = root.leaf().common_name("worker-7").serial(serial).issue();
        Made::new(name, what, &root, &leaf)
    };
    let negative = [0x9f, 0, 0x11, 0x22, 0x33];
    let entry = |serial: &str| format!("serial:{serial} issuer:CN=Example Root CA\n");
    vec![
        serial("serial-negative", "negative serial number", &negative),
        serial(
            "serial-negative-identity",
            "negative serial number as identity",
            &negative,
        )
        .identity("serial"),
        serial(
            "serial-32-octets",
            "serial of 32 octets as identity",
            &[0x11; 32],
        )
        .identity("serial"),
        serial(
            "serial-padded",
            "serial with a superfluous zero octet",
            &[0, 0, 0x7f, 0x11],
        ),
        serial("denied-serial", "a deny list entry for a serial", &SERIAL)
            .file("deny.txt", entry("1001")),
        serial(
            "denied-serial-negative",
            "a deny list entry for a negative serial",
            &negative,
        )
        .file("deny.txt", entry("9f00112233")),
        serial(
            "denied-serial-36-octets",
            "a deny list entry for a serial of 36 octets",
            &[0x55; 36],
        )
        .file("deny.txt", entry(&"55".repeat(36))),
    ]
}
