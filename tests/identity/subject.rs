//! Extractors of the subject and of other fields, against good and hostile certificates.

use countersign::identity::{
    CommonName, DnsName, ExtensionValue, Fingerprint, IdentityError, IdentityErrorKind,
    IdentityExtractor, KubernetesUser, OrganizationalUnit, Psd2, Psd2Role, SerialAndIssuer,
    SpiffeId, Subject,
};
use countersign::testing::{LeafBuilder, TestCa, der};
use countersign::{Certificate, Diagnostic as _};

type Row<'a> = (&'a str, LeafBuilder, Result<&'a str, &'static str>);

fn check<X>(extractor: &X, rows: Vec<Row<'_>>)
where
    X: IdentityExtractor,
    X::Identity: ToString,
{
    assert!(rows.len() >= 12, "only {} rows", rows.len());
    for (what, leaf, expected) in rows {
        let certificate = Certificate::from_der(leaf.issue().leaf_der()).expect(what);
        let actual = extractor.extract(&certificate);
        let actual = actual.map(|identity| identity.to_string());
        match (&actual, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{what}"),
            (Err(error), Err(reason)) => assert_eq!(error.reason(), reason, "{what}: {error}"),
            _ => panic!("{what}: {actual:?}, not {expected:?}"),
        }
    }
}

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const OU: &str = "2.5.4.11";

/// The errors that every textual attribute can have.
fn attribute_rows<'a>(
    ca: &TestCa,
    oid: &'static str,
    longest: &'a str,
    too_long: &'a str,
) -> Vec<Row<'a>> {
    let with = |tag, value: &[u8]| ca.leaf().attribute(oid, tag, value);
    let utf8 = |value: &str| with(der::UTF8_STRING, value.as_bytes());
    vec![
        ("UTF8String", utf8("wörker"), Ok("wörker")),
        (
            "PrintableString",
            with(der::PRINTABLE_STRING, b"worker (1)"),
            Ok("worker (1)"),
        ),
        ("IA5String", with(der::IA5_STRING, b"a@b"), Ok("a@b")),
        ("absent", ca.leaf().dns("a.example"), Err("missing")),
        (
            "twice",
            utf8("worker").attribute(oid, der::UTF8_STRING, b"worker"),
            Err("ambiguous"),
        ),
        (
            "twice in one RDN",
            ca.leaf()
                .multi_valued_rdn(&[(oid, 0x0c, b"a"), (oid, 0x0c, b"b")]),
            Err("ambiguous"),
        ),
        (
            "a good and a bad one",
            utf8("worker").attribute(oid, der::UTF8_STRING, b"\xff"),
            Err("ambiguous"),
        ),
        (
            "T61String of ASCII",
            with(der::TELETEX_STRING, b"worker_7"),
            Ok("worker_7"),
        ),
        (
            "T61String of Latin-1",
            with(der::TELETEX_STRING, b"w\xf6rker"),
            Err("bad_encoding"),
        ),
        (
            "T61String with a character that T.61 does not have",
            with(der::TELETEX_STRING, b"worker{}"),
            Err("bad_encoding"),
        ),
        ("BMPString", with(der::BMP_STRING, b"\0w\0\xf6"), Ok("wö")),
        (
            "BMPString of half a character",
            with(der::BMP_STRING, b"\0w\0"),
            Err("bad_encoding"),
        ),
        (
            "BMPString with a surrogate",
            with(der::BMP_STRING, b"\xd8\x3d\xde\x00"),
            Err("bad_encoding"),
        ),
        (
            "BMPString with a NUL",
            with(der::BMP_STRING, b"\0w\0\0"),
            Err("bad_syntax"),
        ),
        (
            "UniversalString",
            with(der::UNIVERSAL_STRING, b"\0\0\0w"),
            Ok("w"),
        ),
        (
            "UniversalString beyond Unicode",
            with(der::UNIVERSAL_STRING, b"\0\x11\0\0"),
            Err("bad_encoding"),
        ),
        ("an INTEGER", with(0x02, &[1]), Err("bad_encoding")),
        (
            "invalid UTF-8",
            with(der::UTF8_STRING, b"w\xe9"),
            Err("bad_encoding"),
        ),
        (
            "overlong UTF-8",
            with(der::UTF8_STRING, b"\xc0\xaf"),
            Err("bad_encoding"),
        ),
        (
            "PrintableString of Go and old versions of openssl",
            with(der::PRINTABLE_STRING, b"a_1@b & *"),
            Ok("a_1@b & *"),
        ),
        (
            "illegal PrintableString characters",
            with(der::PRINTABLE_STRING, b"a#b"),
            Err("bad_encoding"),
        ),
        (
            "8 bits in an IA5String",
            with(der::IA5_STRING, b"w\xe9"),
            Err("bad_encoding"),
        ),
        (
            "constructed",
            with(0x2c, &der::utf8("worker")),
            Err("bad_encoding"),
        ),
        ("empty", utf8(""), Err("bad_syntax")),
        ("NUL", utf8("worker\0.example"), Err("bad_syntax")),
        (
            "escape sequence",
            utf8("\u{1b}[2Jworker"),
            Err("bad_syntax"),
        ),
        ("new line", utf8("worker\nadmin"), Err("bad_syntax")),
        ("C1 control", utf8("worker\u{85}"), Err("bad_syntax")),
        ("bidi override", utf8("\u{202e}nimda"), Err("forbidden")),
        ("zero-width space", utf8("ad\u{200b}min"), Err("forbidden")),
        ("byte-order mark", utf8("\u{feff}admin"), Err("forbidden")),
        ("64 characters", utf8(longest), Ok(longest)),
        ("65 characters", utf8(too_long), Err("too_long")),
    ]
}

