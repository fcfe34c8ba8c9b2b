//! The result of an examination.

use std::fmt;

use rustls_pki_types::UnixTime;

use crate::pki::Certificate;
use crate::pki::time::Rfc3339;
use crate::side::Side;
use crate::trust::{ChainError, VerifiedChain};

/// The result of [`diagnose`](super::diagnose()): the cause first, then further findings, then every
/// step of the examination.
///
/// `Display` is for people. Programs read [`findings`](Self::findings) and [`steps`](Self::steps) by
/// their codes:
///
/// ```
/// use countersign::diagnose::{Report, StepResult};
///
/// fn failed_steps(report: &Report) -> Vec<&'static str> {
///     let steps = report.steps().iter();
///     let failed = steps.filter(|step| step.result() == StepResult::Failed);
///     failed.map(|step| step.code()).collect()
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    pub(super) usage: Side,
    pub(super) now: UnixTime,
    pub(super) verified: Result<VerifiedChain, ChainError>,
    pub(super) steps: Vec<Step>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Whether there are no findings: the chain is trusted, and the name and the key fit where they were
    /// given.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// The result of [`ChainVerifier::verify`](crate::trust::ChainVerifier::verify), which is the result in
    /// a handshake. Name and key are not part of it.
    ///
    /// # Errors
    /// [`ChainError`]: why the chain is rejected.
    pub const fn verified(&self) -> Result<&VerifiedChain, &ChainError> {
        self.verified.as_ref()
    }

    /// The first finding: why a handshake would fail.
    pub fn cause(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// All findings, the cause first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The steps of the examination, in this order: `read`, `leaf`, `trust`, `path`, `validity`,
    /// `constraints`, `revocation`, `name`, `key`.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// One problem of a chain, with its remedy.
///
/// `Display` joins [`cause`](Self::cause) and [`remedy`](Self::remedy) on one line.
///
/// ```
/// use countersign::diagnose::Finding;
///
/// fn print(finding: &Finding) {
///     println!("{} ({})", finding.cause(), finding.code());
///     println!("do: {}", finding.remedy());
///     for command in finding.commands() {
///         println!("  $ {command}");
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    pub(super) code: &'static str,
    pub(super) certificate: Option<Certificate>,
    pub(super) cause: String,
    pub(super) remedy: String,
    pub(super) commands: Vec<String>,
}

impl Finding {
    /// A stable code for programs: `"expired"`, `"missing_intermediate"`, `"same_name_other_key"`.
    ///
    /// It is the [`reason`](ChainError::reason) of the verifier's error, or more precise than that:
    ///
    /// | reason | codes |
    /// |---|---|
    /// | `unknown_issuer` | `missing_issuer`, `missing_intermediate`, `untrusted_root`, `self_signed`, `issuer_name_differs`, `root_of_other_trust_domain` |
    /// | `bad_signature` | `bad_signature`, `same_name_other_key` |
    /// | `not_yet_valid` | `not_yet_valid`, `clock_wrong` |
    /// | `invalid_path` | `path_length`, `path_too_deep`, `name_constraints`, `critical_extension`, `invalid_validity` |
    ///
    /// For the private key: `key_mismatch`, `unusable_key`. Codes may be added.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The certificate of the finding; `None` if no certificate is known.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The problem, on one line of at most 8 KiB. Names of certificates are cut after 256 bytes, lists
    /// after five entries.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it, on one line.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Commands that show or repair it, one per line, for a shell with OpenSSL 3.
    ///
    /// Replace the names of files in them: `CERT.pem` and `KEY.pem` are the
    /// [certificate](Self::certificate) and its key, `CA.pem` and `CA.key` those of its issuer,
    /// `CHAIN.pem` is the chain that the peer sends, `ROOTS.pem` the roots that this side trusts,
    /// `CRL.pem` the CRL of the issuer.
    ///
    /// # Security
    /// Values from the certificate are plain names and numbers: letters, digits and `.:/@_-`. No peer can
    /// add a command of its own. A command has at most 16 names and 16 purposes of a certificate, each of
    /// at most 256 bytes.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }
}

