//! A client that gets each layer wrong once.

use std::error::Error;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use countersign::audit::Memory;
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{Client, Server};
use countersign::testing::{Issued, TestCa};
use countersign::{Connector, policy};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::time::sleep;

use super::{API_KEY, AUDIENCE, HMAC_KEY, ISSUER, SERVER, listen, machine, signature, unix_time};

const BODY: &[u8] = b"40 EUR to ACME";
const BILLING: (&str, &[u8]) = ("billing", HMAC_KEY);

pub(super) async fn run() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let issuer = ca.leaf().common_name("issuer").issue();
    let issuer = EncodingKey::from_ec_der(issuer.key_der().secret_der());
    let trail = Memory::new();
    let (listener, app) = listen(&ca, &issuer, trail.clone()).await?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    let serving = tokio::spawn(Server::new().serve(listener, app));

    let billing = machine(&ca, "billing/1");
    let (now, url) = (unix_time(), format!("https://{address}/transfers"));
    let expiry = now + 300;
    let x5t = billing.certificate().x5t_s256().to_string();
    let bound = token(&issuer, json!({"exp": expiry, "cnf": {"x5t#S256": x5t}}))?;
    let unbound = token(&issuer, json!({"exp": expiry}))?;
    let expired = token(&issuer, json!({"exp": now - 60, "cnf": {"x5t#S256": x5t}}))?;
    let request = |token: &str, api_key: &str, created, nonce: &str| {
        signed(&url, token, api_key, created, nonce)
    };

    let client = client(&ca, &billing)?;
    let thief = self::client(&ca, &machine(&ca, "billing/2"))?;
    let stranger = self::client(&ca, &machine(&ca, "shipping/1"))?;
    let first = request(&bound, API_KEY, now, "nonce-of-request-1")?;
    for (what, client, request, body) in [
        ("everything is right", &client, first.clone(), BODY),
        ("another machine", &stranger, first.clone(), BODY),
        ("a stolen token", &thief, first.clone(), BODY),
        (
            "no bound token",
            &client,
            request(&unbound, API_KEY, now, "nonce-of-request-2")?,
            BODY,
        ),
        (
            "an old token",
            &client,
            request(&expired, API_KEY, now, "nonce-of-request-3")?,
            BODY,
        ),
        (
            "another API key",
            &client,
            request(&bound, "guess", now, "nonce-of-request-4")?,
            BODY,
        ),
        (
            "another body",
            &client,
            request(&bound, API_KEY, now, "nonce-of-request-5")?,
            b"90 EUR to EVE",
        ),
        (
            "an old signature",
            &client,
            request(&bound, API_KEY, now - 120, "nonce-of-request-6")?,
            BODY,
        ),
        ("a replay", &client, first, BODY),
    ] {
        println!("{what}");
        let request = Request::from_parts(request, Full::new(Bytes::from_static(body)));
        let answer = match client.request(request).await {
            Ok(response) => shown(response).await?,
            Err(_) => "refused during the handshake".to_owned(),
        };
        println!("    client: {answer}");
        let mut events = trail.take();
        // The client of a refused handshake may be here before its event.
        while answer.starts_with("refused") && events.is_empty() {
            sleep(Duration::from_millis(10)).await;
            events = trail.take();
        }
        for event in events {
            // The events with a reason are those of what was refused.
            if let Some(reason) = event.reason {
                let why = event.detail.as_deref().unwrap_or_default();
                println!("    event:  {} {reason}: {why}", event.action.as_str());
            }
        }
    }
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(())
}

/// The status, and the body or the challenge.
async fn shown<B>(response: Response<B>) -> Result<String, Box<dyn Error>>
where
    B: HttpBody<Error: Error + 'static>,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    let challenge = parts.headers.get("www-authenticate");
    let challenge = challenge.map(HeaderValue::to_str).transpose()?;
    let text = challenge.unwrap_or_else(|| body.trim_end());
    Ok(format!("{} {text}", parts.status.as_u16()))
}

/// The authorization server's part: a token for Alice.
fn token(issuer: &EncodingKey, mut claims: serde_json::Value) -> Result<String, Box<dyn Error>> {
    claims["iss"] = ISSUER.into();
    claims["aud"] = AUDIENCE.into();
    claims["sub"] = "alice".into();
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".to_owned());
    Ok(jsonwebtoken::encode(&header, &claims, issuer)?)
}

fn signed(
    url: &str,
    token: &str,
    api_key: &str,
    created: u64,
    nonce: &str,
) -> Result<Parts, Box<dyn Error>> {
    let request = Request::post(url)
        .header(
            "authorization",
            HeaderValue::try_from(format!("Bearer {token}"))?,
        )
        .header("x-api-key", api_key);
    let mut parts = request.body(())?.into_parts().0;
    signature::sign(&mut parts, BODY, BILLING, (created, nonce))?;
    Ok(parts)
}

fn client(ca: &TestCa, issued: &Issued) -> Result<Client<SpiffeId, Full<Bytes>>, Box<dyn Error>> {
    let connector = Connector::builder()
        .credentials(issued.credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::exact([SERVER.parse()?]))
        .server_names(ServerNameVerification::ByPolicy)
        .alpn(["h2", "http/1.1"])
        .build()?;
    Ok(Client::new(connector))
}
