//! A log whose clock is set.

use std::sync::Mutex;

use super::*;
use crate::audit::{Memory, Stage, Witness};
use crate::peer::ConnectionInfo;

fn log(sink: impl AuditSink + 'static, per_second: u32) -> Arc<Log> {
    let mut log = Log::new(Box::new(sink), Side::Server, None, Some(per_second));
    log.clock = Clock::Set(Mutex::new(Duration::ZERO));
    // A test asks for summaries itself.
    log.has_waiter = AtomicBool::new(true);
    Arc::new(log)
}

fn set(log: &Log, millis: u64) {
    if let Clock::Set(time) = &log.clock {
        *time.lock().unwrap() = Duration::from_millis(millis);
    }
}

fn conclude(log: &Arc<Log>, stage: Stage, action: Action, reason: &'static str) {
    let mut witness = Witness::new(log, ConnectionInfo::default(), 1);
    witness.stage = stage;
    witness.conclude(action, Some(reason), |_| {}).unwrap();
}

fn refuse(log: &Arc<Log>) {
    conclude(log, Stage::Chain, Action::ChainRefused, "unknown_issuer");
}

fn summaries(trail: &Memory) -> Vec<(Option<&'static str>, u64)> {
    let events = trail.take();
    let of = |it: &Arc<AuditEvent>| Some((it.reason, it.suppressed?.count));
    events.iter().filter_map(of).collect()
}

#[test]
fn a_summary_comes_with_the_next_event_of_any_kind_and_at_the_end() {
    let trail = Memory::new();
    let log = log(trail.clone(), 1);
    (0..15).for_each(|_| refuse(&log));
    assert_eq!(trail.take().len(), 10, "a burst is recorded singly");
    assert_eq!(log.counts().read().audit_suppressed, 5);
    set(&log, 999);
    log.tell(Action::ReloadApplied, None, |_| {});
    assert_eq!(summaries(&trail), [], "the interval is not over");
    set(&log, 1000);
    log.tell(Action::ReloadApplied, None, |_| {});
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 5)]);

    (0..8).for_each(|_| refuse(&log)); // one is recorded singly
    assert_eq!(summaries(&trail), []);
    set(&log, 2000);
    log.summarize(false); // as the thread does
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 7)]);

    (0..3).for_each(|_| refuse(&log));
    let stats = log.counts().read();
    drop(log);
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 2)]);
    assert_eq!((stats.chain_refused, stats.audit_suppressed), (26, 14));
}

#[test]
fn a_flood_is_summed_up_while_it_goes_on() {
    let trail = Memory::new();
    let log = log(trail.clone(), 0);
    for millis in 0..=3000 {
        set(&log, millis);
        refuse(&log);
    }
    let each: Vec<u64> = summaries(&trail).iter().map(|it| it.1).collect();
    assert_eq!(each, [1001, 1001]);
    log.summarize(true);
    assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 999)]);
}

#[test]
fn only_refusals_before_the_proof_of_a_key_are_left_out() {
    let trail = Memory::new();
    let log = log(trail.clone(), 0);
    for stage in [Stage::Identity, Stage::Policy] {
        for _ in 0..50 {
            conclude(&log, stage, Action::Denied, "denied");
            conclude(&log, stage, Action::NotIdentified, "identity_missing");
            conclude(&log, stage, Action::TimedOut, "timed_out");
            conclude(&log, stage, Action::Abandoned, "abandoned");
        }
    }
    for _ in 0..50 {
        conclude(&log, Stage::Open, Action::Admitted, "");
        log.tell(Action::Cut, Some("revoked"), |_| {});
        log.tell(Action::RequestDenied, Some("denied"), |_| {});
    }
    assert_eq!(trail.take().len(), 8 * 50 + 3 * 50);
    for stage in [
        Stage::Transport,
        Stage::Handshake,
        Stage::Chain,
        Stage::Proof,
    ] {
        conclude(&log, stage, Action::HandshakeFailed, "tls");
    }
    assert_eq!(trail.take().len(), 0);
    // A chain that trust no longer takes, while the policy was asked about its proven peer.
    let mut witness = Witness::new(&log, ConnectionInfo::default(), 1);
    (witness.stage, witness.is_proven) = (Stage::Chain, true);
    let action = Action::ChainRefused;
    witness.conclude(action, Some("revoked"), |_| {}).unwrap();
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
    let log = log(Arc::clone(&full), 0);
    (0..4).for_each(|_| refuse(&log));
    set(&log, 1000);
    log.summarize(false);
    *full.0.lock().unwrap() = false;
    set(&log, 2000);
    log.summarize(false);
    assert_eq!(summaries(&full.1), [(Some("unknown_issuer"), 4)]);
}

#[test]
fn what_the_sink_does_not_want_is_not_counted_as_left_out() {
    struct Admissions;
    impl AuditSink for Admissions {
        fn record(&self, _: &Arc<AuditEvent>) -> Result<(), RecordError> {
            panic!("it is not wanted")
        }
        fn wants(&self, action: Action) -> bool {
            action == Action::Admitted
        }
    }
    let log = log(Admissions, 0);
    (0..4).for_each(|_| refuse(&log));
    let stats = log.counts().read();
    assert_eq!((stats.chain_refused, stats.audit_suppressed), (4, 0));
}
