//! The extractors against a second parser, RustCrypto's `x509-cert`, over generated certificates.
//!
//! The two share only the grammar of a decoded value (`FromStr`). Each determines separately which values a
//! certificate has, of which kind, how many, and whether their encoding is legal.

use std::collections::BTreeMap;

use countersign::Certificate;
use countersign::identity::{
    CommonName, DnsName, Email, FromCertificate, IdentityError, IdentityExtractor, IpAddress,
    OrganizationalUnit, Single, Uri,
};
use countersign::testing::{LeafBuilder, TestCa, der};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use x509_cert::der::asn1::{BmpString, Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Any, Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;

const CASES: u32 = 20_000;
/// The same certificates in every run.
const SEED: RngSeed = RngSeed::Fixed(20_261_122);

const CN: &str = "2.5.4.3";
const OU: &str = "2.5.4.11";
const SAN: &str = "2.5.29.17";

/// What a certificate is made of.
#[derive(Clone, Debug)]
struct Recipe {
    /// Type, tag and value of each attribute of the subject.
    attributes: Vec<(&'static str, u8, Vec<u8>)>,
    /// Tag and content of each SAN.
    sans: Vec<(u8, Vec<u8>)>,
    /// A second SAN extension, or a malformed one.
    spoil: Spoil,
}

#[derive(Clone, Copy, Debug)]
enum Spoil {
    No,
    Duplicate,
    TrailingByte,
    LongLength,
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "worker.example",
        "Worker.EXAMPLE",
        "*.example",
        "a..b",
        "a.example.",
        "192.0.2.1",
        "",
        "spiffe://example.org/a",
        "https://a.example/",
        "urn:a:b",
        "a@b.example",
        "a@b@c",
        "bücher.example",
        "worker\0.example",
        "\u{202e}abc",
        "ab\u{200b}c",
        "dev",
        "a b",
        "http://",
        "1:2",
    ]);
    prop_oneof![
        6 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
        1 => "[a-z0-9.-]{1,30}".prop_map(String::into_bytes),
        1 => (60_usize..70).prop_map(|length| vec![b'a'; length]),
    ]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let oid = prop::sample::select(vec![CN, CN, OU, "2.5.4.10", "1.2.3.4.5"]);
    let string_tag = prop::sample::select(vec![
        0x0c_u8, 0x0c, 0x13, 0x16, 0x14, 0x1e, 0x1c, 0x02, 0x04, 0x2c,
    ]);
    let attribute = (oid, string_tag, text());
    let address = prop_oneof![
        Just(vec![192, 0, 2, 1]),
        Just(vec![0; 16]),
        vec(any::<u8>(), 4),
        vec(any::<u8>(), 0..20)
    ];
    let san_tag = prop::sample::select(vec![
        0x81_u8, 0x82, 0x82, 0x86, 0x86, 0xa6, 0xa2, 0x46, 0x80, 0x9e, 0x88,
    ]);
    let san = prop_oneof![4 => (san_tag, text()), 1 => (prop::sample::select(vec![0x87_u8, 0x87, 0xa7]), address)];
    let spoil = prop_oneof![
        20 => Just(Spoil::No),
        1 => Just(Spoil::Duplicate),
        1 => Just(Spoil::TrailingByte),
        1 => Just(Spoil::LongLength),
    ];
    (vec(attribute, 0..4), vec(san, 0..4), spoil).prop_map(|(attributes, sans, spoil)| Recipe {
        attributes,
        sans,
        spoil,
    })
}

