//! Authorization of requests by method, path and headers, and by [tokens](BoundToken) that are bound to the
//! peer's certificate.
//!
//! The policy of an acceptor decides which peers may connect. [`AuthorizeRequest`] decides for each request
//! whether its peer may send it: by a closure, or by rules of method and path. A request that no rule
//! allows is denied with 403 and an empty body.
//!
//! ```
//! use countersign::identity::SpiffeId;
//! use countersign::integration::tower::{AuthorizeRequest, RequestRules};
//! use countersign::policy;
//! use http::Method;
//! use tower_layer::Layer as _;
//!
//! # fn app(router: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
//! let billing = policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?;
//! let support = policy::spiffe_patterns(["spiffe://example.org/ns/support/*"])?;
//! let rules = RequestRules::<SpiffeId>::new()
//!     .allow("billing", billing, [Method::POST], "/v1/invoices")?
//!     .allow("support", support, [Method::GET], "/v1/invoices/{id}")?;
//!
//! // Around the whole router: `Router::layer` would not apply to routes that are added later.
//! let app = AuthorizeRequest::new(rules).layer(router);
//! # Ok(())
//! # }
//! # app(axum::Router::new()).unwrap();
//! ```

mod conditions;
mod denial;
mod layer;
mod mcp;
mod path;
mod policy;
mod proxied;
mod rules;
mod token;

pub use conditions::Conditions;
pub use denial::{DenialResponse, Forbidden};
pub use layer::{AuthorizeRequest, AuthorizedRequests, Denied, ResponseFuture};
pub use policy::RequestPolicy;
pub use proxied::ProxiedRequests;
pub use rules::{RequestRules, RuleError};
pub use token::{
    BoundClaims, BoundToken, BoundTokenService, CertificateBinding, Confirmation, ProofError,
    ProofOfPossession, TokenError, TokenVerifier, VerifiedToken,
};
