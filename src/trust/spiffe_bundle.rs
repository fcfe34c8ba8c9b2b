//! SPIFFE bundles (SPIFFE Trust Domain and Bundle, section 4; X509-SVID, section 6).

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::map::Entry;

use super::{TrustBundles, TrustError, TrustStore};
use crate::Diagnostic;
use crate::identity::{IdentityError, TrustDomain};
use crate::pki::pem::Origin;
use crate::pki::text::Brief;

impl TrustStore {
    /// Reads the X.509 roots of a SPIFFE bundle: a JWK set of which each key of use `x509-svid` contains a
    /// root certificate (`x5c`). SPIRE serves this format to federated trust domains.
    ///
    /// Keys of another use, such as `jwt-svid`, are ignored.
    ///
    /// ```no_run
    /// use countersign::TrustStore;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bundle = TrustStore::from_spiffe_bundle(std::fs::read("partner.json")?)?;
    /// let trust = TrustStore::by_trust_domain().with("partner.example".parse()?, bundle)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TrustError`]: not JSON, a member of an object that occurs twice, no `keys`, no key of use
    /// `x509-svid` (in SPIFFE: no peer of the domain is trusted), an `x5c` that is not exactly one
    /// certificate, and the errors of [`from_der`](Self::from_der).
    pub fn from_spiffe_bundle(json: impl AsRef<[u8]>) -> Result<Self, TrustError> {
        Self::read_bundle(json.as_ref(), &Origin::Bytes)
    }

    /// As [`from_spiffe_bundle`](Self::from_spiffe_bundle), from a file.
    ///
    /// # Errors
    /// [`TrustError`]: as for [`from_spiffe_bundle`](Self::from_spiffe_bundle), and a file that cannot be
    /// read.
    pub fn from_spiffe_bundle_file(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let (origin, json) = Origin::read(path.as_ref())?;
        Self::read_bundle(&json, &origin)
    }

    fn read_bundle(json: &[u8], origin: &Origin) -> Result<Self, TrustError> {
        let bundle = unambiguous(json, origin)?;
        Self::read_keys(&bundle, &origin.to_string())
    }

    /// Reads the JWK set of one trust domain.
    fn read_keys(bundle: &Value, origin: &str) -> Result<Self, TrustError> {
        let keys = bundle
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| {
                malformed(
                    origin.to_string(),
                    &"not a SPIFFE bundle: it has no array \"keys\"",
                )
            })?;
        let mut store = Self::empty();
        for (number, key) in (1..).zip(keys) {
            if key.get("use").and_then(Value::as_str) != Some("x509-svid") {
                continue;
            }
            let place = format!("{origin}, key {number}");
            let der = read_x5c(key).map_err(|problem| malformed(place.clone(), &problem))?;
            store.add_root(&CertificateDer::from(der), &place)?;
        }
        if store.is_empty() {
            return Err(malformed(
                origin.to_string(),
                &"the SPIFFE bundle has no key of use x509-svid",
            ));
        }
        Ok(store)
    }
}

/// What a bundle says besides its keys (SPIFFE Trust Domain and Bundle, section 4.1).
#[cfg(all(feature = "spiffe", feature = "tokio"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Grows with each change.
    pub(crate) sequence: Option<u64>,
    /// After how many seconds to fetch it again.
    pub(crate) refresh: Option<u64>,
}

#[cfg(all(feature = "spiffe", feature = "tokio"))]
impl Hints {
    /// Those of a bundle that was read.
    pub(crate) fn of(json: &[u8]) -> Self {
        let bundle: Value = serde_json::from_slice(json).unwrap_or_default();
        let number = |name: &str| bundle.get(name).and_then(Value::as_u64);
        Self {
            sequence: number("spiffe_sequence"),
            refresh: number("spiffe_refresh_hint"),
        }
    }
}

impl TrustBundles {
    /// Reads a map of SPIFFE bundles: `{"trust_domains": {"prod.example": {"keys": […]}, …}}`, in which an
    /// agent or a control plane gives the bundles of all federated trust domains in one file.
    ///
    /// ```no_run
    /// use countersign::trust::TrustBundles;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let trust = TrustBundles::from_spiffe_bundle_map(std::fs::read("bundles.json")?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TrustError`]: not JSON, a member that occurs twice, no object `trust_domains` or an empty one, a
    /// key that is not the name of a trust domain, and as for [`TrustStore::from_spiffe_bundle`].
    pub fn from_spiffe_bundle_map(json: impl AsRef<[u8]>) -> Result<Self, TrustError> {
        Self::read_map(json.as_ref(), &Origin::Bytes)
    }

