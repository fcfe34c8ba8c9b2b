//! Looks the certificates of a path up in the CRLs.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::UnixTime;

use super::signed::SignedLists;
use super::{ExpiredCrl, Revocation, RevocationDepth, UnknownStatus};
use crate::pki::{Certificate, Crl, DistinguishedName, Fingerprint, KeyUsage};
use crate::trust::{ChainError, StatusError};

/// Of how many issuing keys the verified CRLs are remembered.
const ISSUERS: usize = 1024;

/// CRLs by their issuer, with the choices.
pub(in crate::trust) struct Checker {
    pub(super) choices: Revocation,
    pub(super) by_name: HashMap<DistinguishedName, Vec<Crl>>,
    /// Lists that were in force once, and that updates left out without a successor.
    pub(super) left_out: Vec<Crl>,
    /// The lists that an issuer's key signed, by [`Issuer::id`].
    signed: Cache<Fingerprint, Arc<SignedLists>>,
    /// The seconds in which lists come into force, ascending.
    starts: Box<[u64]>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// At which time CRLs are consulted.
#[derive(Clone, Copy)]
pub(in crate::trust) struct CrlTime {
    /// Decides which lists are in force, and which have expired.
    pub(in crate::trust) now: UnixTime,
    pub(in crate::trust) stale: Stale,
}

/// Whether a list that was due to be replaced counts in spite of the choice about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::trust) enum Stale {
    /// The choice holds.
    Expires,
    /// Connections that are open are not ended because a list has gone stale meanwhile.
    Counts,
}

/// An authority on a path: a trust anchor or an intermediate.
#[derive(Clone, Copy)]
pub(in crate::trust) struct Issuer<'a> {
    pub(in crate::trust) name: &'a DistinguishedName,
    /// The whole SubjectPublicKeyInfo, and its SHA-256.
    pub(in crate::trust) spki: &'a [u8],
    pub(in crate::trust) spki_sha256: Fingerprint,
    pub(in crate::trust) key_usage: Option<KeyUsage>,
}

impl<'a> Issuer<'a> {
    pub(in crate::trust) fn of(certificate: &'a Certificate) -> Self {
        Self {
            name: certificate.subject(),
            spki: certificate.spki(),
            spki_sha256: certificate.spki_sha256(),
            key_usage: certificate.key_usage(),
        }
    }

    /// Tells authorities apart: two of one name have different keys.
    pub(super) fn id(&self) -> Fingerprint {
        Fingerprint::of(&[self.spki_sha256.as_bytes(), self.name.der()].concat())
    }
}

