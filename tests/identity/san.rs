//! Extractors of subject alternative names against good and hostile certificates.

use std::fmt::Debug;

use countersign::Certificate;
use countersign::identity::{
    DnsName, Email, FromCertificate, IdentityExtractor as _, IpAddress, Multiple, Single, SpiffeId,
    Upn, Uri, WorkloadId,
};
use countersign::testing::{KeyUsageBits, LeafBuilder, TestCa, der};

/// The value's text, or the reason of the error.
fn read<I: FromCertificate + ToString>(
    extractor: Single<I>,
    leaf: LeafBuilder,
) -> Result<String, &'static str> {
    let certificate = Certificate::from_der(leaf.issue().leaf_der()).expect("it parses");
    extractor
        .extract(&certificate)
        .map(|identity| identity.to_string())
        .map_err(|error| error.reason())
}

fn check<I: FromCertificate + ToString + Copyable>(
    rows: Vec<(&str, LeafBuilder, Result<&str, &'static str>)>,
) {
    assert!(rows.len() >= 12, "only {} rows", rows.len());
    for (what, leaf, expected) in rows {
        let actual = read(I::extractor(), leaf);
        assert_eq!(
            actual.as_deref().map_err(|reason| *reason),
            expected,
            "{what}"
        );
    }
}

/// Every identity of this file has `extractor()`.
trait Copyable: Sized {
    fn extractor() -> Single<Self>;
}

macro_rules! has_extractor {
    ($($identity:ty),+) => {$(
        impl Copyable for $identity {
            fn extractor() -> Single<Self> {
                <$identity>::extractor()
            }
        }
    )+};
}
has_extractor!(DnsName, Email, IpAddress, SpiffeId, Upn, Uri, WorkloadId);

/// A SAN extension of these entries, each a tag and its content.
fn san(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = entries
        .iter()
        .map(|(tag, content)| der::tlv(*tag, content))
        .collect();
    der::sequence(&entries)
}

const SAN_OID: &str = "2.5.29.17";

/// The errors that every kind of SAN can have.
fn common_rows<'a>(
    leaf: impl Fn() -> LeafBuilder,
    tag: u8,
    good: &[u8],
) -> Vec<(&'a str, LeafBuilder, Result<&'a str, &'static str>)> {
    vec![
        ("no SAN at all", leaf(), Err("missing")),
        (
            "only a common name",
            leaf().common_name("worker.example"),
            Err("missing"),
        ),
        (
            "the same value twice",
            leaf().general_name(tag, good).general_name(tag, good),
            Err("ambiguous"),
        ),
        (
            "a good and a bad one",
            leaf().general_name(tag, good).general_name(tag, b"\0"),
            Err("ambiguous"),
        ),
        (
            "constructed",
            leaf().general_name(tag | 0x20, good),
            Err("bad_encoding"),
        ),
        (
            "a good and a constructed one",
            leaf()
                .general_name(tag, good)
                .general_name(tag | 0x20, good),
            Err("ambiguous"),
        ),
        (
            "application class",
            leaf().general_name(tag & 0x1f | 0x40, good),
            Err("bad_encoding"),
        ),
        (
            "the extension twice",
            leaf()
                .general_name(tag, good)
                .extension(SAN_OID, false, &san(&[(tag, good)])),
            Err("ambiguous"),
        ),
        (
            "a non-minimal length",
            leaf().san_der({
                // A SEQUENCE of one entry whose length is written in two octets.
                let mut entry = vec![tag, 0x81, good.len() as u8];
                entry.extend(good);
                der::tlv(0x30, entry)
            }),
            Err("bad_encoding"),
        ),
        (
            "trailing bytes",
            leaf().san_der([san(&[(tag, good)]), vec![0]].concat()),
            Err("bad_encoding"),
        ),
        (
            "an empty sequence",
            leaf().san_der(vec![0x30, 0]),
            Err("bad_encoding"),
        ),
        (
            "an indefinite length",
            leaf().san_der([&[0x30, 0x80, tag, good.len() as u8], good, &[0, 0]].concat()),
            Err("bad_encoding"),
        ),
        (
            "not a sequence",
            leaf().san_der(der::tlv(0x31, der::tlv(tag, good))),
            Err("bad_encoding"),
        ),
    ]
}

