//! The trust store: roots, pins and extra intermediates.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::choices::{Choices, MAX_CLOCK_TOLERANCE};
use super::error::{PathError, TrustError};
use super::revocation::Issuer;
use super::{CertificatePolicies, EkuPolicy, NameMatching, TrustBundles, files};
use crate::diagnostic::Diagnostic;
use crate::pki::name_matching::ComparableName;
use crate::pki::pem::{Origin, read_blocks};
use crate::pki::{Certificate, DistinguishedName, Fingerprint, PemError, der, extension_oid};

/// The trusted roots, the pinned certificates and keys, and extra intermediates.
///
/// ```no_run
/// use countersign::TrustStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // All peers with a certificate of our CA, and one partner with a self-signed certificate.
/// let trust = TrustStore::from_pem_file("clients-ca.crt")?.pin_pem_file("partner.crt")?;
/// # Ok(())
/// # }
/// ```
///
/// Every root is trusted for every identity. With [`by_trust_domain`](Self::by_trust_domain), a root is
/// trusted only for its own SPIFFE trust domain. A certificate that cannot be parsed is an error that
/// names the file and the block; none is skipped.
#[derive(Clone, Default)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    /// More about each anchor, by the same index.
    roots: Vec<Root>,
    pinned_certificates: HashSet<Fingerprint>,
    pinned_keys: HashSet<Fingerprint>,
    intermediates: Vec<Certificate>,
    index: Box<Index>,
    choices: Arc<Choices>,
}

/// The positions of anchors and intermediates in their lists.
#[derive(Clone, Default)]
struct Index {
    /// By [`root_id`], so that each is kept once.
    anchors: HashMap<Fingerprint, usize>,
    anchors_by_name: HashMap<DistinguishedName, Vec<usize>>,
    intermediates_by_name: HashMap<DistinguishedName, Vec<usize>>,
    /// Of anchors, under [`NameMatching::Rfc5280`] only.
    anchors_by_text: HashMap<ComparableName, Vec<usize>>,
    /// Of intermediates, under [`NameMatching::Rfc5280`] only.
    intermediates_by_text: HashMap<ComparableName, Vec<usize>>,
}

/// A trust anchor as the issuer of certificates and CRLs.
#[derive(Clone)]
pub(crate) struct Root {
    /// `None` if it is not DER, which rustls-webpki does not check.
    pub(crate) name: Option<DistinguishedName>,
    pub(crate) spki: Box<[u8]>,
    spki_sha256: Fingerprint,
    /// `None` for an anchor that was loaded without its certificate.
    pub(crate) certificate: Option<Certificate>,
    /// Further certificates of the same anchor, such as a renewed one.
    pub(super) others: Vec<Certificate>,
    id: Fingerprint,
}

impl TrustStore {
    /// One set of roots for each SPIFFE trust domain, instead of one set for all peers.
    pub fn by_trust_domain() -> TrustBundles {
        TrustBundles::default()
    }

