//! Why a chain is refused, and what to do about it.
//!
//! [`ChainVerifier`] says yes, or why not in one line. When that line is not enough, [`diagnose`](diagnose())
//! goes through the chain step by step like a doctor: which issuer is missing, whether one of its
//! name has another key, which constraint was broken where; and it tells the remedy, with commands.
//!
//! ```no_run
//! use countersign::diagnose::{Case, diagnose};
//! use countersign::trust::{ChainVerifier, Usage};
//! use countersign::TrustStore;
//! use rustls_pki_types::pem::PemObject as _;
//! use rustls_pki_types::{CertificateDer, UnixTime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let provider: rustls::crypto::CryptoProvider = unimplemented!();
//! let chain: Vec<_> = CertificateDer::pem_file_iter("client.crt")?.collect::<Result<_, _>>()?;
//! let trust = TrustStore::from_pem_file("clients-ca.crt")?;
//! let verifier = ChainVerifier::new(trust, Usage::Client, &provider);
//!
//! let report = diagnose(&chain, &Case::new(&verifier, UnixTime::now()));
//! println!("{report}"); // for people
//! for finding in report.findings() {
//!     println!("{}: {}", finding.code(), finding.remedy()); // for programs
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The verdict is the verifier's own: a report without findings means that a handshake would take
//! the chain, and one with findings that it would not. (Identity and policy come after that, and
//! are not looked at.)

mod commands;
mod extensions;
mod findings;
mod path;
mod paths;
mod refused;
mod report;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

pub use report::{Finding, Outcome, Report, Step};

use crate::pki::named::Named;
use crate::pki::text::Listed;
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ShortName};
use crate::trust::{Anchor, ChainError, ChainVerifier, VerifiedChain, pin_of};
use path::PathExamination;

/// What a chain is examined by.
#[derive(Debug)]
#[must_use = "a case does nothing until it is given to diagnose()"]
pub struct Case<'a> {
    verifier: &'a ChainVerifier,
    now: UnixTime,
    server_name: Option<&'a ServerName<'a>>,
    key: Option<OwnKey>,
}

/// What is known of the private key that is to belong to the leaf.
#[derive(Debug)]
enum OwnKey {
    /// Its SubjectPublicKeyInfo; `None` where the provider does not tell.
    Public(Option<Vec<u8>>),
    Unusable(String),
}

impl<'a> Case<'a> {
    /// By the trust, the CRLs, the usage and the limits of this verifier, at this time.
    pub const fn new(verifier: &'a ChainVerifier, now: UnixTime) -> Self {
        Self {
            verifier,
            now,
            server_name: None,
            key: None,
        }
    }

