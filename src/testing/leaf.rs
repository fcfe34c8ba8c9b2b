use super::ca::TestCa;
use super::der;
use super::issued::Issued;
use super::key::{Key, KeyType, KeyUsageBits};
use super::tbs::{self, DAY, HOUR, Tbs, YEAR};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::fmt;

/// Extended key usage of TLS servers.
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
/// Extended key usage of TLS clients.
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

type MapTbs = Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>;

/// Makes a valid or hostile certificate of a peer. [`TestCa::leaf`] returns it.
///
/// By default it is a v3 certificate with a P-256 key, an empty subject and no names, for TLS clients and
/// servers, valid from a day ago for a year.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let ca = TestCa::new("Root");
/// let client = ca.leaf().spiffe("spiffe://example.org/ns/billing").client_only().issue();
/// let expired = ca.leaf().dns("old.example").expired().issue();
/// # let _ = (client, expired);
/// ```
#[doc(alias = "client certificate")]
#[must_use = "a builder does nothing until `issue` or `self_signed`"]
pub struct LeafBuilder {
    ca: TestCa,
    /// The RDNs, each encoded.
    pub(super) subject: Vec<Vec<u8>>,
    pub(super) subject_der: Option<Vec<u8>>,
    /// The subject alternative names, each encoded.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) san_critical: Option<bool>,
    pub(super) san_der: Option<Vec<u8>>,
    key_usage: Option<KeyUsageBits>,
    extended_key_usage: Option<Vec<String>>,
    basic_constraints: Option<bool>,
    extensions: Vec<Vec<u8>>,
    without_extensions: bool,
    authority_key_id: Option<Option<Vec<u8>>>,
    version: u8,
    validity: Option<(UnixTime, UnixTime)>,
    serial: Option<Vec<u8>>,
    key: KeyType,
    spki: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    signature_algorithm: Option<Vec<u8>>,
    map_tbs: Option<MapTbs>,
}

impl LeafBuilder {
    pub(super) fn new(ca: TestCa) -> Self {
        Self {
            ca,
            subject: Vec::new(),
            subject_der: None,
            names: Vec::new(),
            san_critical: None,
            san_der: None,
            key_usage: Some(KeyUsageBits::DIGITAL_SIGNATURE),
            extended_key_usage: Some(vec![SERVER_AUTH.to_owned(), CLIENT_AUTH.to_owned()]),
            basic_constraints: Some(false),
            extensions: Vec::new(),
            without_extensions: false,
            authority_key_id: None,
            version: 3,
            validity: None,
            serial: None,
            key: KeyType::default(),
            spki: None,
            signature: None,
            signature_algorithm: None,
            map_tbs: None,
        }
    }

    /// Sets the key usages; `None` omits the extension. Default: digitalSignature.
    pub fn key_usage(mut self, bits: Option<KeyUsageBits>) -> Self {
        self.key_usage = bits;
        self
    }

    /// Sets the extended key usages; `None` omits the extension. Default: server and client
    /// authentication.
    pub fn extended_key_usage(mut self, oids: Option<&[&str]>) -> Self {
        self.extended_key_usage = oids.map(|oids| oids.iter().map(|&id| id.to_owned()).collect());
        self
    }

    /// For TLS clients only.
    pub fn client_only(self) -> Self {
        self.extended_key_usage(Some(&[CLIENT_AUTH]))
    }

    /// For TLS servers only.
    pub fn server_only(self) -> Self {
        self.extended_key_usage(Some(&[SERVER_AUTH]))
    }

    /// Sets the basic constraints; `None` omits the extension. Default: `CA:FALSE`.
    pub fn basic_constraints(mut self, ca: Option<bool>) -> Self {
        self.basic_constraints = ca;
        self
    }

    /// Makes it an authority's certificate: `CA:TRUE` with keyCertSign.
    pub fn ca(self) -> Self {
        self.basic_constraints(Some(true))
            .key_usage(Some(KeyUsageBits::KEY_CERT_SIGN))
    }