fn build(ca: &TestCa, recipe: &Recipe) -> LeafBuilder {
    let mut leaf = ca.leaf();
    for (oid, tag, value) in &recipe.attributes {
        leaf = leaf.attribute(oid, *tag, value);
    }
    let entries: Vec<Vec<u8>> = recipe
        .sans
        .iter()
        .map(|(tag, content)| der::tlv(*tag, content))
        .collect();
    let extension = der::sequence(&entries);
    match recipe.spoil {
        _ if entries.is_empty() => leaf,
        Spoil::No => leaf.san_der(extension),
        Spoil::Duplicate => leaf
            .san_der(extension.clone())
            .extension(SAN, false, &extension),
        Spoil::TrailingByte => leaf.san_der([extension, vec![0]].concat()),
        // The outer length in one octet more than it needs.
        Spoil::LongLength => {
            let content: Vec<u8> = entries.concat();
            let length = u16::try_from(content.len()).expect("short").to_be_bytes();
            leaf.san_der([&[0x30, 0x83, 0][..], &length, &content].concat())
        }
    }
}

/// One value of a kind, as the second parser sees it: its text, or that it is malformed.
type Value = Result<String, ()>;

/// The values that the second parser finds in one field.
enum Field {
    Values(Vec<Value>),
    /// The extension as a whole: the reason.
    Spoiled(&'static str),
}

fn second_parser_sans(certificate: &x509_cert::Certificate, kind: u8) -> Field {
    let extensions = certificate
        .tbs_certificate
        .extensions
        .as_deref()
        .unwrap_or_default();
    let sans: Vec<_> = extensions
        .iter()
        .filter(|extension| extension.extn_id.to_string() == SAN)
        .collect();
    let extension = match sans[..] {
        [] => return Field::Values(Vec::new()),
        [one] => one,
        _ => return Field::Spoiled("ambiguous"),
    };
    // Entry by entry, because a bad value of one kind must not harm another.
    let Ok(entries) = Vec::<Any>::from_der(extension.extn_value.as_bytes()) else {
        return Field::Spoiled("bad_encoding");
    };
    // What is not one of the nine kinds makes the whole extension something else.
    let is_general_name = |entry: &Any| {
        let tag = entry.to_der().expect("it was DER")[0];
        tag & 0xc0 == 0x80 && tag & 0x1f <= 8
    };
    if !entries.iter().all(is_general_name) {
        return Field::Spoiled("bad_encoding");
    }
    let values = entries.iter().filter_map(|entry| {
        let der = entry.to_der().expect("it was DER");
        let tag = der[0];
        if tag & 0x1f != kind {
            return None;
        }
        Some(match GeneralName::from_der(&der) {
            Ok(
                GeneralName::Rfc822Name(text)
                | GeneralName::DnsName(text)
                | GeneralName::UniformResourceIdentifier(text),
            ) => Ok(text.to_string()),
            Ok(GeneralName::IpAddress(octets)) => address(octets.as_bytes()).ok_or(()),
            _ => Err(()),
        })
    });
    Field::Values(values.collect())
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

fn second_parser_attributes(certificate: &x509_cert::Certificate, oid: &str) -> Field {
    let rdns = &certificate.tbs_certificate.subject.0;
    let attributes = rdns.iter().flat_map(|rdn| rdn.0.iter());
    let values = attributes
        .filter(|attribute| attribute.oid.to_string() == oid)
        .map(|attribute| {
            let der = attribute.value.to_der().map_err(|_| ())?;
            match attribute.value.tag() {
                Tag::Utf8String => Utf8StringRef::from_der(&der).map(|text| text.to_string()),
                Tag::PrintableString => {
                    // The second parser follows X.680. We take four more characters (`StringRules`).
                    let mut plain = der;
                    let value = attribute.value.value();
                    let start = plain.len() - value.len();
                    for octet in &mut plain[start..] {
                        if matches!(octet, b'_' | b'&' | b'@' | b'*') {
                            *octet = b'x';
                        }
                    }
                    PrintableStringRef::from_der(&plain)
                        .map(|_| String::from_utf8_lossy(value).into_owned())
                }
                Tag::TeletexString => return legacy_text(attribute.value.value()),
                Tag::BmpString => BmpString::from_der(&der).map(|text| text.to_string()),
                Tag::Ia5String => Ia5StringRef::from_der(&der).map(|text| text.to_string()),
                _ => return Err(()),
            }
            .map_err(|_| ())
        });
    Field::Values(values.collect())
}

/// A T61String whose characters are the same by T.61 and as Latin-1.
fn legacy_text(octets: &[u8]) -> Value {
    let text = String::from_utf8(octets.to_vec()).map_err(|_| ())?;
    let is_shared = |c: char| (' '..='~').contains(&c) && !"#$\\^`{}~".contains(c);
    text.chars().all(is_shared).then_some(text).ok_or(())
}

/// Compares one extractor's answer with the second parser's; the kind of agreement, or why not.
fn compare<I>(
    extractor: Single<I>,
    certificate: &Certificate,
    field: Field,
) -> Result<String, String>
where
    I: FromCertificate + std::str::FromStr<Err = IdentityError> + ToString,
{
    let ours = extractor
        .extract(certificate)
        .map(|identity| identity.to_string());
    let reason = ours.as_ref().err().map(IdentityError::reason);
    let difference = |expected: &str| Err(format!("{expected} was expected, and we say {ours:?}"));
    match field {
        Field::Spoiled(expected) if reason == Some(expected) => Ok(expected.to_owned()),
        Field::Spoiled(expected) => difference(expected),
        Field::Values(values) => match &values[..] {
            [] if reason == Some("missing") => Ok("missing".to_owned()),
            [] => difference("missing"),
            // The second parser knows malformed, we know two kinds of it.
            [Err(())] if matches!(reason, Some("bad_encoding" | "bad_syntax")) => {
                Ok("malformed".to_owned())
            }
            [Err(())] => difference("a malformed value"),
            [Ok(text)] => match (text.parse::<I>(), &ours) {
                (Ok(expected), Ok(actual)) if expected.to_string() == *actual => {
                    Ok("value".to_owned())
                }
                (Err(expected), Err(actual)) if expected == *actual => {
                    Ok(expected.reason().to_owned())
                }
                (Ok(expected), _) => difference(&expected.to_string()),
                (Err(expected), _) => difference(expected.reason()),
            },
            _ if reason == Some("ambiguous") => Ok("ambiguous".to_owned()),
            _ => difference("ambiguous"),
        },
    }
}

#[test]
fn both_parsers_agree_on_twenty_thousand_certificates() {
    let ca = TestCa::new("Root");
    let agreements = std::cell::RefCell::new(BTreeMap::<(&str, String), u32>::new());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        rng_seed: SEED,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&recipe(), |recipe| {
            let issued = build(&ca, &recipe).signature(vec![0]).issue();
            let ours = Certificate::from_der(issued.leaf_der());
            let theirs = x509_cert::Certificate::from_der(issued.leaf_der());
            let (Ok(ours), Ok(theirs)) = (&ours, &theirs) else {
                // One difference is known: x509-cert rejects a certificate for a constructed string or a
                // UniversalString anywhere in a name. We reject the attribute with the former only, and read
                // the latter.
                let unknown: Vec<_> = recipe
                    .attributes
                    .iter()
                    .filter(|(_, tag, _)| matches!(tag, 0x2c | 0x1c))
                    .collect();
                prop_assert!(!unknown.is_empty() && theirs.is_err(), "{theirs:?}");
                let ours = ours.as_ref().expect("we read the certificate");
                for (oid, ..) in unknown {
                    let read = match *oid {
                        CN => CommonName::extractor().extract(ours).map(drop),
                        OU => OrganizationalUnit::extractor().extract(ours).map(drop),
                        _ => continue,
                    };
                    // We read UniversalStrings.
                    let Err(error) = read else { continue };
                    let reason = error.reason();
                    prop_assert!(reason != "missing", "{reason}");
                }
                *agreements
                    .borrow_mut()
                    .entry(("certificate", "unknown string".into()))
                    .or_default() += 1;
                return Ok(());
            };
            let san = |kind| second_parser_sans(theirs, kind);
            for (name, result) in [
                ("email", compare(Email::extractor(), ours, san(1))),
                ("dns", compare(DnsName::extractor(), ours, san(2))),
                ("uri", compare(Uri::extractor(), ours, san(6))),
                ("ip", compare(IpAddress::extractor(), ours, san(7))),
                (
                    "cn",
                    compare(
                        CommonName::extractor(),
                        ours,
                        second_parser_attributes(theirs, CN),
                    ),
                ),
                (
                    "ou",
                    compare(
                        OrganizationalUnit::extractor(),
                        ours,
                        second_parser_attributes(theirs, OU),
                    ),
                ),
            ] {
                match result {
                    Ok(agreement) => {
                        *agreements
                            .borrow_mut()
                            .entry((name, agreement))
                            .or_default() += 1
                    }
                    Err(difference) => prop_assert!(false, "{name}: {difference}"),
                }
            }
            Ok(())
        })
        .unwrap();
    let agreements = agreements.into_inner();
    for ((name, agreement), count) in &agreements {
        println!("{name:12} {agreement:18} {count:6}");
    }
    // The generator reaches every answer that matters, or agreement would mean little.
    for name in ["email", "dns", "uri", "cn", "ou"] {
        for answer in ["value", "missing", "ambiguous", "malformed", "bad_syntax"] {
            let reached = agreements
                .get(&(name, answer.to_owned()))
                .copied()
                .unwrap_or(0);
            assert!(
                reached >= 20,
                "{name}: {answer} was reached {reached} times"
            );
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 300, rng_seed: SEED, failure_persistence: None, ..Config::default() })]

