//! Serial numbers of certificates (RFC 5280 section 4.1.2.2).

use std::fmt;
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::{FromCertificate, IdentityError, Single};
use crate::pki::text::{Hex, from_hex};
use crate::pki::{Certificate, DistinguishedName, absolute, negated};

/// A certificate's serial number together with its issuer. An authority uses each number once.
///
/// `Display` and `FromStr` use `serial:HEX issuer:#HEX`: the number, and the DER of the issuer's name. A
/// [`DenyEntry`](crate::policy::DenyEntry) reads the same text. A negative number has a minus before its
/// absolute value, as openssl prints it.
///
/// RFC 5280 section 4.1.2.2 requires positive numbers of at most 20 octets. Authorities have issued others,
/// which the same section asks programs to handle. They identify a certificate as well, so zero, negative and longer
/// numbers are accepted.
///
/// ```
/// use countersign::identity::SerialAndIssuer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id: SerialAndIssuer = "serial:0a1b issuer:#300c310a300806035504030c0161".parse()?;
/// assert_eq!((id.serial(), &*id.issuer().to_string()), (&[0x0a, 0x1b][..], "CN=a"));
/// assert!(!id.is_negative());
/// let extractor = SerialAndIssuer::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialAndIssuer {
    issuer: DistinguishedName,
    is_negative: bool,
    /// The absolute value, big-endian, without leading zeros; one octet for zero.
    serial: Box<[u8]>,
}

impl SerialAndIssuer {
    /// The longest serial number, in octets of its absolute value. RFC 5280 section 4.1.2.2 allows
    /// authorities 20 with the sign.
    pub const MAX_SERIAL_LENGTH: usize = 256;

    /// Reads the certificate's serial number and issuer.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads the serial number and issuer of a certificate.
    ///
    /// # Errors
    /// `bad_encoding`: the number is not DER. `bad_syntax`: the issuer's name is empty. `too_long`.
    pub fn of(certificate: &Certificate) -> Result<Self, IdentityError> {
        let issuer = certificate.issuer().clone();
        match certificate.serial().as_bytes() {
            // The first nine bits are equal, so this is not the shortest form and not DER.
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
                Err(IdentityError::bad_encoding("the serial number is not DER"))
            }
            negative @ [0x80..=0xff, ..] => Self::new(issuer, true, &absolute(negative)),
            [0, number @ ..] if !number.is_empty() => Self::new(issuer, false, number),
            number => Self::new(issuer, false, number),
        }
    }

    /// The issuer's name.
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The number's absolute value, big-endian, without leading zeros; one zero octet for zero.
    pub const fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Whether the number is negative.
    pub const fn is_negative(&self) -> bool {
        self.is_negative
    }

    const fn sign(&self) -> &'static str {
        if self.is_negative { "-" } else { "" }
    }

    /// The content of the INTEGER: two's complement, not always in its shortest form.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let positive = [&[0], &*self.serial].concat();
        if self.is_negative {
            negated(&positive)
        } else {
            positive
        }
    }

    fn new(
        issuer: DistinguishedName,
        is_negative: bool,
        number: &[u8],
    ) -> Result<Self, IdentityError> {
        if issuer.is_empty() {
            return Err(IdentityError::bad_syntax("the issuer's name is empty"));
        }
        let is_zero = number == [0];
        if number.is_empty() || (number[0] == 0 && !is_zero) || (is_zero && is_negative) {
            return Err(IdentityError::bad_syntax(
                "a serial number is written in hexadecimal without leading zero octets, with a minus if it is negative",
            ));
        }
        if number.len() > Self::MAX_SERIAL_LENGTH {
            return Err(IdentityError::too_long(
                "a serial number is at most 256 octets long",
            ));
        }
        Ok(Self {
            issuer,
            is_negative,
            serial: number.into(),
        })
    }
}

impl FromStr for SerialAndIssuer {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not `serial:HEX issuer:#HEX`, or a serial number with leading zero octets. `too_long`.
    /// `bad_encoding`: the issuer is not the DER of a name.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts = text
            .strip_prefix("serial:")
            .and_then(|rest| rest.split_once(" issuer:#"))
            .and_then(|(serial, issuer)| {
                let (is_negative, digits) = match serial.strip_prefix('-') {
                    Some(digits) => (true, digits),
                    None => (false, serial),
                };
                Some((is_negative, from_hex(digits)?, from_hex(issuer)?))
            });
        let Some((is_negative, serial, issuer)) = parts else {
            return Err(IdentityError::bad_syntax(
                "a serial number with its issuer is written as serial:HEX issuer:#HEX",
            ));
        };
        let issuer = DistinguishedName::from_der(&issuer)
            .map_err(|_| IdentityError::bad_encoding("the issuer is not the DER of a name"))?;
        Self::new(issuer, is_negative, &serial)
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
            "serial:{}{} issuer:#{}",
            self.sign(),
            Hex(&self.serial),
            Hex(self.issuer.der())
        )
    }
}

impl fmt::Debug for SerialAndIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SerialAndIssuer({}{}, {})",
            self.sign(),
            Hex(&self.serial),
            self.issuer
        )
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
        assert!(!id.is_negative());
        let longest = SerialAndIssuer::MAX_SERIAL_LENGTH;
        assert!(parse(&"ff".repeat(longest)).is_ok());
        assert_eq!(parse(&"01".repeat(longest + 1)), Err("too_long"));
        let zero = parse("00").expect("zero");
        assert_eq!(
            (zero.serial(), zero.to_string()),
            (&[0][..], format!("serial:00 {issuer}"))
        );
        let negative = parse("-60ff").expect("negative");
        assert!(negative.is_negative());
        assert_eq!(negative.serial(), [0x60, 0xff]);
        assert_eq!(negative.octets(), [0xff, 0x9f, 0x01]);
        assert_eq!(negative.to_string().parse(), Ok(negative));
        for bad in ["", "-", "-00", "0001", "--01"] {
            assert_eq!(parse(bad), Err("bad_syntax"), "{bad}");
        }
        assert_eq!(parse("0"), Err("bad_syntax"));
        assert_eq!(parse("xy"), Err("bad_syntax"));
        for (no_name, reason) in [
            ("serial:01 issuer:#0400", "bad_encoding"),
            ("serial:01 issuer:#3000", "bad_syntax"),
        ] {
            let error = no_name.parse::<SerialAndIssuer>().expect_err(no_name);
            assert_eq!(error.reason(), reason, "{no_name}");
        }
    }
}
