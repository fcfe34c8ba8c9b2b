//! The CRLs as a source of revocation status.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::UnixTime;

use super::check::earlier;
use super::signed::{Current, SignedLists};
use super::source::{Authorities, CheckTime, Issuer, RevocationSource, StaleCrls, Status, Unknown};
use super::{ExpiredCrl, Revocation};
use crate::pki::key_id::AuthorityKey;
use crate::pki::name_matching::ComparableName;
use crate::pki::{
    Certificate, Crl, DistinguishedName, DistributionPoints, Fingerprint, KeyUsage, Reasons,
};
use crate::trust::StatusError;

/// For how many issuing keys the verified CRLs are cached.
const ISSUERS: usize = 1024;

/// How many certificates of CRL issuers that a peer sends are verified for each certificate of its chain.
const MAX_CRL_ISSUERS: usize = 4;

/// CRLs by their issuer, with the rules about them.
pub(in crate::trust) struct CrlSet {
    pub(super) rules: Revocation,
    pub(super) by_name: HashMap<DistinguishedName, Vec<Crl>>,
    /// The names of the issuers, for the comparison by RFC 5280 section 7.1.
    names: HashSet<ComparableName>,
    /// CRLs that were in force, and that updates left out without a successor.
    pub(super) left_out: Vec<Crl>,
    /// The CRLs that an issuer's key signed, by [`Issuer::id`].
    signed: Cache<Fingerprint, Arc<SignedLists>>,
    /// Whether an authority signed the certificate of a CRL issuer, by both.
    signed_certificates: Cache<Fingerprint, bool>,
    /// The seconds in which CRLs come into force, ascending.
    starts: Box<[u64]>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl CrlSet {
    /// Sorts the CRLs.
    pub(in crate::trust) fn new(rules: Revocation, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let mut by_name: HashMap<DistinguishedName, Vec<Crl>> = HashMap::new();
        for list in rules.crls.lists() {
            let of_issuer = by_name.entry(list.issuer().clone()).or_default();
            of_issuer.push(list.clone());
        }
        let lists = rules.crls.lists().iter();
        let mut starts: Vec<u64> = lists.map(|list| rules.start_of(list)).collect();
        starts.sort_unstable();
        let names = by_name.keys().map(ComparableName::of).collect();
        Self {
            rules,
            names,
            by_name,
            left_out: Vec::new(),
            signed: Cache::new(ISSUERS),
            signed_certificates: Cache::new(ISSUERS),
            starts: starts.into(),
            algorithms,
        }
    }

    /// Verifies the signatures of the CRLs whose issuer is among `known`: all of them, also those that a newer
    /// one replaces. One that is not in force yet replaces none, and hashing a large list would delay a
    /// handshake.
    pub(in crate::trust) fn verify_all<'a>(&self, known: impl IntoIterator<Item = Issuer<'a>>) {
        for issuer in known {
            self.signed_by(&issuer).verify_all();
        }
    }

    /// The time around `now` in which the same CRLs are in force.
    pub(in crate::trust) fn same_lists_around(&self, now: UnixTime) -> RangeInclusive<UnixTime> {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let in_force = self.starts.partition_point(|start| *start <= now.as_secs());
        let start = in_force.checked_sub(1).map_or(0, |last| self.starts[last]);
        let end = self.starts.get(in_force).map_or(u64::MAX, |next| next - 1); // after `now`
        at(start)..=at(end)
    }

    /// A CRL with the name of `known` authorities that none of them signed although one should have:
    /// there is no other CRL of the name, or its key identifier is that of a signed one. The CRLs of
    /// another authority with the same name are not reported.
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

    /// The name of the signature algorithm of a CRL, if it is not supported.
    pub(in crate::trust) fn unsupported_algorithm(&self, list: &Crl) -> Option<String> {
        list.unsupported_algorithm(self.algorithms.all)
    }

    pub(in crate::trust) const fn rules(&self) -> &Revocation {
        &self.rules
    }

