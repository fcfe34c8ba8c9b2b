use super::ca::TestCa;
use super::der;
use super::tbs::{self, DAY, HOUR};
use rustls_pki_types::{CertificateRevocationListDer, UnixTime};

/// Makes a valid or malformed certificate revocation list. [`TestCa::crl`] returns it.
///
/// By default the list is version 2, was issued an hour ago, has its next update in a week, has the number
/// 1 and revokes no certificate.
///
/// ```
/// use countersign::testing::TestCa;
///
/// let ca = TestCa::new("Root");
/// let client = ca.leaf().dns("client.example").issue();
/// let crl = ca.crl().number(2).revoke(client.serial()).build();
/// # let _ = crl;
/// ```
#[doc(alias = "certificate revocation list")]
#[doc(alias = "revocation")]
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `pem`"]
pub struct CrlBuilder {
    ca: TestCa,
    version: u8,
    /// Serial numbers, each with the encoded extensions of its entry.
    revoked: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    this_update: Option<UnixTime>,
    next_update: Option<UnixTime>,
    has_next_update: bool,
    number: Option<u64>,
    extensions: Vec<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

impl CrlBuilder {
    pub(super) fn new(ca: TestCa) -> Self {
        Self {
            ca,
            version: 2,
            revoked: Vec::new(),
            this_update: None,
            next_update: None,
            has_next_update: true,
            number: Some(1),
            extensions: Vec::new(),
            signature: None,
        }
    }

    /// Revokes a certificate by its serial number, as [`Issued::serial`](super::Issued::serial)
    /// gives it.
    pub fn revoke(self, serial: &[u8]) -> Self {
        self.revoke_with(serial, &[])
    }

    /// Revokes a certificate with extensions of its entry, such as a reason code.
    /// [`der::extension`] makes them.
    pub fn revoke_with(mut self, serial: &[u8], extensions: &[Vec<u8>]) -> Self {
        self.revoked.push((serial.to_vec(), extensions.to_vec()));
        self
    }

    /// Sets thisUpdate. Default: an hour ago.
    pub fn this_update(mut self, time: UnixTime) -> Self {
        self.this_update = Some(time);
        self
    }

    /// Sets nextUpdate. Default: in a week. A time in the past makes the list expired.
    pub fn next_update(mut self, time: UnixTime) -> Self {
        self.next_update = Some(time);
        self
    }

    /// Omits nextUpdate.
    pub fn without_next_update(mut self) -> Self {
        self.has_next_update = false;
        self
    }

    /// Sets the CRL number. Default: 1.
    pub fn number(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    /// Omits the CRL number. Add a malformed one with [`extension`](Self::extension) (2.5.29.20), such as a
    /// critical or an oversized one.
    pub fn without_number(mut self) -> Self {
        self.number = None;
        self
    }

    /// Sets the version. Default: 2. A v1 list has only the extensions added with
    /// [`extension`](Self::extension), which make it malformed.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Appends a list extension, such as an issuing distribution point.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn extension(mut self, oid: &str, critical: bool, der: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, der));
        self
    }

    /// Replaces the signature, which makes the list forged.
    pub fn signature(mut self, signature: Vec<u8>) -> Self {
        self.signature = Some(signature);
        self
    }

    /// The signed list.
    ///
    /// # Panics
    /// If the version is 0.
    pub fn build(self) -> CertificateRevocationListDer<'static> {
        let this_update = self.this_update.unwrap_or_else(|| tbs::from_now(-HOUR));
        let mut parts = Vec::new();
        // A v1 list has no version field (RFC 5280 section 5.1.2.1).
        if self.version != 1 {
            let number = self.version.checked_sub(1).expect("versions count from 1");
            parts.push(der::integer(number.into()));
        }
        let algorithm = self.ca.key().signature_algorithm();
        parts.extend([
            algorithm.clone(),
            self.ca.subject_der().to_vec(),
            der::time(this_update),
        ]);
        if self.has_next_update {
            let next_update = self.next_update.unwrap_or_else(|| tbs::from_now(7 * DAY));
            parts.push(der::time(next_update));
        }
        // An empty list of revoked certificates must be omitted.
        if !self.revoked.is_empty() {
            let entries: Vec<_> = self
                .revoked
                .iter()
                .map(|(serial, extensions)| entry(serial, this_update, extensions))
                .collect();
            parts.push(der::sequence(&entries));
        }
        let extensions = self.all_extensions();
        if !extensions.is_empty() {
            parts.push(der::tlv(0xa0, der::sequence(&extensions)));
        }
        let tbs = der::sequence(&parts);
        let signature = self.signature.unwrap_or_else(|| self.ca.key().sign(&tbs));
        tbs::signed(tbs, algorithm, signature).into()
    }

    /// The signed list as PEM.
    pub fn pem(self) -> String {
        der::pem("X509 CRL", &self.build())
    }

    fn all_extensions(&self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.version != 1 {
            out.push(tbs::authority_key_id(&self.ca.key().id()));
            out.extend(
                self.number
                    .map(|number| der::extension("2.5.29.20", false, &der::integer(number))),
            );
        }
        out.extend_from_slice(&self.extensions);
        out
    }
}

fn entry(serial: &[u8], revoked_at: UnixTime, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = vec![der::tlv(0x02, serial), der::time(revoked_at)];
    if !extensions.is_empty() {
        parts.push(der::sequence(extensions));
    }
    der::sequence(&parts)
}
