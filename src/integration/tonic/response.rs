//! The response to a call of a channel.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, Response};
use hyper::body::{Bytes, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::call_error::explained;
use super::connections::Connections;

/// A response whose body names the reason if its connection ends it.
pub(super) fn named(
    mut response: Response<Body>,
    connections: Connections,
    since: u64,
) -> Response<Body> {
    remove_broken_details(response.headers_mut());
    response.map(|body| {
        Body::new(Named {
            body,
            connections,
            since,
        })
    })
}

struct Named {
    body: Body,
    connections: Connections,
    since: u64,
}

impl hyper::body::Body for Named {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| {
            frame.map(|frame| match frame {
                Ok(mut frame) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        remove_broken_details(trailers);
                    }
                    Ok(frame)
                }
                Err(status) => Err(explained(status, &self.connections, self.since)),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Removes details that are not base64: tonic panics on them (`Status::from_header_map` of 0.14).
fn remove_broken_details(headers: &mut HeaderMap) {
    const DETAILS: &str = "grpc-status-details-bin";
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);

    let is_broken = headers
        .get(DETAILS)
        .is_some_and(|details| BASE64.decode(details).is_err());
    if is_broken {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_details_that_tonic_can_decode_remain() {
        for (details, remain) in [
            ("", true),
            ("CAc", true),
            ("CAc=", true),
            ("CAc==", false),
            ("C", false),
            ("CA_-", false),
            ("CA c", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", "7".parse().unwrap());
            headers.insert("grpc-status-details-bin", details.parse().unwrap());
            remove_broken_details(&mut headers);
            assert_eq!(headers.len(), 1 + usize::from(remain), "{details}");
            let status = Status::from_header_map(&headers).unwrap();
            assert_eq!(status.code(), tonic::Code::PermissionDenied);
        }
    }
}
