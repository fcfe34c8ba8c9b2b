//! Identities as values: which are equal, in which order they are, and what is printed of them.

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::net::IpAddr;
use std::str::FromStr;

use countersign::identity::{
    CommonName, DnsName, ExtensionValue, IdentityError, IdentityExtractor as _, IpAddress,
    KubernetesUser, OrganizationalUnit, SerialAndIssuer, SpiffeId, Subject, TrustDomain, Uri,
    WorkloadId,
};
use countersign::testing::TestCa;

fn parsed<I: FromStr<Err = IdentityError>>(text: &str) -> I {
    text.parse().unwrap()
}

/// Identities are equal, have equal hashes and are ordered as their texts are: a set or a map of them confuses
/// no two.
#[test]
fn identities_compare_as_their_texts() {
    fn check<I>(texts: &[&str])
    where
        I: FromStr<Err = IdentityError> + Ord + Hash + Debug + Display,
    {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let hash = |identity: &I| hasher.hash_one(identity);
        for one in texts {
            for other in texts {
                let (x, y): (I, I) = (parsed(one), parsed(other));
                assert_eq!(x == y, one == other, "{x:?} {y:?}");
                assert_eq!(x.cmp(&y), one.cmp(other), "{x:?} {y:?}");
                assert_eq!(x.partial_cmp(&y), Some(x.cmp(&y)), "{x:?} {y:?}");
                assert_eq!(y.to_string(), **other);
                assert_eq!(hash(&x) == hash(&y), one == other, "{x:?} {y:?}");
                assert_eq!(HashSet::from([x]).contains(&y), one == other, "{y:?}");
            }
        }
    }

    check::<SpiffeId>(&[
        "spiffe://a.example",
        "spiffe://a.example/b",
        "spiffe://a.example/B",
        "spiffe://a.example/b/c",
        "spiffe://a/example/b",
        "spiffe://b.example/b",
    ]);
    check::<WorkloadId>(&[
        "spiffe://a.example/b",
        "wimse://a.example",
        "wimse://a.example/b",
        "wimse://a.example/B",
        "wimse://a/example/b",
        "wims://a.example/b",
    ]);
    check::<TrustDomain>(&["a.example", "a", "a-example", "b.example"]);
    check::<Uri>(&[
        "urn:a:b",
        "URN:a:b",
        "urn:a:B",
        "https://a/%7e",
        "https://a/~",
    ]);
    check::<DnsName>(&["a.example", "b.example", "a.b.example"]);
    check::<CommonName>(&["alice", "Alice", "alice ", "alicé", "alice\u{301}"]);
    check::<OrganizationalUnit>(&["dev", "ops"]);
    check::<KubernetesUser>(&["CN=a", "CN=a,O=b", "CN=a\\,O\\=b"]);
}

#[test]
fn parts_of_identities() {
    let ca = TestCa::new("Root");
    let certificate = ca.leaf().common_name("worker").issue().certificate();
    let subject = Subject::extractor().extract(&certificate).unwrap();
    assert_eq!(subject.name(), certificate.subject());

    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
        let plain: IpAddr = address.parse().unwrap();
        assert_eq!(IpAddress::from(plain), parsed(address));
        assert_eq!(parsed::<IpAddress>(address).get(), plain);
    }
    for (uri, scheme) in [("urn:a:b", "urn"), ("HTTPS://a:1/b:c", "HTTPS")] {
        assert_eq!(parsed::<Uri>(uri).scheme(), scheme);
    }
}

/// Logs name the type beside the value, so that equal texts of different types stay distinct.
#[test]
fn debug_output_names_the_type() {
    let serial = "serial:-60ff issuer:#300c310a300806035504030c0161";
    for (printed, expected) in [
        (
            format!("{:?}", parsed::<SpiffeId>("spiffe://d/a")),
            "SpiffeId(spiffe://d/a)",
        ),
        (
            format!("{:?}", parsed::<WorkloadId>("spiffe://d/a")),
            "WorkloadId(spiffe://d/a)",
        ),
        (
            format!("{:?}", parsed::<TrustDomain>("d.example")),
            "TrustDomain(d.example)",
        ),
        (
            format!("{:?}", parsed::<DnsName>("d.example")),
            "DnsName(\"d.example\")",
        ),
        (
            format!("{:?}", parsed::<CommonName>("a \"b\"")),
            "CommonName(\"a \\\"b\\\"\")",
        ),
        (
            format!("{:?}", parsed::<IpAddress>("2001:DB8::1")),
            "IpAddress(2001:db8::1)",
        ),
        (
            format!("{:?}", parsed::<Subject>("#300c310a300806035504030c0161")),
            "Subject(CN=a)",
        ),
        (
            format!("{:?}", parsed::<SerialAndIssuer>(serial)),
            "SerialAndIssuer(-60ff, CN=a)",
        ),
        (
            format!("{:?}", parsed::<ExtensionValue>("0C01ff")),
            "ExtensionValue(0c01ff)",
        ),
        (format!("{:?}", WorkloadId::extractor()), "Single(URI SAN)"),
        (format!("{:?}", DnsName::all()), "Multiple(DNS SAN)"),
    ] {
        assert_eq!(printed, expected);
    }
}
