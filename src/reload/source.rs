//! The source of a part: files, and a loader.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{cause_of, reason_of, remedy_of};
use crate::diagnostic::display_diagnostic;
#[cfg(feature = "encrypted-keys")]
use crate::pki::Passphrase;
use crate::pki::file::{self, FileError, MAX_FILE};
use crate::trust::Crls;
use crate::{Credentials, Diagnostic, TrustStore};

/// The error of a loader.
pub(super) type LoadError = Arc<dyn Error + Send + Sync>;

type Load<T> = dyn Fn() -> Result<T, LoadError> + Send + Sync;

/// Files and folders, and a loader that makes a `T` of them.
///
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
pub struct Source<T> {
    paths: Vec<PathBuf>,
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
            load: Arc::new(move || load().map_err(|error| Arc::from(error.into()))),
        }
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
            load: Arc::new(move || load().map(&make)),
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
        let paths = self.paths.clone();
        Source {
            paths: self.paths,
            load: Arc::new(move || {
                make(load()?).map_err(|error| {
                    Arc::new(InFiles {
                        files: paths.clone(),
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
        let (load, other) = (self.load, other.load);
        Source {
            paths: self.paths,
            load: Arc::new(move || Ok((load()?, other()?))),
        }
    }

    pub(super) fn load(&self) -> Result<T, LoadError> {
        (self.load)()
    }
}

impl<T> Source<T> {
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
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

impl Source<TrustStore> {
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
            load: Arc::clone(&self.load),
        }
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("paths", &self.paths)
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

/// An error about the content of files that were read, with their names.
#[derive(Debug)]
pub(super) struct InFiles {
    files: Vec<PathBuf>,
    error: Box<dyn Error + Send + Sync>,
}

impl Diagnostic for InFiles {
    fn reason(&self) -> &'static str {
        reason_of(&*self.error)
    }

    fn cause(&self) -> Cow<'_, str> {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| file.to_string_lossy())
            .collect();
        let between = if files.is_empty() { "" } else { ": " };
        format!("{}{between}{}", files.join(", "), cause_of(&*self.error)).into()
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
        let fixed = Source::fixed(4).try_map(|_| Err::<(), _>("no file"));
        assert_eq!(
            fixed.load().expect_err("no").to_string(),
            "no file; correct what the loader reads"
        );
    }
}
