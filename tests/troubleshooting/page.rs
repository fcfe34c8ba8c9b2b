//! The page's generated part: written, or compared with what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::UPDATE;
use crate::callers::alerts::{alert_name, named};
use crate::callers::{PROGRAMS, Program};

/// The version of each program that is there.
pub(crate) type Versions = BTreeMap<Program, String>;

pub(crate) struct Page {
    pub(crate) versions: Versions,
    pub(crate) sections: Vec<Section>,
}

/// One refusal.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// What our side made of the first program that can do this: an alert, our code, and our line.
    pub(crate) alert: Option<Alert>,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// That program, where it was its own decision.
    pub(crate) decided_by: Option<Program>,
    pub(crate) remedy: &'static str,
    pub(crate) symptoms: BTreeMap<Program, Symptom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert {
    pub(crate) number: u8,
    pub(crate) sender: Sender,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sender {
    Server,
    Client,
}

/// What a program printed, and what the server said of it, where that differs from the section's.
pub(crate) struct Symptom {
    pub(crate) said: String,
    pub(crate) other: Option<String>,
}

/// A line of the page, and on whose version it depends.
struct Line {
    text: String,
    of: Option<Program>,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { text, of: None }
    }
}

const MARKER: &str = "<!-- All that follows is written by a test: tests/troubleshooting.rs. -->";

impl Page {
    pub(crate) fn write(&self) {
        let text = std::fs::read_to_string(path()).expect("the page");
        let (mut page, _) = split(&text);
        for line in self.lines() {
            writeln!(page, "{}", line.text).expect("a string takes it");
        }
        std::fs::write(path(), page).expect("the page is writable");
    }

    /// Panics unless the page says what happened here. Where another version of a program runs than
    /// the page is of, its words may be others, but not the alert nor the server's reason.
    pub(crate) fn compare(&self) {
        let text = std::fs::read_to_string(path()).expect("the page");
        let (_, written) = split(&text);
        let differences = differences(&written, &self.lines(), &self.versions);
        assert!(
            differences.is_empty(),
            "manual/troubleshooting.md does not say what happens:\n{}\nIf that is as it should be, \
             write it anew: {UPDATE}=1 cargo test --test troubleshooting",
            differences.join("\n")
        );
    }

    fn lines(&self) -> Vec<Line> {
        let ours = |text: &str| Line::from(text.to_owned());
        let mut lines: Vec<Line> = [
            "",
            "## By alert",
            "",
            "| alert | sent by | our `reason()` |",
            "|---|---|---|",
        ]
        .map(ours)
        .into();
        lines.extend(self.by_alert());
        for section in &self.sections {
            section.lines(&mut lines);
        }
        lines.extend(["", "## Versions", "", "| program | version |", "|---|---|"].map(ours));
        lines.extend(self.versions.iter().map(|(&program, version)| Line {
            text: row(program, version),
            of: Some(program),
        }));
        lines
    }

    fn by_alert(&self) -> Vec<Line> {
        let mut rows: BTreeMap<Alert, (Vec<String>, Option<Program>)> = BTreeMap::new();
        for section in &self.sections {
            if let Some(alert) = section.alert {
                let (title, anchor) = (section.title, section.anchor());
                let (links, decided_by) = rows.entry(alert).or_default();
                links.push(format!("`{}`: [{title}](#{anchor})", section.reason));
                *decided_by = decided_by.or(section.decided_by);
            }
        }
        let line = |(alert, (links, of)): (Alert, (Vec<String>, _))| Line {
            text: format!(
                "| {} | {} | {} |",
                alert.text(),
                alert.sender.name(),
                links.join("; ")
            ),
            of,
        };
        rows.into_iter().map(line).collect()
    }
}

impl Section {
    fn anchor(&self) -> String {
        let kept = |c: &char| c.is_ascii_alphanumeric() || " -".contains(*c);
        let title: String = self.title.chars().filter(kept).collect();
        title.to_lowercase().replace(' ', "-")
    }

