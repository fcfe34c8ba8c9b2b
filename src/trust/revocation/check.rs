//! Checks the certificates of a path against a source of revocation status.

use rustls_pki_types::UnixTime;

use super::source::{Authorities, CheckTime, Issuer, RevocationSource, Status, Unknown};
use super::{Revocation, RevocationDepth, UnknownStatus};
use crate::pki::Certificate;
use crate::trust::{ChainError, StatusError};

/// Checks a path, given as each certificate with its issuer, the leaf first. `at_hand` are further
/// certificates that the peer sent: they may be those of CRL issuers.
///
/// Returns the last second in which the result is the same, as far as it depends on the expiry of the
/// source's data. When other CRLs come into force is not considered here
/// ([`CrlSet::same_lists_around`](super::CrlSet::same_lists_around)).
pub(in crate::trust) fn check_path<'a>(
    source: &impl RevocationSource,
    rules: &Revocation,
    path: impl IntoIterator<Item = (&'a Certificate, Issuer<'a>)>,
    at_hand: &'a [Certificate],
    time: CheckTime,
) -> Result<Option<UnixTime>, ChainError> {
    let depth = match rules.depth {
        RevocationDepth::WholeChain => usize::MAX,
        RevocationDepth::EndEntity => 1,
    };
    let mut until = None;
    let (certificates, issuers): (Vec<_>, Vec<_>) = path.into_iter().unzip();
    for (place, certificate) in certificates.into_iter().enumerate().take(depth) {
        let issuer = &issuers[place];
        let authorities = Authorities {
            issuer,
            above: &issuers[place + 1..],
            at_hand,
        };
        match source.status(certificate, authorities, time) {
            Status::Good { until: end } => until = earlier(until, end),
            Status::Revoked { crl } => {
                return Err(ChainError::Revoked {
                    certificate: certificate.clone(),
                    crl,
                });
            }
            Status::Unknown(Unknown::NoData(why)) if is_allowed(rules, issuer, &why) => {}
            Status::Unknown(why) => return Err(unknown(certificate, why, time.now)),
        }
    }
    Ok(until)
}

/// Whether the rules allow a certificate about which the source has no data.
fn is_allowed(rules: &Revocation, issuer: &Issuer<'_>, why: &StatusError) -> bool {
    // A CRL that is not in force yet allows nothing: the issuer has a CRL, and either its clock is
    // wrong or ours is.
    if let StatusError::NotInForce { .. } = why {
        return false;
    }
    let exempt = &rules.exempt;
    exempt.authorities.contains(&issuer.id())
        || (!exempt.names.is_empty() && exempt.names.contains(&issuer.name.to_string()))
        || rules.unknown_status == UnknownStatus::Allow
}

fn unknown(certificate: &Certificate, why: Unknown, now: UnixTime) -> ChainError {
    let certificate = certificate.clone();
    match why {
        Unknown::NoData(cause) => ChainError::UnknownRevocationStatus { certificate, cause },
        Unknown::Expired { next_update } => ChainError::CrlExpired {
            certificate,
            next_update,
            now,
        },
        Unknown::IssuerMayNotSign => ChainError::MayNotSignCrls { certificate },
    }
}

/// The earlier of two limits; `None` is no limit.
pub(super) fn earlier(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    let limits = [one, other].into_iter().flatten();
    limits.min_by_key(UnixTime::as_secs)
}

