//! The files of the suite, and the verdict of our verifier about a case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::pki::Crl;
use countersign::trust::{CertificatePolicies, ChainVerifier, Crls, Limits, NameMatching};
use countersign::{Certificate, Side, TrustStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use support::programs::{in_ci, is_there};

use super::case::{Case, Settings};

pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("PKITS_DIR").unwrap_or_default());
    folder_at(&folder, in_ci())
}

pub(crate) fn folder_at(folder: &Path, in_ci: bool) -> Option<PathBuf> {
    let what = if folder.as_os_str().is_empty() {
        "PKITS_DIR, the folder of NIST's test suite,".to_owned()
    } else {
        folder.display().to_string()
    };
    is_there(folder.join("certs").is_dir(), &what, in_ci).then(|| folder.to_path_buf())
}

const TRUST_ANCHOR: &str = "TrustAnchorRootCertificate";

/// A time at which all is valid that the suite does not mean to be invalid: 2020-01-01.
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800));

pub(crate) struct Folder {
    /// By file name, without the extension; `None` where our reader refuses the certificate.
    certificates: Vec<(String, Option<Certificate>)>,
    crls: Vec<(Name, Vec<u8>)>,
}

/// A name as it is encoded, and its text without white space and case: the suite has names that differ
/// only in them.
struct Name {
    der: Vec<u8>,
    text: String,
}

impl Name {
    fn of(name: &countersign::pki::DistinguishedName) -> Self {
        let text = name.to_string().to_lowercase();
        Self {
            der: name.der().to_vec(),
            text: text.split(['\\', ' ']).collect(),
        }
    }

    /// Whether a certificate mentions it, for example as its issuer or the issuer of its CRL.
    fn is_in(&self, certificate: &Certificate) -> bool {
        let mut parts = certificate.der().windows(self.der.len());
        parts.any(|part| part == self.der) || self.text == Self::of(certificate.issuer()).text
    }
}

impl Folder {
    pub(crate) fn read(folder: &Path) -> Self {
        let certificates = files(&folder.join("certs"))
            .into_iter()
            .map(|(name, der)| (name, Certificate::from_der(&der).ok()))
            .collect();
        let crls = files(&folder.join("crls"))
            .into_iter()
            .map(|(_, der)| (issuer_of_crl(&der), der))
            .collect();
        Self { certificates, crls }
    }

    /// The names of the end entities' files, without `EE.crt`.
    pub(crate) fn end_entities(&self) -> Vec<String> {
        let names = self.certificates.iter().map(|(name, _)| name);
        names
            .filter_map(|name| name.strip_suffix("EE").map(str::to_owned))
            .collect()
    }

    fn certificate(&self, name: &str) -> Option<&Certificate> {
        let mut all = self.certificates.iter();
        all.find(|(known, _)| known == name).unwrap().1.as_ref()
    }

    /// The end entity, and every certificate of an authority that one of these certificates mentions.
    fn presented<'a>(
        &'a self,
        anchor: &Certificate,
        end_entity: &'a Certificate,
    ) -> Vec<&'a Certificate> {
        let authorities: Vec<_> = self
            .certificates
            .iter()
            .filter(|(name, _)| !name.ends_with("EE"))
            .filter_map(|(_, certificate)| certificate.as_ref())
            .filter(|certificate| *certificate != anchor)
            .map(|certificate| (Name::of(certificate.subject()), certificate))
            .collect();
        let mut presented = vec![end_entity];
        let mut place = 0;
        while place < presented.len() {
            for (name, authority) in &authorities {
                if name.is_in(presented[place]) && !presented.contains(authority) {
                    presented.push(authority);
                }
            }
            place += 1;
        }
        presented
    }

    /// `Err` has the reason of the refusal.
    pub(crate) fn decide(&self, case: &Case, matching: NameMatching) -> Result<(), String> {
        let anchor = self.certificate(TRUST_ANCHOR).unwrap();
        let end_entity = self.certificate(&format!("{}EE", case.end_entity));
        let end_entity = end_entity.ok_or("malformed_certificate")?;
        let presented = self.presented(anchor, end_entity);
        let lists = self
            .crls
            .iter()
            .filter(|(issuer, _)| {
                issuer.der == anchor.subject().der()
                    || presented
                        .iter()
                        .any(|certificate| issuer.is_in(certificate))
            })
            .map(|(_, der)| Crl::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("CRL cannot be loaded: {}", error.reason()))?;
        let crls = Crls::new(lists).map_err(|error| error.reason().to_owned())?;
        let store = TrustStore::from_der([anchor.der().clone()])
            .unwrap()
            .name_matching(matching)
            .certificate_policies(policies(&case.settings));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let ders: Vec<CertificateDer<'_>> = presented
            .iter()
            .map(|certificate| certificate.der().clone())
            .collect();
        ChainVerifier::new(store, Side::Client, &provider)
            .limits(Limits::default().chain_length(ders.len()))
            .revocation(crls)
            .verify(&ders, NOW)
            .map(drop)
            .map_err(|error| error.reason().to_owned())
    }
}

fn policies(settings: &Settings) -> CertificatePolicies {
    let oids: Vec<String> = settings
        .policies
        .iter()
        .map(|last| format!("2.16.840.1.101.3.2.1.48.{last}"))
        .collect();
    let mut policies = match (&oids[..], settings.explicit) {
        ([], false) => CertificatePolicies::any(),
        ([], true) => CertificatePolicies::require(["2.5.29.32.0"]).unwrap(),
        _ => CertificatePolicies::require(oids).unwrap(),
    };
    if settings.inhibit_mapping {
        policies = policies.inhibit_mapping();
    }
    if settings.inhibit_any {
        policies = policies.inhibit_any_policy();
    }
    policies
}

/// `CertificateList ::= SEQUENCE { tbsCertList SEQUENCE { version INTEGER OPTIONAL, signature, issuer …`
fn issuer_of_crl(der: &[u8]) -> Name {
    let list = content(der);
    let mut rest = content(list);
    if rest[0] == 2 {
        rest = &rest[whole(rest).len()..];
    }
    let issuer = whole(&rest[whole(rest).len()..]);
    Name::of(&countersign::pki::DistinguishedName::parse(issuer).unwrap())
}

/// The first element of DER that is known to be well-formed.
fn whole(der: &[u8]) -> &[u8] {
    let (header, length) = lengths(der);
    &der[..header + length]
}

fn content(der: &[u8]) -> &[u8] {
    let (header, length) = lengths(der);
    &der[header..header + length]
}

fn lengths(der: &[u8]) -> (usize, usize) {
    match usize::from(der[1]) {
        short @ 0..=0x7f => (2, short),
        long => {
            let octets = &der[2..2 + (long & 0x7f)];
            let length = octets
                .iter()
                .fold(0, |sum, &octet| sum << 8 | usize::from(octet));
            (2 + octets.len(), length)
        }
    }
}

/// The files of a folder by name, without the extension.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}
