use super::crl::CrlBuilder;
use super::der;
use super::key::{Key, KeyType, KeyUsageBits};
use super::leaf::LeafBuilder;
use super::tbs::{self, DAY, Tbs, YEAR};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::sync::Arc;

/// A certificate authority in memory.
///
/// Clones are cheap and share the authority.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let root = TestCa::new("Root");
/// let issuing = root.intermediate("Issuing");
/// let server = issuing.leaf().dns("orders.example").issue();
/// assert_eq!(server.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);
/// let (credentials, trust) = (server.credentials(), root.trust());
/// # let _ = (credentials, trust);
/// ```
#[doc(alias = "test certificate authority")]
#[derive(Clone)]
pub struct TestCa(Arc<Inner>);

struct Inner {
    profile: TestCaBuilder,
    subject: Vec<u8>,
    key: Key,
    certificate: CertificateDer<'static>,
    /// The authority itself first, without the root. Empty for a root.
    chain: Vec<CertificateDer<'static>>,
}

impl TestCa {
    /// A root with a P-256 key. Its certificate is v3, has `CA:TRUE`, the key usages keyCertSign and
    /// cRLSign (both extensions critical) and a subject key identifier, and is valid from a day ago for ten
    /// years.
    pub fn new(common_name: &str) -> Self {
        Self::builder(common_name).root()
    }

    /// Settings of an authority that differs from [`new`](Self::new).
    pub fn builder(common_name: &str) -> TestCaBuilder {
        TestCaBuilder {
            common_name: common_name.to_owned(),
            key: KeyType::default(),
            validity: None,
            key_usage: Some(KeyUsageBits::KEY_CERT_SIGN | KeyUsageBits::CRL_SIGN),
            basic_constraints: true,
            path_len: None,
            extended_key_usage: None,
            extensions: Vec::new(),
            version: 3,
            map_tbs: None,
        }
    }

    /// An authority below this one with a key of the same type. Its certificate also has an authority key
    /// identifier; the rest is as in [`new`](Self::new).
    pub fn intermediate(&self, common_name: &str) -> Self {
        Self::builder(common_name)
            .key(self.key().kind())
            .signed_by(self)
    }

    /// An impostor: a root with the subject and settings of this authority and another key.
    pub fn same_name_other_key(&self) -> Self {
        self.0.profile.clone().root()
    }

    /// The same authority (name and key) with another certificate, issued by `issuer`. A certificate of
    /// either verifies with both; only the chain differs.
    pub fn cross_signed_by(&self, issuer: &Self) -> Self {
        let profile = self.0.profile.clone();
        profile.certify(self.key().clone(), Some(issuer))
    }

    /// The same root (name and key) with a certificate of another validity.
    pub fn renewed(&self, not_before: UnixTime, not_after: UnixTime) -> Self {
        let profile = self.0.profile.clone().validity(not_before, not_after);
        profile.certify(self.key().clone(), None)
    }

    /// Starts a certificate issued by this authority.
    pub fn leaf(&self) -> LeafBuilder {
        LeafBuilder::new(self.clone())
    }

    /// Starts a revocation list of this authority.
    pub fn crl(&self) -> CrlBuilder {
        CrlBuilder::new(self.clone())
    }

    /// The authority's own certificate.
    pub fn certificate_der(&self) -> CertificateDer<'static> {
        self.0.certificate.clone()
    }

    /// The authority's own certificate as PEM.
    pub fn pem(&self) -> String {
        tbs::pem(std::slice::from_ref(&self.0.certificate))
    }

    /// The certificates from this authority's own up to the root, without the root. Empty for a root.
    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        self.0.chain.clone()
    }

    /// The DER of this authority's subject, a `Name`.
    pub fn subject_der(&self) -> &[u8] {
        &self.0.subject
    }

    pub(super) fn key(&self) -> &Key {
        &self.0.key
    }
}

