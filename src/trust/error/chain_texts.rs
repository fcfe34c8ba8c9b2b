//! The cause and the remedy of each rejection of a chain.

use std::borrow::Cow;

use super::{ChainError, Signer, StatusError};
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::name_difference::Differs;
use crate::pki::text::Escaped;
use crate::pki::time::Rfc3339;
use crate::pki::{ISSUE_V3, ShortName, ShortSerial};

impl Diagnostic for ChainError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoCertificate => {
                "the peer presented no certificate: it has none, or none whose issuer, key and signature fit what we asked for".into()
            },
            Self::TooLong { length, limit } => {
                format!("the peer's chain has {length} certificates, over the limit of {limit}")
            }
            Self::Malformed { position, source } => {
                format!("certificate {position} of the peer's chain: {}", source.cause())
            }
            Self::Version1 { certificate } => {
                format!("{certificate} is X.509 version 1, which rustls rejects")
            }
            Self::KeyTooLarge {
                certificate,
                bits,
                limit,
            } => format!("{certificate} has an RSA key of {bits} bits, over the limit of {limit}"),
            Self::CaAsEndEntity { certificate } => format!(
                "{certificate} is a CA certificate used as an end entity (`openssl req -x509` makes such)"
            ),
            Self::EndEntityMaySign { certificate, usage } => format!(
                "{certificate} may sign certificates or CRLs (keyUsage: {usage}), which an end entity must not"
            ),
            Self::NoDigitalSignature { certificate, usage } => {
                format!("{certificate} may not sign handshakes (keyUsage: {usage})")
            }
            Self::IssuerMayNotSign { certificate } => format!(
                "{certificate} is an issuer in the chain but may not sign certificates"
            ),
            Self::Expired {
                certificate,
                now,
                not_after,
            } => format!(
                "{certificate} expired at {}, and our clock says {}",
                Rfc3339(*not_after),
                Rfc3339(*now)
            ),
            Self::NotYetValid {
                certificate,
                now,
                not_before,
            } => format!(
                "{certificate} is not valid before {}, and our clock says {}",
                Rfc3339(*not_before),
                Rfc3339(*now)
            ),
            Self::UnknownIssuer {
                certificate,
                alike: Some(alike),
                ..
            } => format!(
                "unknown issuer: {certificate} needs the issuer \"{}\", and a CA of that name is known whose name is encoded differently: {}",
                ShortName(certificate.issuer()),
                Differs {
                    wanted: certificate.issuer(),
                    known: alike,
                }
            ),
            Self::UnknownIssuer {
                certificate, roots, ..
            } => format!(
                "unknown issuer: {certificate} needs the issuer \"{}\", and the trust store has {roots}",
                ShortName(certificate.issuer())
            ),
            Self::BadSignature {
                certificate,
                signer,
                is_presented,
            } => {
                let (issuer, known) = (
                    ShortName(certificate.issuer()),
                    if *is_presented {
                        "whose certificate the peer sent"
                    } else {
                        "which is in the trust store"
                    },
                );
                match signer {
                    Signer::OtherKey => format!(
                        "bad signature: {certificate} was signed by another key than that of \"{issuer}\", {known}: the CA was re-keyed under the same name, or another CA has its name"
                    ),
                    Signer::ThisKey => format!(
                        "bad signature: {certificate} names the key of \"{issuer}\", {known}, as its signer, and that key did not make its signature: it was changed after it was signed (damaged or forged)"
                    ),
                    Signer::Unknown => format!(
                        "bad signature: the key of \"{issuer}\", {known}, did not sign {certificate}: the CA was re-keyed under the same name, another CA has its name, or the certificate was changed after it was signed"
                    ),
                }
            }
            Self::UnsupportedKey {
                certificate,
                root: None,
                problem,
            } => format!(
                "no signature of the key of {certificate} can be verified here: {}",
                problem.cause()
            ),
            Self::UnsupportedKey {
                certificate,
                root: Some(root),
                problem,
            } => format!(
                "no signature of the key of the root \"{}\", which issued {certificate}, can be verified here: {}",
                ShortName(root),
                problem.cause()
            ),
            Self::UnsupportedAlgorithm {
                certificate,
                problem,
            } => format!(
                "the signature of {certificate} cannot be verified here: {}",
                problem.cause()
            ),
            Self::NotPostQuantum {
                certificate,
                algorithm,
                is_signature: false,
            } => format!(
                "post-quantum identities are required here, and the key of {certificate} is {algorithm}"
            ),
            Self::NotPostQuantum {
                certificate,
                algorithm,
                is_signature: true,
            } => format!(
                "post-quantum identities are required here, and {certificate} is signed with {algorithm}, by \"{}\"",
                ShortName(certificate.issuer())
            ),
            Self::NotFips {
                certificate,
                problem,
            } => format!("FIPS is required here, and {certificate} is not approved: {problem}"),
            Self::TooManyCandidates { certificate } => format!(
                "{certificate} has too many possible issuers: its chain and the trust store have several authorities of one name, and no path was found within 20 signature verifications, of which 8 may fail"
            ),
            Self::Revoked {
                certificate,
                crl: Some(crl),
            } => format!(
                "{certificate} is revoked, by CRL {} of its issuer",
                ShortSerial(crl)
            ),
            Self::Revoked {
                certificate,
                crl: None,
            } => format!("{certificate} is revoked, by the CRL of its issuer"),
            Self::UnknownRevocationStatus { certificate, cause } => format!(
                "whether {certificate} is revoked is unknown: {}",
                cause.cause()
            ),
            Self::CrlExpired {
                certificate,
                next_update,
                now,
            } => format!(
                "whether {certificate} is revoked is unknown: the CRL of its issuer was due to be replaced at {}, and our clock says {}",
                Rfc3339(*next_update),
                Rfc3339(*now)
            ),
            Self::MayNotSignCrls { certificate } => format!(
                "whether {certificate} is revoked is unknown: \"{}\" signed a CRL, but its own certificate does not allow that",
                ShortName(certificate.issuer())
            ),
            Self::NoTrustDomain { certificate, error } => {
                format!("{certificate} belongs to no trust domain: {}", error.cause())
            }
            Self::UnknownTrustDomain {
                certificate,
                trust_domain,
                known,
            } => format!(
                "unknown trust domain: {certificate} is of {}, and there are trust bundles for {known}",
                Escaped(trust_domain)
            ),
            Self::WrongUsage {
                certificate,
                wanted,
                present,
            } => format!("{certificate} is not for {wanted} (extendedKeyUsage: {present})"),
            Self::NameMismatch {
                certificate,
                expected,
                present,
            } => format!(
                "name mismatch: {certificate} is not valid for \"{}\": its names are {present}",
                Escaped(expected)
            ),
            Self::BreaksRfc5280 {
                certificate,
                rule,
                section,
            } => format!("{certificate} breaks RFC 5280 section {section}: {rule}"),
            Self::Invalid {
                certificate,
                problem,
            } => format!("path validation rejected {certificate}: {}", problem.cause()),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoCertificate => {
                "give it one that this side trusts (curl: --cert and --key)"
            }
            Self::TooLong { .. } => {
                "have it send its own and its intermediates only, and no bundle of roots"
            }
            Self::Malformed { source, .. } => return source.remedy(),
            Self::Version1 { .. } => return format!("issue version 3: {ISSUE_V3}").into(),
            Self::KeyTooLarge { .. } => "use a smaller one, or ECDSA P-256",
            Self::CaAsEndEntity { .. } => {
                "pin it, or issue a leaf certificate without CA:TRUE from it"
            }
            Self::EndEntityMaySign { .. } => "issue it without keyCertSign and cRLSign",
            Self::NoDigitalSignature { .. } => "issue it with digitalSignature",
            Self::IssuerMayNotSign { .. } => {
                "issue it with CA:TRUE and keyCertSign, or sign with an authority that may"
            }
            Self::Expired { .. } => "renew it, or set the clock",
            Self::NotYetValid { .. } => "if the clock is right, wait or reissue",
            Self::UnknownIssuer { alike: Some(_), .. } => {
                "issue it again with the CA's current certificate, so that the name is copied octet by octet, or compare names by RFC 5280 section 7.1 (NameMatching::Rfc5280)"
            }
            Self::UnknownIssuer { certificate, .. } if certificate.is_self_issued() => {
                "add that CA to the trust store, or pin the certificate if it is self-signed, or have the peer send its intermediates"
            }
            Self::UnknownIssuer { .. } => {
                "add that CA to the trust store, or have the peer send its intermediates"
            }
            Self::BadSignature {
                signer: Signer::ThisKey,
                ..
            } => "have its issuer hand it out again, or issue it anew",
            Self::BadSignature {
                is_presented: true, ..
            } => {
                "have the peer send the CA certificate with the key that signed it, or have it issued again by the present key"
            }
            Self::BadSignature { .. } => {
                "trust the CA certificate with the key that signed it too, or have it issued again by the known one"
            }
            Self::UnsupportedKey {
                certificate,
                root,
                problem,
            } if certificate.is_ca() || root.is_some() => {
                return format!("{}, then issue what is below it again too", problem.remedy()).into();
            }
            Self::UnsupportedKey { problem, .. } => return problem.remedy(),
            Self::UnsupportedAlgorithm { problem, .. } => return problem.remedy(),
            Self::NotPostQuantum {
                is_signature: false,
                ..
            } => {
                "issue it for an ML-DSA key (`openssl genpkey -algorithm ML-DSA-65 -out KEY.new.pem`, with OpenSSL 3.5 or later)"
            }
            Self::NotPostQuantum { .. } => {
                "have it issued by an authority with an ML-DSA key, up to the root"
            }
            Self::NotFips { .. } => {
                "issue it for an approved key: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.new.pem`, or RSA with 3,072 bits"
            }
            Self::TooManyCandidates { .. } => {
                "send only the certificates of the path, and issue them with key identifiers (subjectKeyIdentifier, authorityKeyIdentifier)"
            }
            Self::Revoked { .. } => "issue a new one for a new key",
            Self::UnknownRevocationStatus { certificate, cause } => {
                if !matches!(cause, StatusError::NoCrl | StatusError::OtherKey) {
                    return cause.remedy().into_owned().into();
                }
                return format!(
                    "load it, or declare with no_crl_from that \"{}\" publishes none",
                    ShortName(certificate.issuer())
                )
                .into();
            }
            Self::CrlExpired { .. } => "load a newer one",
            Self::MayNotSignCrls { .. } => "issue the CA's certificate with keyUsage cRLSign",
            Self::NoTrustDomain { .. } => "issue it with exactly one SPIFFE ID",
            Self::UnknownTrustDomain { .. } => "add one to federate",
            Self::WrongUsage {
                wanted: wanted @ "clientAuth",
                present,
                ..
            } if present.first().iter().any(|purpose| purpose == "serverAuth") => {
                return format!(
                    "issue it with extendedKeyUsage={wanted}. If it is of a public CA: those no longer issue clientAuth (issuing CAs since 2026-06-15, other certificates until 2027-03-15); accept serverAuth of clients with EkuPolicy::AcceptServerAuth"
                )
                .into();
            }
            Self::WrongUsage { wanted, .. } => {
                return format!("issue it with extendedKeyUsage={wanted}").into();
            }
            Self::NameMismatch { .. } => {
                "connect to one of them, or issue it with this name as a subjectAltName"
            }
            Self::BreaksRfc5280 { .. } => {
                "reissue it, or accept such certificates with Profile::Compatible"
            }
            Self::Invalid { problem, .. } => return problem.remedy(),
        }
        .into()
    }
}

display_diagnostic!(ChainError);
