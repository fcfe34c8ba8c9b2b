//! Private keys: encrypted, mislabelled and in other formats.

use std::convert::Infallible;

use countersign::identity::DnsName;
use countersign::pki::{CredentialsError, Passphrase};
use countersign::reload::{Reload, Source};
use countersign::testing::TestCa;
use countersign::{Acceptor, Credentials, policy};

use crate::commands::{Folder, has};

/// A key that `openssl genpkey` makes, as `plain.pem`, and its certificate as `chain.pem`.
fn make(folder: &Folder, kind: &str) {
    folder.shell(&format!("openssl genpkey {kind} -out plain.pem"), "");
    certify(folder, "plain.pem");
}

fn certify(folder: &Folder, key: &str) {
    folder.shell(
        &format!(
            "openssl req -x509 -key {key} -subj /CN=a -addext basicConstraints=critical,CA:FALSE \
             -addext subjectAltName=DNS:a.example -days 2 -out chain.pem"
        ),
        "",
    );
}

fn load(folder: &Folder, key: &str) -> Result<Credentials, CredentialsError> {
    Credentials::from_pem_files(folder.path("chain.pem"), folder.path(key))
}

fn unlock(folder: &Folder, key: &str, passphrase: &str) -> Result<Credentials, CredentialsError> {
    let passphrase = || Ok::<_, Infallible>(Passphrase::new(passphrase));
    Credentials::from_encrypted_pem_files(folder.path("chain.pem"), folder.path(key), passphrase)
}

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn encrypted_keys_are_decrypted_by_openssl() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    make(&folder, RSA);
    for encrypt in [
        "openssl pkcs8 -topk8 -in plain.pem -passout pass:secret -out KEY.pem",
        "openssl rsa -in plain.pem -aes256 -traditional -passout pass:secret -out KEY.pem",
    ] {
        folder.shell(encrypt, "");
        let error = load(&folder, "KEY.pem").unwrap_err();
        assert_eq!(error.reason(), "encrypted_key", "{error}");
        folder.apply(&error, "secret\n");
        load(&folder, "KEY-plain.pem").unwrap();
    }
    folder.shell(
        "openssl pkcs8 -topk8 -in plain.pem -passout pass:secret -outform der -out FILE",
        "",
    );
    let error = load(&folder, "FILE").unwrap_err();
    assert!(error.to_string().contains("an encrypted PKCS#8"), "{error}");
    folder.apply(&error, "secret\n");
    load(&folder, "FILE.pem").unwrap();
}

#[test]
fn openssl_and_this_crate_decrypt_the_same_keys() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    for kind in [RSA, P256, "-algorithm ed25519"] {
        make(&folder, kind);
        for method in [
            "",
            "-v2 aes-128-cbc -v2prf hmacWithSHA512",
            "-v2 aes-256-cbc -iter 10000",
            "-scrypt",
        ] {
            folder.shell(
                &format!(
                    "openssl pkcs8 -topk8 {method} -in plain.pem -passout pass:secret -out KEY.pem"
                ),
                "",
            );
            unlock(&folder, "KEY.pem", "secret").unwrap();
            let error = unlock(&folder, "KEY.pem", "Secret").unwrap_err();
            assert_eq!(
                error.reason(),
                "wrong_passphrase",
                "{kind} {method}: {error}"
            );
        }
    }
    // A key that is not encrypted needs no passphrase.
    unlock(&folder, "plain.pem", "").unwrap();
}

/// The passphrase is asked for at each load, so that a key may come with a new one.
#[tokio::test]
async fn a_reload_reads_encrypted_keys_with_their_passphrase() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let write = |passphrase: &str| {
        make(&folder, P256);
        std::fs::write(folder.path("passphrase"), passphrase).unwrap();
        let encrypt =
            format!("openssl pkcs8 -topk8 -in plain.pem -passout pass:{passphrase} -out KEY.pem");
        folder.shell(&encrypt, "");
    };
    write("first");
    let passphrase = folder.path("passphrase");
    let source = Source::<Credentials>::encrypted_pem_files(
        folder.path("chain.pem"),
        folder.path("KEY.pem"),
        move || Passphrase::from_file(&passphrase),
    );
    let acceptor = Acceptor::builder()
        .credentials_from(source)
        .unwrap()
        .trust(TestCa::new("Root").trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let handle = Reload::of(&acceptor).start().await.unwrap();
    let in_force = || handle.status().certificates[0].certificate.sha256();
    let first = in_force();
    write("second");
    handle.reload_now().await.unwrap();
    let second = in_force();
    assert_ne!(second, first);
    write("third");
    std::fs::write(folder.path("passphrase"), "second").unwrap();
    let error = handle.reload_now().await.unwrap_err();
    assert_eq!(error.reason(), "wrong_passphrase", "{error}");
    assert_eq!(in_force(), second);
}