    /// Appends an extension, also if one with the same OID exists.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn extension(mut self, oid: &str, critical: bool, der: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, der));
        self
    }

    /// Adds a critical certificatePolicies with these dotted object identifiers.
    ///
    /// # Panics
    /// If one is not an object identifier.
    pub fn policies(self, oids: &[&str]) -> Self {
        self.extension("2.5.29.32", true, &der::policies(oids))
    }

    /// Omits every extension, also those added by other calls.
    pub fn without_extensions(mut self) -> Self {
        self.without_extensions = true;
        self
    }

    /// Sets the keyIdentifier of the authorityKeyIdentifier; `None` omits the extension. Default: that of
    /// the authority.
    pub fn authority_key_id(mut self, id: Option<&[u8]>) -> Self {
        self.authority_key_id = Some(id.map(<[u8]>::to_vec));
        self
    }

    /// Sets the X.509 version. Default: 3. A v1 certificate has only the extensions added with
    /// [`extension`](Self::extension), which make it malformed.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Sets the validity, both ends included. Default: from a day ago for a year.
    pub fn validity(mut self, not_before: UnixTime, not_after: UnixTime) -> Self {
        self.validity = Some((not_before, not_after));
        self
    }

    /// Makes it valid from twelve hours ago until an hour ago.
    pub fn expired(self) -> Self {
        self.validity(tbs::from_now(-12 * HOUR), tbs::from_now(-HOUR))
    }

    /// Makes it valid for a day that begins in an hour.
    pub fn not_yet_valid(self) -> Self {
        self.validity(tbs::from_now(HOUR), tbs::from_now(HOUR + DAY))
    }

    /// Sets the content octets of the serial number without checks, so that it may be negative, zero, too
    /// long or empty. Default: 16 random octets of a positive number.
    pub fn serial(mut self, content: &[u8]) -> Self {
        self.serial = Some(content.to_vec());
        self
    }

    /// Sets the type of the key. Default: [`KeyType::P256`].
    pub fn key(mut self, key: KeyType) -> Self {
        self.key = key;
        self
    }

    /// Replaces the SubjectPublicKeyInfo. The private key does not belong to it then.
    /// [`oversized_rsa_spki`](super::oversized_rsa_spki) makes one.
    pub fn spki_der(mut self, der: Vec<u8>) -> Self {
        self.spki = Some(der);
        self
    }

    /// Replaces the signature, which makes the certificate forged.
    pub fn signature(mut self, signature: Vec<u8>) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Replaces the signature's AlgorithmIdentifier in both places.
    pub fn signature_algorithm_der(mut self, der: Vec<u8>) -> Self {
        self.signature_algorithm = Some(der);
        self
    }

    /// Edits the TBSCertificate before it is signed. The last call counts.
    pub fn map_tbs(mut self, edit: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static) -> Self {
        self.map_tbs = Some(Box::new(edit));
        self
    }

    /// Issues the certificate with the authority's key.
    ///
    /// # Panics
    /// If the provider cannot make such a key (see [`KeyType`]), if an OID of the extended key usages is
    /// invalid, or if the version is 0.
    pub fn issue(self) -> Issued {
        let ca = self.ca.clone();
        let key = Key::generate(self.key);
        let extensions = self.all_extensions(Some(&ca.key().id()));
        let mut issued = self.sign(&key, ca.key(), Some(ca.subject_der()), extensions);
        issued.chain.extend(ca.chain_der());
        issued
    }

    /// Signs the certificate with its own key. The issuer is the subject.
    ///
    /// # Panics
    /// As [`issue`](Self::issue).
    pub fn self_signed(self) -> Issued {
        let key = Key::generate(self.key);
        let extensions = self.all_extensions(None);
        self.sign(&key, &key, None, extensions)
    }

    fn sign(
        self,
        key: &Key,
        signer: &Key,
        issuer: Option<&[u8]>,
        extensions: Vec<Vec<u8>>,
    ) -> Issued {
        let subject = self.encoded_subject();
        let algorithm = self
            .signature_algorithm
            .unwrap_or_else(|| signer.signature_algorithm());
        let serial = self.serial.unwrap_or_else(tbs::random_serial);
        let mut tbs = Tbs {
            version: self.version,
            serial: serial.clone(),
            algorithm: algorithm.clone(),
            issuer: issuer.map_or_else(|| subject.clone(), <[u8]>::to_vec),
            validity: self
                .validity
                .unwrap_or_else(|| (tbs::from_now(-DAY), tbs::from_now(YEAR))),
            subject,
            spki: self.spki.unwrap_or_else(|| key.spki()),
            extensions,
        }
        .encode();
        if let Some(edit) = self.map_tbs {
            tbs = edit(tbs);
        }
        let signature = self.signature.unwrap_or_else(|| signer.sign(&tbs));
        let leaf = CertificateDer::from(tbs::signed(tbs, algorithm, signature));
        Issued {
            chain: vec![leaf],
            key: key.pkcs8(),
            serial,
        }
    }

    fn all_extensions(&self, issuer_id: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.without_extensions {
            return out;
        }
        if self.version != 1 {
            out.extend(
                self.basic_constraints
                    .map(|ca| tbs::basic_constraints(ca, None)),
            );
            if let Some(bits) = self.key_usage {
                out.push(der::extension("2.5.29.15", true, &bits.to_der()));
            }
            if let Some(oids) = &self.extended_key_usage {
                out.push(tbs::extended_key_usage(oids));
            }
            out.extend(self.encoded_san());
            let issuer_id = match &self.authority_key_id {
                Some(chosen) => chosen.as_deref(),
                None => issuer_id,
            };
            out.extend(issuer_id.map(tbs::authority_key_id));
        }
        out.extend_from_slice(&self.extensions);
        out
    }
}

impl fmt::Debug for LeafBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafBuilder")
            .field("ca", &self.ca)
            .field("key", &self.key)
            .field("names", &self.names.len())
            .finish_non_exhaustive()
    }
}
