//! The open connections by number, and when each of them is due.
//!
//! Each connection has at most two deadlines: one by the timers' clock (the end of its drain time, or its
//! maximum age) and one by the clock of certificates (when its path expires). Each kind is in a sorted set, so
//! that the first is known, and a change takes time in the logarithm of the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::Connection;
use super::last_time::{LastTime, Now};
use super::registry::Table;
use super::timers::Lifetimes;
use crate::Peer;

pub(crate) struct OpenTable<I> {
    lifetimes: Lifetimes,
    connections: BTreeMap<u64, Arc<Connection<I>>>,
    /// By the timers' clock.
    due: BTreeSet<(Duration, u64)>,
    /// By the first second in which the path has expired. Draining connections are not here.
    expiring: BTreeSet<(u64, u64)>,
    /// How many were inserted.
    opened: u64,
    /// When the task of the timers wakes without a signal.
    pub(super) wakes: Duration,
}

impl<I> Table for OpenTable<I> {
    type Connection = Connection<I>;

    fn insert(&mut self, connection: &Arc<Connection<I>>) {
        self.connections
            .insert(connection.id(), Arc::clone(connection));
        self.opened += 1;
        self.schedule(connection);
    }
}

impl<I> OpenTable<I> {
    pub(super) const fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            connections: BTreeMap::new(),
            due: BTreeSet::new(),
            expiring: BTreeSet::new(),
            opened: 0,
            wakes: Duration::MAX,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    #[cfg(test)]
    pub(super) fn deadlines(&self) -> usize {
        self.due.len() + self.expiring.len()
    }

    /// How many connections have opened so far.
    pub(super) const fn opened(&self) -> u64 {
        self.opened
    }

    /// Up to `count` connections after this number, by number.
    pub(super) fn after(&self, number: Option<u64>, count: usize) -> Vec<Arc<Connection<I>>> {
        let start = number.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.connections.range((start, Bound::Unbounded));
        rest.map(|(_, it)| Arc::clone(it)).take(count).collect()
    }

    pub(super) fn any(&self, matches: impl FnMut(&Connection<I>) -> bool) -> bool {
        let mut connections = self.connections.values().map(|it| &**it);
        connections.any(matches)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<Connection<I>>> {
        let removed = self.connections.remove(&id)?;
        self.unschedule(&removed);
        Some(removed)
    }

    /// Enters the deadlines of a connection, unless it is not registered any more.
    pub(super) fn schedule(&mut self, connection: &Connection<I>) {
        let id = connection.id();
        if !self.connections.contains_key(&id) || connection.lease().is_cut() {
            return;
        }
        match connection.drained() {
            Some(until) => drop(self.due.insert((until, id))),
            None => {
                if let Some(end) = connection.end_by_age(&self.lifetimes) {
                    self.due.insert((end, id));
                }
                if let Some(second) = connection.expires() {
                    self.expiring.insert((second, id));
                }
            }
        }
    }

    /// Removes the deadlines of a connection.
    fn unschedule(&mut self, connection: &Connection<I>) {
        let id = connection.id();
        let by_clock = [connection.drained(), connection.end_by_age(&self.lifetimes)];
        for end in by_clock.into_iter().flatten() {
            self.due.remove(&(end, id));
        }
        if let Some(second) = connection.expires() {
            self.expiring.remove(&(second, id));
        }
    }

    /// The connection drains from now on.
    pub(super) fn reschedule(&mut self, connection: &Connection<I>) {
        self.unschedule(connection);
        self.schedule(connection);
    }

    /// Replaces the peer of a connection, whose path expires at another time. Returns the one that is no more, to
    /// be dropped without the lock.
    pub(super) fn set_peer(
        &mut self,
        connection: &Connection<I>,
        peer: Peer<I>,
        generation: u64,
    ) -> Peer<I> {
        if generation < connection.generation() {
            return peer; // a newer generation found another
        }
        self.unschedule(connection);
        let old = connection.replace_peer(peer);
        self.schedule(connection);
        old
    }

    /// Up to `count` connections that have a deadline in the past, without their deadlines: the caller
    /// [schedules](Self::schedule) them again.
    pub(super) fn take_due(
        &mut self,
        now: &Now,
        clock: Duration,
        count: usize,
    ) -> Vec<Arc<Connection<I>>> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let is_due = |(at, _): &&(Duration, u64)| *at <= clock;
            let is_over = |(second, _): &&(u64, u64)| {
                // All of them drain if there is no time for too long.
                now.missing_too_long.is_some()
                    || now.time.is_some_and(|now| now.as_secs() >= *second)
            };
            let id = if let Some(first) = self.due.first().filter(is_due).copied() {
                self.due.remove(&first);
                first.1
            } else if let Some(first) = self.expiring.first().filter(is_over).copied() {
                self.expiring.remove(&first);
                first.1
            } else {
                break;
            };
            taken.extend(self.connections.get(&id).cloned());
        }
        taken
    }

    /// When the first connection is due, by the timers' clock.
    pub(super) fn first_due(&self, time: &LastTime) -> Option<Duration> {
        let due = self.due.first().map(|(at, _)| *at);
        let expires = self.expiring.first();
        let expires = expires.and_then(|(second, _)| time.moment_of(*second));
        due.into_iter().chain(expires).min()
    }
}
