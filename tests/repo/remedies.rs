//! Every error is one line: the cause, a semicolon, and what to do.

use std::time::Duration;

use countersign::gate::AdmitError;
use countersign::identity::{IdentityError, IdentityErrorKind};
use countersign::pki::pkcs11::Pkcs11Error;
use countersign::pki::{
    AlgorithmError, ContentKind, CredentialsError, Crl, CrlFormatError, KeyError,
    OwnCertificateProblem, PemError, SigningError,
};
use countersign::policy::DeniedBy;
use countersign::reload::ReloadError;
use countersign::testing::{KeyUsageBits, TestCa, der};
use countersign::trust::{
    BundleError, ChainError, CrlError, PathError, Signer, StatusError, TrustError,
};
use countersign::{
    AcceptError, BuildError, Certificate, ConnectError, Diagnostic, FipsError, HandshakeError,
    PostQuantumError, ShedReason, Side, TrustStore,
};
use rustls_pki_types::UnixTime;

/// Cause and remedy have a word or more each, and `Display` joins them in one line.
fn checked(error: &dyn Diagnostic) {
    let line = error.to_string();
    let (cause, remedy) = (Diagnostic::cause(error), error.remedy());
    assert_eq!(line, format!("{cause}; {remedy}"));
    assert!(cause.len() > 10, "{line}");
    assert!(remedy.contains(' '), "{line}");
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert!(!line.ends_with('.'), "{line}");
}

/// Its AlgorithmIdentifier.
const ML_DSA_65: [u8; 13] = [0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18];

fn certificate() -> Certificate {
    TestCa::new("Root")
        .leaf()
        .common_name("a")
        .dns("a.example")
        .issue()
        .certificate()
}

fn io() -> std::io::Error {
    std::io::ErrorKind::PermissionDenied.into()
}

#[test]
fn of_keys_in_tokens() {
    use Pkcs11Error as E;

    let (token, wanted) = (|| "orders".to_owned(), || "object=tls".to_owned());
    let problem = || "C_SignInit: CKR_DEVICE_REMOVED".to_owned();
    for error in [
        E::Uri { problem: problem() },
        E::NoModule,
        E::Module {
            path: "/usr/lib/module.so".into(),
            problem: problem(),
        },
        E::NoToken {
            wanted: wanted(),
            present: Vec::new(),
        },
        E::SeveralTokens {
            wanted: wanted(),
            found: vec![token(), token()],
        },
        E::NoPin { token: token() },
        E::PinSource {
            source: io().into(),
        },
        E::WrongPin {
            token: token(),
            is_known: false,
        },
        E::WrongPin {
            token: token(),
            is_known: true,
        },
        E::PinLocked { token: token() },
        E::PinFinalTry { token: token() },
        E::NoKey {
            token: token(),
            wanted: wanted(),
            present: vec!["line\nbreak".into()],
        },
        E::SeveralKeys {
            token: token(),
            wanted: wanted(),
            count: 2,
        },
        E::UnsupportedKey {
            token: token(),
            key: "CKK_DSA".into(),
        },
        E::CannotSign {
            token: token(),
            problem: problem(),
        },
        E::NoCertificate { token: token() },
        E::SeveralCertificates { token: token() },
        E::TokenRemoved {
            token: token(),
            problem: problem(),
        },
        E::WrongSignature { token: token() },
        E::Call {
            place: "the token\torders".into(),
            problem: problem(),
        },
    ] {
        checked(&error);
    }
    let error = SigningError::new("the service\nanswered 503");
    checked(&HandshakeError::Signing(error));
    for queued in [false, true] {
        checked(&HandshakeError::SigningTimedOut {
            timeout: Duration::from_secs(10),
            queued,
        });
    }
}

