//! What must be true, whatever happens at once.
//!
//! The rules have versions. A version may be in force from the moment at which its change begins until the change
//! to the next one has returned. So for each moment one version must be obeyed, or one of two while a change is
//! under way. What the server does is checked against the versions of the attempt's whole duration: a peer is
//! admitted only if one of them admits it, and refused only for a reason that one of them has.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use countersign::audit::Action;
use rustls_pki_types::UnixTime;

/// Versions and log lines that are older are forgotten, so that the model does not grow.
const MEMORY: Duration = Duration::from_secs(90);
/// The lines of the log that a failure prints.
const TAIL: usize = 120;

/// Which authority has issued a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Authority {
    A,
    B,
    /// Never trusted.
    Stranger,
}

/// What a client shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) authority: Authority,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// What the audit sink does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinkMode {
    Records,
    Fails,
    Panics,
}

/// The rules in force.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) trusted: BTreeSet<Authority>,
    pub(crate) revoked: BTreeSet<Vec<u8>>,
    pub(crate) denied: BTreeSet<String>,
    pub(crate) allowed: BTreeSet<String>,
    /// The policy is asynchronous: it decides about open connections after the change has returned.
    pub(crate) is_async: bool,
    /// Seconds from the real time; `None` for a clock that returns nothing.
    pub(crate) clock: Option<i64>,
    pub(crate) sink: SinkMode,
    pub(crate) suspended: bool,
    /// When the CRLs were issued, and when the next ones are due.
    pub(crate) crls: (u64, u64),
}

impl Rules {
    /// Why a client is refused; empty if it is admitted.
    pub(crate) fn causes(&self, shown: &Shown) -> BTreeSet<&'static str> {
        let mut causes = self.lasting_causes(shown);
        match self.clock {
            None => {
                causes.insert("no_clock");
            }
            Some(offset) => {
                let now = UnixTime::now().as_secs().saturating_add_signed(offset);
                if now < shown.not_before {
                    causes.insert("not_yet_valid");
                }
                if now > shown.not_after {
                    causes.insert("expired");
                }
                if now < self.crls.0 {
                    causes.insert("unknown_revocation_status");
                }
                if now > self.crls.1 {
                    causes.insert("crl_expired");
                }
            }
        }
        if self.sink != SinkMode::Records {
            causes.insert("not_audited");
        }
        causes
    }

    /// Why an open connection of the client must be closed when the change has returned. An asynchronous policy
    /// decides later; everything else counts at once.
    pub(crate) fn immediate_causes(&self, shown: &Shown) -> BTreeSet<&'static str> {
        let mut causes = self.lasting_causes(shown);
        if self.is_async {
            causes.remove("denied");
        }
        causes
    }

    /// Why an open connection of the client must be closed, now or soon.
    fn lasting_causes(&self, shown: &Shown) -> BTreeSet<&'static str> {
        let mut causes = BTreeSet::new();
        if !self.trusted.contains(&shown.authority) {
            causes.insert("unknown_issuer");
        }
        if self.revoked.contains(&shown.serial) {
            causes.insert("revoked");
        }
        if self.denied.contains(&shown.name) {
            causes.insert("deny_listed");
        }
        if !self.allowed.contains(&shown.name) {
            causes.insert("denied");
        }
        if self.suspended {
            causes.insert("suspended");
        }
        causes
    }
}

#[derive(Debug)]
struct Version {
    begun: Instant,
    committed: Option<Instant>,
    rules: Arc<Rules>,
}

/// What is known of an attempt.
#[derive(Debug)]
struct Attempt {
    began: Instant,
    what: &'static str,
    /// `None` for one that can never be admitted.
    shown: Option<Arc<Shown>>,
    outcomes: Vec<(Action, Option<&'static str>)>,
    /// An admission that the sink could not record, which is none.
    unrecorded_admissions: usize,
    connection: Option<u64>,
}

/// The events of a connection from its admission on. The documentation of `audit` has one of each kind at most. A
/// connection that was admitted is closed once, also if it was cut before.
#[derive(Debug)]
struct Trail {
    /// Of the last event.
    at: Instant,
    /// Whether the admission was recorded; `None` before. A change can come after the connection has opened and
    /// before that.
    is_admitted: Option<bool>,
    is_draining: bool,
    is_cut: bool,
    is_closed: bool,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) action: Action,
    pub(crate) reason: Option<&'static str>,
    pub(crate) connection: Option<u64>,
}

