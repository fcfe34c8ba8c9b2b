//! The page's generated part: written, or compared with the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::UPDATE;
use super::compare::differences;
use crate::callers::Program;
use crate::callers::alerts::alert_name;

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
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) of: Option<Program>,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { text, of: None }
    }
}

const MARKER: &str =
    "<!-- All that follows is written by a test: tests/interop/troubleshooting.rs. -->";

impl Page {
    pub(crate) fn write(&self) {
        let text = text();
        let (mut page, _) = split(&text);
        for line in self.lines() {
            writeln!(page, "{}", line.text).expect("a string takes it");
        }
        std::fs::write(path(), page).expect("the page is writable");
    }

    /// Panics unless the page says what happened here. Where another version of a program runs than
    /// the page is of, its words may be others, but not the alert nor the server's reason.
    pub(crate) fn compare(&self) {
        let text = text();
        let (_, written) = split(&text);
        let differences = differences(&written, &self.lines(), &self.versions);
        assert!(
            differences.is_empty(),
            "manual/troubleshooting.md does not say what happens:\n{}\nIf that is as it should be, \
             write it anew: {UPDATE}=1 cargo test --test troubleshooting",
            differences.join("\n")
        );
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
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
    support::workspace().join("manual/troubleshooting.md")
}

pub(crate) fn text() -> String {
    std::fs::read_to_string(path()).expect("the page")
}

/// Everything up to the marker, and the lines below.
fn split(text: &str) -> (String, Vec<&str>) {
    let (above, below) = text.split_once(MARKER).expect("the page has its marker");
    let below = below.strip_prefix('\n').unwrap_or(below);
    (format!("{above}{MARKER}\n"), below.lines().collect())
}

pub(crate) fn start(program: Program) -> String {
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
