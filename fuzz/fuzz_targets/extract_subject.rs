//! The extractors of the subject, with any bytes as its DER.
#![no_main]

mod shared;

use std::sync::LazyLock;

use countersign::Certificate;
use countersign::identity::{
    CommonName, KubernetesUser, OrganizationalUnit, SerialAndIssuer, Subject,
};
use countersign::testing::TestCa;
use libfuzzer_sys::fuzz_target;

static CA: LazyLock<TestCa> = LazyLock::new(|| TestCa::new("Root"));

fuzz_target!(|name: &[u8]| {
    let issued = CA
        .leaf()
        .subject_der(name.to_vec())
        .serial(
            name.get(..name.len().min(24))
                .filter(|serial| !serial.is_empty())
                .unwrap_or(&[1]),
        )
        .signature(vec![0])
        .issue();
    // The name may break the structure of the certificate.
    let Ok(certificate) = Certificate::from_der(issued.leaf_der()) else {
        return;
    };
    shared::check(&CommonName::extractor(), &certificate);
    shared::check(&OrganizationalUnit::extractor(), &certificate);
    shared::check(&Subject::extractor(), &certificate);
    shared::check(&KubernetesUser::extractor(), &certificate);
    shared::check(&SerialAndIssuer::extractor(), &certificate);
});
