//! Which paths rustls-webpki can process.

use super::Path;
use super::names::has_only_dns_and_ip;
use crate::pki::Certificate;
use crate::trust::extensions::{is_policy, name_constraints};

/// The most intermediates that it verifies.
const WEBPKI_DEPTH: usize = 6;

/// Whether rustls-webpki follows RFC 5280 on this path. Where it does not, it rejects valid paths:
///
/// - critical extensions about policies, and unique identifiers, are unknown to it;
/// - name constraints of other kinds than dNSName and iPAddress reject all;
/// - self-issued certificates count for path lengths and name constraints;
/// - names are compared as DER;
/// - times before 1970 are not read;
/// - a path has at most six intermediates.
pub(in crate::trust) fn webpki_processes(path: Path<'_>) -> bool {
    let issuers = &path.certificates[1..];
    let constraints = || {
        let of_issuers = issuers.iter().filter_map(|it| name_constraints(it));
        of_issuers.chain(path.root_constraints)
    };
    let names = issuers.iter().map(|it| Some(it.subject()));
    let chains_by_der = path
        .certificates
        .iter()
        .zip(names.chain([path.root]))
        .all(|(certificate, issuer)| issuer == Some(certificate.issuer()));
    issuers.len() <= WEBPKI_DEPTH
        && chains_by_der
        && path.certificates.iter().all(|it| is_readable(it))
        && constraints().all(has_only_dns_and_ip)
        && !issuers.iter().any(|it| it.is_self_issued())
}

fn is_readable(certificate: &Certificate) -> bool {
    let mut extensions = certificate.extensions().iter();
    let has_critical_policy =
        extensions.any(|extension| extension.is_critical() && is_policy(extension.oid()));
    !has_critical_policy && !certificate.has_unique_ids() && certificate.not_before().as_secs() > 0
}
