//! The headers in which proxies forward the chain of a client.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;

use super::ProxiedIdentityError;
use super::ders::{self, Der, Unreadable};
use super::{pem, xfcc};
use crate::Certificate;
use crate::integration::http::forward::{CLIENT_CERT, CLIENT_CERT_CHAIN, XFCC, are_alike};

const AWS: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert");
const AWS_LEAF: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-leaf");
const AWS_SERIAL: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-serial-number");
/// What accompanies the leaf, for people.
const AWS_TEXTS: [HeaderName; 3] = [
    HeaderName::from_static("x-amzn-mtls-clientcert-issuer"),
    HeaderName::from_static("x-amzn-mtls-clientcert-subject"),
    HeaderName::from_static("x-amzn-mtls-clientcert-validity"),
];

/// The header in which a proxy forwards the chain of its client.
///
/// ```
/// use countersign::integration::http::IdentityHeader;
/// use http::HeaderName;
///
/// // proxy_set_header X-Client-Certificate $ssl_client_escaped_cert;
/// let nginx = IdentityHeader::Nginx(HeaderName::from_static("x-client-certificate"));
/// ```
///
/// # Security
/// The proxy must **replace** the header in every request, and remove what its clients send under this
/// name. Most replace a header when they set it, also when the client has no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityHeader {
    /// `Client-Cert` and `Client-Cert-Chain` of RFC 9440, as this crate's
    /// [`ForwardedIdentity`](crate::integration::http::ForwardedIdentity) sends them. The chain may be
    /// missing.
    ClientCert,
    /// Envoy's `X-Forwarded-Client-Cert`: one element (`forward_client_cert_details: SANITIZE_SET`) with
    /// `Cert` or `Chain` (`set_current_client_cert_details`).
    Xfcc,
    /// The headers of AWS' Application Load Balancer: `X-Amzn-Mtls-Clientcert` of its passthrough mode, or
    /// `X-Amzn-Mtls-Clientcert-Leaf` of its verify mode; not both.
    AwsAlb,
    /// nginx' `$ssl_client_escaped_cert` in this header. It has no intermediates, so the trust store needs
    /// them.
    Nginx(HeaderName),
    /// HAProxy's `%[ssl_c_der,base64]` and `%[ssl_c_chain_der,base64]` in these headers. The chain may be
    /// missing or empty: HAProxy does not have it in a resumed session.
    Haproxy {
        /// The header of the certificate.
        certificate: HeaderName,
        /// The header of its issuers.
        chain: HeaderName,
    },
}

impl IdentityHeader {
    /// The maximum length of a header's value in bytes: 65,536.
    pub const MAX: usize = 64 * 1024;

    /// nginx' certificate in `X-SSL-Client-Cert`.
    pub const NGINX: Self = Self::Nginx(HeaderName::from_static("x-ssl-client-cert"));

    /// HAProxy's certificate in `X-SSL-Client-Cert` and its chain in `X-SSL-Client-Chain`.
    pub const HAPROXY: Self = Self::Haproxy {
        certificate: HeaderName::from_static("x-ssl-client-cert"),
        chain: HeaderName::from_static("x-ssl-client-chain"),
    };

    /// Reads the chain, leaf first.
    ///
    /// [`ProxiedIdentity`](super::ProxiedIdentity) calls it for the requests of proxies. It verifies
    /// nothing: neither who sent the header, nor whether the chain is trusted.
    ///
    /// # Errors
    /// [`ProxiedIdentityError`]: no header, two of them, a comma-separated list where one value is expected,
    /// another header of this kind or a name such as `client_cert` that some servers take for it, base64
    /// without padding or with spaces, an encoded letter (`%4D`), text around PEM, a hash that is not the
    /// certificate's.
    pub fn read(
        &self,
        headers: &HeaderMap,
    ) -> Result<Vec<CertificateDer<'static>>, ProxiedIdentityError> {
        self.read_beside(headers, &[])
    }

    /// As [`read`](Self::read), where headers of these names are identities too.
    pub(super) fn read_beside(
        &self,
        headers: &HeaderMap,
        others: &[HeaderName],
    ) -> Result<Vec<CertificateDer<'static>>, ProxiedIdentityError> {
        let own = self.names();
        if let Some(header) = other_identity(headers, &own, others) {
            return Err(ProxiedIdentityError::Mixed { header });
        }
        let chain = match self {
            Self::ClientCert => leaf_and(
                headers,
                CLIENT_CERT,
                ders::byte_sequence,
                CLIENT_CERT_CHAIN,
                |chain, _| ders::byte_sequences(chain),
            )?,
            Self::Haproxy { certificate, chain } => leaf_and(
                headers,
                certificate.clone(),
                ders::certificate,
                chain.clone(),
                ders::concatenated,
            )?,
            Self::Xfcc => required(headers, XFCC, xfcc::chain)?,
            Self::Nginx(name) => required(headers, name.clone(), one_of_pem)?,
            Self::AwsAlb => aws(headers)?,
        };
        Ok(chain.into_iter().map(CertificateDer::from).collect())
    }

    /// The names of the headers that are this identity's.
    pub(super) fn names(&self) -> Vec<HeaderName> {
        match self {
            Self::ClientCert => vec![CLIENT_CERT, CLIENT_CERT_CHAIN],
            Self::Xfcc => vec![XFCC],
            Self::AwsAlb => [AWS, AWS_LEAF, AWS_SERIAL]
                .into_iter()
                .chain(AWS_TEXTS)
                .collect(),
            Self::Nginx(name) => vec![name.clone()],
            Self::Haproxy { certificate, chain } => vec![certificate.clone(), chain.clone()],
        }
    }
}

