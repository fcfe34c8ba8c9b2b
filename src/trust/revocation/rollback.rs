//! Detects updates that would replace a CRL with an earlier one.
//!
//! An old CRL has a valid signature. An attacker who can write to the CRL's file, or impersonate its
//! server, could use it to make revoked certificates valid again. A CRL that an update leaves out is
//! remembered until it expires, so that two updates cannot do it either.

use rustls_pki_types::UnixTime;

use super::{CrlSet, Issuer};
use crate::pki::Crl;

impl CrlSet {
    /// The CRLs in force that replace a later one of `previous`, each with that later one.
    ///
    /// CRLs are compared when the key of the same `known` authority signed both. CRLs of other issuers
    /// are compared when their names are equal and their authorityKeyIdentifiers do not differ. A CRL
    /// without a successor is no rollback: the status of its issuer's certificates is then unknown.
    pub(in crate::trust) fn rolled_back(
        &self,
        previous: &Self,
        known: &[Issuer<'_>],
        now: UnixTime,
    ) -> Vec<(Crl, Crl)> {
        let mut found: Vec<(Crl, Crl)> = Vec::new();
        let mut compare = |list: &Crl, before: &[&Crl], is_same_key: &dyn Fn(&Crl) -> bool| {
            let mut before = before.iter();
            let replaced = before.find(|before| list.is_rollback_of(before) && is_same_key(before));
            // An authority may be known by several certificates.
            if let Some(replaced) = replaced
                && !found.iter().any(|(known, _)| known.is_same(list))
            {
                found.push((list.clone(), (*replaced).clone()));
            }
        };
        for issuer in known {
            let (next, before) = (self.signed_by(issuer), previous.signed_by(issuer));
            let before = before.newest(|list| previous.counts(list, now));
            let left_out = previous.left_out.iter();
            let left_out = left_out.filter(|list| self.is_by(list, issuer));
            let before: Vec<&Crl> = before.chain(left_out).collect();
            for list in next.newest(|list| self.rules.is_in_force(list, now)) {
                compare(list, &before, &|_| true);
            }
        }
        let mut before = previous.of_others(known, now);
        let is_others = |list: &&Crl| !known.iter().any(|issuer| self.is_by(list, issuer));
        before.extend(previous.left_out.iter().filter(is_others));
        for list in self.of_others(known, now) {
            compare(list, &before, &|before| {
                !list.names_another_key_than(before)
            });
        }
        found
    }

    /// Remembers the CRLs of `previous` that were in force, have not expired, and have no successor here.
    pub(in crate::trust) fn remember(&mut self, previous: &Self, now: UnixTime) {
        let in_force = previous.by_name.values().flatten();
        let in_force = in_force.filter(|list| previous.rules.is_in_force(list, now));
        let has_successor = |list: &Crl| {
            let mut named = self.by_name.get(list.issuer()).into_iter().flatten();
            named.any(|next| {
                self.rules.is_in_force(next, now)
                    && !next.is_delta()
                    && next.same_scope(list)
                    && !next.names_another_key_than(list)
            })
        };
        let left_out = in_force.chain(&previous.left_out);
        self.left_out = left_out
            .filter(|list| !has_successor(list))
            .filter(|list| self.end_of(list).is_none_or(|end| now < end))
            .cloned()
            .collect();
    }

    /// Whether a CRL is in force, and not a delta that has expired. An update may leave out such a delta.
    fn counts(&self, list: &Crl, now: UnixTime) -> bool {
        let has_expired = |list| self.end_of(list).is_some_and(|end| now >= end);
        self.rules.is_in_force(list, now) && !(list.is_delta() && has_expired(list))
    }

    fn is_by(&self, list: &Crl, issuer: &Issuer<'_>) -> bool {
        issuer.name == list.issuer() && list.is_signed_by(issuer.spki, self.algorithms.all)
    }

    /// The CRLs in force that no `known` authority signed, one for each name, authorityKeyIdentifier and
    /// scope. Their signatures cannot be verified, because the keys are not known.
    fn of_others(&self, known: &[Issuer<'_>], now: UnixTime) -> Vec<&Crl> {
        let is_others = |list: &&Crl| {
            let mut named = known.iter().filter(|issuer| issuer.name == list.issuer());
            !named.any(|issuer| self.signed_by(issuer).has(list))
        };
        let mut current: Vec<&Crl> = Vec::new();
        let lists = self.by_name.values().flatten().filter(is_others);
        for list in lists.filter(|list| self.counts(list, now)) {
            let rival = current
                .iter_mut()
                .find(|rival| rival.same_scope(list) && !rival.names_another_key_than(list));
            match rival {
                None => current.push(list),
                Some(rival) if list.is_newer_than(rival) => *rival = list,
                Some(_) => {}
            }
        }
        current
    }
}
