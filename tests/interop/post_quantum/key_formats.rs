//! The files that OpenSSL writes, and the three forms of a private key of RFC 9881 section 6.

use aws_lc_rs::encoding::AsRawBytes as _;
use aws_lc_rs::signature::{ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair};
use countersign::testing::{KeyType, der};
use countersign::trust::PostQuantum;
use countersign::{Acceptor, Credentials, TrustStore, identity, policy};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::peers::{ca, issued_by_openssl, leaf};

#[tokio::test]
async fn certificates_and_keys_of_openssl_load() {
    for algorithm in ["MLDSA44", "MLDSA65", "MLDSA87"] {
        let folder = tempfile::tempdir().unwrap();
        if !issued_by_openssl(folder.path(), algorithm).await {
            return;
        }
        let path = |name| folder.path().join(name);
        let own = Credentials::from_pem_files(path("leaf.crt"), path("leaf.key")).unwrap();
        assert_eq!(own.certificate().subject().to_string(), "CN=alice");
        Acceptor::builder()
            .credentials(own)
            .trust(TrustStore::from_pem_file(path("root.pem")).unwrap())
            .identify(identity::CommonName::extractor())
            .authorize(policy::allow_any())
            .post_quantum(PostQuantum::Only)
            .build()
            .unwrap();
    }
}

#[test]
fn a_private_key_can_be_a_seed_expanded_or_both() {
    for (kind, algorithm, oid) in [
        (
            KeyType::MlDsa44,
            &ML_DSA_44_SIGNING,
            "2.16.840.1.101.3.4.3.17",
        ),
        (
            KeyType::MlDsa65,
            &ML_DSA_65_SIGNING,
            "2.16.840.1.101.3.4.3.18",
        ),
        (
            KeyType::MlDsa87,
            &ML_DSA_87_SIGNING,
            "2.16.840.1.101.3.4.3.19",
        ),
    ] {
        let issued = leaf(&ca(KeyType::P256), kind);
        let pkcs8 = issued.key_der();
        let pair = PqdsaKeyPair::from_pkcs8(algorithm, pkcs8.secret_der()).unwrap();
        let expanded = pair.private_key().as_raw_bytes().unwrap();
        let (_, seed) = pkcs8.secret_der().split_last_chunk::<32>().unwrap();
        let both = der::sequence(&[
            der::octet_string(seed),
            der::octet_string(expanded.as_ref()),
        ]);
        for (form, key) in [
            ("seed", der::tlv(0x80, seed)),
            ("expanded", der::octet_string(expanded.as_ref())),
            ("both", both),
        ] {
            let encoded = der::sequence(&[
                der::integer(0),
                der::sequence(&[der::oid(oid)]),
                der::octet_string(&key),
            ]);
            let key = PrivatePkcs8KeyDer::from(encoded).into();
            let loaded = Credentials::from_der(issued.chain().to_vec(), key);
            assert!(loaded.is_ok(), "{kind:?} {form}: {loaded:?}");
        }
        // The key of another certificate.
        let other = leaf(&ca(KeyType::P256), kind);
        let error = Credentials::from_der(other.chain().to_vec(), issued.key_der()).unwrap_err();
        assert_eq!(error.reason(), "key_mismatch");
    }
}
