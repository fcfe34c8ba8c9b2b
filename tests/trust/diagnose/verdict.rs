//! Whatever is wrong, and however much of it: the verdict is the verifier's.

use std::time::Duration;

use countersign::Side;
use countersign::diagnose::Case;
use countersign::testing::{Issued, KeyUsageBits, LeafBuilder, TestCa, der};
use countersign::trust::Profile;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{checked, verifier};

fn at(days: i64) -> UnixTime {
    const DAY: i64 = 24 * 60 * 60;
    let seconds = UnixTime::now().as_secs().saturating_add_signed(days * DAY);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

type Vary = fn(LeafBuilder) -> LeafBuilder;

fn leaves() -> Vec<Vary> {
    vec![
        |leaf| leaf,
        |leaf| leaf.expired(),
        |leaf| leaf.not_yet_valid(),
        |leaf| leaf.version(1),
        |leaf| leaf.ca(),
        |leaf| leaf.server_only(),
        |leaf| leaf.key_usage(Some(KeyUsageBits::KEY_CERT_SIGN)),
        |leaf| leaf.extended_key_usage(None),
        |leaf| leaf.extension("1.2.3.4", true, &der::null()),
        |leaf| leaf.signature(vec![0; 70]),
        |leaf| leaf.without_extensions(),
        |leaf| {
            leaf.common_name("evil\u{202e}\n\u{1b}[2J")
                .dns("a\nb.example")
        },
    ]
}

fn authorities(root: &TestCa) -> Vec<TestCa> {
    let permits_nothing = der::sequence(&[der::tlv(
        0xa0,
        der::sequence(&[der::tlv(0x82, "corp.example")]),
    )]);
    let builder = || TestCa::builder("Issuing");
    vec![
        root.clone(),
        builder().signed_by(root),
        builder()
            .path_len(Some(0))
            .signed_by(root)
            .intermediate("Below"),
        builder().no_basic_constraints().signed_by(root),
        builder().key_usage(None).signed_by(root),
        builder()
            .key_usage(Some(KeyUsageBits::CRL_SIGN))
            .signed_by(root),
        builder()
            .extended_key_usage(&["1.3.6.1.5.5.7.3.1"])
            .signed_by(root),
        builder().name_constraints(&permits_nothing).signed_by(root),
        builder()
            .name_constraints(b"\x30\x02\xa0\x00")
            .signed_by(root),
        builder().validity(at(-9), at(-3)).signed_by(root),
        builder().version(1).signed_by(root),
        builder().signed_by(&TestCa::new("Stranger")),
        builder().signed_by(&root.same_name_other_key()),
        TestCa::builder("Root").signed_by(root), // self-issued
        TestCa::builder("Root")
            .path_len(Some(0))
            .signed_by(root)
            .intermediate("Below"),
        TestCa::builder("Root")
            .name_constraints(&permits_nothing)
            .signed_by(root),
    ]
}

/// How a peer may send its chain.
fn presented(issued: &Issued, other: &TestCa) -> Vec<Vec<CertificateDer<'static>>> {
    let whole = issued.chain().to_vec();
    let mut reversed = whole.clone();
    reversed[1..].reverse();
    let mut twice = whole.clone();
    twice.extend_from_slice(&whole[1..]);
    let mut with_others = whole.clone();
    with_others.push(other.certificate_der());
    let mut behind_garbage = whole.clone();
    behind_garbage.push(CertificateDer::from(vec![0x30, 0]));
    vec![
        issued.leaf_only().chain().to_vec(),
        reversed,
        twice,
        with_others,
        behind_garbage,
        whole,
        Vec::new(),
    ]
}

