//! An agent in this process, which says what a test wants.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::messages::{
    Empty, Jwt, JwtRequest, JwtResponse, ValidateRequest, ValidateResponse, X509Response,
};

/// What the agent says to each stream of X.509-SVIDs.
#[derive(Clone)]
pub(crate) enum Says {
    Give(Box<X509Response>),
    Deny,
}

/// An agent, on a runtime of its own so that it can be killed.
pub(crate) struct Agent {
    pub(crate) path: PathBuf,
    says: watch::Sender<Says>,
    /// The streams that are open.
    pub(crate) streams: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Agent {
    /// Listens at this path; a socket that is there is replaced.
    pub(crate) fn start(path: impl AsRef<Path>, says: Says) -> Self {
        let path = path.as_ref().to_path_buf();
        let (says, said) = watch::channel(says);
        let streams = Arc::<AtomicUsize>::default();
        let service = Service {
            said,
            streams: Arc::clone(&streams),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let new = path.with_extension("new");
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(&new).unwrap()
        };
        std::fs::rename(&new, &path).unwrap();
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(UnixListenerStream::new(listener)),
        );
        Self {
            path,
            says,
            streams,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn giving(path: impl AsRef<Path>, response: X509Response) -> Self {
        Self::start(path, Says::Give(Box::new(response)))
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    pub(crate) fn give(&self, response: X509Response) {
        self.says.send_replace(Says::Give(Box::new(response)));
    }

    pub(crate) fn deny(&self) {
        self.says.send_replace(Says::Deny);
    }

    /// Cuts all connections. The socket stays.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Clone)]
struct Service {
    said: watch::Receiver<Says>,
    streams: Arc<AtomicUsize>,
}

type Responses = Pin<Box<dyn Stream<Item = Result<X509Response, Status>> + Send>>;

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn check<T>(request: &Request<T>) -> Result<(), Status> {
    match request.metadata().get("workload.spiffe.io") {
        Some(value) if value == "true" => Ok(()),
        _ => Err(Status::invalid_argument("the security header is missing")),
    }
}

impl Service {
    async fn x509(self, request: Request<Empty>) -> Result<Response<Responses>, Status> {
        check(&request)?;
        self.streams.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&self.streams));
        let responses = WatchStream::new(self.said).map(move |says| {
            let _ = &counted;
            match says {
                Says::Give(response) => Ok(*response),
                Says::Deny => Err(Status::permission_denied("no identity issued")),
            }
        });
        Ok(Response::new(Box::pin(responses)))
    }

    /// A token that is its claims, in the clear.
    async fn jwt(self, request: Request<JwtRequest>) -> Result<Response<JwtResponse>, Status> {
        check(&request)?;
        let request = request.into_inner();
        let Says::Give(given) = &*self.said.borrow() else {
            return Err(Status::permission_denied("no identity issued"));
        };
        let svids = given.svids.iter();
        let wanted = |id: &str| request.spiffe_id.is_empty() || request.spiffe_id == id;
        let svids = svids
            .filter(|svid| wanted(&svid.spiffe_id))
            .map(|svid| Jwt {
                spiffe_id: svid.spiffe_id.clone(),
                svid: format!("{}|{}", svid.spiffe_id, request.audience.join(",")),
                hint: svid.hint.clone(),
            });
        Ok(Response::new(JwtResponse {
            svids: svids.collect(),
        }))
    }

    async fn validate(
        self,
        request: Request<ValidateRequest>,
    ) -> Result<Response<ValidateResponse>, Status> {
        check(&request)?;
        let request = request.into_inner();
        match request.svid.split_once('|') {
            Some((id, audience)) if audience == request.audience => {
                Ok(Response::new(ValidateResponse {
                    spiffe_id: id.into(),
                }))
            }
            _ => Err(Status::invalid_argument("the token is not valid")),
        }
    }
}

impl NamedService for Service {
    const NAME: &'static str = "SpiffeWorkloadAPI";
}

impl tower::Service<http::Request<Body>> for Service {
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
                "/SpiffeWorkloadAPI/FetchX509SVID" => {
                    let codec = ProstCodec::<X509Response, Empty>::default();
                    let call = tower::service_fn(|request| service.clone().x509(request));
                    Grpc::new(codec).server_streaming(call, request).await
                }
                "/SpiffeWorkloadAPI/FetchJWTSVID" => {
                    let codec = ProstCodec::<JwtResponse, JwtRequest>::default();
                    let call = tower::service_fn(|request| service.clone().jwt(request));
                    Grpc::new(codec).unary(call, request).await
                }
                "/SpiffeWorkloadAPI/ValidateJWTSVID" => {
                    let codec = ProstCodec::<ValidateResponse, ValidateRequest>::default();
                    let call = tower::service_fn(|request| service.clone().validate(request));
                    Grpc::new(codec).unary(call, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}
