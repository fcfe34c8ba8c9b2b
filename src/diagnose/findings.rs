//! Each finding in words: the cause, the remedy, and commands.

use std::fmt;
use std::fmt::Write as _;

use rustls_pki_types::UnixTime;

use super::commands::{self, lines, reissue};
use super::extensions::{AuthorityKey, describe_constraints, describe_name, subject_key};
use super::paths::{AtHand, Candidate};
use super::report::Finding;
use crate::pki::text::{Hex, Listed};
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, DistinguishedName};
use crate::trust::{ChainError, Usage};

/// A certificate by the shortest name that it has: `"CN=alice"`.
pub(crate) struct Named<'a>(pub(crate) &'a Certificate);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.0;
        if !certificate.subject().is_empty() {
            return write!(f, "\"{}\"", certificate.subject());
        }
        match certificate.subject_alternative_names().map(<[_]>::first) {
            Ok(Some(name)) => write!(f, "\"{}\"", describe_name(name)),
            _ => write!(f, "with serial {}", certificate.serial()),
        }
    }
}

/// How far a time is from ours: `3 days`.
struct Apart(UnixTime, UnixTime);

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

fn finding(
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
const SHOW_CLOCK: &str = "date -u +%FT%TZ";
const SHOW_CHAIN: &str =
    "openssl crl2pkcs7 -nocrl -certfile CHAIN.pem | openssl pkcs7 -print_certs -noout";

pub(super) fn expired(
    certificate: &Certificate,
    is_leaf: bool,
    usage: Usage,
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
        "renew it, and have the peer load the new one; if the clock is wrong, set it"
    } else {
        "renew this authority's certificate and put it into the chains below it; if the clock is wrong, set it"
    };
    let mut try_this = lines([SHOW_DATES, SHOW_CLOCK]);
    try_this.extend(if is_leaf {
        reissue(certificate, usage, None)
    } else {
        commands::reissue_authority(super::extensions::path_length(certificate))
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
        "if our clock is behind, set it (NTP); if not, wait, or issue it with an earlier notBefore";
    let try_this = lines([SHOW_CLOCK, SHOW_DATES]);
    finding(
        "not_yet_valid",
        Some(certificate),
        (cause, remedy),
        try_this,
    )
}

/// Nothing on the path is valid yet, the root included.
pub(super) fn clock_wrong(youngest: &Certificate, oldest: &Certificate, now: UnixTime) -> Finding {
    let start = oldest.not_before();
    let cause = format!(
        "our clock is wrong: it says {}, and no certificate of the path is that old, not even {}, valid from {}, {} later",
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
        "{} is valid at no time: its notBefore {} comes after its notAfter {}",
        Named(certificate),
        Rfc3339(certificate.not_before()),
        Rfc3339(certificate.not_after())
    );
    let remedy = "issue it anew with the two in order";
    finding(
        "invalid_validity",
        Some(certificate),
        (cause, remedy),
        lines([SHOW_DATES]),
    )
}

/// Nobody bears the name of a certificate's issuer.
pub(super) struct Missing<'a> {
    /// The last certificate of the path.
    pub(super) top: &'a Certificate,
    pub(super) is_leaf: bool,
    /// How many certificates were presented behind the leaf.
    pub(super) sent: usize,
    pub(super) roots: Vec<DistinguishedName>,
    /// What speaks for an intermediate: that its own issuer is known, say.
    pub(super) evidence: Option<String>,
    pub(super) has_pins: bool,
}

impl Missing<'_> {
    pub(super) fn finding(&self) -> Finding {
        let (top, issuer) = (self.top, self.top.issuer());
        let mut trusted = format!("this side trusts {}", Listed(&self.roots));
        if self.roots.is_empty() && self.has_pins {
            trusted = "this side trusts pins only".into();
        }
        let sent = match self.sent {
            0 => "its own certificate alone",
            1 => "its own certificate, and one of somebody else",
            _ => "its own certificate, and those of others",
        };
        if let Some(evidence) = &self.evidence {
            let cause = format!(
                "the intermediate \"{issuer}\" is missing, which issued {}: the peer sent {sent}, and {evidence}",
                Named(top)
            );
            let remedy = "have the peer send it: its certificate file holds its own certificate first, then each issuer's; or give it to this side as an extra intermediate";
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
            let remedy = "add that root to the trust store if you mean to trust it, or have the peer get a certificate from a CA that is; if it is an intermediate, have the peer send it too";
            return finding("untrusted_root", Some(top), (cause, remedy), add_root());
        }
        let cause = format!(
            "the issuer of {} is missing: the peer sent {sent}, nothing of \"{issuer}\", and {trusted}",
            Named(top)
        );
        let remedy = "if it is an intermediate, have the peer send it behind its own certificate; if it is a root, add it to the trust store, or have the peer get a certificate from a CA that is there";
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
        "the chain is whole, and its root {} is not trusted here: this side trusts {}",
        Named(top),
        Listed(roots)
    );
    let remedy = "add that root to the trust store if you mean to trust it, or have the peer get a certificate from a CA that is";
    finding("untrusted_root", Some(top), (cause, remedy), add_root())
}

