use super::ca::TestCa;
use super::der;
use super::tbs::{self, DAY, HOUR};
use rustls_pki_types::{CertificateRevocationListDer, UnixTime};

/// Makes a certificate revocation list (v2). Get it from [`TestCa::crl`].
///
/// Unless told otherwise it was issued an hour ago, is due again in a week, has the number 1 and
/// revokes nothing.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `pem`"]
pub struct CrlBuilder {
    ca: TestCa,
    revoked: Vec<Vec<u8>>,
    this_update: Option<UnixTime>,
    next_update: Option<UnixTime>,
    number: u64,
    extensions: Vec<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

impl CrlBuilder {
    pub(super) fn new(ca: TestCa) -> Self {
        Self {
            ca,
            revoked: Vec::new(),
            this_update: None,
            next_update: None,
            number: 1,
            extensions: Vec::new(),
            signature: None,
        }
    }

    /// Revokes a certificate by its serial number, as [`Issued::serial`](super::Issued::serial)
    /// gives it.
    pub fn revoke(mut self, serial: &[u8]) -> Self {
        self.revoked.push(serial.to_vec());
        self
    }

    /// When this list was issued.
    pub fn this_update(mut self, time: UnixTime) -> Self {
        self.this_update = Some(time);
        self
    }

    /// When the next list is due; in the past, this one is stale.
    pub fn next_update(mut self, time: UnixTime) -> Self {
        self.next_update = Some(time);
        self
    }

    /// The list's number.
    pub fn number(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Appends a list extension, such as an issuing distribution point.
    ///
    /// # Panics
    ///
    /// When `oid` is not an object identifier.
    pub fn extension(mut self, oid: &str, critical: bool, der: &[u8]) -> Self {
        self.extensions.push(der::extension(oid, critical, der));
        self
    }

    /// Replaces the signature: a forged list.
    pub fn signature(mut self, signature: Vec<u8>) -> Self {
        self.signature = Some(signature);
        self
    }

    /// The signed list.
    pub fn build(self) -> CertificateRevocationListDer<'static> {
        let this_update = self.this_update.unwrap_or_else(|| tbs::from_now(-HOUR));
        let next_update = self.next_update.unwrap_or_else(|| tbs::from_now(7 * DAY));
        let mut extensions = vec![
            tbs::authority_key_id(&self.ca.key().id()),
            der::extension("2.5.29.20", false, &der::integer(self.number)),
        ];
        extensions.extend(self.extensions);
        let algorithm = self.ca.key().signature_algorithm();
        let mut parts = vec![
            // v2.
            der::integer(1),
            algorithm.clone(),
            self.ca.subject_der().to_vec(),
            der::time(this_update),
            der::time(next_update),
        ];
        // An empty list of revoked certificates must be left out.
        if !self.revoked.is_empty() {
            let entries: Vec<_> = self
                .revoked
                .iter()
                .map(|serial| der::sequence(&[der::tlv(0x02, serial), der::time(this_update)]))
                .collect();
            parts.push(der::sequence(&entries));
        }
        parts.push(der::tlv(0xa0, der::sequence(&extensions)));
        let tbs = der::sequence(&parts);
        let signature = self.signature.unwrap_or_else(|| self.ca.key().sign(&tbs));
        tbs::signed(tbs, algorithm, signature).into()
    }

    /// The signed list as PEM.
    pub fn pem(self) -> String {
        der::pem("X509 CRL", &self.build())
    }
}
