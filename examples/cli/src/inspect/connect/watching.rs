//! A verifier and a resolver for rustls that record what a server sends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use countersign::rustls::client::ResolvesClientCert;
use countersign::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use countersign::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use countersign::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use countersign::rustls::sign::CertifiedKey;
use countersign::rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Accepts every chain, and records it.
///
/// The server is not authenticated, so the connection must never send application data.
#[derive(Debug, Default)]
pub(super) struct Watching(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    chain: Vec<CertificateDer<'static>>,
    key_proven: Option<bool>,
}

impl Watching {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.with(|notes| notes.chain.clone())
    }

    pub(super) fn key_proven(&self) -> Option<bool> {
        self.with(|notes| notes.key_proven)
    }

    fn with<T>(&self, note: impl FnOnce(&mut Notes) -> T) -> T {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records whether the signature is valid, and accepts it either way.
    fn proven(&self, result: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        self.with(|notes| notes.key_proven = Some(result.is_ok()));
        HandshakeSignatureValid::assertion()
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let chain = all.map(|der| der.clone().into_owned()).collect();
        self.with(|notes| notes.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        let result = verify_tls12_signature(message, certificate, signed, &algorithms);
        Ok(self.proven(result))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        let result = verify_tls13_signature(message, certificate, signed, &algorithms);
        Ok(self.proven(result))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Presents our certificate, and records the request for it.
pub(super) struct Asked {
    own: Option<Arc<CertifiedKey>>,
    request: Mutex<Option<Request>>,
}

/// The server's request for a certificate.
#[derive(Clone)]
pub(super) struct Request {
    /// The names of the authorities in it, each an encoded `Name`.
    pub(super) authorities: Vec<Vec<u8>>,
    /// Whether ours was sent: there is one, and the server supports its signature scheme.
    pub(super) answered: bool,
}

impl Asked {
    pub(super) const fn new(own: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            own,
            request: Mutex::new(None),
        }
    }

    /// `None` if the server did not request a certificate.
    pub(super) fn request(&self) -> Option<Request> {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.clone()
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let fits = |own: &Arc<CertifiedKey>| own.key.choose_scheme(schemes).is_some();
        let own = self.own.clone().filter(fits);
        let request = Request {
            authorities: root_hint_subjects
                .iter()
                .map(|name| name.to_vec())
                .collect(),
            answered: own.is_some(),
        };
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        own
    }

    fn has_certs(&self) -> bool {
        true // otherwise rustls does not call `resolve`
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}