pub(super) fn self_signed(leaf: &Certificate) -> Finding {
    let cause = format!("{} is self-signed: nobody vouches for it", Named(leaf));
    let remedy = "pin exactly this certificate, or issue one from a CA that is trusted here";
    let try_this = lines(["openssl x509 -in CERT.pem -noout -subject -fingerprint -sha256"]);
    finding("self_signed", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn root_of_other_trust_domain(top: &Certificate, own: &str, other: &str) -> Finding {
    let cause = format!(
        "\"{}\", which issued {}, vouches for the trust domain {other} alone, and the certificate is of {own}",
        top.issuer(),
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
        "{} was signed by a key that is here, under another name: it says \"{}\"",
        Named(top),
        top.issuer()
    );
    if let Some(name) = signer {
        let alike = name.to_string() == top.issuer().to_string();
        let encoding = if alike {
            ", which looks alike and is encoded in another way"
        } else {
            ""
        };
        let _ = write!(cause, ", and that authority is \"{name}\"{encoding}");
    }
    let remedy = "issue it from the authority's present certificate: names are compared octet by octet, UTF8String and PrintableString differ";
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -issuer -nameopt multiline,show_type",
        "openssl x509 -in CA.pem -noout -subject -nameopt multiline,show_type",
    ]);
    finding("issuer_name_differs", Some(top), (cause, remedy), try_this)
}

