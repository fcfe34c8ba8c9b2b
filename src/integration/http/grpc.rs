//! What HTTP has of gRPC: how its calls look, and how their status is written.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Version};

/// The content type of gRPC.
pub(crate) const GRPC: &str = "application/grpc";

/// Whether a message with these headers is of gRPC: HTTP/2 with a content type `application/grpc`.
pub(crate) fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    if version != Version::HTTP_2 {
        return false;
    }
    let content_type = headers.get(CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(GRPC.as_bytes()));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}
