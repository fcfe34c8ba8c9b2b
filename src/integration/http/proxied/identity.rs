//! The identity of a request's client, by the word of a proxy.

use std::fmt;
use std::sync::Arc;

use http::header::HeaderName;
use http::request::Parts;
use quick_cache::sync::Cache;

use super::header::other_identity;
use super::{IdentityHeader, ProxiedIdentityError};
use crate::audit::{Action, AuditedRequest, Proof};
use crate::gate::{AdmitError, Gate, Vouched};
use crate::integration::http::{ForwardedIdentity, peer_in};
use crate::pki::Fingerprint;
use crate::pki::contained::caught;
use crate::{Acceptor, Certificate, ConnectionInfo, Control, Peer, Policy};

/// Takes the identity of a client from the headers of a proxy that terminated its TLS.
///
/// The proxy connects with its own certificate, and [`from_proxies`](Self::from_proxies) names it by a
/// policy. The chain in its header goes through the acceptor's gate: trust, CRLs, deny list, identity and
/// policy, for **every request**, by the rules then in force. The request then has the client's [`Peer`] in
/// its extensions, in the place of the proxy's, and a [`Vouched`] with both.
///
/// A request with such a header from any other peer is refused. So is a request of a proxy without one, with
/// two, with another format beside it, or with one that is malformed. Requests of other peers without such a
/// header keep their own peer.
///
/// With the feature `tower` it is a layer, which answers 403 with an empty body (or `PERMISSION_DENIED` to
/// gRPC). Without it, call [`identify`](Self::identify). Clones share everything.
///
/// ```
/// use countersign::Acceptor;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::http::{IdentityHeader, ProxiedIdentity};
/// use countersign::policy;
///
/// # fn proxied(acceptor: &Acceptor<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let edge = policy::exact(["spiffe://example.org/ns/edge/sa/envoy".parse()?]);
/// let proxied = ProxiedIdentity::new(acceptor).from_proxies(edge, IdentityHeader::Xfcc);
/// # Ok(())
/// # }
/// ```
///
/// # Audit
/// A refusal is an event with the action `request_denied` and its reason. The first request of a client on
/// each connection of a proxy, and the first one after a change of the rules, is an event with the action
/// `vouched`. Both name the proxy. If a required sink cannot record it, the request is refused.
///
/// # Security
/// * The client has proven its key to the proxy and not to us. A proxy can name every client whose
///   certificate it knows, and certificates are public. A policy sees this by [`Peer::vouched_by`].
/// * The proxy must demand client certificates, and replace the header in every request.
/// * The proxy's own identity must be allowed by the acceptor's policy, and no client should have it.
/// * A request that is in progress when its client is revoked is finished.
/// * Put it around all that handles requests. A handler that it does not cover sees the proxy as the peer.
#[doc(alias = "xfcc")]
#[doc(alias = "x-forwarded-client-cert")]
#[doc(alias = "client-cert")]
#[doc(alias = "rfc9440")]
#[doc(alias = "load balancer")]
#[must_use = "it does nothing until it is a layer, or identify() is called"]
pub struct ProxiedIdentity<I> {
    control: Control<I>,
    proxies: Vec<Proxies<I>>,
    /// The names of all headers above.
    names: Vec<HeaderName>,
    /// The clients that were recorded.
    recorded: Arc<Cache<Fingerprint, ()>>,
}

/// The proxies that send this header.
struct Proxies<I> {
    which: Arc<dyn Policy<I>>,
    header: IdentityHeader,
}

/// How many clients on connections of proxies are remembered as recorded. A further one is recorded again.
const RECORDED: usize = 16 * 1024;

