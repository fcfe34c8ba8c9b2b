//! How our own certificates are checked before peers see them.

use rustls_pki_types::UnixTime;

use super::certificate::{Certificate, PublicKeyKind};
use super::credentials::Credentials;
use super::error::OwnCertificateProblem;
use super::san::GeneralName;
use super::usual_key::key_name;
use crate::side::Side;

/// Whether an acceptor or a connector is built with a certificate that every peer rejects.
///
/// An option of the builder,
/// [`own_certificate_checks`](crate::builder::Builder::own_certificate_checks).
///
/// ```
/// use countersign::Acceptor;
/// use countersign::identity::DnsName;
/// use countersign::pki::OwnCertificateChecks;
/// use countersign::policy;
/// use countersign::testing::TestCa;
///
/// let ca = TestCa::new("Root");
/// let acceptor = Acceptor::builder()
///     .credentials(ca.leaf().dns("orders.example").client_only().issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     // Our clients are embedded devices that do not read extendedKeyUsage.
///     .own_certificate_checks(OwnCertificateChecks::Report)
///     .build()?;
/// # Ok::<(), countersign::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnCertificateChecks {
    /// A certificate that every peer rejects is an error: an acceptor's without serverAuth in its
    /// extendedKeyUsage, one of a CA that is not self-signed, one without digitalSignature in its
    /// keyUsage, and one with an RSA key under 2,048 bits.
    #[default]
    Enforce,
    /// Such a certificate is recorded as a warning.
    Report,
}

/// A problem, and whether every peer rejects the certificate because of it.
pub(crate) struct Found {
    pub(crate) problem: OwnCertificateProblem,
    pub(crate) is_fatal: bool,
}

/// Everything for which peers reject these credentials, or may reject them.
pub(crate) fn problems(credentials: &Credentials, side: Side, now: Option<UnixTime>) -> Vec<Found> {
    let certificate = credentials.certificate().clone();
    let mut found = Vec::new();
    let mut add = |is_fatal, problem| found.push(Found { problem, is_fatal });
    if !has_purpose(&certificate, side) {
        // A server can accept serverAuth from its clients, as public CAs no longer issue clientAuth.
        let problem = OwnCertificateProblem::Purpose {
            certificate: certificate.clone(),
            side,
        };
        add(side == Side::Server, problem);
    }
    let may_sign = certificate
        .key_usage()
        .is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
    if certificate.is_ca() || may_sign {
        // Self-signed certificates are for pins, which replace the chain.
        let is_fatal = certificate.is_ca() && !certificate.is_self_issued();
        let problem = OwnCertificateProblem::Authority {
            certificate: certificate.clone(),
        };
        add(is_fatal, problem);
    }
    if certificate
        .key_usage()
        .is_some_and(|usage| !usage.digital_signature())
    {
        let problem = OwnCertificateProblem::KeyUsage {
            certificate: certificate.clone(),
        };
        add(true, problem);
    }
    if let Some(is_fatal) = has_bad_key(&certificate) {
        let key = key_name(certificate.spki());
        let problem = OwnCertificateProblem::Key {
            certificate: certificate.clone(),
            key,
        };
        add(is_fatal, problem);
    }
    if side == Side::Server && !has_server_name(&certificate) {
        add(false, OwnCertificateProblem::NoServerName { certificate });
    }
    for problem in out_of_order(credentials) {
        add(false, problem);
    }
    let bytes = message_size(credentials);
    if bytes > LARGEST_MESSAGE {
        let certificate = credentials.certificate().clone();
        add(
            false,
            OwnCertificateProblem::ChainSize { certificate, bytes },
        );
    }
    if let Some(problem) = now.and_then(|now| invalid_at(credentials, now)) {
        add(false, problem);
    }
    found
}

