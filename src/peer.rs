//! The one on the other side of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use crate::pki::Certificate;
use crate::pki::memory::allocated;
use crate::trust::VerifiedChain;

/// A peer that has been verified and identified: what a policy judges.
///
/// Cloning is cheap and needs no `I: Clone`.
pub struct Peer<I> {
    inner: Arc<Inner<I>>,
}

struct Inner<I> {
    /// Shared with the verification cache.
    identity: Arc<I>,
    chain: VerifiedChain,
    connection: ConnectionInfo,
}

impl<I> Peer<I> {
    /// The gate is the only one to call this, after the chain was verified.
    pub(crate) fn new(identity: Arc<I>, chain: VerifiedChain, connection: ConnectionInfo) -> Self {
        Self {
            inner: Arc::new(Inner {
                identity,
                chain,
                connection,
            }),
        }
    }

    /// The same peer by another verified path: of the same leaf, and so with the same identity.
    pub(crate) fn along(&self, chain: VerifiedChain) -> Self {
        let inner = &self.inner;
        Self::new(Arc::clone(&inner.identity), chain, inner.connection.clone())
    }

    /// Who the peer is, as the extractor read it.
    pub fn identity(&self) -> &I {
        &self.inner.identity
    }

    /// The peer's own (leaf) certificate.
    pub fn certificate(&self) -> &Certificate {
        self.inner.chain.leaf()
    }

    /// The verified path and what it is anchored in.
    pub fn chain(&self) -> &VerifiedChain {
        &self.inner.chain
    }

    /// What is known of the connection.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.inner.connection
    }
}

impl<I> Clone for Peer<I> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<I: fmt::Debug> fmt::Debug for Peer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("identity", self.identity())
            .field("certificate", self.certificate())
            .field("connection", self.connection())
            .finish()
    }
}

/// What is known of a connection besides the peer's certificates.
///
/// TLS fills it in. For a protocol that hands over a bare chain (QUIC), the application does:
///
/// ```
/// use countersign::ConnectionInfo;
///
/// let info = ConnectionInfo::default()
///     .with_remote_addr(std::net::SocketAddr::from(([192, 0, 2, 7], 4433)))
///     .with_server_name("orders.example")
///     .with_alpn(b"h3");
/// assert_eq!(info.server_name(), Some("orders.example"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    remote_addr: Option<SocketAddr>,
    local_addr: Option<SocketAddr>,
    server_name: Option<Arc<str>>,
    alpn: Option<Arc<[u8]>>,
    version: Option<ProtocolVersion>,
    cipher_suite: Option<CipherSuite>,
    key_exchange_group: Option<NamedGroup>,
    resumed: bool,
}

impl ConnectionInfo {
    /// The peer's address, if the transport has one.
    pub const fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    /// Our own address, if it is known: that of a TCP socket is.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// On a server, the name that the client asked for (SNI, RFC 6066 section 3): its claim, in
    /// lower case. On a client, the name that was dialled.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The negotiated application protocol (ALPN, RFC 7301), such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The TLS version; `None` for a bare chain.
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The TLS cipher suite; `None` for a bare chain.
    pub const fn cipher_suite(&self) -> Option<CipherSuite> {
        self.cipher_suite
    }

    /// The group of the key exchange, such as X25519MLKEM768; `None` for a bare chain, and for a
    /// resumed session of TLS 1.2, which has none.
    pub const fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.key_exchange_group
    }

    /// Whether a session was resumed: then the peer proved its key in an earlier handshake, and
    /// its chain was restored from there and judged again now.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Sets the peer's address.
    #[must_use]
    pub fn with_remote_addr(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.remote_addr = address.into();
        self
    }

    /// Sets our own address.
    #[must_use]
    pub fn with_local_addr(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.local_addr = address.into();
        self
    }

    /// Sets the server's name.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the application protocol.
    #[must_use]
    pub fn with_alpn(mut self, protocol: &[u8]) -> Self {
        self.alpn = Some(protocol.into());
        self
    }

    /// Takes what rustls knows of a connection.
    pub(crate) fn with_tls(mut self, connection: &rustls::CommonState) -> Self {
        self.alpn = connection.alpn_protocol().map(Into::into);
        self.version = connection.protocol_version();
        self.cipher_suite = connection
            .negotiated_cipher_suite()
            .map(|suite| suite.suite());
        self.key_exchange_group = connection
            .negotiated_key_exchange_group()
            .map(|group| group.name());
        self.resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        self
    }

    /// Takes what a server has chosen, of a handshake that failed.
    pub(crate) const fn with_choices(
        mut self,
        version: ProtocolVersion,
        cipher_suite: CipherSuite,
        key_exchange_group: Option<NamedGroup>,
    ) -> Self {
        self.version = Some(version);
        self.cipher_suite = Some(cipher_suite);
        self.key_exchange_group = key_exchange_group;
        self
    }

    /// Cuts the names that may be a peer's, visibly. TLS bounds them already; an application that
    /// gives them may not.
    pub(crate) fn shorten(&mut self, limit: usize) {
        if let Some(name) = self.server_name.as_deref().filter(|it| it.len() > limit) {
            let mut name = name.to_owned();
            crate::pki::text::shorten(&mut name, limit);
            self.server_name = Some(name.into());
        }
        if let Some(alpn) = self.alpn.as_deref().filter(|it| it.len() > limit) {
            self.alpn = Some(alpn[..limit].into());
        }
    }

    /// How many bytes its names hold.
    pub(crate) fn memory(&self) -> usize {
        let name = self.server_name.as_deref().map_or(0, str::len);
        let alpn = self.alpn.as_deref().map_or(0, <[u8]>::len);
        allocated(name) + allocated(alpn)
    }

    /// The version's number: `1.3`.
    #[cfg(feature = "audit-json")]
    pub(crate) const fn version_number(&self) -> Option<&'static str> {
        match self.version {
            Some(ProtocolVersion::TLSv1_3) => Some("1.3"),
            Some(ProtocolVersion::TLSv1_2) => Some("1.2"),
            Some(_) => Some("unknown"),
            None => None,
        }
    }

    /// IANA's name of the cipher suite: `TLS_AES_128_GCM_SHA256`.
    #[cfg(feature = "audit-json")]
    pub(crate) fn cipher_suite_name(&self) -> Option<String> {
        let name = format!("{:?}", self.cipher_suite?);
        // rustls writes TLS13_ for those of TLS 1.3.
        Some(match name.strip_prefix("TLS13_") {
            Some(rest) => format!("TLS_{rest}"),
            None => name,
        })
    }

    /// IANA's name of the group: `X25519MLKEM768`.
    #[cfg(feature = "audit-json")]
    pub(crate) fn key_exchange_group_name(&self) -> Option<String> {
        self.key_exchange_group.map(|group| format!("{group:?}"))
    }
}
