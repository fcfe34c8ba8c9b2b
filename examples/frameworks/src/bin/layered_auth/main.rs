//! Four layers of authentication in front of one API, each with its own answer and its own event:
//!
//! 1. Mutual TLS names the machine.
//! 2. An OAuth 2.0 access token names the user. It is bound to the machine's certificate (RFC 8705).
//! 3. An API key names the application.
//! 4. An HMAC over the whole request (RFC 9421, RFC 9530) shows that the application sent it, and sent it
//!    now: a replay is rejected.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin layered_auth            # shows each layer
//! cargo run -p countersign-frameworks --bin layered_auth -- FOLDER  # writes what clients need, and serves
//! ```

mod demo;
mod signature;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use countersign::audit::{AuditSink, Json};
use countersign::identity::SpiffeId;
use countersign::integration::hyper::Server;
use countersign::integration::tower::{
    AuthorizeRequest, BoundClaims, BoundToken, Confirmation, Denied, TokenError, VerifiedToken,
};
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Decision, Listener, Peer, policy};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tower::ServiceBuilder;

const SERVER: &str = "spiffe://example.org/ns/ledger";
const AUDIENCE: &str = "https://ledger.example";
const ISSUER: &str = "https://login.example";
/// Secrets of the demonstration. Yours come from a store of secrets.
const API_KEY: &str = "bk_6f1d0c2be94a47d58b3e";
const HMAC_KEY: &[u8] = b"the HMAC key of billing, 32 bytes";
/// A body is read before its signature is verified, so it is small.
const MAX_BODY: usize = 64 * 1024;

/// What an access token says. jsonwebtoken verifies `exp`, `aud` and `iss`.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    cnf: Option<Confirmation>,
}

/// Layer 2: verifies the signature, issuer, audience and time of a token. `BoundToken` compares its `cnf`
/// with the certificate.
fn verifier(
    key: DecodingKey,
) -> impl Fn(&str) -> Result<VerifiedToken<Claims>, TokenError> + Send + Sync {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    validation.validate_nbf = true;
    validation.leeway = 5;
    move |token| {
        let token = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        let token = token.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::expired(),
            _ => TokenError::invalid(error.to_string()),
        })?;
        // An access token, not an ID token of the same issuer (RFC 9068 section 4).
        if token.header.typ.as_deref() != Some("at+jwt") {
            return Err(TokenError::invalid("it is no access token (typ)"));
        }
        let confirmation = token.claims.cnf.clone();
        Ok(VerifiedToken::new(token.claims, confirmation))
    }
}

/// The applications, by the SHA-256 of their API keys.
struct Applications(HashMap<[u8; 32], Application>);

struct Application {
    name: String,
    signatures: signature::Verifier,
}

impl Applications {
    fn new() -> Self {
        let billing = Application {
            name: "billing".to_owned(),
            signatures: signature::Verifier::new("billing", HMAC_KEY),
        };
        Self(HashMap::from([(Sha256::digest(API_KEY).into(), billing)]))
    }

    /// Layer 3: the application that a request's API key names.
    fn find(&self, request: &Parts) -> Result<&Application, &'static str> {
        let mut keys = request.headers.get_all("x-api-key").iter();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err("api_key_missing: the request has no API key, or more than one");
        };
        let hash: [u8; 32] = Sha256::digest(key).into();
        self.0
            .get(&hash)
            .ok_or("api_key_unknown: no application has this API key")
    }

    fn by_key(&self, _: &Peer<SpiffeId>, request: &Parts) -> Decision {
        match self.find(request) {
            Ok(application) => Decision::allow(application.name.clone()),
            Err(why) => Decision::deny(why),
        }
    }

    /// Layer 4: whether the application signed the request.
    fn by_signature(&self, _: &Peer<SpiffeId>, request: &Parts) -> Decision {
        let Some(body) = request.extensions.get::<ReadBody>() else {
            return Decision::deny("the body was not read");
        };
        let signed = self.find(request).and_then(|application| {
            application
                .signatures
                .verify(request, &body.0, unix_time())?;
            Ok(application.name.clone())
        });
        match signed {
            Ok(name) => Decision::allow(name),
            Err(why) => Decision::deny(why),
        }
    }
}