#[test]
fn common_name() {
    let ca = TestCa::new("Root");
    let (longest, too_long) = ("é".repeat(64), "e".repeat(65));
    let mut rows = attribute_rows(&ca, CN, &longest, &too_long);
    rows.push((
        "a DNS SAN is no common name",
        ca.leaf().dns("worker.example"),
        Err("missing"),
    ));
    check(&CommonName::extractor(), rows);
}

#[test]
fn organizational_unit() {
    let ca = TestCa::new("Root");
    let (longest, too_long) = ("é".repeat(64), "e".repeat(65));
    let mut rows = attribute_rows(&ca, OU, &longest, &too_long);
    rows.push((
        "beside a bad common name",
        ca.leaf()
            .attribute(CN, 0x0c, b"\xff")
            .attribute(OU, 0x0c, b"dev"),
        Ok("dev"),
    ));
    check(&OrganizationalUnit::extractor(), rows);

    let two = ca
        .leaf()
        .attribute(OU, 0x0c, b"dev")
        .attribute(OU, 0x13, b"ops")
        .issue();
    let all = OrganizationalUnit::all()
        .extract(&two.certificate())
        .unwrap();
    assert_eq!(
        all.iter()
            .map(OrganizationalUnit::as_str)
            .collect::<Vec<_>>(),
        ["dev", "ops"]
    );
    let none = OrganizationalUnit::all().extract(&ca.leaf().issue().certificate());
    assert_eq!(none.unwrap_err().reason(), "missing");
}

