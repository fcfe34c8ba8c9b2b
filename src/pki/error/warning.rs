//! What was loaded although its file is not as it should be.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::{BlockPlace, ContentKind};

/// A file that was loaded although it is not as it should be.
///
/// What it means is unambiguous, so it is used. Other programs may reject the file.
///
/// ```
/// use countersign::{Credentials, Diagnostic};
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").leaf().issue();
/// let from_an_editor = format!("\u{feff}{}", issued.chain_pem());
/// let credentials = Credentials::from_pem(from_an_editor, issued.key_pem())?;
/// assert_eq!(credentials.warnings()[0].reason(), "byte_order_mark");
/// # Ok::<(), countersign::pki::CredentialsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadWarning {
    /// A UTF-8 byte order mark is before a block.
    ByteOrderMark {
        /// The block.
        place: BlockPlace,
    },
    /// The file is UTF-16 with a byte order mark.
    Utf16 {
        /// The file, or "the given bytes".
        place: String,
    },
    /// The label of a block is not that of its content, which is unambiguous.
    Mislabelled {
        /// The block.
        place: BlockPlace,
        /// The label on its BEGIN line.
        label: String,
        /// What it contains.
        found: ContentKind,
    },
    /// A block that has no effect, such as DH PARAMETERS.
    Ignored {
        /// The block.
        place: BlockPlace,
        /// The label on its BEGIN line.
        label: String,
    },
}

impl LoadWarning {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ByteOrderMark { .. } => "byte_order_mark",
            Self::Utf16 { .. } => "utf16",
            Self::Mislabelled { .. } => "pem_mislabelled",
            Self::Ignored { .. } => "pem_block_ignored",
        }
    }
}

impl Diagnostic for LoadWarning {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::ByteOrderMark { place } => {
                format!("{place} was loaded, with a UTF-8 byte order mark before it")
            }
            Self::Utf16 { place } => format!("{place} was loaded, in UTF-16 instead of UTF-8"),
            Self::Mislabelled {
                place,
                label,
                found,
            } => {
                format!("{place} was loaded: its label is {label}, and it contains {found}")
            }
            Self::Ignored { place, label } => {
                format!("{place} was ignored: {label} has no effect here")
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::ByteOrderMark { .. } => "save the file without it: other programs may reject it",
            Self::Utf16 { .. } => "save it in UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > FILE.pem`",
            Self::Mislabelled { found, .. } if found.is_plain_key() => {
                "write it with the right label: `openssl pkey -in FILE -out FILE.pem`"
            }
            Self::Mislabelled { .. } => {
                "write it with the right label: `openssl x509 -in FILE -out FILE.pem`"
            }
            Self::Ignored { .. } => "remove it, if other programs do not need it",
        }
        .into()
    }
}

display_diagnostic!(LoadWarning);
