//! Whether a chain is trusted.

use countersign::Certificate;
use countersign::Side;
use countersign::rustls::crypto::aws_lc_rs;
use countersign::trust::{Anchor, ChainVerifier, VerifiedChain};
use serde::Serialize;

use super::chain::Chain;
use super::{Outcome, Question, text};
use crate::options::TrustSettings;

/// A chain that is trusted.
#[derive(Serialize)]
pub(super) struct Verdict {
    #[serde(rename = "as")]
    pub(super) side: &'static str,
    pub(super) at: String,
    /// The certificate first, then its issuers up to the anchor, which is not included.
    pub(super) path: Vec<Step>,
    pub(super) anchor: DescribedAnchor,
    /// When the first certificate of the path expires.
    pub(super) not_after: String,
}

#[derive(Serialize)]
pub(super) struct Step {
    pub(super) subject: String,
    pub(super) sha256: String,
}

#[derive(Serialize)]
pub(super) struct DescribedAnchor {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Of a root whose name can be read.
    pub(super) subject: Option<String>,
}

/// `None` without trust.
pub(super) fn verify(chain: &Chain, question: &Question) -> Option<Outcome<Verdict>> {
    let refused = |error, message| Some(Outcome::Error { error, message });
    let trusted = match &question.trusted {
        Ok(trusted) if trusted.trust.is_empty() => return None,
        Ok(trusted) => trusted,
        Err(error) => return refused(error.reason(), text::on_one_line(&error.to_string())),
    };
    if let Some(problem) = &chain.problem {
        let reason = if chain.certificates.is_empty() {
            "no_certificate"
        } else {
            "damaged_file" // the rest of the chain is unknown
        };
        return refused(reason, problem.clone());
    }
    match verifier(trusted, question.usage).verify(&chain.certificates, question.now) {
        Ok(verified) => Some(Outcome::Ok {
            ok: Verdict::new(&verified, question),
        }),
        Err(error) => refused(error.reason(), error.to_string()),
    }
}

/// The verifier of a server or a client with the same options.
pub(super) fn verifier(trusted: &TrustSettings, usage: Side) -> ChainVerifier {
    let provider = aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(trusted.trust.clone(), usage, &provider);
    match &trusted.revocation {
        Some(revocation) => verifier.revocation(revocation.clone()),
        None => verifier,
    }
}

pub(super) const fn side(usage: Side) -> &'static str {
    match usage {
        Side::Client => "client",
        Side::Server => "server",
    }
}

impl Verdict {
    fn new(verified: &VerifiedChain, question: &Question) -> Self {
        let step = |certificate: &Certificate| Step {
            subject: certificate.subject().to_string(),
            sha256: certificate.sha256().to_string(),
        };
        let (kind, subject) = match verified.anchor() {
            Anchor::Root { subject } => ("root", subject.as_ref().map(ToString::to_string)),
            Anchor::PinnedCertificate => ("pinned_certificate", None),
            Anchor::PinnedKey => ("pinned_key", None),
            _ => ("unknown", None), // one that the library learns later
        };
        Self {
            side: side(question.usage),
            at: text::time(question.now),
            path: verified.certificates().iter().map(step).collect(),
            anchor: DescribedAnchor { kind, subject },
            not_after: text::time(verified.not_after()),
        }
    }
}
