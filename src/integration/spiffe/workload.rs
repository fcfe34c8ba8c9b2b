//! The identity of this process, as the agent keeps it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use rustls_pki_types::UnixTime;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};
use tonic::Streaming;

use super::WorkloadError;
use super::address;
use super::client::Client;
use super::jwt::{JwtSvid, ValidatedJwt};
use super::messages::{self, JwtResponse, ValidateResponse, X509Response};
use super::svid::{Choice, Svid, parse_id};
use crate::Credentials;
use crate::identity::SpiffeId;
use crate::reload::{Backoff, Diagnosed, Source, retry};
use crate::trust::{Revocation, TrustBundles, UnknownStatus};

const FETCH_X509: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
const FETCH_JWT: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
const VALIDATE_JWT: &str = "/SpiffeWorkloadAPI/ValidateJWTSVID";

/// The identity of this process, from the agent that keeps it: a client of the SPIFFE Workload API.
///
/// [`connect`](Self::connect) awaits the first X.509-SVID. From then on, a stream of the agent brings each
/// renewal, with the trust bundles of all federated trust domains and the CRLs; all of one response is
/// applied together. Clones share the stream.
///
/// ```no_run
/// use countersign::integration::spiffe::Workload;
/// use countersign::{Acceptor, policy};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let acceptor = Acceptor::builder()
///     .spiffe(Workload::connect().await?)
///     .authorize(policy::spiffe_patterns(["spiffe://example.org/ns/billing/**"])?)
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// [`credentials`](Self::credentials), [`trust`](Self::trust) and [`revocation`](Self::revocation) are the
/// same as sources, for a [`Reload`](crate::reload::Reload) or for identities of another type.
///
/// # Failures
/// * The agent cannot be reached, or gives what cannot be used: the last good response stays in force until
///   our SVID expires. The client connects again, with pauses of up to 5 s.
/// * The agent has no identity for this process any longer (`PermissionDenied`), or our SVID has expired: no
///   peer is admitted, open connections are closed, and a connector sends our certificate to no server. This
///   ends when the agent gives an identity again.
///
/// # Security
/// The agent decides which peers are trusted, and knows our private key. A program that can write to the
/// folder of its socket can replace it.
#[derive(Clone)]
#[doc(alias = "SPIRE")]
#[doc(alias = "SVID")]
pub struct Workload {
    client: Client,
    source: Source<Svid>,
    /// The response at the time of `connect`.
    first: Svid,
    unknown_status: UnknownStatus,
    runtime: Handle,
}

/// Options of a [`Workload`], from [`Workload::at`] or [`Workload::from_env`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use countersign::integration::spiffe::Workload;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let workload = Workload::at("unix:/run/spire/agent.sock")
///     .hint("internal")
///     .wait(Duration::from_secs(60))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected until connect()"]
pub struct WorkloadBuilder {
    /// `None` for that of the environment.
    address: Option<String>,
    choice: Choice,
    wait: Duration,
    unknown_status: UnknownStatus,
}

impl WorkloadBuilder {
    const fn new(address: Option<String>) -> Self {
        Self {
            address,
            choice: Choice::Default,
            wait: Duration::from_secs(30),
            unknown_status: UnknownStatus::Deny,
        }
    }

    /// Chooses the identity with this hint, where the agent gives several.
    ///
    /// Default: the first. If the agent gives none with this hint any longer, our identity is withdrawn.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.choice = Choice::Hint(hint.into());
        self
    }

    /// Chooses the identity with this SPIFFE ID, where the agent gives several.
    pub fn id(mut self, id: SpiffeId) -> Self {
        self.choice = Choice::Id(id);
        self
    }

    /// Sets how long the first identity is awaited. Default: 30 s, because a new registration takes
    /// some seconds to reach the agent.
    pub const fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// Sets what happens when a certificate has no CRL, once the agent gives CRLs. Default: the peer is
    /// denied. While the agent gives none, nothing is revoked.
    pub const fn unknown_status(mut self, rule: UnknownStatus) -> Self {
        self.unknown_status = rule;
        self
    }

    /// Connects, and awaits the first identity.
    ///
    /// # Errors
    /// [`WorkloadError`]: no address or a bad one, or the last error of the agent within the time.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time and I/O enabled.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future closes the connection to the agent.
    pub async fn connect(self) -> Result<Workload, WorkloadError> {
        let address = self.address.map_or_else(address::from_environment, Ok)?;
        let client = Client::new(&address)?;
        let svids = Expiring::new(svids(client.clone(), self.choice));
        let name = format!("SPIFFE Workload API at {address}");
        let source = Source::stream_of(name, svids, Svid::is_same).first_value_within(self.wait);
        let not_started = |error| WorkloadError::NotStarted { error };
        let source = source.ready().await.map_err(not_started)?;
        let first = source.latest().map_err(not_started)?;
        Ok(Workload {
            client,
            first,
            source,
            unknown_status: self.unknown_status,
            runtime: Handle::current(),
        })
    }
}

impl Workload {
    /// Connects to the agent at `SPIFFE_ENDPOINT_SOCKET`, and awaits the first identity for at most 30 s.
    ///
    /// # Errors
    /// As for [`WorkloadBuilder::connect`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time and I/O enabled.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future closes the connection to the agent.
    pub async fn connect() -> Result<Self, WorkloadError> {
        Self::from_env().connect().await
    }

    /// The agent at `SPIFFE_ENDPOINT_SOCKET`, with options.
    pub const fn from_env() -> WorkloadBuilder {
        WorkloadBuilder::new(None)
    }

