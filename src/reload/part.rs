//! The parts of an acceptor or a connector that are reloaded independently.

use std::fmt;
use std::path::PathBuf;

use super::Source;
use super::source::LoadError;
use super::stream::{Followed, Values};
use crate::Update;
use crate::policy::{Authorizer, Replacement};

/// A part of an acceptor or a connector that can be reloaded.
///
/// `Display` is its name in events and errors.
///
/// ```
/// use countersign::reload::Part;
///
/// assert_eq!(Part::DenyList.to_string(), "deny list");
/// let name = "orders.example".into();
/// assert_eq!(Part::CredentialsFor { name }.to_string(), "credentials for orders.example");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Our own certificate chain and private key.
    Credentials,
    /// The certificate chain and private key for one name (SNI).
    CredentialsFor {
        /// The name, in lower case.
        name: String,
    },
    /// Roots and pins.
    Trust,
    /// CRLs.
    Revocation,
    /// The entries of the deny list.
    DenyList,
    /// The policy.
    Policy,
    /// An update that the application pushed with [`Handle::update`](super::Handle::update).
    Pushed,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials => f.write_str("credentials"),
            Self::CredentialsFor { name } => write!(f, "credentials for {name}"),
            Self::Trust => f.write_str("trust"),
            Self::Revocation => f.write_str("revocation"),
            Self::DenyList => f.write_str("deny list"),
            Self::Policy => f.write_str("policy"),
            Self::Pushed => f.write_str("pushed by the application"),
        }
    }
}

/// A part that was loaded, to be merged into the one change of the set.
pub(super) enum Loaded<I> {
    Update(Box<dyn FnOnce(Update) -> Update>),
    Policy(Authorizer<I>),
    DenyList(Box<Replacement<I>>),
}

/// A part with its source.
pub(super) struct Watched<I> {
    part: Part,
    source: Source<Loaded<I>>,
}

impl<I: 'static> Watched<I> {
    pub(super) const fn new(part: Part, source: Source<Loaded<I>>) -> Self {
        Self { part, source }
    }

    pub(super) fn load(&self, values: &Values) -> Result<Loaded<I>, LoadError> {
        self.source.load_with(values)
    }
}

impl<I> Watched<I> {
    pub(super) const fn part(&self) -> &Part {
        &self.part
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        self.source.paths()
    }

    pub(super) fn streams(&self) -> &[Followed] {
        self.source.streams()
    }
}

impl<I> fmt::Debug for Watched<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.part, self.paths())
    }
}
