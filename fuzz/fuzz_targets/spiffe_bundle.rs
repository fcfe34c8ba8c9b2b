//! The JSON of SPIFFE trust domains, alone and as a map: what is loaded is what a second reader finds, and
//! no object in it has a member twice.
#![no_main]

mod shared;

use std::collections::BTreeSet;
use std::fmt;

use countersign::TrustStore;
use countersign::trust::TrustBundles;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::text::refused;

fuzz_target!(|json: &[u8]| {
    match TrustStore::from_spiffe_bundle(json) {
        Ok(store) => {
            assert!(!store.is_empty());
            only_once(json);
            let bundle: Value = serde_json::from_slice(json).expect("what was loaded is JSON");
            assert!(store.anchors().len() <= roots(&bundle).len());
        }
        Err(error) => refused(&error),
    }
    match TrustBundles::from_spiffe_bundle_map(json) {
        Ok(bundles) => {
            only_once(json);
            let map: Value = serde_json::from_slice(json).expect("what was loaded is JSON");
            let theirs = map["trust_domains"].as_object().expect("an object");
            let ours: BTreeSet<_> = bundles.trust_domains().map(ToString::to_string).collect();
            assert_eq!(ours, theirs.keys().cloned().collect());
            for domain in bundles.trust_domains() {
                let store = bundles.get(domain).expect("it is listed");
                let given = roots(&theirs[domain.as_str()]);
                assert!((1..=given.len()).contains(&store.anchors().len()));
            }
        }
        Err(error) => refused(&error),
    }
});

/// The certificates of a bundle, each once.
fn roots(bundle: &Value) -> BTreeSet<&str> {
    let keys = bundle["keys"].as_array().expect("an array");
    let keys = keys.iter().filter(|key| key["use"] == "x509-svid");
    keys.map(|key| key["x5c"][0].as_str().expect("one certificate"))
        .collect()
}

/// Readers differ in which of two members of one name counts (RFC 8259 section 4).
fn only_once(json: &[u8]) {
    struct Members;

    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut open: Vec<Box<RawValue>> = vec![serde_json::from_slice(json).expect("JSON")];
    while let Some(value) = open.pop() {
        let text = value.get();
        if text.starts_with('{') {
            let mut reader = serde_json::Deserializer::from_str(text);
            let members =
                serde::Deserializer::deserialize_map(&mut reader, Members).expect("an object");
            let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), members.len(), "a member occurs twice: {text}");
            open.extend(members.into_iter().map(|(_, value)| value));
        } else if text.starts_with('[') {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).expect("an array");
            open.extend(items);
        }
    }
}