#[test]
fn subject() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let cn = |tag, value: &[u8]| leaf().attribute(CN, tag, value);
    let too_long = "a".repeat(129);
    let extractor = Subject::extractor().map(|subject| subject.rfc4514());
    check(
        &extractor,
        vec![
            (
                "one attribute",
                leaf().common_name("worker"),
                Ok("CN=worker"),
            ),
            (
                "the last first",
                leaf().attribute(O, 0x0c, b"Example").common_name("worker"),
                Ok("CN=worker,O=Example"),
            ),
            (
                "several units",
                leaf().attribute(OU, 0x0c, b"a").attribute(OU, 0x0c, b"b"),
                Ok("OU=b,OU=a"),
            ),
            (
                "a multi-valued RDN",
                leaf().multi_valued_rdn(&[(CN, 0x0c, b"a"), (OU, 0x0c, b"b")]),
                Ok("CN=a+OU=b"),
            ),
            (
                "special characters are escaped",
                leaf().common_name(" a,b+c\"d\\e<f>g;h# "),
                Ok("CN=\\ a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h#\\ "),
            ),
            (
                "an unknown type",
                leaf().attribute("1.2.3.4", 0x0c, b"x"),
                Ok("1.2.3.4=x"),
            ),
            ("empty", leaf().dns("a.example"), Err("missing")),
            (
                "one bad value among good ones",
                leaf().common_name("worker").attribute(O, 0x0c, b"\xff"),
                Ok("O=#0c01ff,CN=worker"),
            ),
            (
                "T61String of Latin-1",
                leaf()
                    .attribute(O, der::TELETEX_STRING, b"M\xfcller")
                    .common_name("a"),
                Ok("CN=a,O=#14064dfc6c6c6572"),
            ),
            (
                "constructed",
                cn(0x2c, &der::utf8("a")),
                Ok("CN=#2c030c0161"),
            ),
            ("an INTEGER", cn(0x02, &[7]), Ok("CN=#020107")),
            ("NUL", leaf().common_name("a\0b"), Ok("CN=a\\00b")),
            ("an empty value", leaf().common_name(""), Ok("CN=")),
            (
                "zero width",
                leaf().common_name("a\u{200b}"),
                Ok("CN=a\\E2\\80\\8B"),
            ),
            (
                "a locality of 129",
                leaf().locality(&too_long),
                Ok(&format!("L={too_long}")),
            ),
        ],
    );

    // Alike for people, and not the same.
    let read = |leaf: LeafBuilder| {
        Subject::extractor()
            .extract(&leaf.issue().certificate())
            .unwrap()
    };
    let (utf8, printable) = (read(cn(0x0c, b"worker")), read(cn(0x13, b"worker")));
    assert_eq!(utf8.rfc4514(), printable.rfc4514());
    assert_ne!(utf8, printable);
    assert_eq!(utf8.to_string().parse(), Ok(utf8));
    let comma = read(leaf().common_name("a,O=b"));
    let two = read(leaf().attribute(O, 0x0c, b"b").common_name("a"));
    assert_ne!(comma.rfc4514(), two.rfc4514());
}

#[test]
fn kubernetes() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf();
    let user = || leaf().common_name("alice");
    let in_group = |group: &[u8]| user().attribute(O, der::UTF8_STRING, group);
    let (longest, too_long) = ("g".repeat(64), "g".repeat(65));
    check(
        &KubernetesUser::extractor(),
        vec![
            ("a user", user(), Ok("CN=alice")),
            (
                "groups in order, each once",
                in_group(b"ops")
                    .attribute(O, 0x13, b"dev")
                    .attribute(O, 0x0c, b"ops"),
                Ok("CN=alice,O=dev,O=ops"),
            ),
            (
                "a node",
                leaf()
                    .common_name("system:node:a")
                    .attribute(O, 0x0c, b"system:nodes"),
                Ok("CN=system:node:a,O=system:nodes"),
            ),
            (
                "special characters",
                leaf().common_name("a,O=system:masters"),
                Ok("CN=a\\,O\\=system:masters"),
            ),
            (
                "no common name",
                leaf().attribute(O, 0x0c, b"dev"),
                Err("missing"),
            ),
            (
                "empty common name",
                leaf().common_name(""),
                Err("bad_syntax"),
            ),
            (
                "two common names",
                user().common_name("bob"),
                Err("ambiguous"),
            ),
            (
                "one bad group",
                in_group(b"dev").attribute(O, 0x0c, b"\xff"),
                Err("bad_encoding"),
            ),
            (
                "a group as T61String",
                user().attribute(O, 0x14, b"dev"),
                Ok("CN=alice,O=dev"),
            ),
            (
                "a group as T61String of Latin-1",
                user().attribute(O, 0x14, b"d\xe9v"),
                Err("bad_encoding"),
            ),
            ("an empty group", in_group(b""), Err("bad_syntax")),
            ("NUL in a group", in_group(b"dev\0"), Err("bad_syntax")),
            (
                "NUL in the name",
                leaf().common_name("alice\0"),
                Err("bad_syntax"),
            ),
            (
                "bidi in a group",
                in_group("\u{202e}dev".as_bytes()),
                Err("forbidden"),
            ),
            (
                "a group of 64",
                in_group(longest.as_bytes()),
                Ok(&format!("CN=alice,O={longest}")),
            ),
            (
                "a group of 65",
                in_group(too_long.as_bytes()),
                Err("too_long"),
            ),
            (
                "a unit is no group",
                user().attribute(OU, 0x0c, b"dev"),
                Ok("CN=alice"),
            ),
        ],
    );
}

