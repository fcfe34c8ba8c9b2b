//! Keys in PKCS#11 tokens: HSMs, smart cards, and TPMs behind `libtpm2_pkcs11`.
//!
//! A [`Pkcs11Key`] says where a key is. [`Credentials::from_pkcs11`] takes it with a certificate chain in a
//! file, and [`Credentials::from_pkcs11_token`] with the certificate in the token. The private key never leaves
//! the token. `Source::pkcs11` of [`reload`](crate::reload) loads both again when the file changes.
//!
//! ```no_run
//! use countersign::Credentials;
//! use countersign::pki::pkcs11::Pkcs11Key;
//!
//! let key = Pkcs11Key::from_uri(
//!     "pkcs11:token=orders;object=tls?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin",
//! )?;
//! let credentials = Credentials::from_pkcs11("server.crt", key)?;
//! # Ok::<(), countersign::pki::pkcs11::Pkcs11Error>(())
//! ```
//!
//! # Signatures
//! Sessions are opened as they are needed, kept, and used by one signature at a time. ECDSA with P-256, P-384
//! and P-521, RSA (PSS, and PKCS#1 v1.5 for TLS 1.2) and Ed25519 are offered to peers as far as the token makes
//! them: at the start each is tried once. Each signature is verified before it is sent, so that a token which
//! signs wrongly is found here, and not by peers.
//!
//! # When the token is gone
//! A handshake without its token fails with
//! [`HandshakeError::Signing`](crate::HandshakeError::Signing). Each later signature looks for the token again,
//! logs in again, and finds the key again. A wrong PIN is never given to a token twice by one process, and the
//! last attempt before a token locks is not used.
//!
//! # Security
//! A PKCS#11 module is a library that runs inside of this process, with all of its rights: only load modules
//! that you would link. It is loaded once, and stays loaded. If this crate was the first to initialize it, it
//! may initialize it again when a token or a key is missing, while no signature is being made; a program that uses
//! the same module by other means initializes it first.
//!
//! A PIN in a URI is visible wherever the URI is: in configuration files, arguments and the list of processes.
//! Prefer `pin-source`, or [`Pkcs11Key::with_pin`]. PINs are wiped from memory when they are dropped, and are
//! in no `Debug` output, log or error.

mod error;
mod key;
mod login;
mod module;
mod object;
mod pin;
mod signature;
mod signer;
mod uri;

pub use error::Pkcs11Error;
pub use key::Pkcs11Key;
pub use pin::Pin;

use std::path::Path;
use std::sync::Arc;

use self::signer::TokenSigner;
use crate::Credentials;

impl Credentials {
    /// Reads a PEM certificate chain from a file, for a key in a PKCS#11 token.
    ///
    /// It opens a session, logs in, finds the key, and makes one signature for each signature scheme. It
    /// blocks as long as the token does.
    ///
    /// ```no_run
    /// use countersign::Credentials;
    /// use countersign::pki::pkcs11::{Pin, Pkcs11Key};
    ///
    /// let key = Pkcs11Key::from_uri("pkcs11:token=orders;object=tls")?
    ///     .with_module("/usr/lib/softhsm/libsofthsm2.so")
    ///     .with_pin(|| Pin::from_file("/run/secrets/pin"));
    /// let credentials = Credentials::from_pkcs11("server.crt", key)?;
    /// # Ok::<(), countersign::pki::pkcs11::Pkcs11Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Pkcs11Error`]: the module cannot be loaded, no token or key is found, or more than one; the PIN is
    /// wrong, locked or missing; the key cannot sign, or is not the certificate's.
    ///
    /// # Security
    /// See [`pkcs11`](self).
    pub fn from_pkcs11(chain: impl AsRef<Path>, key: Pkcs11Key) -> Result<Self, Pkcs11Error> {
        let (chain, warnings) = Self::chain_of(chain.as_ref())?;
        let (signer, place) = TokenSigner::for_chain(key, &chain)?;
        let credentials = Self::from_signer_at(chain, Arc::new(signer), &place)?;
        Ok(credentials.with(warnings))
    }

    /// Takes the certificate of the key from the token: the one with the key's identifier (CKA_ID), or its
    /// label if it has none. Issuers are taken from the token as far as it has them; a root is left out.
    ///
    /// # Errors
    /// As for [`from_pkcs11`](Self::from_pkcs11). [`Pkcs11Error::NoCertificate`] and
    /// [`Pkcs11Error::SeveralCertificates`].
    ///
    /// # Security
    /// See [`pkcs11`](self).
    pub fn from_pkcs11_token(key: Pkcs11Key) -> Result<Self, Pkcs11Error> {
        let (signer, chain, place) = TokenSigner::with_chain_of_token(key)?;
        Ok(Self::from_signer_at(chain, Arc::new(signer), &place)?)
    }
}
