//! What an extractor checks besides the grammar: the encodings of the subject, and the name constraints of the
//! certificate's issuers.

use std::fmt::Debug;

use countersign::identity::{
    CommonName, DnsName, IdentityExtractor, KubernetesUser, OrganizationalUnit, Psd2, SpiffeId,
    Subject,
};
use countersign::pki::StringRules;
use countersign::testing::{TestCa, der};
use countersign::{Certificate, Diagnostic as _};

use super::subject::{QC_STATEMENTS, role, statement};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const OU: &str = "2.5.4.11";
const ORGANIZATION_ID: &str = "2.5.4.97";

/// Whether the strict one of two extractors rejects a certificate that the lenient one reads. A clone has the same
/// rules.
fn is_too_loose<X>([lenient, strict]: [X; 2], certificate: &Certificate) -> bool
where
    X: IdentityExtractor<Identity: Debug + PartialEq> + Clone,
{
    let read = lenient.extract(certificate);
    assert!(read.is_ok(), "{read:?}");
    let answers = [strict.clone(), strict].map(|strict| strict.extract(certificate));
    assert_eq!(answers[0], answers[1]);
    match &answers[0] {
        Err(error) => {
            assert_eq!(error.reason(), "bad_encoding");
            let why = "is a PrintableString that the strict string rules do not allow";
            assert!(error.cause().contains(why), "{error}");
            true
        }
        same => {
            assert_eq!(same, &read);
            false
        }
    }
}

/// An underscore is not a character of PrintableString (X.680), and has one reading.
#[test]
fn strict_string_rules_apply_to_the_attributes_of_the_identity() {
    let ca = TestCa::new("Root");
    let psd2 = statement(&[role("0.4.0.19495.1.3", "PSP_AI")], "A", "GB-FCA");
    let all = [
        (CN, "pump_7"),
        (O, "dev_1"),
        (OU, "unit_2"),
        (ORGANIZATION_ID, "PSDGB-FCA-1_2"),
    ];
    for (loose, _) in all {
        let leaf = all.iter().fold(ca.leaf(), |leaf, (oid, text)| {
            let tag = if *oid == loose {
                der::PRINTABLE_STRING
            } else {
                der::UTF8_STRING
            };
            leaf.attribute(oid, tag, text.as_bytes())
        });
        let certificate = leaf
            .spiffe("spiffe://example.org/a")
            .extension(QC_STATEMENTS, false, &der::sequence(&[&psd2]))
            .issue()
            .certificate();
        let both = [StringRules::Lenient, StringRules::Strict];

        let of = both.map(|rules| CommonName::extractor().strings(rules));
        assert_eq!(is_too_loose(of, &certificate), loose == CN, "{loose}");
        let of = both.map(|rules| OrganizationalUnit::extractor().strings(rules));
        assert_eq!(is_too_loose(of, &certificate), loose == OU, "{loose}");
        let of = both.map(|rules| OrganizationalUnit::all().strings(rules));
        assert_eq!(is_too_loose(of, &certificate), loose == OU, "{loose}");
        let of = both.map(|rules| KubernetesUser::extractor().strings(rules));
        let is_read = [CN, O].contains(&loose);
        assert_eq!(is_too_loose(of, &certificate), is_read, "{loose}");
        let of = both.map(|rules| Psd2::extractor().strings(rules));
        assert_eq!(is_too_loose(of, &certificate), loose == ORGANIZATION_ID);
        // They are not read from text of the subject.
        let of = both.map(|rules| SpiffeId::extractor().strings(rules));
        assert!(!is_too_loose(of, &certificate), "{loose}");
        let of = both.map(|rules| Subject::extractor().strings(rules));
        assert!(!is_too_loose(of, &certificate), "{loose}");
    }
}

/// A common name that looks like a DNS name is checked wherever its extractor is a part of another one.
#[test]
fn name_constraints_apply_to_common_names_in_every_combination() {
    fn text(name: impl ToString) -> String {
        name.to_string()
    }

    let ca = TestCa::new("Root");
    let cn = CommonName::extractor;
    let id = SpiffeId::extractor;
    let combinations: [(&str, Box<dyn IdentityExtractor<Identity = String>>); 7] = [
        ("converted", Box::new(cn().map(text))),
        (
            "converted or rejected",
            Box::new(cn().try_map(|name| Ok(text(name)))),
        ),
        (
            "the first of a pair",
            Box::new(cn().and(id()).map(|(name, _)| text(name))),
        ),
        (
            "the second of a pair",
            Box::new(id().and(cn()).map(|(_, name)| text(name))),
        ),
        (
            "the first choice",
            Box::new(cn().map(text).or(id().map(text))),
        ),
        (
            "the second choice",
            Box::new(DnsName::extractor().map(text).or(cn().map(text))),
        ),
        (
            "a Kubernetes user",
            Box::new(KubernetesUser::extractor().map(|user| user.name().to_owned())),
        ),
    ];
    let permitted = |name: &str| name.ends_with(".ours.example");
    for (which, extractor) in &combinations {
        for (name, is_permitted) in [
            ("a.ours.example", true),
            ("a.theirs.example", false),
            ("*.theirs.example", false),
            ("alice", true),
            ("alice of a.theirs.example", true),
        ] {
            let leaf = ca.leaf().common_name(name).spiffe("spiffe://example.org/a");
            let certificate = leaf.issue().certificate();
            let unconstrained = extractor.extract(&certificate);
            assert_eq!(unconstrained.as_deref(), Ok(name), "{which}");
            let constrained = extractor.extract_constrained(&certificate, &permitted);
            match constrained {
                Ok(read) => assert!(is_permitted && read == name, "{which}: {name}"),
                Err(error) => {
                    assert!(!is_permitted, "{which}: {name}");
                    assert_eq!(error.reason(), "forbidden");
                    assert!(error.cause().contains(name), "{error}");
                }
            }
        }
        // Nothing that is absent is permitted instead.
        let none = ca.leaf().issue().certificate();
        let missing = extractor.extract_constrained(&none, &permitted);
        assert_eq!(missing.unwrap_err().reason(), "missing", "{which}");
    }
}
