//! Keys that sign elsewhere: in a token, a TPM, an agent or a service of a cloud.
//!
//! rustls asks for a signature with a synchronous call, from inside the call that feeds it bytes. A key that
//! takes 200 ms would hold the thread of a runtime for that long. So a connection with such a key is driven by
//! code of its own (`stream/signing.rs`), which makes that one call on a thread for blocking work. What is
//! here is the same for all of them: the trait, and the adapter to rustls.

use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::contained::caught;
use super::usual_key::key_name;
use crate::diagnostic::{Diagnostic, display_diagnostic};

/// A private key that signs elsewhere, and may be slow: in a TPM, an agent, or a key service of a cloud.
///
/// With tokio, a signature is made on a thread for blocking work, so that a slow one delays its own handshake
/// and no other. At most [`max_concurrent`](Self::max_concurrent) are made at the same time; other handshakes
/// of this key wait for their turn, under their own deadline. A handshake that is over in the meantime does
/// not stop the signature: its thread is free when [`sign`](Self::sign) returns.
///
/// Where the application drives rustls (blocking connections, QUIC, or a client that takes a rustls
/// configuration), the signature is made in place, on the thread that feeds the connection.
///
/// ```
/// use countersign::Credentials;
/// use countersign::pki::{RemoteSigner, SigningError, SigningRequest};
/// use countersign::pki_types::CertificateDer;
/// use countersign::rustls::SignatureScheme;
///
/// /// A key service that is asked over HTTP.
/// struct Service {
///     public_key: Vec<u8>, // SubjectPublicKeyInfo
/// }
///
/// impl RemoteSigner for Service {
///     fn public_key(&self) -> &[u8] {
///         &self.public_key
///     }
///
///     fn schemes(&self) -> &[SignatureScheme] {
///         &[SignatureScheme::ECDSA_NISTP256_SHA256]
///     }
///
///     fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError> {
///         post("/sign", request.message(), request.time_left()).map_err(SigningError::new)
///     }
/// }
///
/// fn credentials(
///     chain: Vec<CertificateDer<'static>>,
///     service: Service,
/// ) -> Result<Credentials, countersign::pki::CredentialsError> {
///     Credentials::from_remote_signer(chain, service)
/// }
/// # fn post(_: &str, _: &[u8], _: Option<std::time::Duration>) -> Result<Vec<u8>, std::io::Error> { unimplemented!() }
/// ```
///
/// # An asynchronous client
/// `sign` may block. Inside of it, `tokio::runtime::Handle::block_on` runs the future of an asynchronous
/// client; keep the handle in the signer.
///
/// # Security
/// A program that can call the service can pose as this endpoint. The message is what TLS signs: for TLS 1.3 it
/// begins with 64 spaces and the name of its context (RFC 8446 section 4.4.3), which a service can check.
pub trait RemoteSigner: Send + Sync + 'static {
    /// The public key, an encoded SubjectPublicKeyInfo. It is compared with the certificate.
    fn public_key(&self) -> &[u8];

    /// The signature schemes that the key can make, the preferred one first. Those that do not belong to
    /// the kind of the public key are ignored.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs a message, as TLS encodes signatures: ECDSA as a DER sequence of two integers, RSA and EdDSA
    /// as plain bytes. May block. A panic is an error of this signature.
    ///
    /// # Errors
    /// The handshake fails with [`HandshakeError::Signing`](crate::HandshakeError::Signing), and the event
    /// has the error. It is not tried again.
    fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError>;

    /// How many signatures are made at the same time. Default: 16. Zero counts as one.
    fn max_concurrent(&self) -> usize {
        16
    }
}

impl<T: RemoteSigner + ?Sized> RemoteSigner for Arc<T> {
    fn public_key(&self) -> &[u8] {
        (**self).public_key()
    }

    fn schemes(&self) -> &[SignatureScheme] {
        (**self).schemes()
    }

    fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError> {
        (**self).sign(request)
    }

    fn max_concurrent(&self) -> usize {
        (**self).max_concurrent()
    }
}

/// What a [`RemoteSigner`] is asked to sign.
///
/// ```
/// use countersign::pki::SigningRequest;
/// use countersign::rustls::SignatureScheme;
///
/// let request = SigningRequest::new(SignatureScheme::ED25519, b"message");
/// assert_eq!(request.message(), b"message");
/// assert_eq!(request.time_left(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SigningRequest<'a> {
    scheme: SignatureScheme,
    message: &'a [u8],
    deadline: Option<Instant>,
}

impl<'a> SigningRequest<'a> {
    /// A request without a deadline, for tests of a signer.
    pub const fn new(scheme: SignatureScheme, message: &'a [u8]) -> Self {
        Self {
            scheme,
            message,
            deadline: None,
        }
    }

