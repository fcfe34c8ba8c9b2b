//! Questions to an asynchronous policy, while it is replaced or its runtime shuts down.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::lease::Lease;
use crate::queue::{Asking, Queue};
use crate::registry::Registry;
use crate::{CloseReason, List, every_order};

struct World {
    registry: Registry<List<Lease>>,
    /// The number of the policy in force. Those with even numbers deny.
    policy: AtomicU64,
}

/// The policy with this number.
struct Policy {
    world: Arc<World>,
    number: u64,
}

impl Asking for Policy {
    type Connection = Lease;

    fn is_current(&self) -> bool {
        self.world.policy.load(Ordering::SeqCst) == self.number
    }

    fn cut_unanswered(&self, lease: &Lease) {
        lease.cut(CloseReason::Denied);
    }
}

impl World {
    /// With one open connection.
    fn new() -> Arc<Self> {
        let registry = Registry::new(List::default());
        assert!(registry.open_if(&Arc::new(Lease::new()), || true));
        Arc::new(Self {
            registry,
            policy: AtomicU64::new(1),
        })
    }

    /// A new policy is in force, and its questions wait.
    fn set_policy(self: &Arc<Self>, number: u64) -> Queue<Policy> {
        let set = || self.policy.store(number, Ordering::SeqCst);
        self.registry.commit(set);
        let asking = Policy {
            world: Arc::clone(self),
            number,
        };
        Queue::new(asking, self.registry.lock().all())
    }

    fn is_cut(&self) -> bool {
        self.registry.lock().all()[0].is_cut()
    }
}

/// As a task of the runtime does.
fn answer_all(queue: &Queue<Policy>) {
    while let Some(question) = queue.next() {
        let denies = queue.asking().number.is_multiple_of(2);
        let answer = if denies { Err(()) } else { Ok(()) };
        question.answer(answer, |lease, ()| {
            lease.cut(CloseReason::Denied);
        });
    }
}

#[test]
fn the_newest_policy_decides_in_the_end() {
    for newest_denies in [false, true] {
        every_order(move || {
            let world = World::new();
            let older = {
                let world = Arc::clone(&world);
                thread::spawn(move || answer_all(&world.set_policy(3)))
            };
            let number = if newest_denies { 4 } else { 5 };
            answer_all(&world.set_policy(number));
            older.join().unwrap();
            let in_force = world.policy.load(Ordering::SeqCst);
            assert!(
                !in_force.is_multiple_of(2) || world.is_cut(),
                "no policy has decided"
            );
            assert!(newest_denies || !world.is_cut(), "no policy denies");
        });
    }
}

#[test]
fn a_connection_without_an_answer_is_cut() {
    every_order(|| {
        let world = World::new();
        let queue = Arc::new(world.set_policy(3));
        let worker = {
            let queue = Arc::clone(&queue);
            // Its runtime shuts down while it waits for the answer.
            thread::spawn(move || drop(queue.next()))
        };
        drop(queue);
        worker.join().unwrap();
        assert!(world.is_cut());
    });
}

#[test]
fn without_a_runtime_each_connection_is_cut_unless_a_newer_policy_decides() {
    every_order(|| {
        let world = World::new();
        let older = {
            let world = Arc::clone(&world);
            thread::spawn(move || drop(world.set_policy(3)))
        };
        answer_all(&world.set_policy(5));
        older.join().unwrap();
        // The one that was in force last has decided: 5 allows, and of 3 no answer came.
        let in_force = world.policy.load(Ordering::SeqCst);
        assert!(in_force == 5 || world.is_cut());
    });
}
