//! Why a change is not applied.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use super::Part;
use super::source::{InFiles, LoadError, TextError};
use super::stream::StreamError;
use crate::diagnostic::display_diagnostic;
use crate::pki::{CredentialsError, PemError};
use crate::policy::{DenyEntryError, DnsPatternError, EntryError, SpiffePatternError};
use crate::trust::{BundleError, CrlError, TrustError};
use crate::{BuildError, Diagnostic};

/// Why a reload changed nothing. What was in force before is still in force.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::reload::ReloadError;
///
/// let error = ReloadError::NotAFile {
///     path: "/run/agent.sock".into(),
/// };
/// assert_eq!(error.reason(), "not_a_file");
/// assert_eq!(
///     error.to_string(),
///     "/run/agent.sock is neither a file nor a folder; put one there"
/// );
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[doc(alias = "rotation")]
#[non_exhaustive]
pub enum ReloadError {
    /// A source could not be loaded.
    Load {
        /// The part that the source is for.
        part: Part,
        /// The loader's error: it names the file, and the line where it is about one.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The stream of a source gave no value ([`Source::ready`](super::Source::ready)).
    NoValue {
        /// The last error of the stream, or that it gave nothing in time.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// All sources were loaded, but the parts do not fit together, or are not valid now.
    Unfit {
        /// Why the update was denied.
        error: Arc<BuildError>,
    },
    /// A file is larger than the limit.
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The path of a source is a socket, a pipe or a device.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The files changed between every two reads.
    KeepsChanging {
        /// How often they were read.
        reads: usize,
    },
    /// A loader panicked, or code of the application that runs while a change is applied.
    Panicked {
        /// The part whose loader panicked; `None` while the change was applied.
        part: Option<Part>,
    },
    /// The deny list is not the one that the acceptor or the connector was built with.
    OtherDenyList,
    /// The runtime on which the reload ran has shut down.
    Stopped,
}

impl ReloadError {
    /// A stable code for programs: that of the loader's error (`"key_mismatch"`, `"pem_cut_off"`,
    /// `"empty_folder"`) where it is one of this crate's, or `"load_failed"`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Load { error, .. } | Self::NoValue { error } => reason_of(&**error),
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

impl Diagnostic for ReloadError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Load { part, error } => format!("{part}: {}", cause_of(&**error)),
            Self::NoValue { error } => return cause_of(&**error),
            Self::Unfit { error } => return Diagnostic::cause(&**error),
            Self::TooLarge { file, limit } => {
                format!("{} is larger than {limit} bytes", file.display())
            }
            Self::NotAFile { path } => {
                format!("{} is neither a file nor a folder", path.display())
            }
            Self::KeepsChanging { reads } => {
                format!("the files keep changing: each of {reads} reads found other content")
            }
            Self::Panicked { part: Some(part) } => format!("{part}: the loader panicked"),
            Self::Panicked { part: None } => {
                return "code of the application panicked while the change was applied".into();
            }
            Self::OtherDenyList => {
                return "the deny list is not the one of the acceptor or connector".into();
            }
            Self::Stopped => return "the reload stopped, because its runtime shut down".into(),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Load { error, .. } | Self::NoValue { error } => return remedy_of(&**error),
            Self::Unfit { error } => return error.remedy(),
            Self::TooLarge { .. } => "check whether it is the intended file",
            Self::NotAFile { .. } => "put one there",
            Self::KeepsChanging { .. } => "move files that change all the time to another folder",
            Self::Panicked { .. } => "see its panic message, and correct that code",
            Self::OtherDenyList => "give it to the builder, too",
            Self::Stopped => "start it on a runtime that lives as long as the service",
        }
        .into()
    }
}

display_diagnostic!(ReloadError);

/// An error of a source that a module above implements.
#[derive(Debug)]
pub(crate) struct Diagnosed {
    pub(crate) error: Box<dyn Diagnostic + Send + Sync>,
    /// Whether it withdraws what the source gave before: no peer is admitted until it gives a value again.
    pub(crate) withdraws: bool,
}

impl Diagnostic for Diagnosed {
    fn reason(&self) -> &'static str {
        self.error.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        self.error.cause()
    }

    fn remedy(&self) -> Cow<'_, str> {
        self.error.remedy()
    }
}

display_diagnostic!(Diagnosed);

impl Error for Diagnosed {}

/// Whether the error of a source withdraws what it gave before.
pub(super) fn withdraws(error: &LoadError) -> bool {
    let error = error.downcast_ref::<Diagnosed>();
    error.is_some_and(|error| error.withdraws)
}

pub(super) fn reason_of(error: &(dyn Error + 'static)) -> &'static str {
    diagnostic(error).map_or("load_failed", Diagnostic::reason)
}

pub(super) fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Cow<'e, str> {
    diagnostic(error).map_or_else(|| error.to_string().into(), Diagnostic::cause)
}

pub(super) fn remedy_of<'e>(error: &'e (dyn Error + 'static)) -> Cow<'e, str> {
    diagnostic(error).map_or_else(
        || "correct what the loader reads".into(),
        Diagnostic::remedy,
    )
}

/// A loader's error, if it is one of this crate's.
fn diagnostic<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e dyn Diagnostic> {
    fn of<'e, E: Diagnostic + Error + 'static>(
        error: &'e LoaderError,
    ) -> Option<&'e dyn Diagnostic> {
        error.downcast_ref().map(|error: &'e E| error as _)
    }

    [
        of::<InFiles>,
        of::<StreamError>,
        of::<Diagnosed>,
        of::<TextError>,
        of::<CredentialsError>,
        of::<TrustError>,
        of::<CrlError>,
        of::<PemError>,
        of::<BundleError>,
        of::<BuildError>,
        of::<EntryError<DnsPatternError>>,
        of::<EntryError<SpiffePatternError>>,
        of::<DenyEntryError>,
    ]
    .iter()
    .find_map(|of| of(error))
}

type LoaderError = dyn Error + 'static;