#[test]
fn spiffe() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let good = "spiffe://example.org/ns/billing";
    let mut rows = common_rows(leaf, 0x86, good.as_bytes());
    let long = format!("spiffe://example.org/{}", "a".repeat(2048 - 21));
    let too_long = format!("{long}a");
    let domain = format!("spiffe://{}/a", "d".repeat(255));
    let long_domain = format!("spiffe://{}/a", "d".repeat(256));
    rows.extend([
        ("good", leaf().spiffe(good), Ok(good)),
        (
            "beside names of other kinds",
            leaf()
                .dns("a.example")
                .spiffe(good)
                .email("a@b.example")
                .ip([192, 0, 2, 1].into()),
            Ok(good),
        ),
        (
            "beside bad names of other kinds",
            leaf()
                .general_name(0x82, b"\0\xff")
                .spiffe(good)
                .general_name(0x87, b"x"),
            Ok(good),
        ),
        (
            "beside unreadable names of other kinds",
            leaf()
                .general_name(0xa2, b"a.example")
                .spiffe(good)
                .general_name(0x83, b"a@b.example"),
            Ok(good),
        ),
        (
            "two URIs, one of another scheme",
            leaf().spiffe(good).uri("https://a.example/"),
            Err("ambiguous"),
        ),
        (
            "another scheme",
            leaf().uri("https://example.org/ns/billing"),
            Err("bad_syntax"),
        ),
        (
            "upper-case scheme",
            leaf().uri("SPIFFE://example.org/ns/billing"),
            Err("bad_syntax"),
        ),
        (
            "upper-case trust domain",
            leaf().uri("spiffe://Example.org/ns/billing"),
            Err("bad_syntax"),
        ),
        (
            "trailing slash",
            leaf().uri("spiffe://example.org/ns/"),
            Err("bad_syntax"),
        ),
        (
            "empty segment",
            leaf().uri("spiffe://example.org//ns"),
            Err("bad_syntax"),
        ),
        (
            "dot segment",
            leaf().uri("spiffe://example.org/./ns"),
            Err("bad_syntax"),
        ),
        (
            "dot-dot segment",
            leaf().uri("spiffe://example.org/a/../ns"),
            Err("bad_syntax"),
        ),
        (
            "percent-encoding",
            leaf().uri("spiffe://example.org/%6es"),
            Err("bad_syntax"),
        ),
        (
            "query",
            leaf().uri("spiffe://example.org/ns?a"),
            Err("bad_syntax"),
        ),
        (
            "fragment",
            leaf().uri("spiffe://example.org/ns#a"),
            Err("bad_syntax"),
        ),
        (
            "port",
            leaf().uri("spiffe://example.org:1/ns"),
            Err("bad_syntax"),
        ),
        (
            "user info",
            leaf().uri("spiffe://u@example.org/ns"),
            Err("bad_syntax"),
        ),
        (
            "NUL",
            leaf().general_name(0x86, b"spiffe://example.org/ns\0"),
            Err("bad_syntax"),
        ),
        (
            "new line",
            leaf().general_name(0x86, b"spiffe://example.org/ns\n"),
            Err("bad_syntax"),
        ),
        (
            "UTF-8",
            leaf().general_name(0x86, "spiffe://example.org/né".as_bytes()),
            Err("bad_syntax"),
        ),
        (
            "Latin-1",
            leaf().general_name(0x86, b"spiffe://example.org/n\xe9"),
            Err("bad_encoding"),
        ),
        (
            "the trust domain alone",
            leaf().uri("spiffe://example.org"),
            Err("forbidden"),
        ),
        ("a CA", leaf().spiffe(good).ca(), Err("forbidden")),
        (
            "may sign certificates",
            leaf().spiffe(good).key_usage(Some(
                KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_CERT_SIGN,
            )),
            Err("forbidden"),
        ),
        (
            "may sign CRLs",
            leaf().spiffe(good).key_usage(Some(
                KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::CRL_SIGN,
            )),
            Err("forbidden"),
        ),
        ("2,048 bytes", leaf().uri(&long), Ok(&long)),
        ("2,049 bytes", leaf().uri(&too_long), Err("too_long")),
        ("a trust domain of 255", leaf().uri(&domain), Ok(&domain)),
        (
            "a trust domain of 256",
            leaf().uri(&long_domain),
            Err("too_long"),
        ),
    ]);
    check::<SpiffeId>(rows);
}