    /// The first second in which a CRL no longer counts.
    pub(super) fn end_of(&self, list: &Crl) -> Option<UnixTime> {
        match self.rules.expired {
            ExpiredCrl::Ignore => None,
            // An overflow means no limit.
            ExpiredCrl::Enforce => list
                .next_update()
                .as_secs()
                .checked_add(self.rules.grace.as_secs())
                .map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds))),
        }
    }

    /// Why no CRL in force covers a certificate.
    fn without_list(&self, wanted: &Wanted<'_>, signed: &SignedLists) -> StatusError {
        let pending = signed.current_of(|list| !wanted.coverage(list).is_none(), |_| true);
        let pending = pending.iter().map(|current| current.complete);
        if let Some(list) = pending.min_by_key(|list| list.this_update().as_secs()) {
            return StatusError::NotInForce {
                this_update: list.this_update(),
                now: wanted.now,
            };
        }
        let lists: Vec<&Crl> = signed.all().collect();
        if lists.is_empty() {
            return self.without_signed_list(wanted);
        }
        let complete: Vec<&Crl> = lists.into_iter().filter(|list| !list.is_delta()).collect();
        if complete.is_empty() {
            return StatusError::DeltaOnly;
        }
        let is_authority = wanted.certificate.is_ca();
        let mut of_kind = complete.iter().map(|list| list.scope());
        if !of_kind.any(|scope| scope.is_about(is_authority)) {
            return StatusError::OtherKind {
                only_authorities: !is_authority,
            };
        }
        let mut loaded: Vec<String> = complete
            .iter()
            .flat_map(|list| list.scope().texts())
            .collect();
        loaded.sort_unstable();
        loaded.dedup();
        StatusError::OutOfScope {
            wanted: wanted.points.texts(),
            loaded,
        }
    }

    /// Why the issuer's key signed no CRL.
    fn without_signed_list(&self, wanted: &Wanted<'_>) -> StatusError {
        let Some(named) = self.by_name.get(wanted.issuer.name) else {
            let is_encoded_differently =
                self.names.contains(&ComparableName::of(wanted.issuer.name));
            return if is_encoded_differently {
                StatusError::NameEncoding
            } else {
                StatusError::NoCrl
            };
        };
        let key = AuthorityKey::of(wanted.certificate).key;
        let mut named_key = named.iter().map(|list| (list, list.authority_key_id()));
        let mut possible = named_key
            .clone()
            .filter(|(_, of_list)| match (key, of_list) {
                (Some(key), Some(of_list)) => key == *of_list,
                _ => true,
            });
        let unsupported =
            possible.find_map(|(list, _)| list.unsupported_algorithm(self.algorithms.all));
        if let Some(algorithm) = unsupported {
            return StatusError::SignatureAlgorithm { algorithm };
        }
        if named_key.any(|(_, of_list)| of_list.is_some() && of_list == key) {
            StatusError::BadSignature
        } else {
            StatusError::OtherKey
        }
    }

    /// The CRLs that this issuer signed.
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

/// The certificate whose status is looked up.
struct Wanted<'a> {
    certificate: &'a Certificate,
    issuer: &'a Issuer<'a>,
    points: DistributionPoints,
    now: UnixTime,
}

impl Wanted<'_> {
    fn coverage(&self, list: &Crl) -> Reasons {
        list.coverage(self.certificate, &self.points, self.issuer.name)
    }
}

/// An issuer's CRLs that cover a certificate.
struct Source {
    signed: Arc<SignedLists>,
    may_sign: bool,
    /// The last second in which the issuer of the CRLs is known to be one.
    until: Option<UnixTime>,
}

