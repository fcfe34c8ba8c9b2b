//! HTTP Message Signatures (RFC 9421) with HMAC, over requests with a `Content-Digest` (RFC 9530).
//!
//! It reads one profile and rejects everything else: one signature, over exactly the components of
//! [`COVERED`], with `created`, `nonce` and `keyid`, in the canonical form of structured fields.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use sfv::{BareItem, Dictionary, FieldType as _, ListEntry, Parser};
use sha2::{Digest as _, Sha256};

/// What a signature must cover, in any order: the whole request line, the token, and the body.
const COVERED: [&str; 6] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "authorization",
    "content-digest",
];

/// The age of a signature, in seconds.
const WINDOW: u64 = 60;
/// How far a client's clock may be ahead, in seconds.
const AHEAD: u64 = 5;
/// The signatures to remember: about 1 MB. More of them in one window are rejected.
const CAPACITY: usize = 10_000;

/// A code, and its explanation.
type Rejection = &'static str;

/// Verifies the signatures of one application.
pub(super) struct Verifier {
    key_id: String,
    key: Vec<u8>,
    seen: Mutex<Seen>,
}

impl Verifier {
    pub(super) fn new(key_id: &str, key: &[u8]) -> Self {
        Self {
            key_id: key_id.to_owned(),
            key: key.to_vec(),
            seen: Mutex::default(),
        }
    }

    /// Verifies that the application signed this request and this body, in the last minute, and that the
    /// request has not been seen before. `now` is in seconds since 1970.
    pub(super) fn verify(&self, request: &Parts, body: &[u8], now: u64) -> Result<(), Rejection> {
        let input = Input::of(request)?;
        if input.key_id != self.key_id {
            return Err("signature_of_another_key: the keyid is not the application's");
        }
        let is_complete = COVERED.iter().all(|name| input.covers(name));
        if !is_complete || input.covered.len() != COVERED.len() {
            return Err("signature_incomplete: the covered components are not the required ones");
        }
        if content_digest(request)? != Sha256::digest(body)[..] {
            return Err("content_digest_mismatch: the body is not the one that was signed");
        }
        let base = base(request, &input.covered, &input.params)?;
        mac(&self.key, &base)
            .verify_slice(&signature(request, &input.label)?) // in constant time
            .map_err(|_| "signature_invalid: the HMAC is wrong")?;
        // Last, so that only the application can fill the memory.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first_time(input.created, input.nonce, now)
    }
}

/// The signatures of the last minute.
#[derive(Default)]
struct Seen {
    since: u64,
    signatures: BTreeSet<(u64, String)>,
}

impl Seen {
    fn first_time(&mut self, created: u64, nonce: String, now: u64) -> Result<(), Rejection> {
        // It does not go back with the clock: what is forgotten remains rejected.
        self.since = self.since.max(now.saturating_sub(WINDOW));
        while let Some((oldest, _)) = self.signatures.first()
            && *oldest < self.since
        {
            self.signatures.pop_first();
        }
        if created < self.since {
            return Err("signature_expired: it is older than a minute");
        }
        if created > now.saturating_add(AHEAD) {
            return Err("signature_in_the_future: its time of creation is in the future");
        }
        let signature = (created, nonce);
        if self.signatures.contains(&signature) {
            return Err("signature_replayed: the request has been seen before");
        }
        if self.signatures.len() >= CAPACITY {
            return Err("signatures_exhausted: too many requests in one minute");
        }
        self.signatures.insert(signature);
        Ok(())
    }
}

/// The field `Signature-Input`.
struct Input {
    label: String,
    covered: Vec<String>,
    created: u64,
    nonce: String,
    key_id: String,
    /// The canonical text of the list and its parameters.
    params: String,
}

