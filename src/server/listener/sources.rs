//! The handshakes in progress, by source.
//!
//! Places for handshakes are shared by all sources. Three rules keep one source from taking them all: an
//! optional limit, random early drop, and, when no place is free, displacement: the oldest handshake of the
//! source with the most places is closed. Honest handshakes take milliseconds, so the oldest one of a
//! flood is an idle one.
//!
//! The table has an entry per handshake in progress, so the listener's places bound its memory.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::early_drop::{Dice, EarlyDrop};
use crate::server::ShedReason;

/// The age at which a handshake can be displaced by a source with as many places. A younger one may be
/// honest.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What counts as one client: an IPv4 address, or an IPv6 /64, of which one client has every address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    V6([u16; 4]),
    /// A trusted proxy, for connections whose client is not known, or an address that may be forged: many
    /// clients, and not one.
    Proxy(IpAddr),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // The same client can connect over either family.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl Source {
    const fn is_proxy(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }
}

/// The handshakes in progress, by source.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) limit: Option<usize>,
    pub(crate) early_drop: Option<EarlyDrop>,
    dice: Dice,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    sources: HashMap<Source, Handshakes>,
    next: u64,
}

/// Those of one source, the oldest first.
type Handshakes = BTreeMap<u64, Handshaking>;

#[derive(Debug)]
struct Handshaking {
    since: Instant,
    displace: oneshot::Sender<()>,
}

/// One handshake's entry, removed when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    source: Source,
    number: u64,
    displaced: Option<oneshot::Receiver<()>>,
    table: Arc<Mutex<Table>>,
}

impl Sources {
    pub(crate) fn new(limit: Option<usize>, early_drop: Option<EarlyDrop>) -> Self {
        Self {
            limit,
            early_drop,
            dice: Dice::default(),
            table: Arc::default(),
        }
    }

    /// Whether one source makes room for another.
    pub(crate) const fn displace(&self) -> bool {
        self.early_drop.is_some()
    }

    /// Adds a handshake, if its source may begin another one.
    ///
    /// # Errors
    /// Why its connection is closed instead.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Entry, ShedReason> {
        let source = Source::from(address);
        let mut guard = lock(&self.table);
        let table = &mut *guard;
        let count = table.sources.get(&source).map_or(0, Handshakes::len);
        if self.limit.is_some_and(|limit| count >= limit) {
            return Err(ShedReason::TooManyOfAddress);
        }
        if let Some(rule) = self.early_drop
            && rule.drops(count, || self.dice.roll())
        {
            return Err(ShedReason::EarlyDrop);
        }
        Ok(self.insert(table, source))
    }

    /// Adds a handshake by way of a trusted proxy whose client is not known. No limit by address applies.
    pub(crate) fn enter_proxy(&self, proxy: IpAddr) -> Entry {
        self.insert(&mut lock(&self.table), Source::Proxy(proxy.to_canonical()))
    }

    /// Adds a handshake whose client has not proven its address: the address may be forged, so its handshakes
    /// do not count against the client that has it. `None` if as many are in progress as may be.
    #[cfg(feature = "quinn")]
    pub(crate) fn enter_unproven(&self, address: IpAddr) -> Option<Entry> {
        /// Enough for clients that start together behind one address.
        const UNPROVEN: usize = 16;

        let source = Source::Proxy(address.to_canonical());
        let limit = self.limit.map_or(UNPROVEN, |limit| limit.min(UNPROVEN));
        let mut guard = lock(&self.table);
        let count = guard.sources.get(&source).map_or(0, Handshakes::len);
        (count < limit).then(|| self.insert(&mut guard, source))
    }

    fn insert(&self, table: &mut Table, source: Source) -> Entry {
        let number = table.next;
        table.next += 1;
        let (displace, displaced) = oneshot::channel();
        let since = Instant::now();
        let of_source = table.sources.entry(source).or_default();
        of_source.insert(number, Handshaking { since, displace });
        Entry {
            source,
            number,
            displaced: Some(displaced),
            table: Arc::clone(&self.table),
        }
    }

    /// Displaces a handshake for a new one: the oldest one of the source that has the most, if that source
    /// has more than the new one's or the handshake is old. Those by way of a proxy whose client is not known
    /// count only when they are old. Returns whether there was one.
    pub(crate) fn make_room(&self, newcomer: Option<&Entry>) -> bool {
        if !self.displace() {
            return false;
        }
        let mut table = lock(&self.table);
        let sources = &mut table.sources;
        let own = newcomer.filter(|entry| !entry.source.is_proxy());
        let own = own.and_then(|entry| sources.get(&entry.source));
        let own = own.map_or(1, Handshakes::len);
        let heaviest = sources
            .iter_mut()
            .filter(|(source, of)| !source.is_proxy() || is_old(of))
            .max_by_key(|(_, of)| of.len());
        let Some((&heaviest, handshakes)) = heaviest else {
            return false;
        };
        let count = handshakes.len();
        let Some(oldest) = handshakes.first_entry().filter(|_| count > 1) else {
            return false;
        };
        if count <= own && oldest.get().since.elapsed() < GRACE {
            return false;
        }
        // It may have finished at this moment, which makes room too.
        let _ = oldest.remove().displace.send(());
        if handshakes.is_empty() {
            sources.remove(&heaviest);
        }
        true
    }
}

