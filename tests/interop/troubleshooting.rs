//! `manual/troubleshooting.md` says what real clients print when they are refused, and it is true:
//! everything below its marker is written by this test, and compared with what happens here.
//!
//! `UPDATE_MANUAL=1 cargo test -p interop troubleshooting` writes it anew.
#![cfg(unix)] // proxies on Unix sockets

mod cases;
mod chains;
mod compare;
mod doors;
mod names;
mod page;
mod reasons;
mod servers;
mod world;

use std::collections::BTreeMap;

use crate::callers::{Answer, Caller, PROGRAMS, Program, alerts, normal};
use cases::{Case, cases};
use countersign::{AcceptError, HandshakeError};
use page::{Alert, Page, Section, Sender, Symptom, Versions};
use world::{World, call, plain_alert};

const UPDATE: &str = "UPDATE_MANUAL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_happens() {
    // These show what our side does, and OpenSSL makes Java's files.
    let needed = [Program::OpenSsl, Program::Curl, Program::GnuTls];
    if needed.iter().any(|program| program.version().is_none()) {
        return;
    }
    let mut callers = Vec::new();
    let mut versions = Versions::new();
    for program in PROGRAMS {
        if let Some(caller) = Caller::start(program).await {
            versions.insert(program, caller.version.clone());
            callers.push((program, caller));
        }
    }
    let world = World::new();
    let mut sections = Vec::new();
    for case in cases(&world) {
        eprintln!("== {}", case.title);
        sections.push(produce(&case, &mut callers).await);
        admits_the_cured(&case, &mut callers).await;
    }
    let page = Page { versions, sections };
    if std::env::var_os(UPDATE).is_some() {
        assert_eq!(callers.len(), PROGRAMS.len(), "a page is of all programs");
        page.write();
    } else {
        page.compare();
    }
}

type Callers = [(Program, Caller)];

/// What each program says when it is refused, and what the server does.
async fn produce(case: &Case, callers: &mut Callers) -> Section {
    let mut symptoms = BTreeMap::new();
    let mut ours = None;
    for (program, caller) in callers {
        if !case.refused.by.contains(program) {
            continue;
        }
        let Some((answer, served)) = call(&case.refused, caller).await else {
            continue;
        };
        let said = answer.error();
        let Err(error) = served else {
            assert!(case.refused.client_rejects(), "{program:?} was admitted");
            let other = Some("admits it, and it closes".into());
            symptoms.insert(*program, Symptom { said, other });
            continue;
        };
        let now = Ours {
            reason: error.reason(),
            message: normal::ours(&error.to_string()),
            alert: match case.refused.speaks.is_tls() {
                true => alert(&said, &error),
                false => plain_alert(&case.refused).await,
            },
            program: *program,
        };
        let first = ours.get_or_insert_with(|| now.clone());
        let other = now.other_than(first);
        symptoms.insert(*program, Symptom { said, other });
    }
    let ours = ours.expect("curl, OpenSSL or GnuTLS can do this");
    Section {
        title: case.title,
        alert: ours.alert,
        reason: ours.reason,
        message: ours.message,
        decided_by: case.refused.client_rejects().then_some(ours.program),
        remedy: case.remedy,
        symptoms,
    }
}

/// What our side made of one client.
#[derive(Clone)]
struct Ours {
    reason: &'static str,
    message: String,
    alert: Option<Alert>,
    program: Program,
}

impl Ours {
    fn other_than(&self, first: &Self) -> Option<String> {
        if self.reason != first.reason {
            Some(format!("`{}`", self.reason))
        } else if self.message != first.message {
            Some(format!("`{}`", self.message))
        } else {
            assert_eq!(self.alert, first.alert, "one reason, and several alerts");
            None
        }
    }
}

/// The alert that one side sent and the other side reports.
fn alert(said: &str, error: &AcceptError) -> Option<Alert> {
    let (number, sender) = match error {
        AcceptError::Handshake(HandshakeError::Alert(alert)) => {
            (u8::from(alert.alert()), Sender::Client)
        }
        AcceptError::Handshake(
            HandshakeError::TimedOut { .. }
            | HandshakeError::Closed { .. }
            | HandshakeError::TooMuchReceived { .. },
        )
        | AcceptError::Shed(_) => {
            return None;
        }
        AcceptError::NotAdmitted(error) => {
            let number = u8::from(error.alert());
            assert_eq!(alerts::named(said), Some(number), "{said}: {error}");
            (number, Sender::Server)
        }
        _ => {
            let named = alerts::named(said);
            (
                named.unwrap_or_else(|| panic!("no alert: {said}; ours: {error}")),
                Sender::Server,
            )
        }
    };
    Some(Alert { number, sender })
}

/// The remedy helps.
async fn admits_the_cured(case: &Case, callers: &mut Callers) {
    for (program, caller) in callers {
        let Some((answer, served)) = call(&case.cured, caller).await else {
            assert!(!caller.has_ems(), "all others speak TLS of either version");
            continue;
        };
        let name = served.expect("admitted").identity;
        let page = Answer::Page(format!("hello {name}"));
        assert_eq!(answer, page, "{}: {program:?}", case.title);
    }
}