impl Input {
    fn of(request: &Parts) -> Result<Self, Rejection> {
        const UNREADABLE: Rejection = "signature_malformed: Signature-Input is not as required";
        let text = single(request, "signature-input")?;
        let (label, entry) = only_member(text).ok_or(UNREADABLE)?;
        let ListEntry::InnerList(list) = entry else {
            return Err(UNREADABLE);
        };
        let params = text.get(label.len() + 1..).ok_or(UNREADABLE)?.to_owned();
        let (mut created, mut nonce, mut key_id) = (None, None, None);
        for (name, value) in list.params {
            match (name.as_str(), value) {
                ("created", BareItem::Integer(time)) => created = u64::try_from(time).ok(),
                ("nonce", BareItem::String(text)) => nonce = Some(text.as_str().to_owned()),
                ("keyid", BareItem::String(text)) => key_id = Some(text.as_str().to_owned()),
                ("alg", BareItem::String(alg)) if alg.as_str() == "hmac-sha256" => {}
                _ => return Err("signature_malformed: it has a parameter that is not supported"),
            }
        }
        let covered = list.items.into_iter().map(|item| match item.bare_item {
            BareItem::String(name) if item.params.is_empty() => Some(name.as_str().to_owned()),
            _ => None,
        });
        Ok(Self {
            label,
            covered: covered.collect::<Option<_>>().ok_or(UNREADABLE)?,
            created: created.ok_or("signature_malformed: it has no time of creation")?,
            nonce: nonce
                .filter(|nonce| (16..=64).contains(&nonce.len()))
                .ok_or("signature_malformed: it has no nonce of 16 to 64 characters")?,
            key_id: key_id.ok_or("signature_malformed: it has no keyid")?,
            params,
        })
    }

    fn covers(&self, component: &str) -> bool {
        self.covered.iter().any(|covered| covered == component)
    }
}

/// The only member of a dictionary in canonical form.
fn only_member(text: &str) -> Option<(String, ListEntry)> {
    let dictionary: Dictionary = Parser::new(text).parse().ok()?;
    // Where the same value can be written in another way, readers could differ.
    if dictionary.serialize()? != text {
        return None;
    }
    let mut members = dictionary.into_iter();
    let (name, member) = members.next()?;
    members
        .next()
        .is_none()
        .then(|| (name.as_str().to_owned(), member))
}

/// The bytes of `NAME=:BASE64:`.
fn bytes(text: &str, name: &str) -> Option<Vec<u8>> {
    match only_member(text)? {
        (label, ListEntry::Item(item)) if label == name && item.params.is_empty() => {
            match item.bare_item {
                BareItem::ByteSequence(bytes) => Some(bytes),
                _ => None,
            }
        }
        _ => None,
    }
}

fn content_digest(request: &Parts) -> Result<Vec<u8>, Rejection> {
    bytes(single(request, "content-digest")?, "sha-256")
        .ok_or("signature_malformed: Content-Digest is not one sha-256")
}

fn signature(request: &Parts, label: &str) -> Result<Vec<u8>, Rejection> {
    bytes(single(request, "signature")?, label)
        .ok_or("signature_malformed: Signature is not the one of Signature-Input")
}

/// A field that the request has once.
fn single<'a>(request: &'a Parts, name: &str) -> Result<&'a str, Rejection> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err("signature_malformed: a field is not ASCII"),
        },
        (None, _) => Err("signature_missing: a field of the signature is missing"),
        _ => Err("signature_malformed: a field occurs more than once"),
    }
}

