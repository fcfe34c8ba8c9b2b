//! Certificate policies (RFC 5280 sections 6.1.3 (d) to 6.1.5).

use std::collections::HashSet;

use super::certificate::small;
use super::policy_graph::{ANY_POLICY, Graph, Policy};
use super::{invalid, malformed};
use crate::pki::Certificate;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::extension_oid::{
    CERTIFICATE_POLICIES, INHIBIT_ANY_POLICY, POLICY_CONSTRAINTS, POLICY_MAPPINGS,
};
use crate::trust::choices::CertificatePolicies;
use crate::trust::extensions::is_policy;
use crate::trust::{ChainError, PathError};

/// The most policies or mappings of one certificate.
const MAX_POLICIES: usize = 512;

/// The state variables of section 6.1.2 that count down.
struct Counters {
    explicit_policy: usize,
    policy_mapping: usize,
    inhibit_any_policy: usize,
}

/// Checks the policies of a path, the leaf first.
pub(super) fn check(path: &[&Certificate], rules: &CertificatePolicies) -> Result<(), ChainError> {
    let has_any = |it: &&Certificate| it.extensions().iter().any(|it| is_policy(it.oid()));
    if rules.are_default() && !path.iter().any(has_any) {
        return Ok(()); // nothing requires a policy
    }
    let start = |is_set| if is_set { 0 } else { path.len() + 1 };
    let mut counters = Counters {
        explicit_policy: start(rules.is_explicit()),
        policy_mapping: start(rules.inhibits_mapping()),
        inhibit_any_policy: start(rules.inhibits_any()),
    };
    // `None`: the graph is NULL.
    let mut graph = Some(Graph::new());
    for (place, certificate) in path.iter().copied().enumerate().rev() {
        let is_leaf = place == 0;
        let policies = read(certificate, CERTIFICATE_POLICIES, read_policies)?;
        graph = match (policies, graph) {
            (Some(policies), Some(mut graph)) => {
                let any =
                    counters.inhibit_any_policy > 0 || (!is_leaf && certificate.is_self_issued());
                graph.add(&policies, any);
                Some(graph)
            }
            _ => None,
        };
        let mappings = read(certificate, POLICY_MAPPINGS, read_mappings)?;
        if let Some(mappings) = mappings.filter(|_| !is_leaf) {
            if mappings
                .iter()
                .any(|it| it.0 == ANY_POLICY || it.1 == ANY_POLICY)
            {
                return Err(invalid(certificate, PathError::MapsAnyPolicy));
            }
            if let Some(graph) = &mut graph {
                graph.map(&mappings, counters.policy_mapping == 0);
            }
        }
        graph = graph.filter(|graph| !graph.is_empty());
        // Section 6.1.3 (f).
        if counters.explicit_policy == 0 && graph.is_none() {
            return Err(no_policy(certificate, rules));
        }
        counters.prepare(certificate, is_leaf)?;
    }
    let leaf = path[0];
    let is_valid = graph.is_some_and(|graph| match graph.valid_policies() {
        None => true,
        Some(policies) => policies
            .iter()
            .any(|policy| der::oid_to_string(policy).is_ok_and(|policy| rules.accepts(&policy))),
    });
    if counters.explicit_policy > 0 || is_valid {
        return Ok(());
    }
    Err(no_policy(leaf, rules))
}

