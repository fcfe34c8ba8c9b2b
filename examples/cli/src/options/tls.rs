//! The files of one side, or its SPIFFE agent, and the TLS version.

use std::path::PathBuf;

use clap::ValueEnum;
use countersign::integration::spiffe::{Workload, WorkloadError};
use countersign::reload::Source;
use countersign::trust::{PostQuantum, Revocation, Trust};
use countersign::{Credentials, TrustStore};

use super::{KeyOption, TrustOptions};
use crate::terminal::Failure;

/// Our certificate and key, and the trust in the other side's.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsOptions {
    /// Our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "spiffe")]
    cert: Option<PathBuf>,
    /// The private key of our certificate (PEM), or a PKCS #11 URI for a key in a token:
    /// pkcs11:token=orders;object=tls?module-path=/PATH/MODULE.so&pin-source=/PATH/PIN
    #[arg(long, value_name = "FILE|URI", required_unless_present = "spiffe")]
    key: Option<KeyOption>,
    /// Take certificate, key, trust and CRLs from the SPIFFE agent at this address of its Workload API,
    /// such as unix:/run/agent.sock; `env` for that of SPIFFE_ENDPOINT_SOCKET
    #[arg(long, value_name = "ENDPOINT")]
    #[arg(conflicts_with_all = ["cert", "key", "trust", "trust_domain", "pin", "intermediate", "crl"])]
    spiffe: Option<String>,
    #[command(flatten)]
    pub trust: TrustOptions,
    /// Allow TLS 1.2 besides TLS 1.3
    #[arg(long)]
    pub tls12: bool,
    /// Require post-quantum cryptography: of the key exchange, or only such, also in the certificates of
    /// both sides
    #[arg(
        long,
        value_enum,
        value_name = "key-exchange|only",
        conflicts_with = "tls12"
    )]
    #[arg(hide_possible_values = true)]
    post_quantum: Option<Required>,
}

/// What must be post-quantum.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Required {
    KeyExchange,
    Only,
}

/// Our certificate, the trust in peers, and the CRLs, as sources that can be followed.
#[derive(Clone)]
pub struct Sources {
    pub credentials: Source<Credentials>,
    pub trust: Source<Trust>,
    pub revocation: Option<Source<Revocation>>,
}

impl TlsOptions {
    /// The rule about post-quantum cryptography.
    pub const fn post_quantum(&self) -> PostQuantum {
        match self.post_quantum {
            None => PostQuantum::Preferred,
            Some(Required::KeyExchange) => PostQuantum::KeyExchange,
            Some(Required::Only) => PostQuantum::Only,
        }
    }

    /// The files, or the agent. `store` is trusted besides the files.
    pub async fn sources(&self, store: TrustStore) -> Result<Sources, Failure> {
        if let Some(endpoint) = &self.spiffe {
            return Ok(Sources::of(&workload(endpoint).await?));
        }
        // clap has required both.
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Err("--cert and --key, or --spiffe, are missing".into());
        };
        // Errors of the files as they are, and not as those of a reload.
        self.trust.read(store.clone())?;
        key.credentials(cert)?;
        let (trust, revocation) = (self.trust.clone(), self.trust.clone());
        let paths = revocation.revocation_paths();
        Ok(Sources {
            credentials: key.source(cert)?,
            trust: Source::files(trust.trust_paths(), move || trust.read_trust(store.clone())),
            revocation: (!paths.is_empty()).then(|| {
                Source::files(paths, move || {
                    let rules = revocation.read_revocation()?;
                    rules.ok_or_else(|| {
                        Box::<dyn std::error::Error + Send + Sync>::from("no --crl was given")
                    })
                })
            }),
        })
    }
}

impl Sources {
    /// What the agent gives.
    pub fn of(workload: &Workload) -> Self {
        Self {
            credentials: workload.credentials(),
            trust: workload.trust().map(Trust::from),
            revocation: Some(workload.revocation()),
        }
    }
}

/// Connects to an agent, and awaits our identity.
pub async fn workload(endpoint: &str) -> Result<Workload, WorkloadError> {
    let agent = match endpoint {
        "env" => Workload::from_env(),
        address => Workload::at(address),
    };
    agent.connect().await
}
