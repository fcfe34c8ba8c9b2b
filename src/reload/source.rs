//! The source of a part: files, and a loader.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::{cause_of, reason_of, remedy_of};
use super::stream::{Feed, Followed, OfWatch, StreamError, Values};
use super::{ReloadError, Silence};
use crate::diagnostic::display_diagnostic;
#[cfg(feature = "encrypted-keys")]
use crate::pki::Passphrase;
use crate::pki::file::{self, FileError, MAX_FILE};
#[cfg(feature = "pkcs11")]
use crate::pki::pkcs11::Pkcs11Key;
use crate::trust::{Crls, TrustBundles};
use crate::{Credentials, Diagnostic, TrustStore};

/// The error of a loader.
pub(super) type LoadError = Arc<dyn Error + Send + Sync>;

/// Makes a value of the files, and of the values of the streams.
type Load<T> = dyn Fn(&Values) -> Result<T, LoadError> + Send + Sync;

/// Files and folders with a loader that makes a `T` of them, or a stream of `T`.
///
/// # Files
/// The loader runs on a thread for blocking work, at the start and whenever the content of the files
/// has changed. The content of a folder is that of all its files except hidden ones; subfolders do not
/// count. Symlinks are followed. A pipe, a socket or a device is an error, without waiting for it, and so
/// is a file over 256 MiB.
///
/// ```
/// use countersign::TrustStore;
/// use countersign::identity::TrustDomain;
/// use countersign::reload::Source;
/// use countersign::trust::TrustBundles;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Roots for each of two SPIFFE trust domains.
/// let (ours, partners): (TrustDomain, TrustDomain) = ("prod.example".parse()?, "partner.example".parse()?);
/// let trust: Source<TrustBundles> = Source::<TrustStore>::pem_file("prod.pem")
///     .and(Source::<TrustStore>::pem_dir("partner"))
///     .try_map(move |(prod, partner)| {
///         TrustStore::by_trust_domain()
///             .with(ours.clone(), prod)?
///             .with(partners.clone(), partner)
///     });
/// # Ok(())
/// # }
/// ```
///
/// # Streams
/// [`watch`](Self::watch) takes a channel, and `stream` (feature `stream`) a stream of values. The latest
/// value counts: values in between may be skipped. An error of the stream changes nothing, and is in
/// [`Status::streams`](super::Status::streams) with its name and age. Clones of a source share one
/// stream, so parts that are [`map`](Self::map)ped from clones are always parts of one value:
///
/// ```
/// use countersign::reload::{Reload, Source};
/// use countersign::{Acceptor, Credentials, TrustStore, identity::SpiffeId};
/// use tokio::sync::watch;
///
/// #[derive(Clone)]
/// struct Issued {
///     credentials: Credentials,
///     trust: TrustStore,
/// }
///
/// fn follow(acceptor: &Acceptor<SpiffeId>, issued: watch::Receiver<Issued>) -> Reload<SpiffeId> {
///     let issued = Source::watch("issuer", issued);
///     Reload::of(acceptor)
///         .credentials(issued.clone().map(|issued| issued.credentials))
///         .trust(issued.map(|issued| issued.trust))
/// }
/// ```
pub struct Source<T> {
    paths: Vec<PathBuf>,
    streams: Vec<Followed>,
    load: Arc<Load<T>>,
}