impl Counters {
    /// Section 6.1.4 (h) to (j), and 6.1.5 (a) and (b) for the leaf.
    fn prepare(&mut self, certificate: &Certificate, is_leaf: bool) -> Result<(), ChainError> {
        let constraints = read(certificate, POLICY_CONSTRAINTS, read_constraints)?;
        let inhibit_any = read(certificate, INHIBIT_ANY_POLICY, |value| {
            small(der::single(value, der::INTEGER)?)
        })?;
        if is_leaf || !certificate.is_self_issued() {
            for counter in [
                &mut self.explicit_policy,
                &mut self.policy_mapping,
                &mut self.inhibit_any_policy,
            ] {
                *counter = counter.saturating_sub(1);
            }
        }
        let (explicit, mapping) = constraints.unwrap_or_default();
        if is_leaf {
            if explicit == Some(0) {
                self.explicit_policy = 0;
            }
            return Ok(());
        }
        for (counter, limit) in [
            (&mut self.explicit_policy, explicit),
            (&mut self.policy_mapping, mapping),
            (&mut self.inhibit_any_policy, inhibit_any),
        ] {
            *counter = limit.map_or(*counter, |limit| limit.min(*counter));
        }
        Ok(())
    }
}

fn no_policy(certificate: &Certificate, rules: &CertificatePolicies) -> ChainError {
    let accepted = rules.accepted();
    invalid(certificate, PathError::NoPolicy { accepted })
}

/// The value of an extension, if the certificate has it.
fn read<'a, T>(
    certificate: &'a Certificate,
    oid: &str,
    reader: impl FnOnce(&'a [u8]) -> Result<T, NotDer>,
) -> Result<Option<T>, ChainError> {
    let value = certificate.extension(oid);
    value
        .map(reader)
        .transpose()
        .map_err(|NotDer| malformed(certificate, oid))
}

/// `CertificatePolicies ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { policyIdentifier, policyQualifiers
/// SEQUENCE OPTIONAL }`. Section 4.2.1.4: no policy occurs twice.
fn read_policies(value: &[u8]) -> Result<Vec<Policy<'_>>, NotDer> {
    let mut reader = Reader::new(der::single(value, der::SEQUENCE)?);
    let (mut policies, mut known) = (Vec::new(), HashSet::new());
    while !reader.is_empty() {
        let mut information = Reader::new(reader.expect(der::SEQUENCE)?.content);
        let policy = read_oid(&mut information)?;
        information.optional(der::SEQUENCE)?;
        information.end()?;
        if policies.len() == MAX_POLICIES || !known.insert(policy) {
            return Err(NotDer);
        }
        policies.push(policy);
    }
    if policies.is_empty() {
        return Err(NotDer);
    }
    Ok(policies)
}

/// `PolicyMappings ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { issuerDomainPolicy, subjectDomainPolicy }`
fn read_mappings(value: &[u8]) -> Result<Vec<(Policy<'_>, Policy<'_>)>, NotDer> {
    let mut reader = Reader::new(der::single(value, der::SEQUENCE)?);
    let mut mappings = Vec::new();
    while !reader.is_empty() {
        let mut pair = Reader::new(reader.expect(der::SEQUENCE)?.content);
        let mapping = (read_oid(&mut pair)?, read_oid(&mut pair)?);
        pair.end()?;
        if mappings.len() == MAX_POLICIES {
            return Err(NotDer);
        }
        mappings.push(mapping);
    }
    if mappings.is_empty() {
        return Err(NotDer);
    }
    Ok(mappings)
}

/// `PolicyConstraints ::= SEQUENCE { requireExplicitPolicy [0], inhibitPolicyMapping [1] }`, both
/// optional. Section 4.2.1.11: not both are absent.
fn read_constraints(value: &[u8]) -> Result<(Option<usize>, Option<usize>), NotDer> {
    let mut reader = Reader::new(der::single(value, der::SEQUENCE)?);
    let explicit = reader.optional(0x80)?.map(|it| small(it.content));
    let mapping = reader.optional(0x81)?.map(|it| small(it.content));
    reader.end()?;
    if explicit.is_none() && mapping.is_none() {
        return Err(NotDer);
    }
    Ok((explicit.transpose()?, mapping.transpose()?))
}

fn read_oid<'a>(reader: &mut Reader<'a>) -> Result<Policy<'a>, NotDer> {
    let oid = reader.expect(der::OBJECT_IDENTIFIER)?.content;
    der::check_oid(oid)?;
    Ok(oid)
}
