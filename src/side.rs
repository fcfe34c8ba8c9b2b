//! The two sides of a connection.

/// A side of a connection: of ours in events and figures, of the peer where its certificate is verified.
///
/// ```
/// use countersign::Side;
///
/// assert_eq!(Side::Server.as_str(), "server");
/// assert_eq!(Side::Server.peer(), Side::Client);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// It accepts connections. Its certificate must allow serverAuth.
    Server,
    /// It connects. Its certificate must allow clientAuth.
    Client,
}

impl Side {
    /// `"server"` or `"client"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The other side.
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The object identifier of the extended key usage that its certificate must allow.
    pub(crate) const fn usage_oid(self) -> &'static str {
        match self {
            Self::Client => "1.3.6.1.5.5.7.3.2",
            Self::Server => "1.3.6.1.5.5.7.3.1",
        }
    }

    /// The name of that extended key usage.
    pub(crate) const fn usage(self) -> &'static str {
        match self {
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        }
    }
}
