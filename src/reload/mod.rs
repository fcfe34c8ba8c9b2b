//! Reload: credentials, trust, CRLs, policy and deny list that follow their files.
//!
//! Certificates last hours, services months. A [`Reload`] keeps an acceptor or a connector at what
//! its files say, without a restart and without a failed handshake:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use countersign::identity::SpiffeId;
//! use countersign::reload::{Reload, Source};
//! use countersign::trust::{Crls, Revocation};
//! use countersign::{Acceptor, Credentials, TrustStore, policy};
//!
//! # async fn f(acceptor: Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
//! let reload = Reload::of(&acceptor)
//!     .credentials(Source::pem_files("tls/tls.crt", "tls/tls.key"))
//!     .trust(Source::<TrustStore>::pem_file("tls/ca.crt"))
//!     .revocation(Source::<Crls>::dir("crls").map(Revocation::new))
//!     .policy(Source::text_file("callers.txt").try_map(|text| {
//!         policy::spiffe_patterns(text.lines().filter(|line| !line.is_empty()))
//!     }))
//!     .every(Duration::from_secs(10))
//!     .start()
//!     .await?; // it ends when `reload` is dropped
//!
//! // On SIGHUP, say:
//! reload.reload_now().await?;
//! println!("generation {}", reload.status().generation);
//! # Ok(())
//! # }
//! ```
//!
//! # How a change is noticed
//! By content: the files are read at each interval, and their SHA-256 compared. So a rename over a
//! file, a rewrite in place and the swap of Kubernetes' `..data` symlink are all noticed, whatever
//! the files' times say, and a file that is written anew with the same content changes nothing.
//! Only sources whose content changed are loaded: a new CRL does not replace a connector's
//! credentials, and so does not end its connections. With the feature `notify`,
//! `Reload::file_events` has the operating system tell of changes between the intervals.
//!
//! # When a change is applied
//! * The files must have stood still for a moment, and during the loading: a set that was replaced
//!   meanwhile is thrown away and read again, so that a certificate of one moment and a key of
//!   another never meet.
//! * Everything that changed must load, and must be proved to fit: the key matches the
//!   certificate, our chain is valid now, somebody is trusted, and the CRLs in the name of an
//!   authority of the trust are signed by it. See [`Update`](crate::Update).
//! * Then credentials, trust, CRLs, policy and deny list are replaced in one step, which cannot
//!   fail, and open connections are re-authorized by all of it. No connection is opened by a part of it.
//!
//! A set that cannot be loaded or does not fit changes nothing, and neither does one whose loader,
//! parser or entries panic: all code of the application runs before the step or after it. If it stays as it is, it was not
//! half-written: it is reported, once, and tried again from time to time without another word,
//! since a certificate that is not valid yet will be.
//!
//! # Security
//! A file that is rewritten in place passes through states that can be whole by chance, such as
//! the first of two roots. Whoever pauses in the middle for longer than a reload waits (200 ms, or
//! a quarter of a shorter interval) has that applied. Write to another file and rename it: then
//! there is no such state. Where several files belong together, replace their folder by a symlink,
//! as Kubernetes does.
//!
//! # Events
//! In the [audit trail](crate::audit) of the acceptor or connector: what was applied, what was
//! refused and why; that a certificate of ours is about to expire when a third, and again when a
//! tenth of its lifetime is left, and that it has expired.

mod error;
#[cfg(feature = "notify")]
mod events;
mod expiry;
mod files;
mod handle;
mod part;
mod set;
mod source;
mod status;
mod target;
mod worker;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

pub use error::ReloadError;
pub use handle::Handle;
pub use part::Part;
pub use source::Source;
pub use status::{Applied, OwnCertificate, Refusal, Status};

use self::part::{Loaded, Watched};
use self::set::Set;
use self::target::Target;
use self::worker::Worker;
use crate::gate::Authorizer;
use crate::policy::{DenyEntry, DenyList, Policy};
use crate::trust::{Revocation, Trust};
use crate::{Acceptor, Connector, Credentials};

/// Says what an acceptor or a connector is to keep at what its files say.
///
/// What has no source here stays as it is, and as the application sets it. See the
/// [module](self).
#[must_use = "nothing is loaded until start()"]
pub struct Reload<I> {
    target: Arc<dyn Target<I>>,
    watched: Vec<Watched<I>>,
    every: Duration,
    #[cfg(feature = "notify")]
    file_events: bool,
    problem: Option<ReloadError>,
}

