//! Where the revocation status of a certificate comes from.
//!
//! [`check_path`](super::check_path) asks a source about each certificate of a path. CRLs are the only
//! source today. Another one, such as stapled OCSP responses, implements the same trait and leaves the
//! rules about depth, exempt issuers and unknown status where they are.

use rustls_pki_types::UnixTime;

use crate::pki::{Certificate, DistinguishedName, Fingerprint, KeyUsage, SerialNumber};
use crate::trust::StatusError;

/// A source of revocation status.
pub(in crate::trust) trait RevocationSource {
    /// The status of a certificate that the first of `authorities` signed.
    fn status(
        &self,
        certificate: &Certificate,
        authorities: Authorities<'_>,
        time: CheckTime,
    ) -> Status;
}

/// The revocation status of one certificate.
pub(in crate::trust) enum Status {
    /// The certificate is not revoked.
    Good {
        /// The last second in which this answer holds; `None` without a limit.
        until: Option<UnixTime>,
    },
    /// The certificate is revoked.
    Revoked {
        /// The number of the CRL that lists it, if it has one.
        crl: Option<SerialNumber>,
    },
    /// The source does not know the status.
    Unknown(Unknown),
}

/// Why a source does not know a status.
pub(in crate::trust) enum Unknown {
    /// It has no data in force about this certificate.
    NoData(StatusError),
    /// Its data was due to be replaced at this time.
    Expired { next_update: UnixTime },
    /// The issuer signed the data, and its keyUsage does not allow that.
    IssuerMayNotSign,
}

/// The time of a check.
#[derive(Clone, Copy)]
pub(in crate::trust) struct CheckTime {
    /// Decides which CRLs are in force and which have expired.
    pub(in crate::trust) now: UnixTime,
    pub(in crate::trust) stale: StaleCrls,
}

/// Whether a CRL counts after its nextUpdate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::trust) enum StaleCrls {
    /// By the rule [`ExpiredCrl`](super::ExpiredCrl).
    ByRule,
    /// It counts: an open connection is not closed because a CRL expired in the meantime.
    Accept,
}

/// The authorities that may vouch for the status of a certificate.
#[derive(Clone, Copy)]
pub(in crate::trust) struct Authorities<'a> {
    /// The certificate's issuer.
    pub(in crate::trust) issuer: &'a Issuer<'a>,
    /// The issuers of that on the path, up to the anchor.
    pub(in crate::trust) above: &'a [Issuer<'a>],
    /// Certificates that the peer sent. They may be those of CRL issuers, and are not verified.
    pub(in crate::trust) at_hand: &'a [Certificate],
}

impl<'a> Authorities<'a> {
    /// The issuer and those above it.
    pub(super) fn iter(self) -> impl Iterator<Item = &'a Issuer<'a>> {
        std::iter::once(self.issuer).chain(self.above)
    }

    /// Those for a certificate that the authority at this place signed.
    pub(super) fn from(self, place: usize) -> Option<Self> {
        let at_hand = &[]; // an issuer of a CRL needs no further one
        match place.checked_sub(1) {
            None => Some(Self { at_hand, ..self }),
            Some(place) => Some(Self {
                issuer: self.above.get(place)?,
                above: &self.above[place + 1..],
                at_hand,
            }),
        }
    }
}

/// An authority on a path: a trust anchor or an intermediate.
#[derive(Clone, Copy)]
pub(in crate::trust) struct Issuer<'a> {
    pub(in crate::trust) name: &'a DistinguishedName,
    /// The whole SubjectPublicKeyInfo.
    pub(in crate::trust) spki: &'a [u8],
    /// The SHA-256 of `spki`.
    pub(in crate::trust) spki_sha256: Fingerprint,
    pub(in crate::trust) key_usage: Option<KeyUsage>,
}

impl<'a> Issuer<'a> {
    pub(in crate::trust) fn of(certificate: &'a Certificate) -> Self {
        Self {
            name: certificate.subject(),
            spki: certificate.spki(),
            spki_sha256: certificate.spki_sha256(),
            key_usage: certificate.key_usage(),
        }
    }

    /// Distinguishes authorities of one name by their keys.
    pub(super) fn id(&self) -> Fingerprint {
        Fingerprint::of(&[self.spki_sha256.as_bytes(), self.name.der()].concat())
    }
}
