//! Tokens that are taken away and come back, and new keys in them.

use std::time::Duration;

use countersign::audit::{Action, Memory, Stage};
use countersign::identity::DnsName;
use countersign::pki::pkcs11::Pkcs11Key;
use countersign::reload::{Reload, Source};
use countersign::testing::{TestCa, handshake};
use countersign::{AcceptError, Acceptor, ConnectError, Credentials, HandshakeError, policy};
use rustls::AlertDescription;
use support::{SERVER, connector};

use crate::softhsm::{context, folder, import, session, token, tool, uri, with_softhsm, write};

fn key(attributes: &str) -> Pkcs11Key {
    Pkcs11Key::from_uri(&uri(attributes)).unwrap()
}

fn acceptor(ca: &TestCa, credentials: Credentials, events: &Memory) -> Acceptor<DnsName> {
    Acceptor::builder()
        .credentials(credentials)
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .resumption(countersign::Resumption::Off)
        .audit(events.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_handshake_without_the_token_fails_and_the_next_with_it_does_not() {
    with_softhsm!(a_handshake_without_the_token_fails_and_the_next_with_it_does_not);
    token("orders");
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    import("orders", &issued, "tls", "01");
    let chain = write("chain.pem", issued.chain_pem());
    let credentials = Credentials::from_pkcs11(chain, key("token=orders;object=tls")).unwrap();
    let events = Memory::new();
    let acceptor = acceptor(&ca, credentials, &events);
    let connector = connector(&ca, "client.example").build().unwrap();
    let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
    drop((accepted.unwrap(), connected.unwrap()));

    for _ in 0..2 {
        // SoftHSM's tokens are folders.
        let (tokens, away) = (folder().join("tokens"), folder().join("away"));
        std::fs::rename(&tokens, &away).unwrap();
        std::fs::create_dir(&tokens).unwrap();
        let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
        let error = accepted.err().unwrap();
        eprintln!("{error}");
        let AcceptError::Handshake(HandshakeError::Signing(signing)) = &error else {
            panic!("{error:?}");
        };
        let inner = signing
            .get_ref()
            .downcast_ref::<countersign::pki::pkcs11::Pkcs11Error>();
        assert_eq!(inner.unwrap().reason(), "pkcs11_token_removed", "{error}");
        let ConnectError::Handshake(HandshakeError::Alert(alert)) = connected.err().unwrap() else {
            panic!("no alert");
        };
        assert_eq!(alert.alert(), AlertDescription::InternalError);
        let event = events.take().pop().unwrap();
        assert_eq!(event.action, Action::HandshakeFailed);
        assert_eq!(event.reason, Some("signing_failed"));
        assert_eq!(event.stage, Some(Stage::Handshake));
        assert!(
            event
                .detail
                .as_ref()
                .unwrap()
                .contains("the token orders is gone")
        );

        std::fs::remove_dir(&tokens).unwrap();
        std::fs::rename(&away, &tokens).unwrap();
        // Tokens are listed anew once a second at most.
        let mut tries = 0;
        loop {
            let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
            if accepted.is_ok() && connected.is_ok() {
                break;
            }
            tries += 1;
            assert!(tries < 100, "{:?}", accepted.err());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        events.take();
    }
}

/// Another part of the program uses the same module.
#[tokio::test]
async fn sessions_that_others_close_are_opened_again() {
    with_softhsm!(sessions_that_others_close_are_opened_again);
    token("orders");
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    import("orders", &issued, "tls", "01");
    let chain = write("chain.pem", issued.chain_pem());
    let credentials = Credentials::from_pkcs11(chain, key("token=orders;object=tls")).unwrap();
    let acceptor = acceptor(&ca, credentials, &Memory::new());
    let connector = connector(&ca, "client.example").build().unwrap();
    let serve = || async {
        let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
        accepted.unwrap();
        connected.unwrap();
    };
    serve().await;
    // CKR_USER_NOT_LOGGED_IN.
    session().logout().unwrap();
    serve().await;
    // CKR_CRYPTOKI_NOT_INITIALIZED, and then CKR_SESSION_HANDLE_INVALID or sessions of the same numbers.
    context().finalize().unwrap();
    serve().await;
    context().finalize().unwrap();
    let _other = session();
    serve().await;
}

#[tokio::test]
async fn a_reload_changes_to_a_new_key_under_the_same_label() {
    with_softhsm!(a_reload_changes_to_a_new_key_under_the_same_label);
    token("orders");
    let ca = TestCa::new("Root");
    let (old, new) = (ca.leaf().dns(SERVER).issue(), ca.leaf().dns(SERVER).issue());
    import("orders", &old, "tls", "01");
    let chain = write("chain.pem", old.chain_pem());
    let key = key("token=orders;object=tls").chosen_by_certificate();
    let source = Source::<Credentials>::pkcs11(&chain, key.clone());
    let events = Memory::new();
    let credentials = Credentials::from_pkcs11(&chain, key).unwrap();
    let acceptor = acceptor(&ca, credentials, &events);
    let handle = Reload::of(&acceptor)
        .credentials(source)
        .start()
        .await
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let served = || async {
        let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
        accepted.unwrap();
        connected
            .unwrap()
            .peer()
            .certificate()
            .serial()
            .as_bytes()
            .to_vec()
    };
    assert_eq!(served().await, old.serial());

    // Its certificate first: no key signs for it, and the old one stays in use.
    write("chain.pem", new.chain_pem());
    handle.reload_now().await.expect_err("no key yet");
    assert_eq!(served().await, old.serial());

    import("orders", &new, "tls", "02");
    handle.reload_now().await.unwrap();
    assert_eq!(served().await, new.serial());
    let delete = ["--delete-object", "--type", "privkey", "--id", "01"];
    tool("orders", &delete);
    assert_eq!(served().await, new.serial());
}

#[tokio::test]
async fn a_key_replaced_under_its_label_does_not_sign() {
    with_softhsm!(a_key_replaced_under_its_label_does_not_sign);
    token("orders");
    let ca = TestCa::new("Root");
    let (issued, other) = (ca.leaf().dns(SERVER).issue(), ca.leaf().dns(SERVER).issue());
    import("orders", &issued, "tls", "01");
    let chain = write("chain.pem", issued.chain_pem());
    let credentials = Credentials::from_pkcs11(chain, key("token=orders;object=tls")).unwrap();
    let acceptor = acceptor(&ca, credentials, &Memory::new());
    let connector = connector(&ca, "client.example").build().unwrap();
    let reason = || async {
        let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
        drop(connected);
        match accepted {
            Ok(_) => "signed",
            Err(AcceptError::Handshake(HandshakeError::Signing(error))) => {
                eprintln!("{error}");
                let inner = error
                    .get_ref()
                    .downcast_ref::<countersign::pki::pkcs11::Pkcs11Error>();
                inner.unwrap().reason()
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(reason().await, "signed");
    tool(
        "orders",
        &["--delete-object", "--type", "privkey", "--id", "01"],
    );
    assert_eq!(reason().await, "pkcs11_no_key");
    import("orders", &other, "tls", "01");
    assert_eq!(reason().await, "pkcs11_wrong_signature");
    for class in ["privkey", "pubkey"] {
        tool(
            "orders",
            &["--delete-object", "--type", class, "--id", "01"],
        );
    }
    import("orders", &issued, "tls", "01");
    assert_eq!(reason().await, "signed");
}
