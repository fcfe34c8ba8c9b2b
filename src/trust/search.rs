//! The search for a path from a leaf to a root.
//!
//! The search follows names upwards from the leaf, depth first. When it reaches a root, it verifies
//! signatures downwards from the root. Only keys on a path to a trusted root are therefore used, so that
//! a peer without a certificate of a trusted authority cannot choose what is computed. A link whose
//! signature is not valid is refuted for the whole search. Certificates from which only refuted links
//! lead to a root are not visited again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::graph::{Graph, Link, has_same_name_and_key};
use super::signatures::{Signature, Signatures};
use crate::pki::Certificate;

/// The most certificates that are visited. Signatures are limited separately. This limits the number of
/// paths through authorities that signed each other.
const STEPS: usize = 500;

/// One search with its state.
pub(crate) struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    signatures: &'g Signatures,
    /// The most intermediates of a path.
    depth: usize,
    is_signed: HashMap<(usize, Link), bool>,
    /// By index: whether links that are not refuted lead to a root.
    reaches_root: Vec<bool>,
    steps: usize,
    path: Vec<usize>,
    /// The index in the path of a certificate whose link to the next was refuted.
    backtrack_to: Option<usize>,
    broken: Option<Broken>,
    is_too_deep: bool,
}

/// A path up to a certificate that its possible issuers, which are verified, did not sign.
struct Broken {
    path: Vec<usize>,
    issuers: Vec<Link>,
}

impl<'g, 'a> Search<'g, 'a> {
    pub(crate) fn new(graph: &'g Graph<'a>, signatures: &'g Signatures, depth: usize) -> Self {
        Self {
            graph,
            signatures,
            depth,
            is_signed: HashMap::new(),
            reaches_root: graph.reaching_a_root(&|_, _| true),
            steps: 0,
            path: vec![0],
            backtrack_to: None,
            broken: None,
            is_too_deep: false,
        }
    }

    /// Calls `visit` with each path, the leaf first, and the index of its root in the store, until `visit`
    /// breaks.
    pub(crate) fn paths<T>(
        &mut self,
        visit: &mut dyn FnMut(&[&'a Certificate], usize) -> ControlFlow<T>,
    ) -> Option<T> {
        match self.visit_issuers(visit) {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }

    fn visit_issuers<T>(
        &mut self,
        visit: &mut dyn FnMut(&[&'a Certificate], usize) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        self.steps += 1;
        let graph = self.graph;
        let top = self.path.len() - 1; // the path always has the leaf
        for &link in graph.links(self.path[top]) {
            if self.steps > STEPS || !self.may_follow(link) {
                continue;
            }
            match link {
                Link::Root(root) => match self.refuted(link) {
                    None => visit(&self.certificates(&self.path), root)?,
                    Some(place) => self.backtrack_to = Some(place),
                },
                Link::Certificate(_) if top >= self.depth => self.is_too_deep = true,
                Link::Certificate(issuer) => {
                    self.path.push(issuer);
                    self.visit_issuers(visit)?;
                    self.path.pop();
                }
            }
            match self.backtrack_to {
                Some(place) if place < top => break,
                _ => self.backtrack_to = None,
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether to follow a link of the path's last certificate.
    fn may_follow(&self, link: Link) -> bool {
        let top = self.path[self.path.len() - 1];
        let is_refuted = self.is_signed.get(&(top, link)) == Some(&false);
        !is_refuted
            && match link {
                Link::Root(_) => true,
                Link::Certificate(issuer) => {
                    let certificate = self.graph.certificate(issuer);
                    let mut below = self.path.iter().map(|place| self.graph.certificate(*place));
                    self.reaches_root[issuer]
                        && !below.any(|below| has_same_name_and_key(below, certificate))
                }
            }
    }

    /// Verifies the path's signatures from its root down to the leaf. Returns the index in the path of the
    /// first certificate that its issuer did not sign.
    fn refuted(&mut self, root: Link) -> Option<usize> {
        let mut issuer = root;
        for place in (0..self.path.len()).rev() {
            if !self.is_signed(self.path[place], issuer) {
                self.record_broken(place, issuer);
                let is_signed = &self.is_signed;
                self.reaches_root = self
                    .graph
                    .reaching_a_root(&|from, to| is_signed.get(&(from, to)) != Some(&false));
                return Some(place);
            }
            issuer = Link::Certificate(self.path[place]);
        }
        None
    }

    fn is_signed(&mut self, certificate: usize, by: Link) -> bool {
        let (graph, signatures) = (self.graph, self.signatures);
        *self.is_signed.entry((certificate, by)).or_insert_with(|| {
            signatures.of(graph.certificate(certificate), graph.key(by)) == Signature::Valid
        })
    }

    /// Keeps the broken path that is nearest to the leaf.
    fn record_broken(&mut self, place: usize, issuer: Link) {
        let path = &self.path[..=place];
        match &mut self.broken {
            Some(known) if known.path == path => known.issuers.push(issuer),
            Some(known) if known.path.len() <= path.len() => {}
            _ => {
                self.broken = Some(Broken {
                    path: path.to_vec(),
                    issuers: vec![issuer],
                });
            }
        }
    }

    fn certificates(&self, path: &[usize]) -> Vec<&'a Certificate> {
        path.iter()
            .map(|place| self.graph.certificate(*place))
            .collect()
    }

    /// The path up to the certificate that none of the verified issuers of its issuer's name signed, with
    /// those issuers. Of several, the path nearest to the leaf.
    pub(super) fn broken(&self) -> Option<(Vec<&'a Certificate>, &[Link])> {
        let broken = self.broken.as_ref()?;
        Some((self.certificates(&broken.path), &broken.issuers))
    }

    /// Whether a path was longer than the depth.
    pub(super) const fn is_too_deep(&self) -> bool {
        self.is_too_deep
    }

    /// Whether paths were not visited because a limit was reached.
    pub(super) fn limit_reached(&self) -> bool {
        self.steps > STEPS || self.signatures.limit_reached()
    }
}

/// The longest path along valid signatures, the leaf first. It need not lead to a root.
pub(crate) fn longest_signed<'a>(
    graph: &Graph<'a>,
    signatures: &Signatures,
) -> Vec<&'a Certificate> {
    let (mut steps, mut longest) = (0, vec![0]);
    extend(graph, signatures, &mut vec![0], &mut longest, &mut steps);
    let certificates = longest.into_iter().map(|place| graph.certificate(place));
    certificates.collect()
}

fn extend(
    graph: &Graph<'_>,
    signatures: &Signatures,
    path: &mut Vec<usize>,
    longest: &mut Vec<usize>,
    steps: &mut usize,
) {
    *steps += 1;
    if path.len() > longest.len() {
        longest.clone_from(path);
    }
    let top = graph.certificate(path[path.len() - 1]);
    for &link in graph.links(path[path.len() - 1]) {
        let Link::Certificate(issuer) = link else {
            continue;
        };
        let certificate = graph.certificate(issuer);
        let mut below = path.iter().map(|place| graph.certificate(*place));
        if *steps <= STEPS
            && !below.any(|below| has_same_name_and_key(below, certificate))
            && signatures.of(top, certificate.spki()) == Signature::Valid
        {
            path.push(issuer);
            extend(graph, signatures, path, longest, steps);
            path.pop();
        }
    }
}
