//! The deny list, which applies before the policy.

mod entry;
mod identities;
mod serial;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(feature = "tokio")]
use std::sync::{Mutex, MutexGuard, Weak};

pub use entry::{DenyEntry, DenyEntryError};
pub use serial::{IssuerText, SerialText};

use crate::Peer;
use crate::identity::SerialAndIssuer;
use crate::pki::contained::caught;
use crate::pki::{Certificate, Fingerprint};
use identities::Identities;
use serial::shortest;

/// Certificates, keys and identities that are denied. The list applies before the policy, which cannot
/// allow a peer on it.
///
/// A change takes effect at once: for new connections, for resumed ones, and for open ones, which are
/// closed. Give the list to a builder and keep a clone: all clones are one list.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{DenyEntry, DenyList};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let denied = DenyList::new();
/// let stolen: SpiffeId = "spiffe://example.org/ns/shop/sa/web".parse()?;
/// denied.insert(DenyEntry::Identity(stolen.clone()));
/// assert!(denied.contains(&DenyEntry::Identity(stolen)));
/// # Ok(())
/// # }
/// ```
///
/// Serial numbers and keys are looked up for every certificate of the verified path, so an intermediate
/// can be denied as well. To deny a trust anchor, remove it from the trust store.
///
/// The list is in memory: it does not outlive the process. A certificate that its issuer revokes for all
/// services belongs on the issuer's CRL.
///
/// # Security
/// There is no entry by the fingerprint of a certificate. The holder of a certificate with an ECDSA
/// signature can turn (r, s) into (r, n − s), which is valid too: the same certificate, with another
/// fingerprint. The signature covers the serial number, the issuer and the key.
#[doc(alias = "blocklist")]
#[doc(alias = "blacklist")]
pub struct DenyList<I> {
    shared: Arc<Shared<I>>,
}

struct Shared<I> {
    entries: RwLock<Entries<I>>,
    /// The gates that re-authorize their open connections after each change.
    #[cfg(feature = "tokio")]
    gates: Mutex<Vec<Weak<dyn OnChange>>>,
}

/// Acts on a change of the list.
#[cfg(feature = "tokio")]
pub(crate) trait OnChange: Send + Sync {
    fn changed(self: Arc<Self>);
}

/// Which kind of entry of a [`DenyList`] denies a peer.
///
/// ```
/// use countersign::policy::DeniedBy;
///
/// assert_eq!(DeniedBy::Key.to_string(), "a key of its chain");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeniedBy {
    /// The serial number and issuer of a certificate of the peer's path.
    Serial,
    /// A key of the peer's path.
    Key,
    /// The peer's identity.
    Identity,
}

impl fmt::Display for DeniedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "the serial number of a certificate of its chain",
            Self::Key => "a key of its chain",
            Self::Identity => "its identity",
        })
    }
}

struct Entries<I> {
    serials: HashSet<SerialAndIssuer>,
    named_serials: HashSet<(SerialText, IssuerText)>,
    /// The numbers that both kinds mean, as certificates contain them, with the number of their entries.
    numbers: HashMap<(IssuerText, Box<[u8]>), usize>,
    /// How many of these have a printed issuer.
    printed: usize,
    keys: HashSet<Fingerprint>,
    identities: Identities<I>,
}

impl<I: Eq + Hash> DenyList<I> {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry. Returns whether it is new.
    pub fn insert(&self, entry: DenyEntry<I>) -> bool {
        let is_new = self.write().insert(entry);
        if is_new {
            #[cfg(feature = "tokio")]
            self.notify();
        }
        is_new
    }

    /// Removes an entry. Returns whether it was on the list.
    pub fn remove(&self, entry: &DenyEntry<I>) -> bool {
        let mut entries = self.write();
        match entry {
            DenyEntry::Serial(serial) => {
                let was_there = entries.serials.remove(serial);
                if was_there {
                    entries.unindex(number_of(serial));
                }
                was_there
            }
            DenyEntry::NamedSerial { serial, issuer } => {
                let entry = (serial.clone(), issuer.clone());
                let was_there = entries.named_serials.remove(&entry);
                if was_there {
                    entries.unindex(numbers_of(serial, issuer));
                }
                was_there
            }
            DenyEntry::Key(key) => entries.keys.remove(key),
            DenyEntry::Identity(identity) => entries.identities.remove(identity),
        }
    }

