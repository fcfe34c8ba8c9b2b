//! Seeds of the targets that read texts and messages.

use std::io;

use countersign::testing::{Issued, TestCa, der};

use crate::write;

pub fn all(root: &TestCa, issuing: &TestCa) -> io::Result<()> {
    spiffe_bundles(root, issuing)?;
    workload_messages(root, issuing)?;
    deny_lists()?;
    forwarded()?;
    request_paths()?;
    server_names()?;
    identities()
}

fn base64(der: &[u8]) -> String {
    let pem = der::pem("CERTIFICATE", der);
    pem.lines().filter(|line| !line.contains('-')).collect()
}

fn spiffe_bundles(root: &TestCa, issuing: &TestCa) -> io::Result<()> {
    let put = |name: &str, json: &str| write("spiffe_bundle", name, json);
    let key = |ca: &TestCa| {
        let x5c = base64(&ca.certificate_der());
        format!("{{\"kty\":\"EC\",\"use\":\"x509-svid\",\"x5c\":[\"{x5c}\"]}}")
    };
    let (one, two) = (key(root), key(issuing));
    let jwt = "{\"kty\":\"EC\",\"use\":\"jwt-svid\",\"kid\":\"a\"}";
    let bundle = format!("{{\"keys\":[{one},{jwt},{two}],\"spiffe_sequence\":7}}");
    put("bundle", &bundle)?;
    put("twice", &format!("{{\"keys\":[{one}],\"keys\":[{two}]}}"))?;
    put(
        "use-twice",
        &format!("{{\"keys\":[{{\"use\":\"jwt-svid\",{}]}}", &one[1..]),
    )?;
    put(
        "no-root",
        "{\"keys\":[{\"use\":\"x509-svid\",\"x5c\":[\"AAAA\"]}]}",
    )?;
    let small = format!("{{\"keys\":[{one}]}}");
    put(
        "map",
        &format!("{{\"trust_domains\":{{\"a.example\":{small},\"b.example\":{small}}}}}"),
    )?;
    put(
        "map-twice",
        &format!("{{\"trust_domains\":{{\"a\":{small},\"a\":{small}}}}}"),
    )
}

/// A field of bytes in protobuf.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

fn workload_messages(root: &TestCa, issuing: &TestCa) -> io::Result<()> {
    let put = |name: &str, kind: u8, message: &[u8]| {
        write("workload_api", name, [&[kind], message].concat())
    };
    let svid = |id: &str, hint: &str| {
        let issued: Issued = issuing.leaf().spiffe(id).issue();
        let chain: Vec<u8> = issued.chain().iter().flat_map(|it| it.to_vec()).collect();
        let key = issued.key_der();
        [
            field(1, id.as_bytes()),
            field(2, &chain),
            field(3, key.secret_der()),
            field(4, &root.certificate_der()),
            field(5, hint.as_bytes()),
        ]
        .concat()
    };
    let federated = |domain: &str| {
        field(
            3,
            &[
                field(1, domain.as_bytes()),
                field(2, &root.certificate_der()),
            ]
            .concat(),
        )
    };
    let one = field(1, &svid("spiffe://example.org/ns/web", ""));
    let two = field(1, &svid("spiffe://example.org/ns/billing", "internal"));
    let crl = field(2, &root.crl().revoke(&[1, 2]).build());
    put("one", 0, &one)?;
    let all = [&one[..], &two, &crl, &federated("spiffe://b.example")].concat();
    put("several", 0, &all)?;
    put("by-hint", 1, &all)?;
    put("by-id", 2, &all)?;
    let twice = [
        &one[..],
        &federated("example.org"),
        &federated("example.org"),
    ]
    .concat();
    put("bundle-twice", 0, &twice)?;
    put(
        "another-id",
        0,
        &field(1, &svid("spiffe://example.org", "")),
    )?;
    let token = [
        field(1, b"spiffe://example.org/a"),
        field(2, b"e30.e30.c2ln"),
        field(3, b"external"),
    ];
    put("jwt", 3, &field(1, &token.concat()))?;
    let text = field(3, b"text");
    let number = [&[2 << 3 | 1][..], &1.5_f64.to_le_bytes()].concat();
    let list = field(6, &[field(1, &text), field(1, &[4 << 3, 1])].concat());
    let entry =
        |key: &str, value: &[u8]| field(1, &[field(1, key.as_bytes()), field(2, value)].concat());
    let inner = field(5, &entry("deep", &text));
    let claims = [
        entry("sub", &text),
        entry("exp", &number),
        entry("aud", &list),
        entry("cnf", &inner),
    ];
    let validated = [
        field(1, b"spiffe://example.org/a"),
        field(2, &claims.concat()),
    ];
    put("claims", 4, &validated.concat())
}

