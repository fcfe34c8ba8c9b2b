//! The page of the manual with twenty refusals, written from the cases that are made.

use std::fmt::Write as _;

use super::made;
use super::ours::Verdict;
use super::snapshot::{comparable, is_renewing};

const PAGE: &str = "manual/refusals.md";

const HEAD: &str = "\
# Refusals

Twenty certificates, keys and CRLs as they are found in practice, each with what this crate says: the reason code,
what is wrong and where, and what to do. `countersign inspect --explain` prints the same about your own files. In this
page, `<time>` and `<digest>` replace values that differ from one certificate to the next.

A test makes each case anew and compares this page with the outcome: `RENEW_VERDICTS=1 cargo test -p
countersign-differential-tests cases` writes it.
";

const SHOWN: [&str; 20] = [
    "missing-intermediate",
    "issuer-other-string-type",
    "rekeyed-intermediate",
    "expired-intermediate",
    "not-yet-valid",
    "server-auth-only",
    "leaf-rsa-1024",
    "leaf-brainpool",
    "signature-sha1",
    "unknown-critical",
    "permitted-mail-outside",
    "time-without-seconds",
    "crl-without-number",
    "crl-v1",
    "shard-missing",
    "crl-of-root-missing",
    "pem-pkcs7",
    "pem-trusted-certificate",
    "key-encrypted",
    "key-openssh",
];

#[test]
fn the_page_of_refusals_says_what_the_crate_says() {
    let cases = made::cases();
    let mut page = HEAD.to_owned();
    for (number, name) in (1..).zip(SHOWN) {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let Verdict::Refused {
            step,
            reason,
            cause,
            remedy,
        } = case.verdict()
        else {
            panic!("{name} is accepted");
        };
        let of_case = format!(
            "\n## {number}. {}\n\nRefused with `{reason}`, when {step}.\n\n```text\n{cause}\n```\n\n```text\n{remedy}\n```\n",
            case.what
        );
        page.write_str(&comparable(&of_case)).unwrap();
    }
    let file = support::workspace().join(PAGE);
    if is_renewing() {
        std::fs::write(&file, &page).unwrap();
    }
    let present = std::fs::read_to_string(&file).unwrap();
    assert!(
        present == page,
        "{PAGE} is not what the crate says now (RENEW_VERDICTS=1 writes it)"
    );
}