    /// The agent at this address, such as `unix:/run/agent.sock` or `tcp://127.0.0.1:8000`.
    pub fn at(address: impl Into<String>) -> WorkloadBuilder {
        WorkloadBuilder::new(Some(address.into()))
    }

    /// Our SPIFFE ID, as of the agent's last response.
    pub fn id(&self) -> SpiffeId {
        self.now().id
    }

    /// Our certificate and key.
    pub fn credentials(&self) -> Source<Credentials> {
        self.source.clone().map(|svid| svid.credentials)
    }

    /// The roots of our trust domain and of those that are federated with it, each for itself.
    pub fn trust(&self) -> Source<TrustBundles> {
        self.source.clone().map(|svid| svid.bundles)
    }

    /// The CRLs of the agent. While it gives none, nothing is revoked.
    pub fn revocation(&self) -> Source<Revocation> {
        let unknown = self.unknown_status;
        self.source
            .clone()
            .map(move |svid| svid.revocation(unknown))
    }

    /// Fetches JWT-SVIDs for these audiences: one for each of our identities, or only for `id`.
    ///
    /// For a hop through a proxy that terminates TLS. The tokens are secrets; `Debug` does not show them.
    ///
    /// # Errors
    /// [`WorkloadError`]: the agent's error; [`WorkloadError::Malformed`] without an audience.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future cancels the call.
    pub async fn fetch_jwt(
        &self,
        audiences: &[&str],
        id: Option<&SpiffeId>,
    ) -> Result<Vec<JwtSvid>, WorkloadError> {
        if audiences.is_empty() {
            return Err(WorkloadError::malformed(
                "no JWT-SVID",
                "no audience is given",
            ));
        }
        let request = messages::jwt_request(audiences, id.map(SpiffeId::as_str));
        let response: JwtResponse = self.client.call(FETCH_JWT, request).await?;
        response.0.into_iter().map(JwtSvid::of).collect()
    }

    /// Validates a JWT-SVID for our audience: its signature by the bundle of its trust domain, its times
    /// and its audience. The agent does it.
    ///
    /// # Errors
    /// [`WorkloadError::Refused`]: the token is not valid.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future cancels the call.
    pub async fn validate_jwt(
        &self,
        audience: &str,
        token: &str,
    ) -> Result<ValidatedJwt, WorkloadError> {
        let request = messages::validate_request(audience, token);
        let response: ValidateResponse = self.client.call(VALIDATE_JWT, request).await?;
        Ok(ValidatedJwt {
            id: parse_id(&response.spiffe_id)?,
            claims: response.claims,
        })
    }

    pub(super) fn now(&self) -> Svid {
        self.source.latest().unwrap_or_else(|_| self.first.clone())
    }

    pub(super) const fn unknown_status(&self) -> UnknownStatus {
        self.unknown_status
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Each response of the agent. It connects again after errors.
fn svids(
    client: Client,
    choice: Choice,
) -> impl Stream<Item = Result<Svid, Diagnosed>> + Send + use<> {
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    retry(backoff, move || {
        let (client, choice) = (client.clone(), choice.clone());
        async move {
            let responses = client.stream(FETCH_X509).await;
            let responses = responses.map_err(WorkloadError::of_source)?;
            Ok(Svids { responses, choice })
        }
    })
}

/// The responses of one call.
struct Svids {
    responses: Streaming<X509Response>,
    choice: Choice,
}

impl Stream for Svids {
    type Item = Result<Svid, Diagnosed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.responses).poll_next(cx));
        let svid = item.map(|item| {
            let response = item.map_err(WorkloadError::from);
            response.and_then(|response| Svid::of(&response, &self.choice))
        });
        Poll::Ready(svid.map(|svid| svid.map_err(WorkloadError::of_source)))
    }
}

/// Withdraws the identity when its SVID has expired.
struct Expiring<S> {
    svids: Pin<Box<S>>,
    /// The ID and the end of the SVID in force.
    current: Option<(SpiffeId, UnixTime)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Expiring<S> {
    fn new(svids: S) -> Self {
        Self {
            svids: Box::pin(svids),
            current: None,
            timer: None,
        }
    }

    /// When the end is to be checked. The system's clock may be set before that.
    fn arm(&mut self) {
        const CHECK_EVERY: Duration = Duration::from_secs(30);

        self.timer = self.current.as_ref().map(|(_, end)| {
            let left = end.as_secs().saturating_sub(UnixTime::now().as_secs());
            let left = Duration::from_secs(left.saturating_add(1));
            Box::pin(sleep(left.min(CHECK_EVERY)))
        });
    }
}

impl<S: Stream<Item = Result<Svid, Diagnosed>>> Stream for Expiring<S> {
    type Item = Result<Svid, Diagnosed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(item) = this.svids.as_mut().poll_next(cx) {
            if let Some(Ok(svid)) = &item {
                let end = svid.credentials.certificate().not_after();
                this.current = Some((svid.id.clone(), end));
                this.arm();
            }
            return Poll::Ready(item);
        }
        loop {
            let Some(timer) = &mut this.timer else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(cx));
            match this.current.take() {
                Some((id, end)) if UnixTime::now() > end => {
                    this.timer = None;
                    let id = id.to_string();
                    let error = WorkloadError::Expired { id };
                    return Poll::Ready(Some(Err(error.of_source())));
                }
                current => {
                    this.current = current;
                    this.arm();
                }
            }
        }
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
