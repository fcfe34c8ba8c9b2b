//! Options for the loading of CRLs.

use std::fmt;
use std::path::Path;

use rustls_pki_types::pem::SectionKind;

use super::Crls;
use super::crls::SkippedCrl;
use crate::diagnostic::Diagnostic as _;
use crate::pki::pem::{Origin, read_blocks};
use crate::pki::{Crl, CrlFormatError, CrlNumber, PemError};
use crate::trust::{CrlError, files};

/// What happens with delta CRLs, which contain the changes since a complete CRL (RFC 5280 section 5.2.4).
/// Active Directory Certificate Services publishes `CA+.crl` beside `CA.crl`.
///
/// ```
/// use countersign::trust::{Crls, DeltaCrls};
///
/// let loader = Crls::loader().delta(DeltaCrls::Skip);
/// # let _ = loader;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaCrls {
    /// They are applied: a certificate is revoked when the delta or the complete CRL lists it, unless the
    /// delta removes it from the complete one.
    #[default]
    Apply,
    /// They are left out. [`Crls::skipped`] lists them.
    ///
    /// # Security
    /// Certificates that were revoked since the complete CRL are accepted until its successor is loaded.
    Skip,
}

/// What happens when a file of a folder cannot be used.
///
/// ```
/// use countersign::trust::{Crls, UnusableFiles};
///
/// let loader = Crls::loader().unusable_files(UnusableFiles::Skip);
/// # let _ = loader;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnusableFiles {
    /// It is an error that names the file, and nothing is loaded.
    #[default]
    Reject,
    /// It is left out, and the others are loaded. [`Crls::skipped`] lists it. A folder without any usable
    /// file is an error still.
    ///
    /// # Security
    /// If the file holds the only CRL of an issuer, its certificates are rejected, because their status is
    /// unknown. If it holds a newer CRL beside an older one, or one shard for certificates without a
    /// distribution point, what it revokes is accepted.
    Skip,
}

/// Reads CRLs with explicit options. [`Crls::loader`] makes one.
///
/// ```no_run
/// use countersign::pki::CrlNumber;
/// use countersign::reload::Source;
/// use countersign::trust::{Crls, UnusableFiles};
///
/// let loader = Crls::loader()
///     .number(CrlNumber::Optional)
///     .unusable_files(UnusableFiles::Skip);
/// let source = Source::files(["crls"], move || loader.from_dir("crls"));
/// # let _: Source<Crls> = source;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a loader does nothing until `from_file`, `from_dir` or `from_bytes`"]
pub struct CrlLoader {
    number: CrlNumber,
    delta: DeltaCrls,
    unusable: UnusableFiles,
}

impl CrlLoader {
    /// Sets whether each CRL must be version 2 and have a number. Default: [`CrlNumber::Required`].
    pub const fn number(mut self, rule: CrlNumber) -> Self {
        self.number = rule;
        self
    }

    /// Sets what happens with delta CRLs. Default: [`DeltaCrls::Apply`].
    pub const fn delta(mut self, rule: DeltaCrls) -> Self {
        self.delta = rule;
        self
    }

    /// Sets what happens when a file of a folder cannot be used. Default: [`UnusableFiles::Reject`].
    pub const fn unusable_files(mut self, rule: UnusableFiles) -> Self {
        self.unusable = rule;
        self
    }

    /// As [`Crls::from_file`]. The rule about unusable files does not apply.
    ///
    /// # Errors
    /// As for [`Crls::from_file`]; [`CrlError::None`] when every CRL was skipped.
    pub fn from_file(&self, path: impl AsRef<Path>) -> Result<Crls, CrlError> {
        self.complete(self.read_file(path.as_ref())?)
    }

    /// As [`Crls::from_dir`].
    ///
    /// # Errors
    /// As for [`Crls::from_dir`]; [`CrlError::None`] when every CRL was skipped, or the error of the first
    /// bad file when no file could be used.
    pub fn from_dir(&self, path: impl AsRef<Path>) -> Result<Crls, CrlError> {
        let folder = path.as_ref();
        let files =
            files::named(folder, &["crl", "pem", "der"]).map_err(|source| PemError::Io {
                file: folder.to_path_buf(),
                source,
            })?;
        if files.is_empty() {
            return Err(CrlError::EmptyFolder {
                folder: folder.to_path_buf(),
            });
        }
        let mut all = Crls::loaded(Vec::new(), Vec::new());
        let mut first_error = None;
        for file in files {
            match (self.read_file(&file), self.unusable) {
                (Ok(crls), _) => all = all.and(crls),
                (Err(error), UnusableFiles::Reject) => return Err(error),
                (Err(error), UnusableFiles::Skip) => {
                    let skipped = SkippedCrl {
                        place: file.display().to_string(),
                        reason: error.reason(),
                        cause: error.cause().into_owned(),
                    };
                    all = all.and(Crls::loaded(Vec::new(), vec![skipped]));
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if all.lists().is_empty() => Err(error),
            _ => self.complete(all),
        }
    }

    /// As [`Crls::from_bytes`].
    ///
    /// # Errors
    /// As for [`from_file`](Self::from_file).
    pub fn from_bytes(&self, bytes: impl Into<Vec<u8>>) -> Result<Crls, CrlError> {
        self.complete(self.read(bytes.into(), &Origin::Bytes)?)
    }

    fn complete(&self, crls: Crls) -> Result<Crls, CrlError> {
        if crls.lists().is_empty() {
            return Err(CrlError::None);
        }
        Ok(crls)
    }

    fn read_file(&self, path: &Path) -> Result<Crls, CrlError> {
        let (origin, bytes) = Origin::read(path)?;
        self.read(bytes, &origin)
    }

    fn read(&self, bytes: Vec<u8>, origin: &Origin) -> Result<Crls, CrlError> {
        const DER_SEQUENCE: u8 = 0x30;

        let mut all = Crls::loaded(Vec::new(), Vec::new());
        // PEM is text, and no text starts with the digit 0 followed by a DER length.
        if bytes.first() == Some(&DER_SEQUENCE) && !bytes.is_ascii() {
            return self.parse(bytes, origin);
        }
        let blocks = read_blocks(&bytes, origin)?;
        drop(bytes);
        for mut block in blocks {
            let Some((SectionKind::Crl, der)) = block.take() else {
                return Err(block.unexpected("an X509 CRL").into());
            };
            all = all.and(self.parse(der, &block.place)?);
        }
        Ok(all)
    }

    fn parse(&self, der: Vec<u8>, place: &dyn fmt::Display) -> Result<Crls, CrlError> {
        let unusable = |problem: CrlFormatError| CrlError::Unusable {
            place: place.to_string(),
            problem,
        };
        let list = Crl::from_boxed(der.into(), self.number).map_err(unusable)?;
        if !list.is_delta() || self.delta == DeltaCrls::Apply {
            return Ok(Crls::loaded(vec![list], Vec::new()));
        }
        let skipped = SkippedCrl {
            place: place.to_string(),
            reason: "delta_crl_skipped",
            cause: format!("{place}: {list} is a delta CRL"),
        };
        Ok(Crls::loaded(Vec::new(), vec![skipped]))
    }
}
