//! A client configuration for code that drives rustls: the gate decides inside the handshake.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::attempt::Attempt;
use super::in_force::Current;
use super::transcript::Seen;
use super::verifier::verify_tls13_proof;
use super::{ClientConfigs, HandshakeError, alert};
use crate::audit::Stage;
use crate::gate::AdmitError;
use crate::pki::webpki_view;
use crate::{Certificate, ConnectionInfo};

/// Gives the configuration in force.
pub(crate) trait CurrentClient<I>: Current<I> {
    fn configs(&self) -> Arc<ClientConfigs>;
}

/// Finishes the attempt to connect to a server that did not request our certificate, and returns the error
/// of the handshake.
pub(crate) type FinishNotAsked<I> = fn(Attempt<I>, &[CertificateDer<'_>]) -> Error;

/// A configuration that uses the rules of `endpoint` in each handshake, and keeps it alive.
pub(crate) fn authorizing_config<I: Send + Sync + 'static>(
    endpoint: Arc<dyn CurrentClient<I>>,
    finish_not_asked: FinishNotAsked<I>,
) -> ClientConfig {
    let mut config = (*endpoint.configs().observed).clone();
    config.client_auth_cert_resolver = Arc::new(ReloadingCertResolver(Arc::clone(&endpoint)));
    // rustls calls no verifier for a resumed session.
    config.resumption = Resumption::disabled();
    let verifier = AuthorizingVerifier {
        endpoint,
        finish_not_asked,
    };
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(verifier));
    config
}

/// The certificate in force at the time of a handshake.
struct ReloadingCertResolver<I>(Arc<dyn CurrentClient<I>>);

impl<I: Send + Sync + 'static> ResolvesClientCert for ReloadingCertResolver<I> {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let configs = self.0.configs();
        let current = &configs.public.client_auth_cert_resolver;
        current.resolve(root_hint_subjects, schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The gate's three steps as a verifier.
///
/// rustls verifies the chain and then, in the same call, the signature that proves the key. The policy
/// needs that proof, so the first call stores its result in the thread, and the second call takes it.
///
/// The second call also knows whether the server requested our certificate, from the
/// [transcript](super::transcript).
struct AuthorizingVerifier<I: Send + Sync + 'static> {
    endpoint: Arc<dyn CurrentClient<I>>,
    finish_not_asked: FinishNotAsked<I>,
}

/// A server whose chain was accepted and whose key is not proven yet. Dropping it records that the key
/// was never proven.
///
/// There is one event for each server that shows its certificate, on TLS 1.2 as on TLS 1.3:
///
/// * If the chain is rejected, the verifier records that, and there is nothing pending.
/// * If not, rustls (0.23: `client/tls12.rs`, `ExpectServerDone`, and `client/tls13.rs`,
///   `ExpectCertificateVerify`) asks for the signature in the same call, on the same thread; so no other
///   handshake comes in between, and a connection cannot be dropped there. What is pending is taken,
///   and finished by the signature and the gate.
/// * On TLS 1.2 rustls may end the handshake between the two, where the signature is of an algorithm that
///   does not fit the cipher suite. Nothing is called then. What is pending is finished when the next
///   handshake begins on this thread, or when the thread ends.
/// * What fails after the signature (the key exchange, Finished, a connection that is dropped) adds
///   nothing: the server was admitted, and that is recorded.
struct Unproven<I: Send + Sync + 'static> {
    presented: Vec<CertificateDer<'static>>,
    leaf: Certificate,
    /// Of TLS 1.2: whether the server requested our certificate before it ended its part.
    asked: bool,
    /// `None` once the key was proven.
    attempt: Option<Attempt<I>>,
}

impl<I: Send + Sync + 'static> Drop for Unproven<I> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            let error = HandshakeError::KeyNotProven {
                certificate: self.leaf.clone(),
            };
            // A failure is recorded in any case.
            let _ = attempt.finish(Err(&error), &self.presented);
        }
    }
}