impl Entry {
    /// Resolves with `Ok` when the handshake is displaced.
    pub(crate) const fn displaced(&mut self) -> Option<oneshot::Receiver<()>> {
        self.displaced.take()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if let Some(of_source) = table.sources.get_mut(&self.source) {
            of_source.remove(&self.number);
            if of_source.is_empty() {
                table.sources.remove(&self.source); // otherwise the table would grow without limit
            }
        }
    }
}

/// Whether the oldest of a source can be displaced by any other.
fn is_old(handshakes: &Handshakes) -> bool {
    let oldest = handshakes.first_key_value();
    oldest.is_some_and(|(_, oldest)| oldest.since.elapsed() >= GRACE)
}

/// Nothing that panics runs under the lock.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    fn is_displaced(entry: &mut Entry) -> bool {
        let displaced = entry.displaced.as_mut().expect("not taken");
        displaced.try_recv().is_ok()
    }

    #[test]
    fn entries_are_given_back() {
        let sources = Sources::new(Some(2), None);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let first = sources.enter(one).expect("free");
        let second = sources.enter(ip("::ffff:192.0.2.1")).expect("free");
        assert_eq!(
            sources.enter(one).unwrap_err(),
            ShedReason::TooManyOfAddress
        );
        assert!(sources.enter(other).is_ok());
        drop(first);
        assert!(sources.enter(one).is_ok());
        drop(second);
        assert!(lock(&sources.table).sources.is_empty());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_source() {
        let sources = Sources::new(Some(1), None);
        let _first = sources.enter(ip("2001:db8:1:2::1")).expect("free");
        let same = sources.enter(ip("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_eq!(same.unwrap_err(), ShedReason::TooManyOfAddress);
        assert!(sources.enter(ip("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn a_source_is_dropped_early_and_another_is_not() {
        let sources = Sources::new(None, Some(EarlyDrop::new(2, 100, 3)));
        let held: Vec<_> = (0..2)
            .map(|_| sources.enter(ip("192.0.2.1")).expect("free"))
            .collect();
        for _ in 0..100 {
            let dropped = sources.enter(ip("192.0.2.1")).unwrap_err();
            assert_eq!(dropped, ShedReason::EarlyDrop);
        }
        assert!(sources.enter(ip("192.0.2.2")).is_ok());
        drop(held);
        assert!(sources.enter(ip("192.0.2.1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_handshake_of_the_heaviest_source_makes_room() {
        let sources = Sources::new(None, Some(EarlyDrop::default()));
        let [mut light, mut oldest, mut younger] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.2"].map(|of| sources.enter(ip(of)).expect("free"));
        let mut own = sources.enter(ip("192.0.2.3")).expect("free");
        assert!(sources.make_room(Some(&own)));
        assert!(is_displaced(&mut oldest));
        // Now none has more than the newcomer.
        assert!(!sources.make_room(Some(&own)));
        for entry in [&mut light, &mut younger, &mut own] {
            assert!(!is_displaced(entry));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn among_equals_only_an_old_handshake_makes_room() {
        let sources = Sources::new(None, Some(EarlyDrop::default()));
        let mut first = sources.enter(ip("192.0.2.1")).expect("free");
        let newcomer = sources.enter(ip("192.0.2.1")).expect("free");
        assert!(!sources.make_room(Some(&newcomer)));
        tokio::time::advance(GRACE).await;
        assert!(sources.make_room(Some(&newcomer)));
        assert!(is_displaced(&mut first));
        // A single handshake of a source stays, however old.
        assert!(!sources.make_room(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_is_not_one_source() {
        let sources = Sources::new(Some(1), Some(EarlyDrop::new(1, 100, 1)));
        let proxy = ip("192.0.2.1");
        let mut waiting: Vec<_> = (0..100).map(|_| sources.enter_proxy(proxy)).collect();
        // Its own connections count for themselves.
        let _own = sources.enter(proxy).expect("free");
        let newcomer = sources.enter(ip("192.0.2.2")).expect("free");
        assert!(!sources.make_room(Some(&newcomer)));
        assert!(!sources.make_room(Some(&waiting[0])));
        // A header that is late does not keep its place.
        tokio::time::advance(GRACE).await;
        assert!(sources.make_room(Some(&newcomer)));
        assert!(is_displaced(&mut waiting[0]));
        drop((waiting, newcomer, _own));
        assert!(lock(&sources.table).sources.is_empty());
    }

    #[tokio::test]
    async fn without_early_drop_no_handshake_makes_room() {
        let sources = Sources::new(None, None);
        let _held = [1, 2].map(|_| sources.enter(ip("192.0.2.1")).expect("free"));
        assert!(!sources.make_room(None));
    }
}
