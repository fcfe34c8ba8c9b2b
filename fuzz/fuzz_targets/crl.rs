//! Revocation lists: any bytes load as a whole or return an error with a reason, and rustls-webpki reads
//! the same entries.
#![no_main]

use countersign::Certificate;
use countersign::pki::Crl;
use countersign::testing::TestCa;
use countersign::trust::{Crls, Revocation};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use webpki::{BorrowedCertRevocationList, CertRevocationList, OwnedCertRevocationList};

static LEAF: LazyLock<Certificate> = LazyLock::new(|| {
    TestCa::new("Root")
        .leaf()
        .dns("a.example")
        .issue()
        .certificate()
});

fuzz_target!(|bytes: &[u8]| {
    match Crl::from_der(bytes) {
        Ok(crl) => {
            same_as_webpki(&crl, bytes);
            // A random serial number is revoked only if the list contains it.
            assert!(!crl.revokes(LEAF.serial()) || contains(bytes, LEAF.serial().as_bytes()));
            assert_eq!(crl.is_empty(), crl.len() == 0);
            let text = crl.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            let _ = format!("{:?}", Revocation::new(Crls::new([crl]).expect("one")));
        }
        Err(problem) => one_line(problem.reason(), &problem),
    }
    match Crls::from_bytes(bytes) {
        Ok(crls) => assert!(!crls.lists().is_empty()),
        Err(error) => one_line(error.reason(), &error),
    }
});

fn same_as_webpki(crl: &Crl, bytes: &[u8]) {
    let Ok(borrowed) = BorrowedCertRevocationList::from_der(bytes) else {
        return;
    };
    let Ok(entries) = borrowed.into_iter().collect::<Result<Vec<_>, _>>() else {
        return;
    };
    assert_eq!(crl.len(), entries.len());
    let owned = OwnedCertRevocationList::from_der(bytes).expect("the borrowed form was read");
    let theirs = CertRevocationList::from(owned);
    assert!(crl.issuer().der().ends_with(theirs.issuer()));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn one_line(reason: &str, error: &dyn std::error::Error) {
    assert!(!reason.is_empty());
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{reason}: {text:?}");
    let _ = format!("{error:?}");
}
