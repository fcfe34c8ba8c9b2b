//! Why a chain is rejected, step by step.

use countersign::Certificate;
use countersign::diagnose::{self, Case, diagnose};
use countersign::rustls::crypto::aws_lc_rs;
use serde::{Serialize, Serializer};

use super::Question;
use super::chain::Chain;
use super::verdict::{self, Step as Named};

/// The library's diagnosis.
pub(super) struct Explained(diagnose::Report);

/// `None` without `--explain`, without a chain to examine, and without trust: the verdict covers that.
pub(super) fn explain(chain: &Chain, question: &Question) -> Option<Explained> {
    let trusted = question.trusted.as_ref().ok()?;
    if !question.explain || trusted.trust.is_empty() || chain.problem.is_some() {
        return None;
    }
    let verifier = verdict::verifier(trusted, question.usage);
    let mut case = Case::new(&verifier, question.now);
    if let Some(name) = &question.server_name {
        case = case.server_name(name);
    }
    if let Some(Ok(key)) = &question.key {
        let provider = aws_lc_rs::default_provider();
        case = case.private_key(key, &provider);
    }
    Some(Explained(diagnose(&chain.certificates, &case)))
}

impl Explained {
    pub(super) fn is_good(&self) -> bool {
        self.0.is_good()
    }

    pub(super) const fn report(&self) -> &diagnose::Report {
        &self.0
    }
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'a str,
    certificate: Option<Named>,
    cause: &'a str,
    remedy: &'a str,
    commands: &'a [String],
}

#[derive(Serialize)]
struct Step<'a> {
    code: &'a str,
    outcome: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Whole<'a> {
    findings: Vec<Finding<'a>>,
    steps: Vec<Step<'a>>,
}

impl Serialize for Explained {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |certificate: &Certificate| Named {
            subject: certificate.subject().to_string(),
            sha256: certificate.sha256().to_string(),
        };
        let findings = self.0.findings().iter().map(|finding| Finding {
            code: finding.code(),
            certificate: finding.certificate().map(named),
            cause: finding.cause(),
            remedy: finding.remedy(),
            commands: finding.commands(),
        });
        let steps = self.0.steps().iter().map(|step| Step {
            code: step.code(),
            outcome: step.result().code(),
            detail: step.detail(),
        });
        Whole {
            findings: findings.collect(),
            steps: steps.collect(),
        }
        .serialize(serializer)
    }
}
