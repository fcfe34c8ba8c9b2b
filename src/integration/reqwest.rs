//! A handle for reqwest whose requests follow the rules and the credentials in force.
//!
//! reqwest's pool reuses a connection for as long as requests keep it busy, and knows nothing of new
//! credentials, a new policy or an expired certificate. A [`Client`] of this module makes a new
//! [`reqwest::Client`], with a pool of its own, as soon as anything has changed, and when its connections may
//! be too old. Requests in progress finish on the old pool, which closes with the last of them.
//!
//! ```no_run
//! use countersign::Connector;
//! use countersign::identity::SpiffeId;
//! use countersign::integration::reqwest::Client;
//!
//! # async fn call(connector: Connector<SpiffeId>) -> Result<(), reqwest::Error> {
//! let client = Client::new(connector)?;
//! let answer = client.current()?.get("https://orders.internal/").send().await?;
//! println!("{}", answer.text().await?);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::ClientBuilder;

use crate::Connector;
use crate::client::InForce;

/// Gives a [`reqwest::Client`] for the rules and the credentials that are in force now.
///
/// Cloning is cheap; clones share everything. Take [`current`](Self::current) anew for each request: taking
/// it is cheap, and a `reqwest::Client` that is kept does not follow any change in its open connections.
///
/// Each handshake is that of
/// [`into_authorizing_rustls_config`](Connector::into_authorizing_rustls_config). A server that does not
/// request our certificate is rejected.
///
/// # Rotation
/// A request that starts after [`Control::update`](crate::Control::update), a new policy or a new entry of
/// the deny list uses a connection that was made after it, with every version of HTTP and any number of
/// concurrent requests. Requests in progress finish on their old connections, and none is lost. No request
/// starts on a connection that is older than the [maximum age](Self::max_connection_age).
///
/// ```
/// use std::time::Duration;
///
/// use countersign::identity::DnsName;
/// use countersign::integration::reqwest::Client;
/// use countersign::testing::TestCa;
/// use countersign::{Connector, policy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Example CA");
/// let connector = Connector::builder()
///     .credentials(ca.leaf().dns("billing.internal").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::exact(["orders.internal".parse()?]))
///     .build()?;
/// let client = Client::configured(connector, |builder| builder.timeout(Duration::from_secs(30)))?
///     .max_connection_age(Duration::from_secs(60));
/// let request = client.current()?.get("https://orders.internal/v1/orders");
/// # drop(request);
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// A request in progress is not cut when its server is denied or revoked, or when the server's certificate
/// expires, since reqwest does not give its connections away. Bound its time with reqwest's `timeout`. Where
/// open connections must be cut, use [`hyper::Client`](crate::integration::hyper::Client).
///
/// # Timeouts
/// Set reqwest's `timeout` or `read_timeout`; it has none by default. Rarely, hyper (1.12) leaves a request over
/// HTTP/2 without an answer although its connection has ended, for example if the server rejects our certificate.
/// Without a timeout, such a request waits indefinitely.
#[doc(alias = "mtls")]
#[doc(alias = "https")]
pub struct Client<I> {
    shared: Arc<Shared<I>>,
    max_age: Duration,
}

struct Shared<I> {
    connector: Connector<I>,
    configure: Box<Configure>,
    current: Mutex<Made>,
}

type Configure = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

/// A client, and what was in force when it was made.
struct Made {
    client: reqwest::Client,
    in_force: InForce,
    at: Instant,
}

impl<I: Send + Sync + 'static> Client<I> {
    /// The default of [`max_connection_age`](Self::max_connection_age).
    const MAX_AGE: Duration = Duration::from_secs(5 * 60);
    /// Bounds TCP and the handshake, unless the application sets another time.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A client with reqwest's defaults, and a connect timeout of 10 s.
    ///
    /// # Errors
    /// reqwest's: it cannot read the proxies of the environment, or is compiled with another version of
    /// rustls.
    pub fn new(connector: Connector<I>) -> Result<Self, reqwest::Error> {
        Self::configured(connector, |builder| builder)
    }

    /// A client with your own settings: timeouts, redirects, cookies, proxies, pools.
    ///
    /// `configure` is called each time that a client is made. Its settings of TLS have no effect, and
    /// `https_only` is always on. State that must outlive a change, such as a cookie store, is created outside
    /// and given by `Arc`.
    ///
    /// # Errors
    /// As for [`new`](Self::new), and those of the settings.
    pub fn configured(
        connector: Connector<I>,
        configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        let made = Self::make(&connector, &configure)?;
        Ok(Self {
            shared: Arc::new(Shared {
                connector,
                configure: Box::new(configure),
                current: Mutex::new(made),
            }),
            max_age: Self::MAX_AGE,
        })
    }

    /// No request starts on a connection that is older; 5 minutes by default. So a connection does not
    /// outlive an expired certificate for longer.
    #[must_use]
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// The client for a request that starts now.
    ///
    /// # Errors
    /// As for [`configured`](Self::configured), when the settings can no longer be applied. No older client
    /// is returned instead.
    pub fn current(&self) -> Result<reqwest::Client, reqwest::Error> {
        let Shared {
            connector,
            configure,
            current,
        } = &*self.shared;
        // No panic leaves it half-changed.
        let mut made = current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = made.in_force == connector.in_force() && made.at.elapsed() < self.max_age;
        if is_current {
            return Ok(made.client.clone());
        }
        let old = std::mem::replace(&mut *made, Self::make(connector, configure)?);
        let client = made.client.clone();
        drop(made);
        drop(old); // this may close connections
        Ok(client)
    }

    fn make(connector: &Connector<I>, configure: &Configure) -> Result<Made, reqwest::Error> {
        // Read first: if anything changes after that, the client is made again.
        let in_force = connector.in_force();
        let at = Instant::now();
        let builder = reqwest::Client::builder().connect_timeout(Self::CONNECT_TIMEOUT);
        let client = configure(builder)
            .tls_backend_preconfigured(connector.clone().into_authorizing_rustls_config())
            .https_only(true) // a redirect must not leave TLS
            .build()?;
        Ok(Made {
            client,
            in_force,
            at,
        })
    }
}

impl<I> Clone for Client<I> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            max_age: self.max_age,
        }
    }
}

impl<I> fmt::Debug for Client<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connector", &self.shared.connector)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
