//! Explains why a chain is rejected, and what to do about it.
//!
//! [`ChainVerifier`] accepts a chain or returns one error. [`diagnose`](diagnose()) examines the chain
//! step by step: which issuer is missing, whether an authority of the same name has another key, which
//! certificate violates which constraint. Each finding has a remedy and commands.
//!
//! ```no_run
//! use countersign::diagnose::{Case, diagnose};
//! use countersign::Side;
//! use countersign::trust::{ChainVerifier};
//! use countersign::TrustStore;
//! use rustls_pki_types::pem::PemObject as _;
//! use rustls_pki_types::{CertificateDer, UnixTime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let provider: rustls::crypto::CryptoProvider = unimplemented!();
//! let chain: Vec<_> = CertificateDer::pem_file_iter("client.crt")?.collect::<Result<_, _>>()?;
//! let trust = TrustStore::from_pem_file("clients-ca.crt")?;
//! let verifier = ChainVerifier::new(trust, Side::Client, &provider);
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
//! The verdict is the verifier's: a handshake accepts the chain if the report has no findings, and
//! rejects it otherwise. Identity and policy come after the chain and are not part of the report.

mod commands;
mod extensions;
mod findings;
mod path;
mod paths;
mod refused;
mod report;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

pub use report::{Finding, Report, Step, StepResult};

use crate::pki::named::Named;
use crate::pki::text::Listed;
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ShortName};
use crate::trust::{Anchor, ChainError, ChainVerifier, VerifiedChain, pin_of};
use path::PathExamination;

/// The conditions under which [`diagnose`](diagnose()) examines a chain.
///
/// ```
/// use countersign::diagnose::{Case, diagnose};
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier};
/// use rustls_pki_types::{ServerName, UnixTime};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # fn main() {
/// let provider = rustls::crypto::aws_lc_rs::default_provider();
/// let ca = TestCa::new("Root");
/// let server = ca.leaf().dns("orders.example").issue();
/// let verifier = ChainVerifier::new(ca.trust(), Side::Server, &provider);
///
/// let name = ServerName::try_from("billing.example").unwrap();
/// let case = Case::new(&verifier, UnixTime::now())
///     .server_name(&name)
///     .private_key(&server.key_der(), &provider);
/// let report = diagnose(server.chain(), &case);
/// assert_eq!(report.cause().map(|finding| finding.code()), Some("name_mismatch"));
/// # }
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
#[must_use = "a case does nothing until it is passed to diagnose()"]
pub struct Case<'a> {
    verifier: &'a ChainVerifier,
    now: UnixTime,
    server_name: Option<&'a ServerName<'a>>,
    key: Option<OwnKey>,
}

/// The private key that should belong to the leaf.
#[derive(Debug)]
enum OwnKey {
    /// Its SubjectPublicKeyInfo; `None` where the provider does not return it.
    Public(Option<Vec<u8>>),
    Unusable(String),
}

impl<'a> Case<'a> {
    /// Examines by the trust, the CRLs, the usage and the limits of this verifier, at this time.
    pub const fn new(verifier: &'a ChainVerifier, now: UnixTime) -> Self {
        Self {
            verifier,
            now,
            server_name: None,
            key: None,
        }
    }

