//! Verdicts in one word.

use std::sync::LazyLock;
use std::time::Duration;

use countersign::Side;
use countersign::TrustStore;
use countersign::pki::{Certificate, Crl};
use countersign::testing::{CrlBuilder, Issued, TestCa};
use countersign::trust::{ChainError, ChainVerifier, Crls, Revocation, VerifiedChain};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, UnixTime};

/// The same for a whole test, so that two times in it differ by what it says.
static NOW: LazyLock<UnixTime> = LazyLock::new(UnixTime::now);

/// So many hours from now (negative: ago).
pub(crate) fn hours(offset: i64) -> UnixTime {
    seconds_after(*NOW, offset * 3600)
}

pub(crate) fn seconds_after(time: UnixTime, seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        time.as_secs().saturating_add_signed(seconds),
    ))
}

pub(crate) fn crl(list: CrlBuilder) -> Crl {
    Crl::from_der(&list.build()).unwrap()
}

pub(crate) fn crls(lists: impl IntoIterator<Item = CrlBuilder>) -> Crls {
    Crls::new(lists.into_iter().map(crl)).unwrap()
}

pub(crate) fn certificate(ca: &TestCa) -> Certificate {
    Certificate::from_der(&ca.certificate_der()).unwrap()
}

/// The serial number of an authority's own certificate.
pub(crate) fn serial(ca: &TestCa) -> Vec<u8> {
    certificate(ca).serial().as_bytes().to_vec()
}

pub(crate) fn verifier(trust: TrustStore, revocation: impl Into<Revocation>) -> ChainVerifier {
    ChainVerifier::new(trust, Side::Client, &default_provider()).revocation(revocation)
}

/// `good`, or the reason of the refusal.
pub(crate) fn says(verifier: &ChainVerifier, peer: &Issued) -> &'static str {
    says_of(verifier, peer.chain())
}

pub(crate) fn says_of(verifier: &ChainVerifier, chain: &[CertificateDer<'_>]) -> &'static str {
    word(verifier.verify(chain, *NOW))
}

pub(crate) fn says_at(verifier: &ChainVerifier, peer: &Issued, now: UnixTime) -> &'static str {
    word(verifier.verify(peer.chain(), now))
}

fn word(verdict: Result<VerifiedChain, ChainError>) -> &'static str {
    verdict.map_or_else(|error| error.reason(), |_| "good")
}

pub(crate) fn error(verifier: &ChainVerifier, peer: &Issued) -> ChainError {
    verifier.verify(peer.chain(), *NOW).unwrap_err()
}
