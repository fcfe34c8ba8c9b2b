//! Our own certificate chain and its private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::algorithm::{self, KeyError};
use super::certificate::Certificate;
use super::content::ContentKind;
#[cfg(feature = "encrypted-keys")]
use super::encrypted::{self, Passphrase};
use super::error::{CredentialsError, LoadWarning, PemError};
#[cfg(feature = "tokio")]
use super::lane::Lane;
use super::pem::{Block, BlockPlace, ENCRYPTED, EncryptedKeys, Origin, read_pem};
use super::provider;
use super::remote::{RemoteKey, RemoteSigner};
use crate::Diagnostic;

/// Our own certificate chain and private key, checked to belong together.
///
/// Keys may be PKCS#8, PKCS#1 (RSA) or SEC1 (elliptic curve). The chain starts with our own (leaf)
/// certificate, followed by its intermediates in order. The root may be left out.
///
/// Files that are unusual and unambiguous load with a [warning](Self::warnings): with a byte order mark,
/// in UTF-16, with a key under the label of another format, or with DH PARAMETERS. An acceptor or a
/// connector records each warning as an event of the audit trail.
///
/// PKCS#12 archives and Java keystores are not read: the error has the commands that convert them. The
/// crates that read PKCS#12 do not bound the work that a file can demand.
///
/// `Debug` shows the certificate and not the key.
///
/// ```
/// use countersign::Credentials;
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").leaf().common_name("orders").issue();
/// let credentials = Credentials::from_pem(issued.chain_pem(), issued.key_pem())?;
/// assert_eq!(credentials.certificate().subject().to_string(), "CN=orders");
/// # Ok::<(), countersign::pki::CredentialsError>(())
/// ```
///
/// # Security
/// The bytes of a key file, the decoded key and each copy that this crate makes are wiped from memory
/// when they are dropped. This crate cannot wipe the copies of rustls-pki-types' PEM decoder (the base64
/// of a block) and of the cryptographic provider, nor the memory of a slice that the application passes.
#[derive(Clone)]
pub struct Credentials {
    chain: Arc<[CertificateDer<'static>]>,
    leaf: Certificate,
    key: Key,
    signer_is_fips: bool,
    warnings: Arc<[LoadWarning]>,
}

#[derive(Clone)]
enum Key {
    /// Wiped when the last clone is dropped.
    Der(Arc<SecretKey>),
    Signer(Arc<dyn SigningKey>),
    Remote(Remote),
}

/// A key that may be slow.
#[derive(Clone)]
struct Remote {
    key: Arc<RemoteKey>,
    #[cfg(feature = "tokio")]
    lane: Lane,
}

/// Our certificate with its key, as a configuration presents it.
#[derive(Clone, Debug)]
pub(crate) struct OwnKey {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The places for signatures, if the key may be slow.
    #[cfg(feature = "tokio")]
    pub(crate) lane: Option<Lane>,
}

type SecretKey = Zeroizing<PrivateKeyDer<'static>>;

impl Credentials {
    /// Reads a PEM certificate chain and a PEM private key from two files.
    ///
    /// Both paths may name the same file: keys are ignored in the chain's file, certificates in the
    /// key's, and EC parameters in both. A block of any other kind is an error.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file: it cannot be read, is not PEM, is cut off, has an encrypted
    /// key, two keys or none; or the key does not match the leaf.
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CredentialsError> {
        // The chain's file may contain the key, too.
        let (chain_origin, chain) = Origin::read_secret(chain.as_ref())?;
        let (key_origin, key) = Origin::read_secret(key.as_ref())?;
        Self::from_pem_parts(&chain, &chain_origin, &key, &key_origin)
    }

    /// Reads a PEM certificate chain and a PEM private key from memory.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_pem(
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, CredentialsError> {
        Self::from_pem_parts(chain.as_ref(), &Origin::Bytes, key.as_ref(), &Origin::Bytes)
    }

