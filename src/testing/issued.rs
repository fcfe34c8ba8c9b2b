use super::{der, tbs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;

/// A certificate with its chain and its private key.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").intermediate("Issuing").leaf().issue();
/// assert_eq!(issued.chain().len(), 2);
/// assert!(issued.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
/// let credentials = issued.credentials();
/// # let _ = credentials;
/// ```
#[derive(Clone)]
pub struct Issued {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Vec<u8>,
    pub(super) serial: Vec<u8>,
}

impl Issued {
    /// The certificate, then the intermediates; without the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The certificate itself.
    pub fn leaf_der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The same without the intermediates, as a misconfigured peer sends it.
    pub fn leaf_only(&self) -> Self {
        Self {
            chain: vec![self.leaf_der().clone()],
            ..self.clone()
        }
    }

    /// The private key (PKCS#8).
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        tbs::pem(&self.chain)
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        der::pem("PRIVATE KEY", &self.key)
    }

    /// The content octets of the serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("certificates", &self.chain.len())
            .field("serial", &format_args!("{:02x?}", self.serial))
            .finish_non_exhaustive()
    }
}