    /// Also whether the leaf is valid for this name, which was dialled (RFC 9525). Default: names
    /// are not looked at.
    pub const fn server_name(mut self, name: &'a ServerName<'a>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Also whether this private key belongs to the leaf. Default: no key is looked at.
    pub fn private_key(mut self, key: &PrivateKeyDer<'_>, provider: &CryptoProvider) -> Self {
        let loaded = provider.key_provider.load_private_key(key.clone_key());
        self.key = Some(match loaded {
            Ok(key) => OwnKey::Public(key.public_key().map(|spki| spki.as_ref().to_vec())),
            Err(error) => OwnKey::Unusable(error.to_string()),
        });
        self
    }
}

/// Examines a chain as presented, leaf first.
///
/// It takes as long as a few verifications, whatever the chain is; it is for tools and for people,
/// not for each handshake.
pub fn diagnose(presented: &[CertificateDer<'_>], case: &Case<'_>) -> Report {
    let verified = case.verifier.verify(presented, case.now);
    let mut doctor = Doctor::new(case);
    match &verified {
        Ok(chain) => doctor.tell(presented.len(), chain),
        Err(error) => doctor.examine(presented, error),
    }
    let leaf = presented
        .first()
        .and_then(|der| Certificate::from_der(der).ok());
    doctor.examine_name(leaf.as_ref());
    doctor.examine_key(leaf.as_ref());
    Report {
        usage: case.verifier.usage(),
        now: case.now,
        verified,
        steps: doctor.steps,
        findings: doctor.findings,
    }
}

struct Doctor<'c> {
    case: &'c Case<'c>,
    steps: Vec<Step>,
    findings: Vec<Finding>,
}

impl<'c> Doctor<'c> {
    const fn new(case: &'c Case<'c>) -> Self {
        Self {
            case,
            steps: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn step(&mut self, code: &'static str, outcome: Outcome, detail: impl Into<String>) {
        self.steps.push(Step {
            code,
            outcome,
            detail: detail.into(),
        });
    }

    /// The step fails if there are findings, the first of which tells why.
    fn conclude(
        &mut self,
        code: &'static str,
        found: Vec<Finding>,
        passed: impl FnOnce() -> String,
    ) {
        match found.first() {
            None => self.step(code, Outcome::Passed, passed()),
            Some(first) => {
                let detail = first.cause.clone();
                self.step(code, Outcome::Failed, detail);
            }
        }
        self.findings.extend(found);
    }

    fn skip(&mut self, codes: &[&'static str], why: &str) {
        for code in codes {
            self.step(code, Outcome::Skipped, why);
        }
    }

    /// A chain that is trusted.
    fn tell(&mut self, presented: usize, chain: &VerifiedChain) {
        use Outcome::{Passed, Skipped};

        let leaf = chain.leaf();
        self.step("read", Passed, counted(presented));
        self.step("leaf", Passed, self.fit(leaf));
        self.step("trust", Passed, self.trusted(leaf));
        let named: Vec<String> = chain
            .certificates()
            .iter()
            .map(|certificate| Named(certificate).to_string())
            .collect();
        let path = named.join(" <- ");
        let is_pinned = !matches!(chain.anchor(), Anchor::Root { .. });
        self.step(
            "path",
            Passed,
            match chain.anchor() {
                Anchor::Root {
                    subject: Some(subject),
                } => format!("{path} <- the root \"{}\"", ShortName(subject)),
                Anchor::Root { subject: None } => {
                    format!("{path} <- a root without a readable name")
                }
                Anchor::PinnedCertificate => format!("{path}, which is pinned"),
                Anchor::PinnedKey => format!("{path}, whose key is pinned"),
            },
        );
        let until = format!("until {}", Rfc3339(chain.not_after()));
        self.step("validity", Passed, until);
        if is_pinned {
            self.skip(
                &["constraints", "revocation"],
                "a pin takes the place of the chain",
            );
            return;
        }
        self.step(
            "constraints",
            Passed,
            "each issuer may issue what is below it",
        );
        match self.case.verifier.revocation_rules() {
            None => self.step("revocation", Skipped, "no CRL was given"),
            Some(_) => self.step("revocation", Passed, "nothing is revoked"),
        }
    }

    /// A chain that is refused, for this reason; perhaps it is not the only one.
    fn examine(&mut self, presented: &[CertificateDer<'_>], error: &ChainError) {
        const REST: [&str; 6] = [
            "leaf",
            "trust",
            "path",
            "validity",
            "constraints",
            "revocation",
        ];

        let verifier = self.case.verifier;
        if let ChainError::NoCertificate
        | ChainError::TooLong { .. }
        | ChainError::Malformed { .. }
        | ChainError::KeyTooLarge { .. } = error
        {
            let found = vec![refused::of_error(error, verifier.usage(), None)];
            self.conclude("read", found, String::new);
            self.skip(&REST, "the chain has to be readable first");
            return;
        }
        // They were read before, by the verifier.
        let certificates: Vec<Certificate> = presented
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect();
        let Some(leaf) = certificates.first() else {
            return;
        };
        self.step("read", Outcome::Passed, counted(certificates.len()));

        let store = verifier.store_for(leaf);
        let is_pinned = store
            .as_ref()
            .is_ok_and(|store| pin_of(store, leaf).is_some());
        let mut found = Vec::new();
        if leaf.version() < 3 {
            found.push(ChainError::Version1 {
                certificate: leaf.clone(),
            });
        } else {
            found.extend(verifier.problems_of_leaf(leaf, is_pinned));
        }
        // What a CA's certificate may not do besides follows from what it is.
        if matches!(found.first(), Some(ChainError::CaAsEndEntity { .. })) {
            found.retain(|problem| !matches!(problem, ChainError::NoDigitalSignature { .. }));
        }
        let found = found
            .iter()
            .map(|problem| refused::of_error(problem, verifier.usage(), None))
            .collect();
        let fit = self.fit(leaf);
        self.conclude("leaf", found, || fit);

        let store = match store {
            Ok(store) => store,
            Err(unknown) => {
                let found = vec![refused::of_error(&unknown, verifier.usage(), None)];
                self.conclude("trust", found, String::new);
                self.skip(&REST[2..], "there is nobody to trust for it");
                self.put_first(error, None);
                return;
            }
        };
        self.step("trust", Outcome::Passed, self.trusted(leaf));

        let examination = PathExamination::of(&certificates, store, verifier, self.case.now, error);
        for (code, found, passed) in examination.stages(is_pinned) {
            match passed {
                Ok(passed) => self.conclude(code, found, || passed),
                Err(skipped) => self.step(code, Outcome::Skipped, skipped),
            }
        }
        self.put_first(error, Some(&examination));
    }

    /// Sees to it that the first finding is the one for which the verifier refuses the chain.
    fn put_first(&mut self, error: &ChainError, examination: Option<&PathExamination<'_>>) {
        let explains = |finding: &Finding| explains(finding.code, error);
        let place = self.findings.iter().position(explains).or_else(|| {
            // Path building names the most telling failure of all ways that it tried: a signature
            // by another key of the same name, where what stopped the right way was a constraint.
            let may_mislead = matches!(
                error,
                ChainError::UnknownIssuer { .. } | ChainError::BadSignature { .. }
            );
            let is_of_path = |finding: &Finding| path::is_about_constraints(finding.code);
            self.findings
                .iter()
                .position(|finding| may_mislead && is_of_path(finding))
        });
        match place {
            Some(place) => self.findings[..=place].rotate_right(1),
            None => {
                let at_hand = examination.map(PathExamination::at_hand);
                let finding = refused::of_error(error, self.case.verifier.usage(), at_hand);
                if let Some(step) = self.steps.iter_mut().find(|step| step.code == "path") {
                    step.outcome = Outcome::Failed;
                    step.detail.clone_from(&finding.cause);
                }
                self.findings.insert(0, finding);
            }
        }
    }

    fn examine_name(&mut self, leaf: Option<&Certificate>) {
        let (Some(name), Some(leaf)) = (self.case.server_name, leaf) else {
            let why = match self.case.server_name {
                None => "no name was dialled",
                Some(_) => "the certificate has to be readable first",
            };
            return self.skip(&["name"], why);
        };
        let found = match ChainVerifier::verify_name(leaf, name) {
            Ok(()) => Vec::new(),
            Err(error) => vec![refused::of_error(&error, self.case.verifier.usage(), None)],
        };
        self.conclude("name", found, || format!("valid for \"{}\"", name.to_str()));
    }

    fn examine_key(&mut self, leaf: Option<&Certificate>) {
        let found = match (&self.case.key, leaf) {
            (None, _) => return self.skip(&["key"], "no private key was given"),
            (Some(OwnKey::Unusable(problem)), _) => vec![findings::unusable_key(leaf, problem)],
            (Some(_), None) => {
                return self.skip(&["key"], "the certificate has to be readable first");
            }
            (Some(OwnKey::Public(None)), Some(_)) => {
                return self.skip(&["key"], "the key does not tell its public part");
            }
            (Some(OwnKey::Public(Some(spki))), Some(leaf)) if spki == leaf.spki() => Vec::new(),
            (Some(OwnKey::Public(Some(_))), Some(leaf)) => vec![findings::key_mismatch(leaf)],
        };
        self.conclude("key", found, || "it belongs to the certificate".into());
    }

    /// What a leaf that is fit for its use says.
    fn fit(&self, leaf: &Certificate) -> String {
        let usage = self.case.verifier.usage().name();
        let purposes = match leaf.extended_key_usage() {
            None => format!("for any use, so for {usage}"),
            Some(_) => format!("for {usage}"),
        };
        format!("{}: version {}, {purposes}", Named(leaf), leaf.version())
    }

    /// Whom this side believes, as far as the leaf goes.
    fn trusted(&self, leaf: &Certificate) -> String {
        let Ok(store) = self.case.verifier.store_for(leaf) else {
            return String::new();
        };
        let roots: Vec<String> = store
            .roots()
            .map(|(_, root)| match &root.name {
                Some(name) => format!("\"{name}\""),
                None => "a root without a readable name".into(),
            })
            .collect();
        let counted = if roots.len() == 1 { "root" } else { "roots" };
        match (roots.is_empty(), store.has_pins()) {
            (false, false) => format!("the {counted} {}", Listed(&roots)),
            (false, true) => format!("the {counted} {}, and pins", Listed(&roots)),
            (true, true) => "pins only".into(),
            (true, false) => "nobody".into(),
        }
    }
}

fn counted(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".into(),
        count => format!("{count} certificates"),
    }
}

/// Whether a finding is the verifier's reason, told more precisely.
fn explains(code: &str, error: &ChainError) -> bool {
    let reason = error.reason();
    code == reason
        || match reason {
            "unknown_issuer" => matches!(
                code,
                "missing_issuer"
                    | "missing_intermediate"
                    | "untrusted_root"
                    | "self_signed"
                    | "root_of_other_trust_domain"
                    | "issuer_name_differs"
            ),
            "bad_signature" => code == "same_name_other_key",
            "not_yet_valid" => code == "clock_wrong",
            "invalid_path" => matches!(
                code,
                "path_length"
                    | "path_too_deep"
                    | "name_constraints"
                    | "critical_extension"
                    | "unsupported_algorithm"
                    | "invalid_validity"
            ),
            _ => false,
        }
}
