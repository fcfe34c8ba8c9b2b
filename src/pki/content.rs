//! What a file or a PEM block contains, by its structure. For messages and for labels that are wrong.

use std::fmt;

use super::der::{self, NotDer, Reader};

/// What a file or a PEM block contains, as its structure shows.
///
/// `Display` is its name in messages.
///
/// ```
/// use countersign::Credentials;
/// use countersign::pki::{ContentKind, CredentialsError, PemError};
/// use countersign::testing::TestCa;
///
/// let issued = TestCa::new("Root").leaf().issue();
/// let der = issued.certificate().der().to_vec();
/// let error = Credentials::from_pem(der, issued.key_pem()).unwrap_err();
/// let CredentialsError::Pem(PemError::NotPem { found, .. }) = error else {
///     panic!("{error}");
/// };
/// assert_eq!(found, ContentKind::Certificate);
/// assert_eq!(found.to_string(), "a certificate in DER");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentKind {
    /// An X.509 certificate.
    Certificate,
    /// A certificate with the trust settings of OpenSSL after it.
    TrustedCertificate,
    /// A certificate signing request (PKCS#10).
    CertificateRequest,
    /// A certificate revocation list.
    Crl,
    /// A PKCS#7 message, such as a bundle of certificates (`.p7b`).
    Pkcs7,
    /// A PKCS#12 archive (`.p12`, `.pfx`).
    Pkcs12,
    /// A private key in PKCS#8.
    Pkcs8,
    /// An RSA private key in PKCS#1.
    Pkcs1,
    /// An elliptic curve private key in SEC1.
    Sec1,
    /// An encrypted private key in PKCS#8.
    EncryptedPkcs8,
    /// A public key (SubjectPublicKeyInfo).
    PublicKey,
    /// A keystore of Java (JKS or JCEKS).
    JavaKeyStore,
    /// A public key of OpenSSH, in one line.
    OpenSshPublicKey,
    /// A private key of PuTTY (`.ppk`).
    PuttyKey,
    /// Other data in DER.
    OtherDer,
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate in DER",
            Self::TrustedCertificate => "a certificate in DER with OpenSSL's trust settings",
            Self::CertificateRequest => "a certificate request (PKCS#10)",
            Self::Crl => "a CRL in DER",
            Self::Pkcs7 => "a PKCS#7 bundle",
            Self::Pkcs12 => "a PKCS#12 archive",
            Self::Pkcs8 => "a PKCS#8 private key in DER",
            Self::Pkcs1 => "a PKCS#1 private key in DER",
            Self::Sec1 => "a SEC1 private key in DER",
            Self::EncryptedPkcs8 => "an encrypted PKCS#8 private key in DER",
            Self::PublicKey => "a public key in DER",
            Self::JavaKeyStore => "a Java keystore (JKS)",
            Self::OpenSshPublicKey => "an OpenSSH public key",
            Self::PuttyKey => "a PuTTY private key",
            Self::OtherDer => "unknown data in DER",
        })
    }
}

/// The content of pkcs7's identifiers: 1.2.840.113549.1.7 and one more arc.
const PKCS7_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7];

impl ContentKind {
    /// What a file contains that has no PEM block. `None` when it is not recognized.
    pub(super) fn of_file(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Some(Self::JavaKeyStore),
            // The indefinite length of BER, which Windows and some HSMs write.
            [0x30, 0x80, 0x02, 0x01, 0x03, ..] => Some(Self::Pkcs12),
            [0x30, 0x80, 0x06, 0x09, arc @ ..] if arc.starts_with(PKCS7_ARC) => Some(Self::Pkcs7),
            [0x30, ..] => Some(Self::of_der(bytes).unwrap_or(Self::OtherDer)),
            _ if bytes.starts_with(b"PuTTY-User-Key-File-") => Some(Self::PuttyKey),
            _ if is_open_ssh_line(bytes) => Some(Self::OpenSshPublicKey),
            _ => None,
        }
    }

    /// What DER contains. `None` when it is not recognized.
    pub(super) fn of_der(bytes: &[u8]) -> Option<Self> {
        recognize(bytes).ok().flatten()
    }

    /// Whether it is a private key that is not encrypted.
    pub(super) const fn is_plain_key(self) -> bool {
        matches!(self, Self::Pkcs8 | Self::Pkcs1 | Self::Sec1)
    }
}

