//! The texts of each finding: cause, remedy and commands.

use std::fmt;
use std::fmt::Write as _;

use rustls_pki_types::UnixTime;

use super::commands::{self, lines, reissue};
use super::extensions::describe_constraints;
use super::paths::Candidate;
use super::report::Finding;
use crate::diagnostic::Diagnostic as _;
use crate::identity::TrustDomain;
use crate::pki::key_id::{AuthorityKey, subject_key};
use crate::pki::name_difference::Differs;
use crate::pki::name_matching::names_match_rfc5280;
use crate::pki::named::{Named, describe_name};
use crate::pki::oid_names::NamedOid;
use crate::pki::text::{Brief, Escaped, Hex, Listed};
use crate::pki::time::Rfc3339;
use crate::pki::{AlgorithmError, Certificate, DistinguishedName, KeyError, ShortName};
use crate::side::Side;
use crate::trust::Unverifiable;

/// The distance of two times: `3 days`.
pub(super) struct Apart(pub(super) UnixTime, pub(super) UnixTime);

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs().abs_diff(self.1.as_secs());
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7_200 => (seconds / 60, "minute"),
            7_200..172_800 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

pub(super) fn finding(
    code: &'static str,
    certificate: Option<&Certificate>,
    (cause, remedy): (String, &str),
    commands: Vec<String>,
) -> Finding {
    Finding {
        code,
        certificate: certificate.cloned(),
        cause,
        remedy: remedy.to_owned(),
        commands,
    }
}

const SHOW_DATES: &str = "openssl x509 -in CERT.pem -noout -dates";
pub(super) const SHOW_CLOCK: &str = "date -u +%FT%TZ";
pub(super) const SHOW_CHAIN: &str =
    "openssl crl2pkcs7 -nocrl -certfile CHAIN.pem | openssl pkcs7 -print_certs -noout";

pub(super) fn expired(
    certificate: &Certificate,
    is_leaf: bool,
    usage: Side,
    now: UnixTime,
) -> Finding {
    let end = certificate.not_after();
    let cause = format!(
        "{} expired at {}, {} ago: our clock says {}",
        Named(certificate),
        Rfc3339(end),
        Apart(end, now),
        Rfc3339(now)
    );
    let remedy = if is_leaf {
        "renew it and have the peer load the new one, or set our clock if it is wrong"
    } else {
        "renew this authority's certificate and put it into the chains below it, or set our clock if it is wrong"
    };
    let mut try_this = lines([SHOW_DATES, SHOW_CLOCK]);
    try_this.extend(if is_leaf {
        reissue(certificate, usage, None)
    } else {
        commands::reissue_authority(crate::trust::path_length(certificate))
    });
    finding("expired", Some(certificate), (cause, remedy), try_this)
}

pub(super) fn not_yet_valid(certificate: &Certificate, now: UnixTime) -> Finding {
    let start = certificate.not_before();
    let cause = format!(
        "{} is not valid before {}, in {}: our clock says {}",
        Named(certificate),
        Rfc3339(start),
        Apart(start, now),
        Rfc3339(now)
    );
    let remedy =
        "set our clock if it is behind (NTP), or wait, or issue it with an earlier notBefore";
    let try_this = lines([SHOW_CLOCK, SHOW_DATES]);
    finding(
        "not_yet_valid",
        Some(certificate),
        (cause, remedy),
        try_this,
    )
}

/// No certificate of the path is valid yet, the root included.
pub(super) fn clock_wrong(youngest: &Certificate, oldest: &Certificate, now: UnixTime) -> Finding {
    let start = oldest.not_before();
    let cause = format!(
        "our clock is wrong: it says {}, and every certificate of the path is younger: the oldest, {}, is valid from {}, {} later",
        Rfc3339(now),
        Named(oldest),
        Rfc3339(start),
        Apart(start, now)
    );
    let remedy = "set this machine's clock (NTP), then try again";
    let try_this = lines([SHOW_CLOCK, SHOW_DATES]);
    finding("clock_wrong", Some(youngest), (cause, remedy), try_this)
}

pub(super) fn invalid_validity(certificate: &Certificate) -> Finding {
    let cause = format!(
        "{} is never valid: its notBefore {} is after its notAfter {}",
        Named(certificate),
        Rfc3339(certificate.not_before()),
        Rfc3339(certificate.not_after())
    );
    let remedy = "issue it again with notBefore before notAfter";
    finding(
        "invalid_validity",
        Some(certificate),
        (cause, remedy),
        lines([SHOW_DATES]),
    )
}

