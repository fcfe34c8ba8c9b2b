//! What the fuzz targets call: the readers of an agent's messages, without an agent.

use super::WorkloadError;
use super::messages::{JwtResponse, Message as _, ValidateResponse, X509Response};
use super::svid::{Choice, Svid};
use crate::Credentials;
use crate::identity::SpiffeId;
use crate::trust::{Revocation, TrustBundles, UnknownStatus};

/// Reads an `X509SVIDResponse`: our ID, our chain and key, the roots of all trust domains, and the rules with
/// the agent's CRLs. `None`: it is not protobuf. The identity is chosen by its ID or its hint.
pub fn x509(
    message: &[u8],
    id: Option<SpiffeId>,
    hint: Option<String>,
) -> Option<Result<(SpiffeId, Credentials, TrustBundles, Revocation), WorkloadError>> {
    let response = X509Response::read(message).ok()?;
    let choice = match (id, hint) {
        (Some(id), _) => Choice::Id(id),
        (None, Some(hint)) => Choice::Hint(hint),
        (None, None) => Choice::Default,
    };
    let svid = Svid::of(&response, &choice);
    Some(svid.map(|svid| {
        let revocation = svid.revocation(UnknownStatus::Deny);
        (svid.id, svid.credentials, svid.bundles, revocation)
    }))
}

/// Reads a `JWTSVIDResponse`: ID, token and hint of each.
pub fn jwt(message: &[u8]) -> Option<Vec<(String, String, String)>> {
    let JwtResponse(svids) = JwtResponse::read(message).ok()?;
    let read = |svid: super::messages::Jwt| (svid.spiffe_id, svid.token, svid.hint);
    Some(svids.into_iter().map(read).collect())
}

/// Reads a `ValidateJWTSVIDResponse`: ID and claims.
pub fn validated(message: &[u8]) -> Option<(String, serde_json::Map<String, serde_json::Value>)> {
    let response = ValidateResponse::read(message).ok()?;
    Some((response.spiffe_id, response.claims))
}