impl<I: Send + Sync + 'static> ProxiedIdentity<I> {
    /// Clients are verified, identified and authorized by this acceptor's rules. That is usually the
    /// acceptor of the proxies' connections; another one may have other roots and another policy for the
    /// clients.
    pub fn new(acceptor: &Acceptor<I>) -> Self {
        Self {
            control: acceptor.control().clone(),
            proxies: Vec::new(),
            names: Vec::new(),
            recorded: Arc::new(Cache::new(RECORDED)),
        }
    }

    /// Believes this header of the peers that `which` allows. The policy runs for each request, and must not
    /// block.
    pub fn from_proxies(mut self, which: impl Policy<I> + 'static, header: IdentityHeader) -> Self {
        self.names.extend(header.names());
        self.proxies.push(Proxies {
            which: Arc::new(which),
            header,
        });
        self
    }

    /// Replaces the peer of a proxy's request by the proxy's client, and removes the identity headers.
    /// Returns the proof for a client that a proxy vouches for, and `None` for a request of a peer that is no
    /// proxy, which keeps its peer.
    ///
    /// # Errors
    /// [`ProxiedIdentityError`]: the request must not be served. The refusal was recorded.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the request as it was.
    pub async fn identify(
        &self,
        request: &mut Parts,
    ) -> Result<Option<Vouched<I>>, ProxiedIdentityError> {
        let Some(connected) = peer_in::<I>(&request.extensions).cloned() else {
            let error = ProxiedIdentityError::NoPeer;
            self.record_refusal(&error, None, &[], request);
            return Err(error);
        };
        let mut presented = Vec::new();
        match self.vouched(&connected, request, &mut presented).await {
            Ok(vouched) => {
                if let Some(vouched) = &vouched {
                    self.replace_peer(vouched, request);
                }
                Ok(vouched)
            }
            Err(error) => {
                self.record_refusal(&error, Some(&connected), &presented, request);
                Err(error)
            }
        }
    }

    async fn vouched(
        &self,
        connected: &Peer<I>,
        request: &Parts,
        presented: &mut Vec<Certificate>,
    ) -> Result<Option<Vouched<I>>, ProxiedIdentityError> {
        let Some(header) = self.header_of(connected)? else {
            return match other_identity(&request.headers, &[], &self.names) {
                Some(header) => Err(ProxiedIdentityError::NotFromProxy { header }),
                None => Ok(None),
            };
        };
        let chain = header.read_beside(&request.headers, &self.names)?;
        let info = behind(connected.connection());
        let admitted = self.control.admit_vouched(&chain, info, connected).await;
        let (vouched, gate) = admitted.inspect_err(|_| {
            let readable = chain
                .iter()
                .filter_map(|der| Certificate::from_der(der).ok());
            presented.extend(readable);
        })?;
        self.record(&vouched, &gate)?;
        Ok(Some(vouched))
    }

    /// The header that this peer sets, if it is a proxy.
    fn header_of(&self, peer: &Peer<I>) -> Result<Option<&IdentityHeader>, ProxiedIdentityError> {
        let mut found: Option<&IdentityHeader> = None;
        for proxies in &self.proxies {
            let decision = caught(|| proxies.which.authorize(peer));
            let decision = decision.ok_or(ProxiedIdentityError::Panicked)?;
            if !decision.is_allowed() {
                continue;
            }
            if found.is_some_and(|found| *found != proxies.header) {
                return Err(ProxiedIdentityError::SeveralHeaders);
            }
            found = Some(&proxies.header);
        }
        // A client that a proxy vouches for is no proxy here, whatever its name.
        Ok(found.filter(|_| peer.vouched_by().is_none()))
    }

    fn replace_peer(&self, vouched: &Vouched<I>, request: &mut Parts) {
        let headers = &mut request.headers;
        let strip = |all: ForwardedIdentity, name: &HeaderName| all.strip(name.clone());
        self.names
            .iter()
            .fold(ForwardedIdentity::new(), strip)
            .remove(headers);
        let extensions = &mut request.extensions;
        #[cfg(feature = "axum")]
        if extensions
            .remove::<axum::extract::ConnectInfo<Peer<I>>>()
            .is_some()
        {
            extensions.insert(axum::extract::ConnectInfo(vouched.peer().clone()));
        }
        extensions.insert(vouched.peer().clone());
        extensions.insert(vouched.clone());
    }

    /// Records the first request of a client on a connection of its proxy, under these rules.
    fn record(&self, vouched: &Vouched<I>, gate: &Gate<I>) -> Result<(), AdmitError> {
        let recorder = self.control.recorder();
        let record = || {
            recorder.record_vouched(|event| {
                recorder.show_peer(event, vouched.peer());
                event.rule = Some(vouched.rule().to_owned().into());
                event.generation = gate.generation();
            })
        };
        let recorded = self
            .recorded
            .get_or_insert_with(&key_of(vouched, gate), record);
        recorded.map_err(|error| AdmitError::NotAudited {
            certificate: vouched.peer().certificate().clone(),
            error,
        })
    }

    /// Records a refusal: the only place that does.
    fn record_refusal(
        &self,
        error: &ProxiedIdentityError,
        connected: Option<&Peer<I>>,
        presented: &[Certificate],
        request: &Parts,
    ) {
        let recorder = self.control.recorder();
        recorder.emit(Action::RequestDenied, Some(error.reason()), |event| {
            event.detail = Some(error.to_string());
            event.request = Some(AuditedRequest {
                method: request.method.to_string(),
                path: request.uri.path().to_owned(),
                mcp_method: None,
                mcp_name: None,
            });
            let Some(connected) = connected else {
                return;
            };
            recorder.show_peer(event, connected);
            if let ProxiedIdentityError::NotAdmitted(error) = error {
                // The event is about the client, as far as it is known.
                event.vouched_by = event.identity.take();
                event.identity = self
                    .control
                    .claimed_identity(presented.first(), proof_of(error));
                event.info = behind(connected.connection());
                event.set_certificates(presented);
            }
        });
    }
}

