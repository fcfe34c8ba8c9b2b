//! The peer's certificate in the headers of a forwarded request.

use std::borrow::Cow;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use quick_cache::sync::Cache;

use super::XfccField;
use super::xfcc;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::identity::Fingerprint;
use crate::pki::SanError;
use crate::trust::VerifiedChain;
use crate::{Certificate, Peer};

pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
pub(super) const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Forwards the identity of a proxy's client in headers to the server behind the proxy.
///
/// Headers of these names that the client sent are always removed first, also those that are not set:
/// `Client-Cert`, `Client-Cert-Chain`, `X-Forwarded-Client-Cert`, and the names that you
/// [add](Self::strip).
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::http::{ForwardError, ForwardedIdentity, XfccField};
/// use countersign::Peer;
/// use http::HeaderName;
///
/// # fn forward(peer: &Peer<SpiffeId>, parts: &mut http::request::Parts) -> Result<(), ForwardError> {
/// let forward = ForwardedIdentity::new()
///     .client_cert()
///     .xfcc([XfccField::Hash, XfccField::Uri])
///     .strip(HeaderName::from_static("x-user"));
/// forward.apply(&mut parts.headers, peer)?;
/// # Ok(())
/// # }
/// ```
///
/// The headers of the 1,024 most recent certificates are kept, by all clones together: each is encoded once.
///
/// # Security
/// The server behind the proxy trusts the headers of every client that can connect to it, so only the
/// proxy may. Trailers are not examined: a proxy must not forward request trailers of these names.
#[derive(Clone, Debug, Default)]
#[doc(alias = "xfcc")]
#[doc(alias = "x-forwarded-client-cert")]
#[doc(alias = "client-cert")]
#[doc(alias = "rfc9440")]
#[doc(alias = "client certificate")]
#[doc(alias = "spiffe")]
#[must_use = "it does nothing until apply() is called"]
pub struct ForwardedIdentity {
    client_cert: bool,
    chain: bool,
    xfcc: Vec<XfccField>,
    stripped: Vec<HeaderName>,
    prefixes: Vec<HeaderName>,
    encoded: Encoded,
}

/// The headers of the peers whose requests were forwarded before, by the certificate.
#[derive(Clone, Default)]
struct Encoded(Arc<OnceLock<Cache<Fingerprint, Arc<PeerHeaders>>>>);