    /// As [`from_pem_files`](Self::from_pem_files), for a private key that is encrypted with a passphrase
    /// in PKCS#8 (`ENCRYPTED PRIVATE KEY`).
    ///
    /// `passphrase` is called once, and only if the key is encrypted. Supported are PBES2 with PBKDF2
    /// (HMAC with SHA-2, at most 10,000,000 iterations) or scrypt (at most 128 MiB), and AES in CBC or
    /// GCM mode: what `openssl pkcs8 -topk8` writes since OpenSSL 1.1.0. OpenSSL's traditional format
    /// (`Proc-Type: 4,ENCRYPTED`) is not.
    ///
    /// # Errors
    /// As `from_pem_files`. [`CredentialsError::Passphrase`] if `passphrase` fails,
    /// [`CredentialsError::WrongPassphrase`], [`CredentialsError::UnsupportedEncryption`], and
    /// [`CredentialsError::EncryptionCost`] for a key whose derivation is over the limits.
    ///
    /// # Security
    /// A passphrase beside its key protects a copy of one of the two files, and nothing else. The
    /// decrypted key is wiped as each key is.
    ///
    /// ```no_run
    /// use countersign::Credentials;
    /// use countersign::pki::Passphrase;
    ///
    /// let credentials = Credentials::from_encrypted_pem_files("server.crt", "server.key", || {
    ///     Passphrase::from_file("/run/secrets/server.passphrase")
    /// })?;
    /// # Ok::<(), countersign::pki::CredentialsError>(())
    /// ```
    #[cfg(feature = "encrypted-keys")]
    pub fn from_encrypted_pem_files<E>(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        passphrase: impl FnOnce() -> Result<Passphrase, E>,
    ) -> Result<Self, CredentialsError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (chain_origin, chain) = Origin::read_secret(chain.as_ref())?;
        let (key_origin, key) = Origin::read_secret(key.as_ref())?;
        let key = Text(&key, &key_origin);
        Self::from_encrypted_parts(Text(&chain, &chain_origin), key, passphrase)
    }

