//! Over HTTP/2, where each field has a length of its own: what HTTP/1.1 cannot represent must not become text of
//! HTTP/1.1 (H2.CL, H2.TE, H2.0).

use support::http2::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, block, frame, frames,
};

use super::Smuggling;

const X: &str = "/raw/open/x";

type Fields = Vec<(&'static str, &'static str)>;

/// What must happen to a request.
enum Must {
    /// The upstream receives it once, with this body.
    Pass(&'static str),
    /// The upstream receives nothing: the response has this status.
    Deny(u16),
    /// The upstream receives no whole request: the stream or the connection ends with an error, or the response
    /// has an error's status.
    Reject,
}

use Must::{Deny, Pass, Reject};

/// The usual pseudo-headers, and more fields.
fn get(more: &[(&'static str, &'static str)]) -> Fields {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", X),
    ];
    fields.extend(more);
    fields
}

fn post(more: &[(&'static str, &'static str)]) -> Fields {
    let mut fields = get(more);
    fields[0].1 = "POST";
    fields
}

/// The usual ones, with one replaced.
fn with(name: &'static str, value: &'static str) -> Fields {
    let mut fields = get(&[]);
    for field in &mut fields {
        if field.0 == name {
            field.1 = value;
        }
    }
    fields
}

fn without(name: &str) -> Fields {
    let mut fields = get(&[]);
    fields.retain(|field| field.0 != name);
    fields
}

/// The fields, the data and the trailers of a request.
type Case = (&'static str, Fields, &'static str, Fields, Must);

fn framing() -> Vec<Case> {
    const SMUGGLED: &str = "0\r\n\r\nGET /raw/open/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

    let none = Vec::new;
    vec![
        ("no body", get(&[]), "", none(), Pass("")),
        ("a body", post(&[]), "body", none(), Pass("body")),
        (
            "a body with its length",
            post(&[("content-length", "4")]),
            "body",
            none(),
            Pass("body"),
        ),
        (
            "H2.CL, too short",
            post(&[("content-length", "0")]),
            SMUGGLED,
            none(),
            Reject,
        ),
        (
            "H2.CL, too long",
            post(&[("content-length", "400")]),
            "body",
            none(),
            Reject,
        ),
        (
            "H2.CL, without a body",
            post(&[("content-length", "4")]),
            "",
            none(),
            Reject,
        ),
        (
            "H2.CL, twice",
            post(&[("content-length", "4"), ("content-length", "5")]),
            "body",
            none(),
            Reject,
        ),
        (
            "H2.CL, no number",
            post(&[("content-length", "+4")]),
            "body",
            none(),
            Reject,
        ),
        (
            "H2.TE",
            post(&[("transfer-encoding", "chunked")]),
            SMUGGLED,
            none(),
            Reject,
        ),
        (
            "H2.TE, a CRLF in a value",
            post(&[("x-case", "a\r\ntransfer-encoding: chunked")]),
            SMUGGLED,
            none(),
            Reject,
        ),
        (
            "H2.TE, a CRLF in a name",
            post(&[("x-case: 1\r\ntransfer-encoding", "chunked")]),
            SMUGGLED,
            none(),
            Reject,
        ),
        (
            "a body that begins a request",
            post(&[]),
            SMUGGLED,
            none(),
            Pass(SMUGGLED),
        ),
        (
            "connection",
            get(&[("connection", "client-cert")]),
            "",
            none(),
            Reject,
        ),
        (
            "keep-alive",
            get(&[("keep-alive", "1")]),
            "",
            none(),
            Reject,
        ),
        (
            "proxy-connection",
            get(&[("proxy-connection", "close")]),
            "",
            none(),
            Reject,
        ),
        ("upgrade", get(&[("upgrade", "h2c")]), "", none(), Reject),
        (
            "te: trailers",
            get(&[("te", "trailers")]),
            "",
            none(),
            Pass(""),
        ),
        ("te: chunked", get(&[("te", "chunked")]), "", none(), Reject),
        (
            "trailers of identity",
            post(&[]),
            "body",
            vec![("client-cert", ":forged:"), ("x-team", "forged")],
            Pass("body"),
        ),
        (
            "trailers of framing",
            post(&[]),
            "body",
            vec![("content-length", "99")],
            Pass("body"),
        ),
        (
            "trailers with a pseudo-header",
            post(&[]),
            "body",
            vec![(":path", "/raw/admin/x")],
            Pass("body"),
        ),
        (
            "expect",
            post(&[("expect", "100-continue")]),
            "body",
            none(),
            Pass("body"),
        ),
    ]
}

