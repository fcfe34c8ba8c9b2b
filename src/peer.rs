//! The peer of a connection.

#[cfg(feature = "audit-json")]
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use crate::pki::Certificate;
use crate::pki::memory::allocated;
use crate::trust::VerifiedChain;

/// A verified and identified peer: the input of a policy.
///
/// Cloning is cheap and does not require `I: Clone`.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::testing;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let peer = testing::peer("spiffe://example.org/billing".parse::<SpiffeId>()?);
/// assert_eq!(peer.identity().path(), "/billing");
/// println!("{}, {:?}", peer.certificate(), peer.connection().remote_addr());
/// # Ok(())
/// # }
/// ```
pub struct Peer<I> {
    inner: Arc<Inner<I>>,
}

struct Inner<I> {
    /// Shared with the verification cache.
    identity: Arc<I>,
    chain: VerifiedChain,
    connection: ConnectionInfo,
    /// The proxy that the peer has proven its key to, in place of us.
    vouched_by: Option<Peer<I>>,
}

impl<I> Peer<I> {
    /// Only the gate calls this, after it verified the chain.
    pub(crate) fn new(identity: Arc<I>, chain: VerifiedChain, connection: ConnectionInfo) -> Self {
        Self {
            inner: Arc::new(Inner {
                identity,
                chain,
                connection,
                vouched_by: None,
            }),
        }
    }

    /// The same peer, whose key was proven to this proxy and not to us.
    #[cfg(feature = "http")]
    pub(crate) fn vouched_for_by(&self, proxy: Self) -> Self {
        self.with(self.inner.chain.clone(), Some(proxy))
    }

    fn with(&self, chain: VerifiedChain, vouched_by: Option<Self>) -> Self {
        Self {
            inner: Arc::new(Inner {
                identity: Arc::clone(&self.inner.identity),
                chain,
                connection: self.inner.connection.clone(),
                vouched_by,
            }),
        }
    }

    /// Whether they are one value.
    #[cfg(feature = "tokio")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The same peer with another verified path of the same leaf, and so with the same identity.
    pub(crate) fn along(&self, chain: VerifiedChain) -> Self {
        self.with(chain, self.inner.vouched_by.clone())
    }

    /// The identity that the extractor read.
    pub fn identity(&self) -> &I {
        &self.inner.identity
    }

    /// The peer's own (leaf) certificate.
    pub fn certificate(&self) -> &Certificate {
        self.inner.chain.leaf()
    }

    /// The verified path with its anchor.
    pub fn chain(&self) -> &VerifiedChain {
        &self.inner.chain
    }

    /// The proxy that vouches for the peer, if one does: the peer has proven its key to the proxy, and not
    /// to us (`integration::http::ProxiedIdentity`). `None`: the peer is the other end of the connection.
    ///
    /// # Security
    /// The proxy could name any peer whose certificate it knows. A policy that does not want that denies a
    /// peer that has one.
    pub fn vouched_by(&self) -> Option<&Self> {
        self.inner.vouched_by.as_ref()
    }

    /// The properties of the connection; of a peer that a proxy vouches for, those of its connection that
    /// are known here.
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
            .field("vouched_by", &self.vouched_by())
            .finish()
    }
}

/// The properties of a connection, besides the peer's certificates.
///
/// The acceptor and the connector fill it in. Where the application gives the peer's chain to the gate, as
/// with QUIC, it sets them:
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
    /// In a box, because few connections have one.
    proxy_addr: Option<Box<SocketAddr>>,
    server_name: Option<Arc<str>>,
    alpn: Option<Arc<[u8]>>,
    version: Option<ProtocolVersion>,
    cipher_suite: Option<CipherSuite>,
    key_exchange_group: Option<NamedGroup>,
    resumed: bool,
}

impl ConnectionInfo {
    /// The peer's address, if the transport has one. Behind a proxy that sends a
    /// [PROXY header](crate::proxy_protocol), it is the client's address, or `None` if the proxy does not
    /// know it.
    pub const fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    /// The address of the proxy that forwards the peer's connection, if one does: that of the transport.
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.proxy_addr.as_deref().copied()
    }

    /// The local address, if it is known. That of a TCP socket is.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The server name. On a server: the name in the client's SNI extension (RFC 6066 section 3), in lower
    /// case; any client can send any name. On a client: the name that it connected to.
    #[doc(alias = "sni")]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The negotiated application protocol (ALPN, RFC 7301), such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The TLS version. `None`: the application gave the chain.
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// The TLS cipher suite. `None`: the application gave the chain.
    pub const fn cipher_suite(&self) -> Option<CipherSuite> {
        self.cipher_suite
    }

    /// The group of the key exchange, such as X25519MLKEM768. `None`: the application gave the chain, or
    /// the connection resumed a TLS 1.2 session, which has no key exchange.
    pub const fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.key_exchange_group
    }

    /// Whether the connection resumed a session. Then the peer proved its key in an earlier handshake, and
    /// the chain of that handshake was verified and authorized again.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Sets the peer's address.
    #[must_use]
    pub fn with_remote_addr(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.remote_addr = address.into();
        self
    }

    /// Sets the address of the proxy that forwards the connection.
    #[must_use]
    pub fn with_proxy_addr(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.proxy_addr = address.into().map(Box::new);
        self
    }

    /// Sets the local address.
    #[must_use]
    pub fn with_local_addr(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.local_addr = address.into();
        self
    }

    /// Sets the server name.
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

    /// Copies the properties that rustls knows.
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

    /// Sets the server's choices in a handshake that failed.
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

    /// Shortens the names, which a peer may have chosen, with a visible mark. TLS limits them; an application
    /// that sets them may not.
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

    /// The memory of its names, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let name = self.server_name.as_deref().map_or(0, str::len);
        let alpn = self.alpn.as_deref().map_or(0, <[u8]>::len);
        let proxy = self.proxy_addr.as_deref().map_or(0, size_of_val);
        allocated(name) + allocated(alpn) + allocated(proxy)
    }

    /// The version number: `1.3`.
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
    pub(crate) fn cipher_suite_name(&self) -> Option<Cow<'static, str>> {
        let suite = self.cipher_suite?;
        // rustls writes TLS13_ for the suites of TLS 1.3.
        Some(match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256".into(),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384".into(),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256".into(),
            suite => name_of(suite.as_str(), &suite),
        })
    }

    /// IANA's name of the group: `X25519MLKEM768`.
    #[cfg(feature = "audit-json")]
    pub(crate) fn key_exchange_group_name(&self) -> Option<Cow<'static, str>> {
        self.key_exchange_group.map(|group| match group {
            NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768".into(),
            group => name_of(group.as_str(), &group),
        })
    }
}

/// The name of a value that rustls knows, or its number.
#[cfg(feature = "audit-json")]
fn name_of(known: Option<&'static str>, value: &dyn fmt::Debug) -> Cow<'static, str> {
    known.map_or_else(|| format!("{value:?}").into(), Cow::Borrowed)
}