/// The first certificate that is not valid now: the leaf, or an intermediate that peers need.
pub(crate) fn invalid_at(
    credentials: &Credentials,
    now: UnixTime,
) -> Option<OwnCertificateProblem> {
    let issuers = credentials.chain().iter().skip(1);
    let issuers = issuers
        .filter_map(|der| Certificate::from_der(der).ok()) // parsed when they were loaded
        .filter(|issuer| !issuer.is_self_issued()); // peers have roots of their own
    for certificate in std::iter::once(credentials.certificate().clone()).chain(issuers) {
        if now > certificate.not_after() {
            return Some(OwnCertificateProblem::Expired { certificate, now });
        }
        if now < certificate.not_before() {
            return Some(OwnCertificateProblem::NotYetValid { certificate, now });
        }
    }
    None
}

fn has_purpose(certificate: &Certificate, side: Side) -> bool {
    const ANY: &str = "2.5.29.37.0";
    let wanted = match side {
        Side::Server => "1.3.6.1.5.5.7.3.1",
        Side::Client => "1.3.6.1.5.5.7.3.2",
    };
    certificate
        .extended_key_usage()
        .is_none_or(|purposes| purposes.iter().any(|oid| oid == wanted || oid == ANY))
}

/// The largest handshake message that rustls reads. OpenSSL reads 100 KiB of certificates by default.
const LARGEST_MESSAGE: usize = 0xffff;

/// The size of the Certificate message of TLS 1.3 (RFC 9846 section 4.4.2), without extensions.
fn message_size(credentials: &Credentials) -> usize {
    let entries = credentials.chain().iter().map(|der| 3 + der.len() + 2);
    1 + 3 + entries.sum::<usize>()
}

/// Whether the key is one that no peer accepts (true), or that some do not (false).
fn has_bad_key(certificate: &Certificate) -> Option<bool> {
    match certificate.public_key() {
        PublicKeyKind::Rsa { bits } if *bits < 2048 => Some(true),
        PublicKeyKind::Rsa { bits } if *bits > 8192 => Some(false),
        PublicKeyKind::Rsa { .. } => None,
        // rustls with ring, Go's FIPS mode and browsers without it do not verify P-521.
        _ if key_name(certificate.spki()).ends_with("P-521") => Some(false),
        _ => None,
    }
}

/// SPIFFE servers have a URI.
fn has_server_name(certificate: &Certificate) -> bool {
    let names = certificate.subject_alternative_names().unwrap_or_default();
    names.iter().any(|name| {
        matches!(
            name,
            GeneralName::Dns(_) | GeneralName::Ip(_) | GeneralName::Uri(_)
        )
    })
}