    fn lines(&self, lines: &mut Vec<Line>) {
        let alert = self
            .alert
            .map(|alert| format!("{}, sent by the {}", alert.text(), alert.sender.name()));
        let alert = alert.as_deref().unwrap_or("none");
        lines.extend(
            [
                String::new(),
                format!("## {}", self.title),
                String::new(),
                "| the client | prints |".into(),
                "|---|---|".into(),
            ]
            .map(Line::from),
        );
        lines.extend(self.symptoms.iter().map(|(&program, symptom)| Line {
            text: row(program, &symptom.cell()),
            of: Some(program),
        }));
        let decided = |text| Line {
            text,
            of: self.decided_by,
        };
        lines.extend([
            String::new().into(),
            decided(format!("* **Alert**: {alert}")),
            decided(format!(
                "* **Server**: `{}`: {}",
                self.reason,
                code(&self.message)
            )),
            format!("* **Remedy**: {}", self.remedy).into(),
        ]);
    }
}

impl Symptom {
    fn cell(&self) -> String {
        let said = code(&self.said).replace('|', "\\|");
        match &self.other {
            None => said,
            Some(other) => format!("{said} (the server: {other})"),
        }
    }
}

impl Alert {
    fn text(self) -> String {
        format!("`{}` ({})", alert_name(self.number), self.number)
    }
}

impl Sender {
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The page in the source tree.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manual/troubleshooting.md")
}

/// Everything up to the marker, and the lines below.
fn split(text: &str) -> (String, Vec<&str>) {
    let (above, below) = text.split_once(MARKER).expect("the page has its marker");
    let below = below.strip_prefix('\n').unwrap_or(below);
    (format!("{above}{MARKER}\n"), below.lines().collect())
}

fn start(program: Program) -> String {
    format!("| {} | ", program.name())
}

fn row(program: Program, cell: &str) -> String {
    format!("{}{cell} |", start(program))
}

