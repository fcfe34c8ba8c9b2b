//! The diagnosis of hostile chains: it agrees with the verifier, names the verifier's reason, and is bounded.
//!
//! The input is that of `path`, and after a zero byte twice in a row, edits of one of the certificates: its
//! place, and for each edit a position of two bytes and a value.
#![no_main]

mod shared;

use countersign::diagnose::{Case, diagnose};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::ServerName;
use shared::pki::PKI;
use shared::text::{one_line, refused};

/// Far more than any chain of ten has.
const MOST: usize = 64;

fuzz_target!(|input: &[u8]| {
    let at = input.windows(2).skip(5).position(|pair| pair == [0, 0]);
    let (choice, edits) = match at {
        Some(at) => (&input[..at + 5], &input[at + 7..]),
        None => (input, &[][..]),
    };
    let Some(mut chosen) = PKI.choose(choice) else {
        return;
    };
    if let ([place, edits @ ..], false) = (edits, chosen.chain.is_empty()) {
        let place = usize::from(*place) % chosen.chain.len();
        let mut der = chosen.chain[place].to_vec();
        for edit in edits.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % der.len();
            der[at] ^= edit[2];
        }
        chosen.chain[place] = der.into();
    }
    let Some(verifier) = chosen.verifier() else {
        return;
    };
    let verdict = verifier.verify(&chosen.chain, chosen.now);
    let name = ServerName::try_from("x.example.org").expect("a name");
    for case in [
        Case::new(&verifier, chosen.now),
        Case::new(&verifier, chosen.now).server_name(&name),
    ] {
        let report = diagnose(&chosen.chain, &case);
        assert_eq!(report.is_good(), report.findings().is_empty());
        match &verdict {
            Ok(_) => {
                let others = report.findings().iter();
                let mut others = others.filter(|finding| finding.code() != "name_mismatch");
                assert!(others.next().is_none(), "{report}");
            }
            Err(error) => {
                assert!(!report.is_good(), "{error}");
                let codes: Vec<_> = report.findings().iter().map(|it| it.code()).collect();
                let cause = report.cause().expect("a finding");
                refused(error);
                assert!(
                    fits(error.reason(), cause.code()),
                    "{}: {codes:?}",
                    error.reason()
                );
            }
        }
        assert!(report.findings().len() <= MOST && report.steps().len() <= MOST);
        assert!(report.to_string().len() <= 64 * 1024);
        for finding in report.findings() {
            one_line(finding.code());
            one_line(finding.cause());
            one_line(finding.remedy());
            assert!(
                finding
                    .commands()
                    .iter()
                    .all(|command| command.len() < 4096)
            );
        }
        for step in report.steps() {
            one_line(step.detail());
        }
    }
});

/// Whether this is the verifier's reason, or a more precise form of it.
fn fits(reason: &str, code: &str) -> bool {
    let is_about_constraints = matches!(
        code,
        "path_length"
            | "path_too_deep"
            | "name_constraints"
            | "critical_extension"
            | "issuer_may_not_sign"
            | "wrong_extended_key_usage"
            | "breaks_rfc5280"
    );
    let is_more_precise = match reason {
        "unknown_issuer" => {
            is_about_constraints
                || matches!(
                    code,
                    "missing_issuer"
                        | "missing_intermediate"
                        | "untrusted_root"
                        | "self_signed"
                        | "root_of_other_trust_domain"
                        | "issuer_name_differs"
                )
        }
        "bad_signature" => is_about_constraints || code == "same_name_other_key",
        "not_yet_valid" => code == "clock_wrong",
        "invalid_path" => is_about_constraints || code == "invalid_validity",
        _ => false,
    };
    reason == code || is_more_precise
}
