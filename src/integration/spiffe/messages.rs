//! The messages that this client sends and receives.

use zeroize::Zeroizing;

use super::wire::{Field, Fields, NotProtobuf, entry, put};

/// A message that can be received.
pub(super) trait Message: Sized + Send + Sync + 'static {
    fn read(message: &[u8]) -> Result<Self, NotProtobuf>;
}

/// `X509SVIDResponse`.
#[derive(Default)]
pub(super) struct X509Response {
    pub(super) svids: Vec<X509Svid>,
    pub(super) crls: Vec<Vec<u8>>,
    /// By trust domain, as the agent writes it.
    pub(super) federated_bundles: Vec<(String, Vec<u8>)>,
}

/// `X509SVID`.
#[derive(Default)]
pub(super) struct X509Svid {
    pub(super) spiffe_id: String,
    /// DER certificates, the leaf first.
    pub(super) chain: Vec<u8>,
    /// PKCS#8.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// The roots of its trust domain.
    pub(super) bundle: Vec<u8>,
    pub(super) hint: String,
}

impl Message for X509Response {
    fn read(message: &[u8]) -> Result<Self, NotProtobuf> {
        let mut response = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => response.svids.push(X509Svid::read(field.bytes()?)?),
                (2, field) => response.crls.push(field.bytes()?.to_vec()),
                (3, field) => response.federated_bundles.push(entry(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(response)
    }
}

impl Message for X509Svid {
    fn read(message: &[u8]) -> Result<Self, NotProtobuf> {
        let mut svid = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => svid.spiffe_id = field.text()?,
                (2, field) => svid.chain = field.bytes()?.to_vec(),
                (3, field) => svid.key = Zeroizing::new(field.bytes()?.to_vec()),
                (4, field) => svid.bundle = field.bytes()?.to_vec(),
                (5, field) => svid.hint = field.text()?,
                _ => {}
            }
        }
        Ok(svid)
    }
}

/// `JWTSVIDRequest`.
pub(super) fn jwt_request(audiences: &[&str], spiffe_id: Option<&str>) -> Vec<u8> {
    let mut request = Vec::new();
    for audience in audiences {
        put(&mut request, 1, audience.as_bytes());
    }
    if let Some(id) = spiffe_id {
        put(&mut request, 2, id.as_bytes());
    }
    request
}

/// `JWTSVIDResponse`.
pub(super) struct JwtResponse(pub(super) Vec<Jwt>);

/// `JWTSVID`.
#[derive(Default)]
pub(super) struct Jwt {
    pub(super) spiffe_id: String,
    pub(super) token: String,
    pub(super) hint: String,
}

impl Message for JwtResponse {
    fn read(message: &[u8]) -> Result<Self, NotProtobuf> {
        let mut svids = Vec::new();
        for field in Fields::of(message) {
            let (1, field) = field? else { continue };
            let mut svid = Jwt::default();
            for field in Fields::of(field.bytes()?) {
                match field? {
                    (1, field) => svid.spiffe_id = field.text()?,
                    (2, field) => svid.token = field.text()?,
                    (3, field) => svid.hint = field.text()?,
                    _ => {}
                }
            }
            svids.push(svid);
        }
        Ok(Self(svids))
    }
}

/// `ValidateJWTSVIDRequest`.
pub(super) fn validate_request(audience: &str, token: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put(&mut request, 1, audience.as_bytes());
    put(&mut request, 2, token.as_bytes());
    request
}

/// `ValidateJWTSVIDResponse`.
#[derive(Default)]
pub(super) struct ValidateResponse {
    pub(super) spiffe_id: String,
    pub(super) claims: serde_json::Map<String, serde_json::Value>,
}

impl Message for ValidateResponse {
    fn read(message: &[u8]) -> Result<Self, NotProtobuf> {
        let mut response = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, field) => response.spiffe_id = field.text()?,
                (2, field) => response.claims = object(field.bytes()?, MAX_DEPTH)?,
                _ => {}
            }
        }
        Ok(response)
    }
}