    /// As [`from_encrypted_pem_files`](Self::from_encrypted_pem_files), from memory.
    ///
    /// # Errors
    /// As `from_encrypted_pem_files`.
    #[cfg(feature = "encrypted-keys")]
    pub fn from_encrypted_pem<E>(
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        passphrase: impl FnOnce() -> Result<Passphrase, E>,
    ) -> Result<Self, CredentialsError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let key = Text(key.as_ref(), &Origin::Bytes);
        Self::from_encrypted_parts(Text(chain.as_ref(), &Origin::Bytes), key, passphrase)
    }

    /// Reads one DER certificate and one DER private key from two files.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_der_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CredentialsError> {
        let (_, certificate) = Origin::read(certificate.as_ref())?;
        let (origin, key) = Origin::read_secret(key.as_ref())?;
        let key = PrivateKeyDer::try_from(&**key).map_err(|_| CredentialsError::UnusableKey {
            place: origin.to_string(),
            problem: match ContentKind::of_file(&key) {
                Some(found) if !found.is_plain_key() => format!("it is {found}"),
                _ => "it is no PKCS#8, PKCS#1 or SEC1 key in DER".into(),
            },
        })?;
        Self::from_der(vec![certificate.into()], key.clone_key())
    }

    /// Takes a DER certificate chain, leaf first, and a DER private key.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CredentialsError> {
        let key = Key::Der(Arc::new(Zeroizing::new(key)));
        Self::new(chain, key, &Origin::Bytes)
    }

    /// Takes a DER certificate chain, leaf first, and a signer of rustls that answers at once.
    ///
    /// A key that is in a token, a TPM or a service may take its time:
    /// [`from_remote_signer`](Self::from_remote_signer) is for those.
    ///
    /// # Errors
    /// See [`CredentialsError`]. A signer without a public key cannot be compared with the certificate,
    /// and is accepted.
    pub fn from_signer(
        chain: Vec<CertificateDer<'static>>,
        signer: Arc<dyn SigningKey>,
    ) -> Result<Self, CredentialsError> {
        Self::new(chain, Key::Signer(signer), &Origin::Bytes)
    }

    /// Declares that the signer is a FIPS 140 validated module, used in its approved mode, for
    /// [`require_fips`](crate::builder::Builder::require_fips).
    ///
    /// Without a signer it has no effect: the crypto provider makes the signatures then.
    ///
    /// # Security
    /// Nothing can check it. The declaration is the deployer's.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use countersign::Credentials;
    /// use countersign::pki::CredentialsError;
    /// use countersign::pki_types::CertificateDer;
    /// use countersign::rustls::sign::SigningKey;
    ///
    /// fn of_validated_hsm(
    ///     chain: Vec<CertificateDer<'static>>,
    ///     signer: Arc<dyn SigningKey>,
    /// ) -> Result<Credentials, CredentialsError> {
    ///     Ok(Credentials::from_signer(chain, signer)?.with_fips_signer())
    /// }
    /// ```
    #[must_use]
    pub fn with_fips_signer(mut self) -> Self {
        self.signer_is_fips = true;
        self
    }

    /// Whether the signatures of the key are made by the crypto provider, or by a signer that was declared.
    pub(crate) fn signer_may_be_fips(&self) -> bool {
        matches!(self.key, Key::Der(_)) || self.signer_is_fips
    }

    /// Takes a DER certificate chain, leaf first, and a signer for a key that is elsewhere: in a TPM, an
    /// agent, or the key service of a cloud. It may be slow.
    ///
    /// ```
    /// # use countersign::pki::{RemoteSigner, CredentialsError};
    /// use countersign::Credentials;
    /// use countersign::pki_types::CertificateDer;
    ///
    /// fn credentials(
    ///     chain: Vec<CertificateDer<'static>>,
    ///     signer: impl RemoteSigner,
    /// ) -> Result<Credentials, CredentialsError> {
    ///     Credentials::from_remote_signer(chain, signer)
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`CredentialsError`]. [`CredentialsError::UnusableKey`] if the signer has no signature scheme for
    /// the kind of its key, and [`CredentialsError::KeyMismatch`] if its public key is not the certificate's.
    pub fn from_remote_signer(
        chain: Vec<CertificateDer<'static>>,
        signer: impl RemoteSigner,
    ) -> Result<Self, CredentialsError> {
        Self::from_signer_at(chain, Arc::new(signer), "the remote signer")
    }

    /// `place` is the name of the signer in errors.
    pub(super) fn from_signer_at(
        chain: Vec<CertificateDer<'static>>,
        signer: Arc<dyn RemoteSigner>,
        place: &str,
    ) -> Result<Self, CredentialsError> {
        #[cfg(feature = "tokio")]
        let lane = Lane::new(signer.max_concurrent());
        let key = RemoteKey::new(signer).ok_or_else(|| CredentialsError::UnusableKey {
            place: place.into(),
            problem: "it has no signature scheme of TLS for the kind of its public key".into(),
        })?;
        let remote = Remote {
            key: Arc::new(key),
            #[cfg(feature = "tokio")]
            lane,
        };
        Self::new(chain, Key::Remote(remote), &Origin::Signer(place.into()))
    }

    /// Our own (leaf) certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.leaf
    }

    /// The chain that is sent to peers, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The chain and the key as rustls takes them, for connections that the application configures alone.
    ///
    /// A key that may be slow signs in place there, on the thread that feeds the connection.
    ///
    /// ```
    /// use countersign::rustls::crypto::aws_lc_rs;
    /// use countersign::testing::TestCa;
    ///
    /// let credentials = TestCa::new("Root").leaf().issue().credentials();
    /// let key = credentials.to_certified_key(&aws_lc_rs::default_provider())?;
    /// assert_eq!(key.cert, credentials.chain());
    /// # Ok::<(), countersign::pki::CredentialsError>(())
    /// ```
    ///
    /// # Errors
    /// [`CredentialsError::UnusableKey`]: the provider does not support the key.
    ///
    /// # Security
    /// Nothing of this crate verifies the peer of such a connection.
    pub fn to_certified_key(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, CredentialsError> {
        Ok(self.certified_key(provider)?.certified)
    }

    /// What is unusual about the files, although they were loaded.
    ///
    /// An acceptor or a connector records each as
    /// [`Action::CredentialsWarning`](crate::audit::Action::CredentialsWarning).
    pub fn warnings(&self) -> &[LoadWarning] {
        &self.warnings
    }

    fn from_pem_parts(
        chain: &[u8],
        chain_origin: &Origin,
        key: &[u8],
        key_origin: &Origin,
    ) -> Result<Self, CredentialsError> {
        let mut warnings = Vec::new();
        let reject = EncryptedKeys::Reject;
        let chain = read_chain(Text(chain, chain_origin), reject, &mut warnings)?;
        let key = match read_key(Text(key, key_origin), reject, &mut warnings)? {
            (FoundKey::Plain(key), _) => key,
            (FoundKey::Encrypted(_), place) => return Err(encrypted_key(place).into()),
        };
        Ok(Self::new(chain, Key::Der(Arc::new(key)), key_origin)?.with(warnings))
    }

    #[cfg(feature = "encrypted-keys")]
    fn from_encrypted_parts<E>(
        chain: Text<'_>,
        key: Text<'_>,
        passphrase: impl FnOnce() -> Result<Passphrase, E>,
    ) -> Result<Self, CredentialsError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut warnings = Vec::new();
        let take = EncryptedKeys::Take;
        let origin = key.1;
        let chain = read_chain(chain, take, &mut warnings)?;
        let key = match read_key(key, take, &mut warnings)? {
            (FoundKey::Plain(key), _) => key,
            (FoundKey::Encrypted(der), place) => {
                let place = place.to_string();
                encrypted::decrypt(&der, &place, || passphrase().map_err(Into::into))?
            }
        };
        Ok(Self::new(chain, Key::Der(Arc::new(key)), origin)?.with(warnings))
    }

    /// Reads a chain from a file.
    #[cfg(feature = "pkcs11")]
    pub(super) fn chain_of(
        path: &Path,
    ) -> Result<(Vec<CertificateDer<'static>>, Vec<LoadWarning>), CredentialsError> {
        let mut warnings = Vec::new();
        let (origin, chain) = Origin::read_secret(path)?;
        let text = Text(&chain, &origin);
        let chain = read_chain(text, EncryptedKeys::Reject, &mut warnings)?;
        Ok((chain, warnings))
    }

    pub(super) fn with(mut self, mut warnings: Vec<LoadWarning>) -> Self {
        // Chain and key can be in one file.
        let mut seen: Vec<LoadWarning> = Vec::new();
        warnings.retain(|warning| {
            let is_new = !seen.contains(warning);
            seen.push(warning.clone());
            is_new
        });
        self.warnings = warnings.into();
        self
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Key,
        key_origin: &Origin,
    ) -> Result<Self, CredentialsError> {
        let Some(leaf) = chain.first() else {
            return Err(CredentialsError::NoCertificate {
                place: Origin::Bytes.to_string(),
                has_key: false,
            });
        };
        let leaf = parse(leaf, 1)?;
        for (position, certificate) in (2..).zip(&chain[1..]) {
            parse(certificate, position)?;
        }
        if leaf.version() < 3 {
            return Err(CredentialsError::Version1 { certificate: leaf });
        }
        let credentials = Self {
            chain: chain.into(),
            leaf,
            key,
            signer_is_fips: false,
            warnings: Arc::new([]),
        };
        // Without a built-in provider, the builder checks with the provider that it is given.
        if let Some(provider) = provider::built_in() {
            credentials.signer_at(&provider, key_origin)?;
        }
        Ok(credentials)
    }

    /// Loads the key with this provider and checks that it matches the leaf.
    pub(crate) fn certified_key(
        &self,
        provider: &CryptoProvider,
    ) -> Result<OwnKey, CredentialsError> {
        let signer = self.signer_at(provider, &Origin::Bytes)?;
        Ok(OwnKey {
            certified: Arc::new(CertifiedKey::new(self.chain.to_vec(), signer)),
            #[cfg(feature = "tokio")]
            lane: match &self.key {
                Key::Remote(remote) => Some(remote.lane.clone()),
                Key::Der(_) | Key::Signer(_) => None,
            },
        })
    }

    fn signer_at(
        &self,
        provider: &CryptoProvider,
        origin: &Origin,
    ) -> Result<Arc<dyn SigningKey>, CredentialsError> {
        let signer = match &self.key {
            Key::Signer(signer) => signer.clone(),
            Key::Remote(remote) => remote.key.clone(),
            Key::Der(key) => provider
                .key_provider
                .load_private_key(key.clone_key())
                .map_err(|_| self.unusable_key(provider, origin))?,
        };
        let fits = |certificate: &Certificate| {
            signer
                .public_key()
                .is_none_or(|public| public.as_ref() == certificate.spki())
        };
        if fits(&self.leaf) {
            return Ok(signer);
        }
        let fitting_position = (1..)
            .zip(self.chain.iter())
            .find(|(_, der)| Certificate::from_der(der).is_ok_and(|other| fits(&other)))
            .map(|(position, _)| position);
        if self.problem_of_key(provider).is_some() {
            return Err(self.unusable_key(provider, origin));
        }
        Err(CredentialsError::KeyMismatch {
            certificate: self.leaf.clone(),
            place: origin.to_string(),
            fitting_position,
        })
    }

    /// Why the provider cannot use the leaf's key, if it cannot.
    fn problem_of_key(&self, provider: &CryptoProvider) -> Option<KeyError> {
        let algorithms = provider.signature_verification_algorithms.all;
        algorithm::check_key(self.leaf.spki(), algorithms).err()
    }

    fn unusable_key(&self, provider: &CryptoProvider, origin: &Origin) -> CredentialsError {
        let key = self.leaf.key_description();
        let problem = match self.problem_of_key(provider) {
            Some(problem) => Diagnostic::cause(&problem).into_owned(),
            None => "the TLS provider does not read it as such a private key".to_owned(),
        };
        CredentialsError::UnusableKey {
            place: origin.to_string(),
            problem: format!("the key of its certificate is {key}: {problem}"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.leaf)
            .field("chain_length", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn parse(der: &[u8], position: usize) -> Result<Certificate, CredentialsError> {
    Certificate::from_der(der).map_err(|source| CredentialsError::Malformed { position, source })
}

/// The content of a file, and its name.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8], &'a Origin);

fn read_chain(
    Text(pem, origin): Text<'_>,
    encrypted: EncryptedKeys,
    warnings: &mut Vec<LoadWarning>,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let pem = read_pem(pem, origin, encrypted)?;
    warnings.extend(pem.warnings);
    let mut chain = Vec::new();
    let mut has_key = false;
    for block in pem.blocks {
        match Part::of(block, "a certificate chain", warnings)? {
            Part::Certificate(der) => chain.push(der),
            Part::Key(..) => has_key = true, // all in one file
            Part::Parameters => {}
        }
    }
    if chain.is_empty() {
        return Err(CredentialsError::NoCertificate {
            place: origin.to_string(),
            has_key,
        });
    }
    Ok(chain)
}

fn read_key(
    Text(pem, origin): Text<'_>,
    encrypted: EncryptedKeys,
    warnings: &mut Vec<LoadWarning>,
) -> Result<(FoundKey, BlockPlace), CredentialsError> {
    let pem = read_pem(pem, origin, encrypted)?;
    warnings.extend(pem.warnings);
    let mut keys = Vec::new();
    let mut has_certificate = false;
    for block in pem.blocks {
        match Part::of(block, "a private key", warnings)? {
            Part::Key(key, place) => keys.push((key, place)),
            Part::Certificate(_) => has_certificate = true,
            Part::Parameters => {}
        }
    }
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(keys) if keys.is_empty() => Err(CredentialsError::NoKey {
            place: origin.to_string(),
            has_certificate,
        }),
        Err(_) => Err(CredentialsError::SeveralKeys {
            place: origin.to_string(),
        }),
    }
}

fn encrypted_key(place: BlockPlace) -> PemError {
    PemError::EncryptedKey {
        place,
        is_traditional: false,
    }
}

/// The blocks that our own files may have.
enum Part {
    Certificate(CertificateDer<'static>),
    Key(FoundKey, BlockPlace),
    /// The parameters of the key's curve, which `openssl ecparam -genkey` writes and the key repeats; or
    /// those of Diffie-Hellman, which HAProxy and stunnel read from this file.
    Parameters,
}

enum FoundKey {
    Plain(SecretKey),
    /// PKCS#8's EncryptedPrivateKeyInfo.
    #[cfg_attr(not(feature = "encrypted-keys"), expect(dead_code))]
    Encrypted(Zeroizing<Vec<u8>>),
}

impl Part {
    /// Any other block is an error: it may be an intermediate with another label (TRUSTED CERTIFICATE),
    /// and a chain without it fails at peers.
    fn of(
        mut block: Block,
        expected: &'static str,
        warnings: &mut Vec<LoadWarning>,
    ) -> Result<Self, PemError> {
        match block.take() {
            Some((SectionKind::Certificate, der)) => Ok(Self::Certificate(der.into())),
            Some((SectionKind::PrivateKey, der)) => {
                Self::key(block, ContentKind::Pkcs8, der, warnings)
            }
            Some((SectionKind::RsaPrivateKey, der)) => {
                Self::key(block, ContentKind::Pkcs1, der, warnings)
            }
            Some((SectionKind::EcPrivateKey, der)) => {
                Self::key(block, ContentKind::Sec1, der, warnings)
            }
            None if block.label == "EC PARAMETERS" => Ok(Self::Parameters),
            None if matches!(&*block.label, "DH PARAMETERS" | "X9.42 DH PARAMETERS") => {
                warnings.push(LoadWarning::Ignored {
                    place: block.place,
                    label: block.label,
                });
                Ok(Self::Parameters)
            }
            _ => Err(block.unexpected(expected)),
        }
    }

    /// A key by its structure, which is unambiguous. Its label names one of four.
    fn key(
        Block { label, place, .. }: Block,
        labelled: ContentKind,
        der: Vec<u8>,
        warnings: &mut Vec<LoadWarning>,
    ) -> Result<Self, PemError> {
        let mut der = Zeroizing::new(der);
        let labelled = if label == ENCRYPTED {
            ContentKind::EncryptedPkcs8
        } else {
            labelled
        };
        // The provider rejects what is not recognized here.
        let found = ContentKind::of_der(&der).unwrap_or(labelled);
        let mut take = || std::mem::take(&mut *der);
        let key = match found {
            ContentKind::Pkcs8 => PrivateKeyDer::Pkcs8(take().into()),
            ContentKind::Pkcs1 => PrivateKeyDer::Pkcs1(take().into()),
            ContentKind::Sec1 => PrivateKeyDer::Sec1(take().into()),
            // A reader that does not decrypt keys has rejected the label.
            ContentKind::EncryptedPkcs8 if label == ENCRYPTED => {
                return Ok(Self::Key(FoundKey::Encrypted(der), place));
            }
            ContentKind::EncryptedPkcs8 => return Err(encrypted_key(place)),
            _ => {
                return Err(PemError::Mislabelled {
                    place,
                    label,
                    found,
                });
            }
        };
        if found != labelled {
            warnings.push(LoadWarning::Mislabelled {
                place: place.clone(),
                label,
                found,
            });
        }
        Ok(Self::Key(FoundKey::Plain(Zeroizing::new(key)), place))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    fn is_wiped<T: ZeroizeOnDrop>(_: &T) {}

    /// Safe code cannot read freed memory, so the test checks the types.
    #[test]
    fn the_bytes_of_a_private_key_are_wiped_from_the_file_to_the_decoded_key() {
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        std::fs::write(&path, KEY).expect("written");
        let (origin, file) = Origin::read_secret(&path).expect("a file");
        is_wiped(&file);
        assert_eq!(&**file, KEY.as_bytes());
        let reject = EncryptedKeys::Reject;
        let pem = read_pem(&file, &origin, reject).unwrap_or_else(|error| panic!("{error}"));
        for block in pem.blocks {
            let (_, der) = block.content.as_ref().expect("decoded");
            is_wiped(der);
            let allocation = der.as_ptr();
            let part = Part::of(block, "a private key", &mut Vec::new());
            let Ok(Part::Key(FoundKey::Plain(key), _)) = part else {
                panic!("no key");
            };
            is_wiped(&key);
            assert_eq!(key.secret_der().as_ptr(), allocation, "no copy was made");
        }
        let found = read_key(Text(&file, &origin), reject, &mut Vec::new());
        let Ok((FoundKey::Plain(key), _)) = found else {
            panic!("no key");
        };
        is_wiped(&key);
        let credentials = Key::Der(Arc::new(key));
        if let Key::Der(key) = &credentials {
            is_wiped(&**key);
        }
    }
}
