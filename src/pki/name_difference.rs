//! How two names differ that are equal by RFC 5280 section 7.1.

use std::fmt;

use super::DistinguishedName;
use super::oid_names::NamedOid;

/// The first difference: `commonName (2.5.4.3) is PrintableString there and UTF8String here`.
pub(crate) struct Differs<'a> {
    /// The name in the certificate.
    pub(crate) wanted: &'a DistinguishedName,
    pub(crate) known: &'a DistinguishedName,
}

impl fmt::Display for Differs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, known) = (self.wanted.attributes(), self.known.attributes());
        let mut pairs = wanted.iter().zip(&known);
        let differ = pairs.find(|(one, other)| one.tag() != other.tag());
        if let Some((one, other)) = differ
            && one.oid() == other.oid()
        {
            return write!(
                f,
                "{} is {} in the certificate and {} in the CA's name",
                NamedOid(one.oid()),
                StringType(one.tag()),
                StringType(other.tag())
            );
        }
        f.write_str("they differ in upper and lower case, in white space or in the order of an RDN")
    }
}

/// The type of a string by its tag.
struct StringType(u8);

impl fmt::Display for StringType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0x0c => "UTF8String",
            0x12 => "NumericString",
            0x13 => "PrintableString",
            0x14 => "T61String",
            0x16 => "IA5String",
            0x1a => "VisibleString",
            0x1c => "UniversalString",
            0x1e => "BMPString",
            tag => return write!(f, "a value with the tag 0x{tag:02x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_strings_have_names() {
        for (tag, name) in [
            (0x0c, "UTF8String"),
            (0x12, "NumericString"),
            (0x13, "PrintableString"),
            (0x14, "T61String"),
            (0x16, "IA5String"),
            (0x1a, "VisibleString"),
            (0x1c, "UniversalString"),
            (0x1e, "BMPString"),
            (0x30, "a value with the tag 0x30"),
        ] {
            assert_eq!(StringType(tag).to_string(), name);
        }
    }
}
