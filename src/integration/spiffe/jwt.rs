//! JWT-SVIDs, for hops through proxies that terminate TLS.

use std::fmt;

use zeroize::Zeroizing;

use super::WorkloadError;
use super::messages::Jwt;
use super::svid::parse_id;
use crate::identity::SpiffeId;

/// A JWT-SVID of ours, from [`Workload::fetch_jwt`](super::Workload::fetch_jwt).
///
/// ```
/// use countersign::integration::spiffe::{Workload, WorkloadError};
///
/// async fn authorization(workload: &Workload) -> Result<Option<String>, WorkloadError> {
///     let tokens = workload.fetch_jwt(&["https://orders.example"], None).await?;
///     Ok(tokens.first().map(|svid| format!("Bearer {}", svid.token())))
/// }
/// ```
#[derive(Clone)]
pub struct JwtSvid {
    id: SpiffeId,
    token: Zeroizing<String>,
    hint: String,
}

impl JwtSvid {
    pub(super) fn of(jwt: Jwt) -> Result<Self, WorkloadError> {
        Ok(Self {
            id: parse_id(&jwt.spiffe_id)?,
            token: Zeroizing::new(jwt.token),
            hint: jwt.hint,
        })
    }

    /// The identity that it is for.
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The token, in the compact form.
    ///
    /// # Security
    /// Any program that has it can use it until it expires, at each of its audiences.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The agent's hint about its purpose; empty if there is none.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSvid")
            .field("id", &self.id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// A JWT-SVID of a peer that the agent has validated.
///
/// ```
/// use countersign::integration::spiffe::{ValidatedJwt, Workload, WorkloadError};
///
/// async fn caller(workload: &Workload, token: &str) -> Result<String, WorkloadError> {
///     let jwt: ValidatedJwt = workload.validate_jwt("https://orders.example", token).await?;
///     Ok(jwt.id.to_string())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValidatedJwt {
    /// The identity of the peer.
    pub id: SpiffeId,
    /// The claims of the token.
    pub claims: serde_json::Map<String, serde_json::Value>,
}