impl<T: 'static> Source<T> {
    /// Loads these files and folders with `load`. `paths` must name every file that `load` reads, or its
    /// changes are not noticed.
    ///
    /// ```
    /// use countersign::Credentials;
    /// use countersign::reload::Source;
    ///
    /// let source = Source::files(["server.der", "key.der"], || {
    ///     Credentials::from_der_files("server.der", "key.der")
    /// });
    /// ```
    pub fn files<P, E>(
        paths: impl IntoIterator<Item = P>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self
    where
        P: Into<PathBuf>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
            streams: Vec::new(),
            load: Arc::new(move |_| load().map_err(|error| Arc::from(error.into()))),
        }
    }

    /// The items of a stream. `name` is that of the service behind it, for errors and
    /// [`Status::streams`](super::Status::streams).
    ///
    /// [`Reload::start`](super::Reload::start) awaits the first good item, for 10 s
    /// ([`first_value_within`](Self::first_value_within)). The stream runs on a task, from then until
    /// the last clone of the source is dropped. Reconnection is up to the stream:
    /// [`retry`](super::retry) helps. An end is reported, and then treated like silence
    /// ([`silence`](Self::silence)).
    ///
    /// ```
    /// use countersign::TrustStore;
    /// use countersign::reload::Source;
    /// use countersign::trust::TrustError;
    /// use futures_core::Stream;
    ///
    /// fn of_control_plane(
    ///     bundles: impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static,
    /// ) -> Source<TrustStore> {
    ///     Source::stream("control plane", bundles).try_map(|pem| TrustStore::from_pem(&pem))
    /// }
    /// ```
    #[cfg(feature = "stream")]
    pub fn stream<S, E>(name: impl Into<Arc<str>>, stream: S) -> Self
    where
        T: Clone + Send + Sync,
        S: futures_core::Stream<Item = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::stream_of(name, stream, |_, _| false)
    }

    /// As [`stream`](Self::stream). A value that equals the one before is not applied again: it only renews the
    /// age. So a stream can repeat its value as a sign of life, for [`Silence::FailClosed`], at no cost to open
    /// connections.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use countersign::policy;
    /// use countersign::reload::{Silence, Source};
    /// use futures_core::Stream;
    ///
    /// # fn f(lines: impl Stream<Item = Result<Vec<String>, std::io::Error>> + Send + 'static) {
    /// // The stream asks for its value every second.
    /// let max_age = Duration::from_secs(60);
    /// let callers = Source::stream_distinct("control plane", lines)
    ///     .silence(Silence::FailClosed { max_age })
    ///     .try_map(policy::spiffe_patterns);
    /// # }
    /// ```
    #[cfg(feature = "stream")]
    pub fn stream_distinct<S, E>(name: impl Into<Arc<str>>, stream: S) -> Self
    where
        T: Clone + PartialEq + Send + Sync,
        S: futures_core::Stream<Item = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::stream_of(name, stream, T::eq)
    }

    /// As [`stream`](Self::stream). A value that `is_same` as the one before is not applied again.
    #[cfg(feature = "stream")]
    pub(crate) fn stream_of<S, E>(
        name: impl Into<Arc<str>>,
        stream: S,
        is_same: fn(&T, &T) -> bool,
    ) -> Self
    where
        T: Clone + Send + Sync,
        S: futures_core::Stream<Item = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let items = super::stream::OfStream(Box::pin(stream));
        Self::pushed(Feed::new(name.into(), items, is_same))
    }

    /// The value of a channel, and each later one. `name` is that of the service behind it.
    ///
    /// A channel whose sender was dropped is a stream that has ended.
    ///
    /// ```
    /// use countersign::reload::Source;
    /// use countersign::testing::TestCa;
    /// use tokio::sync::watch;
    ///
    /// let (sender, receiver) = watch::channel(TestCa::new("Root").trust());
    /// let source = Source::watch("control plane", receiver);
    /// sender.send_replace(TestCa::new("Another root").trust());
    /// ```
    pub fn watch(name: impl Into<Arc<str>>, receiver: watch::Receiver<T>) -> Self
    where
        T: Clone + Send + Sync,
    {
        let values = OfWatch {
            receiver,
            is_first: true,
        };
        Self::pushed(Feed::new(name.into(), values, |_, _| false))
    }

    fn pushed(feed: Arc<Feed>) -> Self
    where
        T: Clone + Send + Sync,
    {
        let (id, name) = (feed.id(), Arc::clone(&feed.name));
        Self {
            paths: Vec::new(),
            streams: vec![Followed::new(feed)],
            load: Arc::new(move |values| match values.get::<T>(id) {
                Some(value) => Ok(value.clone()),
                None => Err(Arc::new(StreamError::NoValue {
                    name: Arc::clone(&name),
                    waited: Duration::ZERO,
                })),
            }),
        }
    }

    /// Sets what happens when the stream has no new value, or has ended. Default: [`Silence::Keep`].
    ///
    /// For a source of files it does nothing.
    #[must_use]
    pub fn silence(mut self, rule: Silence) -> Self {
        for followed in &mut self.streams {
            followed.silence = rule;
        }
        self
    }

    /// Sets how long the first value of the stream is awaited. Default: 10 s.
    ///
    /// For a source of files it does nothing.
    #[must_use]
    pub fn first_value_within(mut self, time: Duration) -> Self {
        for followed in &mut self.streams {
            followed.first_within = time;
        }
        self
    }

    /// Awaits the first value of the stream, for a builder, which does not wait. Nothing is awaited for a
    /// source of files.
    ///
    /// ```
    /// use countersign::reload::Source;
    /// use countersign::testing::TestCa;
    /// use tokio::sync::watch;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), countersign::reload::ReloadError> {
    /// let (_sender, receiver) = watch::channel(TestCa::new("Root").trust());
    /// let trust = Source::watch("control plane", receiver).ready().await?;
    /// // .trust_from(trust)?
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReloadError::NoValue`]: the last error of the stream, or that no value arrived in time.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time enabled.
    ///
    /// # Cancel safety
    /// Cancel safe: the stream runs on, and a clone of the source can be awaited again.
    pub async fn ready(self) -> Result<Self, ReloadError> {
        for followed in &self.streams {
            followed.feed.start();
        }
        for followed in &self.streams {
            let first = followed.first().await;
            first.map_err(|error| ReloadError::NoValue {
                error: Arc::new(error),
            })?;
        }
        Ok(self)
    }

    /// A fixed value, applied at the start only.
    pub fn fixed(value: T) -> Self
    where
        T: Clone + Send + Sync,
    {
        Self::files(None::<PathBuf>, move || Ok::<_, Infallible>(value.clone()))
    }

    /// Converts the loaded value.
    #[must_use]
    pub fn map<U: 'static>(self, make: impl Fn(T) -> U + Send + Sync + 'static) -> Source<U> {
        let load = self.load;
        Source {
            paths: self.paths,
            streams: self.streams,
            load: Arc::new(move |values| load(values).map(&make)),
        }
    }

    /// Converts the loaded value, or fails. The error then names the files.
    #[must_use]
    pub fn try_map<U: 'static, E>(
        self,
        make: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> Source<U>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let load = self.load;
        let names = self.streams.iter().map(|stream| &*stream.feed.name);
        let files = self.paths.iter().map(|path| path.to_string_lossy());
        let from: Arc<[String]> = files
            .map(Cow::into_owned)
            .chain(names.map(str::to_owned))
            .collect();
        Source {
            paths: self.paths,
            streams: self.streams,
            load: Arc::new(move |values| {
                make(load(values)?).map_err(|error| {
                    Arc::new(InFiles {
                        files: Arc::clone(&from),
                        error: error.into(),
                    }) as LoadError
                })
            }),
        }
    }

    /// Loads both values.
    #[must_use]
    pub fn and<U: 'static>(mut self, other: Source<U>) -> Source<(T, U)> {
        self.paths.extend(other.paths);
        self.streams.extend(other.streams);
        let (load, other) = (self.load, other.load);
        Source {
            paths: self.paths,
            streams: self.streams,
            load: Arc::new(move |values| Ok((load(values)?, other(values)?))),
        }
    }

    /// The value of the streams as of now.
    #[cfg(feature = "spiffe")]
    pub(crate) fn latest(&self) -> Result<T, ReloadError> {
        self.load().map_err(|error| ReloadError::NoValue { error })
    }

    /// Loads with the latest values of the streams.
    pub(super) fn load(&self) -> Result<T, LoadError> {
        self.load_with(&Values::of(&self.streams))
    }

    pub(super) fn load_with(&self, values: &Values) -> Result<T, LoadError> {
        (self.load)(values)
    }
}

impl<T> Source<T> {
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub(super) fn streams(&self) -> &[Followed] {
        &self.streams
    }
}

impl Source<Credentials> {
    /// Loads with [`Credentials::from_pem_files`].
    pub fn pem_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let (chain, key) = (chain.into(), key.into());
        Self::files([chain.clone(), key.clone()], move || {
            Credentials::from_pem_files(&chain, &key)
        })
    }
}

#[cfg(feature = "encrypted-keys")]
impl Source<Credentials> {
    /// Loads with [`Credentials::from_encrypted_pem_files`]. `passphrase` is called at each load of a key
    /// that is encrypted.
    ///
    /// A passphrase file is not watched. Replace it before the key: a key whose passphrase is wrong is
    /// refused, and tried again at each interval.
    ///
    /// ```
    /// use countersign::Credentials;
    /// use countersign::pki::Passphrase;
    /// use countersign::reload::Source;
    ///
    /// let source = Source::<Credentials>::encrypted_pem_files("server.crt", "server.key", || {
    ///     Passphrase::from_file("/run/secrets/server.passphrase")
    /// });
    /// ```
    pub fn encrypted_pem_files<E>(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        passphrase: impl Fn() -> Result<Passphrase, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let (chain, key) = (chain.into(), key.into());
        Self::files([chain.clone(), key.clone()], move || {
            Credentials::from_encrypted_pem_files(&chain, &key, &passphrase)
        })
    }
}

