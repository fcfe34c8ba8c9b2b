//! Trust stores by trust domain, in a map whose clones share what they have in common.
//!
//! A federation can have thousands of trust domains, of which one changes at a time, and each change makes a new
//! immutable snapshot. So this is a persistent search tree: a change copies the nodes from the root to the place
//! of the change. It is balanced by weight (Adams 1992; the parameters of Hirai and Yamamoto 2011), so that its
//! depth does not depend on the names.

use std::cmp::Ordering;
use std::sync::Arc;

use super::TrustStore;
use crate::identity::TrustDomain;

#[derive(Clone, Default)]
pub(super) struct DomainMap(Tree);

type Tree = Option<Arc<Node>>;

#[derive(Clone)]
struct Node {
    domain: TrustDomain,
    store: Arc<TrustStore>,
    left: Tree,
    right: Tree,
    size: usize,
    /// Whether a store of this part has pins.
    has_pins: bool,
}

impl DomainMap {
    pub(super) fn get(&self, domain: &TrustDomain) -> Option<&Arc<TrustStore>> {
        let mut tree = &self.0;
        while let Some(node) = tree {
            tree = match domain.cmp(&node.domain) {
                Ordering::Less => &node.left,
                Ordering::Greater => &node.right,
                Ordering::Equal => return Some(&node.store),
            };
        }
        None
    }

    /// Adds a domain, or replaces its store.
    pub(super) fn insert(&mut self, domain: TrustDomain, store: TrustStore) {
        insert(&mut self.0, domain, Arc::new(store));
    }

    pub(super) fn remove(&mut self, domain: &TrustDomain) {
        // Nothing is copied for a domain that is not there.
        if self.get(domain).is_some() {
            remove(&mut self.0, domain);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a store has pins.
    pub(super) fn has_pins(&self) -> bool {
        has_pins(&self.0)
    }

    /// All of them, by domain.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &TrustStore)> {
        let mut above = Vec::new();
        descend(&self.0, &mut above);
        std::iter::from_fn(move || {
            let node: &Node = above.pop()?;
            descend(&node.right, &mut above);
            Some((&node.domain, &*node.store))
        })
    }
}

/// Adds the nodes from here to the first one.
fn descend<'a>(mut tree: &'a Tree, above: &mut Vec<&'a Node>) {
    while let Some(node) = tree {
        above.push(node);
        tree = &node.left;
    }
}

impl Node {
    fn new(domain: TrustDomain, store: Arc<TrustStore>, left: Tree, right: Tree) -> Self {
        let mut node = Self {
            domain,
            store,
            left,
            right,
            size: 0,
            has_pins: false,
        };
        node.sum_up();
        node
    }

    fn sum_up(&mut self) {
        let Self { left, right, .. } = self;
        self.size = size(left) + size(right) + 1;
        self.has_pins = has_pins(left) || has_pins(right) || self.store.has_pins();
    }
}

fn size(tree: &Tree) -> usize {
    tree.as_ref().map_or(0, |node| node.size)
}

fn has_pins(tree: &Tree) -> bool {
    tree.as_ref().is_some_and(|node| node.has_pins)
}

fn insert(tree: &mut Tree, domain: TrustDomain, store: Arc<TrustStore>) {
    let Some(node) = tree else {
        *tree = Some(Arc::new(Node::new(domain, store, None, None)));
        return;
    };
    let node = Arc::make_mut(node);
    match domain.cmp(&node.domain) {
        Ordering::Less => insert(&mut node.left, domain, store),
        Ordering::Greater => insert(&mut node.right, domain, store),
        Ordering::Equal => node.store = store,
    }
    balance(tree);
}

fn remove(tree: &mut Tree, domain: &TrustDomain) {
    let Some(node) = tree else { return };
    let node = Arc::make_mut(node);
    match domain.cmp(&node.domain) {
        Ordering::Less => remove(&mut node.left, domain),
        Ordering::Greater => remove(&mut node.right, domain),
        Ordering::Equal => {
            let left = node.left.take();
            let mut right = node.right.take();
            *tree = match take_first(&mut right) {
                None => left,
                Some((domain, store)) => Some(Arc::new(Node::new(domain, store, left, right))),
            };
        }
    }
    balance(tree);
}

fn take_first(tree: &mut Tree) -> Option<(TrustDomain, Arc<TrustStore>)> {
    let node = Arc::make_mut(tree.as_mut()?);
    let Some(first) = take_first(&mut node.left) else {
        let first = (node.domain.clone(), Arc::clone(&node.store));
        *tree = node.right.take();
        return Some(first);
    };
    balance(tree);
    Some(first)
}

