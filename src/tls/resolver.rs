//! Which of our own certificates is presented.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::probe;
use crate::pki::OwnKey;

/// A server's certificates by the name that the client asks for.
#[derive(Clone)]
pub(super) struct ServerCertificates {
    pub(super) default: OwnKey,
    /// By lower-case name, or `*.` and the rest of a name.
    pub(super) by_name: HashMap<String, OwnKey>,
}

impl ServerCertificates {
    /// An unknown name, or none, gets the default: the gate is the same for all.
    pub(super) fn choose(&self, name: Option<&str>) -> &OwnKey {
        if self.by_name.is_empty() {
            return &self.default;
        }
        name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.by_name.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            })
        })
        .unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            probe::record_server_name(name);
        }
        let chosen = &self.choose(hello.server_name()).certified;
        probe::record_shown(chosen);
        Some(Arc::clone(chosen))
    }
}

impl fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificates")
            .field("names", &self.by_name.keys())
            .finish_non_exhaustive()
    }
}

/// A client's certificate, and the note that a server asked for it.
pub(super) struct ClientCertificate(pub(super) OwnKey);

impl ResolvesClientCert for ClientCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        probe::record_request_for_certificate();
        probe::record_shown(&self.0.certified);
        // Hints are not obeyed: with one certificate, sending it gives the server's log its name
        // and us the server's alert; sending none gives neither.
        Some(Arc::clone(&self.0.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}