impl<I: Send + Sync + 'static> Reload<I> {
    /// Starts with nothing to reload; takes `&acceptor` or `&connector`.
    pub fn of(target: impl Into<Self>) -> Self {
        target.into()
    }

    fn new(target: impl Target<I> + 'static) -> Self {
        Self {
            target: Arc::new(target),
            watched: Vec::new(),
            every: Duration::from_secs(10),
            #[cfg(feature = "notify")]
            file_events: false,
            problem: None,
        }
    }

    /// Sets where our own certificate chain and private key come from.
    pub fn credentials(self, source: Source<Credentials>) -> Self {
        self.with(Part::Credentials, source, |credentials| {
            Loaded::Update(Box::new(|update| update.credentials(credentials)))
        })
    }

    /// Sets where an acceptor's certificate for clients that ask for this name (SNI) comes from.
    pub fn credentials_for(self, name: impl Into<String>, source: Source<Credentials>) -> Self {
        let name = name.into().to_ascii_lowercase();
        let part = Part::CredentialsFor { name: name.clone() };
        self.with(part, source, move |credentials| {
            let name = name.clone();
            Loaded::Update(Box::new(|update| update.credentials_for(name, credentials)))
        })
    }

    /// Sets where the roots and pins come from: a source of a [`TrustStore`](crate::TrustStore) or
    /// of [`TrustBundles`](crate::trust::TrustBundles).
    pub fn trust<T: Into<Trust> + 'static>(self, source: Source<T>) -> Self {
        self.with(Part::Trust, source, |trust| {
            Loaded::Update(Box::new(|update| update.trust(trust)))
        })
    }

    /// Sets where the CRLs come from: a source of [`Crls`](crate::trust::Crls), or of a
    /// [`Revocation`] for other choices than the strictest.
    pub fn revocation<R: Into<Revocation> + 'static>(self, source: Source<R>) -> Self {
        self.with(Part::Revocation, source, |revocation| {
            Loaded::Update(Box::new(|update| update.revocation(revocation)))
        })
    }

    /// Sets where the policy comes from.
    pub fn policy<P: Policy<I> + 'static>(self, source: Source<P>) -> Self {
        self.with(Part::Policy, source, |policy| {
            Loaded::Policy(Authorizer::sync(policy))
        })
    }

    /// Sets where the entries of the deny list come from. With each change of the source they
    /// replace all that are on the list, those that the application has entered too.
    ///
    /// It must be the list that the acceptor or connector was built with, or
    /// [`start`](Self::start) fails: nobody would ask another one.
    pub fn deny_list(mut self, list: &DenyList<I>, source: Source<Vec<DenyEntry<I>>>) -> Self
    where
        I: Eq + Hash,
    {
        if !self.target.gate().asks(list) {
            self.problem = Some(ReloadError::OtherDenyList);
        }
        let list = list.clone();
        self.with(Part::DenyList, source, move |entries| {
            Loaded::DenyList(Box::new(list.prepare(entries)))
        })
    }

    /// Sets how often the files are looked at.
    ///
    /// Default: 10 s. Each look reads all files; more than 256 MiB in one of them is an error.
    pub const fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Looks at once when the operating system tells of a change, beside the interval, which
    /// stays: network file systems tell nothing, and events can be lost.
    ///
    /// Where the operating system refuses to tell, an event says so, and the interval remains.
    #[cfg(feature = "notify")]
    pub const fn file_events(mut self) -> Self {
        self.file_events = true;
        self
    }

    /// Loads and applies everything once, and goes on to do so with every change until the last
    /// clone of the [`Handle`] is dropped. It takes the moment for which files must stand still.
    ///
    /// # Errors
    /// [`ReloadError`]: what could not be loaded, or does not fit. Then nothing has changed, and
    /// nothing goes on.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time enabled.
    pub async fn start(self) -> Result<Handle, ReloadError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut watched = self.watched;
        watched.sort_by(|a, b| a.part().cmp(b.part())); // as they are told of
        let set = Set::new(self.target, watched);
        #[cfg(feature = "notify")]
        let set = if self.file_events {
            set.with_events()
        } else {
            set
        };
        Worker::start(set, self.every).await
    }

    /// A later source of the same part replaces the earlier one.
    fn with<T: 'static>(
        mut self,
        part: Part,
        source: Source<T>,
        change: impl Fn(T) -> Loaded<I> + Send + Sync + 'static,
    ) -> Self {
        self.watched.retain(|watched| *watched.part() != part);
        self.watched.push(Watched::new(part, source.map(change)));
        self
    }
}

impl<I: Send + Sync + 'static> From<&Acceptor<I>> for Reload<I> {
    fn from(acceptor: &Acceptor<I>) -> Self {
        Self::new(acceptor.clone())
    }
}

impl<I: Send + Sync + 'static> From<&Connector<I>> for Reload<I> {
    fn from(connector: &Connector<I>) -> Self {
        Self::new(connector.clone())
    }
}

impl<I> fmt::Debug for Reload<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload")
            .field("watched", &self.watched)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
