//! What is reloaded: an acceptor or a connector.

use crate::policy::Policy;
use crate::{Acceptor, BuildError, Certificate, Connector, Gate, Update};

pub(super) trait Target<I>: Send + Sync {
    fn gate(&self) -> &Gate<I>;

    /// Open connections are judged afterwards, by the gate.
    fn update(&self, update: Update) -> Result<u64, BuildError>;

    /// Likewise.
    fn set_policy(&self, policy: Box<dyn Policy<I>>);

    /// Our own certificates with the names that they are for: the first is for all others.
    fn certificates(&self) -> Vec<(Option<String>, Certificate)>;
}

impl<I: Send + Sync + 'static> Target<I> for Acceptor<I> {
    fn gate(&self) -> &Gate<I> {
        self.gate()
    }

    fn update(&self, update: Update) -> Result<u64, BuildError> {
        self.update_unjudged(update)
    }

    fn set_policy(&self, policy: Box<dyn Policy<I>>) {
        self.set_policy_unjudged(policy);
    }

    fn certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.own_certificates()
    }
}

impl<I: Send + Sync + 'static> Target<I> for Connector<I> {
    fn gate(&self) -> &Gate<I> {
        self.gate()
    }

    fn update(&self, update: Update) -> Result<u64, BuildError> {
        self.update_unjudged(update)
    }

    fn set_policy(&self, policy: Box<dyn Policy<I>>) {
        self.set_policy_unjudged(policy);
    }

    fn certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.own_certificates()
    }
}
