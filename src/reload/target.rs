//! The target of a reload: an acceptor or a connector.

use crate::tls::Change;
use crate::{Acceptor, BuildError, Certificate, Connector, Gate};

pub(super) trait Target<I>: Send + Sync {
    fn gate(&self) -> &Gate<I>;

    /// Applies a change as a whole. After an error or a panic nothing has changed.
    fn change(&self, change: Change<I>) -> Result<u64, BuildError>;

    /// Our own certificates with their names (SNI). The first one is that of all other names.
    fn certificates(&self) -> Vec<(Option<String>, Certificate)>;
}

impl<I: Send + Sync + 'static> Target<I> for Acceptor<I> {
    fn gate(&self) -> &Gate<I> {
        self.gate()
    }

    fn change(&self, change: Change<I>) -> Result<u64, BuildError> {
        self.change(change)
    }

    fn certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.own_certificates()
    }
}

impl<I: Send + Sync + 'static> Target<I> for Connector<I> {
    fn gate(&self) -> &Gate<I> {
        self.gate()
    }

    fn change(&self, change: Change<I>) -> Result<u64, BuildError> {
        self.change(change)
    }

    fn certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.own_certificates()
    }
}
