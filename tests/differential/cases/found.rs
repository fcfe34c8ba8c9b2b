//! The cases of the folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::Certificate;
use countersign::pki_types::UnixTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use support::programs::{in_ci, is_there};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ours::{Attempt, Choice, Verdict, decide};

/// A case of this name is dated two hours ahead of its maker's clock.
const AHEAD: (&str, Duration) = (
    "b06-not-yet-valid-by-seconds",
    Duration::from_secs(2 * 3600),
);

/// So long after the cases were made: lists that other tools made then are in force, and those which are
/// an hour ahead are not.
const LATER: Duration = Duration::from_secs(25 * 60);

pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CASES_DIR").map_or_else(
        || support::workspace().join("../shared/cases"),
        PathBuf::from,
    );
    // An empty `CASES_DIR` skips the test in CI too.
    let required = in_ci() && !folder.as_os_str().is_empty();
    let what = format!("the cases in {}", folder.display());
    is_there(folder.is_dir(), &what, required).then_some(folder)
}

pub(crate) fn load(folder: &Path) -> Vec<Case> {
    let now = time_of(folder);
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries
        .filter(|path| path.join("CASE.txt").is_file())
        .collect();
    folders.sort();
    let cases = folders.into_iter().map(|folder| {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(folder.join("CASE.txt")).unwrap();
        Case {
            folder,
            now,
            ..Case::of_text(&name, &text)
        }
    });
    let cases: Vec<_> = cases.collect();
    assert!(!cases.is_empty(), "{} has no case", folder.display());
    cases
}

/// When the cases are looked at: `CASES_TIME` (RFC 3339), or a little after they were made.
fn time_of(folder: &Path) -> UnixTime {
    if let Ok(time) = std::env::var("CASES_TIME") {
        let time = OffsetDateTime::parse(&time, &Rfc3339)
            .unwrap()
            .unix_timestamp();
        return UnixTime::since_unix_epoch(Duration::from_secs(time.try_into().unwrap()));
    }
    let ahead = folder.join(AHEAD.0).join("chain.pem");
    let ahead = CertificateDer::from_pem_file(&ahead)
        .unwrap_or_else(|error| panic!("{}: {error}; give CASES_TIME", ahead.display()));
    let ahead = Certificate::from_der(&ahead).unwrap().not_before();
    let made = Duration::from_secs(ahead.as_secs()) - AHEAD.1;
    UnixTime::since_unix_epoch(made + LATER)
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) expects: String,
    folder: PathBuf,
    identity: String,
    args: String,
    now: UnixTime,
}

impl Case {
    /// By the lines of its CASE.txt, each `field: value`.
    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(field, _)| *field == name);
            found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        Self {
            name: name.to_owned(),
            what: field("what"),
            expects: field("expect"),
            folder: PathBuf::new(),
            identity: field("identity"),
            args: field("args"),
            now: UnixTime::since_unix_epoch(Duration::ZERO),
        }
    }

    /// As CASE.txt says; then with each choice that the case is about.
    pub(crate) fn attempts(&self) -> Vec<Attempt<'static>> {
        let choices: &'static [Choice] = match &*self.args {
            "" => &[Choice::NONE],
            "pin" => &[Choice::PIN],
            args => panic!("{}: unknown args: {args}", self.name),
        };
        let choices = choices.iter().chain(Choice::of_case(&self.name));
        choices
            .map(|choice| Attempt::new(choice, &self.identity))
            .collect()
    }

    pub(crate) fn verdict(&self, attempt: &Attempt<'_>) -> Verdict {
        decide(&self.folder, attempt, self.now)
    }
}