/// Each certificate that is followed by another one than its issuer. A root at the end is harmless.
fn out_of_order(credentials: &Credentials) -> Vec<OwnCertificateProblem> {
    let chain: Vec<_> = credentials
        .chain()
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect();
    (2..)
        .zip(chain.windows(2))
        .filter_map(|(position, pair)| match pair {
            [certificate, next] if certificate.issuer() != next.subject() => {
                Some(OwnCertificateProblem::ChainOrder {
                    certificate: certificate.clone(),
                    position,
                })
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Issued, KeyUsageBits, TestCa};

    fn found(issued: &Issued, side: Side) -> Vec<(&'static str, bool)> {
        found_in(&issued.credentials(), side, Some(UnixTime::now()))
    }

    fn found_in(
        credentials: &Credentials,
        side: Side,
        now: Option<UnixTime>,
    ) -> Vec<(&'static str, bool)> {
        let found = problems(credentials, side, now).into_iter();
        found
            .map(|found| (found.problem.reason(), found.is_fatal))
            .collect()
    }

    #[test]
    fn a_good_certificate_has_no_problem() {
        let issuing = TestCa::new("Root").intermediate("Issuing");
        let issued = issuing.leaf().dns("a.example").issue();
        assert_eq!(found(&issued, Side::Server), []);
        assert_eq!(found(&issued, Side::Client), []);
        let any = issuing.leaf().dns("a.example");
        let any = any.extended_key_usage(Some(&["2.5.29.37.0"])).issue();
        assert_eq!(found(&any, Side::Server), []);
        let none = issuing.leaf().dns("a.example").extended_key_usage(None);
        assert_eq!(found(&none.issue(), Side::Server), []);
    }

    #[test]
    fn each_problem_is_found_on_the_side_that_has_it() {
        let ca = TestCa::new("Root");
        let leaf = || ca.leaf().dns("a.example");
        let purpose = "own_certificate_purpose";
        let client = leaf().client_only().issue();
        assert_eq!(found(&client, Side::Server), [(purpose, true)]);
        assert_eq!(found(&client, Side::Client), []);
        let server = leaf().server_only().issue();
        assert_eq!(found(&server, Side::Client), [(purpose, false)]);
        assert_eq!(found(&server, Side::Server), []);

        let encipherment = leaf()
            .key_usage(Some(KeyUsageBits::KEY_ENCIPHERMENT))
            .issue();
        let usage = ("own_certificate_key_usage", true);
        assert_eq!(found(&encipherment, Side::Client), [usage]);

        let is_ca = "own_certificate_is_ca";
        let authority = leaf().basic_constraints(Some(true)).issue();
        assert_eq!(found(&authority, Side::Client), [(is_ca, true)]);

        let nameless = ca.leaf().common_name("a.example").issue();
        let name = ("own_certificate_without_name", false);
        assert_eq!(found(&nameless, Side::Server), [name]);
        assert_eq!(found(&nameless, Side::Client), []);
    }

    #[test]
    fn the_chain_links_each_certificate_to_its_issuer() {
        let root = TestCa::new("Root");
        let (issuing, other) = (root.intermediate("Issuing"), root.intermediate("Other"));
        let issued = issuing.leaf().dns("a.example").issue();
        let with = |more: &[&TestCa]| {
            let mut chain = vec![issued.leaf_der().clone()];
            chain.extend(more.iter().map(|ca| ca.certificate_der()));
            let credentials = Credentials::from_der(chain, issued.key_der());
            found_in(&credentials.expect("credentials"), Side::Server, None)
        };
        let order = ("own_chain_order", false);
        assert_eq!(with(&[&issuing]), []);
        assert_eq!(with(&[&issuing, &root]), [], "a root is harmless");
        assert_eq!(with(&[]), [], "its root may have issued it");
        assert_eq!(with(&[&other]), [order]);
        assert_eq!(with(&[&root, &issuing]), [order, order]);
    }

    #[test]
    fn a_chain_over_a_message_is_reported() {
        let root = TestCa::new("Root");
        let padding = vec![0; 16_000];
        let leaf = || root.leaf().dns("a.example");
        let large = leaf().extension("1.2.3.4", false, &padding);
        assert_eq!(found(&large.issue(), Side::Server), []);
        let issued = leaf().extension("1.2.3.4", false, &[0; 66_000]).issue();
        let size = ("own_chain_size", false);
        assert_eq!(found(&issued, Side::Server), [size]);
        assert_eq!(found(&issued, Side::Client), [size]);
    }

    #[test]
    fn dates_are_checked_by_the_given_time() {
        let issued = TestCa::new("Root").leaf().dns("a.example").issue();
        let credentials = issued.credentials();
        let leaf = credentials.certificate();
        let beside = |time: UnixTime, seconds: i64| {
            let seconds = time.as_secs().saturating_add_signed(seconds);
            Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        };
        let at = |time| found_in(&credentials, Side::Server, time);
        assert_eq!(at(beside(leaf.not_after(), 0)), []);
        assert_eq!(
            at(beside(leaf.not_after(), 1)),
            [("own_certificate_expired", false)]
        );
        assert_eq!(
            at(beside(leaf.not_before(), -1)),
            [("own_certificate_not_yet_valid", false)]
        );
        assert_eq!(at(None), []);
    }
}
