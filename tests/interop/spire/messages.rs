//! The messages of the Workload API, as prost reads and writes them.

use std::collections::HashMap;

use countersign::testing::{Issued, TestCa};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Svid {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) x509_svid: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) x509_svid_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) bundle: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) hint: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Response {
    #[prost(message, repeated, tag = "1")]
    pub(crate) svids: Vec<X509Svid>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) crl: Vec<Vec<u8>>,
    #[prost(map = "string, bytes", tag = "3")]
    pub(crate) federated_bundles: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JwtRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) audience: Vec<String>,
    #[prost(string, tag = "2")]
    pub(crate) spiffe_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Jwt {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    #[prost(string, tag = "2")]
    pub(crate) svid: String,
    #[prost(string, tag = "3")]
    pub(crate) hint: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JwtResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) svids: Vec<Jwt>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ValidateRequest {
    #[prost(string, tag = "1")]
    pub(crate) audience: String,
    #[prost(string, tag = "2")]
    pub(crate) svid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ValidateResponse {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
}

pub(crate) fn der(ca: &TestCa) -> Vec<u8> {
    ca.certificate_der().to_vec()
}

impl X509Svid {
    pub(crate) fn of(id: &str, issued: &Issued, ca: &TestCa) -> Self {
        Self {
            spiffe_id: id.into(),
            x509_svid: issued.chain().iter().flat_map(|der| der.to_vec()).collect(),
            x509_svid_key: issued.key_der().secret_der().to_vec(),
            bundle: der(ca),
            hint: String::new(),
        }
    }

    pub(crate) fn issue(id: &str, ca: &TestCa) -> Self {
        Self::of(id, &ca.leaf().spiffe(id).issue(), ca)
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.into();
        self
    }
}

impl X509Response {
    pub(crate) fn of(svid: X509Svid) -> Self {
        Self {
            svids: vec![svid],
            ..Self::default()
        }
    }

    /// One identity of this authority.
    pub(crate) fn issue(id: &str, ca: &TestCa) -> Self {
        Self::of(X509Svid::issue(id, ca))
    }

    pub(crate) fn federated(mut self, domain: &str, ca: &TestCa) -> Self {
        let domain = format!("spiffe://{domain}");
        self.federated_bundles.insert(domain, der(ca));
        self
    }
}