impl fmt::Debug for TestCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCa")
            .field("common_name", &self.0.profile.common_name)
            .field("key", &self.key().kind())
            .field("is_root", &self.0.chain.is_empty())
            .finish_non_exhaustive()
    }
}

/// The settings of a [`TestCa`]. [`TestCa::builder`] returns them.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let root = TestCa::new("Root");
/// let issuing = TestCa::builder("Issuing").path_len(Some(0)).signed_by(&root);
/// assert_eq!(issuing.chain_der().len(), 1);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `root` or `signed_by`"]
pub struct TestCaBuilder {
    common_name: String,
    key: KeyType,
    validity: Option<(UnixTime, UnixTime)>,
    key_usage: Option<KeyUsageBits>,
    basic_constraints: bool,
    path_len: Option<u8>,
    extended_key_usage: Option<Vec<String>>,
    extensions: Vec<Vec<u8>>,
    version: u8,
    map_tbs: Option<fn(Vec<u8>) -> Vec<u8>>,
}

impl TestCaBuilder {
    /// Sets the type of the key. Default: [`KeyType::P256`].
    pub fn key(mut self, key: KeyType) -> Self {
        self.key = key;
        self
    }

    /// Sets the validity, both ends included. Default: from a day ago for ten years.
    pub fn validity(mut self, not_before: UnixTime, not_after: UnixTime) -> Self {
        self.validity = Some((not_before, not_after));
        self
    }

    /// Sets the key usages; `None` omits the extension. Default: keyCertSign and cRLSign.
    pub fn key_usage(mut self, bits: Option<KeyUsageBits>) -> Self {
        self.key_usage = bits;
        self
    }

    /// Sets how many intermediates may be below this one; `None` allows any number. Default: `None`.
    pub fn path_len(mut self, len: Option<u8>) -> Self {
        self.path_len = len;
        self
    }

    /// Omits the basic constraints. By RFC 5280 the certificate is then not an authority's.
    pub fn no_basic_constraints(mut self) -> Self {
        self.basic_constraints = false;
        self
    }

    /// Adds extended key usages, which limit those of the certificates below.
    pub fn extended_key_usage(mut self, oids: &[&str]) -> Self {
        self.extended_key_usage = Some(oids.iter().map(|&oid| oid.to_owned()).collect());
        self
    }

    /// Adds critical name constraints; `der` is the whole `NameConstraints` value.
    pub fn name_constraints(self, der: &[u8]) -> Self {
        self.extension("2.5.29.30", true, der)
    }

    /// Adds critical name constraints of permitted and excluded subtrees; each is a GeneralName as
    /// [`der::tlv`](super::der::tlv) makes it, such as `tlv(0x82, "example.org")` for a dNSName.
    pub fn constrain_names(self, permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Self {
        let subtrees = |tag, names: &[Vec<u8>]| {
            let subtrees: Vec<Vec<u8>> = names.iter().map(|name| der::sequence(&[name])).collect();
            if subtrees.is_empty() {
                Vec::new()
            } else {
                der::tlv(tag, subtrees.concat())
            }
        };
        let both = [subtrees(0xa0, permitted), subtrees(0xa1, excluded)];
        self.name_constraints(&der::sequence(&both))
    }

    /// Adds a critical certificatePolicies with these dotted object identifiers.
    ///
    /// # Panics
    /// If one is not an object identifier.
    pub fn policies(self, oids: &[&str]) -> Self {
        self.extension("2.5.29.32", true, &der::policies(oids))
    }

    /// Adds a critical policyMappings from policies of the issuer to those of the subject.
    ///
    /// # Panics
    /// If one is not an object identifier.
    pub fn map_policies(self, mappings: &[(&str, &str)]) -> Self {
        let pairs: Vec<Vec<u8>> = mappings
            .iter()
            .map(|(from, to)| der::sequence(&[der::oid(from), der::oid(to)]))
            .collect();
        self.extension("2.5.29.33", true, &der::sequence(&pairs))
    }

    /// Adds a critical policyConstraints: after how many certificates a policy is required, and
    /// mappings are inhibited.
    pub fn policy_constraints(self, explicit: Option<u8>, mapping: Option<u8>) -> Self {
        let field = |tag, skip: Option<u8>| skip.map_or_else(Vec::new, |it| der::tlv(tag, [it]));
        let both = [field(0x80, explicit), field(0x81, mapping)];
        self.extension("2.5.29.36", true, &der::sequence(&both))
    }

    /// Adds a critical inhibitAnyPolicy: after how many certificates anyPolicy no longer counts.
    pub fn inhibit_any_policy(self, skip: u8) -> Self {
        self.extension("2.5.29.54", true, &der::integer(skip.into()))
    }

    /// Appends an extension, also if one with the same OID exists.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn extension(mut self, oid: &str, critical: bool, der: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, der));
        self
    }

