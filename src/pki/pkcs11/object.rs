//! Private keys and certificates in a token.

use cryptoki::error::Error as CallError;
use cryptoki::object::{
    Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::Session;
use rustls_pki_types::CertificateDer;

use super::error::Pkcs11Error;
use super::uri::Uri;
use crate::pki::Certificate;

/// A private key.
pub(super) struct FoundKey {
    pub(super) handle: ObjectHandle,
    label: Vec<u8>,
    id: Vec<u8>,
    pub(super) kind: Option<KeyType>,
    pub(super) can_sign: bool,
    /// It asks for the PIN at each signature.
    pub(super) always_authenticates: bool,
}

/// The private keys that match a URI.
pub(super) fn keys(session: &Session, uri: &Uri) -> Result<Vec<FoundKey>, CallError> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    if let Some(label) = &uri.object {
        template.push(Attribute::Label(label.clone().into_bytes()));
    }
    if let Some(id) = &uri.id {
        template.push(Attribute::Id(id.clone()));
    }
    let handles = session.find_objects(&template)?;
    handles
        .into_iter()
        .map(|handle| found(session, handle))
        .collect()
}

fn found(session: &Session, handle: ObjectHandle) -> Result<FoundKey, CallError> {
    let mut key = FoundKey {
        handle,
        label: Vec::new(),
        id: Vec::new(),
        kind: None,
        can_sign: true, // if the token does not say, a signature does
        always_authenticates: false,
    };
    for attribute in session.get_attributes(
        handle,
        &[
            AttributeType::Label,
            AttributeType::Id,
            AttributeType::KeyType,
            AttributeType::Sign,
            AttributeType::AlwaysAuthenticate,
        ],
    )? {
        match attribute {
            Attribute::Label(label) => key.label = label,
            Attribute::Id(id) => key.id = id,
            Attribute::KeyType(kind) => key.kind = Some(kind),
            Attribute::Sign(can) => key.can_sign = can,
            Attribute::AlwaysAuthenticate(always) => key.always_authenticates = always,
            _ => {}
        }
    }
    Ok(key)
}

/// The labels of the private keys, for errors.
pub(super) fn labels(session: &Session) -> Vec<String> {
    let keys = keys(session, &Uri::default()).unwrap_or_default();
    let labels = keys.iter().take(16);
    labels
        .map(|key| String::from_utf8_lossy(&key.label).into_owned())
        .collect()
}

struct FoundCertificate {
    label: Vec<u8>,
    id: Vec<u8>,
    der: CertificateDer<'static>,
}

/// The certificate of a key, and its issuers as far as the token has them.
pub(super) fn chain(
    session: &Session,
    key: &FoundKey,
    token: &str,
) -> Result<Vec<CertificateDer<'static>>, Pkcs11Error> {
    let all = certificates(session).map_err(|error| Pkcs11Error::call(token, &error))?;
    let several = || Pkcs11Error::SeveralCertificates {
        token: token.into(),
    };
    let own = all.iter().filter(|found| match &*key.id {
        [] => found.label == key.label,
        id => found.id == id,
    });
    let own: Vec<_> = own.collect();
    let leaf = match &*own {
        [] => {
            return Err(Pkcs11Error::NoCertificate {
                token: token.into(),
            });
        }
        [leaf] => &leaf.der,
        _ => return Err(several()),
    };
    let mut chain = vec![leaf.clone()];
    // What cannot be parsed is an error of the credentials, or no issuer.
    let parsed = |der: &CertificateDer<'_>| Certificate::from_der(der).ok();
    let mut last = parsed(leaf);
    while let Some(certificate) = last.take().filter(|last| !last.is_self_issued()) {
        let issuers = all.iter().filter_map(|found| {
            let issuer = parsed(&found.der)?;
            (issuer.subject() == certificate.issuer() && !issuer.is_self_issued())
                .then_some((issuer, &found.der))
        });
        let mut issuers: Vec<_> = issuers.collect();
        match (issuers.pop(), issuers.is_empty()) {
            (None, _) => {}
            (Some(_), false) => return Err(several()),
            // A cycle has no end.
            (Some((issuer, der)), true) if !chain.contains(der) => {
                chain.push(der.clone());
                last = Some(issuer);
            }
            (Some(_), true) => {}
        }
    }
    Ok(chain)
}

fn certificates(session: &Session) -> Result<Vec<FoundCertificate>, CallError> {
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
    ];
    let mut certificates = Vec::new();
    for handle in session.find_objects(&template)? {
        let (mut label, mut id, mut der) = (Vec::new(), Vec::new(), Vec::new());
        for attribute in session.get_attributes(
            handle,
            &[
                AttributeType::Label,
                AttributeType::Id,
                AttributeType::Value,
            ],
        )? {
            match attribute {
                Attribute::Label(found) => label = found,
                Attribute::Id(found) => id = found,
                Attribute::Value(found) => der = found,
                _ => {}
            }
        }
        if !der.is_empty() {
            let der = der.into();
            certificates.push(FoundCertificate { label, id, der });
        }
    }
    Ok(certificates)
}