impl fmt::Display for Finding {
    /// Cause and remedy on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// One step of the examination.
///
/// ```
/// use countersign::diagnose::Step;
///
/// fn line(step: &Step) -> String {
///     format!("{:<12} {:<8} {}", step.code(), step.result().code(), step.detail())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    pub(super) code: &'static str,
    pub(super) result: StepResult,
    pub(super) detail: String,
}

impl Step {
    /// A stable code for programs; [`Report::steps`] lists them.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The result of the step.
    pub const fn result(&self) -> StepResult {
        self.result
    }

    /// What was found, on one line.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The result of a [`Step`].
///
/// ```
/// assert_eq!(countersign::diagnose::StepResult::Skipped.code(), "skipped");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepResult {
    /// The step has no finding.
    Passed,
    /// The step has a finding.
    Failed,
    /// The step was not requested, or an earlier step failed.
    Skipped,
}

impl StepResult {
    /// A stable code for programs: `"passed"`, `"failed"` or `"skipped"`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.usage {
            Side::Client => "client",
            Side::Server => "server",
        };
        let at = Rfc3339(self.now);
        match self.cause() {
            None => writeln!(f, "TRUSTED as a {side} at {at}")?,
            Some(cause) => {
                let verdict = if self.verified.is_ok() {
                    "TRUSTED, BUT NOT USABLE"
                } else {
                    "REFUSED"
                };
                writeln!(f, "{verdict} as a {side} at {at} ({})\n", cause.code)?;
                write_finding(f, cause)?;
            }
        }
        let others = self.findings.get(1..).unwrap_or_default();
        for (index, other) in others.iter().enumerate() {
            let title = if index == 0 { "\nAlso wrong" } else { "" };
            writeln!(f, "{title}\n  ({})", other.code)?;
            write_finding(f, other)?;
        }
        writeln!(f, "\nSteps")?;
        for step in &self.steps {
            let mark = match step.result {
                StepResult::Passed => "ok",
                StepResult::Failed => "WRONG",
                StepResult::Skipped => "-",
            };
            write!(f, "  {mark:<6} {:<12} ", step.code)?;
            // The cause is printed above.
            match self.findings.iter().find(|it| it.cause == step.detail) {
                Some(finding) => writeln!(f, "{}", finding.code)?,
                None => writeln!(f, "{}", step.detail)?,
            }
        }
        self.write_files(f)
    }
}

impl Report {
    /// Explains the file names in the commands.
    fn write_files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut title = "\nIn the commands\n";
        for (file, meaning) in FILES {
            let is_named = |finding: &Finding| {
                let mut words = finding.commands.iter().flat_map(|line| line.split(' '));
                words.any(|word| word == file)
            };
            if self.findings.iter().any(is_named) {
                writeln!(f, "{title}  {file:<13} {meaning}")?;
                title = "";
            }
        }
        Ok(())
    }
}

/// The placeholders for files in commands.
const FILES: [(&str, &str); 8] = [
    ("CERT.pem", "the certificate in question"),
    ("KEY.pem", "its private key"),
    ("CA.pem", "the certificate of its issuer"),
    ("CA.key", "the issuer's private key"),
    (
        "CHAIN.pem",
        "the chain that the peer sends: its certificate, then the intermediates",
    ),
    ("ROOTS.pem", "the roots that this side trusts"),
    ("CRL.pem", "the issuer's CRL"),
    ("CERT.new.pem", "the certificate that replaces it"),
];

fn write_finding(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    writeln!(f, "  cause   {}", finding.cause)?;
    writeln!(f, "  remedy  {}", finding.remedy)?;
    for (index, command) in finding.commands.iter().enumerate() {
        let title = if index == 0 { "try" } else { "" };
        writeln!(f, "  {title:<7} {command}")?;
    }
    Ok(())
}