/// The proof of the identity of a client that the gate does not admit.
const fn proof_of(error: &AdmitError) -> Proof {
    match error {
        // The chain was verified, and identified its holder.
        AdmitError::Denied { .. } | AdmitError::DenyListed { .. } => Proof::Vouched,
        _ => Proof::Claimed,
    }
}

/// What is known here of a client's connection to a proxy: the addresses.
fn behind(connection: &ConnectionInfo) -> ConnectionInfo {
    match connection.proxy_addr() {
        // By a PROXY header; the connection is the client's alone.
        Some(proxy) => ConnectionInfo::default()
            .with_remote_addr(connection.remote_addr())
            .with_proxy_addr(proxy),
        None => ConnectionInfo::default().with_proxy_addr(connection.remote_addr()),
    }
}

/// A client on a connection of its proxy, under these rules.
fn key_of<I>(vouched: &Vouched<I>, gate: &Gate<I>) -> Fingerprint {
    let (client, proxy) = (vouched.peer(), vouched.proxy());
    let connection = proxy.connection();
    let text = format!(
        "{} {} {:?} {:?} {} {}",
        client.certificate().sha256(),
        proxy.certificate().sha256(),
        connection.remote_addr(),
        connection.proxy_addr(),
        gate.generation(),
        gate.epoch().policy(),
    );
    Fingerprint::of(text.as_bytes())
}

impl<I> Clone for Proxies<I> {
    fn clone(&self) -> Self {
        Self {
            which: Arc::clone(&self.which),
            header: self.header.clone(),
        }
    }
}

impl<I> Clone for ProxiedIdentity<I> {
    fn clone(&self) -> Self {
        Self {
            control: self.control.clone(),
            proxies: self.proxies.clone(),
            names: self.names.clone(),
            recorded: Arc::clone(&self.recorded),
        }
    }
}

impl<I> fmt::Debug for ProxiedIdentity<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxiedIdentity")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
