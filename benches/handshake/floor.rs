//! The public-key operations that no full handshake can do without, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::SignatureScheme;
use rustls::crypto::SupportedKxGroup;
use rustls::sign::SigningKey;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

use crate::case::Side;
use crate::fixture::Fixture;

/// As long as what TLS 1.3 signs (RFC 9846, CertificateVerify): padding, a label, and a digest of
/// 32 octets.
const MESSAGE: &[u8] = &[0x20; 64 + 33 + 1 + 32];

/// The floor of one side.
pub struct Floor {
    side: Side,
    group: &'static dyn SupportedKxGroup,
    schemes: Vec<SignatureScheme>,
    key: Arc<dyn SigningKey>,
    peer: CertificateDer<'static>,
    peer_signature: Vec<u8>,
    verification: &'static dyn SignatureVerificationAlgorithm,
}

impl Floor {
    pub fn new(fixture: &Fixture<'_>, side: Side) -> Self {
        let other = match side {
            Side::Server => Side::Client,
            Side::Client => Side::Server,
        };
        let algorithms = fixture.provider.signature_verification_algorithms;
        let schemes = algorithms.supported_schemes();
        let (scheme, peer_signature) = sign(&*fixture.key_of(other), &schemes);
        let peer = fixture.leaf_of(other).clone();
        let certificate = EndEntityCert::try_from(&peer).expect("a certificate");
        let (_, candidates) = algorithms
            .mapping
            .iter()
            .find(|(candidate, _)| *candidate == scheme)
            .expect("an algorithm for the scheme");
        // The list for an ECDSA scheme has an algorithm for each curve.
        let verification = candidates.iter().find(|algorithm| {
            certificate
                .verify_signature(**algorithm, MESSAGE, &peer_signature)
                .is_ok()
        });
        Self {
            side,
            group: fixture.provider.kx_groups[0],
            key: fixture.key_of(side),
            verification: *verification.expect("a good signature"),
            schemes,
            peer,
            peer_signature,
        }
    }

    /// The time that the operations take.
    pub fn spend(&self) -> Duration {
        let certificate = EndEntityCert::try_from(&self.peer).expect("a certificate");
        let mut spent = self.exchange_keys();
        let start = Instant::now();
        sign(&*self.key, &self.schemes);
        certificate
            .verify_signature(self.verification, MESSAGE, &self.peer_signature)
            .expect("a good signature");
        spent += start.elapsed();
        spent
    }

    fn exchange_keys(&self) -> Duration {
        let start = Instant::now();
        let client = self.group.start().expect("a key");
        let started = start.elapsed();

        let start = Instant::now();
        let server = self
            .group
            .start_and_complete(client.pub_key())
            .expect("an answer");
        let answered = start.elapsed();
        if self.side == Side::Server {
            return answered;
        }
        let start = Instant::now();
        client.complete(&server.pub_key).expect("a secret");
        started + start.elapsed()
    }
}

fn sign(key: &dyn SigningKey, schemes: &[SignatureScheme]) -> (SignatureScheme, Vec<u8>) {
    let signer = key.choose_scheme(schemes).expect("a scheme");
    (signer.scheme(), signer.sign(MESSAGE).expect("a signature"))
}
