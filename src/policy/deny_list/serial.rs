//! Serial numbers as tools print them.

use crate::pki::text::from_hex;
use crate::pki::{DistinguishedName, negated};

/// A certificate's serial number as a tool prints it.
///
/// ```
/// use countersign::policy::SerialText;
///
/// let serial = SerialText::parse("7f:22").expect("a number");
/// assert_eq!(serial.numbers().collect::<Vec<_>>(), [[0x7f, 0x22]]);
/// assert_eq!(Some(serial), SerialText::parse("0x7F22"));
/// ```
///
/// | tool | prints |
/// |---|---|
/// | `openssl x509 -serial` | `7F22…`, and `-60FF…` for a negative number |
/// | `openssl x509 -text` | `7f:22:…`, and `(Negative)60:ff:…` or `-0x60ff…` |
/// | Windows, node-forge, Java, browsers | the octets of the INTEGER: `009f…`, `9F…`, with blanks or colons between them |
///
/// Digits may be of either case. Octets may be separated by colons or blanks. `0x` or `(Negative)` may
/// come first. A text of which the first octet is 80 or more is ambiguous and means two numbers. Without a
/// sign: the positive number, of which openssl does not print the zero octet, and the negative number with
/// these octets. After a minus: the negative number with this absolute value, and the one with these
/// octets. A certificate with either number is denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialText {
    /// The contents of the INTEGER, in their shortest form.
    numbers: Vec<Box<[u8]>>,
}

/// The issuer's name in an entry of a deny list.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::{DenyEntry, IssuerText, SerialText};
///
/// let entry: DenyEntry<DnsName> = DenyEntry::NamedSerial {
///     serial: SerialText::parse("1f").expect("a number"),
///     issuer: IssuerText::Printed("CN=Clients,O=Example".into()),
/// };
/// # assert_eq!(Ok(entry), "serial:1f issuer:CN=Clients,O=Example".parse());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssuerText {
    /// Its DER.
    Der(DistinguishedName),
    /// Its text by RFC 4514: `CN=Clients,O=Example`.
    Printed(String),
}

impl SerialText {
    /// Reads a number. `None`: the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (is_negative, text) = match text
            .strip_prefix('-')
            .or_else(|| text.strip_prefix("(Negative)"))
        {
            Some(magnitude) => (true, magnitude),
            None => (false, text),
        };
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let octets = read_octets(digits.unwrap_or(text))?;
        let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
        let magnitude = &octets[zeros..];
        let positive = [&[0], magnitude].concat();
        let has_top_bit = zeros == 0 && magnitude.first().is_some_and(|first| *first >= 0x80);
        let numbers = if is_negative && has_top_bit {
            // An absolute value, or the octets of the INTEGER after a minus.
            vec![negated(&positive), magnitude.to_vec()]
        } else if is_negative {
            vec![negated(&positive)]
        } else if has_top_bit {
            vec![positive, magnitude.to_vec()]
        } else {
            vec![positive]
        };
        let mut numbers: Vec<Box<[u8]>> = numbers
            .iter()
            .map(|number| shortest(number).into())
            .collect();
        numbers.dedup(); // -80 is the same number in both readings
        Some(Self { numbers })
    }

    /// The INTEGERs that the text can mean: one or two, each as the content octets of its shortest DER.
    pub fn numbers(&self) -> impl Iterator<Item = &[u8]> {
        self.numbers.iter().map(|number| &**number)
    }
}

impl IssuerText {
    /// Reads what follows `issuer:`. `None`: DER that is not a name, or no text of RFC 4514.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('#') {
            Some(der) => DistinguishedName::parse(&from_hex(der)?).map(Self::Der),
            // As this crate prints it: an entry with another text would match no certificate.
            None => {
                let name = DistinguishedName::from_rfc4514(text)?;
                Some(Self::Printed(name.to_string()))
            }
        }
    }
}