    /// A store without roots and pins, to add pins to. Builders reject an empty store.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads root certificates from a PEM file with one or more CERTIFICATE blocks.
    ///
    /// # Errors
    /// [`TrustError`] names the file and block: one that is not a certificate, is cut off, or
    /// is not allowed to be an issuer (see [`from_der`](Self::from_der)).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let mut store = Self::empty();
        store.add_pem_file(path.as_ref())?;
        Ok(store)
    }

    /// Reads root certificates from every `*.pem`, `*.crt` and `*.cer` file of a folder, symlinks
    /// followed. Other names, hidden files and subfolders are ignored.
    ///
    /// # Errors
    /// [`TrustError`] as for [`from_pem_file`](Self::from_pem_file), for the first bad file; and
    /// when the folder has no such file.
    pub fn from_pem_dir(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let folder = path.as_ref();
        let mut store = Self::empty();
        let files =
            files::named(folder, &["pem", "crt", "cer"]).map_err(|source| PemError::Io {
                file: folder.to_path_buf(),
                source,
            })?;
        if files.is_empty() {
            return Err(TrustError::EmptyFolder {
                folder: folder.to_path_buf(),
            });
        }
        for file in files {
            store.add_pem_file(&file)?;
        }
        Ok(store)
    }

    /// Reads root certificates from PEM in memory.
    ///
    /// # Errors
    /// [`TrustError`] as for [`from_pem_file`](Self::from_pem_file).
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, TrustError> {
        let mut store = Self::empty();
        store.add_pem(pem.as_ref(), &Origin::Bytes)?;
        Ok(store)
    }

    /// Takes root certificates in DER.
    ///
    /// # Errors
    /// [`TrustError`]: not a certificate; one with a keyUsage that lacks keyCertSign, or whose
    /// basicConstraints declare that it is not a CA (pin such a certificate instead); or an RSA key over
    /// 8,192 bits.
    pub fn from_der<'a>(
        roots: impl IntoIterator<Item = CertificateDer<'a>>,
    ) -> Result<Self, TrustError> {
        let mut store = Self::empty();
        for (number, root) in (1..).zip(roots) {
            store.add_root(&root, &format!("root {number}"))?;
        }
        Ok(store)
    }

    /// Takes the trust anchors of a rustls store.
    pub fn from_root_store(roots: RootCertStore) -> Self {
        let mut store = Self::empty();
        for anchor in roots.roots {
            store.add_anchor(anchor, None);
        }
        store
    }

    /// The root certificates of Mozilla's programme, as compiled into the `webpki-roots` crate:
    /// for clients of public servers.
    ///
    /// # Security
    /// Do not use it to verify *clients* without a policy that names them: any of about a hundred
    /// organisations can issue a certificate that is accepted.
    #[cfg(feature = "webpki-roots")]
    pub fn webpki_roots() -> Self {
        let mut store = Self::empty();
        for anchor in webpki_roots::TLS_SERVER_ROOTS {
            store.add_anchor(anchor.to_owned(), None);
        }
        store
    }

    /// Adds the roots, pins and intermediates of `other`. The options of `self` remain, for all of them:
    /// name matching, clock tolerance, policies, extended key usage.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (anchor, root) in other.anchors.into_iter().zip(other.roots) {
            for certificate in root.others {
                self.add_anchor(anchor.clone(), Some(certificate));
            }
            self.add_anchor(anchor, root.certificate);
        }
        self.pinned_certificates.extend(other.pinned_certificates);
        self.pinned_keys.extend(other.pinned_keys);
        for intermediate in other.intermediates {
            self = self.with_intermediate(intermediate);
        }
        self
    }

    /// Trusts exactly this certificate, self-signed or not, independent of its issuer.
    ///
    /// It must be within its validity, and allow its use. A pin replaces the chain: the certificate may be
    /// a CA certificate, which `openssl req -x509` makes.
    #[must_use]
    pub fn pin(mut self, certificate: &Certificate) -> Self {
        self.pinned_certificates.insert(certificate.sha256());
        self
    }

    /// Trusts exactly the certificates in a PEM file, as [`pin`](Self::pin) does.
    ///
    /// # Errors
    /// [`TrustError`] as for [`from_pem_file`](Self::from_pem_file).
    pub fn pin_pem_file(mut self, path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let (origin, pem) = Origin::read(path.as_ref())?;
        for (certificate, place) in read_certificates(&pem, &origin)? {
            // webpki cannot verify the key of such a certificate: report it now, not in each handshake.
            if certificate.version() < 3 {
                return Err(TrustError::Version1 { place, certificate });
            }
            self = self.pin(&certificate);
        }
        Ok(self)
    }

    /// Trusts the owner of the key with this SHA-256 over its SubjectPublicKeyInfo
    /// ([`Certificate::spki_sha256`]), with any certificate for the key.
    ///
    /// # Security
    /// The owner of a pinned key can make a certificate with any name: no authority verifies the names.
    /// Identify such peers by their key, or check
    /// [`VerifiedChain::anchor`](super::VerifiedChain::anchor) in the policy.
    #[must_use]
    pub fn pin_spki(mut self, fingerprint: Fingerprint) -> Self {
        self.pinned_keys.insert(fingerprint);
        self
    }

    /// Adds an intermediate for peers that send only their leaf. This does not make it trusted.
    #[must_use]
    pub fn with_intermediate(mut self, certificate: Certificate) -> Self {
        let named = self
            .index
            .intermediates_by_name
            .entry(certificate.subject().clone());
        named.or_default().push(self.intermediates.len());
        if self.choices.names == NameMatching::Rfc5280 {
            let name = ComparableName::of(certificate.subject());
            let named = self.index.intermediates_by_text.entry(name);
            named.or_default().push(self.intermediates.len());
        }
        self.intermediates.push(certificate);
        self
    }

    /// Adds the intermediates of a PEM file, as [`with_intermediate`](Self::with_intermediate).
    ///
    /// # Errors
    /// [`TrustError`] as for [`from_pem_file`](Self::from_pem_file).
    pub fn with_intermediates_pem_file(
        mut self,
        path: impl AsRef<Path>,
    ) -> Result<Self, TrustError> {
        let (origin, pem) = Origin::read(path.as_ref())?;
        for (certificate, place) in read_certificates(&pem, &origin)? {
            check_may_issue(&certificate, &place)?;
            self = self.with_intermediate(certificate);
        }
        Ok(self)
    }

    /// Sets how the names of issuers are compared. Default: [`NameMatching::Exact`].
    #[must_use]
    pub fn name_matching(mut self, rule: NameMatching) -> Self {
        self.edit_choices(|choices| choices.names = rule);
        let index = &mut self.index;
        index.anchors_by_text.clear();
        index.intermediates_by_text.clear();
        if rule == NameMatching::Rfc5280 {
            let roots = self.roots.iter().map(|root| root.name.as_ref());
            for (place, name) in roots.enumerate() {
                if let Some(name) = name {
                    let named = index.anchors_by_text.entry(ComparableName::of(name));
                    named.or_default().push(place);
                }
            }
            for (place, certificate) in self.intermediates.iter().enumerate() {
                let name = ComparableName::of(certificate.subject());
                let named = index.intermediates_by_text.entry(name);
                named.or_default().push(place);
            }
        }
        self
    }

    /// Sets the requirement for extended key usages of the peers that this store is for, instead of the
    /// one of the builder or of the [`ChainVerifier`](super::ChainVerifier).
    #[must_use]
    pub fn extended_key_usage(mut self, rule: EkuPolicy) -> Self {
        self.edit_choices(|choices| choices.extended_key_usage = Some(rule));
        self
    }

    /// Sets by how much the notBefore of a certificate may be ahead of our clock, for new certificates of
    /// an issuer whose clock is slightly fast. Default: zero. At most 5 minutes: more counts as 5 minutes.
    /// Fractions of a second are ignored. For CRLs, see
    /// [`Revocation::clock_tolerance`](super::Revocation::clock_tolerance).
    #[must_use]
    pub fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        let tolerance = tolerance.min(MAX_CLOCK_TOLERANCE);
        self.edit_choices(|choices| choices.clock_tolerance = tolerance);
        self
    }

    /// Sets the certificate policies that a path must be valid for. Default:
    /// [`CertificatePolicies::any`].
    #[must_use]
    pub fn certificate_policies(mut self, policies: CertificatePolicies) -> Self {
        self.edit_choices(|choices| choices.policies = policies);
        self
    }

    fn edit_choices(&mut self, edit: impl FnOnce(&mut Choices)) {
        edit(Arc::make_mut(&mut self.choices));
    }

    pub(crate) const fn choices(&self) -> &Arc<Choices> {
        &self.choices
    }

    /// Whether it has neither a root nor a pin.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty() && !self.has_pins()
    }

    /// The trust anchors, each once.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(crate) fn has_pins(&self) -> bool {
        !self.pinned_certificates.is_empty() || !self.pinned_keys.is_empty()
    }

    pub(crate) fn intermediate_subjects(&self) -> impl Iterator<Item = &DistinguishedName> {
        self.intermediates.iter().map(Certificate::subject)
    }

    /// The anchors, each with its name, its SubjectPublicKeyInfo, and its certificate if it was loaded
    /// with one.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (&TrustAnchor<'static>, &Root)> {
        self.anchors.iter().zip(&self.roots)
    }

    pub(crate) fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    pub(super) fn has_pinned_certificate(&self, certificate: &Certificate) -> bool {
        // Most stores have no pins, and a digest takes time.
        !self.pinned_certificates.is_empty()
            && self.pinned_certificates.contains(&certificate.sha256())
    }

    pub(super) fn has_pinned_key(&self, certificate: &Certificate) -> bool {
        !self.pinned_keys.is_empty() && self.pinned_keys.contains(&certificate.spki_sha256())
    }

    /// The authorities that are known without a certificate of a peer.
    pub(super) fn authorities(&self) -> impl Iterator<Item = Issuer<'_>> {
        let roots = self.roots.iter().filter_map(Root::issuer);
        roots.chain(self.intermediates.iter().map(Issuer::of))
    }

    /// The indices of the anchors with this name.
    pub(super) fn roots_named(&self, name: &DistinguishedName) -> &[usize] {
        let named = match self.choices.names {
            NameMatching::Exact => self.index.anchors_by_name.get(name),
            NameMatching::Rfc5280 => self.index.anchors_by_text.get(&ComparableName::of(name)),
        };
        named.map_or(&[], Vec::as_slice)
    }

    pub(super) fn intermediates_named(
        &self,
        name: &DistinguishedName,
    ) -> impl Iterator<Item = &Certificate> {
        let places = match self.choices.names {
            NameMatching::Exact => self.index.intermediates_by_name.get(name),
            NameMatching::Rfc5280 => {
                let name = ComparableName::of(name);
                self.index.intermediates_by_text.get(&name)
            }
        };
        places
            .into_iter()
            .flatten()
            .map(|place| &self.intermediates[*place])
    }

    /// The anchor with this index.
    pub(super) fn root(&self, place: usize) -> &Root {
        &self.roots[place]
    }

    /// The anchor with this index as an issuer.
    pub(super) fn issuer(&self, place: usize) -> Option<Issuer<'_>> {
        self.roots[place].issuer()
    }

    /// The [`root_id`] of the anchor with this index.
    pub(super) fn id(&self, place: usize) -> Fingerprint {
        self.roots[place].id
    }

    /// The root with this [`root_id`] as an issuer, if the store has it.
    pub(super) fn issuer_by_id(&self, id: &Fingerprint) -> Option<Issuer<'_>> {
        /// So many are compared sooner than a digest is hashed.
        const FEW: usize = 8;

        let place = match self.roots.len() {
            0..=FEW => self.roots.iter().position(|root| root.id == *id)?,
            _ => *self.index.anchors.get(id)?,
        };
        self.roots[place].issuer()
    }

    fn add_pem_file(&mut self, path: &Path) -> Result<(), TrustError> {
        let (origin, pem) = Origin::read(path)?;
        self.add_pem(&pem, &origin)
    }

    fn add_pem(&mut self, pem: &[u8], origin: &Origin) -> Result<(), TrustError> {
        for (certificate, place) in read_certificates(pem, origin)? {
            self.add_root(certificate.der(), &place)?;
        }
        Ok(())
    }

    pub(super) fn add_root(
        &mut self,
        der: &CertificateDer<'_>,
        place: &str,
    ) -> Result<(), TrustError> {
        let certificate = Certificate::from_der(der).map_err(|source| TrustError::Malformed {
            place: place.to_owned(),
            problem: source.cause().into_owned(),
        })?;
        check_may_issue(&certificate, place)?;
        let anchor =
            webpki::anchor_from_trusted_cert(der).map_err(|error| TrustError::Malformed {
                place: place.to_owned(),
                problem: format!(
                    "{certificate} cannot be a trust anchor: {}",
                    PathError::of(&error).cause()
                ),
            })?;
        self.add_anchor(anchor.to_owned(), Some(certificate));
        Ok(())
    }

    fn add_anchor(&mut self, anchor: TrustAnchor<'static>, certificate: Option<Certificate>) {
        let id = root_id(&anchor);
        if let Some(place) = self.index.anchors.get(&id) {
            self.roots[*place].add(certificate);
            return;
        }
        let place = self.anchors.len();
        self.index.anchors.insert(id, place);
        let name = DistinguishedName::from_rdn_sequence(&anchor.subject).ok();
        if let Some(name) = &name {
            let named = self.index.anchors_by_name.entry(name.clone()).or_default();
            named.push(place);
            if self.choices.names == NameMatching::Rfc5280 {
                let name = ComparableName::of(name);
                let named = self.index.anchors_by_text.entry(name).or_default();
                named.push(place);
            }
        }
        // Anchors contain the subject and the key without the outer SEQUENCE.
        let spki = der::sequence(&anchor.subject_public_key_info);
        self.roots.push(Root {
            name,
            spki_sha256: Fingerprint::of(&spki),
            spki: spki.into(),
            certificate,
            others: Vec::new(),
            id,
        });
        self.anchors.push(anchor);
    }
}