    /// The result depends on the leaf only. The type of `extract` ensures it, and a gate whose peer sends
    /// more certificates gives the same result.
    #[test]
    fn other_certificates_change_no_answer(recipe in recipe(), other in recipe()) {
        use countersign::{Acceptor, ConnectionInfo, policy};

        let ca = TestCa::new("Root");
        let leaf = build(&ca, &recipe).issue();
        let other = build(&ca, &other).issue();
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        let extract_at_gate = |chain: &[rustls_pki_types::CertificateDer<'static>]| {
            acceptor
                .control()
                .admit_chain(chain, ConnectionInfo::default())
                .map(|admission| admission.peer().identity().to_string())
                .map_err(|error| error.reason())
        };
        let alone = extract_at_gate(leaf.chain());
        if Certificate::from_der(other.leaf_der()).is_ok() {
            let beside = [leaf.leaf_der().clone(), other.leaf_der().clone()];
            prop_assert_eq!(alone, extract_at_gate(&beside));
        }
    }

    /// The result does not depend on the order of unrelated names.
    #[test]
    fn the_order_of_other_names_changes_no_answer(recipe in recipe(), rotation in 0..4_usize) {
        let ca = TestCa::new("Root");
        let mut turned = recipe.clone();
        if !turned.sans.is_empty() {
            let by = rotation % turned.sans.len();
            turned.sans.rotate_left(by);
        }
        turned.attributes.reverse();
        let read = |recipe: &Recipe| {
            let certificate = Certificate::from_der(build(&ca, recipe).issue().leaf_der()).ok()?;
            let answers = [
                DnsName::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
                Uri::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
                Email::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
                IpAddress::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
                CommonName::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
                OrganizationalUnit::extractor().extract(&certificate).map(|value| value.to_string()).reason_or_text(),
            ];
            Some(answers)
        };
        prop_assert_eq!(read(&recipe), read(&turned));
    }
}

trait ReasonOrText {
    fn reason_or_text(self) -> Result<String, &'static str>;
}

impl ReasonOrText for Result<String, IdentityError> {
    fn reason_or_text(self) -> Result<String, &'static str> {
        self.map_err(|error| error.reason())
    }
}