/// Reads pairs of digits, without separators or with the same one, a colon or a blank, between all. A
/// single digit at the start gets a zero before it.
fn read_octets(digits: &str) -> Option<Vec<u8>> {
    let separator = digits
        .chars()
        .find(|character| matches!(character, ':' | ' '));
    let digits = match separator {
        None => digits.to_owned(),
        Some(separator) => {
            let mut groups = digits.split(separator);
            let first = groups.next()?;
            if !matches!(first.len(), 1 | 2) {
                return None;
            }
            let mut whole = first.to_owned();
            for group in groups {
                if group.len() != 2 {
                    return None;
                }
                whole.push_str(group);
            }
            whole
        }
    };
    let even = if digits.len().is_multiple_of(2) {
        digits
    } else {
        format!("0{digits}")
    };
    from_hex(&even).filter(|octets| !octets.is_empty())
}

/// The shortest content of the INTEGER. DER omits octets that repeat the sign; some issuers do not.
pub(super) fn shortest(number: &[u8]) -> &[u8] {
    let mut number = number;
    while let [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] = number {
        number = &number[1..];
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Option<Vec<Vec<u8>>> {
        let serial = SerialText::parse(text)?;
        Some(serial.numbers().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn each_spelling_is_the_number_in_the_certificate() {
        for (text, octets) in [
            ("7F22", &[0x7f, 0x22][..]),
            ("7f:22", &[0x7f, 0x22]),
            ("0x7f22", &[0x7f, 0x22]),
            ("00 7f 22", &[0x7f, 0x22]),
            ("1", &[1]),
            ("1:22", &[1, 0x22]),
            ("00", &[0]),
            ("009f01", &[0, 0x9f, 0x01]),
            // openssl x509 -serial, of 9f 00 11 22 33 44 55 66
            (
                "-60FFEEDDCCBBAA9A",
                &[0x9f, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66],
            ),
            (
                "(Negative)60:ff:ee:dd:cc:bb:aa:9a",
                &[0x9f, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66],
            ),
            (
                "-0x60ffeeddccbbaa9a",
                &[0x9f, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66],
            ),
            ("-80", &[0x80]),
            ("-1", &[0xff]),
            ("-0100", &[0xff, 0]),
        ] {
            assert_eq!(numbers(text), Some(vec![octets.to_vec()]), "{text}");
        }
        let both = vec![vec![0, 0x9f, 1], vec![0x9f, 1]];
        assert_eq!(numbers("9F01"), Some(both));
        let both = vec![vec![0xff, 0x60, 0xff], vec![0x9f, 1]];
        assert_eq!(numbers("-9f01"), Some(both));
        assert_eq!(numbers(&"55".repeat(36)), Some(vec![vec![0x55; 36]]));
        for bad in [
            "", "-", "xy", "7f:2", "7f::22", "7f:22 33", "0x", "--1", "1e3g", "é", "é:22", "0é:22",
            ":22",
        ] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_that_no_issuer_prints_as_is_rejected() {
        for name in [
            "CN=Clients,O=Example",
            "CN=a\\, b,1.2.3=#0402016a",
            "CN=a+OU=b",
            "CN=x\\ ",
        ] {
            assert!(IssuerText::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            "Clients",
            "CN = Clients, O = Example",
            "CN=Clients, O=Example",
            "cn=Clients",
            "emailAddress=a@b",
            "#3003",
            "CN=a<b",
            "CN=a;O=b",
            "1..2=a",
        ] {
            assert!(IssuerText::parse(name).is_none(), "{name}");
        }
    }

    /// Tools escape more than this crate, and write the same name in other ways.
    #[test]
    fn a_name_is_kept_as_this_crate_prints_it() {
        for (text, printed) in [
            ("CN=M\\C3\\BCller", "CN=M\u{fc}ller"),
            ("CN=a\\2Cb", "CN=a\\,b"),
            ("CN=#0c0161", "CN=a"),
            ("2.5.4.3=a", "CN=a"),
            ("1.2.3=#0C0161", "1.2.3=a"),
        ] {
            let issuer = IssuerText::parse(text);
            assert_eq!(issuer, Some(IssuerText::Printed(printed.into())), "{text}");
        }
    }
}
