//! rustls' verifier traits, answered by the gate in force.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use super::alert;
use super::client_proofs::ClientProofs;
use super::in_force::InForce;
use super::probe::{self, SessionBinding};
use super::resumption::a_day_after;
use super::sessions::ClientSessionCache;
use crate::pki::{spki_of, webpki_view};

/// Verifies chains in the handshake by the gate's first step, and signatures by rustls' own code.
///
/// The remaining steps, identity and policy, wait until the handshake has proven the key.
pub(super) struct PeerVerifier<I> {
    in_force: InForce<I>,
    hints: Vec<DistinguishedName>,
    sessions: Option<Arc<ClientSessionCache>>,
    proofs: Option<Arc<ClientProofs>>,
}

impl<I> PeerVerifier<I> {
    /// For a server, with the names of the CAs that it asks for.
    /// Proofs of keys are noted for handshakes that the application drives.
    pub(super) fn of_clients(
        in_force: InForce<I>,
        hints: Vec<DistinguishedName>,
        proofs: Arc<ClientProofs>,
    ) -> Self {
        Self {
            in_force,
            hints,
            sessions: None,
            proofs: Some(proofs),
        }
    }

    /// For a client, with the sessions that end when the server's chain does.
    pub(super) fn of_servers(in_force: InForce<I>, sessions: Arc<ClientSessionCache>) -> Self {
        Self {
            in_force,
            hints: Vec::new(),
            sessions: Some(sessions),
            proofs: None,
        }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: Option<&ServerName<'_>>,
    ) -> Result<(), Error> {
        let presented: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|der| CertificateDer::from(der.as_ref()))
            .collect();
        let endpoint = self.in_force.endpoint().ok_or_else(no_endpoint)?;
        let gate = endpoint.gate();
        let Ok(now) = gate.now() else {
            probe::record_missing_time(&presented);
            return Err(alert::no_time());
        };
        let mut read = Vec::new();
        let result = gate.verify(&presented, server_name, now, &mut read);
        probe::record_verification(&result, &presented, read);
        match result {
            Ok(verified) => {
                let counters = endpoint.recorder().counters();
                counters.chain(verified.is_remembered());
                if let (Some(sessions), Some(name)) = (&self.sessions, server_name) {
                    sessions.expire_at(name, verified.chain().holds_until(), now);
                }
                Ok(())
            }
            Err(error) => Err(alert::as_rustls(&error)),
        }
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let gate = self.in_force.gate().ok_or_else(no_endpoint)?;
        let algorithms = gate.verifier().algorithms();
        let result = verify_tls12_signature(message, &webpki_view(certificate), signed, algorithms);
        self.note_proof(certificate, result.is_ok());
        result
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let gate = self.in_force.gate().ok_or_else(no_endpoint)?;
        let algorithms = gate.verifier().algorithms();
        let result = verify_tls13_proof(message, certificate, signed, algorithms);
        self.note_proof(certificate, result.is_ok());
        result
    }

    fn note_proof(&self, certificate: &CertificateDer<'_>, is_valid: bool) {
        probe::record_signature(is_valid);
        let Some(proofs) = &self.proofs else {
            return;
        };
        if is_valid
            && !probe::is_active()
            && let Some(gate) = self.in_force.gate()
            && let Ok(now) = gate.now()
        {
            let origin = SessionBinding {
                trust: gate.trust_id(),
                until: a_day_after(now),
            };
            proofs.insert(certificate, origin, now);
        }
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let Some(gate) = self.in_force.gate() else {
            return Vec::new();
        };
        let mut schemes = gate.verifier().algorithms().supported_schemes();
        if gate.verifier().requires_post_quantum() {
            // A peer with several certificates then chooses the right one (RFC 8446 section 4.2.3).
            schemes.retain(|scheme| POST_QUANTUM_SCHEMES.contains(scheme));
        }
        schemes
    }
}

/// Verifies a CertificateVerify of TLS 1.3 with the key of a certificate.
///
/// The certificate was parsed when its chain was verified. Only its key is read here, by the function of
/// rustls for raw public keys (RFC 7250), which verifies the same signature.
pub(super) fn verify_tls13_proof(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match spki_of(certificate) {
        Ok(spki) => {
            let key = SubjectPublicKeyInfoDer::from(spki);
            verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
        }
        // rustls reports the problem.
        Err(_) => verify_tls13_signature(message, certificate, signed, algorithms),
    }
}

/// The signatures of handshakes that resist quantum computers.
const POST_QUANTUM_SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ML_DSA_44,
    SignatureScheme::ML_DSA_65,
    SignatureScheme::ML_DSA_87,
];

/// The acceptor or connector, and with it every rule, no longer exists.
pub(super) fn no_endpoint() -> Error {
    Error::General("the acceptor or connector of this configuration was dropped".into())
}

impl<I> fmt::Debug for PeerVerifier<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerVerifier")
    }
}

impl<I: Send + Sync> ClientCertVerifier for PeerVerifier<I> {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime, // the gate asks the clock itself: see `clock`
    ) -> Result<ClientCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, None)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl<I: Send + Sync> ServerCertVerifier for PeerVerifier<I> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8], // revocation is by CRL
        _: UnixTime,           // the gate asks the clock itself: see `clock`
    ) -> Result<ServerCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, Some(server_name))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
