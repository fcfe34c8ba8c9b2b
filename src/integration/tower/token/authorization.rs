//! The token in the `Authorization` header (RFC 6750 section 2.1).

use http::header::{AUTHORIZATION, HeaderMap};

/// Why a request has no usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It has no `Authorization` header, or one of another scheme.
    Missing,
    /// The header is repeated or malformed.
    Malformed(&'static str),
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Unusable> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Unusable::Missing)?;
    if values.next().is_some() {
        return Err(Unusable::Malformed(
            "the request has more than one Authorization header",
        ));
    }
    let value = value.as_bytes();
    let Some((scheme, rest)) = value.split_at_checked(b"Bearer".len()) else {
        return Err(Unusable::Missing);
    };
    if !scheme.eq_ignore_ascii_case(b"Bearer") || rest.first().is_some_and(|byte| *byte != b' ') {
        return Err(Unusable::Missing); // another scheme
    }
    let token = rest.trim_ascii_start();
    let text = token.strip_suffix(b"=").map_or(token, |rest| {
        let end = rest.iter().rposition(|byte| *byte != b'=');
        &rest[..end.map_or(0, |last| last + 1)]
    });
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if text.is_empty() || !text.iter().all(is_token) {
        return Err(Unusable::Malformed(
            "the Authorization header has no bearer token",
        ));
    }
    std::str::from_utf8(token).map_err(|_| Unusable::Malformed("the token is not ASCII"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_bearer_token_is_read_and_anything_else_is_not() {
        let no_token = Err(Unusable::Malformed(
            "the Authorization header has no bearer token",
        ));
        for (value, token) in [
            ("Bearer abc.def-_~+/", Ok("abc.def-_~+/")),
            ("bearer abc==", Ok("abc==")),
            ("BEARER  abc", Ok("abc")),
            ("Basic YWxpY2U6", Err(Unusable::Missing)),
            ("Bearerabc", Err(Unusable::Missing)),
            ("DPoP abc", Err(Unusable::Missing)),
            ("Bear", Err(Unusable::Missing)),
            ("Bearer", no_token),
            ("Bearer ", no_token),
            ("Bearer ==", no_token),
            ("Bearer a=b", no_token),
            ("Bearer abc, Bearer def", no_token),
            ("Bearer abc def", no_token),
            ("Bearer ab\u{e9}", no_token),
        ] {
            let mut headers = HeaderMap::new();
            let value_ = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(AUTHORIZATION, value_.clone());
            assert_eq!(bearer(&headers), token, "{value}");
            headers.append(AUTHORIZATION, value_);
            assert!(matches!(bearer(&headers), Err(Unusable::Malformed(_))));
        }
        assert_eq!(bearer(&HeaderMap::new()), Err(Unusable::Missing));
    }
}
