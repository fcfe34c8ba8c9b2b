//! The builder's step for a workload's identity.

use super::Workload;
use crate::builder::{NeedsCredentials, NeedsPolicy, Role};
use crate::identity::SpiffeId;
use crate::reload::{Part, follow};

impl<S: Role> NeedsCredentials<S> {
    /// Sets credentials, trust and revocation to those that the SPIFFE agent gives, and identifies peers by
    /// their [`SpiffeId`]. The policy remains to be chosen.
    ///
    /// Each trust domain vouches only for itself. A connector does not verify host names, which SVIDs do not
    /// have: its policy must name the servers.
    ///
    /// The acceptor or connector follows the agent for as long as it exists. For the
    /// [`Status`](crate::reload::Status), or to follow files too, start a
    /// [`Reload`](crate::reload::Reload) of it: the reload then follows the agent instead, until its last
    /// handle is dropped.
    ///
    /// ```no_run
    /// use countersign::integration::spiffe::Workload;
    /// use countersign::{Connector, policy};
    ///
    /// # async fn call() -> Result<(), Box<dyn std::error::Error>> {
    /// let orders = "spiffe://example.org/ns/orders".parse()?;
    /// let connector = Connector::builder()
    ///     .spiffe(Workload::connect().await?)
    ///     .authorize(policy::exact([orders]))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spiffe(self, workload: Workload) -> NeedsPolicy<S, SpiffeId> {
        let now = workload.now();
        let revocation = now.revocation(workload.unknown_status());
        let mut next = self.credentials(now.credentials).trust(now.bundles);
        follow::keep(
            &mut next.sources,
            Part::Credentials,
            workload.credentials(),
            |update, own| update.credentials(own),
        );
        follow::keep(
            &mut next.sources,
            Part::Trust,
            workload.trust(),
            |update, trust| update.trust(trust),
        );
        follow::keep(
            &mut next.sources,
            Part::Revocation,
            workload.revocation(),
            |update, rules| update.revocation(rules),
        );
        follow::keep_follower(&mut next.sources);
        let runtime = workload.runtime().clone();
        next.identify(SpiffeId::extractor())
            .with_revocation(revocation)
            .with_names_by_policy()
            .followed(move |control| follow::start(&runtime, control))
    }
}