/// The headers of one peer.
struct PeerHeaders {
    /// What they were made of, besides the certificate. Clones of one value may have other fields.
    client_cert: bool,
    chain: bool,
    xfcc: Vec<XfccField>,
    path: Vec<Fingerprint>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ForwardedIdentity {
    /// Sets no header, and removes those of the client.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `Client-Cert` (RFC 9440): the peer's certificate in base64.
    pub const fn client_cert(mut self) -> Self {
        self.client_cert = true;
        self
    }

    /// Sets `Client-Cert`, and `Client-Cert-Chain` (RFC 9440) with the issuers of the verified path,
    /// without the root. The chain header is omitted if the path has no such issuer.
    pub const fn client_cert_chain(mut self) -> Self {
        self.chain = true;
        self.client_cert()
    }

    /// Sets `X-Forwarded-Client-Cert` like Envoy with `SANITIZE_SET`: one element, for the peer. The
    /// fields have Envoy's order.
    pub fn xfcc(mut self, fields: impl IntoIterator<Item = XfccField>) -> Self {
        self.xfcc.extend(fields);
        self
    }

    /// Also removes the client's headers of this name, for example a header from which the server behind
    /// the proxy reads the user.
    pub fn strip(mut self, name: HeaderName) -> Self {
        self.stripped.push(name);
        self
    }

    /// Also removes the client's headers whose names begin so, such as `x-portkey-`, by which a client would
    /// choose the provider, the host and the model of an AI gateway.
    ///
    /// ```
    /// use countersign::integration::http::ForwardedIdentity;
    /// use http::{HeaderMap, HeaderName, HeaderValue};
    ///
    /// let forward = ForwardedIdentity::new().strip_prefix(HeaderName::from_static("x-portkey-"));
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-portkey-custom-host", HeaderValue::from_static("http://evil.example"));
    /// forward.remove(&mut headers);
    /// assert!(headers.is_empty());
    /// ```
    pub fn strip_prefix(mut self, prefix: HeaderName) -> Self {
        self.prefixes.push(prefix);
        self
    }

    /// Removes the client's headers, and sets the headers for the peer.
    ///
    /// # Errors
    /// [`ForwardError`]: the certificate has a value that the headers cannot represent unambiguously, such
    /// as a URI with a backslash. Then no header is set; do not forward the request.
    pub fn apply<I>(&self, headers: &mut HeaderMap, peer: &Peer<I>) -> Result<(), ForwardError> {
        self.remove(headers);
        for (name, value) in &self.encoded(peer.chain())?.headers {
            headers.insert(name, value.clone());
        }
        Ok(())
    }

    /// The headers for a peer with this path.
    fn encoded(&self, chain: &VerifiedChain) -> Result<Arc<PeerHeaders>, ForwardError> {
        /// Their number. A certificate takes about two kilobytes, and each of its issuers as much.
        const KEPT: usize = 1024;

        let known = self.encoded.0.get_or_init(|| Cache::new(KEPT));
        let leaf = chain.leaf().sha256();
        if let Some(headers) = known.get(&leaf)
            && headers.is_by(self)
            && (!self.has_path() || path_of(chain).eq(headers.path.iter().copied()))
        {
            return Ok(headers);
        }
        let headers = Arc::new(self.encode(chain)?);
        known.insert(leaf, Arc::clone(&headers));
        Ok(headers)
    }

    fn encode(&self, chain: &VerifiedChain) -> Result<PeerHeaders, ForwardError> {
        let mut set = Vec::new();
        if self.client_cert {
            set.push((CLIENT_CERT, byte_sequence(chain.leaf())));
        }
        if self.chain {
            let issuers = chain.certificates().iter().skip(1);
            let issuers: Vec<_> = issuers.map(byte_sequence).collect();
            if !issuers.is_empty() {
                set.push((CLIENT_CERT_CHAIN, issuers.join(", ")));
            }
        }
        if !self.xfcc.is_empty() {
            set.push((XFCC, xfcc::element(&self.xfcc, chain)?));
        }
        let headers = set
            .into_iter()
            .map(|(name, value)| Ok((name, value_of(value, chain)?)))
            .collect::<Result<_, ForwardError>>()?;
        Ok(PeerHeaders {
            client_cert: self.client_cert,
            chain: self.chain,
            xfcc: self.xfcc.clone(),
            path: path_of(chain).collect(),
            headers,
        })
    }

    /// Whether the headers depend on more than the peer's own certificate.
    fn has_path(&self) -> bool {
        self.chain || self.xfcc.contains(&XfccField::Chain)
    }

    /// Removes the client's headers. [`apply`](Self::apply) calls it; call it yourself for a request without
    /// a peer.
    ///
    /// Names that differ only in characters such as `_` for `-` count as equal, because they are equal for
    /// CGI and similar interfaces. Such names are also removed from `Connection`, because the next proxy
    /// would otherwise remove the header that is set here.
    pub fn remove(&self, headers: &mut HeaderMap) {
        let names: Vec<_> = headers
            .keys()
            .filter(|name| self.is_stripped(name.as_str()))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
        let options = headers.get_all(CONNECTION).iter();
        let options: Vec<_> = options
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .collect();
        let is_named = |option: &&[u8]| self.is_stripped(&String::from_utf8_lossy(option));
        if options.iter().any(is_named) {
            let mut rest = options.to_vec();
            rest.retain(|option| !is_named(option));
            let rest = HeaderValue::from_bytes(&rest.join(&b", "[..]));
            headers.remove(CONNECTION);
            if let Some(rest) = rest.ok().filter(|rest| !rest.is_empty()) {
                headers.insert(CONNECTION, rest);
            }
        }
    }

    fn is_stripped(&self, name: &str) -> bool {
        let ours = [&CLIENT_CERT, &CLIENT_CERT_CHAIN, &XFCC];
        ours.into_iter()
            .chain(&self.stripped)
            .any(|stripped| are_alike(stripped.as_str(), name))
            || self.prefixes.iter().any(|prefix| {
                let start = name.get(..prefix.as_str().len());
                start.is_some_and(|start| are_alike(prefix.as_str(), start))
            })
    }
}

impl PeerHeaders {
    /// Whether this would set the same.
    fn is_by(&self, forward: &ForwardedIdentity) -> bool {
        self.client_cert == forward.client_cert
            && self.chain == forward.chain
            && self.xfcc == forward.xfcc
    }
}

// A panic cannot leave an entry half-changed: entries are whole when they are inserted.
impl UnwindSafe for Encoded {}
impl RefUnwindSafe for Encoded {}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoded")
    }
}