/// The body of a request, for the layer that verifies its digest.
#[derive(Clone)]
struct ReadBody(Bytes);

async fn read_body(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    parts.extensions.insert(ReadBody(body.clone()));
    next.run(Request::from_parts(parts, body.into())).await
}

/// The response of a layer: 403 with a problem document (RFC 9457). The cause is in the event only.
fn problem(title: &'static str) -> impl Fn(&Denied<'_, SpiffeId>) -> Response + Clone {
    move |_| {
        let body = serde_json::json!({"status": 403, "title": title}).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

async fn transfer(
    peer: Peer<SpiffeId>,
    claims: Extension<BoundClaims<Claims>>,
    body: String,
) -> String {
    format!("{body} for {}, by {}\n", claims.sub, peer.identity())
}

/// A server of the certificates of `ca` and the tokens of `issuer`.
async fn listen(
    ca: &TestCa,
    issuer: &EncodingKey,
    audit: impl AuditSink + 'static,
) -> Result<(Listener<TcpStream, SpiffeId>, Router), Box<dyn Error>> {
    // Layer 1: any machine of billing may connect.
    let acceptor = Acceptor::builder()
        .credentials(
            ca.leaf()
                .spiffe(SERVER)
                .dns("localhost")
                .issue()
                .credentials(),
        )
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::spiffe_patterns([
            "spiffe://example.org/ns/billing/*",
        ])?)
        .alpn(["h2", "http/1.1"])
        .audit(audit)
        .build()?;
    // A real server gets the issuer's public keys from its `jwks_uri`.
    let key = DecodingKey::from_jwk(&Jwk::from_encoding_key(issuer, Algorithm::ES256)?)?;
    let applications = Arc::new(Applications::new());
    let (keys, signatures) = (Arc::clone(&applications), applications);
    let layers = ServiceBuilder::new()
        .layer(BoundToken::<SpiffeId, _>::new(verifier(key)).audit(&acceptor))
        .layer(
            AuthorizeRequest::new(move |peer: &Peer<SpiffeId>, request: &Parts| {
                keys.by_key(peer, request)
            })
            .audit(&acceptor)
            .respond(problem("The API key is not valid")),
        )
        .layer(from_fn(read_body))
        .layer(
            AuthorizeRequest::new(move |peer: &Peer<SpiffeId>, request: &Parts| {
                signatures.by_signature(peer, request)
            })
            .audit(&acceptor)
            .respond(problem("The signature is not valid")),
        );
    let app = Router::new()
        .route("/transfers", post(transfer))
        .layer(layers);
    Ok((Listener::bind(acceptor, "127.0.0.1:0").await?, app))
}

fn unix_time() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs())
}

fn machine(ca: &TestCa, name: &str) -> Issued {
    ca.leaf()
        .spiffe(&format!("spiffe://example.org/ns/{name}"))
        .issue()
}

/// Writes what clients need into the folder, and serves. Standard error gets the events.
async fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("ca.crt", &ca.pem())?;
    for name in ["billing/1", "billing/2", "shipping/1"] {
        let issued = machine(&ca, name);
        let file = name.replace('/', "-");
        write(&format!("{file}.crt"), &issued.chain_pem())?;
        write(&format!("{file}.key"), &issued.key_pem())?;
    }
    let issuer = ca.leaf().common_name("issuer").issue();
    write("issuer.key", &issuer.key_pem())?;
    write("api.key", API_KEY)?;
    write("hmac.key", std::str::from_utf8(HMAC_KEY)?)?;
    let issuer = EncodingKey::from_ec_der(issuer.key_der().secret_der());
    let (listener, app) = listen(&ca, &issuer, Json::new(std::io::stderr())).await?;
    let address = listener.local_addr().ok_or("no address")?;
    println!("listening on {address}");
    Server::new().serve(listener, app).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(folder) => serve(folder.as_ref()).await,
        None => demo::run().await,
    }
}
