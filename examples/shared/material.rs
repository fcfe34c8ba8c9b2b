//! The files of one side: who it is, and whom it believes.

use std::path::PathBuf;

use countersign::pki::CredentialsError;
use countersign::trust::TrustError;
use countersign::{Credentials, TrustStore};

#[derive(Debug, clap::Args)]
pub(crate) struct Material {
    /// Our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key of our certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    believed: Believed,
    /// Allow TLS 1.2 besides TLS 1.3
    #[arg(long)]
    pub(crate) tls12: bool,
}

/// Whom to believe.
#[derive(Debug, clap::Args)]
pub(crate) struct Believed {
    /// Believe peers whose certificates lead to these roots: a PEM file, or a folder of them
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Believe exactly this certificate, self-signed or not (PEM)
    #[arg(long, value_name = "FILE")]
    pin: Vec<PathBuf>,
    /// Intermediate certificates for peers that send only their own (PEM)
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
}

impl Material {
    pub(crate) fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem_files(&self.cert, &self.key)
    }

    /// Everything that the command line believes, added to `store`.
    pub(crate) fn add_to(&self, store: TrustStore) -> Result<TrustStore, TrustError> {
        self.believed.add_to(store)
    }
}

impl Believed {
    /// Everything that the command line believes, added to `store`.
    pub(crate) fn add_to(&self, mut store: TrustStore) -> Result<TrustStore, TrustError> {
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
}
