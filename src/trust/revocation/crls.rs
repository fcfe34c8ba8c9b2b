//! Loading of certificate revocation lists: all of them, or an error.

use std::fmt;
use std::path::Path;

use rustls_pki_types::pem::SectionKind;

use crate::pki::pem::{Origin, read_blocks};
use crate::pki::{Crl, CrlFormatError, PemError};
use crate::trust::{CrlError, files};

/// One or more certificate revocation lists.
///
/// A list that cannot be used is an error that names it; none is skipped. The order does not matter: of
/// two lists of one issuer's key and scope, the one with the later thisUpdate counts, or the one with
/// the higher cRLNumber if these are equal.
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
}

impl Crls {
    /// Reads a file: PEM with one or more `X509 CRL` blocks, or one CRL in DER.
    ///
    /// # Errors
    /// [`CrlError`] names the file and block: one that is cut off, is not a CRL, or is not supported
    /// (delta, indirect, for some reasons only; see [`Crl::from_der`]).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CrlError> {
        let (origin, bytes) = Origin::read(path.as_ref())?;
        Self::read(bytes, &origin)
    }

    /// Reads every `*.crl`, `*.pem` and `*.der` file of a folder, symlinks followed. Other names,
    /// hidden files and subfolders are ignored.
    ///
    /// # Errors
    /// [`CrlError`] as for [`from_file`](Self::from_file), for the first bad file; and when the
    /// folder has no such file.
    pub fn from_dir(path: impl AsRef<Path>) -> Result<Self, CrlError> {
        let folder = path.as_ref();
        let files =
            files::named(folder, &["crl", "pem", "der"]).map_err(|source| PemError::Io {
                file: folder.to_path_buf(),
                source,
            })?;
        let mut lists = Vec::new();
        for file in files {
            lists.extend(Self::from_file(file)?.lists);
        }
        if lists.is_empty() {
            return Err(CrlError::EmptyFolder {
                folder: folder.to_path_buf(),
            });
        }
        Ok(Self { lists })
    }

    /// Reads PEM with one or more `X509 CRL` blocks, or one CRL in DER, from memory.
    ///
    /// # Errors
    /// [`CrlError`] as for [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, CrlError> {
        Self::read(bytes.into(), &Origin::Bytes)
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
        Ok(Self { lists })
    }

    /// Adds the lists of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.lists.extend(other.lists);
        self
    }

    /// The lists, in the order in which they were given.
    pub fn lists(&self) -> &[Crl] {
        &self.lists
    }

    fn read(bytes: Vec<u8>, origin: &Origin) -> Result<Self, CrlError> {
        const DER_SEQUENCE: u8 = 0x30;

        let usable = |list: Result<Crl, CrlFormatError>, place: &dyn fmt::Display| {
            list.map_err(|problem| CrlError::Unusable {
                place: place.to_string(),
                problem,
            })
        };
        // PEM is text, and no text starts with the digit 0 followed by a DER length.
        if bytes.first() == Some(&DER_SEQUENCE) && !bytes.is_ascii() {
            let list = usable(Crl::from_boxed(bytes.into()), origin)?;
            return Ok(Self { lists: vec![list] });
        }
        let blocks = read_blocks(&bytes, origin)?;
        drop(bytes);
        let lists = blocks
            .into_iter()
            .map(|mut block| match block.take() {
                Some((SectionKind::Crl, der)) => usable(Crl::from_boxed(der.into()), &block.place),
                _ => Err(block.unexpected("an X509 CRL").into()),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { lists })
    }
}

impl fmt::Debug for Crls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lists).finish()
    }
}
