//! Turns errors of rustls-webpki into errors about one certificate.

use super::build::PathBuilder;
use super::verifier::wrong_usage;
use super::{ChainError, PathError, TrustStore};
use crate::pki::{Certificate, Excerpt};

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
        E::UnknownIssuer => ChainError::UnknownIssuer {
            certificate: builder.graph.top_by_name().clone(),
            roots: names_of_roots(builder.store),
        },
        E::InvalidSignatureForPublicKey => ChainError::BadSignature { certificate: top() },
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

fn names_of_roots(store: &TrustStore) -> Excerpt<crate::pki::DistinguishedName> {
    let names = store.roots().filter_map(|(_, root)| root.name.clone());
    Excerpt::new(names, store.anchors().len())
}
