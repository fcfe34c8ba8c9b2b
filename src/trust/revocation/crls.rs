//! Loading of certificate revocation lists: all of them, or an error.

use std::fmt;
use std::path::Path;

use super::CrlLoader;
use crate::pki::Crl;
use crate::trust::CrlError;

/// One or more certificate revocation lists.
///
/// A list that cannot be used is an error that names it; none is skipped, unless an option of a
/// [`CrlLoader`] allows it. The order does not matter: of two lists of one issuer's key and scope, the one with the later
/// thisUpdate counts, or the one with the higher cRLNumber if these are equal. If nothing orders them, a
/// certificate is revoked when any of them lists it.
///
/// A delta CRL is applied to the complete CRL beside it (RFC 5280 section 5.2.4).
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::Crls;
///
/// let crls = Crls::from_bytes(TestCa::new("Root").crl().pem())?;
/// assert_eq!(crls.lists().len(), 1);
/// # Ok::<(), countersign::trust::CrlError>(())
/// ```
#[derive(Clone)]
pub struct Crls {
    lists: Vec<Crl>,
    skipped: Vec<SkippedCrl>,
}

impl Crls {
    /// Reads CRLs with other rules: without a number, without delta CRLs, or despite bad files.
    ///
    /// ```no_run
    /// use countersign::pki::CrlNumber;
    /// use countersign::trust::Crls;
    ///
    /// // easy-rsa's CRL has no number.
    /// let crls = Crls::loader().number(CrlNumber::Optional).from_file("pki/crl.pem")?;
    /// # Ok::<(), countersign::trust::CrlError>(())
    /// ```
    pub fn loader() -> CrlLoader {
        CrlLoader::default()
    }

    /// Reads a file: PEM with one or more `X509 CRL` blocks, or one CRL in DER.
    ///
    /// # Errors
    /// [`CrlError`] names the file and block: one that is cut off, is not a CRL, or is not supported
    /// (version 1, without a number, with an unknown critical extension; see [`Crl::from_der`]).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CrlError> {
        Self::loader().from_file(path)
    }

    /// Reads every `*.crl`, `*.pem` and `*.der` file of a folder, symlinks followed. Other names,
    /// hidden files and subfolders are ignored.
    ///
    /// # Errors
    /// [`CrlError`] as for [`from_file`](Self::from_file), for the first bad file; and when the
    /// folder has no such file.
    pub fn from_dir(path: impl AsRef<Path>) -> Result<Self, CrlError> {
        Self::loader().from_dir(path)
    }

    /// Reads PEM with one or more `X509 CRL` blocks, or one CRL in DER, from memory.
    ///
    /// # Errors
    /// [`CrlError`] as for [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, CrlError> {
        Self::loader().from_bytes(bytes)
    }

    /// Takes parsed lists.
    ///
    /// # Errors
    /// [`CrlError::None`] when there is none.
    pub fn new(lists: impl IntoIterator<Item = Crl>) -> Result<Self, CrlError> {
        let lists: Vec<Crl> = lists.into_iter().collect();
        if lists.is_empty() {
            return Err(CrlError::None);
        }
        Ok(Self::loaded(lists, Vec::new()))
    }

    pub(super) const fn loaded(lists: Vec<Crl>, skipped: Vec<SkippedCrl>) -> Self {
        Self { lists, skipped }
    }

    /// No list.
    #[cfg(all(feature = "spiffe", feature = "tokio"))]
    pub(in crate::trust) const fn none() -> Self {
        Self::loaded(Vec::new(), Vec::new())
    }

    /// Adds the lists of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.lists.extend(other.lists);
        self.skipped.extend(other.skipped);
        self
    }

    /// The lists, in the order in which they were given.
    pub fn lists(&self) -> &[Crl] {
        &self.lists
    }

    /// What an option of a [`CrlLoader`] allowed to skip.
    pub fn skipped(&self) -> &[SkippedCrl] {
        &self.skipped
    }
}

/// A file or a CRL that was skipped by an explicit option of a [`CrlLoader`].
///
/// ```
/// use countersign::testing::{TestCa, der};
/// use countersign::trust::{Crls, DeltaCrls};
///
/// let ca = TestCa::new("Root");
/// let delta = ca.crl().number(2).extension("2.5.29.27", true, &der::integer(1));
/// let both = ca.crl().pem() + &delta.pem();
/// let crls = Crls::loader().delta(DeltaCrls::Skip).from_bytes(both)?;
/// assert_eq!(crls.lists().len(), 1);
/// assert_eq!(crls.skipped()[0].reason(), "delta_crl_skipped");
/// # Ok::<(), countersign::trust::CrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedCrl {
    pub(super) place: String,
    pub(super) reason: &'static str,
    pub(super) cause: String,
}

impl SkippedCrl {
    /// The file, and the block if it has several.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A stable code: `delta_crl_skipped`, or that of the [`CrlError`] of a bad file.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Why it was skipped.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for SkippedCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.cause)
    }
}

impl fmt::Debug for Crls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lists).finish()
    }
}
