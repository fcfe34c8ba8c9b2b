//! A peer with hybrid key exchange and without ML-DSA: Go before 1.27.

use countersign::testing::KeyType;
use countersign::trust::PostQuantum;

use crate::peers::{
    Files, GO_WITHOUT_ML_DSA, Peer, acceptor, ca, called, calling, connector, leaf, without_server,
};

#[tokio::test]
async fn the_key_exchange_works_with_classical_certificates() {
    let Some(peer) = Peer::go(GO_WITHOUT_ML_DSA) else {
        return;
    };
    let root = ca(KeyType::P256);
    let own = leaf(&root, KeyType::P256);
    let files = Files::new(&own, &[&root]);
    let rule = PostQuantum::KeyExchange;
    let server = acceptor(&own, root.trust())
        .post_quantum(rule)
        .build()
        .unwrap();
    let (served, reported) = called(&peer, &server, &files, &[]).await;
    assert_eq!(served.unwrap(), "alice");
    assert_eq!(reported["group"], "X25519MLKEM768");
    let client = connector(&own, root.trust())
        .post_quantum(rule)
        .build()
        .unwrap();
    let (answer, reported) = calling(&peer, &client, &files, &[]).await;
    assert_eq!(answer.unwrap(), "hello CN=alice");
    assert_eq!(reported["group"], "X25519MLKEM768");
}

/// Each side says why: the signature schemes have nothing in common.
#[tokio::test]
async fn an_ml_dsa_identity_is_rejected_with_the_cause() {
    let Some(peer) = Peer::go(GO_WITHOUT_ML_DSA) else {
        return;
    };
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let trust = || modern.trust().and(old.trust());
    let own = leaf(&modern, KeyType::MlDsa65);
    let files = Files::new(&leaf(&old, KeyType::P256), &[&modern, &old]);

    let server = acceptor(&own, trust()).build().unwrap();
    let (served, reported) = called(&peer, &server, &files, &[]).await;
    let why = served.unwrap_err();
    assert_eq!(why.reason(), "tls");
    assert!(
        why.to_string().contains("no signature scheme in common"),
        "{why}"
    );
    let error = reported["error"].as_str().unwrap();
    assert!(error.contains("handshake failure"), "{error}");

    let client = connector(&own, trust()).build().unwrap();
    let (answer, reported) = calling(&peer, &client, &files, &[]).await;
    let why = answer.unwrap_err();
    assert!(
        why.to_string().contains("no signature scheme in common")
            || why.to_string().contains("certificate_required"),
        "{why}"
    );
    assert!(reported["error"].is_string());

    // It cannot load such a key of its own.
    let modern_files = Files::new(&own, &[&modern]);
    let reported = without_server(&peer, &modern_files).await;
    let error = reported["error"].as_str().unwrap();
    assert!(error.contains("private key"), "{error}");
}