    /// As [`from_spiffe_bundle_map`](Self::from_spiffe_bundle_map), from a file.
    ///
    /// # Errors
    /// [`TrustError`]: as for [`from_spiffe_bundle_map`](Self::from_spiffe_bundle_map), and a file that
    /// cannot be read.
    pub fn from_spiffe_bundle_map_file(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let (origin, json) = Origin::read(path.as_ref())?;
        Self::read_map(&json, &origin)
    }

    fn read_map(json: &[u8], origin: &Origin) -> Result<Self, TrustError> {
        let map = unambiguous(json, origin)?;
        let mut bundles = Self::default();
        let domains = map.get("trust_domains").and_then(Value::as_object);
        for (name, bundle) in domains.into_iter().flatten() {
            // A name that is no trust domain can have any characters.
            let place = format!("{origin}, {}", Brief(name));
            let domain: TrustDomain = name
                .parse()
                .map_err(|error: IdentityError| malformed(place.clone(), &error.cause()))?;
            let store = TrustStore::read_keys(bundle, &place)?;
            bundles = bundles
                .with(domain, store)
                .map_err(|error| malformed(place, &error.cause()))?;
        }
        if bundles.is_empty() {
            return Err(malformed(
                origin.to_string(),
                &"not a map of SPIFFE bundles: it has no object \"trust_domains\" with a trust domain",
            ));
        }
        Ok(bundles)
    }
}

/// Reads JSON in which no object has a member twice.
fn unambiguous(json: &[u8], origin: &Origin) -> Result<Value, TrustError> {
    let read: Result<Unambiguous, _> = serde_json::from_slice(json);
    match read {
        Ok(Unambiguous(value)) => Ok(value),
        Err(error) => Err(malformed(origin.to_string(), &error)),
    }
}

/// Readers differ in which of two members of one name counts (RFC 8259 section 4): an agent could show one
/// set of roots to the tool that reviews a bundle, and another one to the program that trusts it.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Unambiguous(value))) = members.next_entry::<String, _>()? {
            match object.entry(name) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(entry) => {
                    let problem = format!("the member {:?} occurs twice", entry.key());
                    return Err(A::Error::custom(problem));
                }
            };
        }
        Ok(object.into())
    }
}

fn malformed(place: String, problem: &dyn fmt::Display) -> TrustError {
    TrustError::Malformed {
        place,
        problem: problem.to_string(),
    }
}

