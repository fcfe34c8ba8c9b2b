//! Each error by its name, and its positive twin.

use countersign::pki::pkcs11::{Pin, Pkcs11Error, Pkcs11Key};
use countersign::testing::{KeyType, TestCa};
use countersign::{Credentials, Diagnostic as _};

use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;

use crate::softhsm::{PIN, folder, import, module, session, token, tool, uri, with_softhsm, write};

/// A token with the key of a certificate, and the certificate in `chain.pem`.
fn prepared() -> TestCa {
    token("orders");
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("orders.example").issue();
    import("orders", &issued, "tls", "01");
    write("chain.pem", issued.chain_pem());
    ca
}

fn load_key(key: Pkcs11Key) -> Result<Credentials, Pkcs11Error> {
    Credentials::from_pkcs11(folder().join("chain.pem"), key)
}

fn load(uri: &str) -> Result<Credentials, Pkcs11Error> {
    load_key(Pkcs11Key::from_uri(uri)?)
}

/// With CKA_SIGN false, which no tool makes.
fn key_that_may_not_sign(id: &[u8]) {
    let session = session();
    const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let id = Attribute::Id(id.to_vec());
    let public = [
        Attribute::Token(true),
        Attribute::EcParams(P256.to_vec()),
        id.clone(),
    ];
    let private = [Attribute::Token(true), Attribute::Sign(false), id];
    session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .unwrap();
}

#[track_caller]
fn reason(loaded: Result<Credentials, Pkcs11Error>) -> String {
    let error = loaded.expect_err("an error");
    eprintln!("{error}");
    assert!(
        !format!("{error}{error:?}").contains("9999"),
        "no PIN in it"
    );
    error.reason().to_owned()
}

#[test]
fn each_place_that_is_wrong_has_a_name() {
    with_softhsm!(each_place_that_is_wrong_has_a_name);
    let ca = prepared();
    load(&uri("token=orders;object=tls")).unwrap();
    load(&uri("token=orders;id=%01;type=private")).unwrap();
    load(&uri("model=SoftHSM%20v2;manufacturer=SoftHSM%20project")).unwrap();

    for (attributes, expected) in [
        ("token=order;object=tls", "pkcs11_no_token"),
        ("token=orders;slot-id=0;object=tls", "pkcs11_no_token"),
        ("token=orders;library-manufacturer=Other", "pkcs11_no_token"),
        ("token=orders;object=TLS", "pkcs11_no_key"),
        ("token=orders;object=tls;id=%02", "pkcs11_no_key"),
        ("token=orders;object=tls;type=public", "pkcs11_uri"),
    ] {
        assert_eq!(reason(load(&uri(attributes))), expected, "{attributes}");
    }
    let error = load(&uri("token=order")).unwrap_err();
    assert!(
        error
            .cause()
            .ends_with("no token matches token=order; there are orders"),
        "{error}"
    );
    let error = load(&uri("token=orders;object=TLS")).unwrap_err();
    let expected = "the token orders has no private key that matches object=TLS; there are tls";
    assert_eq!(error.cause(), expected);

    // Two of what there should be one of.
    let other = ca.leaf().dns("orders.example").issue();
    import("orders", &other, "tls", "02");
    assert_eq!(
        reason(load(&uri("token=orders;object=tls"))),
        "pkcs11_several_keys"
    );
    load(&uri("token=orders;object=tls;id=%01")).unwrap();
    let chosen = Pkcs11Key::from_uri(&uri("token=orders;object=tls")).unwrap();
    load_key(chosen.chosen_by_certificate()).unwrap();

    // The key of another certificate, of the same kind and of another kind.
    assert_eq!(reason(load(&uri("token=orders;id=%02"))), "key_mismatch");
    let rsa = ca.leaf().key(KeyType::Rsa2048).issue();
    import("orders", &rsa, "rsa", "03");
    assert_eq!(
        reason(load(&uri("token=orders;object=rsa"))),
        "key_mismatch"
    );

    // One that may not sign, and one of no use for TLS.
    key_that_may_not_sign(&[4]);
    assert_eq!(
        reason(load(&uri("token=orders;id=%04"))),
        "pkcs11_cannot_sign"
    );
    let make = ["--keypairgen", "--key-type", "EC:secp256k1", "--id", "05"];
    tool("orders", &make);
    let spki = folder().join("spki.der");
    let read = ["--read-object", "--type", "pubkey", "--id", "05", "-o"];
    tool("orders", &[&read[..], &[spki.to_str().unwrap()]].concat());
    let unusual = ca.leaf().spki_der(std::fs::read(spki).unwrap()).issue();
    write("chain.pem", unusual.chain_pem());
    assert_eq!(
        reason(load(&uri("token=orders;id=%05"))),
        "pkcs11_unsupported_key"
    );
}

