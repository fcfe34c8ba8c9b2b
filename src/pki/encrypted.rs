//! Encrypted private keys in PKCS#8 (RFC 5958 section 3, RFC 8018 section 6.2).
//!
//! A file says how much work the derivation of its key takes. That work is bounded before it is done.

use std::error::Error;
use std::fmt;
use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::content::ContentKind;
use super::error::{CredentialsError, PemError};
use super::pem::Origin;

/// Some seconds of work. OpenSSL's default is 2,048; OWASP advises 600,000.
const MAX_ITERATIONS: u32 = 10_000_000;
/// N × r × 128 bytes. OpenSSL's default is 16 MiB.
const MAX_SCRYPT_BYTES: u128 = 128 * 1024 * 1024;
/// How often that memory is filled: p.
const MAX_SCRYPT_PASSES: u128 = 16;

/// The passphrase of an encrypted private key.
///
/// It is wiped from memory when it is dropped, and `Debug` does not show it.
///
/// ```
/// use countersign::pki::Passphrase;
///
/// let passphrase = Passphrase::new("correct horse battery staple");
/// assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
/// ```
///
/// # Security
/// The memory that the application itself reads the passphrase into is not wiped, unless it is the
/// `String` or `Vec` given to [`new`](Self::new). Environment variables are visible to other processes
/// of the same user; a file with restricted permissions is better.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes a passphrase, without a copy of a `String` or a `Vec`.
    pub fn new(passphrase: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(passphrase.into()))
    }

    /// Reads a passphrase from a file. One line break at its end is not part of the passphrase.
    ///
    /// # Errors
    /// [`PemError`] names the file: it cannot be read, or it is not a file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PemError> {
        let (_, mut bytes) = Origin::read_secret(path.as_ref())?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Decrypts an EncryptedPrivateKeyInfo. `passphrase` is called once, if the method is supported.
pub(super) fn decrypt(
    der: &[u8],
    place: &str,
    passphrase: impl FnOnce() -> Result<Passphrase, Box<dyn Error + Send + Sync>>,
) -> Result<Zeroizing<PrivateKeyDer<'static>>, CredentialsError> {
    let place = || place.to_owned();
    let unsupported = |problem: String| CredentialsError::UnsupportedEncryption {
        place: place(),
        problem,
    };
    let key = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| unsupported("its parameters are unknown or damaged".into()))?;
    let EncryptionScheme::Pbes2(parameters) = &key.encryption_algorithm else {
        return Err(unsupported("PBES1, which uses DES or RC2".into()));
    };
    if let Some(problem) = excess(&parameters.kdf) {
        return Err(CredentialsError::EncryptionCost {
            place: place(),
            problem,
        });
    }
    let passphrase = passphrase().map_err(|source| CredentialsError::Passphrase {
        place: place(),
        source,
    })?;
    let decrypted = key.decrypt(&*passphrase.0).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            unsupported(format!("algorithm {oid}"))
        }
        _ => CredentialsError::WrongPassphrase { place: place() },
    })?;
    // With a wrong passphrase, one of 256 keys decrypts to something else.
    if ContentKind::of_der(decrypted.as_bytes()) != Some(ContentKind::Pkcs8) {
        return Err(CredentialsError::WrongPassphrase { place: place() });
    }
    let key = PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec());
    Ok(Zeroizing::new(key.into()))
}