    /// Also examines whether the leaf is valid for this server name (RFC 9525). Default: names are not
    /// examined.
    pub const fn server_name(mut self, name: &'a ServerName<'a>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Also examines whether this private key belongs to the leaf. Default: no key is examined.
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
/// It takes the time of a few verifications, for any chain. It is for tools and people, not for each
/// handshake.
///
/// ```
/// use countersign::diagnose::{Case, diagnose};
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier};
/// use rustls_pki_types::UnixTime;
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # fn main() {
/// let provider = rustls::crypto::aws_lc_rs::default_provider();
/// let ca = TestCa::new("Root");
/// let client = ca.intermediate("Issuing").leaf().dns("client.example").issue();
/// let verifier = ChainVerifier::new(ca.trust(), Side::Client, &provider);
///
/// // The client forgot its intermediate.
/// let report = diagnose(client.leaf_only().chain(), &Case::new(&verifier, UnixTime::now()));
/// assert!(!report.is_good());
/// assert_eq!(report.findings()[0].code(), "missing_issuer");
/// # }
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # fn main() {}
/// ```
#[doc(alias = "troubleshoot")]
#[doc(alias = "explain")]
pub fn diagnose(presented: &[CertificateDer<'_>], case: &Case<'_>) -> Report {
    let verified = case.verifier.verify(presented, case.now);
    let mut examiner = Examiner::new(case);
    match &verified {
        Ok(chain) => examiner.describe(presented.len(), chain),
        Err(error) => examiner.examine(presented, error),
    }
    let leaf = presented
        .first()
        .and_then(|der| Certificate::from_der(der).ok());
    examiner.examine_name(leaf.as_ref());
    examiner.examine_key(leaf.as_ref());
    Report {
        usage: case.verifier.usage(),
        now: case.now,
        verified,
        steps: examiner.steps,
        findings: examiner.findings,
    }
}

struct Examiner<'c> {
    case: &'c Case<'c>,
    steps: Vec<Step>,
    findings: Vec<Finding>,
}

impl<'c> Examiner<'c> {
    const fn new(case: &'c Case<'c>) -> Self {
        Self {
            case,
            steps: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn step(&mut self, code: &'static str, result: StepResult, detail: impl Into<String>) {
        self.steps.push(Step {
            code,
            result,
            detail: detail.into(),
        });
    }

    /// The step fails if there are findings; the first one is its detail.
    fn conclude(
        &mut self,
        code: &'static str,
        found: Vec<Finding>,
        passed: impl FnOnce() -> String,
    ) {
        match found.first() {
            None => self.step(code, StepResult::Passed, passed()),
            Some(first) => {
                let detail = first.cause.clone();
                self.step(code, StepResult::Failed, detail);
            }
        }
        self.findings.extend(found);
    }

    fn skip(&mut self, codes: &[&'static str], why: &str) {
        for code in codes {
            self.step(code, StepResult::Skipped, why);
        }
    }

    /// Describes a trusted chain.
    fn describe(&mut self, presented: usize, chain: &VerifiedChain) {
        use StepResult::{Passed, Skipped};

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
            self.skip(&["constraints", "revocation"], "a pin replaces the path");
            return;
        }
        self.step(
            "constraints",
            Passed,
            "each issuer may issue the certificate below it",
        );
        match self.case.verifier.revocation_rules() {
            None => self.step("revocation", Skipped, "no CRL is configured"),
            Some(_) => self.step("revocation", Passed, "no certificate is revoked"),
        }
    }

    /// Examines a rejected chain. The verifier's error may not be its only problem.
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
            self.skip(&REST, "the chain is not readable");
            return;
        }
        // The verifier has parsed them before.
        let certificates: Vec<Certificate> = presented
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect();
        let Some(leaf) = certificates.first() else {
            return;
        };
        self.step("read", StepResult::Passed, counted(certificates.len()));

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
            found.extend(verifier.problems_of_leaf(leaf, store.as_ref().ok().copied(), is_pinned));
        }
        // A CA certificate has no digitalSignature: reporting that too would not help.
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
                self.skip(&REST[2..], "no trust store is for its trust domain");
                self.put_first(error, None);
                return;
            }
        };
        self.step("trust", StepResult::Passed, self.trusted(leaf));

        let examination = PathExamination::of(&certificates, store, verifier, self.case.now, error);
        for (code, found, passed) in examination.stages(is_pinned) {
            match passed {
                Ok(passed) => self.conclude(code, found, || passed),
                Err(skipped) => self.step(code, StepResult::Skipped, skipped),
            }
        }
        self.put_first(error, Some(&examination));
    }

    /// Moves the finding that explains the verifier's error to the front.
    fn put_first(&mut self, error: &ChainError, examination: Option<&PathExamination<'_>>) {
        let explains = |finding: &Finding| explains(finding.code, error);
        let place = self.findings.iter().position(explains).or_else(|| {
            // Path building returns the most specific failure of all paths that it tried. This may be a
            // signature by another key of the same name, while a constraint stopped the right path.
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
                    step.result = StepResult::Failed;
                    step.detail.clone_from(&finding.cause);
                }
                self.findings.insert(0, finding);
            }
        }
    }

    fn examine_name(&mut self, leaf: Option<&Certificate>) {
        let (Some(name), Some(leaf)) = (self.case.server_name, leaf) else {
            let why = match self.case.server_name {
                None => "no server name was given",
                Some(_) => "the certificate is not readable",
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
                return self.skip(&["key"], "the certificate is not readable");
            }
            (Some(OwnKey::Public(None)), Some(_)) => {
                return self.skip(&["key"], "the provider does not return the public key");
            }
            (Some(OwnKey::Public(Some(spki))), Some(leaf)) if spki == leaf.spki() => Vec::new(),
            (Some(OwnKey::Public(Some(_))), Some(leaf)) => vec![findings::key_mismatch(leaf)],
        };
        self.conclude("key", found, || "it belongs to the certificate".into());
    }

    /// Describes a leaf that is fit for its use.
    fn fit(&self, leaf: &Certificate) -> String {
        let usage = self.case.verifier.usage().usage();
        let purposes = match leaf.extended_key_usage() {
            None => format!("for any use, {usage} included"),
            Some(_) => format!("for {usage}"),
        };
        format!("{}: version {}, {purposes}", Named(leaf), leaf.version())
    }

    /// The roots and pins that this side trusts for the leaf.
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
            (true, false) => "no root and no pin".into(),
        }
    }
}

fn counted(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".into(),
        count => format!("{count} certificates"),
    }
}

/// Whether a finding is the verifier's error, or a more precise form of it.
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
                    | "invalid_validity"
            ),
            _ => false,
        }
}