fn heads() -> Vec<Case> {
    let case = |name, fields, must| (name, fields, "", Vec::new(), must);
    let moved = |more| {
        let mut fields = get(&[("x-case", "1")]);
        fields.push(more);
        fields
    };
    vec![
        case("two methods", moved((":method", "GET")), Reject),
        case("a late path", moved((":path", "/raw/admin/x")), Reject),
        case(
            "two paths",
            {
                let mut fields = get(&[]);
                fields.insert(3, (":path", "/raw/admin/x"));
                fields
            },
            Reject,
        ),
        case(
            "two authorities",
            {
                let mut fields = get(&[]);
                fields.insert(3, (":authority", "localhost"));
                fields
            },
            Reject,
        ),
        case("an unknown pseudo-header", get(&[(":forged", "1")]), Reject),
        case(
            "a pseudo-header of responses",
            get(&[(":status", "200")]),
            Reject,
        ),
        case("no method", without(":method"), Reject),
        case("no path", without(":path"), Reject),
        case("no scheme", without(":scheme"), Reject),
        case("an empty path", with(":path", ""), Reject),
        case(
            "no authority, and a host",
            {
                let mut fields = without(":authority");
                fields.push(("host", "localhost"));
                fields
            },
            Pass(""),
        ),
        case(
            "neither authority nor host",
            without(":authority"),
            Pass(""),
        ),
        case("an equal host", get(&[("host", "localhost")]), Pass("")),
        case("another host", get(&[("host", "other")]), Reject),
        case(
            "two hosts",
            get(&[("host", "localhost"), ("host", "localhost")]),
            Reject,
        ),
        case(
            "an authority with userinfo",
            with(":authority", "a@localhost"),
            Reject,
        ),
        case(
            "an authority with a space",
            with(":authority", "local host"),
            Reject,
        ),
        case(
            "an authority with CRLF",
            with(":authority", "a\r\nclient-cert: :forged:"),
            Reject,
        ),
        case(
            "a method with CRLF",
            with(":method", "GET /raw/admin/x HTTP/1.1\r\nhost: a\r\n\r\nGET"),
            Reject,
        ),
        case(
            "a method with a space",
            with(":method", "GET /raw/admin/x"),
            Reject,
        ),
        case(
            "a path with CRLF",
            with(
                ":path",
                "/raw/open/x HTTP/1.1\r\nclient-cert: :forged:\r\nx-case: ",
            ),
            Reject,
        ),
        case(
            "a path with a space",
            with(":path", "/raw/open/x HTTP/1.1"),
            Reject,
        ),
        case(
            "a path with a tab",
            with(":path", "/raw/open/x\t/y"),
            Reject,
        ),
        case(
            "a path without a slash",
            with(":path", "raw/open/x"),
            Reject,
        ),
        case(
            "a whole URI as path",
            with(":path", "https://localhost/raw/open/x"),
            Reject,
        ),
        case(
            "a path with #",
            with(":path", "/raw/open/x#/../admin"),
            Pass(""),
        ),
        case(
            "a path with dots",
            with(":path", "/raw/open/../admin/x"),
            Deny(403),
        ),
        case(
            "a path with a backslash",
            with(":path", "/raw/open/..\\admin"),
            Deny(403),
        ),
        case(
            "a path with full-width characters",
            with(":path", "/raw/open/．．／admin"),
            Deny(403),
        ),
        case("another scheme", with(":scheme", "http"), Pass("")),
        case(
            "a scheme with a path",
            with(":scheme", "https://evil/raw/admin/x?"),
            Reject,
        ),
        case("an upper-case name", get(&[("X-Case", "1")]), Reject),
        case("a name with a colon", get(&[("x-case:", "1")]), Reject),
        case("a name with a space", get(&[("x-case ", "1")]), Reject),
        case(
            "a name with LF",
            get(&[("x-case\nclient-cert", ":forged:")]),
            Reject,
        ),
        case("an empty name", get(&[("", "1")]), Reject),
        case(
            "a value with LF",
            get(&[("x-case", "1\nclient-cert: :forged:")]),
            Reject,
        ),
        case(
            "a value with CR",
            get(&[("x-case", "1\rclient-cert: :forged:")]),
            Reject,
        ),
        case("a value with NUL", get(&[("x-case", "1\0")]), Reject),
        case(
            "our headers",
            get(&[
                ("client-cert", ":forged:"),
                ("x-team", "forged"),
                ("x_team", "forged"),
                ("x-forwarded-for", "forged"),
            ]),
            Pass(""),
        ),
        case(
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "localhost:443")],
            Deny(403),
        ),
        case(
            "extended CONNECT",
            {
                let mut fields = with(":method", "CONNECT");
                fields.push((":protocol", "websocket"));
                fields
            },
            Reject,
        ),
        case(
            "many cookies",
            get(&[("cookie", "a=1"), ("cookie", "b=2")]),
            Pass(""),
        ),
    ]
}