#[test]
fn serial_and_issuer() {
    let ca = TestCa::new("Root");
    let issuer = "issuer:#300f310d300b06035504030c04526f6f74";
    let with = |serial: &[u8]| ca.leaf().serial(serial);
    let text = |serial: &str| format!("serial:{serial} {issuer}");
    let twenty = [vec![0x7f], vec![0xff; 19]].concat();
    let twenty_one = [vec![0], vec![0xff; 20]].concat();
    let (one, high, longest) = (
        text("01"),
        text("80"),
        text(&format!("7f{}", "ff".repeat(19))),
    );
    let two_octets = text("0100");
    check(
        &SerialAndIssuer::extractor(),
        vec![
            ("small", with(&[1]), Ok(&one)),
            (
                "a sign octet is not part of it",
                with(&[0, 0x80]),
                Ok(&high),
            ),
            ("two octets", with(&[1, 0]), Ok(&two_octets)),
            ("20 octets", with(&twenty), Ok(&longest)),
            (
                "20 octets and the sign",
                with(&twenty_one),
                Ok(&text(&"ff".repeat(20))),
            ),
            ("32 octets", with(&[0x7f; 32]), Ok(&text(&"7f".repeat(32)))),
            ("257 octets", with(&[1; 257]), Err("too_long")),
            ("no octet", with(&[]), Err("bad_encoding")),
            ("zero", with(&[0]), Ok(&text("00"))),
            ("minus one", with(&[0xff]), Ok(&text("-01"))),
            ("negative", with(&[0x80, 1]), Ok(&text("-7fff"))),
            ("negative, a power of two", with(&[0x80]), Ok(&text("-80"))),
            ("not minimal", with(&[0, 1]), Err("bad_encoding")),
            ("not minimal zero", with(&[0, 0]), Err("bad_encoding")),
            (
                "not minimal, negative",
                with(&[0xff, 0x80]),
                Err("bad_encoding"),
            ),
            (
                "names do not matter",
                with(&[1])
                    .attribute(CN, 0x0c, b"\xff")
                    .general_name(0xa2, b"x"),
                Ok(&one),
            ),
        ],
    );
    // The same number of another issuer is another certificate.
    let of = |ca: &TestCa| {
        SerialAndIssuer::extractor()
            .extract(&ca.leaf().serial(&[1]).issue().certificate())
            .unwrap()
    };
    assert_ne!(of(&ca), of(&TestCa::new("Other")));
    assert_eq!(
        of(&ca),
        of(&ca.same_name_other_key()),
        "a name is all that an issuer has here"
    );
}