fn is_open_ssh_line(bytes: &[u8]) -> bool {
    [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"]
        .iter()
        .any(|start| bytes.starts_with(start))
}

fn recognize(bytes: &[u8]) -> Result<Option<ContentKind>, NotDer> {
    let mut file = Reader::new(bytes);
    let outer = file.expect(der::SEQUENCE)?;
    let rest = file.rest();
    let has_more = !rest.is_empty();
    let parts = parts(outer.content)?;
    let tags: Vec<u8> = parts.iter().map(|(tag, _)| *tag).collect();
    let first = parts.first().map_or(&[][..], |(_, content)| *content);
    let kind = match (&tags[..], first) {
        ([0x30, 0x30, 0x03], signed) => of_signed(&self::parts(signed)?),
        ([0x06, ..], oid) if oid.starts_with(PKCS7_ARC) => Some(ContentKind::Pkcs7),
        ([0x02, 0x30, ..], [3]) if tags.len() <= 3 => Some(ContentKind::Pkcs12),
        ([0x02, 0x30, 0x04, ..], [0 | 1]) => Some(ContentKind::Pkcs8),
        ([0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, ..], [0 | 1]) => {
            Some(ContentKind::Pkcs1)
        }
        ([0x02, 0x04, ..], [1]) => Some(ContentKind::Sec1),
        ([0x30, 0x04], _) => Some(ContentKind::EncryptedPkcs8),
        ([0x30, 0x03], _) => Some(ContentKind::PublicKey),
        _ => None,
    };
    Ok(match kind {
        // OpenSSL's trust settings are a SEQUENCE, too. Anything else after a certificate is no DER.
        Some(ContentKind::Certificate) if der::single(rest, der::SEQUENCE).is_ok() => {
            Some(ContentKind::TrustedCertificate)
        }
        Some(ContentKind::Certificate) => Some(ContentKind::Certificate),
        _ if has_more => None,
        kind => kind,
    })
}

/// A certificate, a CRL or a request, by the parts of what is signed.
fn of_signed(parts: &[(u8, &[u8])]) -> Option<ContentKind> {
    let mut tags: Vec<u8> = parts.iter().map(|(tag, _)| *tag).collect();
    if tags.first() == Some(&0xa0) {
        tags.remove(0); // the version of a certificate
    }
    match tags[..] {
        [0x02, 0x30, 0x30, 0x30, 0x30, 0x30, ..] => Some(ContentKind::Certificate),
        [0x02, 0x30, 0x30, 0xa0] | [0x02, 0x30, 0x30] => Some(ContentKind::CertificateRequest),
        [0x02, 0x30, 0x30, 0x17 | 0x18, ..] | [0x30, 0x30, 0x17 | 0x18, ..] => {
            Some(ContentKind::Crl)
        }
        _ => None,
    }
}

fn parts(content: &[u8]) -> Result<Vec<(u8, &[u8])>, NotDer> {
    /// More than any of these structures has.
    const MAX_PARTS: usize = 16;

    let mut reader = Reader::new(content);
    let mut parts = Vec::new();
    while !reader.is_empty() && parts.len() < MAX_PARTS {
        let part = reader.any()?;
        parts.push((part.tag, part.content));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    #[test]
    fn what_the_test_ca_makes_is_recognized() {
        let ca = TestCa::new("Root");
        let issued = ca.leaf().dns("a.example").issue();
        let certificate = issued.certificate();
        let certificate = certificate.der();
        let kind = ContentKind::of_file;
        assert_eq!(kind(certificate), Some(ContentKind::Certificate));
        let trusted = [&**certificate, &[0x30, 0]].concat();
        assert_eq!(kind(&trusted), Some(ContentKind::TrustedCertificate));
        let padded = [&**certificate, &[0; 4]].concat();
        assert_eq!(kind(&padded), Some(ContentKind::Certificate));
        assert_eq!(kind(&ca.crl().build()), Some(ContentKind::Crl));
        let spki = issued.certificate();
        assert_eq!(kind(spki.spki()), Some(ContentKind::PublicKey));
        assert_eq!(kind(&certificate[..40]), Some(ContentKind::OtherDer));
    }

    #[test]
    fn other_files_are_recognized_by_their_start() {
        let kind = ContentKind::of_file;
        assert_eq!(
            kind(b"\xfe\xed\xfe\xed\0\0"),
            Some(ContentKind::JavaKeyStore)
        );
        assert_eq!(kind(b"\x30\x80\x02\x01\x03"), Some(ContentKind::Pkcs12));
        assert_eq!(
            kind(b"ssh-ed25519 AAAA"),
            Some(ContentKind::OpenSshPublicKey)
        );
        assert_eq!(
            kind(b"PuTTY-User-Key-File-3: x"),
            Some(ContentKind::PuttyKey)
        );
        assert_eq!(kind(b"hello"), None);
        assert_eq!(kind(b""), None);
        assert_eq!(kind(b"\x30\x00"), Some(ContentKind::OtherDer));
    }

    #[test]
    fn no_prefix_of_a_structure_panics() {
        let issued = TestCa::new("Root").leaf().issue();
        let certificate = issued.certificate();
        for length in 0..certificate.der().len() {
            let kind = ContentKind::of_file(&certificate.der()[..length]);
            assert_ne!(kind, Some(ContentKind::Certificate), "{length} octets");
        }
    }
}
