//! The valid policy graph of RFC 9618, which replaces the tree of RFC 5280 section 6.1.2 (a).
//!
//! A tree has a node for each way through the mappings, which can be exponential. The graph has one node
//! for each policy of a certificate, with several parents. Its size is linear in the certificates.

use std::collections::{HashMap, HashSet};

/// The content of an object identifier.
pub(super) type Policy<'a> = &'a [u8];

/// 2.5.29.32.0
pub(super) const ANY_POLICY: Policy<'static> = &[0x55, 0x1d, 0x20, 0];

/// The nodes of all certificates so far, from the root down.
pub(super) struct Graph<'a> {
    levels: Vec<Level<'a>>,
}

#[derive(Default)]
struct Level<'a> {
    nodes: Vec<Node<'a>>,
    /// The places in `nodes` by the policies that the certificate below may have for them.
    expected: HashMap<Policy<'a>, Vec<usize>>,
}

struct Node<'a> {
    policy: Policy<'a>,
    /// Places in the level above.
    parents: Vec<usize>,
    /// Deleted by a mapping that is inhibited.
    is_deleted: bool,
}

impl<'a> Graph<'a> {
    pub(super) fn new() -> Self {
        let root = Node {
            policy: ANY_POLICY,
            parents: Vec::new(),
            is_deleted: false,
        };
        Self {
            levels: vec![Level::of(vec![root])],
        }
    }

