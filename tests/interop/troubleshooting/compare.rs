//! How the page is compared with what happened.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{Line, Versions, start};
use crate::callers::alerts::named;
use crate::callers::{PROGRAMS, Program};

/// How the page differs from what happened, apart from the words of other versions of programs.
pub(crate) fn differences(written: &[&str], happened: &[Line], versions: &Versions) -> Vec<String> {
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
    use super::super::page::{Alert, Page, Section, Sender, Symptom};
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

    /// What a page of this would lack.
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
