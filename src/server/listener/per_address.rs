//! How many handshakes each address has under way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts handshakes by address, up to a limit.
#[derive(Clone, Debug)]
pub(super) struct PerAddress {
    limit: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One handshake's place.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl PerAddress {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    /// A place, if the address has one left.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        // The same client comes by either family.
        let address = address.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counts.get(&address).copied().unwrap_or(0);
        if taken >= self.limit {
            return None;
        }
        counts.insert(address, taken + 1);
        Some(Place {
            address,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address); // addresses come and go without end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let places = PerAddress::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = places.take(one).expect("free");
        let second = places.take(IpAddr::V6("::ffff:192.0.2.1".parse().expect("an address")));
        assert!(second.is_some() && places.take(one).is_none());
        assert!(places.take(other).is_some());
        drop(first);
        assert!(places.take(one).is_some());
        drop(second);
        assert!(places.counts.lock().expect("whole").is_empty());
    }
}
