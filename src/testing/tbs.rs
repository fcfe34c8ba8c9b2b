//! The to-be-signed certificate and the signed certificate.

use super::der;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 24 * HOUR;
pub(super) const YEAR: i64 = 365 * DAY;

/// The encoded parts of a TBSCertificate.
pub(super) struct Tbs {
    pub(super) version: u8,
    /// The content of the INTEGER.
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) validity: (UnixTime, UnixTime),
    pub(super) subject: Vec<u8>,
    pub(super) spki: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Tbs {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        // DER omits the default, v1.
        if self.version != 1 {
            let number = self.version.checked_sub(1).expect("versions count from 1");
            parts.push(der::tlv(0xa0, der::integer(number.into())));
        }
        parts.push(der::tlv(0x02, &self.serial));
        parts.push(self.algorithm.clone());
        parts.push(self.issuer.clone());
        parts.push(der::sequence(&[
            der::time(self.validity.0),
            der::time(self.validity.1),
        ]));
        parts.push(self.subject.clone());
        parts.push(self.spki.clone());
        if !self.extensions.is_empty() {
            parts.push(der::tlv(0xa3, der::sequence(&self.extensions)));
        }
        der::sequence(&parts)
    }
}

/// SEQUENCE { tbs, algorithm, signature }, for certificates and CRLs.
pub(super) fn signed(tbs: Vec<u8>, algorithm: Vec<u8>, signature: Vec<u8>) -> Vec<u8> {
    der::sequence(&[tbs, algorithm, der::bit_string(0, signature)])
}

pub(super) fn basic_constraints(ca: bool, path_len: Option<u8>) -> Vec<u8> {
    let mut parts = Vec::new();
    // DER omits the default, FALSE.
    if ca {
        parts.push(der::boolean(true));
    }
    parts.extend(path_len.map(|len| der::integer(len.into())));
    der::extension("2.5.29.19", true, &der::sequence(&parts))
}

pub(super) fn extended_key_usage(oids: &[String]) -> Vec<u8> {
    let oids: Vec<_> = oids.iter().map(|oid| der::oid(oid)).collect();
    der::extension("2.5.29.37", false, &der::sequence(&oids))
}

pub(super) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    der::extension("2.5.29.35", false, &der::sequence(&[der::tlv(0x80, id)]))
}

/// 16 unique octets, positive and without leading zeros. They are random enough for tests, without a
/// dependency on a random number generator.
pub(super) fn random_serial() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut hash = Sha256::new();
    hash.update(RandomState::new().hash_one(count).to_be_bytes());
    hash.update(count.to_be_bytes());
    let mut serial = hash.finalize()[..16].to_vec();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

/// The time this number of seconds from now; a negative number is in the past.
pub(super) fn from_now(seconds: i64) -> UnixTime {
    let secs = UnixTime::now().as_secs().saturating_add_signed(seconds);
    UnixTime::since_unix_epoch(Duration::from_secs(secs))
}

pub(super) fn pem(certificates: &[CertificateDer<'static>]) -> String {
    certificates
        .iter()
        .map(|certificate| der::pem("CERTIFICATE", certificate))
        .collect()
}