/// Somebody bears the issuer's name, and nobody's key made the signature.
pub(super) fn bad_signature(top: &Certificate, named: &[Candidate<'_>]) -> Finding {
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
    let issuer = top.issuer();
    match wanted {
        Some(wanted) if keys.contains(&wanted) => {
            let cause = format!(
                "the signature of {} is wrong: the key of \"{issuer}\" that it names did not make it, so it was forged or damaged",
                Named(top)
            );
            let remedy = "do not trust it; issue it again, and see who made this one";
            finding("bad_signature", Some(top), (cause, remedy), show_keys)
        }
        Some(wanted) if !keys.is_empty() => {
            let shown: Vec<String> = keys.iter().map(|key| Hex(key).to_string()).collect();
            let cause = format!(
                "there are two authorities named \"{issuer}\", or it got a new key: {} was signed by the key {}, and the one here has {}",
                Named(top),
                Hex(wanted),
                Listed(&shown)
            );
            let remedy = "if the authority's key was replaced, add its new certificate to the trust store beside the old one; if not, have the certificate issued by the authority that is trusted";
            finding("same_name_other_key", Some(top), (cause, remedy), show_keys)
        }
        _ => {
            let cause = format!(
                "an authority named \"{issuer}\" is here, and its key did not sign {}: its key was replaced, another bears its name, or the certificate was forged",
                Named(top)
            );
            let remedy = "compare the authority's certificate with that of the one who issued it, and add the latter to the trust store if you mean to trust it";
            finding("bad_signature", Some(top), (cause, remedy), show_keys)
        }
    }
}

pub(super) fn unsupported_algorithm(top: &Certificate) -> Finding {
    let cause = format!(
        "{} is signed by an algorithm that is not supported here, such as SHA-1, MD5 or DSA",
        Named(top)
    );
    let remedy = "issue it with ECDSA, Ed25519, or RSA with SHA-256";
    let try_this = lines(["openssl x509 -in CERT.pem -noout -text | grep 'Signature Algorithm'"]);
    finding(
        "unsupported_algorithm",
        Some(top),
        (cause, remedy),
        try_this,
    )
}

pub(super) fn issuer_may_not_sign(issuer: &Certificate) -> Finding {
    let why = if issuer.is_ca() {
        "its keyUsage lacks keyCertSign"
    } else {
        "it is no CA (basicConstraints)"
    };
    let cause = format!(
        "{} stands as an issuer in the path and may not sign certificates: {why}",
        Named(issuer)
    );
    let remedy = "issue this authority's certificate anew with CA:TRUE and keyCertSign, or sign with one that may";
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
    let remedy =
        "issue the leaf higher up, or this authority's certificate with a greater path length";
    let try_this = commands::reissue_authority(Some(below));
    finding("path_length", Some(issuer), (cause, remedy), try_this)
}

pub(super) fn path_too_deep(leaf: &Certificate, issuers: usize, most: usize) -> Finding {
    let cause = format!("the path has {issuers} intermediates, and at most {most} are followed");
    let remedy = "issue the certificate from an authority nearer to its root";
    finding(
        "path_too_deep",
        Some(leaf),
        (cause, remedy),
        lines([SHOW_CHAIN]),
    )
}

/// `holder` is the authority, or a root that came without its certificate.
pub(super) fn name_constraints(leaf: &Certificate, holder: &str, constraints: &[u8]) -> Finding {
    let names = leaf.subject_alternative_names().unwrap_or_default();
    let mut all: Vec<String> = names.iter().map(describe_name).collect();
    if !leaf.subject().is_empty() {
        all.insert(0, format!("\"{}\"", leaf.subject()));
    }
    let cause = format!(
        "{} has a name that {holder} may not vouch for: it {}, and the names are {}",
        Named(leaf),
        describe_constraints(constraints),
        Listed(&all)
    );
    let remedy = "issue it from an authority that may vouch for these names, or without the one that is not allowed";
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -subject -ext subjectAltName",
        "openssl x509 -in CA.pem -noout -ext nameConstraints",
    ]);
    finding("name_constraints", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn critical_extension(certificate: &Certificate, oid: &str) -> Finding {
    let cause = format!(
        "{} has the critical extension {oid}, which path validation does not know and must not pass over",
        Named(certificate)
    );
    let remedy = "issue it without this extension, or with the extension not critical";
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
    usage: Usage,
    present: &[String],
) -> Finding {
    let cause = format!(
        "{} stands as an issuer in the path and is not for {} (extendedKeyUsage: {}), which limits what it issues",
        Named(issuer),
        usage.name(),
        Listed(present)
    );
    let remedy = "issue the leaf from an authority for this use, or this authority's certificate without extendedKeyUsage";
    let try_this = commands::reissue_authority(super::extensions::path_length(issuer));
    finding(
        "wrong_extended_key_usage",
        Some(issuer),
        (cause, remedy),
        try_this,
    )
}

pub(super) fn key_mismatch(leaf: &Certificate) -> Finding {
    let cause = format!("the private key does not belong to {}", Named(leaf));
    let remedy = "use the key that the certificate was requested with, or request a new certificate for this key; both commands print the same when they fit";
    let try_this = lines([
        "openssl x509 -in CERT.pem -noout -pubkey",
        "openssl pkey -in KEY.pem -pubout",
    ]);
    finding("key_mismatch", Some(leaf), (cause, remedy), try_this)
}

pub(super) fn unusable_key(leaf: Option<&Certificate>, problem: &str) -> Finding {
    let cause = format!(
        "the private key cannot be used: {}",
        crate::pki::text::Escaped(problem)
    );
    let remedy = "use an unencrypted PKCS#8 key for ECDSA P-256 or P-384, Ed25519 or RSA";
    let try_this = lines(["openssl pkey -in KEY.pem -noout -text_pub"]);
    finding("unusable_key", leaf, (cause, remedy), try_this)
}

/// What the verifier refused by itself.
pub(super) fn of_error(error: &ChainError, usage: Usage, at_hand: Option<&AtHand<'_>>) -> Finding {
    use ChainError as E;

    let about = error.certificate();
    // Display tells a remedy too, behind a semicolon.
    let line = error.to_string();
    let whole = line.split("; ").next().unwrap_or_default().to_owned();
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
            format!("certificate {position} of the chain cannot be read: {source}"),
            "issue it anew, with a tool that writes DER",
            lines([
                "openssl asn1parse -in CERT.pem -i",
                "openssl x509 -in CERT.pem -noout -text",
            ]),
        ),
        E::Version1 { certificate } => (
            format!(
                "{} is X.509 version 1, which TLS peers refuse",
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
                "{} is a CA certificate, and the peer uses it as its own (`openssl req -x509` makes such)",
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
                "{} may sign certificates or CRLs (keyUsage: {bits}), which a peer must not",
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
                Listed(present)
            ),
            match usage {
                Usage::Client => "issue it with extendedKeyUsage=clientAuth",
                Usage::Server => "issue it with extendedKeyUsage=serverAuth",
            },
            reissue(certificate, usage, None),
        ),
        E::NoTrustDomain { certificate, error } => (
            format!("{} belongs to no trust domain: {error}", Named(certificate)),
            "issue it with exactly one URI SAN, a SPIFFE ID",
            lines(["openssl x509 -in CERT.pem -noout -ext subjectAltName"]),
        ),
        E::UnknownTrustDomain {
            certificate,
            trust_domain,
            known,
        } => (
            format!(
                "{} is of the trust domain {}, and there are bundles for {} only",
                Named(certificate),
                crate::pki::text::Escaped(trust_domain),
                Listed(known)
            ),
            "federate: add the bundle of that trust domain; or correct the SPIFFE ID",
            lines(["openssl x509 -in CERT.pem -noout -ext subjectAltName"]),
        ),
        E::Revoked { certificate, crl } => (
            format!(
                "{} is revoked, by CRL {crl} of its issuer",
                Named(certificate)
            ),
            "it stays refused: issue a new certificate for a new key",
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
                "whether {} is revoked is unknown: the CRL of \"{}\" was due to be replaced at {}, {} ago, and our clock says {}",
                Named(certificate),
                certificate.issuer(),
                Rfc3339(*next_update),
                Apart(*next_update, *now),
                Rfc3339(*now)
            ),
            "load the newer one that its issuer has published, and see why it did not come; a grace bridges late ones",
            lines([
                "openssl crl -in CRL.pem -noout -issuer -lastupdate -nextupdate",
                SHOW_CLOCK,
            ]),
        ),
        E::UnknownRevocationStatus { certificate, cause } => (
            format!(
                "whether {} is revoked is unknown: {cause}",
                Named(certificate)
            ),
            "load the CRL of its issuer; or declare with no_crl_from that this issuer publishes none",
            lines([
                "openssl x509 -in CERT.pem -noout -issuer -ext crlDistributionPoints",
                "openssl crl -in CRL.pem -noout -issuer -lastupdate -nextupdate",
            ]),
        ),
        E::MayNotSignCrls { certificate } => (
            format!(
                "whether {} is revoked is unknown: the certificate of \"{}\" does not allow it to sign CRLs",
                Named(certificate),
                certificate.issuer()
            ),
            "issue that authority's certificate with keyUsage cRLSign",
            commands::reissue_authority(None),
        ),
        E::NameMismatch {
            certificate,
            expected,
            present,
        } => (
            format!(
                "{} is not valid for \"{}\", the name that was dialled: its names are {}",
                Named(certificate),
                crate::pki::text::Escaped(expected),
                Listed(present)
            ),
            "dial one of its names, or issue it with this name as a subjectAltName (the common name does not count)",
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
            "reissue it, or accept such certificates with Profile::Compatible",
            lines(["openssl x509 -in CERT.pem -noout -text"]),
        ),
        E::IssuerMayNotSign { certificate } => return issuer_may_not_sign(certificate),
        E::BadSignature { certificate } => {
            let named =
                at_hand.map_or_else(Vec::new, |at_hand| at_hand.named_as_issuer_of(certificate));
            return bad_signature(certificate, &named);
        }
        // What the walk has not found by itself.
        E::Expired { .. } | E::NotYetValid { .. } | E::UnknownIssuer { .. } | E::Invalid { .. } => {
            (
                whole,
                "see what path validation says, and issue the certificate anew",
                lines([
                    SHOW_CHAIN,
                    "openssl verify -CAfile ROOTS.pem -untrusted CHAIN.pem CERT.pem",
                ]),
            )
        }
    };
    finding(error.reason(), about, (cause, remedy), try_this)
}