#[cfg(feature = "pkcs11")]
impl Source<Credentials> {
    /// Loads with [`Credentials::from_pkcs11`]: the chain from a file, whose change is noticed, and the key in
    /// the token again, by its label or identifier.
    ///
    /// For a new key, write it into the token under the same label, have its certificate issued, and replace
    /// the file; with [`chosen_by_certificate`](crate::pki::pkcs11::Pkcs11Key::chosen_by_certificate) the old
    /// key stays in use until then.
    ///
    /// ```
    /// use countersign::Credentials;
    /// use countersign::pki::pkcs11::Pkcs11Key;
    /// use countersign::reload::Source;
    ///
    /// let key = Pkcs11Key::from_uri(
    ///     "pkcs11:token=orders;object=tls?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin",
    /// )?;
    /// let source = Source::<Credentials>::pkcs11("server.crt", key.chosen_by_certificate());
    /// # Ok::<(), countersign::pki::pkcs11::Pkcs11Error>(())
    /// ```
    pub fn pkcs11(chain: impl Into<PathBuf>, key: Pkcs11Key) -> Self {
        let chain = chain.into();
        Self::files([chain.clone()], move || {
            Credentials::from_pkcs11(&chain, key.clone())
        })
    }
}

impl Source<Credentials> {
    /// Loads `credential-bundle.pem` of this folder, which has the key and the chain in one file, as
    /// SPIFFE's files and Kubernetes' Pod Certificates do. The key may come first.
    ///
    /// ```
    /// use countersign::reload::Source;
    /// use countersign::trust::TrustBundles;
    /// use countersign::{Acceptor, Credentials, identity::SpiffeId};
    ///
    /// # fn f(acceptor: Acceptor<SpiffeId>) {
    /// let folder = "/var/run/spiffe";
    /// let reload = countersign::reload::Reload::of(&acceptor)
    ///     .credentials(Source::<Credentials>::spiffe_dir(folder))
    ///     .trust(Source::<TrustBundles>::spiffe_dir(folder));
    /// # }
    /// ```
    pub fn spiffe_dir(folder: impl Into<PathBuf>) -> Self {
        let bundle = folder.into().join("credential-bundle.pem");
        Self::pem_files(bundle.clone(), bundle)
    }
}

