//! `PostQuantum::Only` with peers that have ML-DSA.

use countersign::testing::KeyType;
use countersign::trust::PostQuantum;
use rustls::NamedGroup;
use serde_json::Value;

use crate::peers::{Files, Peer, acceptor, ca, called, calling, connector, leaf};

const PARAMETER_SETS: [KeyType; 3] = [KeyType::MlDsa44, KeyType::MlDsa65, KeyType::MlDsa87];

fn error(reported: &Value) -> String {
    reported["error"]
        .as_str()
        .unwrap_or_default()
        .to_lowercase()
}

#[tokio::test]
async fn each_parameter_set_works_in_both_directions() {
    for peer in Peer::with_ml_dsa() {
        for key in PARAMETER_SETS {
            let root = ca(key);
            let issuing = root.intermediate("Issuing");
            let own = leaf(&issuing, key);
            let files = Files::new(&leaf(&issuing, key), &[&root]);
            let only = PostQuantum::Only;

            let server = acceptor(&own, root.trust())
                .post_quantum(only)
                .build()
                .unwrap();
            let (served, reported) = called(&peer, &server, &files, &[]).await;
            assert_eq!(served.unwrap(), "alice");
            assert_eq!(reported["group"], "X25519MLKEM768");
            assert!(
                reported["answer"]
                    .as_str()
                    .unwrap()
                    .ends_with("hello alice")
            );

            let client = connector(&own, root.trust())
                .post_quantum(only)
                .build()
                .unwrap();
            let (answer, reported) = calling(&peer, &client, &files, &[]).await;
            assert_eq!(answer.unwrap(), "hello CN=alice");
            assert_eq!(reported["group"], "X25519MLKEM768");
        }
    }
}

#[tokio::test]
async fn the_other_groups_with_ml_kem_work_too() {
    let root = ca(KeyType::MlDsa44);
    let own = leaf(&root, KeyType::MlDsa44);
    let files = Files::new(&own, &[&root]);
    let only = PostQuantum::Only;
    for peer in Peer::with_ml_dsa() {
        for (group, name) in [
            (NamedGroup::secp256r1MLKEM768, "SecP256r1MLKEM768"),
            (NamedGroup::MLKEM1024, "MLKEM1024"),
        ] {
            let server = acceptor(&own, root.trust())
                .post_quantum(only)
                .build()
                .unwrap();
            let (served, reported) = called(&peer, &server, &files, &[group]).await;
            assert_eq!(served.unwrap(), "alice");
            assert_eq!(
                reported["group"].as_str().unwrap().to_lowercase(),
                name.to_lowercase()
            );

            let client = connector(&own, root.trust())
                .post_quantum(only)
                .build()
                .unwrap();
            let (answer, reported) = calling(&peer, &client, &files, &[group]).await;
            assert_eq!(answer.unwrap(), "hello CN=alice");
            assert_eq!(
                reported["group"].as_str().unwrap().to_lowercase(),
                name.to_lowercase()
            );
        }
    }
}

#[tokio::test]
async fn classical_key_exchange_is_rejected_in_both_directions() {
    let root = ca(KeyType::MlDsa65);
    let own = leaf(&root, KeyType::MlDsa65);
    let files = Files::new(&own, &[&root]);
    let classical = [NamedGroup::X25519, NamedGroup::secp256r1];
    for peer in Peer::with_ml_dsa() {
        let server = acceptor(&own, root.trust())
            .post_quantum(PostQuantum::KeyExchange)
            .build()
            .unwrap();
        let (served, reported) = called(&peer, &server, &files, &classical).await;
        let why = served.unwrap_err();
        assert_eq!(why.reason(), "tls");
        assert!(why.to_string().contains("no kx groups in common"), "{why}");
        assert!(error(&reported).contains("handshake failure"), "{reported}");

        let client = connector(&own, root.trust())
            .post_quantum(PostQuantum::KeyExchange)
            .build()
            .unwrap();
        let (answer, _) = calling(&peer, &client, &files, &classical).await;
        let why = answer.unwrap_err();
        assert_eq!(why.reason(), "alert_received");
        assert!(why.to_string().contains("handshake_failure"), "{why}");
    }
}

#[tokio::test]
async fn classical_certificates_are_rejected_in_both_directions() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let own = leaf(&modern, KeyType::MlDsa65);
    let trust = || modern.trust().and(old.trust());
    let only = PostQuantum::Only;
    let server = || acceptor(&own, trust()).post_quantum(only).build().unwrap();
    let client = || connector(&own, trust()).post_quantum(only).build().unwrap();
    for peer in Peer::with_ml_dsa() {
        // It is asked for ML-DSA, and has no such certificate.
        let classical = Files::new(&leaf(&old, KeyType::P256), &[&modern, &old]);
        let (served, _) = called(&peer, &server(), &classical, &[]).await;
        assert_eq!(served.unwrap_err().reason(), "no_certificate");
        let (answer, _) = calling(&peer, &client(), &classical, &[]).await;
        assert_eq!(answer.unwrap_err().reason(), "alert_received");

        // Its own key is ML-DSA, and that of its CA is not. A client may see that it is not asked for.
        let by_old = Files::new(&leaf(&old, KeyType::MlDsa65), &[&modern, &old]);
        let (served, _) = called(&peer, &server(), &by_old, &[]).await;
        let why = served.unwrap_err();
        assert!(
            matches!(why.reason(), "not_post_quantum" | "no_certificate"),
            "{why}"
        );
        let (answer, _) = calling(&peer, &client(), &by_old, &[]).await;
        let why = answer.unwrap_err();
        assert!(
            matches!(why.reason(), "not_post_quantum" | "alert_received"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn an_unknown_authority_is_rejected_in_both_directions() {
    let (root, strange) = (ca(KeyType::MlDsa65), ca(KeyType::MlDsa87));
    let own = leaf(&root, KeyType::MlDsa65);
    for peer in Peer::with_ml_dsa() {
        let server = acceptor(&own, root.trust()).build().unwrap();
        let impostor = Files::new(&leaf(&strange, KeyType::MlDsa65), &[&root]);
        let (served, _) = called(&peer, &server, &impostor, &[]).await;
        let why = served.unwrap_err();
        // Go sends no certificate of an authority that it is not asked for.
        assert!(
            matches!(why.reason(), "unknown_issuer" | "no_certificate"),
            "{why}"
        );
        let client = connector(&own, root.trust()).build().unwrap();
        let (answer, _) = calling(&peer, &client, &impostor, &[]).await;
        assert_eq!(answer.unwrap_err().reason(), "unknown_issuer");

        // The peer does not trust us.
        let unaware = Files::new(&own, &[&strange]);
        let (served, reported) = called(&peer, &server, &unaware, &[]).await;
        assert_eq!(served.unwrap_err().reason(), "alert_received");
        assert!(!error(&reported).is_empty());
        let (answer, _) = calling(&peer, &client, &unaware, &[]).await;
        assert_eq!(answer.unwrap_err().reason(), "alert_received");
    }
}