    /// Sets the X.509 version, 1 or 3. Default: 3. A v1 certificate has only the extensions added with
    /// [`extension`](Self::extension) or [`name_constraints`](Self::name_constraints).
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Edits the TBSCertificate before it is signed. The last call counts.
    pub fn map_tbs(mut self, edit: fn(Vec<u8>) -> Vec<u8>) -> Self {
        self.map_tbs = Some(edit);
        self
    }

    /// Makes a self-signed root.
    ///
    /// # Panics
    /// As [`signed_by`](Self::signed_by).
    pub fn root(self) -> TestCa {
        self.build(None)
    }

    /// Makes an intermediate authority under `issuer`.
    ///
    /// # Panics
    /// If the provider cannot make such a key (see [`KeyType`]), if an OID of the extended key usages is
    /// invalid, or if the version is 0.
    pub fn signed_by(self, issuer: &TestCa) -> TestCa {
        self.build(Some(issuer))
    }

    fn build(self, issuer: Option<&TestCa>) -> TestCa {
        let key = Key::generate(self.key);
        self.certify(key, issuer)
    }

    fn certify(self, key: Key, issuer: Option<&TestCa>) -> TestCa {
        let subject = der::common_name(&self.common_name);
        let signer = issuer.map_or(&key, |issuer| issuer.key());
        let mut tbs = Tbs {
            version: self.version,
            serial: tbs::random_serial(),
            algorithm: signer.signature_algorithm(),
            issuer: issuer.map_or_else(|| subject.clone(), |issuer| issuer.0.subject.clone()),
            validity: self
                .validity
                .unwrap_or_else(|| (tbs::from_now(-DAY), tbs::from_now(10 * YEAR))),
            subject: subject.clone(),
            spki: key.spki(),
            extensions: self.extensions(&key.id(), issuer.map(|issuer| issuer.key().id())),
        }
        .encode();
        if let Some(edit) = self.map_tbs {
            tbs = edit(tbs);
        }
        let signature = signer.sign(&tbs);
        let certificate =
            CertificateDer::from(tbs::signed(tbs, signer.signature_algorithm(), signature));
        let chain = issuer.map_or_else(Vec::new, |issuer| {
            let mut chain = vec![certificate.clone()];
            chain.extend(issuer.chain_der());
            chain
        });
        TestCa(Arc::new(Inner {
            profile: self,
            subject,
            key,
            certificate,
            chain,
        }))
    }

    fn extensions(&self, id: &[u8], issuer_id: Option<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.version != 1 {
            if self.basic_constraints {
                out.push(tbs::basic_constraints(true, self.path_len));
            }
            if let Some(bits) = self.key_usage {
                out.push(der::extension("2.5.29.15", true, &bits.to_der()));
            }
            if let Some(oids) = &self.extended_key_usage {
                out.push(tbs::extended_key_usage(oids));
            }
            out.push(der::extension("2.5.29.14", false, &der::octet_string(id)));
            if let Some(id) = issuer_id {
                out.push(tbs::authority_key_id(&id));
            }
        }
        out.extend_from_slice(&self.extensions);
        out
    }
}
