//! IP addresses in certificates (RFC 5280 section 4.2.1.6).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::read::sans;
use super::{FromCertificate, IdentityError, Multiple, Single};
use crate::pki::{Certificate, GeneralName};

/// An IP address in a certificate.
///
/// An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is different from that IPv4 address.
///
/// ```
/// use countersign::identity::IpAddress;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let address: IpAddress = "2001:DB8::1".parse()?;
/// assert_eq!(address.to_string(), "2001:db8::1");
/// let extractor = IpAddress::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpAddress(IpAddr);

impl IpAddress {
    /// Reads the leaf's only IP SAN.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads all IP SANs of the leaf.
    pub const fn all() -> Multiple<Self> {
        Multiple::new()
    }

    /// The address.
    pub const fn get(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl FromStr for IpAddress {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: neither an IPv4 address in four decimal numbers nor an IPv6 address (RFC 4291
    /// section 2.2, without a zone or prefix length).
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        text.parse()
            .map(Self)
            .map_err(|_| IdentityError::bad_syntax("not an IPv4 or IPv6 address"))
    }
}

impl Sealed for IpAddress {}

impl FromCertificate for IpAddress {
    const FIELD: &'static str = "IP SAN";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        let values = sans(certificate, 7, Self::FIELD, |name| match name {
            GeneralName::Ip(octets) => Some(&**octets),
            _ => None,
        })?;
        Ok(values
            .into_iter()
            .map(|octets| {
                let octets = octets?;
                let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
                // Name constraints use 8 or 32 octets, for a network.
                v4.or(v6).map(Self).map_err(|_| {
                    IdentityError::bad_encoding("an IP SAN has neither 4 nor 16 octets")
                })
            })
            .collect())
    }
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IpAddress({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_another() {
        let parse = |text: &str| text.parse::<IpAddress>();
        assert_ne!(parse("192.0.2.1"), parse("::ffff:192.0.2.1"));
        assert_eq!(parse("2001:DB8::1"), parse("2001:db8:0:0:0:0:0:1"));
        for bad in [
            "",
            "192.0.2",
            "192.0.2.1/24",
            "192.0.2.01",
            "fe80::1%eth0",
            " 192.0.2.1",
            "0x7f.1",
        ] {
            assert_eq!(
                parse(bad).map_err(|error| error.reason()),
                Err("bad_syntax"),
                "{bad}"
            );
        }
    }
}