/// How deep claims may be nested.
const MAX_DEPTH: usize = 32;

/// `google.protobuf.Struct`.
fn object(
    message: &[u8],
    depth: usize,
) -> Result<serde_json::Map<String, serde_json::Value>, NotProtobuf> {
    let mut object = serde_json::Map::new();
    for field in Fields::of(message) {
        let (1, field) = field? else { continue };
        let (key, value) = entry(field.bytes()?)?;
        object.insert(key, json(&value, depth)?);
    }
    Ok(object)
}

/// `google.protobuf.Value`.
fn json(message: &[u8], depth: usize) -> Result<serde_json::Value, NotProtobuf> {
    use serde_json::Value;

    let deeper = depth.checked_sub(1).ok_or(NotProtobuf)?;
    let mut value = Value::Null;
    for field in Fields::of(message) {
        value = match field? {
            (1, _) => Value::Null,
            (2, Field::Fixed64(bits)) => f64::from_bits(bits).into(),
            (3, field) => Value::String(field.text()?),
            (4, Field::Varint(bit)) => Value::Bool(bit != 0),
            (5, field) => Value::Object(object(field.bytes()?, deeper)?),
            (6, field) => {
                let mut items = Vec::new();
                for item in Fields::of(field.bytes()?) {
                    if let (1, item) = item? {
                        items.push(json(item.bytes()?, deeper)?);
                    }
                }
                Value::Array(items)
            }
            _ => value,
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        for (number, bytes) in fields {
            put(&mut message, *number, bytes);
        }
        message
    }

    #[test]
    fn a_response_with_everything() {
        let svid = message(&[
            (1, b"spiffe://a.example/b"),
            (2, b"chain"),
            (3, b"key"),
            (4, b"bundle"),
            (5, b"internal"),
            (9, b"of a later version"),
        ]);
        let federated = message(&[(1, b"spiffe://b.example"), (2, b"roots")]);
        let response = message(&[(1, &svid), (2, b"crl"), (3, &federated), (1, &svid)]);
        let response = X509Response::read(&response).expect("a response");
        assert_eq!(response.svids.len(), 2);
        let svid = &response.svids[0];
        assert_eq!(svid.spiffe_id, "spiffe://a.example/b");
        assert_eq!(svid.chain, b"chain");
        assert_eq!(*svid.key, b"key");
        assert_eq!((&*svid.bundle, &*svid.hint), (&b"bundle"[..], "internal"));
        assert_eq!(response.crls, [b"crl"]);
        let federated = ("spiffe://b.example".to_owned(), b"roots".to_vec());
        assert_eq!(response.federated_bundles, [federated]);
    }

    #[test]
    fn claims_of_every_kind() {
        let text = message(&[(3, b"text")]);
        let mut number = vec![2 << 3 | 1];
        number.extend(1.5_f64.to_le_bytes());
        let list = message(&[(6, &message(&[(1, &text), (1, &[4 << 3, 1])]))]);
        let entry = |key: &str, value: &[u8]| message(&[(1, key.as_bytes()), (2, value)]);
        let claims = message(&[
            (1, &entry("sub", &text)),
            (1, &entry("exp", &number)),
            (1, &entry("aud", &list)),
            (1, &entry("none", &[1 << 3, 0])),
        ]);
        let response = message(&[(1, b"spiffe://a.example/b"), (2, &claims)]);
        let response = ValidateResponse::read(&response).expect("a response");
        assert_eq!(
            serde_json::Value::from(response.claims),
            json!({"sub": "text", "exp": 1.5, "aud": ["text", true], "none": null})
        );
    }

    /// A nested message costs its sender two bytes a level, and a recursive reader its stack.
    #[test]
    fn deep_claims_are_an_error() {
        let mut value = Vec::new();
        for _ in 0..10_000 {
            value = message(&[(6, &message(&[(1, &value)]))]);
        }
        let entry = message(&[(1, b"deep"), (2, &value)]);
        let response = message(&[(2, &message(&[(1, &entry)]))]);
        assert!(ValidateResponse::read(&response).is_err());
    }
}
