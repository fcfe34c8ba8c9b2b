//! Why cryptography that the builder requires is not there.

use std::borrow::Cow;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::pki::Certificate;

/// Why an acceptor or a connector cannot be post-quantum as its builder requires.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::testing::TestCa;
/// use countersign::trust::PostQuantum;
/// use countersign::{Acceptor, BuildError, PostQuantumError, policy};
///
/// let ca = TestCa::new("Root"); // with an ECDSA key
/// let error = Acceptor::builder()
///     .credentials(ca.leaf().dns("orders.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .allow_tls12()
///     .post_quantum(PostQuantum::KeyExchange)
///     .build()
///     .unwrap_err();
/// assert!(matches!(error, BuildError::PostQuantum(PostQuantumError::Tls12)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostQuantumError {
    /// TLS 1.2 has no post-quantum key exchange, and was allowed.
    Tls12,
    /// The crypto provider has no key exchange group with ML-KEM, as ring.
    NoKeyExchange {
        /// The groups that it has, in words.
        present: String,
    },
    /// The crypto provider verifies no ML-DSA signature, as ring.
    NoSignatures,
    /// A certificate of our own chain has a classical key or signature.
    OwnCertificate {
        /// The certificate.
        certificate: Certificate,
        /// Its key, or the algorithm of its signature, in words.
        algorithm: String,
        /// Whether that is the signature's, and so the issuer's key.
        is_signature: bool,
    },
    /// No root of the trust store has a post-quantum key, and there is no pin: no peer could ever be admitted.
    Trust {
        /// The SPIFFE trust domain whose bundle it is, where trust is by trust domain.
        trust_domain: Option<String>,
    },
}

impl PostQuantumError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Tls12 => "post_quantum_tls12",
            Self::NoKeyExchange { .. } => "post_quantum_key_exchange",
            Self::NoSignatures => "post_quantum_signatures",
            Self::OwnCertificate { .. } => "post_quantum_own_certificate",
            Self::Trust { .. } => "post_quantum_trust",
        }
    }
}

impl Diagnostic for PostQuantumError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Tls12 => {
                return "post-quantum key exchange is required, and TLS 1.2 has none".into();
            }
            Self::NoKeyExchange { present } => format!(
                "post-quantum key exchange is required, and the crypto provider has {present}"
            ),
            Self::NoSignatures => {
                return "post-quantum identities are required, and the crypto provider verifies no ML-DSA signature"
                    .into();
            }
            Self::OwnCertificate {
                certificate,
                algorithm,
                is_signature: false,
            } => format!(
                "post-quantum identities are required, and the key of our own {certificate} is {algorithm}"
            ),
            Self::OwnCertificate {
                certificate,
                algorithm,
                is_signature: true,
            } => format!(
                "post-quantum identities are required, and our own {certificate} is signed with {algorithm}"
            ),
            Self::Trust { trust_domain: None } => {
                return "post-quantum identities are required, and no root of the trust store has such a key: no peer could ever be admitted"
                    .into();
            }
            Self::Trust {
                trust_domain: Some(domain),
            } => format!(
                "post-quantum identities are required, and no root of the trust domain {domain} has such a key: no member could ever be admitted"
            ),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Tls12 => "remove allow_tls12(), or post_quantum()",
            Self::NoKeyExchange { .. } | Self::NoSignatures => {
                "build with the feature aws-lc-rs, and do not call crypto_provider() with a provider without ML-KEM and ML-DSA"
            }
            Self::OwnCertificate { .. } => {
                "use a certificate with an ML-DSA key, of authorities with ML-DSA keys, or require the key exchange only: PostQuantum::KeyExchange"
            }
            Self::Trust { .. } => {
                "add the root with the ML-DSA key, or require the key exchange only: PostQuantum::KeyExchange"
            }
        }
        .into()
    }
}

display_diagnostic!(PostQuantumError);

