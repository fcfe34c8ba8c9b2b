//! The PIN of a token.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::pki::PemError;
use crate::pki::pem::Origin;

/// The PIN of a token. It is wiped from memory when it is dropped, and `Debug` does not show it.
///
/// ```
/// use countersign::pki::pkcs11::Pin;
///
/// let pin = Pin::new("1234");
/// assert_eq!(format!("{pin:?}"), "Pin(..)");
/// ```
///
/// # Security
/// The memory that the application itself reads the PIN into is not wiped, unless it is the `String` or
/// `Vec` given to [`new`](Self::new).
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Takes a PIN, without a copy of a `String` or a `Vec`.
    pub fn new(pin: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(pin.into()))
    }

    /// Reads a PIN from a file. One line break at its end is not part of the PIN.
    ///
    /// # Errors
    /// [`PemError`] names the file: it cannot be read, or it is not a file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PemError> {
        let (_, mut bytes) = Origin::read_secret(path.as_ref())?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}
