//! The names of signature algorithms that CRLs are signed with and that no provider supports.

use crate::pki::der::{self, NotDer, Reader};

/// Algorithms by their object identifier.
const NAMES: [(&str, &str); 14] = [
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption (MD2)"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption (MD5)"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption (SHA-1)"),
    ("1.3.14.3.2.29", "sha1WithRSA (SHA-1)"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption (SHA-224)"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS with these parameters"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1 (SHA-1)"),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-SHA256 (DSA)"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1 (SHA-1)"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224 (SHA-224)"),
    ("1.3.101.113", "Ed448"),
    (
        "1.2.840.113549.1.1.11",
        "sha256WithRSAEncryption without NULL",
    ),
    (
        "1.2.840.113549.1.1.12",
        "sha384WithRSAEncryption without NULL",
    ),
    (
        "1.2.840.113549.1.1.13",
        "sha512WithRSAEncryption without NULL",
    ),
];

/// The name of the algorithm in the content of an `AlgorithmIdentifier`, or its object identifier.
pub(super) fn name(algorithm: &[u8]) -> String {
    let oid = |content| -> Result<String, NotDer> {
        der::oid_to_string(Reader::new(content).expect(der::OBJECT_IDENTIFIER)?.content)
    };
    let Ok(oid) = oid(algorithm) else {
        return "an algorithm that cannot be read".to_owned();
    };
    let known = NAMES.iter().find(|(known, _)| *known == oid);
    known.map_or(oid, |(_, name)| (*name).to_owned())
}
