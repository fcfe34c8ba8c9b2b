//! rustls' verifier traits, answered by the gate.

use std::fmt;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{alert, capture};
use crate::gate::Gate;

/// Verifies chains in the handshake by the gate's first step, and signatures by rustls' own code.
///
/// The remaining steps, identity and policy, wait until the handshake has proven the key.
pub(super) struct PeerVerifier<I> {
    gate: Gate<I>,
    hints: Vec<DistinguishedName>,
}

impl<I> PeerVerifier<I> {
    pub(super) fn new(gate: Gate<I>) -> Self {
        Self {
            hints: root_hints(&gate),
            gate,
        }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let presented: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|der| CertificateDer::from(der.as_ref()))
            .collect();
        let result = self.gate.verify(&presented, dialled, now);
        capture::record_verification(self.gate.id(), &result);
        result.map(drop).map_err(|error| alert::as_rustls(&error))
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = self.gate.verifier().algorithms();
        let result = verify_tls12_signature(message, certificate, signed, algorithms);
        capture::record_signature(result.is_ok());
        result
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = self.gate.verifier().algorithms();
        let result = verify_tls13_signature(message, certificate, signed, algorithms);
        capture::record_signature(result.is_ok());
        result
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.gate.verifier().algorithms().supported_schemes()
    }
}

/// The names that a server puts into its CertificateRequest, from which clients with several
/// certificates choose.
///
/// Empty, which means "any", where a list would hide an acceptable certificate: a pinned one has
/// no issuer to name. Intermediates of ours are named for clients that send, and so match, only
/// their leaf.
fn root_hints<I>(gate: &Gate<I>) -> Vec<DistinguishedName> {
    /// The list must fit a handshake message of 2^16 bytes beside everything else in it.
    const MAX_TOTAL: usize = 32 * 1024;

    let store = gate.verifier().store();
    if store.has_pins() {
        return Vec::new();
    }
    let mut hints: Vec<DistinguishedName> = store
        .anchors()
        .iter()
        .map(|anchor| DistinguishedName::in_sequence(&anchor.subject))
        .collect();
    hints.extend(
        store
            .intermediate_subjects()
            .map(|subject| DistinguishedName::in_sequence(subject.rdn_sequence())),
    );
    let total: usize = hints.iter().map(|hint| hint.as_ref().len() + 2).sum();
    if total > MAX_TOTAL {
        return Vec::new();
    }
    hints
}

impl<I> fmt::Debug for PeerVerifier<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerVerifier").field(&self.gate).finish()
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
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, None, now)?;
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
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, Some(server_name), now)?;
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
