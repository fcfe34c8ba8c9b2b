//! Serial numbers of certificates (RFC 5280 section 4.1.2.2).

use std::fmt;
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::{FromCertificate, IdentityError, Single};
use crate::pki::text::{Hex, from_hex};
use crate::pki::{Certificate, DistinguishedName};

/// A certificate's serial number together with its issuer. An authority uses each number once.
///
/// `Display` and `FromStr` use `serial:HEX issuer:#HEX`: the number, and the DER of the issuer's name.
///
/// ```
/// use countersign::identity::SerialAndIssuer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id: SerialAndIssuer = "serial:0a1b issuer:#300c310a300806035504030c0161".parse()?;
/// assert_eq!((id.serial(), &*id.issuer().to_string()), (&[0x0a, 0x1b][..], "CN=a"));
/// let extractor = SerialAndIssuer::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialAndIssuer {
    issuer: DistinguishedName,
    /// Big-endian, without leading zeros.
    serial: Box<[u8]>,
}

impl SerialAndIssuer {
    /// The longest serial number, in octets (RFC 5280 section 4.1.2.2).
    pub const MAX_SERIAL_LENGTH: usize = 20;

    /// Reads the certificate's serial number and issuer.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads the serial number and issuer of a certificate.
    ///
    /// # Errors
    /// `bad_encoding`: the number is not DER. `bad_syntax`: it is negative or zero, or the issuer's
    /// name is empty. `too_long`.
    pub fn of(certificate: &Certificate) -> Result<Self, IdentityError> {
        let number = match certificate.serial().as_bytes() {
            // The first nine bits are equal, so this is not the shortest form and not DER.
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
                return Err(IdentityError::bad_encoding("the serial number is not DER"));
            }
            [0x80..=0xff, ..] => {
                return Err(IdentityError::bad_syntax("the serial number is negative"));
            }
            [0] => return Err(IdentityError::bad_syntax("the serial number is zero")),
            [0, number @ ..] | number => number,
        };
        Self::new(certificate.issuer().clone(), number)
    }

    /// The issuer's name.
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The number, big-endian, without leading zeros.
    pub const fn serial(&self) -> &[u8] {
        &self.serial
    }

    fn new(issuer: DistinguishedName, number: &[u8]) -> Result<Self, IdentityError> {
        if issuer.is_empty() {
            return Err(IdentityError::bad_syntax("the issuer's name is empty"));
        }
        if number.is_empty() || number[0] == 0 {
            return Err(IdentityError::bad_syntax(
                "a serial number is a positive number without leading zeros",
            ));
        }
        // In DER a number with its top bit set takes one octet more.
        if number.len() + usize::from(number[0] >> 7) > Self::MAX_SERIAL_LENGTH {
            return Err(IdentityError::too_long(
                "a serial number is at most 20 octets long",
            ));
        }
        Ok(Self {
            issuer,
            serial: number.into(),
        })
    }
}

impl FromStr for SerialAndIssuer {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not `serial:HEX issuer:#HEX`, a serial number of zero or with leading zero octets.
    /// `too_long`. `bad_encoding`: the issuer is not the DER of a name.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts = text
            .strip_prefix("serial:")
            .and_then(|rest| rest.split_once(" issuer:#"))
            .and_then(|(serial, issuer)| Some((from_hex(serial)?, from_hex(issuer)?)));
        let Some((serial, issuer)) = parts else {
            return Err(IdentityError::bad_syntax(
                "a serial number with its issuer is written as serial:HEX issuer:#HEX",
            ));
        };
        let issuer = DistinguishedName::from_der(&issuer)
            .map_err(|_| IdentityError::bad_encoding("the issuer is not the DER of a name"))?;
        Self::new(issuer, &serial)
    }
}

impl Sealed for SerialAndIssuer {}

impl FromCertificate for SerialAndIssuer {
    const FIELD: &'static str = "serial number";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        Ok(vec![Self::of(certificate)])
    }
}

impl fmt::Display for SerialAndIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "serial:{} issuer:#{}",
            Hex(&self.serial),
            Hex(self.issuer.der())
        )
    }
}

impl fmt::Debug for SerialAndIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialAndIssuer({}, {})", Hex(&self.serial), self.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let issuer = "issuer:#300c310a300806035504030c0161";
        let parse = |serial: &str| {
            format!("serial:{serial} {issuer}")
                .parse::<SerialAndIssuer>()
                .map_err(|error| error.reason())
        };
        let id = parse("0a1b").expect("valid");
        assert_eq!(id.to_string(), format!("serial:0a1b {issuer}"));
        assert_eq!(id.issuer().to_string(), "CN=a");
        assert_eq!(id.serial(), [0x0a, 0x1b]);
        assert!(parse(&"7f".repeat(20)).is_ok());
        assert_eq!(parse(&"80".repeat(20)), Err("too_long"));
        assert_eq!(parse(""), Err("bad_syntax"));
        assert_eq!(parse("00"), Err("bad_syntax"));
        assert_eq!(parse("0"), Err("bad_syntax"));
        assert_eq!(parse("xy"), Err("bad_syntax"));
        let no_name = "serial:01 issuer:#0400".parse::<SerialAndIssuer>();
        assert_eq!(no_name.map_err(|error| error.reason()), Err("bad_encoding"));
    }
}