/// Which choice is not FIPS, of an acceptor or a connector that must be.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::testing::TestCa;
/// use countersign::{Acceptor, BuildError, policy};
///
/// let ca = TestCa::new("Root");
/// let built = Acceptor::builder()
///     .credentials(ca.leaf().dns("orders.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::allow_any())
///     .require_fips()
///     .build();
/// match built {
///     Ok(acceptor) => assert!(acceptor.is_fips()),
///     // Without the feature `fips`.
///     Err(error) => assert!(matches!(error, BuildError::Fips(_))),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FipsError {
    /// The crypto provider is not a FIPS module: its random numbers, or its signatures with our key.
    Provider,
    /// The crypto provider offers a cipher suite that is not FIPS.
    CipherSuite {
        /// The suite, such as `TLS13_CHACHA20_POLY1305_SHA256`.
        name: String,
    },
    /// The crypto provider offers a key exchange group that is not FIPS.
    KeyExchange {
        /// The group, such as `X25519`.
        name: String,
    },
    /// The crypto provider verifies a signature algorithm outside a FIPS module.
    SignatureAlgorithm {
        /// The algorithm, in words.
        name: String,
    },
    /// Session tickets are encrypted by the built-in provider, which is not a FIPS module.
    Tickets,
    /// A log of TLS secrets is set: secret parameters would leave the module in the clear.
    KeyLog,
    /// Our key is behind a signer of the application, and whether that is a FIPS module is unknown.
    Signer {
        /// Our certificate.
        certificate: Certificate,
    },
    /// A key in our own chain is not approved.
    OwnKey {
        /// The certificate with the key.
        certificate: Certificate,
        /// Why, in words.
        problem: String,
    },
    /// The key of a trusted root is not approved.
    TrustedKey {
        /// The root's name, or else the digest of its key.
        root: String,
        /// Why, in words.
        problem: String,
    },
}

impl FipsError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Provider => "fips_provider",
            Self::CipherSuite { .. } => "fips_cipher_suite",
            Self::KeyExchange { .. } => "fips_key_exchange",
            Self::SignatureAlgorithm { .. } => "fips_signature_algorithm",
            Self::Tickets => "fips_tickets",
            Self::KeyLog => "fips_key_log",
            Self::Signer { .. } => "fips_signer",
            Self::OwnKey { .. } => "fips_own_key",
            Self::TrustedKey { .. } => "fips_trusted_key",
        }
    }
}

impl Diagnostic for FipsError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Provider => return "the crypto provider is not a FIPS module".into(),
            Self::CipherSuite { name } => {
                format!("the crypto provider offers the cipher suite {name}, which is not FIPS")
            }
            Self::KeyExchange { name } => {
                format!("the crypto provider offers the key exchange {name}, which is not FIPS")
            }
            Self::SignatureAlgorithm { name } => {
                format!("the crypto provider verifies {name} outside a FIPS module")
            }
            Self::Tickets => {
                return "session tickets would be encrypted by a crypto provider that is not a FIPS module"
                    .into();
            }
            Self::KeyLog => {
                return "key_log() would write the secrets of connections outside the FIPS module"
                    .into();
            }
            Self::Signer { certificate } => format!(
                "the key of {certificate} is behind a signer, and whether that is a FIPS module is unknown"
            ),
            Self::OwnKey {
                certificate,
                problem,
            } => format!("our own {certificate} is not approved by FIPS: {problem}"),
            Self::TrustedKey { root, problem } => {
                format!("the trusted root {root} is not approved by FIPS: {problem}")
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Provider => {
                "build with the feature fips, and do not call crypto_provider() with another provider"
            }
            Self::CipherSuite { .. } | Self::KeyExchange { .. } | Self::SignatureAlgorithm { .. } => {
                "leave it out of the crypto_provider(), or do not call that, with the feature fips"
            }
            Self::Tickets => "choose Resumption::Stateful or Resumption::Off",
            Self::KeyLog => "remove key_log()",
            Self::Signer { .. } => {
                "if it is a validated module, declare that with Credentials::with_fips_signer()"
            }
            Self::OwnKey { .. } => {
                "issue it for an approved key: ECDSA P-256, P-384 or P-521, or RSA with 3,072 bits"
            }
            Self::TrustedKey { .. } => "remove it from the trust store",
        }
        .into()
    }
}

display_diagnostic!(FipsError);
