//! Where a key is.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Pkcs11Error;
use super::pin::Pin;
use super::uri::Uri;

/// Where a private key is in a PKCS#11 token, and how to log in.
///
/// ```
/// use countersign::pki::pkcs11::Pkcs11Key;
///
/// let key = Pkcs11Key::from_uri(
///     "pkcs11:token=orders;object=tls?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin",
/// )?;
/// # Ok::<(), countersign::pki::pkcs11::Pkcs11Error>(())
/// ```
///
/// # The URI
/// RFC 7512, read strictly. `token`, `serial`, `manufacturer`, `model`, `slot-id`, `slot-description`,
/// `slot-manufacturer`, `library-description`, `library-manufacturer` and `library-version` choose the token;
/// `object` (the label) and `id` choose the key; `type` is `private` if it is there. After the `?` are
/// `module-path`, an absolute path, and one of `pin-source`, an absolute path or a `file:` URI, and `pin-value`.
/// More than one token or key that matches is an error.
#[derive(Clone)]
pub struct Pkcs11Key {
    pub(super) uri: Uri,
    pub(super) module: Option<PathBuf>,
    pin: Option<Arc<ReadPin>>,
    pub(super) sessions: usize,
    pub(super) by_certificate: bool,
}

type ReadPin = dyn Fn() -> Result<Pin, Box<dyn Error + Send + Sync>> + Send + Sync;

impl Pkcs11Key {
    /// Reads a PKCS #11 URI.
    ///
    /// # Errors
    /// [`Pkcs11Error::Uri`]: it is malformed (`pkcs11:token`), has an attribute twice, or one that is not
    /// supported.
    pub fn from_uri(uri: &str) -> Result<Self, Pkcs11Error> {
        let uri = Uri::parse(uri)?;
        Ok(Self {
            module: uri.module_path.clone(),
            uri,
            pin: None,
            sessions: 8,
            by_certificate: false,
        })
    }

    /// Sets the path of the module, in place of the URI's `module-path`.
    #[must_use]
    pub fn with_module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// Sets a function that returns the PIN, in place of the URI's `pin-source` and `pin-value`. It is called
    /// at each login: at the start, and when the token was away.
    ///
    /// ```
    /// use countersign::pki::pkcs11::{Pin, Pkcs11Key};
    ///
    /// let key = Pkcs11Key::from_uri("pkcs11:token=orders;object=tls")?
    ///     .with_module("/usr/lib/softhsm/libsofthsm2.so")
    ///     .with_pin(|| Pin::from_file("/run/secrets/pin"));
    /// # Ok::<(), countersign::pki::pkcs11::Pkcs11Error>(())
    /// ```
    #[must_use]
    pub fn with_pin<E>(mut self, read: impl Fn() -> Result<Pin, E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.pin = Some(Arc::new(move || read().map_err(Into::into)));
        self
    }

    /// Sets how many sessions are open at most, and so how many signatures are made at the same time.
    /// Default: 8. Zero counts as one, and a token's own limit holds.
    #[must_use]
    pub const fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = if sessions == 0 { 1 } else { sessions };
        self
    }

    /// Of the keys that match the URI, takes the one that signs for the certificate of the chain. Default: more
    /// than one key that matches is an error.
    ///
    /// It lets the old key stay in the token while a reload changes to the new one: both have the same label.
    #[must_use]
    pub const fn chosen_by_certificate(mut self) -> Self {
        self.by_certificate = true;
        self
    }

    /// What a token can have open.
    pub(super) fn with_fewer_sessions(self, limit: usize) -> Self {
        let sessions = self.sessions.min(limit);
        self.with_sessions(sessions)
    }

    /// The PIN, if there is one.
    pub(super) fn pin(&self) -> Result<Option<Pin>, Pkcs11Error> {
        let failed = |source| Pkcs11Error::PinSource { source };
        if let Some(read) = &self.pin {
            return read().map(Some).map_err(failed);
        }
        if let Some(path) = &self.uri.pin_source {
            let pin = Pin::from_file(path).map_err(|error| failed(error.into()))?;
            return Ok(Some(pin));
        }
        Ok(self.uri.pin_value.clone())
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Key")
            .field("uri", &self.uri)
            .field("module", &self.module)
            .field("sessions", &self.sessions)
            .field("by_certificate", &self.by_certificate)
            .finish_non_exhaustive()
    }
}
