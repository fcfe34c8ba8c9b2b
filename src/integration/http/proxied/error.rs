//! Why the identity of a client behind a proxy is refused.

use std::borrow::Cow;

use http::HeaderName;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::gate::AdmitError;

/// Why the identity of a client behind a proxy is refused.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::integration::http::{IdentityHeader, ProxiedIdentityError};
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("client-cert", HeaderValue::from_static(":TUlJ:, :TUlJ:"));
/// let error = IdentityHeader::ClientCert.read(&headers).unwrap_err();
/// assert!(matches!(error, ProxiedIdentityError::Malformed { .. }));
/// assert_eq!(error.reason(), "proxied_identity_malformed");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxiedIdentityError {
    /// The request has no peer with this type of identity.
    NoPeer,
    /// The header is from a peer that is not named as a proxy.
    NotFromProxy {
        /// The header.
        header: HeaderName,
    },
    /// The peer is named as a proxy more than once, with different headers.
    SeveralHeaders,
    /// The policy that names proxies panicked.
    Panicked,
    /// The proxy sent no identity.
    Missing {
        /// The header that it should have set.
        header: HeaderName,
    },
    /// The header occurs more than once.
    Repeated {
        /// The header.
        header: HeaderName,
    },
    /// The request has another header of this kind than the one that the proxy sets, or a name that a server
    /// could take for it (`client_cert`), or the header is named in `Connection`.
    Mixed {
        /// The other header.
        header: HeaderName,
    },
    /// The header is longer than [`MAX`](super::IdentityHeader::MAX), or has more than 10 certificates.
    TooLarge {
        /// The header.
        header: HeaderName,
    },
    /// The header is malformed.
    Malformed {
        /// The header.
        header: HeaderName,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The header contradicts its own certificate.
    Mismatch {
        /// The header.
        header: HeaderName,
        /// The part that differs.
        part: &'static str,
    },
    /// The gate does not admit the client: because of its chain, its identity, or the policy.
    NotAdmitted(AdmitError),
}

impl ProxiedIdentityError {
    /// A stable code for programs: `"proxied_identity_missing"`, `"revoked"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoPeer => "no_peer",
            Self::NotFromProxy { .. } => "proxied_identity_not_from_proxy",
            Self::SeveralHeaders => "proxied_identity_several_headers",
            Self::Panicked => "proxied_identity_panicked",
            Self::Missing { .. } => "proxied_identity_missing",
            Self::Repeated { .. } => "proxied_identity_repeated",
            Self::Mixed { .. } => "proxied_identity_mixed",
            Self::TooLarge { .. } => "proxied_identity_too_large",
            Self::Malformed { .. } => "proxied_identity_malformed",
            Self::Mismatch { .. } => "proxied_identity_mismatch",
            Self::NotAdmitted(error) => error.reason(),
        }
    }
}

impl Diagnostic for ProxiedIdentityError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoPeer => return "the request has no peer with this type of identity".into(),
            Self::NotFromProxy { header } => {
                format!("the request has the header {header}, and its peer is not named as a proxy")
            }
            Self::SeveralHeaders => {
                return "the peer is named as a proxy more than once, with different headers"
                    .into();
            }
            Self::Panicked => return "the policy that names proxies panicked".into(),
            Self::Missing { header } => {
                format!("the request of a proxy has no client identity in {header}")
            }
            Self::Repeated { header } => format!("the header {header} occurs more than once"),
            Self::Mixed { header } => format!(
                "the request of a proxy has the header {header} beside the one that the proxy sets"
            ),
            Self::TooLarge { header } => format!("the header {header} is too large"),
            Self::Malformed { header, problem } => {
                format!("the header {header} is malformed: {problem}")
            }
            Self::Mismatch { header, part } => {
                format!("the header {header} contradicts its certificate: {part} differs")
            }
            Self::NotAdmitted(error) => return error.cause(),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoPeer => "serve it by countersign's Server, with the identity of the acceptor",
            Self::NotFromProxy { .. } => {
                "if it is a proxy, name it in from_proxies(), otherwise see why it sends the header"
            }
            Self::SeveralHeaders => "name each proxy with one header",
            Self::Panicked => "see its panic message, and correct the policy",
            Self::Missing { .. } => {
                "have the proxy demand a client certificate and forward it in this header"
            }
            Self::Repeated { .. } | Self::Mixed { .. } => {
                "have the proxy remove what its clients send under such names"
            }
            Self::TooLarge { .. } => "have the client present a shorter chain",
            Self::Malformed { .. } => {
                "compare the proxy's configuration with the manual's page about proxies"
            }
            Self::Mismatch { .. } => "have the proxy replace the header, and not add to it",
            Self::NotAdmitted(error) => return error.remedy(),
        }
        .into()
    }
}

display_diagnostic!(ProxiedIdentityError);

impl From<AdmitError> for ProxiedIdentityError {
    fn from(error: AdmitError) -> Self {
        Self::NotAdmitted(error)
    }
}