/// No certificate or root has the name of a certificate's issuer.
pub(super) struct Missing<'a> {
    /// The last certificate of the path.
    pub(super) top: &'a Certificate,
    pub(super) is_leaf: bool,
    /// The number of certificates that were presented after the leaf.
    pub(super) sent: usize,
    pub(super) roots: Vec<DistinguishedName>,
    /// Evidence for a missing intermediate, such as that its own issuer is known.
    pub(super) evidence: Option<String>,
    /// Whether the certificate says where to fetch its issuer's certificate. This is no evidence for an
    /// intermediate: certificates below a root say so too.
    pub(super) says_where: bool,
    pub(super) has_pins: bool,
}

impl Missing<'_> {
    pub(super) fn finding(&self) -> Finding {
        let (top, issuer) = (self.top, ShortName(self.top.issuer()));
        let mut trusted = format!("this side trusts {}", Listed(&self.roots));
        if self.roots.is_empty() && self.has_pins {
            trusted = "this side trusts pins only".into();
        }
        let sent = match self.sent {
            0 => "its own certificate alone",
            1 => "its own certificate and an unrelated one",
            _ => "its own certificate and unrelated ones",
        };
        if let Some(evidence) = &self.evidence {
            let cause = format!(
                "the intermediate \"{issuer}\", which issued {}, is missing: the peer sent {sent}, and {evidence}",
                Named(top)
            );
            let remedy = "have the peer send it (its certificate file has its own certificate first, then each issuer's), or add it to this side as an extra intermediate";
            return finding(
                "missing_intermediate",
                Some(top),
                (cause, remedy),
                complete_chain(),
            );
        }
        if !self.is_leaf {
            let cause = format!(
                "the chain ends at {}, whose issuer \"{issuer}\" is not trusted here: {trusted}",
                Named(top)
            );
            let remedy = "add that root to the trust store if you trust it, have the peer get a certificate from a trusted CA, or, if it is an intermediate, have the peer send it too";
            return finding("untrusted_root", Some(top), (cause, remedy), add_root());
        }
        let cause = format!(
            "the issuer of {} is missing: the peer sent {sent}, nothing of \"{issuer}\", and {trusted}{}",
            Named(top),
            if self.says_where {
                " (the certificate says where to fetch its issuer's: authorityInfoAccess)"
            } else {
                ""
            }
        );
        let remedy = "if it is an intermediate, have the peer send it after its own certificate, and if it is a root, add it to the trust store, or have the peer get a certificate from a trusted CA";
        let mut try_this = complete_chain();
        try_this.insert(
            1,
            "openssl x509 -in CERT.pem -noout -issuer -ext authorityInfoAccess,authorityKeyIdentifier".into(),
        );
        finding("missing_issuer", Some(top), (cause, remedy), try_this)
    }
}

fn complete_chain() -> Vec<String> {
    lines([
        SHOW_CHAIN,
        "openssl verify -CAfile ROOTS.pem -untrusted CA.pem CERT.pem",
        "cat CERT.pem CA.pem > CHAIN.pem",
    ])
}

fn add_root() -> Vec<String> {
    lines([
        SHOW_CHAIN,
        "openssl x509 -in CA.pem -noout -subject -fingerprint -sha256",
        "cat CA.pem >> ROOTS.pem",
    ])
}

pub(super) fn untrusted_root(top: &Certificate, roots: &[DistinguishedName]) -> Finding {
    let cause = format!(
        "the chain is complete, and its root {} is not trusted here: this side trusts {}",
        Named(top),
        Listed(roots)
    );
    let remedy = "add that root to the trust store if you trust it, or have the peer get a certificate from a trusted CA";
    finding("untrusted_root", Some(top), (cause, remedy), add_root())
}

pub(super) fn self_signed(leaf: &Certificate) -> Finding {
    let cause = format!("{} is self-signed: no CA vouches for it", Named(leaf));
    let remedy = "pin exactly this certificate, or issue one from a CA that is trusted here";
    let try_this = lines(["openssl x509 -in CERT.pem -noout -subject -fingerprint -sha256"]);
    finding("self_signed", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn root_of_other_trust_domain(
    top: &Certificate,
    own: &TrustDomain,
    other: &TrustDomain,
) -> Finding {
    let cause = format!(
        "\"{}\", which issued {}, vouches only for the trust domain {other}, and the certificate is of {own}",
        ShortName(top.issuer()),
        Named(top)
    );
    let remedy = "issue it from an authority of its own trust domain, or correct its SPIFFE ID";
    finding(
        "root_of_other_trust_domain",
        Some(top),
        (cause, remedy),
        Vec::new(),
    )
}

pub(super) fn issuer_name_differs(
    top: &Certificate,
    signer: Option<&DistinguishedName>,
) -> Finding {
    let mut cause = format!(
        "{} was signed by a known key under another name: its issuer is \"{}\"",
        Named(top),
        ShortName(top.issuer())
    );
    let mut is_alike = false;
    if let Some(name) = signer {
        is_alike = names_match_rfc5280(name, top.issuer());
        let _ = write!(
            cause,
            ", and the name of that key is \"{}\"",
            ShortName(name)
        );
        if is_alike {
            let differs = Differs {
                wanted: top.issuer(),
                known: name,
            };
            let _ = write!(cause, ", the same name in another encoding: {differs}");
        }
    }
    let remedy = if is_alike {
        "issue it again with the authority's current certificate, so that the name is copied octet by octet, or compare names by RFC 5280 section 7.1 (NameMatching::Rfc5280)"
    } else {
        "issue it with the authority's current certificate: names are compared octet by octet, so UTF8String and PrintableString differ"
    };
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -issuer -nameopt multiline,show_type",
        "openssl x509 -in CA.pem -noout -subject -nameopt multiline,show_type",
    ]);
    finding("issuer_name_differs", Some(top), (cause, remedy), try_this)
}