#[test]
fn fingerprints() {
    let ca = TestCa::new("Root");
    let one = ca.leaf().dns("a.example").issue();
    let certificate = one.certificate();
    let read = |extractor: countersign::identity::FingerprintExtractor| {
        extractor.extract(&certificate).unwrap()
    };
    assert_eq!(
        read(Fingerprint::certificate_extractor()),
        Fingerprint::of(one.leaf_der())
    );
    assert_eq!(
        read(Fingerprint::spki_extractor()),
        Fingerprint::of(certificate.spki())
    );
    assert_ne!(
        read(Fingerprint::certificate_extractor()),
        read(Fingerprint::spki_extractor())
    );
    // Hostile names change nothing: twelve and more of them, and every answer is the digest.
    for (tag, content) in [
        (0x82, &b"\0"[..]),
        (0xa2, b"a"),
        (0x86, b"\xff"),
        (0xa6, b"x"),
        (0x81, b"@@"),
        (0x87, b"1"),
        (0x80, b""),
        (0xa0, b"\x06\x00"),
        (0xa4, b"\x30"),
        (0x88, b"\x80"),
        (0x9e, b"?"),
        (0x46, b"y"),
    ] {
        let odd = ca.leaf().general_name(tag, content).issue();
        let read = Fingerprint::certificate_extractor()
            .extract(&odd.certificate())
            .unwrap();
        assert_eq!(read, Fingerprint::of(odd.leaf_der()));
    }
    let text = read(Fingerprint::certificate_extractor()).to_string();
    assert_eq!(text.len(), 64);
    let colons: Vec<String> = text
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect();
    assert_eq!(
        colons.join(":").parse::<Fingerprint>().unwrap().to_string(),
        text
    );
    for bad in [
        "",
        "ab",
        &text[1..],
        &format!("{text}0"),
        &text.replace(|c: char| c.is_ascii_digit(), "g"),
        &colons.join("::"),
        &text[..40],
    ] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}

pub(super) const QC_STATEMENTS: &str = "1.3.6.1.5.5.7.1.3";
const PSD2_STATEMENT: &str = "0.4.0.19495.2";

pub(super) fn role(oid: &str, name: &str) -> Vec<u8> {
    der::sequence(&[der::oid(oid), der::utf8(name)])
}

pub(super) fn statement(roles: &[Vec<u8>], authority: &str, id: &str) -> Vec<u8> {
    let info = der::sequence(&[der::sequence(roles), der::utf8(authority), der::utf8(id)]);
    der::sequence(&[der::oid(PSD2_STATEMENT), info])
}

