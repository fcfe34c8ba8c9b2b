//! The files and the TLS version of one side.

use std::path::PathBuf;

use countersign::Credentials;
use countersign::pki::CredentialsError;

use super::TrustOptions;

/// Our certificate and key, and the trust in the other side's.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsOptions {
    /// Our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The private key of our certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    #[command(flatten)]
    pub trust: TrustOptions,
    /// Allow TLS 1.2 besides TLS 1.3
    #[arg(long)]
    pub tls12: bool,
}

impl TlsOptions {
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem_files(&self.cert, &self.key)
    }
}