#[cfg(all(feature = "testing", feature = "aws-lc-rs", feature = "tokio"))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::Crl;
    use crate::side::Side;
    use crate::testing::{CrlBuilder, KeyUsageBits, TestCa};
    use crate::trust::revocation::StaleCrls;
    use crate::trust::{ChainVerifier, Crls};

    /// A source that is not a CRL: it knows each certificate by its common name.
    struct ByCommonName;

    impl RevocationSource for ByCommonName {
        fn status(&self, certificate: &Certificate, _: Authorities<'_>, time: CheckTime) -> Status {
            match certificate.subject().to_string().as_str() {
                "CN=good" => Status::Good {
                    until: Some(time.now),
                },
                "CN=revoked" => Status::Revoked {
                    crl: Some(certificate.serial().clone()),
                },
                "CN=expired" => Status::Unknown(Unknown::Expired {
                    next_update: time.now,
                }),
                _ => Status::Unknown(Unknown::NoData(StatusError::NoCrl)),
            }
        }
    }

    #[test]
    fn the_rules_apply_to_any_source() {
        let now = UnixTime::now();
        let root = TestCa::new("Root");
        let issuer = Certificate::from_der(&root.certificate_der()).expect("a certificate");
        let strict = Revocation::from(Crls::from_bytes(root.crl().pem()).expect("a CRL"));
        let lenient = strict.clone().unknown_status(UnknownStatus::Allow);
        let exempt = strict.clone().no_crl_from(&issuer);
        let check = |name: &str, rules: &Revocation| {
            let certificate = root.leaf().common_name(name).issue().certificate();
            let path = [(&certificate, Issuer::of(&issuer))];
            let stale = StaleCrls::ByRule;
            check_path(&ByCommonName, rules, path, &[], CheckTime { now, stale })
                .map_err(|error| error.reason())
        };
        for rules in [&strict, &lenient, &exempt] {
            assert_eq!(check("good", rules), Ok(Some(now)));
            assert_eq!(check("revoked", rules), Err("revoked"));
            assert_eq!(check("expired", rules), Err("crl_expired"));
        }
        let unknown = Err("unknown_revocation_status");
        assert_eq!(check("other", &strict), unknown);
        assert_eq!(check("other", &lenient), Ok(None));
        assert_eq!(check("other", &exempt), Ok(None));
    }

    /// A connection is open while it drains, although its certificate has expired. The trust store has
    /// another root now: the chain is verified at a time at which it was valid, with the current CRLs.
    #[test]
    fn an_expired_chain_is_verified_again_with_the_current_crls() {
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
            ChainVerifier::new(ca.trust(), Side::Client, &provider)
        };
        let crl = |list: CrlBuilder| Crl::from_der(&list.build()).expect("a CRL");
        let older = crl(middle.crl().number(1).this_update(hours_ago(8)));
        let newer = middle.crl().number(2).this_update(hours_ago(2));
        let newer = crl(newer.revoke(revoked.serial()));
        let lists = Crls::new([older, newer]).expect("lists");
        let current = verifier(&middle).revocation(lists);
        let verify_again = |peer: &crate::testing::Issued| {
            let chain = verifier(&root).verify(peer.chain(), hours_ago(6));
            let chain = chain.expect("a valid chain");
            let outcome = current.still_trusts(&chain, now);
            outcome.map(drop).map_err(|error| error.reason())
        };
        assert_eq!(verify_again(&revoked), Err("revoked"));
        assert_eq!(verify_again(&good), Ok(()));
    }

    /// The CRL has a key of its own, whose certificate the peer sent.
    #[test]
    fn the_crl_issuers_that_a_peer_sent_count_while_its_connection_is_open() {
        let now = UnixTime::now();
        let root = TestCa::new("Root");
        let peer = root.intermediate("Issuing").leaf().issue();
        let signer = TestCa::builder("Issuing").key_usage(Some(KeyUsageBits::CRL_SIGN));
        let signer = signer.no_basic_constraints().signed_by(&root);
        let verifier = |list: CrlBuilder| {
            let lists = [root.crl(), list].map(|list| Crl::from_der(&list.build()).expect("a CRL"));
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            ChainVerifier::new(root.trust(), Side::Client, &provider)
                .revocation(Crls::new(lists).expect("lists"))
        };
        let mut chain = peer.chain().to_vec();
        chain.push(signer.certificate_der());
        let chain = verifier(signer.crl()).verify(&chain, now);
        let chain = chain.expect("a valid chain");
        let again = |list: CrlBuilder| {
            let found = verifier(list.number(2)).still_trusts(&chain, now);
            found.map(drop).map_err(|error| error.reason())
        };
        assert_eq!(again(signer.crl()), Ok(()));
        assert_eq!(again(signer.crl().revoke(peer.serial())), Err("revoked"));
    }
}