fn deny_lists() -> io::Result<()> {
    let key = "ab".repeat(32);
    for (name, text) in [
        (
            "all-forms",
            format!(
                "# stolen\n\na.example # since May\nspki:{key}\nserial:0a issuer:#300c310a300806035504030c0161\nserial:0a1b issuer:CN=a,O=Example\n"
            ),
        ),
        (
            "spiffe",
            "spiffe://example.org/ns/a\nspiffe://example.org".into(),
        ),
        (
            "negative",
            "serial:-60ff issuer:#300c310a300806035504030c0161".into(),
        ),
        ("hex", "serial:9F:01 issuer:1.2.3=#04020161+CN=b".into()),
        (
            "escaped",
            "serial:1 issuer:CN=M\\C3\\BCller\\, Inc\\ ,UID=a\\+b".into(),
        ),
        ("quoted", "serial:1 issuer:CN=\"a\";O=b".into()),
    ] {
        write("deny_list", name, text)?;
    }
    Ok(())
}

/// Fields, shape, `By`, and names.
fn forwarded() -> io::Result<()> {
    let put = |name: &str, fields: u8, shape: u8, by: &str, names: &[(u8, &[u8])]| {
        let mut input = vec![fields, shape, by.len() as u8];
        input.extend(by.bytes());
        for (kind, value) in names {
            input.extend([*kind, value.len() as u8]);
            input.extend(*value);
        }
        write("forwarded", name, input)
    };
    put(
        "all",
        0x7f,
        0,
        "spiffe://a/b",
        &[(0, b"a.example"), (1, b"urn:a")],
    )?;
    put(
        "delimiters",
        0x7f,
        1,
        "a;b=\"c\"",
        &[(1, b"urn:a;b,c=d\"e\""), (2, b"a;\"b\\c")],
    )?;
    put(
        "names",
        0x62,
        1,
        "",
        &[(0, b"a"), (0, b"b"), (1, b""), (1, b"x y")],
    )?;
    put("backslash", 0x20, 0, "", &[(1, b"urn:a\\")])
}

fn request_paths() -> io::Result<()> {
    for (name, text) in [
        (
            "rest-and-admin",
            "ox\n/v1/{*rest}\n/v1/admin\n/v1/a\n/v1/admin\n/v1/Admin\n/v1/%61dmin\n/v1/x/../admin\n/v1//admin\n/v1/admin;a\n/v1/admin/",
        ),
        (
            "parameters",
            "oxo\n/v1/{id}/x\n/v1/me/x\n/\n/v1/7/x\n/v1/me/x\n/v1/ME/x\n/v1/m%65/x\n/v1/me%2fx\n/",
        ),
        ("spelled", "xo\n/a b\n/{x}\n/a%20b\n/a%2520b\n/a+b\n/a b"),
        ("colon", "ox\n/:a\n/*b\n/:a\n/*b\n/%3aa"),
        ("refused", "ooo\nv1\n/v1/\n/{a}{b}\n/v1"),
        ("absolute", "ox\n/{x}\n/a\nhttp://host/a\n*\nhost:1"),
    ] {
        write("request_path", name, text)?;
    }
    Ok(())
}

fn server_names() -> io::Result<()> {
    for (name, text) in [
        ("dns", "a.example\nda.example\ndb.example"),
        ("case", "A.Example\nda.eXample"),
        ("dot", "a.example.\nda.example"),
        ("wildcard", "a.b.example\nd*.b.example\nd*.example"),
        ("partial-wildcard", "ab.example\nda*.example"),
        ("common-name", "a.example\nca.example"),
        ("ipv4", "192.0.2.1\ni192.0.2.1"),
        ("ipv6", "2001:db8::1\ni2001:db8::1"),
        ("ip-as-dns", "192.0.2.1\nd192.0.2.1"),
        ("uri", "a.example\nuspiffe://a.example/b"),
        ("malformed", "a.example\nda..example\nda.example\ni12"),
        // The tag of a name in parts, as BER allows it.
        ("in-parts", "a.b.example\nb.ple\nd*.b.example"),
    ] {
        write("server_name", name, text)?;
    }
    Ok(())
}

fn identities() -> io::Result<()> {
    for (name, lines) in [
        (
            "spiffe",
            &[
                "spiffe://example.org/ns/a",
                "spiffe://example.org",
                "wimse://example.org/a",
            ][..],
        ),
        (
            "dns",
            &["A.example", "a.example", "a_b.example", "example.org"],
        ),
        (
            "uri",
            &["https://a.example/%20?b#c", "urn:a:b", "HTTPS://a.example/"],
        ),
        (
            "mail",
            &["a.b@C.example", "a.b@c.example", "Alice@corp.example"],
        ),
        ("ip", &["192.0.2.1", "2001:DB8::1", "::ffff:192.0.2.1"]),
        ("names", &["room #7", "M\u{fc}ller", "a,b=c"]),
        (
            "kubernetes",
            &["CN=alice,O=dev", "CN=a\\,b,O=c\\=d,O=e\\\\", "CN=alice"],
        ),
        ("subject", &["#300c310a300806035504030c0161", "#3000"]),
        (
            "serial",
            &["serial:0a1b issuer:#300c310a300806035504030c0161"],
        ),
        (
            "psd2",
            &[
                "PSDGB-FCA-123456;PSP_AI,PSP_PI;GB-FCA;Authority; of X",
                "PSP_AI",
            ],
        ),
    ] {
        write("identity_text", name, lines.join("\n"))?;
    }
    let digest = "ab".repeat(32);
    write("identity_text", "digest", digest)
}
