//! Why a chain is refused: the cause is named first, and the verdict is the verifier's.

mod causes;
mod verdict;

use countersign::Side;
use countersign::diagnose::{Case, Report, diagnose};
use countersign::trust::{ChainVerifier, Trust};
use rustls_pki_types::{CertificateDer, UnixTime};

pub(crate) fn verifier(trust: impl Into<Trust>, usage: Side) -> ChainVerifier {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    ChainVerifier::new(trust, usage, &provider)
}

/// What is said of a client's chain, now.
pub(crate) fn examine(trust: impl Into<Trust>, chain: &[CertificateDer<'_>]) -> Report {
    let verifier = verifier(trust, Side::Client);
    checked(
        chain,
        &verifier,
        &Case::new(&verifier, UnixTime::now()),
        UnixTime::now(),
    )
}

/// A report, with what holds of all: it says what the verifier says.
pub(crate) fn checked(
    chain: &[CertificateDer<'_>],
    verifier: &ChainVerifier,
    case: &Case<'_>,
    now: UnixTime,
) -> Report {
    let report = diagnose(chain, case);
    let verified = verifier.verify(chain, now);
    assert_eq!(report.verified().map(drop), verified.as_ref().map(drop));
    let of_chain = report.findings().iter().filter(|finding| {
        !matches!(
            finding.code(),
            "name_mismatch" | "key_mismatch" | "unusable_key"
        )
    });
    assert_eq!(of_chain.count() == 0, verified.is_ok(), "{report}");

    let codes: Vec<&str> = report.steps().iter().map(|step| step.code()).collect();
    assert_eq!(
        codes,
        [
            "read",
            "leaf",
            "trust",
            "path",
            "validity",
            "constraints",
            "revocation",
            "name",
            "key"
        ]
    );
    let text = report.to_string();
    let deceives = |character: char| character.is_control() && character != '\n';
    assert!(!text.contains(deceives), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text:?}");
    for finding in report.findings() {
        assert!(!finding.cause().is_empty() && !finding.remedy().is_empty());
        for line in [finding.cause(), finding.remedy()] {
            assert!(!line.contains('\n') && !line.ends_with('.'), "{line:?}");
        }
        for command in finding.commands() {
            assert!(!command.contains('\n') && command.is_ascii(), "{command:?}");
        }
    }
    report
}