/// Restores the balance after one part has changed by one domain.
fn balance(tree: &mut Tree) {
    /// How much heavier one part may be.
    const MOST: usize = 3;
    /// From when on its inner part is raised.
    const INNER: usize = 2;

    let Some(node) = tree else { return };
    let node = Arc::make_mut(node);
    let weight = |tree: &Tree| size(tree) + 1;
    let (left, right) = (weight(&node.left), weight(&node.right));
    if right > MOST * left {
        if let Some(heavy) = &node.right
            && weight(&heavy.left) >= INNER * weight(&heavy.right)
        {
            raise_left(&mut node.right);
        }
        raise_right(tree);
    } else if left > MOST * right {
        if let Some(heavy) = &node.left
            && weight(&heavy.right) >= INNER * weight(&heavy.left)
        {
            raise_right(&mut node.left);
        }
        raise_left(tree);
    } else {
        node.sum_up();
    }
}

/// Puts the right part in the place of its parent.
fn raise_right(tree: &mut Tree) {
    if let Some(mut node) = tree.take() {
        let lowered = Arc::make_mut(&mut node);
        let mut right = lowered.right.take();
        if let Some(raised) = &mut right {
            let raised = Arc::make_mut(raised);
            lowered.right = raised.left.take();
            lowered.sum_up();
            raised.left = Some(node);
            raised.sum_up();
            *tree = right;
        } else {
            *tree = Some(node);
        }
    }
}

/// Puts the left part in the place of its parent.
fn raise_left(tree: &mut Tree) {
    if let Some(mut node) = tree.take() {
        let lowered = Arc::make_mut(&mut node);
        let mut left = lowered.left.take();
        if let Some(raised) = &mut left {
            let raised = Arc::make_mut(raised);
            lowered.left = raised.right.take();
            lowered.sum_up();
            raised.right = Some(node);
            raised.sum_up();
            *tree = left;
        } else {
            *tree = Some(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::pki::Fingerprint;

    fn domain(number: usize) -> TrustDomain {
        format!("d{number}.example").parse().unwrap()
    }

    /// A store that is recognized by its pin.
    fn store(number: usize) -> TrustStore {
        TrustStore::empty().pin_spki(Fingerprint::of(&number.to_be_bytes()))
    }

    /// Checks the balance and the sums, and returns the addresses of the nodes.
    fn nodes(tree: &Tree) -> HashSet<*const Node> {
        let Some(node) = tree else {
            return HashSet::new();
        };
        let (left, right) = (nodes(&node.left), nodes(&node.right));
        assert_eq!(node.size, left.len() + right.len() + 1);
        let (a, b) = (left.len() + 1, right.len() + 1);
        assert!(a <= 3 * b && b <= 3 * a, "{a}, {b}");
        let mut all = left;
        all.extend(right);
        all.insert(Arc::as_ptr(node));
        all
    }

    #[test]
    fn it_equals_a_sorted_map_and_stays_balanced() {
        let (mut map, mut expected) = (DomainMap::default(), BTreeMap::new());
        let mut random = 1_u64;
        for step in 0..3000_usize {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let number = (random % 200) as usize;
            // Growing, then shrinking.
            if random % 10 < if step < 1500 { 7 } else { 3 } {
                map.insert(domain(number), store(number));
                expected.insert(domain(number), number);
            } else {
                map.remove(&domain(number));
                expected.remove(&domain(number));
            }
            assert!(map.iter().map(|(domain, _)| domain).eq(expected.keys()));
            assert_eq!(map.is_empty(), expected.is_empty());
            assert_eq!(map.has_pins(), !expected.is_empty());
            assert_eq!(nodes(&map.0).len(), expected.len());
            assert_eq!(
                map.get(&domain(number)).is_some(),
                expected.contains_key(&domain(number))
            );
        }
        // In order, which is the worst case for a tree without balance.
        let mut map = DomainMap::default();
        for number in 10_000..11_000 {
            map.insert(domain(number), TrustStore::empty());
        }
        assert_eq!(nodes(&map.0).len(), 1000);
        assert!(!map.has_pins());
    }

    #[test]
    fn a_change_copies_a_path_and_leaves_the_clone() {
        for count in [100, 10_000] {
            let mut map = DomainMap::default();
            for number in 0..count {
                map.insert(domain(number), TrustStore::empty());
            }
            let before = map.clone();
            let old = nodes(&before.0);
            let copied = |map: &DomainMap| nodes(&map.0).difference(&old).count();
            // The depth is at most log(n) / log(4/3), and rotations copy neighbours.
            let most = 3 * count.ilog2() as usize + 3;
            for number in [0, count / 3, count - 1] {
                let mut changed = map.clone();
                changed.insert(domain(number), store(number));
                assert!((1..=most).contains(&copied(&changed)), "{count}");
                assert!(changed.has_pins() && !before.has_pins());
                let mut changed = map.clone();
                changed.remove(&domain(number));
                assert!((1..=most).contains(&copied(&changed)), "{count}");
                assert_eq!(before.iter().count(), count);
            }
            let mut changed = map.clone();
            changed.insert(domain(count), store(count));
            assert!((1..=most).contains(&copied(&changed)), "{count}");
            changed = map.clone();
            changed.remove(&domain(count));
            assert_eq!(copied(&changed), 0);
        }
    }
}
