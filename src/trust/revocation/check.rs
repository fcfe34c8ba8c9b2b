//! Looks the certificates of a path up in the CRLs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::UnixTime;

use super::{ExpiredCrl, Revocation, RevocationDepth, UnknownStatus};
use crate::pki::{Certificate, Crl, DistinguishedName, Fingerprint, KeyUsage};
use crate::trust::{ChainError, NoStatus};

/// Of how many issuing keys the verified CRLs are remembered.
const ISSUERS: usize = 1024;

/// CRLs by their issuer, with the choices.
pub(in crate::trust) struct Checker {
    choices: Revocation,
    by_name: HashMap<DistinguishedName, Vec<Crl>>,
    /// The newest lists that an issuer's key signed, by [`Issuer::id`].
    signed: Cache<Fingerprint, Arc<[Crl]>>,
    algorithms: WebPkiSupportedAlgorithms,
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
        let checker = Self {
            choices,
            by_name,
            signed: Cache::new(ISSUERS),
            algorithms,
        };
        for issuer in known {
            checker.signed_by(&issuer);
        }
        checker
    }

    /// A list in the name of authorities that are `known` which one of them should have signed, and
    /// none did: there is no other, or it claims the key of one that is signed. Another authority of
    /// the same name may have its lists here, too; those disturb nobody.
    pub(in crate::trust) fn not_by_its_issuer(&self, known: &[Issuer<'_>]) -> Option<&Crl> {
        let is_by = |list: &Crl, issuer: &Issuer<'_>| {
            // Most were verified before: the newest of each scope.
            self.signed_by(issuer).iter().any(|by| by.is_same(list))
                || list.is_signed_by(issuer.spki, self.algorithms.all)
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
    /// Returns the last second in which the answer holds: the first nextUpdate of the lists that
    /// were asked, with the grace.
    pub(in crate::trust) fn check<'a>(
        &self,
        path: impl IntoIterator<Item = (&'a Certificate, Issuer<'a>)>,
        now: UnixTime,
        stale: Stale,
    ) -> Result<Option<UnixTime>, ChainError> {
        let depth = match self.choices.depth {
            RevocationDepth::WholeChain => usize::MAX,
            RevocationDepth::EndEntity => 1,
        };
        let mut until: Option<UnixTime> = None;
        for (certificate, issuer) in path.into_iter().take(depth) {
            let end = self.check_one(certificate, &issuer, now, stale)?;
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
        now: UnixTime,
        stale: Stale,
    ) -> Result<Option<UnixTime>, ChainError> {
        let signed = self.signed_by(issuer);
        let lists: Vec<&Crl> = signed
            .iter()
            .filter(|list| list.covers(certificate))
            .collect();
        if lists.is_empty() {
            return self.without_list(certificate, issuer, !signed.is_empty());
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
    fn end_of(&self, list: &Crl) -> Option<UnixTime> {
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
        has_lists: bool,
    ) -> Result<Option<UnixTime>, ChainError> {
        let exempt = &self.choices.exempt;
        let is_exempt = exempt.authorities.contains(&issuer.id())
            || (!exempt.names.is_empty() && exempt.names.contains(&issuer.name.to_string()));
        if is_exempt || self.choices.unknown_status == UnknownStatus::Allow {
            return Ok(None);
        }
        Err(ChainError::UnknownRevocationStatus {
            certificate: certificate.clone(),
            cause: match self.by_name.get(issuer.name) {
                _ if has_lists => NoStatus::OutOfScope,
                Some(_) => NoStatus::OtherKey,
                None => NoStatus::NoCrl,
            },
        })
    }

    /// The lists that this issuer signed, the newest of each scope.
    fn signed_by(&self, issuer: &Issuer<'_>) -> Arc<[Crl]> {
        let id = issuer.id();
        if let Some(lists) = self.signed.get(&id) {
            return lists;
        }
        let mut newest: Vec<Crl> = Vec::new();
        for list in self.by_name.get(issuer.name).into_iter().flatten() {
            let rival = newest.iter_mut().find(|rival| rival.same_scope(list));
            let counts = rival.as_ref().is_none_or(|rival| list.is_newer_than(rival));
            // The signature last: hashing a large list takes a moment.
            if counts && list.is_signed_by(issuer.spki, self.algorithms.all) {
                match rival {
                    Some(rival) => *rival = list.clone(),
                    None => newest.push(list.clone()),
                }
            }
        }
        let lists: Arc<[Crl]> = newest.into();
        self.signed.insert(id, Arc::clone(&lists));
        lists
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.choices.fmt(f)
    }
}