    /// Section 6.1.3 (d): the policies of the next certificate. `any` says whether its anyPolicy counts.
    pub(super) fn add(&mut self, policies: &[Policy<'a>], any: bool) {
        let above = &self.levels[self.levels.len() - 1];
        let any_above = above.place_of(ANY_POLICY);
        let mut nodes = Vec::new();
        let node = |policy, parents| Node {
            policy,
            parents,
            is_deleted: false,
        };
        let own: HashSet<Policy<'a>> = policies.iter().copied().collect();
        for policy in policies.iter().filter(|policy| **policy != ANY_POLICY) {
            match (above.expected.get(policy), any_above) {
                (Some(parents), _) => nodes.push(node(*policy, parents.clone())),
                (None, Some(parent)) => nodes.push(node(*policy, vec![parent])),
                (None, None) => {}
            }
        }
        if any && own.contains(ANY_POLICY) {
            let missing = above.expected.iter();
            let missing =
                missing.filter(|(policy, _)| **policy == ANY_POLICY || !own.contains(*policy));
            nodes.extend(missing.map(|(policy, parents)| node(*policy, parents.clone())));
        }
        self.levels.push(Level::of(nodes));
    }

    /// Section 6.1.4 (b): the mappings of the last certificate, from its own policies to those below.
    pub(super) fn map(&mut self, mappings: &[(Policy<'a>, Policy<'a>)], is_inhibited: bool) {
        let last = self.levels.len() - 1;
        let level = &mut self.levels[last];
        let mut mapped: HashMap<Policy<'a>, Vec<Policy<'a>>> = HashMap::new();
        for (from, to) in mappings {
            mapped.entry(from).or_default().push(to);
        }
        let mut places: HashMap<Policy<'a>, usize> = HashMap::new();
        for (place, node) in level.nodes.iter().enumerate() {
            places.insert(node.policy, place);
        }
        let mut remapped = Vec::new();
        for (from, to) in mapped {
            let place = match (places.get(from), places.get(ANY_POLICY)) {
                (Some(place), _) => *place,
                (None, Some(any)) if !is_inhibited => {
                    let parents = level.nodes[*any].parents.clone();
                    level.nodes.push(Node {
                        policy: from,
                        parents,
                        is_deleted: false,
                    });
                    level.nodes.len() - 1
                }
                _ => continue,
            };
            // Until now, each node expects its own policy only.
            level.expected.remove(from);
            if is_inhibited {
                level.nodes[place].is_deleted = true;
                continue;
            }
            remapped.push((place, to));
        }
        for (place, to) in remapped {
            for policy in to {
                let places = level.expected.entry(policy).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
    }

    /// Whether no policy is left, so that the graph is NULL.
    pub(super) fn is_empty(&self) -> bool {
        let last = &self.levels[self.levels.len() - 1];
        last.nodes.iter().all(|node| node.is_deleted)
    }

    /// Section 6.1.5 (g): the policies of the root's domain that the path is valid for; `None` for all.
    pub(super) fn valid_policies(&self) -> Option<Vec<Policy<'a>>> {
        let last = &self.levels[self.levels.len() - 1];
        if last.place_of(ANY_POLICY).is_some() {
            return None;
        }
        let mut valid = Vec::new();
        let live = last.nodes.iter().enumerate();
        let mut reached: HashSet<usize> = live
            .filter(|(_, node)| !node.is_deleted)
            .map(|(place, _)| place)
            .collect();
        for (depth, level) in self.levels.iter().enumerate().skip(1).rev() {
            let above = &self.levels[depth - 1];
            let mut parents = HashSet::new();
            for place in &reached {
                let node = &level.nodes[*place];
                let mut of_node = node.parents.iter();
                if node.policy != ANY_POLICY
                    && of_node.any(|parent| above.nodes[*parent].policy == ANY_POLICY)
                {
                    valid.push(node.policy);
                }
                parents.extend(node.parents.iter().copied());
            }
            reached = parents;
        }
        Some(valid)
    }
}

impl<'a> Level<'a> {
    /// A level whose nodes expect their own policies.
    fn of(nodes: Vec<Node<'a>>) -> Self {
        let mut expected: HashMap<Policy<'a>, Vec<usize>> = HashMap::new();
        for (place, node) in nodes.iter().enumerate() {
            expected.entry(node.policy).or_default().push(place);
        }
        Self { nodes, expected }
    }

    fn place_of(&self, policy: Policy<'_>) -> Option<usize> {
        let mut nodes = self.nodes.iter();
        nodes.position(|node| node.policy == policy && !node.is_deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Policy<'static> = &[1];
    const TWO: Policy<'static> = &[2];
    const THREE: Policy<'static> = &[3];

    fn sorted(graph: &Graph<'static>) -> Option<Vec<Policy<'static>>> {
        let mut policies = graph.valid_policies()?;
        policies.sort_unstable();
        Some(policies)
    }

    #[test]
    fn a_policy_must_be_in_every_certificate() {
        let mut graph = Graph::new();
        graph.add(&[ONE, TWO], true);
        graph.add(&[TWO, THREE], true);
        assert_eq!(sorted(&graph), Some(vec![TWO]));
        graph.add(&[ONE], true);
        assert!(graph.is_empty());
    }

    #[test]
    fn any_policy_stands_for_all_unless_it_is_inhibited() {
        let mut graph = Graph::new();
        graph.add(&[ANY_POLICY], true);
        assert_eq!(sorted(&graph), None);
        graph.add(&[ONE, ANY_POLICY], true);
        graph.add(&[ONE], true);
        assert_eq!(sorted(&graph), Some(vec![ONE]));

        let mut graph = Graph::new();
        graph.add(&[ANY_POLICY], false);
        assert!(graph.is_empty());
    }

    #[test]
    fn mappings_lead_to_policies_of_the_root() {
        let mut graph = Graph::new();
        graph.add(&[ONE], true);
        graph.map(&[(ONE, TWO), (ONE, THREE), (ONE, TWO)], false);
        let mut inhibited = Graph::new();
        inhibited.add(&[ONE], true);
        inhibited.map(&[(ONE, TWO)], true);
        assert!(inhibited.is_empty());
        graph.add(&[TWO, THREE], true);
        assert_eq!(sorted(&graph), Some(vec![ONE]));

        let mut unmapped = Graph::new();
        unmapped.add(&[ONE], true);
        unmapped.map(&[(ONE, TWO)], false);
        unmapped.add(&[ONE], true);
        assert!(
            unmapped.is_empty(),
            "the mapped policy is not expected below"
        );
    }

    #[test]
    fn a_mapping_below_any_policy_makes_a_policy_of_the_root() {
        let mut graph = Graph::new();
        graph.add(&[ANY_POLICY], true);
        graph.map(&[(ONE, TWO)], false);
        graph.add(&[TWO], true);
        assert_eq!(sorted(&graph), Some(vec![ONE]));
    }

    /// In a tree, each level would multiply the nodes of the one above.
    #[test]
    fn mappings_of_all_to_all_are_linear() {
        let names: Vec<[u8; 1]> = (1..=20).map(|name| [name]).collect();
        let policies: Vec<Policy<'_>> = names.iter().map(|name| &name[..]).collect();
        let mappings: Vec<(Policy<'_>, Policy<'_>)> = policies
            .iter()
            .flat_map(|from| policies.iter().map(|to| (*from, *to)))
            .collect();
        let mut graph = Graph::new();
        for _ in 0..7 {
            graph.add(&policies, true);
            graph.map(&mappings, false);
        }
        assert!(graph.levels.iter().all(|level| level.nodes.len() <= 20));
        assert_eq!(graph.valid_policies().unwrap().len(), 20);
    }
}