/// The signature base (RFC 9421 section 2.5).
fn base(request: &Parts, covered: &[String], params: &str) -> Result<String, Rejection> {
    let mut base = String::new();
    for name in covered {
        let value = match name.as_str() {
            "@method" => request.method.to_string(),
            "@authority" => authority(request)?,
            "@path" => request.uri.path().to_owned(),
            "@query" => format!("?{}", request.uri.query().unwrap_or_default()),
            field => single(request, field)?.to_owned(),
        };
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    Ok(base + "\"@signature-params\": " + params)
}

/// In lower case, without the default port (RFC 9421 section 2.2.3).
fn authority(request: &Parts) -> Result<String, Rejection> {
    let by_host = request.headers.contains_key(HOST);
    let host = by_host.then(|| single(request, "host")).transpose()?;
    let target = request.uri.authority().map(|authority| authority.as_str());
    let authority = match (target, host) {
        (Some(target), Some(host)) if target != host => {
            return Err("signature_malformed: Host is not the authority of the request");
        }
        (target, host) => target
            .or(host)
            .ok_or("signature_malformed: it has no Host")?,
    };
    let authority = authority.to_ascii_lowercase();
    Ok(authority
        .strip_suffix(":443")
        .unwrap_or(&authority)
        .to_owned())
}

fn mac(key: &[u8], base: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!());
    mac.update(base.as_bytes());
    mac
}

