//! Turns errors of rustls-webpki into errors about one certificate.

use super::build::PathBuilder;
use super::graph::Link;
use super::signatures::Unverifiable;
use super::verifier::wrong_usage;
use super::{ChainError, PathError, Signer, TrustStore};
use crate::pki::key_id::{AuthorityKey, subject_key};
use crate::pki::name_matching::names_match_rfc5280;
use crate::pki::{AlgorithmError, Certificate, DistinguishedName, Excerpt};

/// The error for a rejection by rustls-webpki, with the certificate of the path that it is about. The
/// path starts with the leaf.
pub(super) fn rejected_by_webpki(
    builder: &PathBuilder<'_>,
    error: webpki::Error,
    path: &[&Certificate],
) -> ChainError {
    use webpki::Error as E;

    let (leaf, now) = (builder.leaf, builder.now);
    let certificate_with = |wanted: &dyn Fn(&&Certificate) -> bool| {
        let mut all = path.iter().copied();
        all.find(wanted).unwrap_or(leaf).clone()
    };
    let top = || path.last().copied().unwrap_or(leaf).clone();
    match error {
        E::CertExpired { not_after, .. } => ChainError::Expired {
            certificate: certificate_with(&|c| c.not_after() == not_after),
            now,
            not_after,
        },
        E::CertNotValidYet { not_before, .. } => ChainError::NotYetValid {
            certificate: certificate_with(&|c| c.not_before() == not_before),
            now,
            not_before,
        },
        E::UnknownIssuer => {
            let certificate = builder.graph.top_by_name().clone();
            ChainError::UnknownIssuer {
                alike: alike(builder, certificate.issuer()).cloned(),
                certificate,
                roots: names_of_roots(builder.store),
            }
        }
        // The search has verified the signatures of the paths that rustls-webpki verifies.
        E::InvalidSignatureForPublicKey => ChainError::BadSignature {
            certificate: top(),
            signer: Signer::Unknown,
            is_presented: false,
        },
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            let certificate = top();
            let content = certificate
                .signed()
                .map_or(&[][..], |signed| signed.algorithm);
            ChainError::UnsupportedAlgorithm {
                problem: AlgorithmError::of_content(content),
                certificate,
            }
        }
        E::RequiredEkuNotFoundContext(_) => {
            let usage = builder.verifier.usage();
            let wrong = |c: &&Certificate| {
                c.extended_key_usage()
                    .is_some_and(|oids| oids.iter().all(|oid| oid != usage.usage_oid()))
            };
            wrong_usage(&certificate_with(&wrong), usage)
        }
        E::EndEntityUsedAsCa => ChainError::IssuerMayNotSign {
            certificate: certificate_with(&|c| **c != *leaf && !c.is_ca()),
        },
        problem => ChainError::Invalid {
            certificate: leaf.clone(),
            problem: PathError::of(&problem),
        },
    }
}

/// Why none of the possible issuers, which are verified, signed a certificate; `None` without such.
pub(super) fn not_signed(
    builder: &PathBuilder<'_>,
    certificate: &Certificate,
    issuers: &[Link],
) -> Option<ChainError> {
    let certificate = certificate.clone();
    let (graph, signatures) = (&builder.graph, &builder.signatures);
    let unverifiable = |issuer: &Link| signatures.unverifiable(&certificate, graph.key(*issuer));
    let mut verifiable = issuers
        .iter()
        .filter(|issuer| unverifiable(issuer).is_none());
    let Some(issuer) = verifiable.next() else {
        let issuer = *issuers.first()?; // the most likely
        return Some(match unverifiable(&issuer)? {
            Unverifiable::Algorithm(problem) => ChainError::UnsupportedAlgorithm {
                certificate,
                problem,
            },
            Unverifiable::Key(problem) => match graph.issuer(issuer) {
                Some(of_issuer) => ChainError::UnsupportedKey {
                    certificate: of_issuer.clone(),
                    root: None,
                    problem,
                },
                None => ChainError::UnsupportedKey {
                    certificate,
                    root: graph.name(issuer).cloned(),
                    problem,
                },
            },
        });
    };
    let known = graph.issuer(*issuer);
    let signer = match (
        AuthorityKey::of(&certificate).key,
        known.and_then(subject_key),
    ) {
        (Some(wanted), Some(known)) if wanted == known => Signer::ThisKey,
        (Some(_), Some(_)) => Signer::OtherKey,
        _ => Signer::Unknown,
    };
    let is_stored = |of_issuer| builder.store.intermediates().contains(of_issuer);
    Some(ChainError::BadSignature {
        signer,
        is_presented: match issuer {
            Link::Root(_) => false,
            Link::Certificate(_) => known.is_some_and(|known| !is_stored(known)),
        },
        certificate,
    })
}

/// A known name that equals `issuer` by RFC 5280 section 7.1, and is encoded differently.
fn alike<'a>(
    builder: &PathBuilder<'a>,
    issuer: &DistinguishedName,
) -> Option<&'a DistinguishedName> {
    let store = builder.store;
    let roots = store.roots().filter_map(|(_, root)| root.name.as_ref());
    let known = builder.presented.iter().chain(store.intermediates());
    roots
        .chain(known.map(Certificate::subject))
        .find(|name| *name != issuer && names_match_rfc5280(name, issuer))
}

fn names_of_roots(store: &TrustStore) -> Excerpt<DistinguishedName> {
    let names = store.roots().filter_map(|(_, root)| root.name.clone());
    Excerpt::new(names, store.anchors().len())
}
