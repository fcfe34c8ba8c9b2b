//! A typed identity of your own: a tenant and a device, from a URI in the certificate.
//!
//! ```text
//! cargo run --example own_extractor
//! ```

use std::error::Error;

use countersign::identity::{DnsName, IdentityError, IdentityErrorKind, IdentityExtractor, Uri};
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, Certificate, Connector, Decision, Peer, policy};

/// The identity of a device: `urn:device:TENANT:SERIAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    tenant: String,
    serial: u64,
}

/// Reads the only URI of the certificate as a [`Device`].
struct DeviceExtractor;

impl IdentityExtractor for DeviceExtractor {
    type Identity = Device;

    fn extract(&self, certificate: &Certificate) -> Result<Device, IdentityError> {
        // The extractor of the library rejects a certificate without a URI, or with several.
        let uri = Uri::extractor().extract(certificate)?;
        parse(uri.as_str()).ok_or_else(|| {
            IdentityError::new(
                IdentityErrorKind::BadSyntax,
                "the URI is not urn:device:TENANT:SERIAL",
            )
        })
    }
}

fn parse(uri: &str) -> Option<Device> {
    let (tenant, serial) = uri.strip_prefix("urn:device:")?.split_once(':')?;
    Some(Device {
        tenant: tenant.to_owned(),
        serial: serial.parse().ok()?,
    })
}

/// The policy sees the typed identity.
fn tenant_is_acme(peer: &Peer<Device>) -> Decision {
    if peer.identity().tenant == "acme" {
        Decision::allow("acme")
    } else {
        Decision::deny("another tenant")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DeviceExtractor)
        .authorize(tenant_is_acme)
        .build()?;
    for uri in [
        "urn:device:acme:4711",
        "urn:device:other:4711",
        "urn:device:acme:unknown",
    ] {
        let connector = Connector::builder()
            .credentials(ca.leaf().uri(uri).issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()?;
        // In memory. A server calls `acceptor.accept(tcp)`.
        let (accepted, _) = testing::handshake(&acceptor, &connector, "localhost").await;
        match accepted {
            Ok(stream) => println!("{uri}: {:?}", stream.peer().identity()),
            Err(error) => println!("{uri}: {}", error.reason()),
        }
    }
    Ok(())
}