impl Checker {
    /// Sorts the CRLs, and verifies those of the authorities that are `known` already.
    pub(in crate::trust) fn new<'a>(
        choices: Revocation,
        known: impl IntoIterator<Item = Issuer<'a>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut by_name: HashMap<DistinguishedName, Vec<Crl>> = HashMap::new();
        for list in choices.crls.lists() {
            let of_issuer = by_name.entry(list.issuer().clone()).or_default();
            of_issuer.push(list.clone());
        }
        let lists = choices.crls.lists().iter();
        let mut starts: Vec<u64> = lists.map(|list| choices.start_of(list)).collect();
        starts.sort_unstable();
        let checker = Self {
            choices,
            by_name,
            left_out: Vec::new(),
            signed: Cache::new(ISSUERS),
            starts: starts.into(),
            algorithms,
        };
        // Every one of them, also those that a newer one replaces: one that is not in force yet
        // replaces none, and a handshake is no moment to hash a large list.
        for issuer in known {
            checker.signed_by(&issuer).verify_all();
        }
        checker
    }

    /// The time around `now` in which the same lists are in force.
    pub(in crate::trust) fn same_lists_around(&self, now: UnixTime) -> RangeInclusive<UnixTime> {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let in_force = self.starts.partition_point(|start| *start <= now.as_secs());
        let start = in_force.checked_sub(1).map_or(0, |last| self.starts[last]);
        let end = self.starts.get(in_force).map_or(u64::MAX, |next| next - 1); // it lies after now
        at(start)..=at(end)
    }

    /// A list in the name of authorities that are `known` which one of them should have signed, and
    /// none did: there is no other, or it claims the key of one that is signed. Another authority of
    /// the same name may have its lists here, too; those disturb nobody.
    pub(in crate::trust) fn not_by_its_issuer(&self, known: &[Issuer<'_>]) -> Option<&Crl> {
        let is_by = |list: &Crl, issuer: &Issuer<'_>| {
            issuer.name == list.issuer() && self.signed_by(issuer).has(list)
        };
        self.by_name.iter().find_map(|(name, lists)| {
            let named: Vec<_> = known.iter().filter(|issuer| issuer.name == name).collect();
            if named.is_empty() {
                return None;
            }
            let (signed, unsigned): (Vec<&Crl>, Vec<&Crl>) = lists
                .iter()
                .partition(|list| named.iter().any(|issuer| is_by(list, issuer)));
            let is_anothers = |list: &Crl| {
                !signed.is_empty() && signed.iter().all(|by| list.names_another_key_than(by))
            };
            unsigned.into_iter().find(|list| !is_anothers(list))
        })
    }

    pub(in crate::trust) const fn choices(&self) -> &Revocation {
        &self.choices
    }

    /// Checks a path, given as each certificate with its issuer, the leaf first.
    ///
    /// Returns the last second in which the answer holds, as far as it depends on the lists' ends: the
    /// first nextUpdate of those that were asked, with the grace. (That another list comes into force
    /// is [`same_lists_around`](Self::same_lists_around)'s to say.)
    pub(in crate::trust) fn check<'a>(
        &self,
        path: impl IntoIterator<Item = (&'a Certificate, Issuer<'a>)>,
        time: CrlTime,
    ) -> Result<Option<UnixTime>, ChainError> {
        let depth = match self.choices.depth {
            RevocationDepth::WholeChain => usize::MAX,
            RevocationDepth::EndEntity => 1,
        };
        let mut until: Option<UnixTime> = None;
        for (certificate, issuer) in path.into_iter().take(depth) {
            let end = self.check_one(certificate, &issuer, time)?;
            until = [until, end]
                .into_iter()
                .flatten()
                .min_by_key(UnixTime::as_secs);
        }
        Ok(until)
    }

    fn check_one(
        &self,
        certificate: &Certificate,
        issuer: &Issuer<'_>,
        CrlTime { now, stale }: CrlTime,
    ) -> Result<Option<UnixTime>, ChainError> {
        let signed = self.signed_by(issuer);
        let lists: Vec<&Crl> = signed
            .covering(certificate, |list| self.choices.is_in_force(list, now))
            .collect();
        if lists.is_empty() {
            return self.without_list(certificate, issuer, &signed, now);
        }
        if issuer.key_usage.is_some_and(|usage| !usage.crl_sign()) {
            return Err(ChainError::MayNotSignCrls {
                certificate: certificate.clone(),
            });
        }
        // What a stale list revokes is revoked nevertheless.
        if let Some(list) = lists.iter().find(|list| list.revokes(certificate.serial())) {
            return Err(ChainError::Revoked {
                certificate: certificate.clone(),
                crl: list.number().clone(),
            });
        }
        let mut until = None;
        for list in lists {
            let Some(end) = self.end_of(list) else {
                continue;
            };
            if now >= end && stale == Stale::Expires {
                return Err(ChainError::CrlExpired {
                    certificate: certificate.clone(),
                    next_update: list.next_update(),
                    now,
                });
            }
            // A nextUpdate at or before 1970 counts as 1970: there is no second before it.
            let last = Duration::from_secs(end.as_secs().saturating_sub(1));
            let last = UnixTime::since_unix_epoch(last);
            until = [until, Some(last)]
                .into_iter()
                .flatten()
                .min_by_key(UnixTime::as_secs);
        }
        Ok(until)
    }

    /// The first second in which a list counts no more.
    pub(super) fn end_of(&self, list: &Crl) -> Option<UnixTime> {
        match self.choices.expired {
            ExpiredCrl::Ignore => None,
            // A grace beyond the end of time is no limit.
            ExpiredCrl::Enforce => list
                .next_update()
                .as_secs()
                .checked_add(self.choices.grace.as_secs())
                .map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds))),
        }
    }

    fn without_list(
        &self,
        certificate: &Certificate,
        issuer: &Issuer<'_>,
        signed: &SignedLists,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, ChainError> {
        let unknown = |cause| {
            Err(ChainError::UnknownRevocationStatus {
                certificate: certificate.clone(),
                cause,
            })
        };
        // As with a list that has expired, no choice about issuers without lists applies: this one
        // has a list, and either its clock is wrong or ours is.
        let pending = signed.covering(certificate, |_| true);
        if let Some(list) = pending.min_by_key(|list| list.this_update().as_secs()) {
            return unknown(StatusError::NotInForce {
                this_update: list.this_update(),
                now,
            });
        }
        let exempt = &self.choices.exempt;
        let is_exempt = exempt.authorities.contains(&issuer.id())
            || (!exempt.names.is_empty() && exempt.names.contains(&issuer.name.to_string()));
        if is_exempt || self.choices.unknown_status == UnknownStatus::Allow {
            return Ok(None);
        }
        unknown(match self.by_name.get(issuer.name) {
            _ if signed.is_any() => StatusError::OutOfScope,
            Some(_) => StatusError::OtherKey,
            None => StatusError::NoCrl,
        })
    }

    /// The lists that this issuer signed.
    pub(super) fn signed_by(&self, issuer: &Issuer<'_>) -> Arc<SignedLists> {
        let id = issuer.id();
        if let Some(lists) = self.signed.get(&id) {
            return lists;
        }
        let named = self.by_name.get(issuer.name).into_iter().flatten();
        let lists = Arc::new(SignedLists::new(named, issuer.spki, self.algorithms.all));
        self.signed.insert(id, Arc::clone(&lists));
        lists
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.choices.fmt(f)
    }
}

