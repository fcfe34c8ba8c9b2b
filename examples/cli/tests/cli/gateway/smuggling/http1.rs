//! Over HTTP/1.1.

use super::Smuggling;

/// What must happen to a request.
enum Must {
    /// The upstream receives it once, with this target and body, and then the next request.
    Pass(&'static str, &'static str),
    /// The same, after `100 Continue`.
    PassAndContinue(&'static str, &'static str),
    /// The same, and the gateway closes the connection: the next request is not read.
    PassAndClose(&'static str, &'static str),
    /// The gateway skips these bytes: the upstream receives the next request only.
    Skip,
    /// The gateway answers with this status, and the upstream receives nothing. It closes the connection.
    Reject(u16),
    /// The same, and the connection goes on with the next request.
    Deny(u16),
    /// The upstream receives no whole request. The gateway answers with this status and closes the connection.
    BreakOff(u16),
    /// The gateway closes the connection without an answer, and the upstream receives nothing.
    Close,
}

use Must::{BreakOff, Close, Deny, Pass, PassAndClose, PassAndContinue, Reject, Skip};

/// The request that follows each case.
const NEXT: &str = "GET /raw/open/next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A request in the body of another one.
const SMUGGLED: &str = "GET /raw/open/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// A name, the bytes that are sent, and what must happen.
type Case = (&'static str, Vec<u8>, Must);

/// A `POST` with these headers and this body.
fn post(headers: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let line = b"POST /raw/open/x HTTP/1.1\r\nhost: a\r\n".as_slice();
    [line, headers.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// A `GET` with these headers.
fn get(headers: impl AsRef<[u8]>) -> Vec<u8> {
    let line = b"GET /raw/open/x HTTP/1.1\r\nhost: a\r\n".as_slice();
    [line, headers.as_ref(), b"\r\n"].concat()
}

/// A `GET` of this target.
fn to(target: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET ", target.as_ref(), b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat()
}

fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("transfer-encoding: chunked\r\n", body)
}

/// The framing of a body.
fn framing() -> Vec<Case> {
    let x = "/raw/open/x";
    vec![
        (
            "a length",
            post("content-length: 4\r\n", "body"),
            Pass(x, "body"),
        ),
        ("chunks", chunked("4\r\nbody\r\n0\r\n\r\n"), Pass(x, "body")),
        ("no body", get(""), Pass(x, "")),
        (
            "GET with a body",
            [get("content-length: 4\r\n"), b"body".to_vec()].concat(),
            Pass(x, "body"),
        ),
        (
            "CL.TE",
            post(
                "content-length: 51\r\ntransfer-encoding: chunked\r\n",
                format!("0\r\n\r\n{SMUGGLED}"),
            ),
            PassAndClose(x, ""),
        ),
        (
            "TE.CL",
            post(
                "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
                format!("2c\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
            PassAndClose(x, SMUGGLED),
        ),
        (
            "TE.TE, a space before the colon",
            post("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, a tab before the colon",
            post("transfer-encoding\t: chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, a vertical tab",
            post("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, spaces around",
            post("transfer-encoding: \t chunked \t\r\n", "0\r\n\r\n"),
            Pass(x, ""),
        ),
        (
            "TE.TE, upper case",
            post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"),
            Pass(x, ""),
        ),
        (
            "TE.TE, identity last",
            post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, identity first",
            post("transfer-encoding: identity, chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, identity in a second line",
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                "0\r\n\r\n",
            ),
            Reject(400),
        ),
        (
            "TE.TE, identity in a first line",
            post(
                "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            Reject(400),
        ),
        (
            "TE.TE, twice",
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            Reject(400),
        ),
        (
            "TE.TE, twice in one line",
            post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, compressed",
            post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, another word",
            post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, quoted",
            post("transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, with a parameter",
            post("transfer-encoding: chunked;q=1\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, folded",
            post("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, empty",
            post("transfer-encoding:\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE.TE, a NUL",
            post("transfer-encoding: chunked\0\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "TE in HTTP/1.0",
            "POST /raw/open/x HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
            Reject(400),
        ),
        (
            "an underscore for the dash",
            post("transfer_encoding: chunked\r\ncontent_length: 4\r\n", ""),
            Pass(x, ""),
        ),
        (
            "two equal lengths",
            post("content-length: 4\r\ncontent-length: 4\r\n", "body"),
            Pass(x, "body"),
        ),
        (
            "two different lengths",
            post("content-length: 4\r\ncontent-length: 5\r\n", "body"),
            Reject(400),
        ),
        (
            "two lengths in one line",
            post("content-length: 4, 5\r\n", "body"),
            Reject(400),
        ),
        (
            "two equal lengths in one line",
            post("content-length: 4, 4\r\n", "body"),
            Reject(400),
        ),
        (
            "a length with a sign",
            post("content-length: +4\r\n", "body"),
            Reject(400),
        ),
        (
            "a negative length",
            post("content-length: -4\r\n", "body"),
            Reject(400),
        ),
        (
            "a length with spaces around",
            post("content-length:  \t4 \r\n", "body"),
            Pass(x, "body"),
        ),
        (
            "a length with a space in it",
            post("content-length: 4 0\r\n", "body"),
            Reject(400),
        ),
        (
            "a hexadecimal length",
            post("content-length: 0x4\r\n", "body"),
            Reject(400),
        ),
        (
            "a length with an underscore",
            post("content-length: 4_0\r\n", "body"),
            Reject(400),
        ),
        (
            "a length with a zero first",
            post("content-length: 04\r\n", "body"),
            Pass(x, "body"),
        ),
        (
            "an empty length",
            post("content-length:\r\n", "body"),
            Reject(400),
        ),
        (
            "a length beyond 64 bits",
            post("content-length: 18446744073709551620\r\n", "body"),
            Reject(400),
        ),
        (
            "a length beyond the limit",
            post("content-length: 18446744073709551609\r\n", "body"),
            Reject(413),
        ),
        (
            "a folded length",
            post("content-length: 4\r\n 0\r\n", "body"),
            Reject(400),
        ),
        (
            "a body that is shorter than its length",
            post("content-length: 400\r\n", "body"),
            BreakOff(504),
        ),
        (
            "a chunk size with a sign",
            chunked("+4\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a negative chunk size",
            chunked("-4\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size with 0x",
            chunked("0x4\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size beyond 64 bits",
            chunked("10000000000000004\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size with an underscore",
            chunked("4_\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "no chunk size",
            chunked("\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk that is longer than its size",
            chunked("3\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk that ends with LF",
            chunked("4\r\nbody\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size that ends with LF",
            chunked("4\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size that ends with CR",
            chunked("4\rXbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk extension",
            chunked("4;a=b\r\nbody\r\n0\r\n\r\n"),
            Pass(x, "body"),
        ),
        (
            "a chunk extension with LF",
            chunked("4;a\nb\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk extension with a request behind LF",
            chunked(format!("0;\n{SMUGGLED}\r\n\r\n")),
            BreakOff(502),
        ),
        ("no last line", chunked("4\r\nbody\r\n0\r\n"), BreakOff(502)),
        ("no last chunk", chunked("4\r\nbody\r\n"), BreakOff(502)),
        (
            "trailers of framing",
            chunked("4\r\nbody\r\n0\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n"),
            Pass(x, "body"),
        ),
        (
            "trailers of identity",
            chunked(
                "4\r\nbody\r\n0\r\nclient-cert: :forged:\r\nauthorization: forged\r\nx-team: forged\r\n\r\n",
            ),
            Pass(x, "body"),
        ),
        (
            "a trailer with a NUL",
            chunked("4\r\nbody\r\n0\r\nx: \0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "expect",
            post("content-length: 4\r\nexpect: 100-continue\r\n", "body"),
            PassAndContinue(x, "body"),
        ),
        (
            "expect of another kind",
            post(
                "content-length: 4\r\nexpect: 100-continue, forged\r\n",
                "body",
            ),
            Pass(x, "body"),
        ),
        (
            "expect without a body",
            get("expect: 100-continue\r\n"),
            Pass(x, ""),
        ),
    ]
}

/// Lines, headers and hosts.
fn heads() -> Vec<Case> {
    let x = "/raw/open/x";
    let host = |host: &[u8]| [b"GET /raw/open/x HTTP/1.1\r\n", host, b"\r\n"].concat();
    vec![
        ("a space before a colon", get("x-case : 1\r\n"), Reject(400)),
        (
            "a folded header",
            get("x-case: 1\r\n client-cert: :forged:\r\n"),
            Reject(400),
        ),
        (
            "a folded first header",
            "GET /raw/open/x HTTP/1.1\r\n host: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "a bare CR in a header",
            get("x-case: 1\rclient-cert: :forged:\r\n"),
            Reject(400),
        ),
        ("a NUL in a header", get("x-case: 1\0\r\n"), Reject(400)),
        ("a NUL in a name", get("x-case\0: 1\r\n"), Reject(400)),
        ("a header without a name", get(": 1\r\n"), Reject(400)),
        ("a header without a colon", get("x-case\r\n"), Reject(400)),
        (
            "a bare LF after a header",
            get("x-case: 1\nclient-cert: :forged:\r\n"),
            Pass(x, ""),
        ),
        (
            "a name in full-width letters",
            get("ｘ-case: 1\r\n"),
            Reject(400),
        ),
        (
            "an LF before the line",
            [b"\n".to_vec(), get("")].concat(),
            Pass(x, ""),
        ),
        ("HTTP/0.9", "GET /raw/open/x\r\n\r\n".into(), Reject(400)),
        (
            "HTTP/1.2",
            "GET /raw/open/x HTTP/1.2\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "HTTP/2.0 in a line",
            "GET /raw/open/x HTTP/2.0\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "HTTP/1.0",
            "GET /raw/open/x HTTP/1.0\r\nhost: a\r\n\r\n".into(),
            PassAndClose(x, ""),
        ),
        (
            "two spaces in the line",
            "GET  /raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "a tab in the line",
            "GET\t/raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "three words after the method",
            "GET /raw/open/x /raw/admin/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "a method with CR",
            "GE\rT /raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "a method in lower case",
            "get /raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Deny(403),
        ),
        (
            "a method of its own",
            "GETX /raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Deny(403),
        ),
        (
            "another method in a header",
            post("content-length: 0\r\nx-case: DELETE\r\n", ""),
            Pass(x, ""),
        ),
        (
            "the absolute form",
            "GET http://a/raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Pass(x, ""),
        ),
        (
            "the absolute form with another host",
            "GET http://b/raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "the absolute form of a forbidden path",
            "GET http://a/raw/admin/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Deny(403),
        ),
        (
            "the absolute form with userinfo",
            "GET http://a@b/raw/open/x HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Reject(400),
        ),
        (
            "the authority form",
            "GET a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".into(),
            Deny(403),
        ),
        (
            "the asterisk form",
            "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            Deny(403),
        ),
        (
            "CONNECT",
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".into(),
            Deny(403),
        ),
        ("no host", host(b""), Reject(400)),
        ("two hosts", host(b"host: a\r\nhost: b\r\n"), Reject(400)),
        (
            "two equal hosts",
            host(b"host: a\r\nhost: a\r\n"),
            Reject(400),
        ),
        ("an empty host", host(b"host:\r\n"), Reject(400)),
        ("a host with userinfo", host(b"host: a@b\r\n"), Reject(400)),
        ("a host with a space", host(b"host: a b\r\n"), Reject(400)),
        (
            "a host with a path",
            host(b"host: a/raw/admin\r\n"),
            Reject(400),
        ),
        (
            "two hosts in one line",
            host(b"host: a, b\r\n"),
            Reject(400),
        ),
        ("a host with a port", host(b"host: a:8443\r\n"), Pass(x, "")),
        ("an IPv6 host", host(b"host: [::1]:8443\r\n"), Pass(x, "")),
        (
            "connection: our headers",
            get(
                "connection: x-forwarded-client-cert, client-cert, x-team, x-forwarded-for, host\r\n",
            ),
            Pass(x, ""),
        ),
        (
            "connection: content-length",
            post(
                "content-length: 4\r\nconnection: content-length\r\n",
                "body",
            ),
            Pass(x, "body"),
        ),
        (
            "our headers",
            get(
                "client-cert: :forged:\r\nClient_Cert: :forged:\r\nx-forwarded-client-cert: forged\r\nx-team: forged\r\nx.team: forged\r\nforwarded: for=forged\r\nx-forwarded-host: forged\r\n",
            ),
            Pass(x, ""),
        ),
        (
            "hop-by-hop headers",
            get(
                "keep-alive: 1\r\nproxy-connection: close\r\nproxy-authorization: forged\r\nte: trailers\r\ntrailer: x-team\r\n",
            ),
            Pass(x, ""),
        ),
        (
            "h2c",
            get(
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
            ),
            Pass(x, ""),
        ),
        (
            "a WebSocket",
            get("connection: upgrade\r\nupgrade: websocket\r\n"),
            Pass(x, ""),
        ),
        (
            "the preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            Close,
        ),
        ("nothing but LF", "\n\n\n\n".into(), Skip),
    ]
}

/// Paths, against a rule for `/raw/open/` and one of another client for `/raw/admin/`.
fn paths() -> Vec<Case> {
    vec![
        ("a path", to("/raw/open/a/b"), Pass("/raw/open/a/b", "")),
        (
            "a query",
            to("/raw/open/a?/../../admin"),
            Pass("/raw/open/a?/../../admin", ""),
        ),
        ("the other path", to("/raw/admin/x"), Deny(403)),
        ("dots", to("/raw/open/../admin/x"), Deny(403)),
        ("one dot", to("/raw/open/./x"), Deny(403)),
        ("encoded dots", to("/raw/open/%2e%2e/admin/x"), Deny(403)),
        ("half-encoded dots", to("/raw/open/.%2E/admin/x"), Deny(403)),
        (
            "twice encoded dots",
            to("/raw/open/%252e%252e/admin/x"),
            Deny(403),
        ),
        (
            "dots with a parameter",
            to("/raw/open/..;/admin/x"),
            Deny(403),
        ),
        ("two slashes", to("/raw/open//x"), Deny(403)),
        ("two slashes at the start", to("//raw/open/x"), Deny(403)),
        ("a slash at the end", to("/raw/open/x/"), Deny(403)),
        (
            "an encoded slash",
            to("/raw/open%2f..%2fadmin/x"),
            Deny(403),
        ),
        ("a backslash", to("/raw/open/..\\admin\\x"), Deny(403)),
        (
            "an encoded backslash",
            to("/raw/open/..%5cadmin"),
            Deny(403),
        ),
        ("a parameter", to("/raw/open/x;admin"), Deny(403)),
        ("an encoded NUL", to("/raw/open/x%00/admin"), Deny(403)),
        (
            "an encoded CRLF",
            to("/raw/open/x%0d%0aclient-cert:%20forged"),
            Deny(403),
        ),
        ("an encoded letter", to("/raw/%61dmin/x"), Deny(403)),
        ("upper case", to("/RAW/ADMIN/x"), Deny(403)),
        ("half an escape", to("/raw/open/%2"), Deny(403)),
        (
            "an overlong escape",
            to("/raw/open/%c0%ae%c0%ae/admin"),
            Deny(403),
        ),
        (
            "full-width characters",
            to("/raw/open/．．／admin"),
            Deny(403),
        ),
        ("characters of UTF-8", to("/raw/open/é\u{fffd}"), Deny(403)),
        ("no slash", to("raw/open/x"), Reject(400)),
    ]
}

/// Bytes from 0x80: no UTF-8, or the characters of another encoding.
fn high_bytes() -> Vec<Case> {
    let x = "/raw/open/x";
    let line = |line: &[u8]| [line, b"\r\nhost: a\r\n\r\n"].concat();
    let host = |host: &[u8]| [b"GET /raw/open/x HTTP/1.1\r\nhost: ", host, b"\r\n\r\n"].concat();
    vec![
        ("a path", to(b"/raw/open/\xff"), Reject(400)),
        ("a path of Latin-1", to(b"/raw/open/caf\xe9"), Reject(400)),
        (
            "overlong dots",
            to(b"/raw/open/\xc0\xae\xc0\xae/admin/x"),
            Reject(400),
        ),
        (
            "overlong slashes",
            to(b"/raw/open\xc0\xaf..\xc0\xafadmin/x"),
            Reject(400),
        ),
        (
            "half a surrogate pair",
            to(b"/raw/open/\xed\xa0\x80"),
            Reject(400),
        ),
        ("half a character", to(b"/raw/open/x\xc3"), Reject(400)),
        (
            "dots and slashes with an eighth bit",
            to(b"/raw/open/\xae\xae\xafadmin/x"),
            Reject(400),
        ),
        (
            "characters that end as CR and LF do",
            to("/raw/open/x\u{10d}\u{10a}x-team:b"),
            Deny(403),
        ),
        ("a query", to(b"/raw/open/x?\xff"), Reject(400)),
        ("a query of UTF-8", to("/raw/open/x?é"), Deny(400)),
        ("a fragment", to(b"/raw/open/x#\xff"), Reject(400)),
        (
            "the absolute form",
            to(b"http://a\xff/raw/open/x"),
            Reject(400),
        ),
        (
            "the absolute form, of UTF-8",
            to("http://é/raw/open/x"),
            Reject(400),
        ),
        (
            "a method",
            line(b"GET\xff /raw/open/x HTTP/1.1"),
            Reject(400),
        ),
        (
            "a space of Latin-1 in the line",
            line(b"GET\xa0/raw/open/x HTTP/1.1"),
            Reject(400),
        ),
        (
            "a space of Latin-1 after the target",
            line(b"GET /raw/open/x\xa0HTTP/1.1"),
            Reject(400),
        ),
        (
            "a version",
            line(b"GET /raw/open/x HTTP/1.1\xff"),
            Reject(400),
        ),
        ("a header", get(b"x-case: \xff\r\n"), Pass(x, "")),
        (
            "a header of Latin-1",
            get(b"x-case: caf\xe9\r\n"),
            Pass(x, ""),
        ),
        (
            "CR and LF with an eighth bit",
            get(b"x-case: 1\x8d\x8ax-team: b\r\n"),
            Pass(x, ""),
        ),
        (
            "the next line of Latin-1",
            get(b"x-case: 1\x85x-team: b\r\n"),
            Pass(x, ""),
        ),
        ("a name", get(b"x-case\xff: 1\r\n"), Reject(400)),
        (
            "a name that begins with it",
            get(b"\xffx-case: 1\r\n"),
            Reject(400),
        ),
        (
            "a name of ours",
            get(b"client-cert\xa0: :forged:\r\n"),
            Reject(400),
        ),
        (
            "a colon with an eighth bit",
            get(b"x-case\xba 1\r\n"),
            Reject(400),
        ),
        (
            "our headers",
            get(b"client-cert: \xff\r\nx-team: \xff\r\nx_team: \xff\r\nx-forwarded-for: \xff\r\n"),
            Pass(x, ""),
        ),
        (
            "connection",
            get(b"connection: \xff, x-case\r\nx-case: forged\r\n"),
            Pass(x, ""),
        ),
        ("a host", host(b"\xff"), Reject(400)),
        ("a host of Latin-1", host(b"caf\xe9"), Reject(400)),
        ("a host of UTF-8", host("é".as_bytes()), Reject(400)),
        ("a port", host(b"a:\xff"), Reject(400)),
        (
            "a coding",
            post(b"transfer-encoding: chunked\xff\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "a coding after a space of Latin-1",
            post(b"transfer-encoding: \xa0chunked\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "a coding and a length",
            post(
                b"content-length: 5\r\ntransfer-encoding: chunked\xa0\r\n",
                "0\r\n\r\n",
            ),
            Reject(400),
        ),
        (
            "a coding with an eighth bit",
            post(b"transfer-encoding: chunke\xe4\r\n", "0\r\n\r\n"),
            Reject(400),
        ),
        (
            "a length",
            post(b"content-length: 4\xff\r\n", "body"),
            Reject(400),
        ),
        (
            "a length after a space of Latin-1",
            post(b"content-length: \xa04\r\n", "body"),
            Reject(400),
        ),
        (
            "a length with an eighth bit",
            post(b"content-length: \xb4\r\n", "body"),
            Reject(400),
        ),
        (
            "a length in full-width digits",
            post("content-length: ４\r\n", "body"),
            Reject(400),
        ),
        (
            "a chunk size",
            chunked(b"4\xff\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size with an eighth bit",
            chunked(b"\xb4\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk size before a space of Latin-1",
            chunked(b"4\xa0\r\nbody\r\n0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a chunk extension",
            chunked(b"4;a=\"\xff\"\r\nbody\r\n0\r\n\r\n"),
            Pass(x, "body"),
        ),
        (
            "a chunk that ends with an eighth bit",
            chunked(b"4\r\nbody\x8d\x8a0\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a trailer",
            chunked(b"4\r\nbody\r\n0\r\nx-case: \xff\r\n\r\n"),
            Pass(x, "body"),
        ),
        (
            "the name of a trailer",
            chunked(b"4\r\nbody\r\n0\r\nx\xff: 1\r\n\r\n"),
            BreakOff(502),
        ),
        (
            "a body",
            post("content-length: 4\r\n", b"b\xffdy"),
            Pass(x, "b\u{ff}dy"),
        ),
        (
            "a body in chunks",
            chunked(b"4\r\nb\xffdy\r\n0\r\n\r\n"),
            Pass(x, "b\u{ff}dy"),
        ),
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
async fn paths_are_the_same_for_the_rule_and_for_the_upstream() {
    check(paths()).await;
}

#[tokio::test]
async fn bytes_that_are_no_ascii_have_one_reading() {
    check(high_bytes()).await;
}

async fn check(cases: Vec<Case>) {
    let smuggling = Smuggling::new().await;
    let mut wrong = Vec::new();
    for (case, sent, must) in cases {
        let sent = [sent, NEXT.into()].concat();
        let never = |_: &[u8]| false;
        let answer = smuggling.exchange("http/1.1", &sent, never).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let received = smuggling.received(case, &mut wrong).await;
        let seen: Vec<_> = received.iter().map(|it| (&*it.0, &*it.1)).collect();
        let statuses: Vec<_> = answer
            .match_indices("HTTP/1.")
            .filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse::<u16>().ok())
            .collect();
        let next = ("/raw/open/next", "");
        let (answers, requests) = match must {
            Pass(target, body) => (vec![200, 200], vec![(target, body), next]),
            PassAndContinue(target, body) => (vec![100, 200, 200], vec![(target, body), next]),
            PassAndClose(target, body) => (vec![200], vec![(target, body)]),
            Skip => (vec![200], vec![next]),
            Reject(status) | BreakOff(status) => (vec![status], vec![]),
            Deny(status) => (vec![status, 200], vec![next]),
            Close => (vec![], vec![]),
        };
        if statuses != answers || seen != requests {
            wrong.push(format!("{case}: {statuses:?}, upstream {seen:?}\n{answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
