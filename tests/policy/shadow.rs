//! A shadow policy is reported and decides nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock, Mutex};

use countersign::policy::{self, Policy};
use countersign::{Decision, Peer, testing};

/// What a policy may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Panic,
}

use Answer::{No, Panic, Yes};

const ALL: [Answer; 3] = [Yes, No, Panic];

static PEER: LazyLock<Peer<()>> = LazyLock::new(|| testing::peer(()));

/// A policy with this answer and name.
fn says(answer: Answer, name: &'static str) -> impl Policy<()> + 'static {
    move |_: &Peer<()>| match answer {
        Yes => Decision::allow(name),
        No => Decision::deny(format!("not {name}")),
        Panic => resume_unwind(Box::new(name)), // a panic without a message
    }
}

/// The outcome at the gate.
fn ask(policy: &dyn Policy<()>) -> (Answer, String) {
    let decision = catch_unwind(AssertUnwindSafe(|| policy.authorize(&PEER))).ok();
    match decision {
        None => (Panic, String::new()),
        Some(decision) => {
            let text = decision
                .rule()
                .or_else(|| decision.reason())
                .unwrap()
                .to_owned();
            (if decision.is_allowed() { Yes } else { No }, text)
        }
    }
}

/// What `on_difference` received: the enforced decision, and the candidate's.
type Reported = (bool, Option<bool>);

fn shadowed(enforced: Answer, candidate: Answer) -> (Answer, String, Vec<Reported>) {
    let reported: Arc<Mutex<Vec<Reported>>> = Arc::default();
    let report = reported.clone();
    let policy = policy::shadow(
        says(enforced, "now"),
        says(candidate, "soon"),
        move |difference| {
            assert_eq!(difference.peer().identity(), &());
            report.lock().unwrap().push((
                difference.enforced().is_allowed(),
                difference.candidate().map(Decision::is_allowed),
            ));
            resume_unwind(Box::new("while recording"));
        },
    );
    let decision = catch_unwind(AssertUnwindSafe(|| policy.authorize(&PEER)));
    let recorded = reported.lock().unwrap_or_else(|e| e.into_inner()).clone();
    let (answer, text) = ask(&policy);
    assert_eq!(answer == Panic, decision.is_err());
    (answer, text, recorded)
}

/// One test, because tracing caches for each call site whether there is a subscriber. A test on another
/// thread without one could disable the call site for this test.
#[test]
fn shadow_policies() {
    support::in_own_process!(shadow_policies);
    a_difference_is_traced();
    a_shadow_policy_is_reported_and_not_enforced();
}

fn a_shadow_policy_is_reported_and_not_enforced() {
    for enforced in ALL {
        for candidate in ALL {
            let (answer, text, reported) = shadowed(enforced, candidate);
            let case = format!("{enforced:?} over {candidate:?}");
            // In force, it decides as it does alone.
            assert_eq!((answer, text), ask(&says(enforced, "now")), "{case}");
            let expected: &[Reported] = match (enforced, candidate) {
                (Panic, _) => &[],
                (Yes, No) => &[(true, Some(false))],
                (No, Yes) => &[(false, Some(true))],
                (Yes, Panic) => &[(true, None)],
                (No, Panic) => &[(false, None)],
                (Yes, Yes) | (No, No) => &[],
            };
            assert_eq!(reported, expected, "{case}");
        }
    }
}

fn a_difference_is_traced() {
    let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Writer(lines.clone()))
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        for (enforced, candidate) in [(Yes, Yes), (Yes, No), (No, Panic)] {
            let policy = policy::shadow(says(enforced, "now"), says(candidate, "soon"), |_| ());
            let _ = policy.authorize(&PEER);
            let _ = policy::explain(&policy, &PEER);
        }
    });
    let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [differs, panics] = lines[..] else {
        panic!("one line for each difference: {text}");
    };
    for (line, parts) in [
        (
            differs,
            ["enforced=allowed by \"now\"", "candidate=denied: not soon"],
        ),
        (panics, ["enforced=denied: not now", "candidate=panicked"]),
    ] {
        assert!(line.contains("INFO"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Writer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