/// Signs a request whose other headers are complete: the client's part.
pub(super) fn sign(
    request: &mut Parts,
    body: &[u8],
    (key_id, key): (&str, &[u8]),
    (created, nonce): (u64, &str),
) -> Result<(), Box<dyn Error>> {
    let digest = STANDARD.encode(Sha256::digest(body));
    let digest = format!("sha-256=:{digest}:").parse()?;
    request.headers.insert("content-digest", digest);
    let covered = COVERED.map(str::to_owned);
    let list = covered.each_ref().map(|name| format!("{name:?}")).join(" ");
    let params = format!("({list});created={created};nonce={nonce:?};keyid={key_id:?}");
    let signature = mac(key, &base(request, &covered, &params)?).finalize();
    let signature = STANDARD.encode(signature.into_bytes());
    for (name, value) in [
        ("signature-input", params),
        ("signature", format!(":{signature}:")),
    ] {
        let value = HeaderValue::try_from(format!("sig={value}"))?;
        request.headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: (&str, &[u8]) = ("billing", b"a key of the tests");
    const NONCE: &str = "0123456789abcdef";
    const NOW: u64 = 1_800_000_000;

    fn signed(created: u64, nonce: &str) -> Parts {
        let request = Request::post("https://localhost:443/transfers?dry=1")
            .header("authorization", "Bearer token");
        let mut request = request.body(()).unwrap().into_parts().0;
        sign(&mut request, b"body", KEY, (created, nonce)).unwrap();
        request
    }

    fn verifier() -> Verifier {
        Verifier::new(KEY.0, KEY.1)
    }

    fn code(result: Result<(), Rejection>) -> &'static str {
        result.map_or_else(|why| why.split(':').next().unwrap(), |()| "accepted")
    }

    /// Changes a header by replacing text in it.
    fn edited(name: &'static str, from: &str, to: &str) -> Parts {
        let mut request = signed(NOW, NONCE);
        let value = request.headers[name].to_str().unwrap().to_owned();
        assert!(value.contains(from), "{value}");
        let value = value.replace(from, to).parse().unwrap();
        request.headers.insert(name, value);
        request
    }

    #[test]
    fn the_request_that_was_signed_is_accepted_and_any_other_is_not() {
        let check = |request: &Parts, body: &[u8]| code(verifier().verify(request, body, NOW));
        assert_eq!(check(&signed(NOW, NONCE), b"body"), "accepted");
        assert_eq!(
            check(&signed(NOW, NONCE), b"Body"),
            "content_digest_mismatch"
        );

        let mut method = signed(NOW, NONCE);
        method.method = http::Method::PUT;
        let mut path = signed(NOW, NONCE);
        path.uri = "https://localhost/transfer?dry=1".parse().unwrap();
        let mut query = signed(NOW, NONCE);
        query.uri = "https://localhost/transfers?dry=0".parse().unwrap();
        let mut authority = signed(NOW, NONCE);
        authority.uri = "https://localhost:8443/transfers?dry=1".parse().unwrap();
        let mut token = signed(NOW, NONCE);
        token
            .headers
            .insert("authorization", "Bearer Token".parse().unwrap());
        for request in [method, path, query, authority, token] {
            assert_eq!(check(&request, b"body"), "signature_invalid", "{request:?}");
        }
    }

    #[test]
    fn only_the_profile_is_read() {
        let twice = |name: &'static str| {
            let mut request = signed(NOW, NONCE);
            let value = request.headers[name].clone();
            request.headers.append(name, value);
            request
        };
        let without = |name: &'static str| {
            let mut request = signed(NOW, NONCE);
            request.headers.remove(name);
            request
        };
        let input = "signature-input";
        for (request, expected) in [
            (without(input), "signature_missing"),
            (without("signature"), "signature_missing"),
            (without("content-digest"), "signature_missing"),
            (twice(input), "signature_malformed"),
            (twice("signature"), "signature_malformed"),
            (twice("authorization"), "signature_malformed"),
            (edited(input, "sig=", "sig=1, sig="), "signature_malformed"),
            (edited(input, "sig=(", "sig=( "), "signature_malformed"),
            (edited(input, "sig=", "other="), "signature_malformed"),
            (
                edited(input, ";nonce", ";expires=1;nonce"),
                "signature_malformed",
            ),
            (
                edited(input, ";created=1800000000", ""),
                "signature_malformed",
            ),
            (
                edited(input, "created=1", "created=-1"),
                "signature_malformed",
            ),
            (edited(input, NONCE, "short"), "signature_malformed"),
            (
                edited(input, "\"@query\"", "\"@query\";req"),
                "signature_malformed",
            ),
            (edited(input, " \"@query\"", ""), "signature_incomplete"),
            (
                edited(input, "\"@query\"", "\"@query\" \"@query\""),
                "signature_incomplete",
            ),
            (
                edited(input, "\"@query\"", "\"@query\" \"date\""),
                "signature_incomplete",
            ),
            (
                edited(input, "billing", "support"),
                "signature_of_another_key",
            ),
            (
                edited(input, "created=18", "created=17"),
                "signature_invalid",
            ),
            (
                edited("signature", "sig=:", "sig=:AAAA"),
                "signature_invalid",
            ),
            (edited("signature", ":", "\""), "signature_malformed"),
            (
                edited("content-digest", "sha-256", "md5"),
                "signature_malformed",
            ),
            (
                edited("content-digest", "256=:", "256=:AAAA"),
                "content_digest_mismatch",
            ),
        ] {
            let result = verifier().verify(&request, b"body", NOW);
            assert_eq!(code(result), expected, "{:?}", request.headers);
        }
    }

    #[test]
    fn a_signature_is_accepted_once_and_for_a_minute() {
        let verifier = verifier();
        let check = |created, nonce: &str, now| {
            code(verifier.verify(&signed(created, nonce), b"body", now))
        };
        assert_eq!(check(NOW, NONCE, NOW), "accepted");
        assert_eq!(check(NOW, NONCE, NOW + WINDOW), "signature_replayed");
        assert_eq!(check(NOW, NONCE, NOW + WINDOW + 1), "signature_expired");
        // Its nonce is forgotten by now. The clock goes back.
        assert_eq!(check(NOW, NONCE, NOW), "signature_expired");
        let other = "fedcba9876543210";
        assert_eq!(check(NOW + 66, other, NOW + 60), "signature_in_the_future");
        assert_eq!(check(NOW + 65, other, NOW + 60), "accepted");
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..CAPACITY {
            assert_eq!(seen.first_time(NOW, number.to_string(), NOW), Ok(()));
        }
        let next = |seen: &mut Seen, now| code(seen.first_time(now, "next".to_owned(), now));
        assert_eq!(next(&mut seen, NOW), "signatures_exhausted");
        assert_eq!(next(&mut seen, NOW + WINDOW + 1), "accepted");
        assert_eq!(seen.signatures.len(), 1);
    }
}