#[test]
fn psd2() {
    let ca = TestCa::new("Root");
    let ai = || role("0.4.0.19495.1.3", "PSP_AI");
    let pi = || role("0.4.0.19495.1.2", "PSP_PI");
    let compliance = || der::sequence(&[der::oid("0.4.0.1862.1.1")]);
    let with_id = |identifier: &[u8], statements: &[Vec<u8>]| {
        ca.leaf()
            .attribute("2.5.4.97", der::UTF8_STRING, identifier)
            .extension(QC_STATEMENTS, false, &der::sequence(statements))
    };
    let with = |statements: &[Vec<u8>]| with_id(b"PSDGB-FCA-123456", statements);
    let good = || statement(&[ai(), pi()], "Financial Conduct Authority", "GB-FCA");
    let long = "A".repeat(257);
    let good_text = "PSDGB-FCA-123456;PSP_PI,PSP_AI;GB-FCA;Financial Conduct Authority";
    let twice = with(&[good()]).extension(QC_STATEMENTS, false, &der::sequence(&[good()]));
    let no_info = || der::sequence(&[der::oid(PSD2_STATEMENT)]);
    check(
        &Psd2::extractor(),
        vec![
            ("good", with(&[compliance(), good()]), Ok(good_text)),
            (
                "the other roles, in order",
                with(&[statement(
                    &[
                        role("0.4.0.19495.1.4", "PSP_IC"),
                        role("0.4.0.19495.1.1", "PSP_AS"),
                    ],
                    "A",
                    "GB-FCA",
                )]),
                Ok("PSDGB-FCA-123456;PSP_AS,PSP_IC;GB-FCA;A"),
            ),
            (
                "no identifier",
                ca.leaf()
                    .extension(QC_STATEMENTS, false, &der::sequence(&[good()])),
                Err("missing"),
            ),
            (
                "no QCStatements",
                ca.leaf().attribute("2.5.4.97", 0x0c, b"PSDGB-FCA-123456"),
                Err("missing"),
            ),
            ("no PSD2 statement", with(&[compliance()]), Err("missing")),
            (
                "two identifiers",
                with(&[good()]).attribute("2.5.4.97", 0x0c, b"PSDGB-FCA-123456"),
                Err("ambiguous"),
            ),
            (
                "two PSD2 statements",
                with(&[good(), good()]),
                Err("ambiguous"),
            ),
            ("the extension twice", twice, Err("ambiguous")),
            (
                "the same role twice",
                with(&[statement(&[ai(), ai()], "A", "GB-FCA")]),
                Err("ambiguous"),
            ),
            (
                "no role",
                with(&[statement(&[], "A", "GB-FCA")]),
                Err("bad_syntax"),
            ),
            (
                "an unknown role",
                with(&[statement(
                    &[role("0.4.0.19495.1.9", "PSP_XX")],
                    "A",
                    "GB-FCA",
                )]),
                Err("bad_syntax"),
            ),
            (
                "a role's name and number disagree",
                with(&[statement(
                    &[role("0.4.0.19495.1.1", "PSP_AI")],
                    "A",
                    "GB-FCA",
                )]),
                Err("bad_syntax"),
            ),
            (
                "roles without a SEQUENCE each",
                with(&[statement(
                    &[der::oid("0.4.0.19495.1.3"), der::utf8("PSP_AI")],
                    "A",
                    "GB-FCA",
                )]),
                Err("bad_encoding"),
            ),
            (
                "two roles in one SEQUENCE",
                with(&[statement(
                    &[der::sequence(&[
                        der::oid("0.4.0.19495.1.2"),
                        der::utf8("PSP_PI"),
                        der::oid("0.4.0.19495.1.3"),
                        der::utf8("PSP_AI"),
                    ])],
                    "A",
                    "GB-FCA",
                )]),
                Err("bad_encoding"),
            ),
            (
                "an authority in lower case",
                with(&[statement(&[ai()], "A", "GB-fca")]),
                Ok("PSDGB-FCA-123456;PSP_AI;GB-FCA;A"),
            ),
            (
                "a bad authority",
                with(&[statement(&[ai()], "A", "FCA")]),
                Err("bad_syntax"),
            ),
            (
                "an empty authority name",
                with(&[statement(&[ai()], "", "GB-FCA")]),
                Err("bad_syntax"),
            ),
            (
                "a NUL in the authority's name",
                with(&[statement(&[ai()], "A\0", "GB-FCA")]),
                Err("bad_syntax"),
            ),
            (
                "a hidden character in it",
                with(&[statement(&[ai()], "A\u{200b}", "GB-FCA")]),
                Err("forbidden"),
            ),
            (
                "an authority's name of 257",
                with(&[statement(&[ai()], &long, "GB-FCA")]),
                Err("too_long"),
            ),
            ("no statement info", with(&[no_info()]), Err("bad_encoding")),
            (
                "not DER",
                ca.leaf()
                    .attribute("2.5.4.97", 0x0c, b"PSDGB-FCA-1")
                    .extension(QC_STATEMENTS, false, &[0x30, 0x80, 0, 0]),
                Err("bad_encoding"),
            ),
            (
                "a role as PrintableString",
                with(&[der::sequence(&[
                    der::oid(PSD2_STATEMENT),
                    der::sequence(&[
                        der::sequence(&[der::sequence(&[
                            der::oid("0.4.0.19495.1.3"),
                            der::tlv(0x13, b"PSP_AI"),
                        ])]),
                        der::utf8("A"),
                        der::utf8("GB-FCA"),
                    ]),
                ])]),
                Err("bad_encoding"),
            ),
            (
                "an identifier of another form",
                with_id(b"123456", &[good()]),
                Err("bad_syntax"),
            ),
            (
                "an identifier that is no text",
                with_id(b"\xff", &[good()]),
                Err("bad_encoding"),
            ),
            (
                "a legal person's identifier",
                with_id(b"VATDE-123", &[good()]),
                Ok("VATDE-123;PSP_PI,PSP_AI;GB-FCA;Financial Conduct Authority"),
            ),
        ],
    );
    // The error says what other certificates have.
    let both = der::sequence(&[
        der::oid("0.4.0.19495.1.2"),
        der::utf8("PSP_PI"),
        der::oid("0.4.0.19495.1.3"),
        der::utf8("PSP_AI"),
    ]);
    let flat = with(&[statement(&[both], "A", "GB-FCA")]).issue();
    let error = Psd2::extractor().extract(&flat.certificate()).unwrap_err();
    assert!(
        error.cause().contains("a SEQUENCE for each role"),
        "{error}"
    );
    let psp = Psd2::extractor()
        .extract(&with(&[good()]).issue().certificate())
        .unwrap();
    assert!(psp.has_role(Psd2Role::AccountInformation) && !psp.has_role(Psd2Role::CardIssuing));
    assert_eq!(psp.authority_id(), "GB-FCA");
    assert_eq!(psp.to_string().parse(), Ok(psp));
}