/// A field with bytes from 0x80, which are no UTF-8 or the characters of another encoding.
fn high_bytes() -> Vec<(&'static str, &'static [u8], &'static [u8], Must)> {
    vec![
        ("a path", b":path", b"/raw/open/\xff", Reject),
        (
            "overlong dots",
            b":path",
            b"/raw/open/\xc0\xae\xc0\xae/admin/x",
            Reject,
        ),
        (
            "overlong slashes",
            b":path",
            b"/raw/open\xc0\xaf..\xc0\xafadmin/x",
            Reject,
        ),
        (
            "half a surrogate pair",
            b":path",
            b"/raw/open/\xed\xa0\x80",
            Reject,
        ),
        (
            "spaces of UTF-8",
            b":path",
            "/raw/open/x\u{a0}HTTP/1.1".as_bytes(),
            Deny(403),
        ),
        ("a query", b":path", b"/raw/open/x?\xff", Reject),
        (
            "a query of UTF-8",
            b":path",
            "/raw/open/x?é".as_bytes(),
            Deny(400),
        ),
        ("a query with DEL", b":path", b"/raw/open/x?\x7f", Reject),
        ("an authority", b":authority", b"localhost\xff", Reject),
        (
            "an authority of UTF-8",
            b":authority",
            "é".as_bytes(),
            Reject,
        ),
        ("a method", b":method", b"GET\xff", Reject),
        ("a scheme", b":scheme", b"https\xff", Reject),
        ("a header", b"x-case", b"\xff", Pass("")),
        (
            "CR and LF with an eighth bit",
            b"x-case",
            b"1\x8d\x8ax-team: b",
            Pass(""),
        ),
        ("a name", b"x-case\xff", b"1", Reject),
        ("a name of ours", b"client-cert\xa0", b":forged:", Reject),
        ("our header", b"client-cert", b"\xff", Pass("")),
        ("a host", b"host", b"localhost\xff", Reject),
        ("a length", b"content-length", b"\xb0", Reject),
    ]
}

#[tokio::test]
async fn bodies_have_one_framing() {
    check(framing()).await;
}

#[tokio::test]
async fn heads_have_one_reading() {
    check(heads()).await;
}