/// As Markdown's code, whatever quotes it has.
fn code(text: &str) -> String {
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

/// How the page differs from what happened, apart from the words of other versions of programs.
fn differences(written: &[&str], happened: &[Line], versions: &Versions) -> Vec<String> {
    let (page_rows, page_rest) = rows_and_rest(written.iter().copied());
    let (rows, rest) = rows_and_rest(happened.iter().map(|line| line.text.as_str()));
    let is_another = |program: Program| {
        let recorded = page_rows.get(&("## Versions", program));
        versions.contains_key(&program) && recorded != rows.get(&("## Versions", program))
    };
    let decided_by = |text: &str| happened.iter().find(|line| line.text == text)?.of;

    let mut differences = Vec::new();
    let mut differ = |page: Option<&str>, now: Option<&str>| {
        let [page, now] = [page, now].map(|line| line.unwrap_or("(nothing)"));
        differences.push(format!("  page: {page}\n   now: {now}"));
    };
    for index in 0..page_rest.len().max(rest.len()) {
        let (page, now) = (page_rest.get(index).copied(), rest.get(index).copied());
        let excused = now.and_then(decided_by).is_some_and(is_another);
        if page != now && !excused {
            differ(page, now);
        }
    }
    for place @ (_, program) in page_rows.keys().chain(rows.keys()).collect::<BTreeSet<_>>() {
        let (page, now) = (page_rows.get(place).copied(), rows.get(place).copied());
        if is_another(*program) {
            let is_version = place.0 == "## Versions";
            if !is_version
                && page
                    .zip(now)
                    .is_some_and(|(page, now)| !is_alike(page, now))
            {
                differ(page, now);
            }
        } else if versions.contains_key(program) && page != now {
            differ(page, now);
        }
    }
    for program in versions.keys().filter(|program| is_another(**program)) {
        let (name, version) = (program.name(), &versions[program]);
        eprintln!("the page is of another {name} than {version}: its words may be others");
    }
    differences
}

/// Rows by heading and program, and the other lines.
fn rows_and_rest<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> (BTreeMap<(&'a str, Program), &'a str>, Vec<&'a str>) {
    let (mut heading, mut rows, mut rest) = ("", BTreeMap::new(), Vec::new());
    for line in lines {
        if line.starts_with("## ") {
            heading = line;
        }
        let of = PROGRAMS
            .into_iter()
            .find(|program| line.starts_with(&start(*program)));
        match of {
            Some(program) => drop(rows.insert((heading, program), line)),
            None => rest.push(line),
        }
    }
    (rows, rest)
}

/// Whether rows of two versions of a program name the same alert, or none; unless the server made
/// something else of one of them.
fn is_alike(page: &str, now: &str) -> bool {
    let other = |line: &str| {
        line.split_once(" (the server: ")
            .map(|(_, other)| other.to_owned())
    };
    other(page) != other(now) || named(page) == named(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(version: &str, said: &str) -> Page {
        let alert = Alert {
            number: 49,
            sender: Sender::Server,
        };
        let symptom = Symptom {
            said: said.into(),
            other: None,
        };
        Page {
            versions: [(Program::Curl, version.into())].into(),
            sections: vec![Section {
                title: "Denied, today",
                alert: Some(alert),
                reason: "denied",
                message: "denied by policy".into(),
                decided_by: None,
                remedy: "ask",
                symptoms: [(Program::Curl, symptom)].into(),
            }],
        }
    }

    /// What a page of this would be found to lack, once it stands there.
    fn compare(written: &Page, happened: &Page) -> Vec<String> {
        let lines = written.lines();
        let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        differences(&lines, &happened.lines(), &happened.versions)
    }

    #[test]
    fn the_same_version_must_use_the_same_words() {
        let written = page("8.1", "curl: (56) tlsv1 alert access denied");
        assert_eq!(compare(&written, &written), Vec::<String>::new());
        let other = page("8.1", "curl: (35) tlsv1 alert access denied");
        assert_eq!(compare(&written, &other).len(), 1);
    }

    #[test]
    fn another_version_must_name_the_same_alert() {
        let written = page("8.1", "curl: (56) tlsv1 alert access denied");
        let other = page("8.2", "curl: (35) TLS alert access denied, sorry");
        assert_eq!(compare(&written, &other), Vec::<String>::new());
        for said in ["curl: (56) tlsv1 alert unknown ca", "curl: (56) reset"] {
            assert_eq!(compare(&written, &page("8.2", said)).len(), 1, "{said}");
        }
    }

    #[test]
    fn what_is_ours_must_be_the_same_whatever_the_version() {
        let written = page("8.1", "curl: (56) tlsv1 alert access denied");
        for change in [
            (|page| page.sections[0].message = "denied".into()) as fn(&mut Page),
            |page| page.sections[0].reason = "deny_listed",
            |page| page.sections[0].remedy = "wait",
            |page| page.sections.clear(),
        ] {
            for version in ["8.1", "8.2"] {
                let mut other = page(version, "curl: (56) tlsv1 alert access denied");
                change(&mut other);
                assert_ne!(compare(&written, &other), Vec::<String>::new());
            }
        }
    }

    /// Clients find different faults in different versions.
    #[test]
    fn what_the_client_decided_may_be_another_in_another_version() {
        let of = |version, reason| {
            let mut page = page(version, "curl: (60) no");
            page.sections[0].decided_by = Some(Program::Curl);
            page.sections[0].reason = reason;
            page
        };
        let written = of("8.1", "closed");
        assert_eq!(
            compare(&written, &of("8.2", "alert_received")),
            Vec::<String>::new()
        );
        assert_eq!(compare(&written, &of("8.1", "alert_received")).len(), 2);
    }

    #[test]
    fn nothing_is_asked_of_a_missing_program() {
        let written = page("8.1", "curl: (56) tlsv1 alert access denied");
        let mut without = page("8.1", "");
        without.versions.clear();
        without.sections[0].symptoms.clear();
        assert_eq!(compare(&written, &without), Vec::<String>::new());
    }
}