#[test]
fn of_keys_and_algorithms() {
    let key = || "Ed448 (1.3.101.113)".to_owned();
    for error in [
        KeyError::Unsupported {
            key: key(),
            supported: "Ed25519".into(),
        },
        KeyError::Unsupported {
            key: "ML-DSA-65 (2.16.840.1.101.3.4.3.18)".into(),
            supported: "Ed25519".into(),
        },
        KeyError::RsaTooSmall { bits: 1024 },
        KeyError::RsaTooLarge { bits: 16_384 },
        KeyError::RsaExponent { bits: 1 },
        KeyError::NoNull,
        KeyError::PssOnly { bits: 2048 },
        KeyError::NoNamedCurve,
        KeyError::PointFormat { key: key() },
        KeyError::KeyAgreement { key: key() },
        KeyError::Malformed,
    ] {
        checked(&error);
    }
    // ecdsa-with-SHA256, ecdsa-with-SHA224, dsa-with-SHA1, id-RSASSA-PSS with an unknown hash function.
    for oid in [
        &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2][..],
        &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1],
        &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3],
    ] {
        checked(&AlgorithmError::of(&der::sequence(&[oid])));
    }
}

#[test]
fn of_chains() {
    let certificate = certificate();
    let usage = {
        let bits = KeyUsageBits::KEY_CERT_SIGN;
        let issued = TestCa::new("Root").leaf().key_usage(Some(bits)).issue();
        issued.certificate().key_usage().unwrap()
    };
    let now = UnixTime::now();
    let malformed = Certificate::from_der(&[0x30, 0]).unwrap_err();
    let identity = IdentityError::new(IdentityErrorKind::Missing, "the certificate has no URI SAN");
    let c = || certificate.clone();
    let crl = Crl::from_der(&TestCa::new("Root").crl().build()).unwrap();
    for error in [
        ChainError::NoCertificate,
        ChainError::TooLong {
            length: 11,
            limit: 10,
        },
        ChainError::Malformed {
            position: 2,
            source: malformed,
        },
        ChainError::Version1 { certificate: c() },
        ChainError::KeyTooLarge {
            certificate: c(),
            bits: 16_384,
            limit: 8_192,
        },
        ChainError::CaAsEndEntity { certificate: c() },
        ChainError::EndEntityMaySign {
            certificate: c(),
            usage,
        },
        ChainError::NoDigitalSignature {
            certificate: c(),
            usage,
        },
        ChainError::IssuerMayNotSign { certificate: c() },
        ChainError::Expired {
            certificate: c(),
            now,
            not_after: now,
        },
        ChainError::NotYetValid {
            certificate: c(),
            now,
            not_before: now,
        },
        ChainError::UnknownIssuer {
            certificate: c(),
            roots: [].into_iter().collect(),
            alike: Some(c().issuer().clone()),
        },
        ChainError::BadSignature {
            certificate: c(),
            signer: Signer::OtherKey,
            is_presented: true,
        },
        ChainError::BadSignature {
            certificate: c(),
            signer: Signer::ThisKey,
            is_presented: false,
        },
        ChainError::BadSignature {
            certificate: c(),
            signer: Signer::Unknown,
            is_presented: false,
        },
        ChainError::UnsupportedKey {
            certificate: c(),
            root: None,
            problem: KeyError::RsaTooSmall { bits: 1024 },
        },
        ChainError::UnsupportedKey {
            certificate: c(),
            root: Some(c().issuer().clone()),
            problem: KeyError::NoNull,
        },
        ChainError::UnsupportedAlgorithm {
            certificate: c(),
            problem: AlgorithmError::of(&[]),
        },
        ChainError::UnsupportedAlgorithm {
            certificate: c(),
            problem: AlgorithmError::of(&ML_DSA_65),
        },
        ChainError::NotPostQuantum {
            certificate: c(),
            algorithm: "elliptic curve P-256".into(),
            is_signature: false,
        },
        ChainError::NotPostQuantum {
            certificate: c(),
            algorithm: "ecdsa-with-SHA256 (1.2.840.10045.4.3.2)".into(),
            is_signature: true,
        },
        ChainError::NotFips {
            certificate: c(),
            problem: "the key is RSA 2049 bits, and FIPS 186-5 requires an even number of bits"
                .into(),
        },
        ChainError::TooManyCandidates { certificate: c() },
        ChainError::Revoked {
            certificate: c(),
            crl: crl.number().cloned(),
        },
        ChainError::UnknownRevocationStatus {
            certificate: c(),
            cause: StatusError::NoCrl,
        },
        ChainError::UnknownRevocationStatus {
            certificate: c(),
            cause: StatusError::NotInForce {
                this_update: now,
                now,
            },
        },
        ChainError::CrlExpired {
            certificate: c(),
            next_update: now,
            now,
        },
        ChainError::MayNotSignCrls { certificate: c() },
        ChainError::NoTrustDomain {
            certificate: c(),
            error: identity,
        },
        ChainError::UnknownTrustDomain {
            certificate: c(),
            trust_domain: "a.example".into(),
            known: [].into_iter().collect(),
        },
        ChainError::WrongUsage {
            certificate: c(),
            wanted: "clientAuth",
            present: [].into_iter().collect(),
        },
        ChainError::NameMismatch {
            certificate: c(),
            expected: "b.example".into(),
            present: [].into_iter().collect(),
        },
        ChainError::BreaksRfc5280 {
            certificate: c(),
            rule: "no rule",
            section: "4",
        },
        ChainError::Invalid {
            certificate: c(),
            problem: PathError::NameConstraints,
        },
    ] {
        checked(&AdmitError::from(error));
    }
}

