//! What an examination found.

use std::fmt;

use rustls_pki_types::UnixTime;

use crate::pki::Certificate;
use crate::pki::time::Rfc3339;
use crate::trust::{ChainError, Usage, VerifiedChain};

/// What [`diagnose`](super::diagnose()) found: the cause first, then what else is wrong, then
/// everything that was looked at.
///
/// `Display` is for people. Programs read [`findings`](Self::findings) and [`steps`](Self::steps) by
/// their codes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    pub(super) usage: Usage,
    pub(super) now: UnixTime,
    pub(super) verified: Result<VerifiedChain, ChainError>,
    pub(super) steps: Vec<Step>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong: the chain is trusted, and name and key fit where they were given.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// What [`ChainVerifier::verify`](crate::trust::ChainVerifier::verify) says of the chain, which
    /// is what a handshake would say. Name and key are not part of it.
    ///
    /// # Errors
    /// [`ChainError`]: why the chain is refused.
    pub const fn verified(&self) -> Result<&VerifiedChain, &ChainError> {
        self.verified.as_ref()
    }

    /// The cause: why a handshake would fail.
    pub fn cause(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// Everything that is wrong, the cause first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What was looked at, in this order: `read`, `leaf`, `trust`, `path`, `validity`,
    /// `constraints`, `revocation`, `name`, `key`.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// One thing that is wrong.
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
    /// It is the [`reason`](ChainError::reason) of the verifier's error, or tells it more precisely:
    ///
    /// | reason | codes |
    /// |---|---|
    /// | `unknown_issuer` | `missing_issuer`, `missing_intermediate`, `untrusted_root`, `self_signed`, `issuer_name_differs`, `root_of_other_trust_domain` |
    /// | `bad_signature` | `bad_signature`, `same_name_other_key` |
    /// | `not_yet_valid` | `not_yet_valid`, `clock_wrong` |
    /// | `invalid_path` | `path_length`, `path_too_deep`, `name_constraints`, `critical_extension`, `unsupported_algorithm`, `invalid_validity` |
    ///
    /// About the key that was given: `key_mismatch`, `unusable_key`. Codes may be added.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The certificate that it is about, where it is about one.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// What is wrong, in one line of at most 8 KiB: names of certificates in it are cut after 256
    /// bytes, and lists after five entries.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Commands that show or repair it, one a line, for a shell with OpenSSL 3.
    ///
    /// The names of files in them are meant to be replaced: `CERT.pem` and `KEY.pem` are the
    /// [certificate](Self::certificate) and its key, `CA.pem` and `CA.key` those of its issuer,
    /// `CHAIN.pem` is what the peer sends, `ROOTS.pem` whom this side trusts, `CRL.pem` the issuer's.
    ///
    /// # Security
    /// From the certificate they hold plain names and numbers only: letters, digits and `.:/@_-`. No
    /// peer can put a command of its own into them. At most 16 of its names and 16 of its purposes
    /// are in a command, and none over 256 bytes.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }
}

impl fmt::Display for Finding {
    /// One line: the cause and the remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    pub(super) code: &'static str,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
}

impl Step {
    /// A stable code for programs, as [`Report::steps`] lists them.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What came of it.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What was seen, in one line.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// What came of a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing is wrong.
    Passed,
    /// Something is: there is a finding.
    Failed,
    /// It was not asked for, or cannot be looked at before something else is right.
    Skipped,
}

impl Outcome {
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
            Usage::Client => "client",
            Usage::Server => "server",
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
        writeln!(f, "\nWhat was looked at")?;
        for step in &self.steps {
            let mark = match step.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "WRONG",
                Outcome::Skipped => "-",
            };
            write!(f, "  {mark:<6} {:<12} ", step.code)?;
            // The cause stands above.
            match self.findings.iter().find(|it| it.cause == step.detail) {
                Some(finding) => writeln!(f, "{}", finding.code)?,
                None => writeln!(f, "{}", step.detail)?,
            }
        }
        self.write_files(f)
    }
}

impl Report {
    /// What the files are that the commands name.
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

/// The names that stand for files in commands.
const FILES: [(&str, &str); 8] = [
    ("CERT.pem", "the certificate in question"),
    ("KEY.pem", "its private key"),
    ("CA.pem", "the certificate of its issuer"),
    ("CA.key", "the issuer's private key"),
    (
        "CHAIN.pem",
        "what the peer sends: its certificate, then the intermediates",
    ),
    ("ROOTS.pem", "whom this side trusts"),
    ("CRL.pem", "the issuer's CRL"),
    ("CERT.new.pem", "the certificate that takes its place"),
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
