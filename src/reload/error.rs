//! Why a set was refused.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use super::Part;
use super::source::{InFiles, LoadError, TextError};
use crate::BuildError;
use crate::pki::{CredentialsError, PemError};
use crate::trust::{BundleError, CrlError, TrustError};

/// Why a reload changed nothing. What was in force still is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A source could not be loaded.
    #[error("{part}: {error}")]
    Load {
        /// What the source is for.
        part: Part,
        /// What the loader said: the file, and the line where it is about one.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// Everything was loaded, and does not fit together, or not to this moment.
    #[error("{error}")]
    Unfit {
        /// Why the update was refused.
        error: Arc<BuildError>,
    },
    /// A file is larger than any that makes sense.
    #[error(
        "{} is larger than {limit} bytes; see whether it is the file that was meant",
        file.display()
    )]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A socket, a pipe or a device stands where a file or a folder is to be read.
    #[error("{} is neither a file nor a folder; put one there", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The files were never the same in two looks.
    #[error(
        "the files keep changing: {looks} looks, and each saw something else; keep what changes all the time in another folder"
    )]
    KeepsChanging {
        /// How often they were looked at.
        looks: usize,
    },
    /// A loader panicked, or code of the application that applying calls.
    #[error("{}", match part {
        Some(part) => format!("{part}: the loader panicked; see its panic message, and mend it"),
        None => "it panicked when it was applied; see its panic message, and mend it".to_owned(),
    })]
    Panicked {
        /// What the source is for; `None` when it happened later.
        part: Option<Part>,
    },
    /// The deny list is not the one that the acceptor or the connector was built with.
    #[error("nobody asks this deny list; give it to the builder, too")]
    OtherDenyList,
    /// The runtime on which the reload ran has ended.
    #[error("the reload has ended with its runtime; start it on one that lives on")]
    Stopped,
}

impl ReloadError {
    /// A stable code for programs: that of the loader's error (`"key_mismatch"`, `"pem_cut_off"`,
    /// `"empty_folder"`) where it is one of this crate's, or `"load_failed"`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Load { error, .. } => reason_of(error),
            Self::Unfit { error } => error.reason(),
            Self::TooLarge { .. } => "too_large",
            Self::NotAFile { .. } => "not_a_file",
            Self::KeepsChanging { .. } => "keeps_changing",
            Self::Panicked { .. } => "panicked",
            Self::OtherDenyList => "other_deny_list",
            Self::Stopped => "stopped",
        }
    }
}

fn reason_of(error: &LoadError) -> &'static str {
    let error: &(dyn Error + 'static) = &**error;
    let error = error
        .downcast_ref()
        .map_or(error, |within: &InFiles| &*within.error);
    None.or_else(|| error.downcast_ref().map(CredentialsError::reason))
        .or_else(|| error.downcast_ref().map(TrustError::reason))
        .or_else(|| error.downcast_ref().map(CrlError::reason))
        .or_else(|| error.downcast_ref().map(PemError::reason))
        .or_else(|| error.downcast_ref().map(BundleError::reason))
        .or_else(|| error.downcast_ref().map(BuildError::reason))
        .or_else(|| error.downcast_ref().map(TextError::reason))
        .unwrap_or("load_failed")
}