thread_local! {
    /// An [`Unproven`] of any identity type.
    static UNPROVEN: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Finishes the pending attempt of this thread, whose handshake has failed. It is taken out first,
/// because an audit sink may drive a handshake.
fn finish_pending() {
    drop(UNPROVEN.take());
}

impl<I: Send + Sync + 'static> AuthorizingVerifier<I> {
    fn verify(
        &self,
        presented: Vec<CertificateDer<'static>>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        // First of all: what follows may call code of the application, which may drive a handshake.
        let asked = Seen::take().is_some_and(|seen| seen.asked_before_done());
        finish_pending();
        let endpoint: Arc<dyn Current<I>> = self.endpoint.clone();
        let info = ConnectionInfo::default().with_server_name(&*server_name.to_str());
        let mut attempt = Attempt::start(endpoint, info);
        let mut read = Vec::new();
        let result = attempt
            .gate()
            .verify(&presented, Some(server_name), now, &mut read);
        attempt.probe.record_verification(&result, &presented, read);
        match result {
            Ok(verified) => {
                let counters = attempt.recorder().counters();
                counters.chain(verified.is_remembered());
                attempt.stage = Stage::Proof;
                attempt.alert = Some(AlertDescription::IllegalParameter);
                UNPROVEN.set(Some(Box::new(Unproven {
                    leaf: verified.chain().leaf().clone(),
                    presented,
                    asked,
                    attempt: Some(attempt),
                })));
                Ok(())
            }
            Err(error) => {
                let rejection = alert::as_rustls(&error);
                let error = AdmitError::from(error);
                // A failure is recorded in any case.
                let _ = attempt.finish(Err(&error), &presented);
                Err(rejection)
            }
        }
    }

    /// The signature is valid: the request for our certificate, identity and policy.
    fn admit(&self, mut unproven: Box<Unproven<I>>, asked: bool) -> Result<(), Error> {
        let attempt = unproven.attempt.take();
        let attempt =
            attempt.ok_or_else(|| Error::General("an attempt that is finished".into()))?;
        if !asked {
            return Err((self.finish_not_asked)(attempt, &unproven.presented));
        }
        attempt
            .admit_chain(&unproven.presented)
            .map(drop)
            .map_err(|error| rejection(&error))
    }

    /// `asked` of TLS 1.3; that of TLS 1.2 was stored.
    fn prove(
        &self,
        leaf: &CertificateDer<'_>,
        asked: Option<bool>,
        verify: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let pending = UNPROVEN.take();
        let mut unproven = pending
            .and_then(|pending| pending.downcast::<Unproven<I>>().ok())
            .filter(|unproven| unproven.presented.first() == Some(leaf))
            .ok_or_else(|| Error::General("a signature without a verified chain".into()))?;
        let gate = self.endpoint.gate();
        match verify(gate.verifier().algorithms()) {
            Ok(proof) => {
                let asked = asked.unwrap_or(unproven.asked);
                self.admit(unproven, asked)?;
                Ok(proof)
            }
            Err(error) => {
                if let Some(attempt) = &mut unproven.attempt {
                    attempt.alert = Some(AlertDescription::DecryptError);
                }
                Err(error)
            }
        }
    }
}

/// The error for which rustls sends the fitting alert.
fn rejection(error: &AdmitError) -> Error {
    if let AdmitError::Chain(error) = error {
        return alert::as_rustls(error);
    }
    Error::InvalidCertificate(match error.alert() {
        AlertDescription::CertificateRevoked => CertificateError::Revoked,
        // access_denied: rustls sends it for no other error.
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

impl<I: Send + Sync + 'static> ServerCertVerifier for AuthorizingVerifier<I> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8], // revocation is by CRL
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = std::iter::once(end_entity).chain(intermediates);
        let presented = presented.map(|der| der.clone().into_owned()).collect();
        self.verify(presented, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(certificate, None, |algorithms| {
            verify_tls12_signature(message, &webpki_view(certificate), signed, algorithms)
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let asked = Seen::take().is_some_and(|seen| seen.asked_in_signed(message));
        self.prove(certificate, Some(asked), |algorithms| {
            verify_tls13_proof(message, certificate, signed, algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        finish_pending(); // rustls asks when a handshake begins
        let gate = self.endpoint.gate();
        gate.verifier().algorithms().supported_schemes()
    }
}

impl<I> fmt::Debug for ReloadingCertResolver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadingCertResolver")
    }
}

impl<I: Send + Sync + 'static> fmt::Debug for AuthorizingVerifier<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizingVerifier")
    }
}
