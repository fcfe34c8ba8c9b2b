//! Which gates are notified of a change.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Counts the changes.
#[derive(Default)]
struct Counting(AtomicUsize);

impl OnChange for Counting {
    fn changed(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_gate_of_a_list_is_notified_of_every_change() {
    let list = DenyList::<u8>::new();
    let gates: [Arc<Counting>; 3] = Default::default();
    for gate in &gates {
        let gate: Weak<dyn OnChange> = Arc::<Counting>::downgrade(gate);
        list.notify_on_change(gate);
    }
    let counts = || gates.each_ref().map(|gate| gate.0.load(Ordering::Relaxed));
    assert!(list.insert(DenyEntry::Identity(1)));
    assert_eq!(counts(), [1, 1, 1]);
    assert!(!list.insert(DenyEntry::Identity(1)), "no change");
    list.replace([DenyEntry::Identity(2)]);
    assert_eq!(counts(), [2, 2, 2]);
    // A reload replaces the entries, and acts on its own gate.
    let replaced = list.prepare([]).swap();
    assert_eq!(counts(), [2, 2, 2]);
    replaced.notify_others(Arc::as_ptr(&gates[1]));
    assert_eq!(counts(), [3, 2, 3]);
}

#[test]
fn gates_that_are_gone_are_forgotten() {
    let list = DenyList::<u8>::new();
    let register = || {
        let gate = Arc::new(Counting::default());
        let weak: Weak<dyn OnChange> = Arc::<Counting>::downgrade(&gate);
        list.notify_on_change(weak);
        gate
    };
    for _ in 0..3 {
        drop(register());
    }
    let gate = register();
    assert_eq!(list.gates().len(), 1, "at the next registration");
    drop(gate);
    list.replace([]);
    assert!(list.gates().is_empty(), "at the next change");
}