#[test]
fn it_never_disagrees_with_the_verifier() {
    let root = TestCa::new("Root");
    let other = TestCa::new("Other");
    let (mut good, mut bad) = (0, 0);
    let verifiers = [
        verifier(root.trust(), Side::Client),
        verifier(root.trust().and(other.trust()), Side::Server).profile(Profile::Rfc5280),
        verifier(other.trust(), Side::Client),
    ];
    let chains = authorities(&root).into_iter().flat_map(|authority| {
        let vary = |vary: Vary| {
            let leaf = authority.leaf().common_name("alice").dns("alice.example");
            presented(&vary(leaf).issue(), &other)
        };
        leaves().into_iter().flat_map(vary).collect::<Vec<_>>()
    });
    for chain in chains {
        for verifier in &verifiers {
            for now in [at(0), at(-3000), at(3)] {
                let report = checked(&chain, verifier, &Case::new(verifier, now), now);
                if report.is_good() {
                    good += 1;
                } else {
                    bad += 1;
                    names_no_finding_twice(&report);
                }
            }
        }
    }
    assert!(good > 200 && bad > 5_000, "{good} good, {bad} bad");
}

fn names_no_finding_twice(report: &countersign::diagnose::Report) {
    for (index, finding) in report.findings().iter().enumerate() {
        assert!(!report.findings()[..index].contains(finding), "{report}");
    }
}

/// A peer sends ten authorities that all have one name and one key: no search among them may take
/// longer than a moment.
#[test]
fn a_chain_made_to_be_searched_long_is_not() {
    let root = TestCa::new("Root");
    let same = root.intermediate("Same");
    let mut chain = same
        .leaf()
        .common_name("alice")
        .issue()
        .leaf_only()
        .chain()
        .to_vec();
    for _ in 0..9 {
        chain.push(same.cross_signed_by(&TestCa::new("Same")).certificate_der());
    }
    let begin = std::time::Instant::now();
    let report = super::examine(root.trust(), &chain);
    assert!(!report.is_good());
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

/// Chains with a few octets changed, cut off or added: whatever is read of them, it is examined
/// without a panic, and as the verifier has it.
#[test]
fn damaged_chains() {
    let root = TestCa::new("Root");
    let narrow = der::sequence(&[der::tlv(
        0xa0,
        der::sequence(&[der::tlv(0x82, "corp.example")]),
    )]);
    let issuing = TestCa::builder("Issuing")
        .path_len(Some(1))
        .name_constraints(&narrow)
        .extended_key_usage(&["1.3.6.1.5.5.7.3.2"])
        .signed_by(&root);
    let access = der::sequence(&[der::sequence(&[
        der::oid("1.3.6.1.5.5.7.48.2"),
        der::tlv(0x86, "http://ca.example/"),
    ])]);
    let issued = issuing
        .intermediate("Below")
        .leaf()
        .common_name("alice")
        .dns("alice.corp.example")
        .extension("1.3.6.1.5.5.7.1.1", false, &access)
        .issue();
    let lists =
        [&root, &issuing].map(|ca| countersign::pki::Crl::from_der(&ca.crl().build()).unwrap());
    let crls = countersign::trust::Crls::new(lists).unwrap();
    let verifiers = [
        verifier(root.trust(), Side::Client),
        verifier(root.trust(), Side::Client).revocation(crls),
    ];
    // The same numbers in every run (xorshift).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let mut read = 0;
    for round in 0..800 {
        let mut chain: Vec<Vec<u8>> = issued.chain().iter().map(|der| der.to_vec()).collect();
        let which = below(chain.len());
        let bytes = &mut chain[which];
        let place = below(bytes.len());
        match round % 4 {
            0 => bytes[place] ^= 1 << below(8),
            1 => bytes[place] = below(256) as u8,
            2 => {
                let other = below(bytes.len());
                bytes.swap(place, other);
            }
            _ => bytes.truncate(place),
        }
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(Into::into).collect();
        for verifier in &verifiers {
            let report = checked(&chain, verifier, &Case::new(verifier, at(0)), at(0));
            read += usize::from(
                report
                    .cause()
                    .is_some_and(|cause| cause.code() != "malformed_certificate"),
            );
        }
    }
    assert!(read > 150, "{read}");
}