#[test]
fn of_the_gate() {
    let certificate = certificate();
    let c = || certificate.clone();
    use IdentityErrorKind as K;
    for kind in [
        K::Missing,
        K::Ambiguous,
        K::BadEncoding,
        K::BadSyntax,
        K::TooLong,
        K::Forbidden,
        K::Panicked,
    ] {
        let error = IdentityError::new(kind, "the certificate has two");
        checked(&AdmitError::Identity {
            certificate: c(),
            error,
        });
    }
    for error in [
        AdmitError::DenyListed {
            certificate: c(),
            by: DeniedBy::Key,
        },
        AdmitError::Denied {
            certificate: c(),
            reason: "closed".into(),
        },
        AdmitError::PolicyPanicked { certificate: c() },
        AdmitError::PolicyTimedOut {
            certificate: c(),
            timeout: Duration::from_secs(1),
        },
        AdmitError::PolicyNotAsked { certificate: c() },
        AdmitError::TooManyConnections {
            certificate: c(),
            limit: 3,
        },
        AdmitError::TooManyConnectionsOfIdentity {
            certificate: c(),
            limit: 3,
        },
        AdmitError::PolicyIsAsync,
        AdmitError::HandshakeIncomplete,
        AdmitError::UnknownServerName,
        AdmitError::NoClock,
    ] {
        checked(&error);
    }
}

#[test]
fn of_connections() {
    for error in [
        HandshakeError::KeyNotProven {
            certificate: certificate(),
        },
        HandshakeError::VersionTooOld,
        HandshakeError::PlaintextHttp,
        HandshakeError::ProxyHeader,
        HandshakeError::Tls(rustls::Error::DecryptError),
        HandshakeError::Closed { received: 0 },
        HandshakeError::TimedOut {
            timeout: Duration::from_secs(10),
            received: 3,
        },
        HandshakeError::MessageTooLarge,
        HandshakeError::TooMuchReceived { limit: 1 },
        HandshakeError::Io(io()),
    ] {
        checked(&AcceptError::Handshake(error));
    }
    for shed in [
        ShedReason::TooManyHandshakes,
        ShedReason::TooManyOfAddress,
        ShedReason::EarlyDrop,
        ShedReason::Displaced,
        ShedReason::AddressNotAdmitted,
    ] {
        checked(&AcceptError::Shed(shed));
    }
    checked(&ConnectError::NotAsked);
    checked(&ConnectError::InvalidServerName {
        name: "a\nb".into(),
    });
}