impl Root {
    /// Another certificate of the same anchor.
    fn add(&mut self, certificate: Option<Certificate>) {
        let Some(certificate) = certificate else {
            return;
        };
        let mut known = self.certificate.iter().chain(&self.others);
        if known.any(|known| *known == certificate) {
            return;
        }
        match &self.certificate {
            None => self.certificate = Some(certificate),
            Some(_) => self.others.push(certificate),
        }
    }

    fn issuer(&self) -> Option<Issuer<'_>> {
        Some(Issuer {
            name: self.name.as_ref()?,
            spki: &self.spki,
            spki_sha256: self.spki_sha256,
            key_usage: self.certificate.as_ref().and_then(Certificate::key_usage),
        })
    }
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustStore")
            .field("anchors", &self.anchors.len())
            .field("pinned_certificates", &self.pinned_certificates.len())
            .field("pinned_keys", &self.pinned_keys.len())
            .field("intermediates", &self.intermediates.len())
            .finish()
    }
}

/// The identifier of a trust anchor: a digest of its name, key and name constraints.
pub(super) fn root_id(anchor: &TrustAnchor<'_>) -> Fingerprint {
    let constraints = anchor.name_constraints.as_ref();
    let parts = [
        &*anchor.subject,
        &*anchor.subject_public_key_info,
        constraints.map_or(&[], |constraints| constraints.as_ref()),
    ];
    let lengths = parts.map(|part| part.len().to_be_bytes()).concat();
    Fingerprint::of(&[lengths, parts.concat()].concat())
}