#[test]
fn extension_by_oid() {
    const OID: &str = "1.3.6.1.4.1.57264.1.1";
    let ca = TestCa::new("Root");
    let with = |value: &[u8]| ca.leaf().extension(OID, false, value);
    check(
        &ExtensionValue::extractor(OID),
        vec![
            ("absent", ca.leaf(), Err("missing")),
            (
                "another",
                ca.leaf().extension("1.3.6.1.4.1.57264.1.2", false, &[5, 0]),
                Err("missing"),
            ),
            (
                "a longer OID",
                ca.leaf()
                    .extension("1.3.6.1.4.1.57264.1.1.1", false, &[5, 0]),
                Err("missing"),
            ),
            (
                "a shorter OID",
                ca.leaf().extension("1.3.6.1.4.1.57264.1", false, &[5, 0]),
                Err("missing"),
            ),
            ("good", with(&[5, 0]), Ok("0500")),
            (
                "critical",
                ca.leaf().extension(OID, true, &[5, 0]),
                Ok("0500"),
            ),
            ("empty", with(&[]), Ok("")),
            ("any bytes", with(&[0xff]), Ok("ff")),
            (
                "twice",
                with(&[5, 0]).extension(OID, false, &[5, 0]),
                Err("ambiguous"),
            ),
            (
                "twice, differing",
                with(&[5, 0]).extension(OID, true, &[1]),
                Err("ambiguous"),
            ),
            (
                "beside others",
                with(&[5, 0]).extension("1.2.3", false, &[1]),
                Ok("0500"),
            ),
            (
                "beside two others alike",
                with(&[5, 0])
                    .extension("1.2.3", false, &[1])
                    .extension("1.2.3", false, &[1]),
                Ok("0500"),
            ),
        ],
    );

    // The way to an identity of one's own.
    let issuer = ExtensionValue::extractor(OID).try_map(|value: ExtensionValue| {
        std::str::from_utf8(value.as_bytes())
            .map(str::to_owned)
            .map_err(|_| IdentityError::new(IdentityErrorKind::BadEncoding, "not text"))
    });
    let read = |value: &[u8]| {
        issuer
            .extract(&with(value).issue().certificate())
            .map_err(|error| error.reason())
    };
    assert_eq!(
        read(b"https://issuer.example").as_deref(),
        Ok("https://issuer.example")
    );
    assert_eq!(read(b"\xff"), Err("bad_encoding"));
}

