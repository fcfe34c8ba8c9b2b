//! Which cipher suite a connection gets, of those that both sides have.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, SupportedCipherSuite};

/// Which cipher suite is preferred. It removes none: a peer that has only one of them gets that.
///
/// ```
/// use countersign::CipherOrder;
/// use countersign::builder::{Builder, Role};
///
/// /// For a deployment whose rules require 256 bits wherever the peer has them.
/// fn with_long_keys<S: Role, I>(builder: Builder<S, I>) -> Builder<S, I> {
///     builder.cipher_order(CipherOrder::Aes256First)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherOrder {
    /// AES-128-GCM with SHA-256 first, then AES-256-GCM, then ChaCha20-Poly1305. An acceptor chooses in this
    /// order, whatever order its client states; a connector states this order.
    ///
    /// Processors compute SHA-256 in hardware, and most of them not SHA-384, which dominates the key schedule
    /// of a handshake. 128 bits are enough against all known attacks.
    Aes128First,
    /// AES-256-GCM with SHA-384 first, then AES-128-GCM, then ChaCha20-Poly1305. As CNSA 2.0 demands, and
    /// with the largest margin against quantum computers.
    Aes256First,
    /// An acceptor chooses what its client prefers: AES-256-GCM for most clients with OpenSSL, and
    /// ChaCha20-Poly1305 for devices that have no instructions for AES. For a connector it is the same as
    /// [`Aes128First`](Self::Aes128First), since a server chooses.
    ByClient,
}

impl CipherOrder {
    /// The same provider with its suites in this order.
    pub(crate) fn apply(self, provider: Arc<CryptoProvider>) -> Arc<CryptoProvider> {
        let mut sorted = provider.cipher_suites.clone();
        // Stable: the others keep their order. The versions are chosen first, so they stay together.
        sorted.sort_by_key(|suite| (suite.tls13().is_none(), self.rank(*suite)));
        if sorted == provider.cipher_suites {
            return provider;
        }
        Arc::new(CryptoProvider {
            cipher_suites: sorted,
            ..CryptoProvider::clone(&provider)
        })
    }

    /// Whether an acceptor chooses in its own order.
    pub(crate) const fn is_of_server(self) -> bool {
        !matches!(self, Self::ByClient)
    }

    fn rank(self, suite: SupportedCipherSuite) -> u8 {
        use CipherSuite as C;

        match (suite.suite(), self) {
            (
                C::TLS13_AES_128_GCM_SHA256
                | C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | C::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                Self::Aes128First | Self::ByClient,
            )
            | (
                C::TLS13_AES_256_GCM_SHA384
                | C::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | C::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                Self::Aes256First,
            ) => 0,
            _ => 1,
        }
    }
}