#[tokio::test]
async fn bytes_that_are_no_ascii_have_one_reading() {
    let cases = high_bytes().into_iter().map(|(case, name, value, must)| {
        let others = get(&[]).into_iter().filter(|it| it.0.as_bytes() != name);
        let mut head = block(&others.collect::<Fields>());
        head.push(0);
        for bytes in [name, value] {
            head.push(u8::try_from(bytes.len()).unwrap());
            head.extend(bytes);
        }
        (case, head, "", Vec::new(), must)
    });
    check_blocks(cases).await;
}

async fn check(cases: Vec<Case>) {
    let cases = cases.into_iter();
    check_blocks(cases.map(|it| (it.0, block(&it.1), it.2, it.3, it.4))).await;
}

/// The same, with the field block of each head.
async fn check_blocks(
    cases: impl Iterator<Item = (&'static str, Vec<u8>, &'static str, Fields, Must)>,
) {
    let smuggling = Smuggling::new().await;
    let mut wrong = Vec::new();
    for (case, head, data, trailers, must) in cases {
        let last = |is_last| if is_last { END_STREAM } else { 0 };
        let mut sent = PREFACE.to_vec();
        let flags = END_HEADERS | last(data.is_empty() && trailers.is_empty());
        sent.extend(frame(HEADERS, flags, 1, &head));
        if !data.is_empty() {
            let flags = last(trailers.is_empty());
            sent.extend(frame(DATA, flags, 1, data.as_bytes()));
        }
        if !trailers.is_empty() {
            let flags = END_HEADERS | END_STREAM;
            sent.extend(frame(HEADERS, flags, 1, &block(&trailers)));
        }
        // Until the stream ends, by whichever side and kind.
        let is_enough = |answer: &[u8]| {
            frames(answer).iter().any(|sent| {
                let ends = matches!(sent.kind, DATA | HEADERS) && sent.flags & END_STREAM != 0;
                sent.stream == 1 && (ends || sent.kind == RST_STREAM) || sent.kind == GOAWAY
            })
        };
        let answer = smuggling.exchange("h2", &sent, is_enough).await;
        let received = smuggling.received(case, &mut wrong).await;
        let sent = frames(&answer);
        let status = sent
            .iter()
            .find(|sent| sent.kind == HEADERS)
            .map(|sent| status_of(&sent.payload));
        let seen: Vec<_> = received.iter().map(|it| (&*it.0, &*it.1)).collect();
        let is_right = match must {
            Pass(body) => status == Some(200) && seen == [(X, body)],
            Deny(denied) => status == Some(denied) && seen.is_empty(),
            Reject => status.is_none_or(|status| status >= 400) && seen.is_empty(),
        };
        if !is_right {
            let kinds: Vec<_> = sent.iter().map(|sent| sent.kind).collect();
            wrong.push(format!(
                "{case}: {status:?}, frames {kinds:?}, upstream {seen:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The status at the start of a response's HPACK block: an entry of the static table (RFC 7541, appendix A), or
/// its name with a literal value.
fn status_of(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x08 | 0x48, length, digits @ ..] => {
            let digits = &digits[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                return std::str::from_utf8(digits).unwrap().parse().unwrap();
            }
            // Huffman's code (appendix B): five bits for 0, 1 and 2, and six for the others.
            let bits: String = digits.iter().map(|byte| format!("{byte:08b}")).collect();
            let (mut rest, mut status) = (&*bits, 0);
            for _ in 0..3 {
                let short = u16::from_str_radix(&rest[..5], 2).unwrap();
                let (digit, length) = match short {
                    0..3 => (short, 5),
                    _ => (u16::from_str_radix(&rest[..6], 2).unwrap() - 0x16, 6),
                };
                status = status * 10 + digit;
                rest = &rest[length..];
            }
            status
        }
        other => panic!("{other:x?}"),
    }
}