impl CrlSet {
    /// The CRLs of a certificate's issuer, and of others that may vouch for its status (RFC 5280 section
    /// 6.3.3 (b) and (f)): the same authority with another key, and the issuers that its distribution
    /// points name.
    ///
    /// An issuer of CRLs is on the path above the certificate, or has a certificate of an authority there.
    /// An authority below cannot vouch for its own status. Another authority of the issuer's name, with
    /// certificates of its own, is not the issuer: only a key that the issuer certified, or one for CRLs
    /// only, counts for its name.
    fn sources(
        &self,
        wanted: &Wanted<'_>,
        authorities: Authorities<'_>,
        time: CheckTime,
    ) -> Vec<Source> {
        let issuer = authorities.issuer;
        let is_named =
            |name: &DistinguishedName| wanted.points.crl_issuers().any(|wanted| wanted == name);
        let source = |issuer: &Issuer<'_>, until| Source {
            signed: self.signed_by(issuer),
            may_sign: issuer.key_usage.is_none_or(KeyUsage::crl_sign),
            until,
        };
        let mut sources = vec![source(issuer, None)];
        let mut is_same = true; // while names are equal, the certificates are self-issued: one authority
        for other in authorities.above {
            is_same &= other.name == issuer.name;
            if is_same || is_named(other.name) {
                sources.push(source(other, None));
            }
        }
        let is_wanted = |certificate: &&Certificate| {
            let for_crls_only = !certificate.key_usage().is_some_and(KeyUsage::key_cert_sign);
            let may_be_same = for_crls_only || self.signed(certificate, issuer);
            is_named(certificate.subject()) || (certificate.subject() == issuer.name && may_be_same)
        };
        let at_hand = authorities.at_hand.iter().filter(|it| self.may_be_by(it));
        let at_hand = at_hand.take(MAX_CRL_ISSUERS).filter(is_wanted);
        for certificate in at_hand {
            let known = Issuer::of(certificate);
            if authorities.iter().any(|on_path| on_path.id() == known.id()) {
                continue;
            }
            if let Some(until) = self.is_crl_issuer(certificate, authorities, time) {
                sources.push(source(&known, until));
            }
        }
        sources
    }

    /// Whether a certificate may be that of a CRL issuer: there is a CRL of its name, and it may sign CRLs.
    pub(in crate::trust) fn may_be_by(&self, certificate: &Certificate) -> bool {
        let usage = certificate.key_usage();
        usage.is_some_and(KeyUsage::crl_sign) && self.by_name.contains_key(certificate.subject())
    }

    /// Whether one of these authorities issued a CRL issuer's certificate that is valid and not revoked.
    /// Returns until when.
    fn is_crl_issuer(
        &self,
        certificate: &Certificate,
        authorities: Authorities<'_>,
        time: CheckTime,
    ) -> Option<Option<UnixTime>> {
        let valid = certificate.not_before()..=certificate.not_after();
        if time.stale == StaleCrls::ByRule && !valid.contains(&time.now) {
            return None;
        }
        let mut issuers = authorities.iter().enumerate();
        let (place, _) = issuers.find(|(_, issuer)| {
            let signs = issuer.key_usage.is_none_or(KeyUsage::key_cert_sign);
            signs && issuer.name == certificate.issuer() && self.signed(certificate, issuer)
        })?;
        match self.status(certificate, authorities.from(place)?, time) {
            Status::Good { until } => Some(earlier(until, Some(certificate.not_after()))),
            Status::Revoked { .. } | Status::Unknown(_) => None,
        }
    }

    /// Whether the issuer signed a certificate.
    fn signed(&self, certificate: &Certificate, issuer: &Issuer<'_>) -> bool {
        let id = Fingerprint::of(&[certificate.der().as_ref(), issuer.id().as_bytes()].concat());
        if let Some(signed) = self.signed_certificates.get(&id) {
            return signed;
        }
        let signed = certificate.signed();
        let signed = signed.is_ok_and(|signed| signed.is_by(issuer.spki, self.algorithms.all));
        self.signed_certificates.insert(id, signed);
        signed
    }
}

impl RevocationSource for CrlSet {
    fn status(
        &self,
        certificate: &Certificate,
        authorities: Authorities<'_>,
        time: CheckTime,
    ) -> Status {
        let CheckTime { now, stale } = time;
        let issuer = authorities.issuer;
        let wanted = Wanted {
            certificate,
            issuer,
            points: DistributionPoints::of(certificate, issuer.name),
            now,
        };
        let covers = |list: &Crl| !wanted.coverage(list).is_none();
        let sources = self.sources(&wanted, authorities, time);
        let (mut lists, mut until, mut may_not_sign) = (Vec::new(), None, false);
        for source in &sources {
            let found = source
                .signed
                .current_of(covers, |list| self.rules.is_in_force(list, now));
            if found.is_empty() {
                continue;
            }
            if source.may_sign {
                lists.extend(found);
                until = earlier(until, source.until);
            } else {
                may_not_sign = true;
            }
        }
        if lists.is_empty() {
            return Status::Unknown(if may_not_sign {
                Unknown::IssuerMayNotSign
            } else {
                Unknown::NoData(self.without_list(&wanted, &sources[0].signed))
            });
        }
        // An entry of an expired CRL still counts.
        let mut revoking = lists
            .iter()
            .filter_map(|current| current.revokes(certificate, issuer));
        if let Some(list) = revoking.next() {
            return Status::Revoked {
                crl: list.number().cloned(),
            };
        }
        for list in lists.iter().flat_map(Current::lists) {
            let Some(end) = self.end_of(list) else {
                continue;
            };
            if now >= end && stale == StaleCrls::ByRule {
                return Status::Unknown(Unknown::Expired {
                    next_update: list.next_update(),
                });
            }
            // A nextUpdate at or before 1970 counts as 1970: there is no second before it.
            let last = Duration::from_secs(end.as_secs().saturating_sub(1));
            until = earlier(until, Some(UnixTime::since_unix_epoch(last)));
        }
        let covered = lists
            .iter()
            .map(|current| wanted.coverage(current.complete));
        let covered = covered.fold(Reasons::NONE, |all, reasons| all | reasons);
        if covered != Reasons::ALL {
            return Status::Unknown(Unknown::NoData(StatusError::SomeReasons {
                missing: covered.missing(),
            }));
        }
        Status::Good { until }
    }
}

impl fmt::Debug for CrlSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}
