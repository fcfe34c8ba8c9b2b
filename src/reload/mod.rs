//! Reload: credentials, trust, CRLs, policy and deny list that follow files and streams.
//!
//! Certificates are valid for hours, services run for months. A [`Reload`] applies changed files to a
//! running acceptor or connector, without a restart and without a failed handshake:
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
//!     .await?; // it stops when `reload` is dropped
//!
//! // On SIGHUP, for example:
//! reload.reload_now().await?;
//! println!("generation {}", reload.status().generation);
//! # Ok(())
//! # }
//! ```
//!
//! # How a change is noticed
//! By content: the files are read at each interval, and their SHA-256 digests are compared. This
//! notices a rename over a file, a rewrite in place and the swap of Kubernetes' `..data` symlink,
//! whatever the times of the files are. A file that is written again with the same content changes
//! nothing. Only sources whose content changed are loaded: a new CRL does not replace a connector's
//! credentials, and so does not close its connections. With the feature `notify`,
//! `Reload::file_events` also reads the files when the operating system reports a change.
//!
//! # When a change is applied
//! * The files must be stable for a moment, and while they are loaded. A set that is replaced during
//!   that time is discarded and read again, so that a certificate of one set and a key of another are
//!   never combined.
//! * Every part that changed must load, and the parts must fit together: the key matches the
//!   certificate, our chain is valid now, the trust store is not empty, and a CRL that names a trusted
//!   authority is signed by it. See [`Update`](crate::Update).
//! * Then credentials, trust, CRLs, policy and deny list are replaced in one step that cannot fail, and
//!   open connections are re-authorized by the whole set. No connection is opened by a part of it.
//!
//! A set that cannot be loaded or does not fit changes nothing. The same holds for a set whose loader,
//! parser or entries panic, because all code of the application runs before the step or after it. A
//! set that fails again with the same content was not half-written: it is reported once, and tried
//! again from time to time without a second report, because a certificate that is not valid yet
//! becomes valid.
//!
//! # Streams
//! A source can be a channel ([`Source::watch`]) or, with the feature `stream`, a stream
//! (`Source::stream`). The first value is awaited. Each later value is applied when it arrives, by the
//! same rules as a set of files, and without the time to settle, because it is whole. An error of the
//! stream changes nothing: [`Status::streams`] has it, with the stream's name and the age of the last good
//! value. [`Silence`] is what happens when no value arrives any longer.
//!
//! # Security
//! A file that is rewritten in place passes through states that can be valid by chance, such as the
//! first of two roots. A writer that pauses in such a state for longer than the settling time (200 ms,
//! or a quarter of a shorter interval) has that state applied. Write to another file and rename it:
//! then no such state exists. Where several files belong together, replace their folder through a
//! symlink, as Kubernetes does.
//!
//! # Events
//! The [audit trail](crate::audit) of the acceptor or connector has an event for each change that was
//! applied, for each set that was denied, with its cause, and for each certificate of ours when a third
//! and when a tenth of its lifetime is left, and when it has expired.

mod builder;
mod error;
#[cfg(feature = "notify")]
mod events;
mod expiry;
mod files;
#[cfg_attr(not(feature = "spiffe"), expect(dead_code, reason = "of SPIFFE"))]
pub(crate) mod follow;
mod handle;
mod part;
mod set;
mod snapshot;
mod source;
mod status;
mod stream;
mod streams;
mod worker;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "spiffe")]
pub(crate) use error::Diagnosed;
pub use error::ReloadError;
pub use handle::Handle;
pub use part::Part;
pub use source::Source;
pub use status::{Applied, OwnCertificate, Refusal, Status, StreamStatus};
pub use stream::Silence;
#[cfg(feature = "stream")]
pub use stream::{Backoff, retry};

use self::part::{Loaded, Watched};
use self::set::Set;
use self::worker::Worker;
use crate::policy::{Authorizer, DenyEntry, DenyList, Policy};
use crate::trust::{Revocation, Trust};
use crate::{Acceptor, Connector, Control, Credentials};

/// The sources of an acceptor's or a connector's parts, and how often they are checked.
///
/// A part without a source is not touched. See the [module](self).
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::reload::{Reload, Source};
/// use countersign::testing::TestCa;
/// use countersign::{Connector, TrustStore, policy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let folder = std::env::temp_dir().join(format!("countersign-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("ca.crt"), ca.pem())?;
///
/// let connector = Connector::builder()
///     .credentials(ca.leaf().dns("billing.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .build()?;
/// let handle = Reload::of(&connector)
///     .trust(Source::<TrustStore>::pem_file(folder.join("ca.crt")))
///     .start()
///     .await?;
/// assert_eq!(handle.status().applied, 1);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "hot reload")]
#[doc(alias = "rotation")]
#[must_use = "nothing is loaded until start()"]
pub struct Reload<I> {
    control: Control<I>,
    watched: Vec<Watched<I>>,
    every: Duration,
    #[cfg(feature = "notify")]
    file_events: bool,
    problem: Option<ReloadError>,
}

