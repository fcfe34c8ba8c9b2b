//! SPIFFE bundles (SPIFFE Trust Domain and Bundle, section 4; X509-SVID, section 6).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::{TrustError, TrustStore};
use crate::pki::pem::Origin;

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
    /// [`TrustError`]: not JSON, no `keys`, no key of use `x509-svid` (in SPIFFE: no peer of the domain is
    /// trusted), an `x5c` that is not exactly one certificate, and the errors of
    /// [`from_der`](Self::from_der).
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
        let malformed = |place: String, problem: &dyn std::fmt::Display| TrustError::Malformed {
            place,
            problem: problem.to_string(),
        };
        let bundle: Value =
            serde_json::from_slice(json).map_err(|error| malformed(origin.to_string(), &error))?;
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
    fn names_the_problem_of_a_bundle() {
        let leaf = TestCa::new("Root").leaf().issue();
        let not_a_root = STANDARD.encode(leaf.leaf_der());
        let keys = |keys: Vec<Value>| serde_json::json!({ "keys": keys }).to_string();
        for (json, says) in [
            (String::from("{"), "EOF"),
            ("[]".into(), "no array \"keys\""),
            ("{\"keys\":{}}".into(), "no array \"keys\""),
            (keys(vec![]), "no key of use x509-svid"),
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
}
