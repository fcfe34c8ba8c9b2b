//! Builder steps that take a source, which a reload then follows.

use super::part::Loaded;
use super::set::caught;
use super::{Part, Reload, ReloadError, Source};
use crate::endpoint::builder::NeedsIdentity;
use crate::endpoint::builder::{Builder, NeedsCredentials, NeedsPolicy, NeedsTrust, Role};
use crate::policy::{Authorizer, DenyEntry, DenyList, Policy, Replacement};
use crate::trust::{Revocation, Trust};
use crate::{Credentials, Update};

/// The source of what an [`Update`] sets.
pub(super) type UpdateSource = (Part, Source<Box<dyn FnOnce(Update) -> Update>>);

impl<S> NeedsCredentials<S> {
    /// As [`credentials`](Self::credentials), from a source. A
    /// [`Reload`](crate::reload::Reload) of the acceptor or connector follows the source.
    ///
    /// ```
    /// use countersign::identity::DnsName;
    /// use countersign::reload::{Reload, Source};
    /// use countersign::testing::TestCa;
    /// use countersign::{Acceptor, Credentials, TrustStore, policy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ca = TestCa::new("Root");
    /// # let folder = std::env::temp_dir().join(format!("countersign-sources-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let server = ca.leaf().dns("server.example").issue();
    /// # std::fs::write(folder.join("server.crt"), server.chain_pem())?;
    /// # std::fs::write(folder.join("server.key"), server.key_pem())?;
    /// # std::fs::write(folder.join("ca.crt"), ca.pem())?;
    /// let path = |file: &str| folder.join(file);
    /// let acceptor = Acceptor::builder()
    ///     .credentials_from(Source::pem_files(path("server.crt"), path("server.key")))?
    ///     .trust_from(Source::<TrustStore>::pem_file(path("ca.crt")))?
    ///     .identify(DnsName::extractor())
    ///     .authorize(policy::allow_any())
    ///     .build()?;
    /// let handle = Reload::of(&acceptor).start().await?;
    /// assert_eq!(handle.status().applied, 1);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReloadError::Load`]: the source cannot be loaded.
    pub fn credentials_from(
        self,
        source: Source<Credentials>,
    ) -> Result<NeedsTrust<S>, ReloadError> {
        let credentials = load(Part::Credentials, &source)?;
        let source = source.map(|credentials| -> Box<dyn FnOnce(Update) -> Update> {
            Box::new(|update| update.credentials(credentials))
        });
        let mut next = self.credentials(credentials);
        next.sources
            .keep::<UpdateSource>((Part::Credentials, source));
        Ok(next)
    }
}

impl<S> NeedsTrust<S> {
    /// As [`trust`](Self::trust), from a source that a [`Reload`](crate::reload::Reload) follows.
    ///
    /// # Errors
    /// [`ReloadError::Load`]: the source cannot be loaded.
    pub fn trust_from<T: Into<Trust> + 'static>(
        self,
        source: Source<T>,
    ) -> Result<NeedsIdentity<S>, ReloadError> {
        let trust = load(Part::Trust, &source)?;
        let source = source.map(|trust| -> Box<dyn FnOnce(Update) -> Update> {
            Box::new(|update| update.trust(trust))
        });
        let mut next = self.trust(trust);
        next.sources.keep::<UpdateSource>((Part::Trust, source));
        Ok(next)
    }
}

impl<S: Role, I: 'static> NeedsPolicy<S, I> {
    /// As [`authorize`](Self::authorize), from a source that a [`Reload`](crate::reload::Reload) follows.
    ///
    /// # Errors
    /// [`ReloadError::Load`]: the source cannot be loaded.
    pub fn authorize_from<P: Policy<I> + 'static>(
        self,
        source: Source<P>,
    ) -> Result<Builder<S, I>, ReloadError> {
        let policy = load(Part::Policy, &source)?;
        let mut next = self.authorize(policy);
        next.sources
            .keep::<Source<Authorizer<I>>>(source.map(Authorizer::sync));
        Ok(next)
    }
}

impl<S, I> Builder<S, I> {
    /// As [`revocation`](Self::revocation), from a source that a [`Reload`](crate::reload::Reload)
    /// follows.
    ///
    /// # Errors
    /// [`ReloadError::Load`]: the source cannot be loaded.
    pub fn revocation_from<R: Into<Revocation> + 'static>(
        self,
        source: Source<R>,
    ) -> Result<Self, ReloadError> {
        let revocation = load(Part::Revocation, &source)?;
        let source = source.map(|revocation| -> Box<dyn FnOnce(Update) -> Update> {
            Box::new(|update| update.revocation(revocation))
        });
        let mut next = self.revocation(revocation);
        next.sources
            .keep::<UpdateSource>((Part::Revocation, source));
        Ok(next)
    }

    /// As [`deny_list`](Self::deny_list), with entries from a source that a
    /// [`Reload`](crate::reload::Reload) follows. The entries replace those of the list.
    ///
    /// # Errors
    /// [`ReloadError::Load`]: the source cannot be loaded.
    pub fn deny_list_from(
        self,
        list: &DenyList<I>,
        source: Source<Vec<DenyEntry<I>>>,
    ) -> Result<Self, ReloadError>
    where
        I: std::hash::Hash + Eq + Send + Sync + 'static,
    {
        list.replace(load(Part::DenyList, &source)?);
        let mut next = self.deny_list(list);
        let list = list.clone();
        let source = source.map(move |entries| list.prepare(entries));
        next.sources.keep::<Source<Replacement<I>>>(source);
        Ok(next)
    }
}

fn load<T: 'static>(part: Part, source: &Source<T>) -> Result<T, ReloadError> {
    caught(Some(&part), || {
        source.load().map_err(|error| ReloadError::Load {
            part: part.clone(),
            error,
        })
    })
}

impl<I: Send + Sync + 'static> Reload<I> {
    /// Follows the sources that the builder was given.
    pub(super) fn with_sources_of_builder(mut self) -> Self {
        let control = self.control.clone();
        for source in control.sources().iter() {
            if let Some((part, source)) = source.downcast_ref::<UpdateSource>() {
                self = self.with(part.clone(), source.clone(), Loaded::Update);
            } else if let Some(source) = source.downcast_ref::<Source<Authorizer<I>>>() {
                self = self.with(Part::Policy, source.clone(), Loaded::Policy);
            } else if let Some(source) = source.downcast_ref::<Source<Replacement<I>>>() {
                self = self.with(Part::DenyList, source.clone(), |entries| {
                    Loaded::DenyList(Box::new(entries))
                });
            }
        }
        self
    }
}