impl<I: Send + Sync + 'static> Reload<I> {
    /// Starts without sources, for `&acceptor` or `&connector`.
    pub fn of(target: impl Into<Self>) -> Self {
        target.into()
    }

    fn new(control: Control<I>) -> Self {
        Self {
            control,
            watched: Vec::new(),
            every: Duration::from_secs(10),
            #[cfg(feature = "notify")]
            file_events: false,
            problem: None,
        }
    }

    /// Sets the source of our own certificate chain and private key.
    pub fn credentials(self, source: Source<Credentials>) -> Self {
        self.with(Part::Credentials, source, |credentials| {
            Loaded::Update(Box::new(|update| update.credentials(credentials)))
        })
    }

    /// Sets the source of an acceptor's certificate for clients that ask for this name (SNI).
    pub fn credentials_for(self, name: impl Into<String>, source: Source<Credentials>) -> Self {
        let name = name.into().to_ascii_lowercase();
        let part = Part::CredentialsFor { name: name.clone() };
        self.with(part, source, move |credentials| {
            let name = name.clone();
            Loaded::Update(Box::new(|update| update.credentials_for(name, credentials)))
        })
    }

    /// Sets the source of the roots and pins: of a [`TrustStore`](crate::TrustStore) or of
    /// [`TrustBundles`](crate::trust::TrustBundles).
    pub fn trust<T: Into<Trust> + 'static>(self, source: Source<T>) -> Self {
        self.with(Part::Trust, source, |trust| {
            Loaded::Update(Box::new(|update| update.trust(trust)))
        })
    }

    /// Sets the source of the CRLs: of [`Crls`](crate::trust::Crls), or of a [`Revocation`] for options
    /// other than the strictest.
    pub fn revocation<R: Into<Revocation> + 'static>(self, source: Source<R>) -> Self {
        self.with(Part::Revocation, source, |revocation| {
            Loaded::Update(Box::new(|update| update.revocation(revocation)))
        })
    }

    /// Sets the source of the policy.
    pub fn policy<P: Policy<I> + 'static>(self, source: Source<P>) -> Self {
        self.with(Part::Policy, source, |policy| {
            Loaded::Policy(Authorizer::sync(policy))
        })
    }

    /// Sets the source of the deny list's entries. At each change of the source they replace all entries
    /// of the list, including those that the application added.
    ///
    /// `list` must be the one that the acceptor or connector was built with. Another one would deny no
    /// peer, so [`start`](Self::start) then fails with [`ReloadError::OtherDenyList`].
    pub fn deny_list(mut self, list: &DenyList<I>, source: Source<Vec<DenyEntry<I>>>) -> Self
    where
        I: Eq + Hash,
    {
        if !self.control.asks(list) {
            self.problem = Some(ReloadError::OtherDenyList);
        }
        let list = list.clone();
        self.with(Part::DenyList, source, move |entries| {
            Loaded::DenyList(Box::new(list.prepare(entries)))
        })
    }

    /// Sets the interval at which the files are read.
    ///
    /// Default: 10 s. Limits: 1 ms and 365 days; a value outside of them is set to the nearer one. All
    /// files are read each time. A file over 256 MiB is an error.
    pub const fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Reads the files also as soon as the operating system reports a change.
    ///
    /// The interval remains, because network file systems report nothing, and events can be lost. Where
    /// the operating system provides no events, a warning is logged.
    #[cfg(feature = "notify")]
    pub const fn file_events(mut self) -> Self {
        self.file_events = true;
        self
    }

    /// Awaits the first value of each stream, loads and applies all sources once, then starts a task that applies every change until the last
    /// clone of the [`Handle`] is dropped.
    ///
    /// It takes at least the settling time: 200 ms, or a quarter of a shorter interval.
    ///
    /// # Errors
    /// [`ReloadError`]: the source that could not be loaded, or the parts that do not fit together. Then
    /// nothing has changed, and no task is started.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time enabled.
    ///
    /// # Cancel safety
    /// When the future is dropped, no task is started. The first set is applied as a whole or not at all.
    pub async fn start(self) -> Result<Handle, ReloadError> {
        let target = self.control.clone();
        let (requests, state) = self.start_worker().await?;
        // Only now: a reload that does not start leaves the sources followed.
        follow::take_over(target.sources());
        Ok(Handle::new(requests, state, Arc::new(target)))
    }

    async fn start_worker(self) -> Result<worker::Started, ReloadError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut watched = self.watched;
        watched.sort_by(|a, b| a.part().cmp(b.part())); // the order in events
        let set = Set::new(&self.control, watched);
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
        Self::new(acceptor.control().clone()).with_sources_of_builder()
    }
}

impl<I: Send + Sync + 'static> From<&Connector<I>> for Reload<I> {
    fn from(connector: &Connector<I>) -> Self {
        Self::new(connector.control().clone()).with_sources_of_builder()
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