/// All 256 octets in a trust domain and in a path segment.
#[test]
fn the_spiffe_grammar_byte_by_byte() {
    let ca = TestCa::new("Root");
    for byte in 0..=255_u8 {
        let with = |before: &str, after: &str| {
            let uri = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            read(SpiffeId::extractor(), ca.leaf().general_name(0x86, &uri))
        };
        let invalid_utf8 = byte >= 0x80;
        let rejected = if invalid_utf8 {
            "bad_encoding"
        } else {
            "bad_syntax"
        };

        let in_domain = with("spiffe://exa", "mple.org/a");
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                assert!(in_domain.is_ok(), "{byte:#x}")
            }
            // A slash ends the trust domain: `exa`, and the path `mple.org/a`.
            b'/' => assert_eq!(in_domain.as_deref(), Ok("spiffe://exa/mple.org/a")),
            _ => assert_eq!(in_domain, Err(rejected), "{byte:#x} in a trust domain"),
        }
        let in_path = with("spiffe://example.org/a", "b");
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                assert!(in_path.is_ok(), "{byte:#x}")
            }
            b'/' => assert_eq!(in_path.as_deref(), Ok("spiffe://example.org/a/b")),
            _ => assert_eq!(in_path, Err(rejected), "{byte:#x} in a path"),
        }
    }
}

#[test]
fn workload_id() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let good = "wimse://example.org/orders";
    let mut rows = common_rows(leaf, 0x86, good.as_bytes());
    rows.extend([
        ("good", leaf().uri(good), Ok(good)),
        (
            "a SPIFFE ID is one",
            leaf().spiffe("spiffe://example.org/orders"),
            Ok("spiffe://example.org/orders"),
        ),
        (
            "beside a name of another kind",
            leaf().uri(good).dns("a.example"),
            Ok(good),
        ),
        (
            "two URIs of different schemes",
            leaf().uri(good).uri("spiffe://example.org/orders"),
            Err("ambiguous"),
        ),
        ("no trust domain", leaf().uri("urn:a:b"), Err("bad_syntax")),
        (
            "upper-case scheme",
            leaf().uri("WIMSE://example.org/orders"),
            Err("bad_syntax"),
        ),
        (
            "query",
            leaf().uri("wimse://example.org/orders?a"),
            Err("bad_syntax"),
        ),
        (
            "Latin-1",
            leaf().general_name(0x86, b"wimse://example.org/\xe9"),
            Err("bad_encoding"),
        ),
        (
            "the trust domain alone",
            leaf().uri("wimse://example.org"),
            Err("forbidden"),
        ),
        ("a CA", leaf().uri(good).ca(), Err("forbidden")),
    ]);
    check::<WorkloadId>(rows);
}

