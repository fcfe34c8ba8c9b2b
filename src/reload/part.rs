//! What is reloaded, each by itself.

use std::fmt;
use std::path::PathBuf;

use super::Source;
use super::source::LoadError;
use crate::Update;
use crate::policy::Policy;

/// A part of what an acceptor or a connector is reloaded with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Our own certificate chain and private key.
    Credentials,
    /// Those for one name (SNI).
    CredentialsFor {
        /// The name, in lower case.
        name: String,
    },
    /// Roots and pins.
    Trust,
    /// CRLs.
    Revocation,
    /// Who is denied whatever the policy says.
    DenyList,
    /// The policy.
    Policy,
    /// Whatever the application pushed by [`Handle::update`](super::Handle::update).
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

/// What follows from a part that was loaded.
pub(super) enum Change<I> {
    /// It goes into the one update of the set.
    Update(Box<dyn FnOnce(Update) -> Update>),
    /// These cannot fail, and are done when the update has been taken.
    Policy(Box<dyn Policy<I>>),
    DenyList(Box<dyn FnOnce()>),
}

/// A part with its source.
pub(super) struct Watched<I> {
    part: Part,
    source: Source<Change<I>>,
}

impl<I: 'static> Watched<I> {
    pub(super) const fn new(part: Part, source: Source<Change<I>>) -> Self {
        Self { part, source }
    }

    pub(super) fn load(&self) -> Result<Change<I>, LoadError> {
        self.source.load()
    }
}

impl<I> Watched<I> {
    pub(super) const fn part(&self) -> &Part {
        &self.part
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        self.source.paths()
    }
}

impl<I> fmt::Debug for Watched<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.part, self.paths())
    }
}
