//! The calls of the Workload API.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use zeroize::Zeroizing;

use super::WorkloadError;
use super::address;
use super::messages::Message;

/// The largest message: some thousand roots.
const MAX_MESSAGE: usize = 4 << 20;

/// A connection to the agent, which is made at the first call, and again when it broke.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
}

impl Client {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn new(address: &str) -> Result<Self, WorkloadError> {
        let channel = address::endpoint(address)?.connect_lazy();
        Ok(Self { channel })
    }

    /// A call with one response.
    pub(super) async fn call<M: Message>(
        &self,
        method: &'static str,
        request: Vec<u8>,
    ) -> Result<M, WorkloadError> {
        let (mut grpc, path) = self.ready(method).await?;
        let response = grpc.unary(prepared(request), path, Bytes::new()).await;
        Ok(response.map_err(WorkloadError::from)?.into_inner())
    }

    /// A call whose responses are streamed.
    pub(super) async fn stream<M: Message>(
        &self,
        method: &'static str,
    ) -> Result<Streaming<M>, WorkloadError> {
        let (mut grpc, path) = self.ready(method).await?;
        let request = prepared(Vec::new());
        let response = grpc.server_streaming(request, path, Bytes::new()).await;
        Ok(response.map_err(WorkloadError::from)?.into_inner())
    }

    async fn ready(
        &self,
        method: &'static str,
    ) -> Result<(Grpc<Channel>, PathAndQuery), WorkloadError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let ready = grpc.ready().await;
        ready.map_err(|error| WorkloadError::unreachable(&error))?;
        Ok((grpc, PathAndQuery::from_static(method)))
    }
}

/// Without this header, agents refuse a call: it may be one that a program was tricked into
/// (SPIFFE Workload Endpoint, section 6.1).
fn prepared(message: Vec<u8>) -> Request<Vec<u8>> {
    let mut request = Request::new(message);
    let header = MetadataValue::from_static("true");
    request.metadata_mut().insert("workload.spiffe.io", header);
    request
}

/// Sends bytes, and reads messages.
struct Bytes<M>(PhantomData<fn() -> M>);

impl<M> Bytes<M> {
    const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: Message> Codec for Bytes<M> {
    type Encode = Vec<u8>;
    type Decode = M;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::new()
    }

    fn decoder(&mut self) -> Self {
        Self::new()
    }
}

impl<M: Message> Encoder for Bytes<M> {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl<M: Message> Decoder for Bytes<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        // It may hold a private key.
        let mut message = Zeroizing::new(vec![0; buffer.remaining()]);
        buffer.copy_to_slice(&mut message);
        let message = M::read(&message);
        message
            .map(Some)
            .map_err(|_| Status::internal("the message is not protobuf"))
    }
}
