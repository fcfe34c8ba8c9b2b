//! Access tokens that are bound to the peer's certificate.

use axum::routing::any;
use axum::{Extension, Router};
use countersign::audit::{Action, Memory};
use countersign::identity::DnsName;
use countersign::integration::tower::{
    BoundClaims, BoundToken, CertificateBinding, Confirmation, TokenError, VerifiedToken,
};
use countersign::testing::{self, TestCa};
use countersign::{Peer, policy};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::rules::request;
use support::http::{acceptor, name, text};

type Verifier = fn(&str) -> Result<VerifiedToken<String>, TokenError>;

/// A token is `subject.thumbprint`; the thumbprint `none` is that of an unbound token.
fn verify(token: &str) -> Result<VerifiedToken<String>, TokenError> {
    match token.split_once('.') {
        Some(("expired", _)) => Err(TokenError::expired()),
        Some(("down", _)) => Err(TokenError::unavailable("no answer")),
        Some((subject, "none")) => Ok(VerifiedToken::new(subject.to_owned(), None)),
        Some((subject, "jkt")) => {
            let confirmation = Confirmation::default().and("jkt");
            Ok(VerifiedToken::new(subject.to_owned(), Some(confirmation)))
        }
        Some((subject, "empty")) => Ok(VerifiedToken::new(
            subject.to_owned(),
            Some(Confirmation::default()),
        )),
        Some((subject, thumbprint)) => {
            let confirmation = Confirmation::certificate(thumbprint);
            Ok(VerifiedToken::new(subject.to_owned(), Some(confirmation)))
        }
        None => Err(TokenError::invalid("it has no dot")),
    }
}

fn with_token(peer: &Peer<DnsName>, token: &str) -> Request<Empty<Bytes>> {
    let mut request = request(Method::GET, "/");
    request.extensions_mut().insert(peer.clone());
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

async fn whose(claims: Extension<BoundClaims<String>>) -> String {
    format!("hello {}", **claims)
}

fn router() -> Router {
    Router::new().fallback(any(whose))
}

#[tokio::test]
async fn only_a_token_that_is_bound_to_the_certificate_is_accepted() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let layer = BoundToken::<DnsName, Verifier>::new(verify).audit(&acceptor);
    let service = layer.layer(router());
    let (owner, thief) = (
        testing::peer(name("alice.example")),
        testing::peer(name("eve.example")),
    );
    let bound = format!("alice.{}", owner.certificate().x5t_s256());

    let response = service
        .clone()
        .oneshot(with_token(&owner, &bound))
        .await
        .unwrap();
    assert_eq!(text(response).await, "hello alice");
    assert_eq!(trail.take().len(), 0);

    let mut twice = with_token(&owner, &bound);
    let value = twice.headers()[AUTHORIZATION].clone();
    twice.headers_mut().append(AUTHORIZATION, value);
    let mut none = with_token(&owner, &bound);
    none.headers_mut().remove(AUTHORIZATION);
    let mut nobody = with_token(&owner, &bound);
    nobody.extensions_mut().clear();
    let invalid = Some("Bearer error=\"invalid_token\"");
    for (request, status, challenge, reason) in [
        (
            with_token(&thief, &bound),
            401,
            invalid,
            "token_of_another_certificate",
        ),
        (
            with_token(&owner, "alice.none"),
            401,
            invalid,
            "token_not_bound",
        ),
        (
            with_token(&owner, "alice.empty"),
            401,
            invalid,
            "token_not_bound",
        ),
        (
            with_token(&owner, "alice.jkt"),
            401,
            invalid,
            "token_binding_not_supported",
        ),
        (
            with_token(&owner, "expired.x"),
            401,
            invalid,
            "token_expired",
        ),
        (
            with_token(&owner, "nonsense"),
            401,
            invalid,
            "token_invalid",
        ),
        (
            with_token(&owner, "down.x"),
            503,
            None,
            "token_verifier_unavailable",
        ),
        (none, 401, Some("Bearer"), "no_token"),
        (
            twice,
            400,
            Some("Bearer error=\"invalid_request\""),
            "token_malformed",
        ),
        (nobody, 403, None, "no_peer"),
    ] {
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(
            response.status(),
            StatusCode::from_u16(status).unwrap(),
            "{reason}"
        );
        let sent = response.headers().get(WWW_AUTHENTICATE);
        let sent = sent.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(sent.as_deref(), challenge, "{reason}");
        assert_eq!(text(response).await, "");
        let [event] = &trail.take()[..] else {
            panic!("one event for {reason}");
        };
        assert_eq!(
            (event.action, event.reason),
            (Action::RequestDenied, Some(reason))
        );
    }
}

#[tokio::test]
async fn an_unbound_token_is_accepted_only_where_it_is_chosen() {
    let owner = testing::peer(name("alice.example"));
    let lenient = CertificateBinding::default().accept_unbound();
    let layer = BoundToken::<DnsName, Verifier, _>::with_proof(verify, lenient);
    let service = layer.layer(router());
    for (token, status) in [
        ("alice.none", 200),
        ("alice.other", 401),
        ("alice.jkt", 401),
    ] {
        let response = service
            .clone()
            .oneshot(with_token(&owner, token))
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{token}");
    }
}

#[tokio::test]
async fn a_client_learns_where_the_authorization_server_is() {
    let owner = testing::peer(name("alice.example"));
    let layer = BoundToken::<DnsName, Verifier>::new(verify)
        .resource_metadata("https://orders.example/.well-known/x?a=\"b\"");
    let service = layer.layer(router());
    let metadata = r#"Bearer resource_metadata="https://orders.example/.well-known/x?a=%22b%22""#;
    let mut none = with_token(&owner, "x.y");
    none.headers_mut().remove(AUTHORIZATION);
    for (request, challenge) in [
        (none, metadata.to_owned()),
        (
            with_token(&owner, "x.y"),
            format!("{metadata}, error=\"invalid_token\""),
        ),
    ] {
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], *challenge);
    }
}
