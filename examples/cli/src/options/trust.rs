//! Which peers to trust: roots, pins, trust domains and revocation lists.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use countersign::identity::{IdentityError, TrustDomain};
use countersign::pki::CrlNumber;
use countersign::pki_types::CertificateDer;
use countersign::pki_types::pem::PemObject as _;
use countersign::trust::{
    BundleError, CrlError, CrlLoader, Crls, DeltaCrls, Revocation, Trust, TrustBundles, TrustError,
    UnknownStatus, UnusableFiles,
};
use countersign::{Certificate, TrustStore};

/// Which peers to trust.
#[derive(Clone, Debug, clap::Args)]
pub struct TrustOptions {
    /// Trust peers whose certificates lead to these roots: a PEM file, or a folder of them
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Trust exactly this certificate, self-signed or not (PEM)
    #[arg(long, value_name = "FILE")]
    pin: Vec<PathBuf>,
    /// Trust members of this SPIFFE trust domain, by its own roots and no others: PEM, or a
    /// SPIFFE bundle (*.json)
    #[arg(long, value_name = "NAME=FILE", value_parser = domain_and_file)]
    #[arg(conflicts_with_all = ["trust", "pin", "intermediate"])]
    trust_domain: Vec<(TrustDomain, PathBuf)>,
    /// Intermediate certificates for peers that send only their own (PEM)
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// Reject certificates that these CRLs revoke (PEM or DER): a file, or a folder of them
    #[arg(long, value_name = "FILE|DIR")]
    crl: Vec<PathBuf>,
    /// The decision on a certificate whose revocation status no CRL gives
    #[arg(long, value_enum, value_name = "allow|deny", default_value_t = Unknown::Deny)]
    #[arg(hide_possible_values = true, requires = "crl")]
    unknown_revocation: Unknown,
    /// Whether a CRL must have a number: optional for those of easy-rsa, cfssl, NSS and keytool
    #[arg(long, value_enum, value_name = "required|optional", default_value_t = Number::Required)]
    #[arg(hide_possible_values = true, requires = "crl")]
    crl_number: Number,
    /// Skip delta CRLs instead of applying them to the complete CRL
    #[arg(long, requires = "crl")]
    skip_delta_crls: bool,
    /// Skip files of a CRL folder that cannot be used, with a warning
    #[arg(long, requires = "crl")]
    skip_unusable_crls: bool,
    /// This issuer publishes no CRL: its name as `countersign inspect` prints it, or its certificate (PEM)
    #[arg(long, value_name = "DN|FILE", requires = "crl")]
    no_crl_issuer: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unknown {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Number {
    Required,
    Optional,
}

/// The trust that the options describe.
pub struct TrustSettings {
    pub trust: Trust,
    pub revocation: Option<Revocation>,
}

/// Why the files of the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustOptionsError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Crl(#[from] CrlError),
    #[error("--no-crl-issuer {issuer}: {problem}")]
    Issuer { issuer: String, problem: String },
}

impl TrustOptionsError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Trust(error) => error.reason(),
            Self::Bundle(error) => error.reason(),
            Self::Crl(error) => error.reason(),
            Self::Issuer { .. } => "unreadable_issuer",
        }
    }
}

impl TrustOptions {
    /// Everything that the options trust, added to `store`.
    pub fn read(&self, store: TrustStore) -> Result<TrustSettings, TrustOptionsError> {
        Ok(TrustSettings {
            trust: self.read_trust(store)?,
            revocation: self.read_revocation()?,
        })
    }

    pub fn read_trust(&self, store: TrustStore) -> Result<Trust, TrustOptionsError> {
        Ok(if self.trust_domain.is_empty() {
            self.one_store(store)?.into()
        } else {
            self.bundles()?.into()
        })
    }

    /// The files and folders of trusted certificates.
    pub fn trust_paths(&self) -> Vec<PathBuf> {
        let domains = self.trust_domain.iter().map(|(_, file)| file);
        let others = self.trust.iter().chain(&self.pin).chain(&self.intermediate);
        domains.chain(others).cloned().collect()
    }