#[test]
fn other_methods_are_encrypted_anew() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    make(&folder, P256);
    for (method, reason) in [
        ("-v1 PBE-SHA1-3DES", "unsupported_encryption"),
        ("-v2 des3", "unsupported_encryption"),
        (
            "-v2 aes-256-cbc -v2prf hmacWithSHA1",
            "unsupported_encryption",
        ),
        ("-iter 10000001", "encryption_cost"),
    ] {
        folder.shell(
            &format!(
                "openssl pkcs8 -topk8 {method} -in plain.pem -passout pass:secret -out KEY.pem"
            ),
            "",
        );
        let error = unlock(&folder, "KEY.pem", "secret").unwrap_err();
        assert_eq!(error.reason(), reason, "{method}: {error}");
        // The old passphrase, and the new one twice.
        folder.apply(&error, "secret\nother\nother\n");
        unlock(&folder, "KEY-new.pem", "other").unwrap();
    }
}

#[test]
fn the_command_for_a_wrong_passphrase_tells_right_from_wrong() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    make(&folder, P256);
    folder.shell(
        "openssl pkcs8 -topk8 -in plain.pem -passout pass:secret -out KEY.pem",
        "",
    );
    let error = unlock(&folder, "KEY.pem", "wrong").unwrap_err();
    folder.apply(&error, "secret\n");
}

#[test]
fn openssh_keys_are_converted() {
    if !has(&["openssl", "ssh-keygen"]) {
        return;
    }
    for kind in ["rsa -b 2048", "ecdsa -b 256"] {
        let folder = Folder::new();
        folder.shell(&format!("ssh-keygen -q -t {kind} -N '' -f KEY.pem"), "");
        folder.write("chain.pem", TestCa::new("Root").leaf().issue().chain_pem());
        let error = load(&folder, "KEY.pem").unwrap_err();
        assert_eq!(error.reason(), "openssh_key", "{error}");
        folder.apply(&error, "");
        certify(&folder, "KEY-pkcs8.pem");
        load(&folder, "KEY-pkcs8.pem").unwrap();
    }
    // What ssh-keygen cannot convert.
    let folder = Folder::new();
    folder.shell("ssh-keygen -q -t ed25519 -N '' -f KEY.pem", "");
    folder.write("chain.pem", TestCa::new("Root").leaf().issue().chain_pem());
    let error = load(&folder, "KEY.pem").unwrap_err();
    folder.apply(&error, "");
    certify(&folder, "KEY-new.pem");
    load(&folder, "KEY-new.pem").unwrap();
    let error = load(&folder, "KEY.pem.pub").unwrap_err();
    assert!(
        error.to_string().contains("an OpenSSH public key"),
        "{error}"
    );
}

#[test]
fn keys_in_der_and_under_another_label() {
    if !has(&["openssl", "sed"]) {
        return;
    }
    let folder = Folder::new();
    for (kind, traditional, label) in [
        (RSA, "openssl rsa -traditional", "RSA PRIVATE KEY"),
        (P256, "openssl ec", "EC PRIVATE KEY"),
    ] {
        make(&folder, kind);
        folder.shell(
            "openssl pkcs8 -topk8 -nocrypt -in plain.pem -outform der -out FILE",
            "",
        );
        let error = load(&folder, "FILE").unwrap_err();
        assert_eq!(error.reason(), "not_pem", "{error}");
        folder.apply(&error, "");
        load(&folder, "FILE.pem").unwrap();

        folder.shell(&format!("{traditional} -in plain.pem -out FILE"), "");
        folder.shell(&format!("sed -i 's/{label}/PRIVATE KEY/' FILE"), "");
        let loaded = load(&folder, "FILE").unwrap();
        let [warning] = loaded.warnings() else {
            panic!("one warning is expected: {:?}", loaded.warnings());
        };
        assert_eq!(warning.reason(), "pem_mislabelled");
        folder.apply(warning, "");
        assert!(load(&folder, "FILE.pem").unwrap().warnings().is_empty());
    }
}

/// HAProxy reads certificate, key and Diffie-Hellman parameters from one file; `openssl ecparam` writes
/// the curve before the key.
#[test]
fn parameters_beside_a_key_are_ignored() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    folder.shell("openssl ecparam -name prime256v1 -genkey -out KEY.pem", "");
    certify(&folder, "KEY.pem");
    assert!(load(&folder, "KEY.pem").unwrap().warnings().is_empty());
    folder.shell(
        "openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem",
        "",
    );
    folder.shell("cat chain.pem KEY.pem dh.pem > haproxy.pem", "");
    let bundle = folder.path("haproxy.pem");
    let loaded = Credentials::from_pem_files(&bundle, &bundle).unwrap();
    let reasons: Vec<_> = loaded.warnings().iter().map(|w| w.reason()).collect();
    assert_eq!(reasons, ["pem_block_ignored"]);
}
