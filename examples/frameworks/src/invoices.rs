//! What tonic-prost-build generates from this service, written by hand, so that no `protoc` is needed:
//!
//! ```protobuf
//! package invoices.v1;
//!
//! service Invoices {
//!   rpc Create(CreateRequest) returns (Invoice);
//!   rpc Watch(WatchRequest) returns (stream Invoice);
//! }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::integration::tonic::{Channel, RequestExt as _};
use http::uri::PathAndQuery;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The paths of the methods, for rules.
pub const CREATE: &str = "/invoices.v1.Invoices/Create";
pub const WATCH: &str = "/invoices.v1.Invoices/Watch";

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateRequest {
    #[prost(string, tag = "1")]
    pub customer: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    /// The number of invoices.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// The pause before each.
    #[prost(uint64, tag = "2")]
    pub every_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Invoice {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(string, tag = "2")]
    pub customer: String,
    /// The identity of the client.
    #[prost(string, tag = "3")]
    pub made_by: String,
}

/// The service, for clients with identities of type `I`.
pub struct Invoices<I> {
    made: Arc<AtomicU64>,
    identity: std::marker::PhantomData<fn() -> I>,
}

type Invoiced = Pin<Box<dyn Stream<Item = Result<Invoice, Status>> + Send>>;

impl<I: std::fmt::Display + Send + Sync + 'static> Invoices<I> {
    pub fn new() -> Self {
        Self::default()
    }

    async fn create(self, request: Request<CreateRequest>) -> Result<Response<Invoice>, Status> {
        let made_by = request.peer::<I>()?.identity().to_string();
        Ok(Response::new(Invoice {
            number: self.made.fetch_add(1, Ordering::Relaxed) + 1,
            customer: request.into_inner().customer,
            made_by,
        }))
    }

    async fn watch(self, request: Request<WatchRequest>) -> Result<Response<Invoiced>, Status> {
        let made_by = request.peer::<I>()?.identity().to_string();
        let WatchRequest { count, every_ms } = request.into_inner();
        let invoices = tokio_stream::iter(1..=count).then(move |number| {
            let made_by = made_by.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(every_ms)).await;
                Ok(Invoice {
                    number,
                    customer: "watched".into(),
                    made_by,
                })
            }
        });
        Ok(Response::new(Box::pin(invoices)))
    }
}

impl<I> NamedService for Invoices<I> {
    const NAME: &'static str = "invoices.v1.Invoices";
}

impl<I> tower::Service<http::Request<Body>> for Invoices<I>
where
    I: std::fmt::Display + Send + Sync + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                CREATE => {
                    let codec = ProstCodec::<Invoice, CreateRequest>::default();
                    let create = tower::service_fn(|request| service.clone().create(request));
                    tonic::server::Grpc::new(codec).unary(create, request).await
                }
                WATCH => {
                    let codec = ProstCodec::<Invoice, WatchRequest>::default();
                    let watch = tower::service_fn(|request| service.clone().watch(request));
                    let mut grpc = tonic::server::Grpc::new(codec);
                    grpc.server_streaming(watch, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl<I> Default for Invoices<I> {
    fn default() -> Self {
        Self {
            made: Arc::default(),
            identity: std::marker::PhantomData,
        }
    }
}

impl<I> Clone for Invoices<I> {
    fn clone(&self) -> Self {
        Self {
            made: Arc::clone(&self.made),
            identity: std::marker::PhantomData,
        }
    }
}

/// The client.
#[derive(Clone)]
pub struct InvoicesClient(tonic::client::Grpc<Channel>);

impl InvoicesClient {
    pub fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    pub async fn create(&mut self, customer: &str) -> Result<Invoice, Status> {
        let request = CreateRequest {
            customer: customer.to_owned(),
        };
        let codec = ProstCodec::<CreateRequest, Invoice>::default();
        self.ready().await?;
        let path = PathAndQuery::from_static(CREATE);
        let response = self.0.unary(Request::new(request), path, codec).await?;
        Ok(response.into_inner())
    }

    pub async fn watch(
        &mut self,
        count: u64,
        every: Duration,
    ) -> Result<Streaming<Invoice>, Status> {
        let request = WatchRequest {
            count,
            every_ms: every.as_millis() as u64,
        };
        let codec = ProstCodec::<WatchRequest, Invoice>::default();
        self.ready().await?;
        let path = PathAndQuery::from_static(WATCH);
        let request = Request::new(request);
        let response = self.0.server_streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }

    /// Watches one invoice as a unary call, which waits for it.
    pub async fn watch_one(&mut self, after: Duration) -> Result<Invoice, Status> {
        let request = WatchRequest {
            count: 1,
            every_ms: after.as_millis() as u64,
        };
        let codec = ProstCodec::<WatchRequest, Invoice>::default();
        self.ready().await?;
        let path = PathAndQuery::from_static(WATCH);
        let response = self.0.unary(Request::new(request), path, codec).await?;
        Ok(response.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))
    }
}
