//! The response to a denied request.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use super::Denied;
use crate::integration::http::grpc::{GRPC, is_grpc};

/// Makes the response to a denied request: [`Forbidden`], or a closure.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{DenialResponse, Denied};
/// use http::{Response, StatusCode};
///
/// #[derive(Clone)]
/// struct NotFound;
///
/// /// Hides which paths exist.
/// impl DenialResponse<SpiffeId, String> for NotFound {
///     fn respond(&self, _: &Denied<'_, SpiffeId>) -> Response<String> {
///         let mut response = Response::new(String::new());
///         *response.status_mut() = StatusCode::NOT_FOUND;
///         response
///     }
/// }
/// ```
pub trait DenialResponse<I, R> {
    /// The response. `R` is the type of its body.
    fn respond(&self, denied: &Denied<'_, I>) -> Response<R>;
}

impl<I, R, F> DenialResponse<I, R> for F
where
    F: Fn(&Denied<'_, I>) -> Response<R>,
{
    fn respond(&self, denied: &Denied<'_, I>) -> Response<R> {
        self(denied)
    }
}

/// The usual response: the status 403 with an empty body; for a gRPC call (HTTP/2 with a content type
/// `application/grpc`), `PERMISSION_DENIED`.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{AuthorizeRequest, Forbidden, RequestRules};
///
/// let layer: AuthorizeRequest<SpiffeId, Forbidden> = AuthorizeRequest::new(RequestRules::new());
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forbidden;

impl<I, R: Default> DenialResponse<I, R> for Forbidden {
    fn respond(&self, denied: &Denied<'_, I>) -> Response<R> {
        forbidden(denied.request)
    }
}

/// What [`Forbidden`] answers.
pub(super) fn forbidden<R: Default>(request: &Parts) -> Response<R> {
    let mut response = Response::new(R::default());
    if is_grpc(request.version, &request.headers) {
        // "Trailers-Only": the HTTP status is 200, and headers have the gRPC status.
        const PERMISSION_DENIED: HeaderValue = HeaderValue::from_static("7");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
        headers.insert("grpc-status", PERMISSION_DENIED);
    } else {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}