#[derive(Default)]
struct State {
    versions: VecDeque<Version>,
    attempts: HashMap<SocketAddr, Attempt>,
    trails: HashMap<u64, Trail>,
    log: VecDeque<(Instant, String)>,
    violations: Vec<String>,
    counts: HashMap<String, u64>,
    /// Suspensions are excused until then: the machine was too slow to repeat a value in time.
    excused: Option<Instant>,
}

pub(crate) struct Model {
    started: Instant,
    state: Mutex<State>,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        let now = Instant::now();
        let model = Self {
            started: now,
            state: Mutex::default(),
        };
        model.state().versions.push_back(Version {
            begun: now,
            committed: Some(now),
            rules: Arc::new(rules),
        });
        Arc::new(model)
    }

    /// The newest rules, which are in force unless a change is under way.
    pub(crate) fn newest(&self) -> Arc<Rules> {
        let state = self.state();
        let newest = state.versions.back().expect("there is one");
        Arc::clone(&newest.rules)
    }

    /// A change begins.
    pub(crate) fn begin(&self, what: &str, change: impl FnOnce(&mut Rules)) {
        let mut state = self.state();
        let newest = state.versions.back().expect("there is one");
        assert!(newest.committed.is_some(), "one change at a time");
        let mut rules = Rules::clone(&newest.rules);
        change(&mut rules);
        state.versions.push_back(Version {
            begun: Instant::now(),
            committed: None,
            rules: Arc::new(rules),
        });
        state.note(format!("change begins: {what}"));
    }

    /// The change has returned.
    pub(crate) fn commit(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let newest = state.versions.back_mut().expect("there is one");
        newest.committed = Some(now);
        state.note("change has returned".into());
        let is_old = |version: &Version| {
            let committed = version.committed;
            committed.is_some_and(|committed| now - committed > MEMORY)
        };
        // The version after it has replaced it long ago.
        while state.versions.get(1).is_some_and(is_old) {
            state.versions.pop_front();
        }
        state
            .trails
            .retain(|_, trail| !trail.is_complete() || now - trail.at < MEMORY);
    }

    /// All clients have stopped: what came before counts no more.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        let old = state.versions.len() - 1;
        state.versions.drain(..old);
        state.versions.shrink_to_fit();
        state.trails.retain(|_, trail| !trail.is_complete());
        state.trails.shrink_to_fit();
    }

    /// The change was refused: what was in force before stays.
    pub(crate) fn roll_back(&self) {
        let mut state = self.state();
        state.note("change was refused".into());
        // It may not have been in force at any time, so it was no version.
        state.versions.pop_back();
    }

    /// An attempt began at this time, from this address.
    pub(crate) fn attempt(
        &self,
        began: Instant,
        from: SocketAddr,
        what: &'static str,
        shown: Option<&Arc<Shown>>,
    ) {
        let attempt = Attempt {
            began,
            what,
            shown: shown.cloned(),
            outcomes: Vec::new(),
            unrecorded_admissions: 0,
            connection: None,
        };
        let old = self.state().attempts.insert(from, attempt);
        if let Some(old) = old {
            self.violation(format!("{from} was not settled: {old:?}"));
        }
    }

    /// The server has recorded the outcome of an attempt.
    pub(crate) fn outcome(
        &self,
        from: Option<SocketAddr>,
        action: Action,
        reason: Option<&'static str>,
        connection: Option<u64>,
        is_recorded: bool,
    ) {
        let mut state = self.state();
        let now = Instant::now();
        let said = format!(
            "{} {} ({from:?}, connection {connection:?}, recorded: {is_recorded})",
            action.as_str(),
            reason.unwrap_or("-")
        );
        state.note(said.clone());
        if action == Action::Admitted {
            let trail = state.trail(connection);
            if trail.is_none_or(|trail| trail.is_admitted.replace(is_recorded).is_some()) {
                state.violate(format!("admitted twice, or no connection: {said}"));
            }
        }
        let Some(from) = from else {
            return state.violate(format!("an outcome without an address: {said}"));
        };
        let Some(attempt) = state.attempts.get_mut(&from) else {
            return state.violate(format!("an outcome of no attempt, or a second one: {said}"));
        };
        if action == Action::Admitted && !is_recorded {
            attempt.unrecorded_admissions += 1;
            return;
        }
        attempt.outcomes.push((action, reason));
        attempt.connection = connection;
        let (began, shown, what) = (attempt.began, attempt.shown.clone(), attempt.what);
        state.count(&format!("{what}: {}", reason.unwrap_or("admitted")));
        if let Some(reason) = reason {
            state.count(&format!("{}: {reason}", action.as_str()));
        }
        let rules = state.between(began, now);
        let causes: Vec<_> = rules
            .iter()
            .map(|it| shown.as_ref().map(|shown| it.causes(shown)))
            .collect();
        let is_fine = match (action, reason) {
            (Action::Admitted, _) => causes.iter().flatten().any(BTreeSet::is_empty),
            // The peer did not finish, or what it sent is not TLS; the client must know.
            (Action::Abandoned | Action::HandshakeFailed | Action::TimedOut, _) => true,
            (_, Some("no_certificate")) => shown.is_none(),
            (_, Some("suspended")) if state.excused.is_some_and(|until| now < until) => true,
            (_, Some(reason)) => causes
                .iter()
                .flatten()
                .any(|causes| causes.contains(reason)),
            (_, None) => false,
        };
        if !is_fine {
            let text =
                format!("{what} {from}: {said}, but the rules say {causes:?}; shown: {shown:?}");
            state.violate(text);
        }
    }

    /// The server has asked a connection to drain, has cut it, or has closed it.
    pub(crate) fn closing(&self, connection: Option<u64>, action: Action, reason: &'static str) {
        let mut state = self.state();
        let said = format!("{} {reason} (connection {connection:?})", action.as_str());
        state.note(said.clone());
        state.count(action.as_str());
        state.count(&format!("{}: {reason}", action.as_str()));
        let is_first = state.trail(connection).is_some_and(|trail| {
            let happened = match action {
                Action::Draining => &mut trail.is_draining,
                Action::Cut => &mut trail.is_cut,
                _ if trail.is_admitted == Some(true) => &mut trail.is_closed,
                _ => return false,
            };
            !std::mem::replace(happened, true)
        });
        if !is_first {
            let text = format!("the second one, or of a connection that was not admitted: {said}");
            state.violate(text);
        }
    }

    /// Whether the server has cut a connection, or asked it to drain.
    pub(crate) fn is_closing(&self, connection: u64) -> bool {
        let state = self.state();
        let trail = state.trails.get(&connection);
        trail.is_some_and(|trail| trail.is_draining || trail.is_cut)
    }

    /// The connections whose events are not complete: they were admitted and are not closed.
    pub(crate) fn incomplete(&self) -> Vec<String> {
        let state = self.state();
        let trails = state.trails.iter();
        let incomplete = trails.filter(|(_, trail)| !trail.is_complete());
        incomplete.map(|it| format!("{it:?}")).collect()
    }

    /// The outcome of an attempt that has one; `None` if there is none yet.
    pub(crate) fn try_outcome(&self, from: SocketAddr) -> Option<Outcome> {
        let state = self.state();
        let attempt = state.attempts.get(&from)?;
        let &(action, reason) = attempt.outcomes.first()?;
        Some(Outcome {
            action,
            reason,
            connection: attempt.connection,
        })
    }

    /// The attempt is over: it must have had exactly one outcome.
    pub(crate) fn settle(&self, from: SocketAddr) {
        let mut state = self.state();
        let Some(attempt) = state.attempts.remove(&from) else {
            return state.violate(format!("{from} was settled twice"));
        };
        let is_denied = attempt.outcomes == [(Action::Denied, Some("not_audited"))];
        if attempt.outcomes.len() != 1 {
            state.violate(format!("not exactly one outcome: {from} {attempt:?}"));
        } else if attempt.unrecorded_admissions > 1
            || (attempt.unrecorded_admissions == 1) != is_denied
        {
            state.violate(format!(
                "an unrecorded admission is a denial: {from} {attempt:?}"
            ));
        }
    }

    /// Whether all rules between these moments admit the client, and whether all refuse it at once for a lasting
    /// reason.
    pub(crate) fn verdict(&self, shown: &Shown, from: Instant, to: Instant) -> Verdict {
        let state = self.state();
        let rules = state.between(from, to);
        Verdict {
            must_be_admitted: rules.iter().all(|rules| rules.causes(shown).is_empty())
                && state.excused.is_none_or(|until| from > until),
            must_be_refused: rules
                .iter()
                .all(|rules| !rules.immediate_causes(shown).is_empty()),
        }
    }

    /// The machine was too slow: a stream may have been found silent.
    pub(crate) fn excuse_suspension(&self, time: Duration) {
        let mut state = self.state();
        state.note("the stream's value was repeated too late".into());
        state.count("excused suspensions");
        state.excused = Some(Instant::now() + time);
    }

    pub(crate) fn note(&self, text: String) {
        self.state().note(text);
    }

    pub(crate) fn count(&self, what: &str) {
        self.state().count(what);
    }

    pub(crate) fn violation(&self, text: String) {
        self.state().violate(text);
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.state().violations.is_empty()
    }

    /// How often this has happened.
    pub(crate) fn how_often(&self, what: &str) -> u64 {
        self.state().counts.get(what).copied().unwrap_or_default()
    }

    /// How often what has happened.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<_> = self.state().counts.clone().into_iter().collect();
        counts.sort();
        counts
    }

    /// Panics with the log and the model's view if something was wrong.
    pub(crate) fn assert(&self) {
        let state = self.state();
        if state.violations.is_empty() {
            return;
        }
        for (at, line) in &state.log {
            eprintln!("{:>12.6} {line}", (*at - self.started).as_secs_f64());
        }
        let newest = state.versions.back();
        eprintln!("the model's rules: {newest:#?}");
        let violations = state.violations.join("\n");
        drop(state);
        panic!("the model was violated:\n{violations}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the rules say during a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) must_be_admitted: bool,
    pub(crate) must_be_refused: bool,
}

impl Trail {
    /// Whether no further event must come.
    fn is_complete(&self) -> bool {
        self.is_admitted
            .is_some_and(|is_admitted| is_admitted == self.is_closed)
    }
}

impl State {
    /// The events of a connection, one of which comes now.
    fn trail(&mut self, connection: Option<u64>) -> Option<&mut Trail> {
        let now = Instant::now();
        let trail = self.trails.entry(connection?).or_insert(Trail {
            at: now,
            is_admitted: None,
            is_draining: false,
            is_cut: false,
            is_closed: false,
        });
        trail.at = now;
        Some(trail)
    }

    /// The rules that may have been in force between these moments.
    fn between(&self, from: Instant, to: Instant) -> Vec<Arc<Rules>> {
        let next = self.versions.iter().skip(1).map(Some).chain([None]);
        let in_force = self.versions.iter().zip(next).filter(|(version, next)| {
            let replaced = next.and_then(|next| next.committed);
            version.begun <= to && replaced.is_none_or(|replaced| replaced >= from)
        });
        in_force
            .map(|(version, _)| Arc::clone(&version.rules))
            .collect()
    }

    fn note(&mut self, line: String) {
        // What came before the first violation, and a little of what came after it.
        if self.violations.is_empty() {
            self.log.push_back((Instant::now(), line));
            self.log.drain(..self.log.len().saturating_sub(TAIL));
        } else if self.log.len() < 2 * TAIL {
            self.log.push_back((Instant::now(), line));
        }
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn violate(&mut self, text: String) {
        self.note(format!("VIOLATION: {text}"));
        if self.violations.len() < 20 {
            self.violations.push(text);
        }
    }
}
