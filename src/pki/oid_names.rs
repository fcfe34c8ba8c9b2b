//! The names of object identifiers, for messages. The one table of the crate.

use std::fmt;

use super::text::Escaped;

/// The name of an object identifier: `sha1WithRSAEncryption` for `1.2.840.113549.1.1.5`.
///
/// The table has what certificates and CRLs contain: signature algorithms, key types, curves, hash
/// functions, extensions, purposes, attribute types, access methods and policies. The names are those of
/// the standards that define them. `None` for any other identifier.
///
/// ```
/// use countersign::pki::oid_name;
///
/// assert_eq!(oid_name("1.2.840.113549.1.1.5"), Some("sha1WithRSAEncryption"));
/// assert_eq!(oid_name("1.3.132.0.10"), Some("secp256k1"));
/// assert_eq!(oid_name("1.2.3"), None);
/// ```
pub fn oid_name(oid: &str) -> Option<&'static str> {
    let at = NAMES
        .binary_search_by(|(known, _)| (*known).cmp(oid))
        .ok()?;
    Some(NAMES[at].1)
}

/// An object identifier in a sentence: `secp256k1 (1.3.132.0.10)`, or the number alone.
pub(crate) struct NamedOid<'a>(pub(crate) &'a str);

impl fmt::Display for NamedOid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match oid_name(self.0) {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => Escaped(self.0).fmt(f),
        }
    }
}

