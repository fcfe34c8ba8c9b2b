//! Certificate compression (RFC 8879): off, unless the application turns it on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use countersign::policy;
use countersign::testing::TestCa;
use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{
    CertCompressor, CertDecompressor, CompressionFailed, CompressionLevel, DecompressionFailed,
};
use support::{SERVER, Version, acceptor, provider, raw_client};

/// Leaves messages as they are, and counts.
#[derive(Debug, Default)]
struct Plain {
    decompressed: AtomicUsize,
}

const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::Zlib;

impl CertCompressor for Plain {
    fn compress(&self, plain: Vec<u8>, _: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        Ok(plain)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        ALGORITHM
    }
}

impl CertDecompressor for Plain {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        self.decompressed.fetch_add(1, SeqCst);
        output.copy_from_slice(input);
        Ok(())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        ALGORITHM
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_used_only_where_the_application_turns_it_on() {
    for turned_on in [false, true] {
        let plain: &'static Plain = Box::leak(Box::default());
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .customize_rustls(move |config| {
                // Also where another crate of the program turns rustls' own on.
                assert!(config.cert_compressors.is_empty());
                assert!(config.cert_decompressors.is_empty());
                if turned_on {
                    config.cert_decompressors = vec![plain];
                }
            })
            .build()
            .unwrap();
        let issued = ca.leaf().dns("client.example").issue();
        let key = provider(Version::Tls13).key_provider;
        let key = key.load_private_key(issued.key_der()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(issued.chain().to_vec(), key);
        let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let mut config = raw_client(&ca, Version::Tls13, Some(resolver));
        config.cert_compressors = vec![plain];
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let client = connector.connect(SERVER.try_into().unwrap(), far);
        let (server, client) = tokio::join!(acceptor.accept(near), client);
        client.unwrap();
        assert_eq!(server.unwrap().peer().identity().as_str(), "client.example");
        assert_eq!(plain.decompressed.load(SeqCst), usize::from(turned_on));
    }
}