    /// Replaces all entries at once.
    pub fn replace(&self, entries: impl IntoIterator<Item = DenyEntry<I>>) {
        let replaced = self.prepare(entries).swap();
        #[cfg(feature = "tokio")]
        self.notify();
        drop(replaced);
    }

    /// Prepares entries to replace all that are on the list. Code of the application, the identity's `Hash`
    /// and `Eq`, runs here.
    pub(crate) fn prepare(
        &self,
        entries: impl IntoIterator<Item = DenyEntry<I>>,
    ) -> Replacement<I> {
        let mut new = Entries::default();
        for entry in entries {
            new.insert(entry);
        }
        Replacement {
            list: self.clone(),
            entries: new,
        }
    }

    /// Whether the entry is on the list.
    pub fn contains(&self, entry: &DenyEntry<I>) -> bool {
        let entries = self.read();
        match entry {
            DenyEntry::Serial(serial) => entries.serials.contains(serial),
            DenyEntry::NamedSerial { serial, issuer } => entries
                .named_serials
                .contains(&(serial.clone(), issuer.clone())),
            DenyEntry::Key(key) => entries.keys.contains(key),
            DenyEntry::Identity(identity) => entries.identities.contains(identity),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let entries = self.read();
        entries.serials.len()
            + entries.named_serials.len()
            + entries.keys.len()
            + entries.identities.len()
    }

    /// Whether the list has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(feature = "tokio")]
impl<I> DenyList<I> {
    /// Notifies this gate of every change, as long as it exists.
    pub(crate) fn notify_on_change(&self, gate: Weak<dyn OnChange>) {
        let mut gates = self.gates();
        gates.retain(|gate| gate.strong_count() > 0);
        gates.push(gate);
    }

    /// Whether this gate is notified of changes.
    #[cfg(feature = "tokio")]
    pub(crate) fn notifies<G>(&self, gate: *const G) -> bool {
        let gates = self.gates();
        gates
            .iter()
            .any(|notified| std::ptr::addr_eq(notified.as_ptr(), gate))
    }

    fn notify(&self) {
        self.notify_others(std::ptr::null::<()>());
    }

    /// Notifies the gates of a change, except this one.
    fn notify_others<G>(&self, but: *const G) {
        let gates: Vec<_> = {
            let mut gates = self.gates();
            gates.retain(|gate| gate.strong_count() > 0);
            let others = gates
                .iter()
                .filter(|gate| !std::ptr::addr_eq(gate.as_ptr(), but));
            others.filter_map(Weak::upgrade).collect()
        };
        for gate in gates {
            // A panic in one gate must not keep the others from acting.
            caught(|| gate.changed());
        }
    }

    fn gates(&self) -> MutexGuard<'_, Vec<Weak<dyn OnChange>>> {
        self.shared
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> DenyList<I> {
    // Only the code of an identity can panic while the lock is held, and that leaves the entries intact.
    fn read(&self) -> RwLockReadGuard<'_, Entries<I>> {
        self.shared
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries<I>> {
        self.shared
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries that are ready to replace those of a list.
pub(crate) struct Replacement<I> {
    list: DenyList<I>,
    entries: Entries<I>,
}

/// A list whose entries were replaced, with the old ones: dropping them runs code of the
/// application.
pub(crate) struct Replaced<I> {
    list: DenyList<I>,
    _old: Entries<I>,
}

impl<I> Replacement<I> {
    /// Puts the entries in force. This runs no code of the application and cannot fail. No gate is notified.
    pub(crate) fn swap(self) -> Replaced<I> {
        let old = std::mem::replace(&mut *self.list.write(), self.entries);
        Replaced {
            list: self.list,
            _old: old,
        }
    }
}

#[cfg(feature = "tokio")]
impl<I> Replaced<I> {
    /// Notifies the gates that use the list, except this one.
    pub(crate) fn notify_others<G>(&self, but: *const G) {
        self.list.notify_others(but);
    }
}

/// Dropping identities runs code of the application.
impl<I> Drop for Entries<I> {
    fn drop(&mut self) {
        let identities = std::mem::take(&mut self.identities);
        caught(|| drop(identities));
    }
}

impl<I: Eq + Hash> Entries<I> {
    fn insert(&mut self, entry: DenyEntry<I>) -> bool {
        match entry {
            DenyEntry::Serial(serial) => {
                let number = number_of(&serial);
                let is_new = self.serials.insert(serial);
                if is_new {
                    self.index(number);
                }
                is_new
            }
            DenyEntry::NamedSerial { serial, issuer } => {
                let numbers = numbers_of(&serial, &issuer);
                let is_new = self.named_serials.insert((serial, issuer));
                if is_new {
                    self.index(numbers);
                }
                is_new
            }
            DenyEntry::Key(key) => self.keys.insert(key),
            DenyEntry::Identity(identity) => self.identities.insert(identity),
        }
    }
}

impl<I> Entries<I> {
    fn index(&mut self, numbers: Vec<(IssuerText, Box<[u8]>)>) {
        for number in numbers {
            self.printed += usize::from(matches!(number.0, IssuerText::Printed(_)));
            *self.numbers.entry(number).or_default() += 1;
        }
    }

    fn unindex(&mut self, numbers: Vec<(IssuerText, Box<[u8]>)>) {
        for number in numbers {
            self.printed -= usize::from(matches!(number.0, IssuerText::Printed(_)));
            if let Entry::Occupied(mut entries) = self.numbers.entry(number) {
                *entries.get_mut() -= 1;
                if *entries.get() == 0 {
                    entries.remove();
                }
            }
        }
    }

    /// Compares the octets in the certificate, of any length and sign.
    fn has_serial(&self, certificate: &Certificate) -> bool {
        if self.numbers.is_empty() {
            return false;
        }
        let number: Box<[u8]> = shortest(certificate.serial().as_bytes()).into();
        let issuer = certificate.issuer();
        let by_der = (IssuerText::Der(issuer.clone()), number);
        if self.numbers.contains_key(&by_der) {
            return true;
        }
        let printed = || (IssuerText::Printed(issuer.to_string()), by_der.1);
        self.printed > 0 && self.numbers.contains_key(&printed())
    }

    fn has_key(&self, certificate: &Certificate) -> bool {
        !self.keys.is_empty()
            && (self.keys.contains(&certificate.spki_sha256())
                || self.keys.contains(&certificate.usual_spki_sha256())
                || certificate
                    .other_spki_sha256s()
                    .iter()
                    .any(|other| self.keys.contains(other)))
    }
}

/// The content of the INTEGER with its issuer.
fn number_of(serial: &SerialAndIssuer) -> Vec<(IssuerText, Box<[u8]>)> {
    let issuer = IssuerText::Der(serial.issuer().clone());
    vec![(issuer, shortest(&serial.octets()).into())]
}

fn numbers_of(serial: &SerialText, issuer: &IssuerText) -> Vec<(IssuerText, Box<[u8]>)> {
    let numbers = serial.numbers();
    numbers
        .map(|number| (issuer.clone(), number.into()))
        .collect()
}

impl<I> Default for Entries<I> {
    fn default() -> Self {
        Self {
            serials: HashSet::new(),
            named_serials: HashSet::new(),
            numbers: HashMap::new(),
            printed: 0,
            keys: HashSet::new(),
            identities: Identities::default(),
        }
    }
}

impl<I> Default for DenyList<I> {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                entries: RwLock::default(),
                #[cfg(feature = "tokio")]
                gates: Mutex::default(),
            }),
        }
    }
}

impl<I> Clone for DenyList<I> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<I> fmt::Debug for DenyList<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.read();
        f.debug_struct("DenyList")
            .field(
                "serials",
                &(entries.serials.len() + entries.named_serials.len()),
            )
            .field("keys", &entries.keys.len())
            .field("identities", &entries.identities.len())
            .finish()
    }
}

/// The deny list as the gate sees it, without the bounds on the identity.
pub(crate) trait Denies<I>: Send + Sync {
    #[cfg(feature = "tokio")]
    fn notify_on_change(&self, gate: Weak<dyn OnChange>);

    fn denies(&self, peer: &Peer<I>) -> Option<DeniedBy>;
}

impl<I: Eq + Hash + Send + Sync> Denies<I> for DenyList<I> {
    #[cfg(feature = "tokio")]
    fn notify_on_change(&self, gate: Weak<dyn OnChange>) {
        Self::notify_on_change(self, gate);
    }

    fn denies(&self, peer: &Peer<I>) -> Option<DeniedBy> {
        let entries = self.read();
        let path = peer.chain().certificates();
        if entries.identities.contains(peer.identity()) {
            Some(DeniedBy::Identity)
        } else if path.iter().any(|it| entries.has_serial(it)) {
            Some(DeniedBy::Serial)
        } else if path.iter().any(|it| entries.has_key(it)) {
            Some(DeniedBy::Key)
        } else {
            None
        }
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests;