#[test]
fn of_files() {
    let pem = |text: &str| TrustStore::from_pem(text).unwrap_err();
    let root = TestCa::new("Root");
    let leaf = root.leaf().issue();
    let pem_of_leaf = leaf.leaf_only().chain_pem();
    for error in [
        pem(""),
        pem("0\u{1}"),
        pem(&root.pem()[..60]),
        pem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        pem("-----BEGIN CERTIFICATE---\n"),
        pem("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
        pem("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"),
        pem(&leaf.key_pem()),
        pem(&pem_of_leaf),
        TrustStore::from_pem_file("no-such-file.pem").unwrap_err(),
        TrustError::EmptyFolder {
            folder: "roots".into(),
        },
        TrustError::Version1 {
            place: "a.pem".into(),
            certificate: certificate(),
        },
    ] {
        checked(&error);
    }
    let place = || "a.pem".to_owned();
    for error in [
        CredentialsError::Pem(PemError::Io {
            file: "a.pem".into(),
            source: io(),
        }),
        CredentialsError::Pem(PemError::NotAFile {
            path: "a.pem".into(),
        }),
        CredentialsError::Pem(PemError::TooLarge {
            file: "a.pem".into(),
            limit: 1,
        }),
        CredentialsError::NoCertificate {
            place: place(),
            has_key: false,
        },
        CredentialsError::NoCertificate {
            place: place(),
            has_key: true,
        },
        CredentialsError::NoKey {
            place: place(),
            has_certificate: false,
        },
        CredentialsError::NoKey {
            place: place(),
            has_certificate: true,
        },
        CredentialsError::Passphrase {
            place: place(),
            source: "no such variable".into(),
        },
        CredentialsError::WrongPassphrase { place: place() },
        CredentialsError::UnsupportedEncryption {
            place: place(),
            problem: "PBES1".into(),
        },
        CredentialsError::EncryptionCost {
            place: place(),
            problem: "too many iterations".into(),
        },
        CredentialsError::SeveralKeys { place: place() },
        CredentialsError::Malformed {
            position: 1,
            source: Certificate::from_der(&[]).unwrap_err(),
        },
        CredentialsError::Version1 {
            certificate: certificate(),
        },
        CredentialsError::UnusableKey {
            place: place(),
            problem: "it is odd".into(),
        },
        CredentialsError::UnusableKey {
            place: place(),
            problem: "the key of its certificate is ML-DSA-65 (2.16.840.1.101.3.4.3.18): the key is ML-DSA-65 (2.16.840.1.101.3.4.3.18), and the crypto provider verifies signatures of Ed25519".into(),
        },
        CredentialsError::KeyMismatch {
            certificate: certificate(),
            place: place(),
            fitting_position: None,
        },
        CredentialsError::KeyMismatch {
            certificate: certificate(),
            place: place(),
            fitting_position: Some(2),
        },
    ] {
        checked(&error);
    }
    for problem in [
        CrlFormatError::Malformed("it"),
        CrlFormatError::Version1,
        CrlFormatError::NoNextUpdate,
        CrlFormatError::BadNumber("number is missing"),
        CrlFormatError::Delta,
        CrlFormatError::Indirect,
        CrlFormatError::BadTime {
            field: "thisUpdate",
            value: "20260101".into(),
        },
        CrlFormatError::Scope("odd"),
        CrlFormatError::CriticalExtension {
            oid: "1.2.3".into(),
        },
    ] {
        checked(&CrlError::Unusable {
            place: place(),
            problem,
        });
    }
    checked(&CrlError::EmptyFolder {
        folder: "crls".into(),
    });
    checked(&CrlError::None);
}

#[test]
fn of_our_own_certificates() {
    let (now, c) = (UnixTime::now(), certificate);
    for problem in [
        OwnCertificateProblem::Purpose {
            certificate: c(),
            side: Side::Server,
        },
        OwnCertificateProblem::Purpose {
            certificate: c(),
            side: Side::Client,
        },
        OwnCertificateProblem::Authority { certificate: c() },
        OwnCertificateProblem::KeyUsage { certificate: c() },
        OwnCertificateProblem::Key {
            certificate: c(),
            key: "RSA of 1024 bits".into(),
        },
        OwnCertificateProblem::Expired {
            certificate: c(),
            now,
        },
        OwnCertificateProblem::NotYetValid {
            certificate: c(),
            now,
        },
        OwnCertificateProblem::NoServerName { certificate: c() },
        OwnCertificateProblem::ChainSize {
            certificate: certificate(),
            bytes: 70_000,
        },
        OwnCertificateProblem::ChainOrder {
            certificate: c(),
            position: 2,
        },
    ] {
        checked(&problem);
        checked(&BuildError::OwnCertificate(problem));
    }
}

#[test]
fn of_files_in_other_formats() {
    let place = || "a.pem".to_owned();
    for found in [
        ContentKind::Certificate,
        ContentKind::TrustedCertificate,
        ContentKind::CertificateRequest,
        ContentKind::Crl,
        ContentKind::Pkcs7,
        ContentKind::Pkcs12,
        ContentKind::Pkcs8,
        ContentKind::Pkcs1,
        ContentKind::Sec1,
        ContentKind::EncryptedPkcs8,
        ContentKind::PublicKey,
        ContentKind::JavaKeyStore,
        ContentKind::OpenSshPublicKey,
        ContentKind::PuttyKey,
        ContentKind::OtherDer,
    ] {
        let place = place();
        checked(&PemError::NotPem { place, found });
    }
    for encoding in ["UTF-16LE", "UTF-16BE"] {
        let place = place();
        checked(&PemError::Encoding { place, encoding });
    }
    checked(&PemError::EscapedNewlines { place: place() });
}

#[test]
fn of_set_ups() {
    let name = || "a.example".to_owned();
    let now = UnixTime::now();
    let crl = Crl::from_der(&TestCa::new("Root").crl().build()).unwrap();
    for error in [
        BuildError::EmptyTrust,
        BuildError::NoProvider,
        BuildError::Provider(rustls::Error::FailedToGetCurrentTime),
        BuildError::InvalidAlpn,
        BuildError::InvalidName { name: name() },
        BuildError::NameTwice { name: name() },
        BuildError::NamedByClient { name: name() },
        BuildError::Bundle(BundleError::Empty {
            trust_domain: "a.example".parse().unwrap(),
        }),
        BuildError::Bundle(BundleError::NotByTrustDomain),
        BuildError::NoTicketer,
        PostQuantumError::Tls12.into(),
        PostQuantumError::NoKeyExchange {
            present: "only X25519, secp256r1".into(),
        }
        .into(),
        PostQuantumError::NoSignatures.into(),
        PostQuantumError::OwnCertificate {
            certificate: certificate(),
            algorithm: "elliptic curve P-256".into(),
            is_signature: false,
        }
        .into(),
        PostQuantumError::OwnCertificate {
            certificate: certificate(),
            algorithm: "ecdsa-with-SHA256 (1.2.840.10045.4.3.2)".into(),
            is_signature: true,
        }
        .into(),
        PostQuantumError::Trust { trust_domain: None }.into(),
        PostQuantumError::Trust {
            trust_domain: Some("example.org".into()),
        }
        .into(),
        FipsError::Provider.into(),
        FipsError::CipherSuite { name: name() }.into(),
        FipsError::KeyExchange { name: name() }.into(),
        FipsError::SignatureAlgorithm { name: name() }.into(),
        FipsError::Tickets.into(),
        FipsError::KeyLog.into(),
        FipsError::Signer {
            certificate: certificate(),
        }
        .into(),
        FipsError::OwnKey {
            certificate: certificate(),
            problem: "the key is RSA 2049 bits".into(),
        }
        .into(),
        FipsError::TrustedKey {
            root: "\"CN=Root\"".into(),
            problem: "the key is RSA 2049 bits".into(),
        }
        .into(),
        BuildError::OwnCertificate(OwnCertificateProblem::Expired {
            certificate: certificate(),
            now,
        }),
        BuildError::OwnCertificate(OwnCertificateProblem::KeyUsage {
            certificate: certificate(),
        }),
        BuildError::NoClock,
        BuildError::CrlNotByIssuer { crl: crl.clone() },
        BuildError::CrlRolledBack {
            crl: crl.clone(),
            in_force: crl,
        },
        BuildError::NotCovered {
            name: name(),
            certificate: certificate(),
        },
    ] {
        checked(&error);
    }
    for error in [
        ReloadError::TooLarge {
            file: "a.pem".into(),
            limit: 1,
        },
        ReloadError::NotAFile {
            path: "a.pem".into(),
        },
        ReloadError::KeepsChanging { reads: 3 },
        ReloadError::Panicked { part: None },
        ReloadError::OtherDenyList,
        ReloadError::Stopped,
    ] {
        checked(&error);
    }
}
