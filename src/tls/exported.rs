//! A client's configuration that others drive: everything that can be decided is decided inside of
//! the handshake.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{ClientCore, HandshakeError, alert};
use crate::ConnectionInfo;
use crate::audit::{Action, Alert, Stage, Witness};
use crate::gate::{AdmitError, Gate, Verified, alert_name};

impl<I: Send + Sync + 'static> ClientCore<I> {
    /// A configuration that asks this core, each time anew.
    pub(crate) fn exported(self: &Arc<Self>) -> ClientConfig {
        let mut config = (*self.configs().public).clone();
        config.client_auth_cert_resolver = Arc::new(ReloadingCertResolver(Arc::clone(self)));
        // rustls asks no verifier about a resumed session.
        config.resumption = Resumption::disabled();
        config.dangerous().set_certificate_verifier(Arc::new(Judge {
            gate: self.gate.clone(),
        }));
        config
    }
}

/// The certificate that is in use at the time.
struct ReloadingCertResolver<I>(Arc<ClientCore<I>>);

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
/// rustls verifies the chain, and at once, in the same call of its own, the signature that proves the
/// key. The policy waits for the second: so the first hands over to it, on the thread.
struct Judge<I> {
    gate: Gate<I>,
}

/// A server whose chain is good, and that has not proven its key yet. Dropping it records that it never
/// did.
///
/// There is one event for each server that shows its certificate, on TLS 1.2 as on TLS 1.3:
///
/// * If the chain is refused, the verifier records that, and there is nothing pending.
/// * If not, rustls (0.23: `client/tls12.rs`, `ExpectServerDone`, and `client/tls13.rs`,
///   `ExpectCertificateVerify`) asks for the signature in the same call, on the same thread; so no other
///   handshake comes in between, and a connection cannot be dropped there. What is pending is taken, and
///   recorded as the signature and the gate have it.
/// * On TLS 1.2 rustls may end the handshake between the two, where the signature is of an algorithm that
///   does not fit the cipher suite. Nothing is called then. What is pending is recorded when the next
///   handshake begins on this thread, or when the thread ends.
/// * What fails after the signature (the key exchange, Finished, a connection that is dropped) adds
///   nothing: the server was admitted, and that is recorded.
struct Unproven {
    recorder: Box<dyn RecordsUnproven>,
    verified: Verified,
    presented: Vec<CertificateDer<'static>>,
    /// `None` once its outcome is known.
    witness: Option<Witness>,
    alert: AlertDescription,
}

impl Drop for Unproven {
    fn drop(&mut self) {
        if let Some(mut witness) = self.witness.take() {
            self.recorder.record_unproven(&mut witness, self);
        }
    }
}

/// A gate of any identity.
trait RecordsUnproven {
    fn record_unproven(&self, witness: &mut Witness, unproven: &Unproven);
}

impl<I> RecordsUnproven for Gate<I> {
    fn record_unproven(&self, witness: &mut Witness, unproven: &Unproven) {
        let chain = unproven.verified.chain().certificates();
        let error = HandshakeError::KeyNotProven {
            certificate: chain[0].clone(), // a verified chain begins with the leaf
        };
        let (action, reason) = (Action::HandshakeFailed, Some(error.reason()));
        // It has failed in any case.
        let _ = witness.conclude(action, reason, |event| {
            event.detail = Some(error.to_string());
            event.alert = Some(Alert::Sent(alert_name(unproven.alert).into()));
            event.set_presented(&unproven.presented, chain);
            self.claim(event);
        });
    }
}

thread_local! {
    static UNPROVEN: RefCell<Option<Unproven>> = const { RefCell::new(None) };
}

/// Records what is pending on this thread, if its handshake has ended. (Taken first: an audit sink may
/// drive a handshake.)
fn conclude_pending() {
    drop(UNPROVEN.take());
}

impl<I: Send + Sync + 'static> Judge<I> {
    fn verify(
        &self,
        presented: Vec<CertificateDer<'static>>,
        dialled: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        conclude_pending();
        let info = ConnectionInfo::default().with_server_name(&*dialled.to_str());
        let mut witness = self.gate.witness(info);
        let mut read = Vec::new();
        let verified = self
            .gate
            .verify_and_keep(&presented, Some(dialled), now, &mut read);
        match verified {
            Ok(verified) => {
                witness.stage = Stage::Proof;
                UNPROVEN.set(Some(Unproven {
                    recorder: Box::new(self.gate.clone()),
                    verified,
                    presented,
                    witness: Some(witness),
                    alert: AlertDescription::IllegalParameter,
                }));
                Ok(())
            }
            Err(error) => {
                let refusal = alert::as_rustls(&error);
                let error = error.into();
                let shown = (&*presented, &*read);
                self.gate.record_refused(&mut witness, &error, None, shown);
                Err(refusal)
            }
        }
    }

    /// The signature is good: identity and policy.
    fn admit(&self, mut unproven: Unproven) -> Result<(), Error> {
        let Some(witness) = unproven.witness.take() else {
            return Err(Error::General("an outcome that is known".into()));
        };
        let info = witness.info.clone();
        let verified = Ok(unproven.verified.clone());
        let judged = self
            .gate
            .judge_bare(witness, verified, &unproven.presented, info);
        judged.map(drop).map_err(|error| refusal(&error))
    }

    fn prove(
        &self,
        leaf: &CertificateDer<'_>,
        verify: impl FnOnce(
            &rustls::crypto::WebPkiSupportedAlgorithms,
        ) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut unproven = UNPROVEN
            .take()
            .filter(|unproven| unproven.presented.first() == Some(leaf))
            .ok_or_else(|| Error::General("a signature without a verified chain".into()))?;
        let trusted = self.gate.trusted();
        match verify(trusted.verifier().algorithms()) {
            Ok(proof) => {
                self.admit(unproven)?;
                Ok(proof)
            }
            Err(error) => {
                unproven.alert = AlertDescription::DecryptError;
                Err(error)
            }
        }
    }
}

/// The error by which rustls sends the alert that fits.
fn refusal(error: &AdmitError) -> Error {
    if let AdmitError::Chain(error) = error {
        return alert::as_rustls(error);
    }
    Error::InvalidCertificate(match error.alert() {
        AlertDescription::CertificateRevoked => CertificateError::Revoked,
        // access_denied: nothing else makes rustls send it.
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

impl<I: Send + Sync + 'static> ServerCertVerifier for Judge<I> {
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
        self.prove(certificate, |algorithms| {
            verify_tls12_signature(message, certificate, signed, algorithms)
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(certificate, |algorithms| {
            verify_tls13_signature(message, certificate, signed, algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        conclude_pending(); // rustls asks when a handshake begins
        let trusted = self.gate.trusted();
        trusted.verifier().algorithms().supported_schemes()
    }
}

impl<I> fmt::Debug for ReloadingCertResolver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadingCertResolver")
    }
}

impl<I> fmt::Debug for Judge<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judge").field(&self.gate).finish()
    }
}
