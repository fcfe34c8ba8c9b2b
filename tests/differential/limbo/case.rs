//! The cases, as limbo's JSON has them; fields that we have no use for are left out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use support::programs::{in_ci, is_there};

/// limbo's own, of which nearly all are about servers, and the same made into clients'.
pub(crate) const SETS: [&str; 2] = ["limbo", "limbo-client"];

pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LIMBO_DIR").map_or_else(
        || support::workspace().join("../shared/limbo"),
        PathBuf::from,
    );
    // An empty `LIMBO_DIR` skips the test in CI too.
    folder_at(&folder, in_ci() && !folder.as_os_str().is_empty())
}

pub(crate) fn folder_at(folder: &Path, in_ci: bool) -> Option<PathBuf> {
    let what = format!("x509-limbo in {}", folder.display());
    is_there(folder.is_dir(), &what, in_ci).then(|| folder.to_path_buf())
}

pub(crate) fn load(folder: &Path, set: &str) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Set {
        testcases: Vec<Case>,
    }

    let json = std::fs::read(folder.join(format!("{set}.json"))).unwrap();
    serde_json::from_slice::<Set>(&json).unwrap().testcases
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    /// Cases that cannot be met by the same rules.
    pub(crate) conflicts_with: Vec<String>,
    #[serde(rename = "validation_kind")]
    pub(crate) peer: Side,
    pub(crate) trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: Expected,
    expected_peer_name: Option<PeerName>,
    pub(crate) max_chain_depth: Option<usize>,
    pub(crate) crls: Vec<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Side {
    Client,
    Server,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Expected {
    Success,
    Failure,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

impl Case {
    pub(crate) fn expects_success(&self) -> bool {
        self.expected_result == Expected::Success
    }

    /// The peer's chain, the leaf first.
    pub(crate) fn presented(&self) -> Vec<CertificateDer<'static>> {
        std::iter::once(&self.peer_certificate)
            .chain(&self.untrusted_intermediates)
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .collect()
    }

    /// The server name. A client has none: its names are for the policy.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        let name = self.expected_peer_name.as_ref()?;
        (self.peer == Side::Server).then(|| ServerName::try_from(name.value.clone()).unwrap())
    }

    /// Most cases leave the time to us; this one is their makers'.
    pub(crate) fn now(&self) -> UnixTime {
        let time = self.validation_time.as_deref();
        let time = OffsetDateTime::parse(time.unwrap_or("2026-01-01T00:00:00Z"), &Rfc3339).unwrap();
        let seconds = time.unix_timestamp().try_into().unwrap();
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }
}