impl Source<TrustBundles> {
    /// Loads with [`TrustBundles::from_spiffe_dir`].
    pub fn spiffe_dir(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self::files([folder.clone()], move || {
            TrustBundles::from_spiffe_dir(&folder)
        })
    }

    /// Loads with [`TrustBundles::from_spiffe_bundle_map_file`].
    #[cfg(feature = "spiffe-bundle")]
    pub fn spiffe_bundle_map(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || {
            TrustBundles::from_spiffe_bundle_map_file(&path)
        })
    }
}

impl Source<TrustStore> {
    /// Loads with [`TrustStore::from_spiffe_bundle_file`]. A file that the application writes from the
    /// bundle endpoint of a federated trust domain is such a file.
    #[cfg(feature = "spiffe-bundle")]
    pub fn spiffe_bundle(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || {
            TrustStore::from_spiffe_bundle_file(&path)
        })
    }

    /// Loads with [`TrustStore::from_pem_file`].
    pub fn pem_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || TrustStore::from_pem_file(&path))
    }

    /// Loads with [`TrustStore::from_pem_dir`].
    pub fn pem_dir(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || TrustStore::from_pem_dir(&path))
    }
}

impl Source<Crls> {
    /// Loads with [`Crls::from_file`].
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || Crls::from_file(&path))
    }

    /// Loads with [`Crls::from_dir`].
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || Crls::from_dir(&path))
    }
}

