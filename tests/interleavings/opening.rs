//! Openings of connections against changes of the rules.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use crate::lease::Lease;
use crate::registry::{Authorized, Decide, Registry};
use crate::{CloseReason, List, every_order, now};

/// A snapshot: its epoch, and what it says about the only peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    epoch: u64,
    allow: bool,
}

struct Connection {
    lease: Lease,
    /// The epoch by which it was authorized last.
    authorized: Mutex<u64>,
}

/// The peer of an endpoint.
struct Peer<'a>(&'a World);

impl Decide<Connection> for Peer<'_> {
    type Rules = Rules;
    type With = ();
    type Error = ();

    fn rules(&self) -> Rules {
        self.0.rules()
    }

    fn is_in_force(&self, rules: &Rules) -> bool {
        self.0.rules() == *rules
    }

    async fn decide(&mut self, rules: &Rules) -> Result<Option<Authorized<Connection, ()>>, ()> {
        self.0.decide(*rules)
    }
}

/// An endpoint with one peer.
struct World {
    registry: Registry<List<Connection>>,
    /// In the place of the `ArcSwap`, which loom does not check.
    snapshot: Mutex<Rules>,
    /// Entries of a deny list, which change in place before the epoch does.
    is_deny_listed: Mutex<bool>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            registry: Registry::new(List::default()),
            snapshot: Mutex::new(Rules {
                epoch: 1,
                allow: true,
            }),
            is_deny_listed: Mutex::new(false),
        })
    }

    fn rules(&self) -> Rules {
        *self.snapshot.lock().unwrap()
    }

    fn allows(&self, rules: Rules) -> bool {
        rules.allow && !*self.is_deny_listed.lock().unwrap()
    }

    /// As an attempt does.
    fn open(&self) -> Option<Arc<Connection>> {
        let mut peer = Peer(self);
        let opened = now(self.registry.open(&mut peer));
        opened.ok().map(|(connection, ())| connection)
    }

    fn decide(&self, rules: Rules) -> Result<Option<Authorized<Connection, ()>>, ()> {
        if !self.allows(rules) {
            return Err(());
        }
        Ok(Some(Authorized {
            connection: Arc::new(Connection {
                lease: Lease::new(),
                authorized: Mutex::new(rules.epoch),
            }),
            with: (),
        }))
    }

    /// The mistake: it compares the epochs before it registers.
    fn open_too_late(&self) -> Option<Arc<Connection>> {
        loop {
            let rules = self.rules();
            let authorized = self.decide(rules).ok()??;
            if self.registry.between_changes(|| self.rules() == rules) {
                assert!(self.registry.open_if(&authorized.connection, || true));
                return Some(authorized.connection);
            }
        }
    }

    /// As an endpoint does: commit, and then re-authorize by what is in force.
    fn change(&self, allow: bool) {
        self.registry.commit(|| {
            let mut snapshot = self.snapshot.lock().unwrap();
            *snapshot = Rules {
                epoch: snapshot.epoch + 1,
                allow,
            };
        });
        self.reauthorize();
    }

    fn deny_list(&self) {
        *self.is_deny_listed.lock().unwrap() = true;
        let allow = self.rules().allow;
        self.change(allow);
    }

    fn reauthorize(&self) {
        let open = self.registry.lock().all();
        let rules = self.rules();
        for connection in open {
            if self.allows(rules) {
                let mut authorized = connection.authorized.lock().unwrap();
                *authorized = rules.epoch.max(*authorized);
            } else {
                connection.lease.cut(CloseReason::Denied);
            }
        }
    }

    /// No connection is open by rules that are no more.
    fn assert_nothing_escaped(&self, opened: Option<&Connection>) {
        let rules = self.rules();
        if let Some(connection) = opened.filter(|connection| !connection.lease.is_cut()) {
            assert!(self.allows(rules), "it escaped the change");
            let authorized = *connection.authorized.lock().unwrap();
            assert_eq!(authorized, rules.epoch, "it was not authorized again");
        }
    }
}

fn race(open: fn(&World) -> Option<Arc<Connection>>, changes: &'static [fn(&World)]) {
    every_order(move || {
        let world = World::new();
        let opener = {
            let world = Arc::clone(&world);
            thread::spawn(move || open(&world))
        };
        let (first, others) = changes.split_first().unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|change| {
                let world = Arc::clone(&world);
                thread::spawn(move || change(&world))
            })
            .collect();
        first(&world);
        for other in others {
            other.join().unwrap();
        }
        let opened = opener.join().unwrap();
        world.assert_nothing_escaped(opened.as_deref());
    });
}

#[test]
fn no_connection_escapes_a_change() {
    race(World::open, &[|world| world.change(false)]);
    race(World::open, &[|world| world.change(true)]);
}

#[test]
fn no_connection_escapes_an_entry_of_the_deny_list() {
    race(World::open, &[World::deny_list]);
}

#[test]
fn no_connection_escapes_two_changes_at_once() {
    race(
        World::open,
        &[|world| world.change(true), |world| world.change(false)],
    );
    race(World::open, &[|world| world.change(true), World::deny_list]);
}

#[test]
#[should_panic(expected = "it escaped the change")]
fn the_checker_finds_a_comparison_before_the_registration() {
    race(World::open_too_late, &[|world| world.change(false)]);
}

#[test]
#[should_panic(expected = "it escaped the change")]
fn the_checker_finds_a_commit_without_the_lock() {
    race(
        World::open,
        &[|world| {
            // The mistake: re-authorization runs before the change is in force.
            world.reauthorize();
            world
                .registry
                .commit(|| world.snapshot.lock().unwrap().allow = false);
        }],
    );
}