    /// The files and folders about revocation.
    pub fn revocation_paths(&self) -> Vec<PathBuf> {
        let issuers = self.no_crl_issuer.iter().map(PathBuf::from);
        let issuers = issuers.filter(|issuer| issuer.exists());
        self.crl.iter().cloned().chain(issuers).collect()
    }

    fn one_store(&self, mut store: TrustStore) -> Result<TrustStore, TrustError> {
        for roots in &self.trust {
            store = store.and(if roots.is_dir() {
                TrustStore::from_pem_dir(roots)?
            } else {
                TrustStore::from_pem_file(roots)?
            });
        }
        for certificate in &self.pin {
            store = store.pin_pem_file(certificate)?;
        }
        for intermediates in &self.intermediate {
            store = store.with_intermediates_pem_file(intermediates)?;
        }
        Ok(store)
    }

    fn bundles(&self) -> Result<TrustBundles, TrustOptionsError> {
        let mut bundles = TrustStore::by_trust_domain();
        for (domain, file) in &self.trust_domain {
            let mut bundle = if file.extension().is_some_and(|name| name == "json") {
                TrustStore::from_spiffe_bundle_file(file)?
            } else {
                TrustStore::from_pem_file(file)?
            };
            // Several files for one domain are one bundle.
            if let Some(before) = bundles.get(domain) {
                bundle = bundle.and(before.clone());
            }
            bundles = bundles.with(domain.clone(), bundle)?;
        }
        Ok(bundles)
    }

    fn crl_loader(&self) -> CrlLoader {
        let number = match self.crl_number {
            Number::Required => CrlNumber::Required,
            Number::Optional => CrlNumber::Optional,
        };
        let delta = if self.skip_delta_crls {
            DeltaCrls::Skip
        } else {
            DeltaCrls::Apply
        };
        let unusable = if self.skip_unusable_crls {
            UnusableFiles::Skip
        } else {
            UnusableFiles::Reject
        };
        Crls::loader()
            .number(number)
            .delta(delta)
            .unusable_files(unusable)
    }

    pub fn read_revocation(&self) -> Result<Option<Revocation>, TrustOptionsError> {
        let loader = self.crl_loader();
        let mut all: Option<Crls> = None;
        for path in &self.crl {
            let crls = if path.is_dir() {
                loader.from_dir(path)?
            } else {
                loader.from_file(path)?
            };
            all = Some(match all {
                None => crls,
                Some(others) => others.and(crls),
            });
        }
        let Some(crls) = all else {
            return Ok(None);
        };
        let mut revocation = Revocation::new(crls).unknown_status(match self.unknown_revocation {
            Unknown::Allow => UnknownStatus::Allow,
            Unknown::Deny => UnknownStatus::Deny,
        });
        for issuer in &self.no_crl_issuer {
            revocation =
                without_crl(revocation, issuer).map_err(|problem| TrustOptionsError::Issuer {
                    issuer: issuer.escape_debug().to_string(),
                    problem,
                })?;
        }
        Ok(Some(revocation))
    }
}

/// Takes the value as a path if a file exists there, and as a name otherwise.
fn without_crl(mut revocation: Revocation, issuer: &str) -> Result<Revocation, String> {
    if !Path::new(issuer).exists() {
        if !issuer.contains('=') {
            return Err("no such file, and no name such as CN=Root,O=Example".into());
        }
        return Ok(revocation.no_crl_from_name(issuer));
    }
    let mut found = false;
    for der in CertificateDer::pem_file_iter(issuer).map_err(|error| error.to_string())? {
        let der = der.map_err(|error| error.to_string())?;
        let certificate = Certificate::from_der(&der).map_err(|error| error.to_string())?;
        revocation = revocation.no_crl_from(&certificate);
        found = true;
    }
    if found {
        Ok(revocation)
    } else {
        Err("the file contains no certificate".into())
    }
}

fn domain_and_file(text: &str) -> Result<(TrustDomain, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            let domain = name
                .parse()
                .map_err(|error: IdentityError| error.to_string())?;
            Ok((domain, file.into()))
        }
        _ => Err("expected a trust domain and its file, such as example.org=roots.pem".to_owned()),
    }
}
