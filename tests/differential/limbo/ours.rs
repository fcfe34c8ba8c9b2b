//! The verdict of our verifier.

use countersign::trust::{ChainVerifier, Crls, EkuPolicy, Limits, Profile};
use countersign::{Certificate, TrustStore};

use super::case::{Case, Side};

#[derive(Clone, Copy)]
pub(crate) enum Options {
    Default,
    /// What limbo expects: extendedKeyUsage is there, and issuers keep to RFC 5280.
    Strict,
}

impl Options {
    /// Of two cases that contradict each other, the one that is to succeed has the options which
    /// the other is about at their defaults.
    pub(crate) fn of_case(case: &Case) -> Self {
        if case.expects_success() && !case.conflicts_with.is_empty() {
            Self::Default
        } else {
            Self::Strict
        }
    }
}

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    #[expect(dead_code, reason = "shown when a test fails")]
    message: String,
}

macro_rules! refusal {
    () => {
        |error| Refusal {
            reason: error.reason(),
            message: error.to_string(),
        }
    };
}

pub(crate) fn decide(case: &Case, options: Options) -> Result<(), Refusal> {
    let store = TrustStore::from_pem(case.trusted_certs.concat()).map_err(refusal!())?;
    let usage = match case.peer {
        Side::Client => countersign::Side::Client,
        Side::Server => countersign::Side::Server,
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(store, usage, &provider).limits(limits(case));
    let verifier = match options {
        Options::Default => verifier,
        Options::Strict => verifier
            .extended_key_usage(EkuPolicy::Required)
            .profile(Profile::Rfc5280),
    };
    let verifier = with_crls(verifier, case)?;
    let chain = verifier
        .verify(&case.presented(), case.now())
        .map_err(refusal!())?;
    match case.server_name() {
        Some(name) => ChainVerifier::verify_name(chain.leaf(), &name).map_err(refusal!()),
        None => Ok(()),
    }
}

/// Whoever gives CRLs wants them looked at, by the default choices.
fn with_crls(verifier: ChainVerifier, case: &Case) -> Result<ChainVerifier, Refusal> {
    if case.crls.is_empty() {
        return Ok(verifier);
    }
    let crls = Crls::from_bytes(case.crls.concat()).map_err(refusal!())?;
    Ok(verifier.revocation(crls))
}

/// limbo counts the intermediates on a path but for those that are self-issued (RFC 5280 section
/// 6.1); our limit counts all that is presented.
fn limits(case: &Case) -> Limits {
    let Some(depth) = case.max_chain_depth else {
        return Limits::default();
    };
    let self_issued = case.presented()[1..]
        .iter()
        .filter(|der| Certificate::from_der(der).unwrap().is_self_issued())
        .count();
    Limits::default().chain_length(1 + depth + self_issued)
}
