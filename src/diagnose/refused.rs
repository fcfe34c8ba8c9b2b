//! The errors of the verifier as findings.

use std::borrow::Cow;

use super::commands::{self, lines, reissue};
use super::findings::{
    Apart, SHOW_CHAIN, SHOW_CLOCK, bad_signature, finding, issuer_may_not_sign,
    unsupported_algorithm, unsupported_key,
};
use super::paths::AtHand;
use super::report::Finding;
use crate::diagnostic::Diagnostic;
use crate::pki::named::Named;
use crate::pki::text::Escaped;
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, ShortName, ShortSerial};
use crate::side::Side;
use crate::trust::{ChainError, StatusError};

/// The finding for an error of the verifier.
pub(super) fn of_error(error: &ChainError, usage: Side, at_hand: Option<&AtHand<'_>>) -> Finding {
    use ChainError as E;

    let about = error.certificate();
    let of_source = match error {
        E::Malformed { source, .. } => source.remedy(),
        _ => Cow::default(),
    };
    let (cause, remedy, try_this): (String, &str, Vec<String>) = match error {
        E::NoCertificate => (
            "there is no certificate".into(),
            "give the peer a certificate that this side trusts, and its key (curl: --cert and --key)",
            Vec::new(),
        ),
        E::TooLong { length, limit } => (
            format!("the chain has {length} certificates, over the limit of {limit}"),
            "send the peer's own certificate and its intermediates only, and no bundle of roots",
            lines([SHOW_CHAIN]),
        ),
        E::Malformed { position, source } => (
            format!(
                "certificate {position} of the chain cannot be read: {}",
                source.cause()
            ),
            &of_source,
            lines([
                "openssl asn1parse -in CERT.pem -i",
                "openssl x509 -in CERT.pem -noout -text",
            ]),
        ),
        E::Version1 { certificate } => (
            format!(
                "{} is X.509 version 1, which TLS peers reject",
                Named(certificate)
            ),
            "issue it as version 3: `openssl x509 -req` does so when it is given extensions",
            reissue(certificate, usage, None),
        ),
        E::KeyTooLarge {
            certificate,
            bits,
            limit,
        } => (
            format!(
                "{} has an RSA key of {bits} bits, over the limit of {limit}",
                Named(certificate)
            ),
            "use a smaller key: 3072 bits, or ECDSA P-256",
            lines([
                "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.new.pem",
            ]),
        ),
        E::CaAsEndEntity { certificate } => (
            format!(
                "{} is a CA certificate, and the peer uses it as its own (`openssl req -x509` makes such certificates)",
                Named(certificate)
            ),
            "issue a certificate without CA:TRUE to the peer, or pin this one",
            reissue(certificate, usage, None),
        ),
        E::EndEntityMaySign {
            certificate,
            usage: bits,
        } => (
            format!(
                "{} may sign certificates or CRLs (keyUsage: {bits}), which a peer's certificate must not",
                Named(certificate)
            ),
            "issue it without keyCertSign and cRLSign",
            reissue(certificate, usage, None),
        ),
        E::NoDigitalSignature {
            certificate,
            usage: bits,
        } => (
            format!(
                "{} may not sign handshakes (keyUsage: {bits})",
                Named(certificate)
            ),
            "issue it with keyUsage digitalSignature",
            reissue(certificate, usage, None),
        ),
        E::WrongUsage {
            certificate,
            wanted,
            present,
        } => (
            format!(
                "{} is not for {wanted} (extendedKeyUsage: {})",
                Named(certificate),
                present
            ),
            match usage {
                Side::Client if is_for_servers(certificate) => {
                    "issue it with extendedKeyUsage=clientAuth; if it is of a public CA, those no longer issue clientAuth (issuing CAs since 2026-06-15, other certificates until 2027-03-15): issue it from a CA of your own, or accept serverAuth of clients with EkuPolicy::AcceptServerAuth"
                }
                Side::Client => "issue it with extendedKeyUsage=clientAuth",
                Side::Server => "issue it with extendedKeyUsage=serverAuth",
            },
            reissue(certificate, usage, None),
        ),
        E::NoTrustDomain { certificate, error } => (
            format!(
                "{} belongs to no trust domain: {}",
                Named(certificate),
                error.cause()
            ),
            "issue it with exactly one URI SAN, a SPIFFE ID",
            lines(["openssl x509 -in CERT.pem -noout -ext subjectAltName"]),
        ),
        E::UnknownTrustDomain {
            certificate,
            trust_domain,
            known,
        } => (
            format!(
                "{} is of the trust domain {}, and this side has bundles for {} only",
                Named(certificate),
                Escaped(trust_domain),
                known
            ),
            "add the bundle of that trust domain (federation), or correct the SPIFFE ID",
            lines(["openssl x509 -in CERT.pem -noout -ext subjectAltName"]),
        ),
        E::Revoked { certificate, crl } => (
            match crl {
                Some(crl) => format!(
                    "{} is revoked, by CRL {} of its issuer",
                    Named(certificate),
                    ShortSerial(crl)
                ),
                None => format!(
                    "{} is revoked, by the CRL of its issuer",
                    Named(certificate)
                ),
            },
            "issue a new certificate for a new key: a revoked certificate stays revoked",
            lines([
                "openssl x509 -in CERT.pem -noout -serial",
                "openssl crl -in CRL.pem -noout -text",
                "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.new.pem",
            ]),
        ),
        E::CrlExpired {
            certificate,
            next_update,
            now,
        } => (
            format!(
                "whether {} is revoked is unknown: the CRL of \"{}\" expired at {}, {} ago, and our clock says {}",
                Named(certificate),
                ShortName(certificate.issuer()),
                Rfc3339(*next_update),
                Apart(*next_update, *now),
                Rfc3339(*now)
            ),
            "load the newer CRL of its issuer, and find out why it is late (Revocation::grace() allows for late CRLs)",
            lines([
                "openssl crl -in CRL.pem -noout -issuer -lastupdate -nextupdate",
                SHOW_CLOCK,
            ]),
        ),
        E::UnknownRevocationStatus {
            certificate,
            cause: cause @ StatusError::NotInForce { this_update, now },
        } => (
            format!(
                "whether {} is revoked is unknown: {}, {} earlier",
                Named(certificate),
                cause.cause(),
                Apart(*now, *this_update)
            ),
            "correct the clock of this machine or of the CA, or load a CRL that is in force (Revocation::clock_tolerance() allows for small differences)",
            lines([
                "openssl crl -in CRL.pem -noout -issuer -lastupdate -nextupdate",
                SHOW_CLOCK,
            ]),
        ),
        E::UnknownRevocationStatus { certificate, cause } => (
            format!(
                "whether {} is revoked is unknown: {}",
                Named(certificate),
                cause.cause()
            ),
            match (cause, cause.remedy()) {
                (StatusError::NoCrl | StatusError::OtherKey, _) | (_, Cow::Owned(_)) => {
                    "load the CRL of its issuer, or declare with Revocation::no_crl_from() that this issuer publishes none"
                }
                (_, Cow::Borrowed(remedy)) => remedy,
            },
            lines([
                "openssl x509 -in CERT.pem -noout -issuer -ext crlDistributionPoints",
                "openssl crl -in CRL.pem -noout -issuer -lastupdate -nextupdate",
            ]),
        ),
        E::MayNotSignCrls { certificate } => (
            format!(
                "whether {} is revoked is unknown: the certificate of \"{}\" does not allow it to sign CRLs",
                Named(certificate),
                ShortName(certificate.issuer())
            ),
            "issue the certificate of that authority with keyUsage cRLSign",
            commands::reissue_authority(None),
        ),
        E::NameMismatch {
            certificate,
            expected,
            present,
        } => (
            format!(
                "{} is not valid for the server name \"{}\": its names are {}",
                Named(certificate),
                Escaped(expected),
                present
            ),
            "connect to one of its names, or issue it with this name as a subjectAltName (the common name does not count)",
            {
                let mut all = lines(["openssl x509 -in CERT.pem -noout -ext subjectAltName"]);
                all.extend(reissue(certificate, usage, Some(expected)));
                all
            },
        ),
        E::BreaksRfc5280 {
            certificate,
            rule,
            section,
        } => (
            format!(
                "{} breaks RFC 5280 section {section}: {rule}",
                Named(certificate)
            ),
            "issue it again according to that rule, or accept such certificates with Profile::Compatible",
            lines(["openssl x509 -in CERT.pem -noout -text"]),
        ),
        E::IssuerMayNotSign { certificate } => return issuer_may_not_sign(certificate),
        E::UnsupportedKey {
            certificate,
            root,
            problem,
        } => return unsupported_key(certificate, root.as_ref(), problem),
        E::UnsupportedAlgorithm {
            certificate,
            problem,
        } => return unsupported_algorithm(certificate, problem),
        E::BadSignature {
            certificate,
            is_presented,
            ..
        } => {
            let named =
                at_hand.map_or_else(Vec::new, |at_hand| at_hand.named_as_issuer_of(certificate));
            return bad_signature(certificate, &named, *is_presented);
        }
        E::NotPostQuantum {
            is_signature: false,
            ..
        } => (
            error.cause().into_owned(),
            "issue it for an ML-DSA key",
            lines(["openssl genpkey -algorithm ML-DSA-65 -out KEY.new.pem"]),
        ),
        E::NotPostQuantum { .. } => (
            error.cause().into_owned(),
            "have it issued by an authority with an ML-DSA key, up to the root",
            lines([SHOW_CHAIN]),
        ),
        E::NotFips { .. } => (
            error.cause().into_owned(),
            "issue it for an approved key, such as ECDSA P-256 or RSA with 3,072 bits",
            lines([
                "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.new.pem",
            ]),
        ),
        E::TooManyCandidates { certificate } => (
            format!(
                "{} has too many possible issuers: no path was found within 20 signature verifications, of which 8 may fail",
                Named(certificate)
            ),
            "send only the certificates of the path, and issue them with key identifiers",
            lines([SHOW_CHAIN]),
        ),
        // Normally the examination of the path explains these.
        E::Expired { .. } | E::NotYetValid { .. } | E::UnknownIssuer { .. } | E::Invalid { .. } => {
            (
                error.cause().into_owned(),
                "see the output of path validation, and issue the certificate again",
                lines([
                    SHOW_CHAIN,
                    "openssl verify -CAfile ROOTS.pem -untrusted CHAIN.pem CERT.pem",
                ]),
            )
        }
    };
    finding(error.reason(), about, (cause, remedy), try_this)
}

fn is_for_servers(certificate: &Certificate) -> bool {
    let purposes = certificate.extended_key_usage().unwrap_or_default();
    purposes.iter().any(|oid| oid == Side::Server.usage_oid())
}