/// A header of an identity that is not among `own`: one of the usual names or of `others`, in any spelling,
/// also where `Connection` names it.
pub(super) fn other_identity(
    headers: &HeaderMap,
    own: &[HeaderName],
    others: &[HeaderName],
) -> Option<HeaderName> {
    let is_identity = |name: &str| {
        is_usual(name)
            || own
                .iter()
                .chain(others)
                .any(|other| are_alike(other.as_str(), name))
    };
    let other = headers
        .keys()
        .find(|name| is_identity(name.as_str()) && !own.contains(name));
    let options = headers.get_all(CONNECTION).iter();
    let hop_by_hop = options
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|option| is_identity(&String::from_utf8_lossy(option.trim_ascii())));
    other.cloned().or_else(|| hop_by_hop.then_some(CONNECTION))
}

/// Whether proxies use the name for identities, in any spelling.
fn is_usual(name: &str) -> bool {
    let is_aws = || {
        let begin = name.get(..AWS.as_str().len());
        begin.is_some_and(|begin| are_alike(begin, AWS.as_str()))
    };
    [CLIENT_CERT, CLIENT_CERT_CHAIN, XFCC]
        .iter()
        .any(|usual| are_alike(usual.as_str(), name))
        || is_aws()
}

/// The only value of a header, if there is one.
fn only(
    headers: &HeaderMap,
    header: &HeaderName,
) -> Result<Option<HeaderValue>, ProxiedIdentityError> {
    let mut values = headers.get_all(header).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        let header = header.clone();
        return Err(ProxiedIdentityError::Repeated { header });
    }
    match first {
        Some(value) if value.len() > IdentityHeader::MAX => {
            let header = header.clone();
            Err(ProxiedIdentityError::TooLarge { header })
        }
        first => Ok(first.cloned()),
    }
}

fn named<T>(header: &HeaderName, read: Result<T, Unreadable>) -> Result<T, ProxiedIdentityError> {
    let header = || header.clone();
    read.map_err(|unreadable| match unreadable {
        Unreadable::TooLarge => ProxiedIdentityError::TooLarge { header: header() },
        Unreadable::Malformed(problem) => ProxiedIdentityError::Malformed {
            header: header(),
            problem,
        },
        Unreadable::Differs(part) => ProxiedIdentityError::Mismatch {
            header: header(),
            part,
        },
    })
}

/// Reads a header that must be there.
fn required<T>(
    headers: &HeaderMap,
    header: HeaderName,
    read: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
) -> Result<T, ProxiedIdentityError> {
    match only(headers, &header)? {
        Some(value) => named(&header, read(value.as_bytes())),
        None => Err(ProxiedIdentityError::Missing { header }),
    }
}

type ReadLeaf = fn(&[u8]) -> Result<Der, Unreadable>;
/// The second argument is the leaf.
type ReadChain = fn(&[u8], &[u8]) -> Result<Vec<Der>, Unreadable>;

/// Reads a leaf from one header, and its issuers from another that may be missing.
fn leaf_and(
    headers: &HeaderMap,
    leaf_header: HeaderName,
    read_leaf: ReadLeaf,
    chain_header: HeaderName,
    read_chain: ReadChain,
) -> Result<Vec<Der>, ProxiedIdentityError> {
    let leaf = required(headers, leaf_header, read_leaf)?;
    let issuers = match only(headers, &chain_header)? {
        Some(value) => named(&chain_header, read_chain(value.as_bytes(), &leaf))?,
        None => Vec::new(),
    };
    if issuers.len() >= ders::MOST {
        return Err(ProxiedIdentityError::TooLarge {
            header: chain_header,
        });
    }
    Ok([vec![leaf], issuers].concat())
}

fn one_of_pem(value: &[u8]) -> Result<Vec<Der>, Unreadable> {
    let certificates = pem::certificates(value)?;
    match certificates.len() {
        1 => Ok(certificates),
        _ => Err(Unreadable::Malformed("it is not one certificate")),
    }
}

fn aws(headers: &HeaderMap) -> Result<Vec<Der>, ProxiedIdentityError> {
    for text in &AWS_TEXTS {
        only(headers, text)?;
    }
    let serial = only(headers, &AWS_SERIAL)?;
    match (headers.contains_key(AWS), headers.contains_key(AWS_LEAF)) {
        (true, true) => Err(ProxiedIdentityError::Mixed { header: AWS_LEAF }),
        (true, false) => match AWS_TEXTS
            .into_iter()
            .find(|text| headers.contains_key(text))
        {
            // The passthrough mode has no other header.
            Some(header) => Err(ProxiedIdentityError::Mixed { header }),
            None if serial.is_some() => Err(ProxiedIdentityError::Mixed { header: AWS_SERIAL }),
            None => required(headers, AWS, pem::certificates),
        },
        (false, _) => {
            let certificates = required(headers, AWS_LEAF, one_of_pem)?;
            let leaf = certificates.first();
            let leaf = leaf.and_then(|der| Certificate::from_der(der).ok());
            if let (Some(serial), Some(leaf)) = (serial, leaf)
                && !is_serial(serial.as_bytes(), leaf.serial().as_bytes())
            {
                let part = "the serial number";
                return Err(ProxiedIdentityError::Mismatch {
                    header: AWS_SERIAL,
                    part,
                });
            }
            Ok(certificates)
        }
    }
}

/// Whether the hexadecimal text is this number, leading zeros aside.
fn is_serial(text: &[u8], serial: &[u8]) -> bool {
    let hex: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.trim_start_matches('0') == hex.trim_start_matches('0')
}