impl Source<String> {
    /// Loads the text of a file in UTF-8, for [`try_map`](Self::try_map) to parse.
    pub fn text_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::files([path.clone()], move || read_text(&path))
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self {
            paths: self.paths.clone(),
            streams: self.streams.clone(),
            load: Arc::clone(&self.load),
        }
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("paths", &self.paths)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

fn read_text(path: &Path) -> Result<String, TextError> {
    let file = path.to_path_buf();
    let bytes = match file::read(path) {
        Ok(bytes) => bytes,
        Err(FileError::Io(source)) => return Err(TextError::Unreadable { file, source }),
        Err(FileError::NotAFile) => return Err(TextError::NotAFile { file }),
        Err(FileError::TooLarge) => return Err(TextError::TooLarge { file }),
    };
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        TextError::NotText {
            file,
            line: 1 + good.iter().filter(|byte| **byte == b'\n').count(),
        }
    })
}

/// Why a text file could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextError {
    Unreadable { file: PathBuf, source: io::Error },
    NotAFile { file: PathBuf },
    TooLarge { file: PathBuf },
    NotText { file: PathBuf, line: usize },
}

impl Diagnostic for TextError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable_file",
            Self::NotAFile { .. } => "not_a_file",
            Self::TooLarge { .. } => "too_large",
            Self::NotText { .. } => "not_text",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Unreadable { file, source } => {
                format!("cannot read {}: {source}", file.display())
            }
            Self::NotAFile { file } => format!(
                "{} is not a regular file but a pipe, a socket or a device",
                file.display()
            ),
            Self::TooLarge { file } => {
                format!("{} is larger than {MAX_FILE} bytes", file.display())
            }
            Self::NotText { file, line } => format!("{}, line {line}: not UTF-8", file.display()),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::NotAFile { .. } => "put a file there",
            Self::TooLarge { .. } => "check whether it is the intended file",
            Self::NotText { .. } => "save it in UTF-8",
        }
        .into()
    }
}

display_diagnostic!(TextError);

/// An error about the content of files that were read, or of a stream's value, with their names.
#[derive(Debug)]
pub(super) struct InFiles {
    files: Arc<[String]>,
    error: Box<dyn Error + Send + Sync>,
}

impl Diagnostic for InFiles {
    fn reason(&self) -> &'static str {
        reason_of(&*self.error)
    }

    fn cause(&self) -> Cow<'_, str> {
        let between = if self.files.is_empty() { "" } else { ": " };
        let files = self.files.join(", ");
        format!("{files}{between}{}", cause_of(&*self.error)).into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        remedy_of(&*self.error)
    }
}

display_diagnostic!(InFiles);

impl Error for InFiles {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_combine_and_errors_name_the_files() {
        let number = |value: u32| Source::files(["a.txt"], move || Ok::<_, Infallible>(value));
        let both = number(1)
            .and(Source::files(["b.txt"], || Ok::<_, Infallible>(2)))
            .map(|(a, b)| a + b);
        assert_eq!(both.load().ok(), Some(3));
        assert_eq!(both.paths(), [Path::new("a.txt"), Path::new("b.txt")]);

        let failing = both.try_map(|sum| match sum {
            3 => Err("three is too many"),
            _ => Ok(sum),
        });
        let error = failing.load().expect_err("three");
        assert_eq!(
            error.to_string(),
            "a.txt, b.txt: three is too many; correct what the loader reads"
        );
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("three is too many"));
        let fixed = Source::fixed(4).try_map(|_| Err::<(), _>("no file"));
        assert_eq!(
            fixed.load().expect_err("no").to_string(),
            "no file; correct what the loader reads"
        );
    }
}