/// Rejects certificates that may not issue others. rustls-webpki accepts any certificate as an anchor.
fn check_may_issue(certificate: &Certificate, place: &str) -> Result<(), TrustError> {
    let says_no_ca = !certificate.is_ca()
        && certificate
            .extensions()
            .iter()
            .any(|extension| extension.oid() == extension_oid::BASIC_CONSTRAINTS);
    let may_not_sign = certificate
        .key_usage()
        .is_some_and(|usage| !usage.key_cert_sign());
    if says_no_ca || may_not_sign {
        return Err(TrustError::NotAnIssuer {
            place: place.to_owned(),
            certificate: certificate.clone(),
        });
    }
    if let Some(bits) =
        super::verifier::oversized_rsa(certificate, super::Limits::default().rsa_bits)
    {
        return Err(TrustError::Malformed {
            place: place.to_owned(),
            problem: format!("{certificate} has an RSA key of {bits} bits"),
        });
    }
    Ok(())
}

/// Parses all blocks. Each must be a certificate.
fn read_certificates(
    pem: &[u8],
    origin: &Origin,
) -> Result<Vec<(Certificate, String)>, TrustError> {
    read_blocks(pem, origin)?
        .into_iter()
        .map(|block| {
            let place = block.place.to_string();
            let Some((SectionKind::Certificate, der)) = &block.content else {
                return Err(block.unexpected("a CERTIFICATE").into());
            };
            match Certificate::from_der(der) {
                Ok(certificate) => Ok((certificate, place)),
                Err(source) => Err(TrustError::Malformed {
                    place,
                    problem: source.cause().into_owned(),
                }),
            }
        })
        .collect()
}
