//! The PSD2 extractor and the extractor of extensions, with any bytes as QCStatements.
#![no_main]

mod shared;

use std::sync::LazyLock;

use countersign::Certificate;
use countersign::identity::{ExtensionValue, IdentityExtractor as _, Psd2};
use countersign::testing::TestCa;
use libfuzzer_sys::fuzz_target;

const QC_STATEMENTS: &str = "1.3.6.1.5.5.7.1.3";

static CA: LazyLock<TestCa> = LazyLock::new(|| TestCa::new("Root"));

fuzz_target!(|value: &[u8]| {
    let issued = CA
        .leaf()
        .attribute("2.5.4.97", 0x0c, b"PSDGB-FCA-123456")
        .extension(QC_STATEMENTS, false, value)
        .signature(vec![0])
        .issue();
    let Ok(certificate) = Certificate::from_der(issued.leaf_der()) else {
        return;
    };
    shared::check(&Psd2::extractor(), &certificate);
    let extension = ExtensionValue::extractor(QC_STATEMENTS);
    shared::check(&extension, &certificate);
    assert_eq!(
        extension
            .extract(&certificate)
            .expect("the extension")
            .as_bytes(),
        value
    );
});