#[test]
fn adapters() {
    #[derive(Debug, PartialEq)]
    enum Name {
        Workload(SpiffeId),
        Host(DnsName),
    }
    let ca = TestCa::new("Root");
    let either = SpiffeId::extractor()
        .map(Name::Workload)
        .or(DnsName::extractor().map(Name::Host));
    let read = |leaf: LeafBuilder| {
        either
            .extract(&leaf.issue().certificate())
            .map_err(|error| error.reason())
    };
    let id: SpiffeId = "spiffe://example.org/a".parse().unwrap();
    let host: DnsName = "a.example".parse().unwrap();
    assert_eq!(
        read(ca.leaf().spiffe(id.as_str())),
        Ok(Name::Workload(id.clone()))
    );
    assert_eq!(
        read(ca.leaf().dns("a.example")),
        Ok(Name::Host(host.clone()))
    );
    assert_eq!(
        read(ca.leaf().dns("a.example").spiffe(id.as_str())),
        Ok(Name::Workload(id.clone()))
    );
    assert_eq!(read(ca.leaf()), Err("missing"));
    // A spoiled first field does not lead to the second.
    assert_eq!(
        read(ca.leaf().dns("a.example").uri("spiffe://Example.org/a")),
        Err("bad_syntax")
    );
    assert_eq!(
        read(ca.leaf().dns("a.example").uri("urn:a:b").uri("urn:c:d")),
        Err("ambiguous")
    );
    assert_eq!(
        read(ca.leaf().dns("a.example").spiffe(id.as_str()).ca()),
        Err("forbidden")
    );

    let both = SpiffeId::extractor().and(DnsName::extractor());
    let read = |leaf: LeafBuilder| {
        both.extract(&leaf.issue().certificate())
            .map_err(|error| error.reason())
    };
    assert_eq!(
        read(ca.leaf().dns("a.example").spiffe(id.as_str())),
        Ok((id.clone(), host))
    );
    assert_eq!(read(ca.leaf().spiffe(id.as_str())), Err("missing"));
    assert_eq!(
        read(ca.leaf().dns("*.example").spiffe(id.as_str())),
        Err("forbidden")
    );

    let rejected = SpiffeId::extractor().try_map(|_| -> Result<(), _> {
        Err(IdentityError::new(
            IdentityErrorKind::Forbidden,
            "no tenant",
        ))
    });
    let error = rejected
        .extract(&ca.leaf().spiffe(id.as_str()).issue().certificate())
        .unwrap_err();
    assert_eq!(
        (error.reason(), &*error.cause()),
        ("forbidden", "no tenant")
    );
}

/// Deserialization applies the grammar.
#[test]
fn identities_in_json() {
    use countersign::identity::{Email, IpAddress, Upn, Uri};

    fn round_trip<I>(text: &str, bad: &str)
    where
        I: std::str::FromStr<Err: std::fmt::Debug>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + PartialEq
            + std::fmt::Debug,
    {
        let identity: I = text.parse().unwrap();
        let json = serde_json::to_string(&identity).unwrap();
        assert_eq!(json, serde_json::to_string(text).unwrap());
        assert_eq!(serde_json::from_str::<I>(&json).unwrap(), identity);
        let bad = serde_json::to_string(bad).unwrap();
        serde_json::from_str::<I>(&bad).unwrap_err();
        serde_json::from_str::<I>("7").unwrap_err();
    }
    round_trip::<SpiffeId>("spiffe://example.org/a", "spiffe://Example.org/a");
    round_trip::<DnsName>("a.example", "*.example");
    round_trip::<Uri>("urn:a:b", "a b");
    round_trip::<Email>("a@b.example", "a@b@c");
    round_trip::<IpAddress>("192.0.2.1", "192.0.2.256");
    round_trip::<Upn>("alice@corp.example", "alice");
    round_trip::<CommonName>("worker \"1\"", "a\u{202e}");
    round_trip::<OrganizationalUnit>("dev", "");
    round_trip::<Subject>("#300c310a300806035504030c0161", "CN=a");
    round_trip::<SerialAndIssuer>(
        "serial:01 issuer:#300c310a300806035504030c0161",
        "serial:00",
    );
    round_trip::<SerialAndIssuer>(
        "serial:-60ff issuer:#300c310a300806035504030c0161",
        "serial:-00 issuer:#300c310a300806035504030c0161",
    );
    // Octets that are no text.
    round_trip::<Subject>(
        "#300c310a300806035504030c01ff",
        "#300c310a300806035504030c02ff",
    );
    round_trip::<KubernetesUser>("CN=alice,O=dev", "alice");
    round_trip::<Psd2>("PSDGB-FCA-1;PSP_AI;GB-FCA;Authority", "PSDGB-FCA-1");
    round_trip::<Psd2Role>("PSP_AI", "PSP_XX");
    round_trip::<ExtensionValue>("0500", "050");
    round_trip::<Fingerprint>(&"ab".repeat(32), "ab");
}