/// There are candidates of the issuer's name, and none of their keys made the signature. The first of
/// them is the most likely.
pub(super) fn bad_signature(
    top: &Certificate,
    named: &[Candidate<'_>],
    is_presented: bool,
) -> Finding {
    let wanted = AuthorityKey::of(top).key;
    let keys: Vec<&[u8]> = named
        .iter()
        .filter_map(|candidate| candidate.certificate())
        .filter_map(subject_key)
        .collect();
    let show_keys = lines([
        "openssl x509 -in CERT.pem -noout -issuer -ext authorityKeyIdentifier",
        "openssl x509 -in CA.pem -noout -subject -ext subjectKeyIdentifier",
        "openssl verify -partial_chain -CAfile CA.pem CERT.pem",
    ]);
    let issuer = ShortName(top.issuer());
    let known = if is_presented {
        "the one that the peer sent"
    } else {
        "the one that is known here"
    };
    let other_key = if is_presented {
        "if the authority was re-keyed, have the peer send its certificate with the key that signed, or have the certificate issued again by the present key"
    } else {
        "add the authority's certificate with the other key to the trust store if it was re-keyed, or have the certificate issued by the trusted authority"
    };
    match wanted {
        Some(wanted) if keys.contains(&wanted) => {
            let cause = format!(
                "the signature of {} is wrong: it names the key of \"{issuer}\" as its signer, and that key did not make it, so the certificate was changed after it was signed: it is damaged or forged",
                Named(top)
            );
            let remedy = "get it from its issuer again and compare the two, and do not trust this one if they differ";
            finding("bad_signature", Some(top), (cause, remedy), show_keys)
        }
        Some(wanted) if !keys.is_empty() => {
            let shown: Vec<Hex<'_>> = keys.iter().map(|key| Hex(key)).collect();
            let cause = format!(
                "there are two authorities named \"{issuer}\", or it was re-keyed under its name: {} was signed by the key {}, and {known} has {}",
                Named(top),
                Brief(Hex(wanted)),
                Listed(&shown)
            );
            finding(
                "same_name_other_key",
                Some(top),
                (cause, other_key),
                show_keys,
            )
        }
        _ => {
            let cause = format!(
                "there is an authority named \"{issuer}\", {known}, and its key did not sign {}: it was re-keyed under its name, another authority has the same name, or the certificate was changed after it was signed",
                Named(top)
            );
            finding("bad_signature", Some(top), (cause, other_key), show_keys)
        }
    }
}

/// The signature of a certificate cannot be verified with any key.
pub(super) fn unverifiable(
    top: &Certificate,
    issuer: Candidate<'_>,
    why: &Unverifiable,
) -> Finding {
    match why {
        Unverifiable::Algorithm(problem) => unsupported_algorithm(top, problem),
        Unverifiable::Key(problem) => match issuer {
            Candidate::Certificate(issuer) => unsupported_key(issuer, None, problem),
            Candidate::Root(root) => match &root.certificate {
                Some(certificate) => unsupported_key(certificate, None, problem),
                None => unsupported_key(top, root.name.as_ref(), problem),
            },
        },
    }
}

pub(super) fn unsupported_algorithm(top: &Certificate, problem: &AlgorithmError) -> Finding {
    let cause = format!(
        "the signature of {} cannot be verified here: {}",
        Named(top),
        problem.cause()
    );
    finding(
        "unsupported_algorithm",
        Some(top),
        (cause, &problem.remedy()),
        lines(["openssl x509 -in CERT.pem -noout -text | grep 'Signature Algorithm'"]),
    )
}

/// `root` is the root with the key, where `certificate` is the one that it issued.
pub(super) fn unsupported_key(
    certificate: &Certificate,
    root: Option<&DistinguishedName>,
    problem: &KeyError,
) -> Finding {
    let whose = match root {
        None => Named(certificate).to_string(),
        Some(root) => format!(
            "the root \"{}\", which issued {},",
            ShortName(root),
            Named(certificate)
        ),
    };
    let cause = format!(
        "no signature of the key of {whose} can be verified here: {}",
        problem.cause()
    );
    let mut remedy = problem.remedy().into_owned();
    if certificate.is_ca() || root.is_some() {
        remedy.push_str(", then issue what is below it again too");
    }
    finding(
        "unsupported_key",
        Some(certificate),
        (cause, &remedy),
        lines(["openssl x509 -in CERT.pem -noout -pubkey | openssl pkey -pubin -noout -text"]),
    )
}

pub(super) fn issuer_may_not_sign(issuer: &Certificate) -> Finding {
    let why = if issuer.is_ca() {
        "its keyUsage lacks keyCertSign"
    } else {
        "it is no CA (basicConstraints)"
    };
    let cause = format!(
        "{} is an issuer in the path and may not sign certificates: {why}",
        Named(issuer)
    );
    let remedy = "issue this authority's certificate again with CA:TRUE and keyCertSign, or sign with another authority";
    let try_this = commands::reissue_authority(None);
    finding(
        "issuer_may_not_sign",
        Some(issuer),
        (cause, remedy),
        try_this,
    )
}

pub(super) fn path_length(issuer: &Certificate, allowed: usize, below: usize) -> Finding {
    let cause = format!(
        "{} allows {allowed} authorities below itself (pathLenConstraint), and there are {below}",
        Named(issuer)
    );
    let remedy = "issue the leaf from an authority nearer to the root, or this authority's certificate with a greater path length";
    let try_this = commands::reissue_authority(Some(below));
    finding("path_length", Some(issuer), (cause, remedy), try_this)
}

pub(super) fn path_too_deep(leaf: &Certificate, issuers: usize, most: usize) -> Finding {
    let cause = format!("the path has {issuers} intermediates, over the limit of {most}");
    let remedy = "issue the certificate from an authority nearer to its root, or raise Limits::intermediates";
    finding(
        "path_too_deep",
        Some(leaf),
        (cause, remedy),
        lines([SHOW_CHAIN]),
    )
}

/// `holder` is the authority, or a root without its certificate.
pub(super) fn name_constraints(leaf: &Certificate, holder: &str, constraints: &[u8]) -> Finding {
    let names = leaf.subject_alternative_names().unwrap_or_default();
    let mut all: Vec<String> = names.iter().map(describe_name).collect();
    if !leaf.subject().is_empty() {
        all.insert(0, format!("\"{}\"", ShortName(leaf.subject())));
    }
    let cause = format!(
        "{} has a name that {holder} may not vouch for: it {}, and the names are {}",
        Named(leaf),
        describe_constraints(constraints),
        Listed(&all)
    );
    let remedy = "issue it from an authority that may vouch for these names, or without the name that is not allowed";
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -subject -ext subjectAltName",
        "openssl x509 -in CA.pem -noout -ext nameConstraints",
    ]);
    finding("name_constraints", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn critical_extension(certificate: &Certificate, oid: &str) -> Finding {
    let cause = format!(
        "{} has the critical extension {}, which path validation does not support and must not ignore",
        Named(certificate),
        NamedOid(oid)
    );
    let remedy = "issue it without this extension, or mark the extension as not critical";
    let try_this = lines(["openssl x509 -in CERT.pem -noout -text"]);
    finding(
        "critical_extension",
        Some(certificate),
        (cause, remedy),
        try_this,
    )
}

pub(super) fn wrong_usage_of_issuer(
    issuer: &Certificate,
    usage: Side,
    present: &[String],
) -> Finding {
    let cause = format!(
        "{} is an issuer in the path and is not for {} (extendedKeyUsage: {}), which limits what it issues",
        Named(issuer),
        usage.usage(),
        Listed(present)
    );
    let remedy = "issue the leaf from an authority for this use, or this authority's certificate without extendedKeyUsage";
    let try_this = commands::reissue_authority(crate::trust::path_length(issuer));
    finding(
        "wrong_extended_key_usage",
        Some(issuer),
        (cause, remedy),
        try_this,
    )
}

pub(super) fn key_mismatch(leaf: &Certificate) -> Finding {
    let cause = format!("the private key does not belong to {}", Named(leaf));
    let remedy = "use the key that the certificate was requested with, or request a new certificate for this key (both commands print the same for a pair)";
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -pubkey",
        "openssl pkey -in KEY.pem -pubout",
    ]);
    finding("key_mismatch", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn unusable_key(leaf: Option<&Certificate>, problem: &str) -> Finding {
    let cause = format!("the private key cannot be used: {}", Escaped(problem));
    let remedy = "use an unencrypted PKCS#8 key for ECDSA P-256 or P-384, Ed25519 or RSA";
    let try_this = lines(["openssl pkey -in KEY.pem -noout -text_pub"]);
    finding("unusable_key", leaf, (cause, remedy), try_this)
}