    /// One of the signer's [schemes](RemoteSigner::schemes).
    pub const fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The message, not hashed.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The time until the handshake fails without a signature; zero when it is over. `None` if the
    /// application drives the handshake.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}

/// Why a [`RemoteSigner`] did not sign.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::SigningError;
///
/// let error = SigningError::new("the key service answered 503").with_remedy("see its log");
/// assert_eq!(error.reason(), "signing_failed");
/// assert_eq!(error.to_string(), "the key service answered 503; see its log");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub struct SigningError {
    #[source]
    source: Arc<dyn Error + Send + Sync>,
    cause: Arc<str>,
    remedy: Cow<'static, str>,
}

impl SigningError {
    /// An error with this cause. It must not contain a secret: it is logged.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source: Arc<dyn Error + Send + Sync> = Arc::from(error.into());
        Self {
            cause: source.to_string().into(),
            source,
            remedy: "see the log of what holds the key".into(),
        }
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// An error of our own, which has a cause and a remedy.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn of<E: Diagnostic + Error + Send + Sync + 'static>(error: E) -> Self {
        Self {
            cause: Diagnostic::cause(&error).into(),
            remedy: error.remedy().into_owned().into(),
            source: Arc::new(error),
        }
    }

    /// The error of the signer.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }

    /// The error inside of rustls', if it is one of a signer.
    pub(crate) fn inside(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::Other(OtherError(error)) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl Diagnostic for SigningError {
    fn reason(&self) -> &'static str {
        "signing_failed"
    }

    fn cause(&self) -> Cow<'_, str> {
        (&*self.cause).into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        (&*self.remedy).into()
    }
}

display_diagnostic!(SigningError);

thread_local! {
    /// When the handshake that is driven on this thread is over.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `feed`, in which signers see this deadline.
pub(crate) fn with_deadline<R>(deadline: Instant, feed: impl FnOnce() -> R) -> R {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
        }
    }
    let _restore = Restore(DEADLINE.replace(Some(deadline)));
    feed()
}

/// A remote signer as rustls' signing key.
pub(super) struct RemoteKey {
    signer: Arc<dyn RemoteSigner>,
    algorithm: SignatureAlgorithm,
    /// The schemes of the signer that belong to the kind of its key.
    schemes: Arc<[SignatureScheme]>,
}

impl RemoteKey {
    /// `None` if the signer has no scheme for the kind of its key.
    pub(super) fn new(signer: Arc<dyn RemoteSigner>) -> Option<Self> {
        let key = key_name(signer.public_key());
        let schemes = signer.schemes().iter().copied();
        let schemes: Arc<[_]> = schemes.filter(|scheme| fits(*scheme, &key)).collect();
        let algorithm = algorithm_of(*schemes.first()?);
        Some(Self {
            signer,
            algorithm,
            schemes,
        })
    }
}

/// Whether keys of this kind make such signatures. What is not known here is left to the signer.
pub(super) fn fits(scheme: SignatureScheme, key: &str) -> bool {
    match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => key == "elliptic curve P-256",
        SignatureScheme::ECDSA_NISTP384_SHA384 => key == "elliptic curve P-384",
        SignatureScheme::ECDSA_NISTP521_SHA512 => key == "elliptic curve P-521",
        SignatureScheme::ED25519 => key == "Ed25519",
        SignatureScheme::ED448 => key == "Ed448",
        SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512
        | SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512 => key.starts_with("RSA of "),
        // Neither TLS 1.3 nor this crate has them.
        SignatureScheme::RSA_PKCS1_SHA1 | SignatureScheme::ECDSA_SHA1_Legacy => false,
        _ => !key.starts_with("RSA") && !key.starts_with("elliptic") && !key.starts_with("Ed"),
    }
}