/// RFC 7517 section 4.7: base64, not base64url, of the DER.
fn read_x5c(key: &Value) -> Result<Vec<u8>, &'static str> {
    let chain = key
        .get("x5c")
        .and_then(Value::as_array)
        .ok_or("its x5c is missing or not an array")?;
    let [Value::String(text)] = &**chain else {
        return Err("its x5c must hold exactly one certificate");
    };
    STANDARD
        .decode(text)
        .map_err(|_| "its x5c is not the base64 of a certificate")
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    fn key(usage: &str, x5c: &[String]) -> Value {
        serde_json::json!({"kty": "EC", "use": usage, "x5c": x5c})
    }

    #[test]
    fn reads_the_roots_and_ignores_other_keys() {
        let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
        let x5c = |ca: &TestCa| [STANDARD.encode(ca.certificate_der())];
        let bundle = serde_json::json!({
            "spiffe_sequence": 7,
            "spiffe_refresh_hint": 300,
            "keys": [
                key("x509-svid", &x5c(&one)),
                {"kty": "EC", "use": "jwt-svid", "kid": "a"},
                key("x509-svid", &x5c(&two)),
            ],
        });
        let store = TrustStore::from_spiffe_bundle(bundle.to_string()).expect("a bundle");
        assert_eq!(store.anchors(), one.trust().and(two.trust()).anchors());
    }

    #[test]
    fn a_map_has_a_bundle_for_each_trust_domain() {
        let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
        let bundle = |ca: &TestCa| {
            let x5c = [STANDARD.encode(ca.certificate_der())];
            serde_json::json!({"keys": [key("x509-svid", &x5c)], "spiffe_sequence": 7})
        };
        let map = serde_json::json!({
            "of_a_later_version": 1,
            "trust_domains": {"one.example": bundle(&one), "two.example": bundle(&two)},
        });
        let bundles = TrustBundles::from_spiffe_bundle_map(map.to_string()).expect("a map");
        assert_eq!(bundles.trust_domains().count(), 2);
        let of_two = bundles.get(&"two.example".parse().expect("a domain"));
        assert_eq!(of_two.map(TrustStore::anchors), Some(two.trust().anchors()));

        let one = bundle(&one);
        for (json, says) in [
            (String::from("{"), "EOF"),
            ("[]".into(), "no object \"trust_domains\""),
            ("{}".into(), "no object \"trust_domains\""),
            (
                "{\"trust_domains\":{}}".into(),
                "no object \"trust_domains\"",
            ),
            (
                "{\"trust_domains\":[]}".into(),
                "no object \"trust_domains\"",
            ),
            (
                format!("{{\"trust_domains\":{{\"One\":{one}}}}}"),
                "One: a SPIFFE trust domain has only lower-case",
            ),
            (
                format!("{{\"trust_domains\":{{\"o\u{7f}e\":{one}}}}}"),
                "e: a SPIFFE trust domain has only lower-case",
            ),
            (
                "{\"trust_domains\":{\"one.example\":{\"keys\":[]}}}".into(),
                "one.example: the SPIFFE bundle has no key",
            ),
            (
                format!("{{\"trust_domains\":{{\"a\":{one},\"a\":{one}}}}}"),
                "the member \"a\" occurs twice",
            ),
            (
                "{\"trust_domains\":{},\"trust_domains\":{}}".into(),
                "the member \"trust_domains\" occurs twice",
            ),
        ] {
            let error = TrustBundles::from_spiffe_bundle_map(&json).expect_err(&json);
            assert_eq!(error.reason(), "malformed_certificate", "{json}: {error}");
            let text = error.to_string();
            assert!(text.contains(says), "{json}: {error}");
            assert!(!text.contains(char::is_control), "{json}: {error:?}");
        }
    }

    #[test]
    fn names_the_problem_of_a_bundle() {
        let leaf = TestCa::new("Root").leaf().issue();
        let not_a_root = STANDARD.encode(leaf.leaf_der());
        let keys = |keys: Vec<Value>| serde_json::json!({ "keys": keys }).to_string();
        let root = STANDARD.encode(TestCa::new("Root").certificate_der());
        let good = key("x509-svid", &[root]);
        assert!(TrustStore::from_spiffe_bundle(keys(vec![good.clone()])).is_ok());
        let good = good.to_string();
        for (json, says) in [
            (String::from("{"), "EOF"),
            ("[]".into(), "no array \"keys\""),
            ("{\"keys\":{}}".into(), "no array \"keys\""),
            (keys(vec![]), "no key of use x509-svid"),
            (
                format!("{{\"keys\":[{good}],\"keys\":[{good}]}}"),
                "the member \"keys\" occurs twice",
            ),
            (
                format!(
                    "{{\"keys\":[{}]}}",
                    good.replace("}", ",\"use\":\"jwt-svid\"}")
                ),
                "the member \"use\" occurs twice",
            ),
            (keys(vec![key("jwt-svid", &[])]), "no key of use x509-svid"),
            (
                keys(vec![serde_json::json!({"use": "x509-svid"})]),
                "key 1: its x5c is missing",
            ),
            (
                keys(vec![key("x509-svid", &[])]),
                "key 1: its x5c must hold exactly one",
            ),
            (
                keys(vec![key("x509-svid", &["AA".into(), "AA".into()])]),
                "key 1: its x5c must hold exactly one",
            ),
            (
                keys(vec![key("x509-svid", &["-_".into()])]),
                "key 1: its x5c is not the base64",
            ),
            (keys(vec![key("x509-svid", &["AAAA".into()])]), "key 1: "),
            (
                keys(vec![key("x509-svid", &[not_a_root])]),
                "may not issue certificates",
            ),
        ] {
            let error = TrustStore::from_spiffe_bundle(&json).expect_err(&json);
            assert!(error.to_string().contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn a_file_is_read_as_its_bytes_are_and_named() {
        let ca = TestCa::new("One");
        let x5c = [STANDARD.encode(ca.certificate_der())];
        let bundle =
            serde_json::json!({"keys": [key("x509-svid", &x5c)], "other": [null, true, -1, 0.5]});
        let map = serde_json::json!({"trust_domains": {"one.example": bundle}});
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, json: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, json).expect("written");
            path
        };
        let one = write("one.json", bundle.to_string());
        let all = write("all.json", map.to_string());
        let store = TrustStore::from_spiffe_bundle_file(&one).expect("a bundle");
        assert_eq!(store.anchors(), ca.trust().anchors());
        let bundles = TrustBundles::from_spiffe_bundle_map_file(&all).expect("a map");
        assert_eq!(bundles.trust_domains().count(), 1);

        let error = TrustStore::from_spiffe_bundle_file(&all).expect_err("a map");
        assert!(error.to_string().contains("all.json"), "{error}");
        let error = TrustBundles::from_spiffe_bundle_map_file(&one).expect_err("no map");
        assert!(error.to_string().contains("one.json"), "{error}");
        let none = TrustStore::from_spiffe_bundle_file(folder.path().join("none.json"));
        assert_eq!(none.expect_err("no file").reason(), "unreadable_file");
    }
}
