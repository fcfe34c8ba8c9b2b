//! Clients of the gateway.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use countersign::builder::{Builder, ClientSide};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Connector, HandshakeError, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, Response};
use rustls::AlertDescription;

/// Longer than any step of a test, so that a test that hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Every version of HTTP, by its ALPN name.
pub(crate) const ALPN: [&str; 2] = ["http/1.1", "h2"];

pub(crate) fn name(name: &str) -> DnsName {
    name.parse().unwrap()
}

/// The builder of a connector with this name, for this version of HTTP. It allows `localhost` only.
pub(crate) fn connector(ca: &TestCa, own: &str, alpn: &str) -> Builder<ClientSide, DnsName> {
    Connector::builder()
        .credentials(ca.leaf().dns(own).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact([name("localhost")]))
        .alpn([alpn])
}

/// A request without a body.
pub(crate) fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

/// The text of a response.
pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: hyper::body::Body<Data: Send, Error: std::fmt::Debug>,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Whether the gateway rejected the client with `access_denied`. (h2 keeps only the text of an error below
/// it.)
pub(crate) fn is_access_denied(error: &(dyn Error + 'static)) -> bool {
    let alert = successors(Some(error), |&error| error.source()).find_map(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
        inner.downcast_ref::<HandshakeError>()?.alert()
    });
    let text = format!("{error:?}");
    alert == Some(AlertDescription::AccessDenied)
        || text.contains(": access_denied (")
        || text.contains("received fatal alert: AccessDenied")
}