#[test]
fn dns() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let mut rows = common_rows(leaf, 0x82, b"worker.example");
    let longest = [
        &*"a".repeat(63),
        &"b".repeat(63),
        &"c".repeat(63),
        &"d".repeat(61),
    ]
    .join(".");
    let too_long = format!("{longest}d");
    let long_label = format!("{}.example", "a".repeat(64));
    rows.extend([
        ("good", leaf().dns("worker.example"), Ok("worker.example")),
        (
            "lower-cased",
            leaf().dns("Worker.EXAMPLE"),
            Ok("worker.example"),
        ),
        (
            "an A-label",
            leaf().dns("xn--bcher-kva.example"),
            Ok("xn--bcher-kva.example"),
        ),
        (
            "a URI beside it, and bad ones",
            leaf()
                .dns("worker.example")
                .uri("https://a.example")
                .general_name(0x86, b"\xff"),
            Ok("worker.example"),
        ),
        (
            "another common name beside it",
            leaf().common_name("other.example").dns("worker.example"),
            Ok("worker.example"),
        ),
        (
            "differing only in case",
            leaf().dns("a.example").dns("A.example"),
            Err("ambiguous"),
        ),
        ("wildcard", leaf().dns("*.example"), Err("forbidden")),
        (
            "partial wildcard",
            leaf().dns("w*.example"),
            Err("forbidden"),
        ),
        ("empty", leaf().general_name(0x82, b""), Err("bad_syntax")),
        ("space", leaf().dns("a b.example"), Err("bad_syntax")),
        ("a space for no name", leaf().dns(" "), Err("bad_syntax")),
        ("empty label", leaf().dns("a..example"), Err("bad_syntax")),
        ("leading dot", leaf().dns(".example"), Err("bad_syntax")),
        (
            "trailing dot",
            leaf().dns("worker.example."),
            Err("bad_syntax"),
        ),
        (
            "NUL",
            leaf().general_name(0x82, b"worker.example\0.evil.example"),
            Err("bad_syntax"),
        ),
        (
            "new line",
            leaf().general_name(0x82, b"worker.example\n"),
            Err("bad_syntax"),
        ),
        (
            "a U-label",
            leaf().general_name(0x82, "bücher.example".as_bytes()),
            Err("bad_syntax"),
        ),
        (
            "a Cyrillic lookalike",
            leaf().general_name(0x82, "wоrker.example".as_bytes()),
            Err("bad_syntax"),
        ),
        (
            "Latin-1",
            leaf().general_name(0x82, b"b\xfccher.example"),
            Err("bad_encoding"),
        ),
        (
            "an IPv4 address",
            leaf().dns("192.0.2.1"),
            Err("bad_syntax"),
        ),
        (
            "a URL",
            leaf().dns("https://worker.example"),
            Err("bad_syntax"),
        ),
        (
            "a port",
            leaf().dns("worker.example:443"),
            Err("bad_syntax"),
        ),
        (
            "two in one",
            leaf().dns("a.example,b.example"),
            Err("bad_syntax"),
        ),
        ("253 bytes", leaf().dns(&longest), Ok(&longest)),
        ("254 bytes", leaf().dns(&too_long), Err("too_long")),
        ("a label of 64", leaf().dns(&long_label), Err("too_long")),
    ]);
    check::<DnsName>(rows);
}

#[test]
fn uri() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let mut rows = common_rows(leaf, 0x86, b"urn:a:b");
    rows.extend([
        (
            "good",
            leaf().uri("https://a.example/x?y=1#z"),
            Ok("https://a.example/x?y=1#z"),
        ),
        (
            "nothing is normalised",
            leaf().uri("HTTPS://A.example/%7E"),
            Ok("HTTPS://A.example/%7E"),
        ),
        (
            "a SPIFFE ID is one",
            leaf().uri("spiffe://example.org/a"),
            Ok("spiffe://example.org/a"),
        ),
        ("relative", leaf().uri("/a/b"), Err("bad_syntax")),
        ("no scheme", leaf().uri("a.example"), Err("bad_syntax")),
        ("empty host", leaf().uri("https:///a"), Err("bad_syntax")),
        ("space", leaf().uri("urn:a b"), Err("bad_syntax")),
        (
            "NUL",
            leaf().general_name(0x86, b"urn:a\0b"),
            Err("bad_syntax"),
        ),
        ("half an escape", leaf().uri("urn:a%2"), Err("bad_syntax")),
        (
            "UTF-8",
            leaf().general_name(0x86, "urn:é".as_bytes()),
            Err("bad_syntax"),
        ),
        (
            "Latin-1",
            leaf().general_name(0x86, b"urn:\xe9"),
            Err("bad_encoding"),
        ),
    ]);
    check::<Uri>(rows);
}

