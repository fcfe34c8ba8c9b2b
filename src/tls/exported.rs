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
use crate::gate::{AdmitError, Gate, Verified};

impl<I: Send + Sync + 'static> ClientCore<I> {
    /// A configuration that asks this core, each time anew.
    pub(crate) fn exported(self: &Arc<Self>) -> ClientConfig {
        let mut config = (*self.configs().public).clone();
        config.client_auth_cert_resolver = Arc::new(LiveCertificate(Arc::clone(self)));
        // rustls asks no verifier about a resumed session.
        config.resumption = Resumption::disabled();
        config.dangerous().set_certificate_verifier(Arc::new(Judge {
            gate: self.gate.clone(),
        }));
        config
    }
}

/// The certificate that is in use at the time.
struct LiveCertificate<I>(Arc<ClientCore<I>>);

impl<I: Send + Sync + 'static> ResolvesClientCert for LiveCertificate<I> {
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

/// A server whose chain is good, and that has not proven its key yet.
struct Unproven {
    verified: Verified,
    presented: Vec<CertificateDer<'static>>,
    witness: Witness,
}

thread_local! {
    static UNPROVEN: RefCell<Option<Unproven>> = const { RefCell::new(None) };
}

impl<I> Judge<I> {
    fn verify(
        &self,
        presented: Vec<CertificateDer<'static>>,
        dialled: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        UNPROVEN.set(None);
        let info = ConnectionInfo::default().with_server_name(&*dialled.to_str());
        let mut witness = self.gate.witness(info);
        match self.gate.verify(&presented, Some(dialled), now) {
            Ok(verified) => {
                witness.stage = Stage::Proof;
                UNPROVEN.set(Some(Unproven {
                    verified,
                    presented,
                    witness,
                }));
                Ok(())
            }
            Err(error) => {
                let refusal = alert::as_rustls(&error);
                let error = error.into();
                self.gate
                    .record_refused(&mut witness, &error, None, &presented);
                Err(refusal)
            }
        }
    }

    /// The signature is good: identity and policy.
    fn admit(&self, unproven: Unproven) -> Result<(), Error> {
        let Unproven {
            verified,
            presented,
            witness,
        } = unproven;
        let info = witness.info.clone();
        let judged = self
            .gate
            .judge_bare(witness, Ok(verified), &presented, info);
        judged.map(drop).map_err(|error| refusal(&error))
    }

    fn record_unproven(&self, unproven: &mut Unproven) {
        let chain = unproven.verified.chain().certificates();
        let error = HandshakeError::KeyNotProven {
            certificate: chain[0].clone(), // a verified chain begins with the leaf
        };
        let (action, reason) = (Action::HandshakeFailed, Some(error.reason()));
        // It has failed in any case.
        let _ = unproven.witness.conclude(action, reason, |event| {
            event.detail = Some(error.to_string());
            event.alert = Some(Alert::Sent("decrypt_error".into()));
            event.set_presented(&unproven.presented, chain);
            self.gate.claim(event);
        });
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
                self.record_unproven(&mut unproven);
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

impl<I: Send + Sync> ServerCertVerifier for Judge<I> {
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
        let trusted = self.gate.trusted();
        trusted.verifier().algorithms().supported_schemes()
    }
}

impl<I> fmt::Debug for LiveCertificate<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveCertificate")
    }
}

impl<I> fmt::Debug for Judge<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judge").field(&self.gate).finish()
    }
}
