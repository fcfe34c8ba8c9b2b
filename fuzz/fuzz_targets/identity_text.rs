//! The text of every identity: it is read back by the parser and by serde, different identities have
//! different texts, and a certificate with it is read as that identity.
//!
//! Each line is a text.
#![no_main]

mod shared;

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::LazyLock;

use countersign::identity::{
    CommonName, DnsName, Email, ExtensionValue, Fingerprint, IdentityExtractor, IpAddress,
    KubernetesUser, OrganizationalUnit, Psd2, Psd2Role, SerialAndIssuer, SpiffeId, Subject,
    TrustDomain, Upn, Uri, WorkloadId,
};
use countersign::testing::{KeyType, LeafBuilder, TestCa};
use countersign::{Certificate, Diagnostic};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::text::{one_line, refused};

static CA: LazyLock<TestCa> = LazyLock::new(|| TestCa::new("Root"));

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').take(6).collect();
    for id in check::<SpiffeId>(&lines) {
        // (An ID without a path is a trust domain's, and no leaf has it.)
        if !id.path().is_empty() {
            is_extracted(&id, SpiffeId::extractor(), |leaf| leaf.uri(id.as_str()));
        }
    }
    for id in check::<WorkloadId>(&lines) {
        if id.to_string().matches('/').count() > 2 {
            is_extracted(&id, WorkloadId::extractor(), |leaf| {
                leaf.uri(&id.to_string())
            });
        }
    }
    for id in check::<DnsName>(&lines) {
        is_extracted(&id, DnsName::extractor(), |leaf| leaf.dns(id.as_str()));
    }
    for id in check::<Uri>(&lines) {
        is_extracted(&id, Uri::extractor(), |leaf| leaf.uri(&id.to_string()));
    }
    for id in check::<Email>(&lines) {
        is_extracted(&id, Email::extractor(), |leaf| leaf.email(&id.to_string()));
    }
    for id in check::<IpAddress>(&lines) {
        let address = id.to_string().parse().expect("an address");
        is_extracted(&id, IpAddress::extractor(), |leaf| leaf.ip(address));
    }
    for id in check::<Upn>(&lines) {
        is_extracted(&id, Upn::extractor(), |leaf| leaf.upn(&id.to_string()));
    }
    for id in check::<CommonName>(&lines) {
        is_extracted(&id, CommonName::extractor(), |leaf| {
            leaf.common_name(id.as_str())
        });
    }
    for id in check::<OrganizationalUnit>(&lines) {
        let text = id.to_string();
        is_extracted(&id, OrganizationalUnit::extractor(), |leaf| {
            leaf.organizational_unit(&text)
        });
    }
    for id in check::<KubernetesUser>(&lines) {
        is_extracted(&id, KubernetesUser::extractor(), |leaf| {
            let leaf = leaf.common_name(id.name());
            id.groups()
                .fold(leaf, |leaf, group| leaf.organization(group))
        });
    }
    for id in check::<Subject>(&lines) {
        let text = id.to_string();
        let digits = text.strip_prefix('#').expect("DER in hexadecimal");
        let octets = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("digits"));
        let der: Vec<u8> = octets.collect();
        is_extracted(&id, Subject::extractor(), |leaf| leaf.subject_der(der));
    }
    check::<TrustDomain>(&lines);
    check::<SerialAndIssuer>(&lines);
    check::<Fingerprint>(&lines);
    check::<ExtensionValue>(&lines);
    check::<Psd2>(&lines);
    check::<Psd2Role>(&lines);
});

/// The identities that the lines are.
fn check<I>(lines: &[&str]) -> Vec<I>
where
    I: FromStr<Err: Diagnostic + Display + Debug>
        + Display
        + Debug
        + Clone
        + Eq
        + Ord
        + Hash
        + Serialize
        + DeserializeOwned,
{
    let mut read: Vec<I> = Vec::new();
    for line in lines {
        let json = serde_json::to_string(line).expect("JSON");
        let by_serde = serde_json::from_str::<I>(&json).ok();
        match line.parse::<I>() {
            Ok(id) => {
                assert_eq!(by_serde.as_ref(), Some(&id));
                let text = id.to_string();
                one_line(&text);
                one_line(&format!("{id:?}"));
                assert_eq!(text.parse::<I>().ok().as_ref(), Some(&id), "{text}");
                let json = serde_json::to_string(&id).expect("JSON");
                assert_eq!(json, serde_json::to_string(&text).expect("JSON"));
                assert_eq!(serde_json::from_str::<I>(&json).ok().as_ref(), Some(&id));
                read.push(id);
            }
            Err(error) => {
                assert!(by_serde.is_none());
                refused(&error);
            }
        }
    }
    for one in &read {
        for other in &read {
            let is_same = one == other;
            assert_eq!(is_same, one.to_string() == other.to_string());
            assert_eq!(is_same, one.cmp(other).is_eq());
        }
    }
    let texts: HashSet<String> = read.iter().map(ToString::to_string).collect();
    let unique: HashSet<&I> = read.iter().collect();
    assert_eq!(unique.len(), texts.len());
    read
}

/// A certificate can have this identity: otherwise a rule for it could match nothing.
fn is_extracted<X>(id: &X::Identity, extractor: X, names: impl FnOnce(LeafBuilder) -> LeafBuilder)
where
    X: IdentityExtractor<Identity: PartialEq + Debug>,
{
    let leaf = names(CA.leaf().key(KeyType::Ed25519)).signature(vec![0]);
    let issued = leaf.issue();
    let certificate = Certificate::from_der(issued.leaf_der()).expect("a certificate");
    assert_eq!(extractor.extract(&certificate).as_ref(), Ok(id));
}
