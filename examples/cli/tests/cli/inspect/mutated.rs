//! Damaged files: every report about them matches the schema.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use countersign::Side;
use countersign::testing::{TestCa, der};
use rustls_pki_types::UnixTime;
use serde_json::Value;

use super::reports::{asking, report_for};
use crate::identities::{hex, of_each_kind};

/// Numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// In DER and in PEM, one name or more of each kind.
fn whole_files(ca: &TestCa) -> Vec<Vec<u8>> {
    let rich = ca
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .spiffe("spiffe://example.org/a")
        .dns("a.example.org")
        .email("a@example.org")
        .ip("192.0.2.1".parse().expect("an address"))
        .upn("alice@corp.example")
        .directory_name(&der::common_name("dir"))
        .registered_id("1.2.3")
        .extension("1.3.6.1.5.5.7.1.3", false, &der::sequence(&[der::null()]))
        .issue();
    let mut files = vec![
        rich.leaf_der().to_vec(),
        rich.chain_pem().into_bytes(),
        ca.certificate_der().to_vec(),
    ];
    files.extend(
        of_each_kind(ca)
            .into_iter()
            .map(|named| named.issued.leaf_der().to_vec()),
    );
    files
}

#[test]
fn no_mutation_makes_it_fail() {
    const ROUNDS: usize = 60;
    let ca = TestCa::new("Root");
    let question = asking(ca.trust(), Side::Client, UnixTime::now());
    let files = whole_files(&ca);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut looked, mut read) = (0, 0);
    for file in &files {
        for round in 0..ROUNDS {
            let mut bytes = file.clone();
            let at = dice.below(bytes.len());
            match round % 6 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => bytes[at] = dice.below(256) as u8,
                3 => {
                    bytes.insert(at, dice.below(256) as u8);
                }
                4 => {
                    let other = &files[dice.below(files.len())];
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[dice.below(other.len())..]);
                }
                _ => {
                    for _ in 0..dice.below(8) + 1 {
                        let at = dice.below(bytes.len());
                        bytes[at] = dice.below(256) as u8;
                    }
                }
            }
            // As PEM too: what is wrong is then the certificate's fault alone.
            let pem = der::pem("CERTIFICATE", &bytes).into_bytes();
            for bytes in [bytes, pem] {
                let report = shown_if_it_fails(&bytes, || report_for(&bytes, &question));
                looked += 1;
                read += usize::from(report["certificate"].is_object());
                assert!(report["verify"].is_object());
            }
        }
    }
    // Neither all nothing nor all well.
    assert!(looked >= 1_000, "{looked}");
    assert!(read > looked / 10 && read < looked, "{read} of {looked}");
}

#[test]
fn the_first_of_concatenated_files_is_reported() {
    let ca = TestCa::new("Root");
    let kinds = of_each_kind(&ca);
    let question = asking(ca.trust(), Side::Client, UnixTime::now());
    for pair in kinds.windows(2) {
        let [first, second] = pair else { continue };
        let both = [first.issued.chain_pem(), second.issued.chain_pem()].concat();
        let report = report_for(&both, &question);
        let alone = report_for(first.issued.chain_pem(), &question);
        assert_eq!(report, alone);
        assert_ne!(report["verify"]["ok"], Value::Null);
    }
}

fn shown_if_it_fails<T>(bytes: &[u8], inspect: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(inspect)).unwrap_or_else(|panic| {
        eprintln!("the file was {}", hex(bytes));
        resume_unwind(panic)
    })
}
