//! Our own certificate chain and its private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::error::{CredentialsError, PemError};
use super::pem::{Block, Origin, read_blocks};
use super::provider;

/// Our own certificate chain and private key, checked to belong together.
///
/// Keys may be PKCS#8, PKCS#1 (RSA) or SEC1 (elliptic curve). The chain starts with our own (leaf)
/// certificate, followed by its intermediates in order. The root may be left out.
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
}

#[derive(Clone)]
enum Key {
    /// Wiped when the last clone is dropped.
    Der(Arc<SecretKey>),
    Signer(Arc<dyn SigningKey>),
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
            problem: "it is no PKCS#8, PKCS#1 or SEC1 key in DER".into(),
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

    /// Takes a DER certificate chain, leaf first, and a signer for a key that is elsewhere: in an HSM, a
    /// TPM or an agent.
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

    /// Our own (leaf) certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.leaf
    }

    /// The chain that is sent to peers, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    fn from_pem_parts(
        chain: &[u8],
        chain_origin: &Origin,
        key: &[u8],
        key_origin: &Origin,
    ) -> Result<Self, CredentialsError> {
        let chain = read_chain(chain, chain_origin)?;
        let key = read_key(key, key_origin)?;
        Self::new(chain, Key::Der(Arc::new(key)), key_origin)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Key,
        key_origin: &Origin,
    ) -> Result<Self, CredentialsError> {
        let Some(leaf) = chain.first() else {
            return Err(CredentialsError::NoCertificate {
                place: Origin::Bytes.to_string(),
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
    ) -> Result<Arc<CertifiedKey>, CredentialsError> {
        let signer = self.signer_at(provider, &Origin::Bytes)?;
        Ok(Arc::new(CertifiedKey::new(self.chain.to_vec(), signer)))
    }

    fn signer_at(
        &self,
        provider: &CryptoProvider,
        origin: &Origin,
    ) -> Result<Arc<dyn SigningKey>, CredentialsError> {
        let signer = match &self.key {
            Key::Signer(signer) => signer.clone(),
            Key::Der(key) => provider
                .key_provider
                .load_private_key(key.clone_key())
                .map_err(|error| CredentialsError::UnusableKey {
                    place: origin.to_string(),
                    problem: error.to_string(),
                })?,
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
        Err(CredentialsError::KeyMismatch {
            certificate: self.leaf.clone(),
            place: origin.to_string(),
            fitting_position,
        })
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

fn read_chain(
    pem: &[u8],
    origin: &Origin,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let mut chain = Vec::new();
    for block in read_blocks(pem, origin)? {
        match Part::of(block, "a certificate chain")? {
            Part::Certificate(der) => chain.push(der),
            Part::Key(_) | Part::Parameters => {} // all in one file
        }
    }
    if chain.is_empty() {
        return Err(CredentialsError::NoCertificate {
            place: origin.to_string(),
        });
    }
    Ok(chain)
}

fn read_key(pem: &[u8], origin: &Origin) -> Result<SecretKey, CredentialsError> {
    let mut keys = Vec::new();
    for block in read_blocks(pem, origin)? {
        match Part::of(block, "a private key")? {
            Part::Key(key) => keys.push(key),
            Part::Certificate(_) | Part::Parameters => {}
        }
    }
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(keys) if keys.is_empty() => Err(CredentialsError::NoKey {
            place: origin.to_string(),
        }),
        Err(_) => Err(CredentialsError::SeveralKeys {
            place: origin.to_string(),
        }),
    }
}

/// The blocks that our own files may have.
enum Part {
    Certificate(CertificateDer<'static>),
    Key(SecretKey),
    /// The parameters of the key's curve, which `openssl ecparam -genkey` writes. The key repeats them.
    Parameters,
}

impl Part {
    /// Any other block is an error: it may be an intermediate with another label (TRUSTED CERTIFICATE),
    /// and a chain without it fails at peers.
    fn of(mut block: Block, expected: &'static str) -> Result<Self, PemError> {
        let key = |key: PrivateKeyDer<'static>| Ok(Self::Key(Zeroizing::new(key)));
        match block.take() {
            Some((SectionKind::Certificate, der)) => Ok(Self::Certificate(der.into())),
            Some((SectionKind::PrivateKey, der)) => key(PrivateKeyDer::Pkcs8(der.into())),
            Some((SectionKind::RsaPrivateKey, der)) => key(PrivateKeyDer::Pkcs1(der.into())),
            Some((SectionKind::EcPrivateKey, der)) => key(PrivateKeyDer::Sec1(der.into())),
            None if block.label == "EC PARAMETERS" => Ok(Self::Parameters),
            _ => Err(block.unexpected(expected)),
        }
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
        for block in read_blocks(&file, &origin).expect("a block") {
            let (_, der) = block.content.as_ref().expect("decoded");
            is_wiped(der);
            let allocation = der.as_ptr();
            let Ok(Part::Key(key)) = Part::of(block, "a private key") else {
                panic!("no key");
            };
            is_wiped(&key);
            assert_eq!(key.secret_der().as_ptr(), allocation, "no copy was made");
        }
        let key = read_key(&file, &origin).expect("a key");
        is_wiped(&key);
        let credentials = Key::Der(Arc::new(key));
        if let Key::Der(key) = &credentials {
            is_wiped(&**key);
        }
    }
}