#[cfg(all(feature = "testing", feature = "aws-lc-rs", feature = "tokio"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CrlBuilder, TestCa};
    use crate::trust::{ChainVerifier, Crls, Usage};

    /// A connection that is open although its certificate has expired: it drains. Another root leads to
    /// its chain now, at the time at which that was valid, and by the lists of today.
    #[test]
    fn an_expired_chain_is_verified_again_by_the_lists_of_now() {
        let now = UnixTime::now();
        let hours_ago = |hours: u64| {
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() - hours * 3600))
        };
        let root = TestCa::new("Root");
        let middle = TestCa::builder("Middle").signed_by(&root);
        let leaf = || middle.leaf().validity(hours_ago(9), hours_ago(5)).issue();
        let (revoked, good) = (leaf(), leaf());
        let verifier = |ca: &TestCa| {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            ChainVerifier::new(ca.trust(), Usage::Client, &provider)
        };
        let crl = |list: CrlBuilder| Crl::from_der(&list.build()).expect("a CRL");
        let older = crl(middle.crl().number(1).this_update(hours_ago(8)));
        let newer = middle.crl().number(2).this_update(hours_ago(2));
        let newer = crl(newer.revoke(revoked.serial()));
        let lists = Crls::new([older, newer]).expect("lists");
        let current = verifier(&middle).revocation(lists);
        let judge = |peer: &crate::testing::Issued| {
            let chain = verifier(&root).verify(peer.chain(), hours_ago(6));
            let chain = chain.expect("it was valid then");
            let verdict = current.still_believes(&chain, now);
            verdict.map(drop).map_err(|error| error.reason())
        };
        assert_eq!(judge(&revoked), Err("revoked"));
        assert_eq!(judge(&good), Ok(()));
    }
}
