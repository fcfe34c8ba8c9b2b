//! The broker: the key-value store of NATS JetStream, or Redis.
//!
//! A value that is followed is awaited in two ways. The broker reports a change at once. And it is read every
//! second, so that its age says for how long the broker was not reached, and a lost report does no harm.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use countersign::reload::{Backoff, retry};
use futures_util::{Stream, StreamExt as _, stream};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::BoxError;

/// The bucket of NATS, and the prefix of Redis' keys.
const FLEET: &str = "fleet";

/// The interval between reads of a value.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The limit of one answer of the broker.
const PATIENCE: Duration = Duration::from_secs(2);

/// The address of a broker, and how to reach it.
#[derive(Clone)]
pub struct Broker {
    url: String,
    tls: Option<rustls::ClientConfig>,
}

/// A value with the number of its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    pub revision: u64,
    pub bytes: Vec<u8>,
}

/// A connection.
pub enum Connection {
    Nats(Box<Store>),
    Redis(Box<redis::Client>, Box<MultiplexedConnection>),
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, BoxError>> + Send>>;

impl Broker {
    /// `nats://HOST:PORT`, `tls://HOST:PORT` for NATS over mutual TLS, or `redis://HOST:PORT`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: None,
        }
    }

    /// The configuration of a connector, for `tls://`.
    pub fn with_tls(self, tls: rustls::ClientConfig) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    pub async fn connect(&self) -> Result<Connection, BoxError> {
        if self.url.starts_with("redis://") {
            let client = redis::Client::open(&*self.url)?;
            let connecting = client.get_multiplexed_async_connection();
            let connection = timeout(PATIENCE, connecting).await??;
            return Ok(Connection::Redis(Box::new(client), Box::new(connection)));
        }
        let mut options = async_nats::ConnectOptions::new()
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE));
        options = match &self.tls {
            Some(tls) => options.tls_client_config(tls.clone()).require_tls(true),
            // A broker that asks for TLS is not taken without our credentials and rules.
            None => options.tls_client_config(without_roots()?),
        };
        let client = options.connect(&*self.url).await?;
        let jetstream = async_nats::jetstream::new(client);
        let bucket = match jetstream.get_key_value(FLEET).await {
            Ok(bucket) => bucket,
            Err(_) => {
                // What `create_key_value` makes, which asks servers before 2.10 for what they do not have.
                let config = Config {
                    name: format!("KV_{FLEET}"),
                    subjects: vec![format!("$KV.{FLEET}.>")],
                    max_messages_per_subject: 1,
                    max_bytes: -1,
                    max_messages: -1,
                    max_consumers: -1,
                    discard: DiscardPolicy::New,
                    allow_rollup: true,
                    deny_delete: true,
                    allow_direct: true,
                    num_replicas: 1,
                    ..Config::default()
                };
                jetstream.create_stream(config).await?;
                jetstream.get_key_value(FLEET).await?
            }
        };
        Ok(Connection::Nats(Box::new(bucket)))
    }

    /// The value of a key, now and whenever it is read. An error is an item, and the stream reconnects.
    ///
    /// A value older than one that was seen is skipped: a broker that was restored from a copy does not take
    /// denials back. The copy is accepted when it has caught up, or when the node restarts.
    pub fn follow(
        self,
        key: &'static str,
    ) -> impl Stream<Item = Result<Vec<u8>, BoxError>> + Send + 'static {
        let newest = Arc::new(AtomicU64::new(0));
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let values = retry(backoff, move || values(self.clone(), key));
        values.filter_map(move |item| {
            let known = match item {
                Ok(value) => {
                    let before = newest.fetch_max(value.revision, Ordering::Relaxed);
                    (before <= value.revision).then_some(Ok(value.bytes))
                }
                Err(error) => Some(Err(error)),
            };
            std::future::ready(known)
        })
    }
}

/// The values of one connection.
async fn values(broker: Broker, key: &'static str) -> Result<Boxed<Versioned>, BoxError> {
    struct Following {
        connection: Connection,
        changes: Boxed<Option<Versioned>>,
        reads: Interval,
    }

    let mut connection = broker.connect().await?;
    // First, so that no change is between.
    let changes = connection.changes(key).await?;
    let mut reads = interval(READ_EVERY);
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        connection,
        changes,
        reads,
    };
    let values = stream::unfold(following, move |mut following| async move {
        let change = tokio::select! {
            change = following.changes.next() => match change {
                Some(change) => change,
                None => Err("the connection was closed".into()),
            },
            _ = following.reads.tick() => Ok(None),
        };
        let value = match change {
            Ok(Some(value)) => Ok(value),
            Ok(None) => following.connection.read(key).await,
            Err(error) => Err(error),
        };
        Some((value, following))
    });
    Ok(values.boxed())
}

impl Connection {
    /// Replaces a value. Returns the number of the change.
    pub async fn publish(&mut self, key: &str, value: Vec<u8>) -> Result<u64, BoxError> {
        match self {
            Self::Nats(bucket) => Ok(bucket.put(key, value.into()).await?),
            Self::Redis(_, connection) => {
                let name = format!("{FLEET}:{key}");
                let (revision,): (u64,) = redis::pipe()
                    .atomic()
                    .hset(&name, "value", value)
                    .ignore()
                    .hincr(&name, "revision", 1)
                    .publish(&name, "changed")
                    .ignore()
                    .query_async(connection.as_mut())
                    .await?;
                Ok(revision)
            }
        }
    }

    async fn read(&mut self, key: &str) -> Result<Versioned, BoxError> {
        let missing = || format!("{key} is missing");
        let read = async {
            match self {
                Self::Nats(bucket) => {
                    let entry = bucket.entry(key).await?;
                    let entry = entry.filter(|entry| entry.operation == Operation::Put);
                    let entry = entry.ok_or_else(missing)?;
                    Ok(Versioned {
                        revision: entry.revision,
                        bytes: entry.value.to_vec(),
                    })
                }
                Self::Redis(_, connection) => {
                    let name = format!("{FLEET}:{key}");
                    let fields = &["revision", "value"];
                    let read: (Option<u64>, Option<Vec<u8>>) =
                        connection.hmget(&name, fields).await?;
                    let (Some(revision), Some(bytes)) = read else {
                        return Err(missing().into());
                    };
                    Ok(Versioned { revision, bytes })
                }
            }
        };
        timeout(PATIENCE, read)
            .await
            .map_err(|_| format!("{key} was not read within {PATIENCE:?}"))?
    }

    /// The changes of a value. `None` is a change whose value is to be read.
    async fn changes(&mut self, key: &'static str) -> Result<Boxed<Option<Versioned>>, BoxError> {
        match self {
            Self::Nats(bucket) => {
                let entries = bucket.watch(key).await?;
                let changes = entries.map(move |entry| {
                    let entry = entry?;
                    if entry.operation != Operation::Put {
                        return Err(format!("{key} was deleted").into());
                    }
                    Ok(Some(Versioned {
                        revision: entry.revision,
                        bytes: entry.value.to_vec(),
                    }))
                });
                Ok(changes.boxed())
            }
            Self::Redis(client, _) => {
                let mut messages = timeout(PATIENCE, client.get_async_pubsub()).await??;
                messages.subscribe(format!("{FLEET}:{key}")).await?;
                let changes = messages.into_on_message().map(|_| Ok(None));
                Ok(changes.boxed())
            }
        }
    }
}

/// A configuration with which every handshake fails.
fn without_roots() -> Result<rustls::ClientConfig, BoxError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into());
    let builder = builder.with_safe_default_protocol_versions()?;
    let roots = rustls::RootCertStore::empty();
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
