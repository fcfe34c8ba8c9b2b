//! Tests of a recorder with a clock that the test sets.

use std::sync::Mutex;

use super::*;
use crate::audit::{Memory, Stage, is_unauthenticated};
use crate::peer::ConnectionInfo;

fn new_recorder(sink: impl AuditSink + 'static, per_second: u32) -> Arc<Recorder> {
    let mut recorder = Recorder::new(Box::new(sink), Side::Server, None, Some(per_second), None);
    recorder.clock = Clock::Set(Mutex::new(Duration::ZERO));
    // A test calls `summarize`, so no thread is needed.
    recorder.has_waiter = AtomicBool::new(true);
    Arc::new(recorder)
}

fn set(recorder: &Recorder, millis: u64) {
    if let Clock::Set(time) = &recorder.clock {
        *time.lock().unwrap() = Duration::from_millis(millis);
    }
}

fn conclude(recorder: &Arc<Recorder>, stage: Stage, action: Action, reason: &'static str) {
    recorder.counters().began();
    let outcome = AttemptOutcome {
        action,
        reason: Some(reason),
        duration: Duration::ZERO,
        resumed: false,
        is_unproven: is_unauthenticated(action, stage, &ConnectionInfo::default()),
    };
    let recorded = recorder.record_outcome(outcome, |event| event.stage = Some(stage));
    recorded.unwrap();
}

fn refuse(recorder: &Arc<Recorder>) {
    conclude(
        recorder,
        Stage::Chain,
        Action::ChainRefused,
        "unknown_issuer",
    );
}

fn summaries(trail: &Memory) -> Vec<(Option<&'static str>, u64)> {
    let events = trail.take();
    let of = |it: &Arc<AuditEvent>| Some((it.reason, it.suppressed?.count));
    events.iter().filter_map(of).collect()
}

#[test]
fn a_summary_comes_with_the_next_event_of_any_kind_and_at_the_end() {
    let trail = Memory::new();
    let recorder = new_recorder(trail.clone(), 1);
    (0..15).for_each(|_| refuse(&recorder));
    assert_eq!(trail.take().len(), 10, "a burst is recorded singly");
    assert_eq!(recorder.counters().read().audit_suppressed, 5);
    set(&recorder, 999);
    recorder.emit(Action::ReloadApplied, None, |_| {});
    assert_eq!(summaries(&trail), [], "the interval is not over");
    set(&recorder, 1000);
    recorder.emit(Action::ReloadApplied, None, |_| {});
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 5)]);

    (0..8).for_each(|_| refuse(&recorder)); // one is recorded singly
    assert_eq!(summaries(&trail), []);
    set(&recorder, 2000);
    recorder.summarize(false); // as the thread does
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 7)]);

    (0..3).for_each(|_| refuse(&recorder));
    let stats = recorder.counters().read();
    drop(recorder);
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 2)]);
    assert_eq!((stats.chain_refused, stats.audit_suppressed), (26, 14));
}

#[test]
fn a_flood_is_summed_up_while_it_goes_on() {
    let trail = Memory::new();
    let recorder = new_recorder(trail.clone(), 0);
    for millis in 0..=3000 {
        set(&recorder, millis);
        refuse(&recorder);
    }
    let each: Vec<u64> = summaries(&trail).iter().map(|it| it.1).collect();
    assert_eq!(each, [1001, 1001]);
    recorder.summarize(true);
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 999)]);
}

#[test]
fn only_refusals_before_the_proof_of_a_key_are_left_out() {
    let trail = Memory::new();
    let recorder = new_recorder(trail.clone(), 0);
    for stage in [Stage::Identity, Stage::Policy] {
        for _ in 0..50 {
            conclude(&recorder, stage, Action::Denied, "denied");
            conclude(&recorder, stage, Action::NotIdentified, "identity_missing");
            conclude(&recorder, stage, Action::TimedOut, "timed_out");
            conclude(&recorder, stage, Action::Abandoned, "abandoned");
        }
    }
    for _ in 0..50 {
        conclude(&recorder, Stage::Open, Action::Admitted, "");
        recorder.emit(Action::Cut, Some("revoked"), |_| {});
        recorder.emit(Action::RequestDenied, Some("denied"), |_| {});
    }
    assert_eq!(trail.take().len(), 8 * 50 + 3 * 50);
    for stage in [
        Stage::Transport,
        Stage::Handshake,
        Stage::Chain,
        Stage::Proof,
    ] {
        conclude(&recorder, stage, Action::HandshakeFailed, "tls");
    }
    assert_eq!(trail.take().len(), 0);
    // The chain was revoked while the policy decided about a peer that had proven its key.
    let outcome = AttemptOutcome {
        action: Action::ChainRefused,
        reason: Some("revoked"),
        duration: Duration::ZERO,
        resumed: false,
        is_unproven: false,
    };
    let recorded = recorder.record_outcome(outcome, |event| event.stage = Some(Stage::Chain));
    recorded.unwrap();
    assert_eq!(trail.take().len(), 1);
}

#[test]
fn a_summary_that_cannot_be_recorded_is_made_again() {
    struct Full(Mutex<bool>, Memory);
    impl AuditSink for Full {
        fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
            if *self.0.lock().unwrap() {
                return Err(RecordError::new("no space left on device"));
            }
            self.1.record(event)
        }
    }
    let full = Arc::new(Full(Mutex::new(true), Memory::new()));
    let recorder = new_recorder(Arc::clone(&full), 0);
    (0..4).for_each(|_| refuse(&recorder));
    set(&recorder, 1000);
    recorder.summarize(false);
    *full.0.lock().unwrap() = false;
    set(&recorder, 2000);
    recorder.summarize(false);
    assert_eq!(summaries(&full.1), [(Some("unknown_issuer"), 4)]);
}

#[test]
fn what_the_sink_does_not_want_is_not_counted_as_left_out() {
    struct Admissions;
    impl AuditSink for Admissions {
        fn record(&self, _: &Arc<AuditEvent>) -> Result<(), RecordError> {
            panic!("the sink does not want it")
        }
        fn wants(&self, action: Action) -> bool {
            action == Action::Admitted
        }
    }
    let recorder = new_recorder(Admissions, 0);
    (0..4).for_each(|_| refuse(&recorder));
    let stats = recorder.counters().read();
    assert_eq!((stats.chain_refused, stats.audit_suppressed), (4, 0));
}