fn path_of(chain: &VerifiedChain) -> impl Iterator<Item = Fingerprint> {
    chain.certificates().iter().map(Certificate::sha256)
}

/// Whether the names are the same variable of CGI (RFC 3875 section 4.1.18), or of a server that replaces
/// other characters by `_` too.
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    let variable = |byte: u8| match byte.to_ascii_lowercase() {
        byte if byte.is_ascii_alphanumeric() => byte,
        _ => b'_',
    };
    one.len() == other.len() && one.bytes().map(variable).eq(other.bytes().map(variable))
}

/// A Byte Sequence of RFC 8941 section 3.3.5.
fn byte_sequence(certificate: &Certificate) -> String {
    format!(":{}:", STANDARD.encode(certificate.der()))
}

fn value_of(value: String, chain: &VerifiedChain) -> Result<HeaderValue, ForwardError> {
    HeaderValue::try_from(value).map_err(|_| ForwardError::Unrepresentable {
        certificate: chain.leaf().clone(),
    })
}

/// Why headers cannot describe a peer.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::identity::DnsName;
/// use countersign::integration::http::{ForwardedIdentity, XfccField};
/// use countersign::testing::{TestCa, peer_of};
/// use http::HeaderMap;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let odd = ca.leaf().uri("urn:a\\b").issue();
/// let client: DnsName = "client.example".parse()?;
/// let peer = peer_of(client, &ca, &odd, Default::default());
/// let forward = ForwardedIdentity::new().xfcc([XfccField::Uri]);
///
/// let error = forward.apply(&mut HeaderMap::new(), &peer).unwrap_err();
/// assert_eq!(error.reason(), "unrepresentable");
/// println!("{}: {}", error.cause(), error.remedy());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// A name in the certificate has characters that the header cannot represent unambiguously: a
    /// backslash, a control character, a character outside ASCII.
    Unrepresentable {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The names of the certificate cannot be read.
    Names {
        /// The peer's certificate.
        certificate: Certificate,
        /// What is wrong with them.
        error: SanError,
    },
}

impl ForwardError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unrepresentable { .. } => "unrepresentable",
            Self::Names { .. } => "unreadable_names",
        }
    }
}

impl Diagnostic for ForwardError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Unrepresentable { certificate } => format!(
                "a name in {certificate} has characters that the forwarded header cannot represent unambiguously"
            ),
            Self::Names { certificate, error } => {
                format!("the names in {certificate} cannot be forwarded: {}", Diagnostic::cause(error))
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Unrepresentable { .. } => {
                "issue it with names of printable ASCII without a backslash, or forward other fields"
            }
            Self::Names { .. } => "issue it with readable names, or forward other fields",
        }
        .into()
    }
}

display_diagnostic!(ForwardError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_variables_of_cgi() {
        for (one, other, alike) in [
            ("client-cert", "Client_Cert", true),
            ("client-cert", "client.cert", true),
            ("client-cert", "client-certs", false),
            ("client-cert", "clientxcert", false),
        ] {
            assert_eq!(are_alike(one, other), alike, "{one} {other}");
        }
    }
}