#[test]
fn email() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let mut rows = common_rows(leaf, 0x81, b"a@b.example");
    let longest = format!("{}@b.example", "a".repeat(64));
    let too_long = format!("a{longest}");
    rows.extend([
        (
            "good",
            leaf().email("First.Last@B.Example"),
            Ok("First.Last@b.example"),
        ),
        (
            "the subject's emailAddress is not read",
            leaf().attribute("1.2.840.113549.1.9.1", der::IA5_STRING, b"a@b.example"),
            Err("missing"),
        ),
        ("two @", leaf().email("a@b@c.example"), Err("bad_syntax")),
        ("no @", leaf().email("a"), Err("bad_syntax")),
        (
            "quoted",
            leaf().email("\"a b\"@c.example"),
            Err("bad_syntax"),
        ),
        (
            "angle brackets",
            leaf().email("<a@b.example>"),
            Err("bad_syntax"),
        ),
        (
            "NUL",
            leaf().general_name(0x81, b"a@b.example\0"),
            Err("bad_syntax"),
        ),
        (
            "UTF-8 host",
            leaf().general_name(0x81, "a@bücher.example".as_bytes()),
            Err("bad_syntax"),
        ),
        (
            "Latin-1",
            leaf().general_name(0x81, b"\xe9@b.example"),
            Err("bad_encoding"),
        ),
        (
            "wildcard host",
            leaf().email("a@*.example"),
            Err("forbidden"),
        ),
        ("a local part of 64", leaf().email(&longest), Ok(&longest)),
        (
            "a local part of 65",
            leaf().email(&too_long),
            Err("too_long"),
        ),
    ]);
    check::<Email>(rows);
}

#[test]
fn ip() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let mut rows = common_rows(leaf, 0x87, &[192, 0, 2, 1]);
    rows.retain(|(what, ..)| *what != "a good and a bad one");
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    rows.extend([
        ("IPv4", leaf().ip([192, 0, 2, 1].into()), Ok("192.0.2.1")),
        (
            "IPv6",
            leaf().ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
            Ok("2001:db8::1"),
        ),
        (
            "IPv4-mapped is not that IPv4",
            leaf().general_name(0x87, &mapped),
            Ok("::ffff:192.0.2.1"),
        ),
        (
            "a network",
            leaf().general_name(0x87, &[192, 0, 2, 0, 255, 255, 255, 0]),
            Err("bad_encoding"),
        ),
        (
            "three octets",
            leaf().general_name(0x87, &[192, 0, 2]),
            Err("bad_encoding"),
        ),
        ("none", leaf().general_name(0x87, &[]), Err("bad_encoding")),
        (
            "as text",
            leaf().general_name(0x87, b"192.0.2.1"),
            Err("bad_encoding"),
        ),
        (
            "17 octets",
            leaf().general_name(0x87, &[0; 17]),
            Err("bad_encoding"),
        ),
        ("in a DNS name", leaf().dns("192.0.2.1"), Err("missing")),
        (
            "a good and a bad one",
            leaf().ip([192, 0, 2, 1].into()).general_name(0x87, &[1]),
            Err("ambiguous"),
        ),
    ]);
    check::<IpAddress>(rows);
}