/// How the work of a derivation is over its limit.
fn excess(kdf: &Kdf) -> Option<String> {
    match kdf {
        Kdf::Pbkdf2(parameters) if parameters.iteration_count > MAX_ITERATIONS => Some(format!(
            "{} iterations of PBKDF2, and at most {MAX_ITERATIONS} are allowed",
            parameters.iteration_count
        )),
        Kdf::Scrypt(parameters) => {
            let memory =
                u128::from(parameters.cost_parameter) * u128::from(parameters.block_size) * 128;
            let passes = u128::from(parameters.parallelization);
            (memory > MAX_SCRYPT_BYTES || passes > MAX_SCRYPT_PASSES).then(|| {
                format!(
                    "scrypt fills {memory} bytes {passes} times, and at most {MAX_SCRYPT_BYTES} bytes {MAX_SCRYPT_PASSES} times are allowed"
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use pkcs8::der::asn1::OctetStringRef;
    use pkcs8::pkcs5::{pbes2, scrypt};

    use super::*;
    use crate::testing::{TestCa, der::pem};
    use crate::{Credentials, Diagnostic as _};

    const SALT: [u8; 16] = [7; 16];

    /// A chain, and its key encrypted with the passphrase `secret`.
    fn encrypted(scheme: EncryptionScheme) -> (String, String) {
        let issued = TestCa::new("Root").leaf().issue();
        let key = issued.key_der();
        let data = scheme
            .encrypt(b"secret", key.secret_der())
            .expect("encrypted");
        (issued.chain_pem(), block(scheme, &data))
    }

    fn block(encryption_algorithm: EncryptionScheme, data: &[u8]) -> String {
        let info = EncryptedPrivateKeyInfoRef {
            encryption_algorithm,
            encrypted_data: OctetStringRef::new(data).expect("short"),
        };
        let info = pkcs8::der::Encode::to_der(&info).expect("encoded");
        pem("ENCRYPTED PRIVATE KEY", &info)
    }

    fn pbkdf2(iterations: u32) -> EncryptionScheme {
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(iterations, &SALT, SALT)
            .expect("parameters")
            .into()
    }

    fn load(chain: &str, key: &str, passphrase: &str) -> Result<Credentials, CredentialsError> {
        let passphrase = || Ok::<_, Infallible>(Passphrase::new(passphrase));
        Credentials::from_encrypted_pem(chain, key, passphrase)
    }

    #[test]
    fn the_passphrase_decrypts_and_another_does_not() {
        let cheap = scrypt::Params::new(4, 8, 1).expect("parameters");
        let by_scrypt = pbes2::Parameters::generate_scrypt_aes256cbc(cheap, &SALT, SALT);
        for scheme in [pbkdf2(1000), by_scrypt.expect("parameters").into()] {
            let (chain, key) = encrypted(scheme);
            load(&chain, &key, "secret").expect("decrypted");
            // Chain and key in one file.
            let both = format!("{chain}{key}");
            load(&both, &both, "secret").expect("decrypted");
            for wrong in ["", "Secret", "secret\n"] {
                let error = load(&chain, &key, wrong).expect_err("wrong");
                assert_eq!(error.reason(), "wrong_passphrase");
                let debug = format!("{error:?}{error}");
                assert!(wrong.is_empty() || !debug.contains("Secret"), "{debug}");
            }
            // A reader without a passphrase names the function that takes one.
            let error = Credentials::from_pem(&chain, &key).expect_err("encrypted");
            assert_eq!(error.reason(), "encrypted_key");
            assert!(error.remedy().contains("from_encrypted_pem_files"));
        }
    }

    #[test]
    fn many_wrong_passphrases_never_load() {
        let (chain, key) = encrypted(pbkdf2(1));
        for number in 0..1000 {
            let error = load(&chain, &key, &number.to_string()).expect_err("wrong");
            assert_eq!(error.reason(), "wrong_passphrase");
        }
    }

    #[test]
    fn the_work_is_bounded_before_it_is_done() {
        let ca = TestCa::new("Root");
        let chain = ca.leaf().issue().chain_pem();
        let scrypt = |log_n, r, p| {
            let cost = scrypt::Params::new(log_n, r, p).expect("parameters");
            let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &SALT, SALT);
            EncryptionScheme::from(parameters.expect("parameters"))
        };
        for scheme in [
            pbkdf2(MAX_ITERATIONS + 1),
            scrypt(18, 8, 1),
            scrypt(14, 8, 17),
            scrypt(10, 1 << 14, 1),
        ] {
            let never = || -> Result<Passphrase, Infallible> { unreachable!("too much work") };
            let key = block(scheme, &[0; 32]);
            let error = Credentials::from_encrypted_pem(&chain, &key, never).expect_err("work");
            assert_eq!(error.reason(), "encryption_cost", "{error}");
        }
        assert!(excess(&kdf(pbkdf2(MAX_ITERATIONS))).is_none());
        assert!(excess(&kdf(scrypt(17, 8, 1))).is_none());
    }

    fn kdf(scheme: EncryptionScheme) -> Kdf {
        match scheme {
            EncryptionScheme::Pbes2(parameters) => parameters.kdf,
            _ => panic!("PBES2"),
        }
    }

    #[test]
    fn errors_of_the_function_and_of_the_file_are_named() {
        let (chain, key) = encrypted(pbkdf2(1));
        let error = Credentials::from_encrypted_pem(&chain, &key, || Err("no such variable"))
            .expect_err("no passphrase");
        assert_eq!(error.reason(), "no_passphrase");
        assert!(error.to_string().contains("no such variable"), "{error}");
        let garbage = pem("ENCRYPTED PRIVATE KEY", b"\x30\x00");
        let error = load(&chain, &garbage, "secret").expect_err("garbage");
        assert_eq!(error.reason(), "unsupported_encryption");
        // A plain key does not need one.
        let issued = TestCa::new("Root").leaf().issue();
        let never = || -> Result<Passphrase, Infallible> { unreachable!("not encrypted") };
        Credentials::from_encrypted_pem(issued.chain_pem(), issued.key_pem(), never)
            .expect("a plain key");
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_not_part_of_the_passphrase() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passphrase");
        for (content, passphrase) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" a b ", " a b "),
            ("", ""),
        ] {
            std::fs::write(&path, content).expect("written");
            let read = Passphrase::from_file(&path).expect("read");
            assert_eq!(&*read.0, passphrase.as_bytes());
        }
        let missing = Passphrase::from_file(folder.path().join("missing"));
        assert_eq!(missing.expect_err("missing").reason(), "unreadable_file");
    }
}
