//! The possible issuers of each certificate, by name.
//!
//! A peer chooses what it sends: certificates that all have one name, cycles of authorities that signed
//! each other, and similar graphs. rustls-webpki searches them depth first and parses a certificate again
//! at each step. Ten certificates of 54 kB took it 20 seconds. Names are therefore compared here, once for
//! each pair, and certificates that lead to no root are dropped before any signature is verified.

use crate::pki::key_id::{AuthorityKey, subject_key};
use crate::pki::{Certificate, DistinguishedName};

use super::TrustStore;
use super::store::Root;

/// A leaf, and the certificates that may be on its path.
pub(crate) struct Graph<'a> {
    store: &'a TrustStore,
    /// The leaf first; each certificate once.
    nodes: Vec<Node<'a>>,
}

struct Node<'a> {
    certificate: &'a Certificate,
    /// Its possible issuers, the most likely first.
    links: Vec<Link>,
}

/// A possible issuer of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// The root with this index in the trust store.
    Root(usize),
    /// The certificate with this index in the graph.
    Certificate(usize),
}

/// Whether the key identifiers of a certificate and of a possible issuer match. This only orders the
/// search, because some authorities issue certificates whose identifiers do not match (RFC 4158
/// section 3.5.12).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum KeyIds {
    Equal,
    /// At least one of the two has no identifier.
    Unknown,
    Different,
}

impl<'a> Graph<'a> {
    /// Finds the certificates that names link to `leaf`, among the presented intermediates and those of
    /// the store.
    pub(crate) fn new(
        leaf: &'a Certificate,
        presented: &'a [Certificate],
        store: &'a TrustStore,
    ) -> Self {
        let mut graph = Self {
            store,
            nodes: Vec::with_capacity(1 + presented.len()),
        };
        graph.add(leaf);
        let mut place = 0;
        while place < graph.nodes.len() {
            graph.link(place, presented);
            place += 1;
        }
        graph
    }

    /// Links a certificate to its possible issuers, and adds new ones to the graph.
    fn link(&mut self, place: usize, presented: &'a [Certificate]) {
        let certificate = self.nodes[place].certificate;
        let key = AuthorityKey::of(certificate).key;
        let roots = self.store.roots_named(certificate.issuer());
        let mut links: Vec<(KeyIds, Link)> = roots
            .iter()
            .map(|&root| {
                let subject_key = self
                    .store
                    .root(root)
                    .certificate
                    .as_ref()
                    .and_then(subject_key);
                (KeyIds::of(key, subject_key), Link::Root(root))
            })
            .collect();
        // Roots are first, as in rustls-webpki, so that the path is as short as possible.
        links.sort_by(|(one, _), (other, _)| one.cmp(other));
        let matching = self.store.choices().names;
        let named = presented
            .iter()
            .filter(|candidate| matching.matches(candidate.subject(), certificate.issuer()))
            .chain(self.store.intermediates_named(certificate.issuer()));
        let mut issuers: Vec<(KeyIds, Link)> = Vec::new();
        for candidate in named {
            let link = Link::Certificate(self.add(candidate));
            let is_known = issuers.iter().any(|(_, known)| *known == link);
            if !is_known && !has_same_name_and_key(candidate, certificate) {
                issuers.push((KeyIds::of(key, subject_key(candidate)), link));
            }
        }
        issuers.sort_by(|(one, _), (other, _)| one.cmp(other));
        links.append(&mut issuers);
        self.nodes[place].links = links.into_iter().map(|(_, link)| link).collect();
    }

    /// The index of a certificate, which is added if it is new.
    fn add(&mut self, certificate: &'a Certificate) -> usize {
        let known = self.nodes.iter();
        let mut known = known.map(|node| node.certificate);
        known
            .position(|known| known == certificate)
            .unwrap_or_else(|| {
                self.nodes.push(Node {
                    certificate,
                    links: Vec::new(),
                });
                self.nodes.len() - 1
            })
    }

    /// By index: whether links that are `followed` lead from a certificate to a root.
    pub(super) fn reaching_a_root(&self, followed: &dyn Fn(usize, Link) -> bool) -> Vec<bool> {
        let mut reaches = vec![false; self.nodes.len()];
        loop {
            let next = (0..self.nodes.len()).find(|&place| {
                let mut links = self.nodes[place].links.iter();
                !reaches[place]
                    && links.any(|&link| {
                        let leads_on = match link {
                            Link::Root(_) => true,
                            Link::Certificate(issuer) => reaches[issuer],
                        };
                        leads_on && followed(place, link)
                    })
            });
            match next {
                Some(place) => reaches[place] = true,
                None => return reaches,
            }
        }
    }

    pub(crate) fn certificate(&self, place: usize) -> &'a Certificate {
        self.nodes[place].certificate
    }

    pub(crate) fn root(&self, root: usize) -> &'a Root {
        self.store.root(root)
    }

    pub(crate) fn links(&self, place: usize) -> &[Link] {
        &self.nodes[place].links
    }

    /// The key, as a SubjectPublicKeyInfo.
    pub(super) fn key(&self, link: Link) -> &'a [u8] {
        match link {
            Link::Root(root) => &self.root(root).spki,
            Link::Certificate(place) => self.certificate(place).spki(),
        }
    }

    /// The certificate of a possible issuer, if it is known.
    pub(super) fn issuer(&self, link: Link) -> Option<&'a Certificate> {
        match link {
            Link::Root(root) => self.root(root).certificate.as_ref(),
            Link::Certificate(place) => Some(self.certificate(place)),
        }
    }

    pub(super) fn name(&self, link: Link) -> Option<&'a DistinguishedName> {
        match link {
            Link::Root(root) => self.root(root).name.as_ref(),
            Link::Certificate(place) => Some(self.certificate(place).subject()),
        }
    }

    /// The certificates that names link to the leaf and to a root, without the leaf.
    pub(super) fn between(&self) -> impl Iterator<Item = &'a Certificate> {
        let reaching = self.reaching_a_root(&|_, _| true);
        let nodes = self.nodes.iter().zip(reaching).skip(1);
        nodes
            .filter(|(_, reaches)| *reaches)
            .map(|(node, _)| node.certificate)
    }

    /// Whether names lead from the leaf to a root.
    pub(super) fn leads_to_a_root(&self) -> bool {
        self.reaching_a_root(&|_, _| true)[0]
    }

    /// The last certificate of the path by names, as far as the known certificates reach.
    pub(super) fn top_by_name(&self) -> &'a Certificate {
        let mut top = 0;
        // At most one step for each certificate, because names can form a cycle.
        for _ in &self.nodes {
            let next = self.nodes[top].links.iter().find_map(|link| match link {
                Link::Certificate(place) if !self.certificate(*place).is_self_issued() => {
                    Some(*place)
                }
                _ => None,
            });
            match next {
                Some(issuer) => top = issuer,
                None => break,
            }
        }
        self.certificate(top)
    }
}

impl KeyIds {
    fn of(authority_key: Option<&[u8]>, subject_key: Option<&[u8]>) -> Self {
        match (authority_key, subject_key) {
            (Some(wanted), Some(has)) if wanted == has => Self::Equal,
            (Some(_), Some(_)) => Self::Different,
            _ => Self::Unknown,
        }
    }
}

/// A path contains each authority once (RFC 4158 section 5.2).
pub(super) fn has_same_name_and_key(one: &Certificate, other: &Certificate) -> bool {
    one.subject() == other.subject() && one.spki() == other.spki()
}