#[test]
fn two_tokens_with_one_label_are_ambiguous() {
    with_softhsm!(two_tokens_with_one_label_are_ambiguous);
    prepared();
    token("orders");
    assert_eq!(
        reason(load(&uri("token=orders;object=tls"))),
        "pkcs11_several_tokens"
    );
    let error = load(&uri("token=orders")).unwrap_err();
    let Pkcs11Error::SeveralTokens { found, .. } = error else {
        panic!("{error}");
    };
    let serials: Vec<_> = found
        .iter()
        .map(|name| {
            name.trim_start_matches("orders (serial ")
                .trim_end_matches(')')
                .to_owned()
        })
        .collect();
    let outcomes: Vec<_> = serials
        .iter()
        .map(|serial| load(&uri(&format!("serial={serial};object=tls"))).map_err(|e| e.reason()))
        .map(|loaded| loaded.err())
        .collect();
    assert_eq!(
        outcomes.iter().filter(|error| error.is_none()).count(),
        1,
        "{outcomes:?}"
    );
}

#[test]
fn a_module_that_cannot_be_loaded_is_named() {
    with_softhsm!(a_module_that_cannot_be_loaded_is_named);
    prepared();
    let key = || Pkcs11Key::from_uri("pkcs11:token=orders?pin-value=1234").unwrap();
    assert_eq!(reason(load_key(key())), "pkcs11_no_module");
    let text = write("text.so", "no library");
    let no_module = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    for path in [
        folder().join("none.so"),
        text,
        folder(),
        "libsofthsm2.so".into(),
        no_module.into(),
    ] {
        let error = load_key(key().with_module(&path)).unwrap_err();
        assert_eq!(error.reason(), "pkcs11_module", "{path:?}: {error}");
        assert!(error.cause().contains(&*path.to_string_lossy()), "{error}");
    }
    load_key(key().with_module(module())).unwrap();
}

#[test]
fn a_wrong_pin_is_given_to_the_token_once() {
    with_softhsm!(a_wrong_pin_is_given_to_the_token_once);
    prepared();
    let with = |pin: &'static str| {
        let key = Pkcs11Key::from_uri("pkcs11:token=orders;object=tls").unwrap();
        load_key(
            key.with_module(module())
                .with_pin(move || Ok::<_, std::convert::Infallible>(Pin::new(pin))),
        )
    };
    let is_known = |loaded: Result<Credentials, Pkcs11Error>| match loaded {
        Err(Pkcs11Error::WrongPin { is_known, token }) => {
            assert_eq!(token, "orders");
            is_known
        }
        other => panic!("{other:?}"),
    };
    assert!(!is_known(with("9999")));
    for _ in 0..20 {
        assert!(is_known(with("9999")), "it would lock a token");
    }
    assert!(!is_known(with("99991")), "another PIN is tried");
    assert!(!is_known(with("")), "and so is an empty one");

    // No PIN, a file with one, and a file that is not there.
    let uri = format!(
        "pkcs11:token=orders;object=tls?module-path={}",
        module().display()
    );
    assert_eq!(reason(load(&uri)), "pkcs11_no_pin");
    let missing = format!("{uri}&pin-source={}", folder().join("none").display());
    assert_eq!(reason(load(&missing)), "pkcs11_pin_source");
    let wrong = write("wrong.pin", "9999\n");
    assert_eq!(
        reason(load(&format!("{uri}&pin-source={}", wrong.display()))),
        "pkcs11_wrong_pin"
    );
    let right = write("right.pin", format!("{PIN}\n"));
    load(&format!("{uri}&pin-source=file://{}", right.display())).unwrap();
    // This process is logged in now, and a login would not be tried.
    with(PIN).unwrap();
}

#[test]
fn the_chain_is_checked_as_for_files() {
    with_softhsm!(the_chain_is_checked_as_for_files);
    prepared();
    write("chain.pem", "no PEM");
    assert_eq!(
        reason(load(&uri("token=orders;object=tls"))),
        "no_pem_block"
    );
}