#[test]
fn upn() {
    const UPN: &str = "1.3.6.1.4.1.311.20.2.3";
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let text = |tag, value: &[u8]| leaf().other_name(UPN, &der::tlv(tag, value));
    let good = "alice@corp.example";
    let longest = format!("{}@corp.example", "a".repeat(1024 - 13));
    let too_long = format!("a{longest}");
    check::<Upn>(vec![
        (
            "good",
            leaf().upn("Alice@Corp.Example"),
            Ok("Alice@corp.example"),
        ),
        ("no SAN", leaf(), Err("missing")),
        (
            "an e-mail address is none",
            leaf().email(good),
            Err("missing"),
        ),
        (
            "another otherName beside it",
            leaf().other_name("1.2.3.4", &der::null()).upn(good),
            Ok(good),
        ),
        (
            "a malformed other otherName beside it",
            leaf().other_name("1.2.3.4", b"\x0c\x81\x01").upn(good),
            Ok(good),
        ),
        ("two", leaf().upn(good).upn(good), Err("ambiguous")),
        (
            "a PrintableString",
            text(der::PRINTABLE_STRING, b"alice"),
            Err("bad_encoding"),
        ),
        (
            "an IA5String",
            text(der::IA5_STRING, good.as_bytes()),
            Err("bad_encoding"),
        ),
        (
            "a BMPString",
            text(der::BMP_STRING, b"\0a\0@\0b"),
            Err("bad_encoding"),
        ),
        (
            "invalid UTF-8",
            text(der::UTF8_STRING, b"\xff@corp.example"),
            Err("bad_encoding"),
        ),
        (
            "not DER",
            leaf().other_name(UPN, b"\x0c\x81\x01a"),
            Err("bad_encoding"),
        ),
        (
            "trailing bytes",
            leaf().other_name(UPN, b"\x0c\x01a\0"),
            Err("bad_encoding"),
        ),
        (
            "without the explicit tag",
            leaf().general_name(0xa0, &[der::oid(UPN), der::utf8(good)].concat()),
            Err("bad_encoding"),
        ),
        (
            "primitive",
            leaf().general_name(0x80, b"x"),
            Err("bad_encoding"),
        ),
        (
            "NUL",
            text(der::UTF8_STRING, b"alice@corp.example\0"),
            Err("bad_syntax"),
        ),
        ("two @", leaf().upn("a@b@corp.example"), Err("bad_syntax")),
        ("no @", leaf().upn("alice"), Err("bad_syntax")),
        (
            "a down-level name",
            leaf().upn("CORP\\alice@corp.example"),
            Err("bad_syntax"),
        ),
        (
            "bidi",
            leaf().upn("alice\u{202e}@corp.example"),
            Err("forbidden"),
        ),
        (
            "zero width",
            leaf().upn("al\u{200b}ice@corp.example"),
            Err("forbidden"),
        ),
        ("1,024 characters", leaf().upn(&longest), Ok(&longest)),
        ("1,025 characters", leaf().upn(&too_long), Err("too_long")),
    ]);
}

fn read_all<I: FromCertificate + Debug + ToString>(
    extractor: Multiple<I>,
    leaf: LeafBuilder,
) -> Result<Vec<String>, &'static str> {
    let certificate = Certificate::from_der(leaf.issue().leaf_der()).expect("it parses");
    extractor
        .extract(&certificate)
        .map(|values| values.iter().map(ToString::to_string).collect())
        .map_err(|error| error.reason())
}

#[test]
fn all_values_of_a_kind() {
    let ca = TestCa::new("Root");
    let two = || {
        ca.leaf()
            .dns("a.example")
            .dns("B.example")
            .uri("urn:a:b")
            .email("a@b.example")
    };
    let strings = |texts: &[&str]| Ok(texts.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(
        read_all(DnsName::all(), two()),
        strings(&["a.example", "b.example"])
    );
    assert_eq!(read_all(Uri::all(), two()), strings(&["urn:a:b"]));
    assert_eq!(read_all(Email::all(), two()), strings(&["a@b.example"]));
    assert_eq!(read_all(IpAddress::all(), two()), Err("missing"));
    // One bad value fails: nothing is skipped to reach a good one.
    assert_eq!(
        read_all(DnsName::all(), two().dns("*.example")),
        Err("forbidden")
    );
    assert_eq!(
        read_all(DnsName::all(), two().general_name(0xa2, b"c.example")),
        Err("bad_encoding")
    );
    assert_eq!(
        read_all(DnsName::all(), two().general_name(0x86, b"\0")),
        strings(&["a.example", "b.example"])
    );
}