/// Sorted by the text of the identifier.
const NAMES: &[(&str, &str)] = &[
    ("0.4.0.127.0.7.1.1.4.1.3", "ecdsa-plain-SHA256"),
    ("0.4.0.127.0.7.1.1.4.1.4", "ecdsa-plain-SHA384"),
    ("0.4.0.127.0.7.1.1.4.1.5", "ecdsa-plain-SHA512"),
    ("0.4.0.1862.1.1", "qcCompliance"),
    ("0.4.0.1862.1.3", "qcRetentionPeriod"),
    ("0.4.0.1862.1.4", "qcSscd"),
    ("0.4.0.1862.1.5", "qcPds"),
    ("0.4.0.1862.1.6", "qcType"),
    ("0.4.0.194112.1.0", "qcpNatural"),
    ("0.4.0.194112.1.1", "qcpLegal"),
    ("0.4.0.194112.1.2", "qcpNaturalQscd"),
    ("0.4.0.194112.1.3", "qcpLegalQscd"),
    ("0.4.0.194112.1.4", "qcpWeb"),
    ("0.4.0.19495.2", "psd2QcStatement"),
    ("0.9.2342.19200300.100.1.1", "userId"),
    ("0.9.2342.19200300.100.1.25", "domainComponent"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("1.2.156.10197.1.301", "SM2"),
    ("1.2.156.10197.1.501", "SM2-with-SM3"),
    ("1.2.250.1.223.101.256.1", "FRP256v1"),
    ("1.2.643.2.2.19", "GOST R 34.10-2001"),
    ("1.2.643.2.2.3", "GOST R 34.11-94 with GOST R 34.10-2001"),
    ("1.2.643.7.1.1.1.1", "GOST R 34.10-2012 (256 bits)"),
    ("1.2.643.7.1.1.1.2", "GOST R 34.10-2012 (512 bits)"),
    ("1.2.643.7.1.1.3.2", "GOST R 34.10-2012 with Streebog-256"),
    ("1.2.643.7.1.1.3.3", "GOST R 34.10-2012 with Streebog-512"),
    ("1.2.840.10040.4.1", "id-dsa"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1"),
    ("1.2.840.10045.2.1", "id-ecPublicKey"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.2", "ecdsa-with-Recommended"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.2.840.113533.7.65.0", "entrustVersInfo"),
    ("1.2.840.113549.1.1.1", "rsaEncryption"),
    ("1.2.840.113549.1.1.10", "id-RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.113549.1.1.15", "sha512-224WithRSAEncryption"),
    ("1.2.840.113549.1.1.16", "sha512-256WithRSAEncryption"),
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.3", "md4WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.7", "id-RSAES-OAEP"),
    ("1.2.840.113549.1.1.8", "id-mgf1"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("1.2.840.113549.2.2", "MD2"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.0.1", "sect163k1"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.15", "sect163r2"),
    ("1.3.132.0.16", "sect283k1"),
    ("1.3.132.0.17", "sect283r1"),
    ("1.3.132.0.26", "sect233k1"),
    ("1.3.132.0.27", "sect233r1"),
    ("1.3.132.0.28", "secp128r1"),
    ("1.3.132.0.30", "secp160r2"),
    ("1.3.132.0.31", "secp192k1"),
    ("1.3.132.0.32", "secp224k1"),
    ("1.3.132.0.33", "P-224"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.36", "sect409k1"),
    ("1.3.132.0.37", "sect409r1"),
    ("1.3.132.0.38", "sect571k1"),
    ("1.3.132.0.39", "sect571r1"),
    ("1.3.132.0.6", "secp112r1"),
    ("1.3.132.0.7", "secp112r2"),
    ("1.3.132.0.8", "secp160r1"),
    ("1.3.132.0.9", "secp160k1"),
    ("1.3.132.1.12", "id-ecDH"),
    ("1.3.132.1.13", "id-ecMQV"),
    ("1.3.14.3.2.12", "dsa"),
    ("1.3.14.3.2.26", "SHA-1"),
    ("1.3.14.3.2.27", "dsaWithSHA1"),
    ("1.3.14.3.2.29", "sha1WithRSASignature"),
    ("1.3.14.3.2.3", "md5WithRSA"),
    ("1.3.36.3.3.1.2", "ripemd160WithRSA"),
    ("1.3.36.3.3.2.8.1.1.1", "brainpoolP160r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.12", "brainpoolP384t1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.3.36.3.3.2.8.1.1.14", "brainpoolP512t1"),
    ("1.3.36.3.3.2.8.1.1.3", "brainpoolP192r1"),
    ("1.3.36.3.3.2.8.1.1.5", "brainpoolP224r1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.8", "brainpoolP256t1"),
    ("1.3.36.3.3.2.8.1.1.9", "brainpoolP320r1"),
    ("1.3.6.1.4.1.11129.2.4.2", "signedCertificateTimestampList"),
    ("1.3.6.1.4.1.11129.2.4.3", "certificateTransparencyPoison"),
    ("1.3.6.1.4.1.311.10.3.3", "microsoftServerGatedCrypto"),
    ("1.3.6.1.4.1.311.10.3.4", "encryptedFileSystem"),
    ("1.3.6.1.4.1.311.20.2", "enrollCertType"),
    ("1.3.6.1.4.1.311.20.2.1", "enrollmentAgent"),
    ("1.3.6.1.4.1.311.20.2.2", "smartcardLogon"),
    ("1.3.6.1.4.1.311.20.2.3", "userPrincipalName"),
    ("1.3.6.1.4.1.311.21.1", "caVersion"),
    ("1.3.6.1.4.1.311.21.10", "applicationCertPolicies"),
    ("1.3.6.1.4.1.311.21.2", "previousCaCertHash"),
    ("1.3.6.1.4.1.311.21.4", "crlNextPublish"),
    ("1.3.6.1.4.1.311.21.5", "privateKeyArchival"),
    ("1.3.6.1.4.1.311.21.7", "certificateTemplate"),
    ("1.3.6.1.4.1.311.25.2", "ntdsCaSecurity"),
    ("1.3.6.1.4.1.311.25.2.1", "ntdsObjectSid"),
    ("1.3.6.1.4.1.311.54.1.2", "remoteDesktop"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionLocalityName"),
    (
        "1.3.6.1.4.1.311.60.2.1.2",
        "jurisdictionStateOrProvinceName",
    ),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionCountryName"),
    ("1.3.6.1.4.1.37476.9000.64.1", "stepProvisioner"),
    ("1.3.6.1.4.1.44363.44", "delegationUsage"),
    ("1.3.6.1.4.1.53594.1.1", "libp2pPublicKey"),
    ("1.3.6.1.4.1.57264.1.1", "fulcioIssuer"),
    ("1.3.6.1.4.1.57264.1.8", "fulcioIssuerV2"),
    ("1.3.6.1.5.2.2", "kerberosPrincipalName"),
    ("1.3.6.1.5.2.3.4", "pkinitClientAuth"),
    ("1.3.6.1.5.2.3.5", "pkinitKdc"),
    ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.11", "subjectInfoAccess"),
    ("1.3.6.1.5.5.7.1.12", "logotype"),
    ("1.3.6.1.5.5.7.1.14", "proxyCertInfo"),
    ("1.3.6.1.5.5.7.1.2", "biometricInfo"),
    ("1.3.6.1.5.5.7.1.24", "tlsfeature"),
    ("1.3.6.1.5.5.7.1.26", "tnAuthList"),
    ("1.3.6.1.5.5.7.1.3", "qcStatements"),
    ("1.3.6.1.5.5.7.1.31", "acmeIdentifier"),
    ("1.3.6.1.5.5.7.1.7", "ipAddrBlocks"),
    ("1.3.6.1.5.5.7.1.8", "autonomousSysIds"),
    ("1.3.6.1.5.5.7.2.1", "cps"),
    ("1.3.6.1.5.5.7.2.2", "unotice"),
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.13", "eapOverPPP"),
    ("1.3.6.1.5.5.7.3.14", "eapOverLAN"),
    ("1.3.6.1.5.5.7.3.17", "ipsecIKE"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.20", "sipDomain"),
    ("1.3.6.1.5.5.7.3.21", "secureShellClient"),
    ("1.3.6.1.5.5.7.3.22", "secureShellServer"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.30", "bundleSecurity"),
    ("1.3.6.1.5.5.7.3.36", "documentSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.5", "ipsecEndSystem"),
    ("1.3.6.1.5.5.7.3.6", "ipsecTunnel"),
    ("1.3.6.1.5.5.7.3.7", "ipsecUser"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    ("1.3.6.1.5.5.7.48.1", "ocsp"),
    ("1.3.6.1.5.5.7.48.1.5", "ocsp-nocheck"),
    ("1.3.6.1.5.5.7.48.2", "caIssuers"),
    ("1.3.6.1.5.5.7.48.3", "timeStampingAccess"),
    ("1.3.6.1.5.5.7.48.5", "caRepository"),
    ("1.3.6.1.5.5.7.8.4", "hardwareModuleName"),
    ("1.3.6.1.5.5.7.8.5", "xmppAddr"),
    ("1.3.6.1.5.5.7.8.7", "srvName"),
    ("1.3.6.1.5.5.7.8.9", "smtpUTF8Mailbox"),
    ("1.3.6.1.5.5.8.2.2", "ikeIntermediate"),
    ("2.16.840.1.101.3.2.1.3.13", "fpkiCommonAuth"),
    ("2.16.840.1.101.3.2.1.3.17", "fpkiCommonCardAuth"),
    ("2.16.840.1.101.3.2.1.3.6", "fpkiCommonPolicy"),
    ("2.16.840.1.101.3.2.1.3.7", "fpkiCommonHardware"),
    ("2.16.840.1.101.3.4.2.1", "SHA-256"),
    ("2.16.840.1.101.3.4.2.10", "SHA3-512"),
    ("2.16.840.1.101.3.4.2.11", "SHAKE128"),
    ("2.16.840.1.101.3.4.2.12", "SHAKE256"),
    ("2.16.840.1.101.3.4.2.2", "SHA-384"),
    ("2.16.840.1.101.3.4.2.3", "SHA-512"),
    ("2.16.840.1.101.3.4.2.4", "SHA-224"),
    ("2.16.840.1.101.3.4.2.5", "SHA-512/224"),
    ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    ("2.16.840.1.101.3.4.2.7", "SHA3-224"),
    ("2.16.840.1.101.3.4.2.8", "SHA3-256"),
    ("2.16.840.1.101.3.4.2.9", "SHA3-384"),
    ("2.16.840.1.101.3.4.3.1", "dsa-with-SHA224"),
    ("2.16.840.1.101.3.4.3.10", "id-ecdsa-with-sha3-256"),
    ("2.16.840.1.101.3.4.3.11", "id-ecdsa-with-sha3-384"),
    ("2.16.840.1.101.3.4.3.12", "id-ecdsa-with-sha3-512"),
    (
        "2.16.840.1.101.3.4.3.13",
        "id-rsassa-pkcs1-v1_5-with-sha3-224",
    ),
    (
        "2.16.840.1.101.3.4.3.14",
        "id-rsassa-pkcs1-v1_5-with-sha3-256",
    ),
    (
        "2.16.840.1.101.3.4.3.15",
        "id-rsassa-pkcs1-v1_5-with-sha3-384",
    ),
    (
        "2.16.840.1.101.3.4.3.16",
        "id-rsassa-pkcs1-v1_5-with-sha3-512",
    ),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-SHA256"),
    ("2.16.840.1.101.3.4.3.20", "SLH-DSA-SHA2-128s"),
    ("2.16.840.1.101.3.4.3.21", "SLH-DSA-SHA2-128f"),
    ("2.16.840.1.101.3.4.3.22", "SLH-DSA-SHA2-192s"),
    ("2.16.840.1.101.3.4.3.23", "SLH-DSA-SHA2-192f"),
    ("2.16.840.1.101.3.4.3.24", "SLH-DSA-SHA2-256s"),
    ("2.16.840.1.101.3.4.3.25", "SLH-DSA-SHA2-256f"),
    ("2.16.840.1.101.3.4.3.26", "SLH-DSA-SHAKE-128s"),
    ("2.16.840.1.101.3.4.3.27", "SLH-DSA-SHAKE-128f"),
    ("2.16.840.1.101.3.4.3.28", "SLH-DSA-SHAKE-192s"),
    ("2.16.840.1.101.3.4.3.29", "SLH-DSA-SHAKE-192f"),
    ("2.16.840.1.101.3.4.3.3", "dsa-with-SHA384"),
    ("2.16.840.1.101.3.4.3.30", "SLH-DSA-SHAKE-256s"),
    ("2.16.840.1.101.3.4.3.31", "SLH-DSA-SHAKE-256f"),
    ("2.16.840.1.101.3.4.3.4", "dsa-with-SHA512"),
    ("2.16.840.1.101.3.4.3.9", "id-ecdsa-with-sha3-224"),
    ("2.16.840.1.101.3.6.6", "fascN"),
    ("2.16.840.1.101.3.6.8", "pivCardAuthentication"),
    ("2.16.840.1.113730.1.1", "netscapeCertType"),
    ("2.16.840.1.113730.1.12", "netscapeSslServerName"),
    ("2.16.840.1.113730.1.13", "netscapeComment"),
    ("2.16.840.1.113730.1.2", "netscapeBaseUrl"),
    ("2.16.840.1.113730.1.3", "netscapeRevocationUrl"),
    ("2.16.840.1.113730.1.4", "netscapeCaRevocationUrl"),
    ("2.16.840.1.113730.1.8", "netscapeCaPolicyUrl"),
    ("2.16.840.1.113730.4.1", "netscapeServerGatedCrypto"),
    ("2.23.140.1.1", "extendedValidation"),
    ("2.23.140.1.2.1", "domainValidated"),
    ("2.23.140.1.2.2", "organizationValidated"),
    ("2.23.140.1.2.3", "individualValidated"),
    ("2.23.140.2.1", "tcgPlatformCertificate"),
    ("2.23.140.3.1", "cabfOrganizationIdentifier"),
    ("2.5.29.14", "subjectKeyIdentifier"),
    ("2.5.29.15", "keyUsage"),
    ("2.5.29.16", "privateKeyUsagePeriod"),
    ("2.5.29.17", "subjectAltName"),
    ("2.5.29.18", "issuerAltName"),
    ("2.5.29.19", "basicConstraints"),
    ("2.5.29.20", "cRLNumber"),
    ("2.5.29.21", "reasonCode"),
    ("2.5.29.23", "holdInstructionCode"),
    ("2.5.29.24", "invalidityDate"),
    ("2.5.29.27", "deltaCRLIndicator"),
    ("2.5.29.28", "issuingDistributionPoint"),
    ("2.5.29.29", "certificateIssuer"),
    ("2.5.29.30", "nameConstraints"),
    ("2.5.29.31", "cRLDistributionPoints"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.32.0", "anyPolicy"),
    ("2.5.29.33", "policyMappings"),
    ("2.5.29.35", "authorityKeyIdentifier"),
    ("2.5.29.36", "policyConstraints"),
    ("2.5.29.37", "extKeyUsage"),
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
    ("2.5.29.46", "freshestCRL"),
    ("2.5.29.54", "inhibitAnyPolicy"),
    ("2.5.29.55", "targetInformation"),
    ("2.5.29.60", "expiredCertsOnCRL"),
    ("2.5.29.9", "subjectDirectoryAttributes"),
    ("2.5.4.10", "organizationName"),
    ("2.5.4.11", "organizationalUnitName"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.3", "commonName"),
    ("2.5.4.4", "surname"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "givenName"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "countryName"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.7", "localityName"),
    ("2.5.4.8", "stateOrProvinceName"),
    ("2.5.4.9", "streetAddress"),
    ("2.5.4.97", "organizationIdentifier"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_each_identifier_once() {
        for pair in NAMES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (oid, name) in NAMES {
            assert!(
                oid.bytes()
                    .all(|octet| octet.is_ascii_digit() || octet == b'.'),
                "{oid}"
            );
            assert!(!name.is_empty(), "{oid}");
        }
    }

    #[test]
    fn an_identifier_without_a_name_is_its_number() {
        assert_eq!(
            NamedOid("2.5.29.17").to_string(),
            "subjectAltName (2.5.29.17)"
        );
        assert_eq!(NamedOid("1.2.3").to_string(), "1.2.3");
        assert_eq!(NamedOid("1\n2").to_string(), "1\\u{a}2");
    }
}
