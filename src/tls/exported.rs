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

use super::{ClientCore, alert};
use crate::ConnectionInfo;
use crate::gate::{Admission, AdmitError, Gate, Verified};

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
    dialled: String,
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
        let dialled_name = dialled.to_str().into_owned();
        match self.gate.verify(&presented, Some(dialled), now) {
            Ok(verified) => {
                UNPROVEN.set(Some(Unproven {
                    verified,
                    presented,
                    dialled: dialled_name,
                }));
                Ok(())
            }
            Err(error) => {
                let refusal = alert::as_rustls(&error);
                tell(&dialled_name, &Err::<Admission<I>, _>(error.into()));
                Err(refusal)
            }
        }
    }

    /// The signature is good: identity and policy.
    fn admit(&self, unproven: &Unproven) -> Result<(), Error> {
        let info = ConnectionInfo::default().with_server_name(unproven.dialled.as_str());
        let result = self
            .gate
            .identify(&unproven.verified, &unproven.presented, info)
            .and_then(|identified| self.gate.authorize(identified));
        tell(&unproven.dialled, &result);
        result.map(drop).map_err(|error| refusal(&error))
    }

    fn prove(
        &self,
        leaf: &CertificateDer<'_>,
        verify: impl FnOnce(
            &rustls::crypto::WebPkiSupportedAlgorithms,
        ) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let unproven = UNPROVEN
            .take()
            .filter(|unproven| unproven.presented.first() == Some(leaf))
            .ok_or_else(|| Error::General("a signature without a verified chain".into()))?;
        let trusted = self.gate.trusted();
        let proof = verify(trusted.verifier().algorithms())?;
        self.admit(&unproven)?;
        Ok(proof)
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

/// What became of a server: whoever drives the connection gets to see rustls' word for it only.
fn tell<I>(server_name: &str, result: &Result<Admission<I>, AdmitError>) {
    match result {
        Ok(admission) => tracing::debug!(
            server_name,
            certificate = %admission.peer().certificate(),
            rule = admission.rule(),
            "server admitted, in an exported configuration"
        ),
        Err(error) => tracing::warn!(
            server_name,
            reason = error.reason(),
            %error,
            "server refused, in an exported configuration"
        ),
    }
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