const fn algorithm_of(scheme: SignatureScheme) -> SignatureAlgorithm {
    match scheme {
        SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512
        | SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512 => SignatureAlgorithm::RSA,
        SignatureScheme::ECDSA_NISTP256_SHA256
        | SignatureScheme::ECDSA_NISTP384_SHA384
        | SignatureScheme::ECDSA_NISTP521_SHA512 => SignatureAlgorithm::ECDSA,
        SignatureScheme::ED25519 => SignatureAlgorithm::ED25519,
        SignatureScheme::ED448 => SignatureAlgorithm::ED448,
        _ => SignatureAlgorithm::Unknown(255), // for TLS 1.2, which has none of these
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let mut schemes = self.schemes.iter();
        let scheme = *schemes.find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RemoteSignature {
            signer: Arc::clone(&self.signer),
            scheme,
        }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.signer.public_key().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKey")
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

struct RemoteSignature {
    signer: Arc<dyn RemoteSigner>,
    scheme: SignatureScheme,
}

impl Signer for RemoteSignature {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let request = SigningRequest {
            scheme: self.scheme,
            message,
            deadline: DEADLINE.get(),
        };
        let signed = caught(|| self.signer.sign(&request));
        let signed = signed.unwrap_or_else(|| Err(SigningError::new("the signer panicked")));
        signed.map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for RemoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSignature")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed {
        spki: Vec<u8>,
        schemes: Vec<SignatureScheme>,
        answer: fn(&SigningRequest<'_>) -> Result<Vec<u8>, SigningError>,
    }

    impl RemoteSigner for Fixed {
        fn public_key(&self) -> &[u8] {
            &self.spki
        }

        fn schemes(&self) -> &[SignatureScheme] {
            &self.schemes
        }

        fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError> {
            (self.answer)(request)
        }
    }

    fn p256(answer: fn(&SigningRequest<'_>) -> Result<Vec<u8>, SigningError>) -> Fixed {
        let issued = crate::testing::TestCa::new("Root").leaf().issue();
        Fixed {
            spki: issued.certificate().spki().to_vec(),
            schemes: vec![
                SignatureScheme::ECDSA_NISTP384_SHA384,
                SignatureScheme::ECDSA_NISTP256_SHA256,
                SignatureScheme::RSA_PSS_SHA256,
            ],
            answer,
        }
    }

    fn sign(signer: Fixed) -> Result<Vec<u8>, rustls::Error> {
        let key = RemoteKey::new(Arc::new(signer)).expect("a scheme");
        let all = [
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ];
        assert!(key.choose_scheme(&all[..2]).is_none(), "not of this key");
        let signer = key.choose_scheme(&all).expect("a scheme");
        assert_eq!(signer.scheme(), SignatureScheme::ECDSA_NISTP256_SHA256);
        signer.sign(b"message")
    }

    #[test]
    fn only_the_schemes_of_the_key_are_offered() {
        let signed = sign(p256(|request| Ok(request.message().to_vec())));
        assert_eq!(signed.expect("signed"), b"message");
        let mut other = p256(|_| Ok(Vec::new()));
        other.schemes = vec![SignatureScheme::ED25519, SignatureScheme::RSA_PKCS1_SHA1];
        assert!(RemoteKey::new(Arc::new(other)).is_none());
    }

    #[test]
    fn an_error_and_a_panic_keep_their_cause() {
        let error = sign(p256(|_| Err(SigningError::new("503")))).expect_err("an error");
        let error = SigningError::inside(&error).expect("of the signer");
        assert_eq!(Diagnostic::cause(error), "503");
        let error = sign(p256(|_| panic!("a bug"))).expect_err("a panic");
        let error = SigningError::inside(&error).expect("of the signer");
        assert_eq!(Diagnostic::cause(error), "the signer panicked");
        assert!(SigningError::inside(&rustls::Error::DecryptError).is_none());
    }

    #[test]
    fn the_deadline_is_that_of_the_thread() {
        let answer = |request: &SigningRequest<'_>| {
            let left = request.time_left().map(|left| left.as_secs() > 50);
            Ok(vec![u8::from(left == Some(true))])
        };
        assert_eq!(sign(p256(answer)).expect("signed"), [0]);
        let deadline = Instant::now() + Duration::from_secs(60);
        let signed = with_deadline(deadline, || sign(p256(answer)));
        assert_eq!(signed.expect("signed"), [1]);
        assert_eq!(sign(p256(answer)).expect("signed"), [0]);
    }

    #[test]
    fn a_signer_has_defaults_and_an_error_its_own_remedy() {
        let error = SigningError::new("503").with_remedy("see its log");
        assert_eq!(error.reason(), "signing_failed");
        assert_eq!(error.to_string(), "503; see its log");
        let error = SigningError::new("503");
        assert_eq!(error.to_string(), "503; see the log of what holds the key");
        let request = SigningRequest::new(SignatureScheme::ED25519, b"message");
        assert_eq!(request.scheme(), SignatureScheme::ED25519);
        assert_eq!(request.time_left(), None);

        let signer = Arc::new(p256(|_| Ok(Vec::new())));
        assert_eq!(RemoteSigner::max_concurrent(&signer), 16);
        let key = RemoteKey::new(Arc::new(signer)).expect("a scheme");
        let printed = "RemoteKey { schemes: [ECDSA_NISTP256_SHA256], .. }";
        assert_eq!(format!("{key:?}"), printed);
        let signature = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let printed = "Some(RemoteSignature { scheme: ECDSA_NISTP256_SHA256, .. })";
        assert_eq!(format!("{signature:?}"), printed);
    }

    #[test]
    fn a_scheme_fits_one_kind_of_key() {
        let ml_dsa = SignatureScheme::ML_DSA_44;
        let schemes = [
            (SignatureScheme::ED448, "Ed448", SignatureAlgorithm::ED448),
            (
                SignatureScheme::ED25519,
                "Ed25519",
                SignatureAlgorithm::ED25519,
            ),
            (ml_dsa, "ML-DSA-44", SignatureAlgorithm::Unknown(255)),
        ];
        for (scheme, key, algorithm) in schemes {
            assert_eq!(algorithm_of(scheme), algorithm);
            for (_, other, _) in schemes {
                assert_eq!(fits(scheme, other), other == key, "{scheme:?} {other}");
            }
        }
    }
}
