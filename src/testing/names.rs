//! The subject and the subject alternative names of a [`LeafBuilder`].

use super::der;
use super::leaf::LeafBuilder;
use std::net::IpAddr;

impl LeafBuilder {
    /// Appends a common name (UTF8String) to the subject.
    pub fn common_name(self, text: &str) -> Self {
        self.attribute("2.5.4.3", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends an organization (UTF8String) to the subject, in a separate RDN.
    pub fn organization(self, text: &str) -> Self {
        self.attribute("2.5.4.10", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends an organizational unit (UTF8String) to the subject, in a separate RDN.
    pub fn organizational_unit(self, text: &str) -> Self {
        self.attribute("2.5.4.11", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends a country (PrintableString), such as `DE`, to the subject.
    pub fn country(self, code: &str) -> Self {
        self.attribute("2.5.4.6", der::PRINTABLE_STRING, code.as_bytes())
    }

    /// Appends a locality (UTF8String) to the subject.
    pub fn locality(self, text: &str) -> Self {
        self.attribute("2.5.4.7", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends a state or province (UTF8String) to the subject.
    pub fn state(self, text: &str) -> Self {
        self.attribute("2.5.4.8", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends the holder's serialNumber attribute (PrintableString) to the subject. It is not the
    /// certificate's [`serial`](Self::serial).
    pub fn subject_serial_number(self, text: &str) -> Self {
        self.attribute("2.5.4.5", der::PRINTABLE_STRING, text.as_bytes())
    }

    /// Appends an organizationIdentifier (UTF8String), such as `PSDGB-FCA-123456`, to the subject.
    pub fn organization_identifier(self, text: &str) -> Self {
        self.attribute("2.5.4.97", der::UTF8_STRING, text.as_bytes())
    }

    /// Appends a domain component (IA5String) to the subject: one label, such as `example`.
    pub fn domain_component(self, label: &str) -> Self {
        self.attribute(
            "0.9.2342.19200300.100.1.25",
            der::IA5_STRING,
            label.as_bytes(),
        )
    }

    /// Appends a userId (UTF8String) to the subject.
    pub fn user_id(self, text: &str) -> Self {
        self.attribute(
            "0.9.2342.19200300.100.1.1",
            der::UTF8_STRING,
            text.as_bytes(),
        )
    }

    /// Appends an emailAddress attribute (IA5String) to the subject. [`email`](Self::email) adds a subject
    /// alternative name.
    pub fn subject_email(self, address: &str) -> Self {
        self.attribute("1.2.840.113549.1.9.1", der::IA5_STRING, address.as_bytes())
    }

    /// Appends an attribute to the subject, in a separate RDN. Tag and bytes of the value are not
    /// checked.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn attribute(self, oid: &str, value_tag: u8, value: &[u8]) -> Self {
        self.multi_valued_rdn(&[(oid, value_tag, value)])
    }

    /// Appends an RDN of any number of attributes (OID, tag of the value, its bytes) to the
    /// subject, in the given order.
    ///
    /// # Panics
    /// If an OID is not an object identifier.
    pub fn multi_valued_rdn(mut self, attributes: &[(&str, u8, &[u8])]) -> Self {
        self.subject.push(der::rdn(attributes));
        self
    }

    /// Replaces the whole subject; `der` should be a `Name`.
    pub fn subject_der(mut self, der: Vec<u8>) -> Self {
        self.subject_der = Some(der);
        self
    }

    /// Adds a DNS name.
    pub fn dns(self, name: &str) -> Self {
        self.general_name(0x82, name.as_bytes())
    }

    /// Adds a URI.
    pub fn uri(self, uri: &str) -> Self {
        self.general_name(0x86, uri.as_bytes())
    }

    /// Adds a SPIFFE ID: the same as [`uri`](Self::uri).
    #[doc(alias = "svid")]
    pub fn spiffe(self, id: &str) -> Self {
        self.uri(id)
    }

    /// Adds an e-mail address.
    pub fn email(self, address: &str) -> Self {
        self.general_name(0x81, address.as_bytes())
    }

    /// Adds an IP address.
    pub fn ip(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.general_name(0x87, &v4.octets()),
            IpAddr::V6(v6) => self.general_name(0x87, &v6.octets()),
        }
    }

    /// Adds a user principal name: Microsoft's otherName with a UTF8String.
    pub fn upn(self, name: &str) -> Self {
        self.other_name("1.3.6.1.4.1.311.20.2.3", &der::utf8(name))
    }

    /// Adds an otherName; `value_der` is the content of its explicit `[0]`.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn other_name(self, oid: &str, value_der: &[u8]) -> Self {
        let content = [der::oid(oid), der::tlv(0xa0, value_der)].concat();
        self.general_name(0xa0, &content)
    }

    /// Adds a directoryName; `name_der` should be a `Name`.
    pub fn directory_name(self, name_der: &[u8]) -> Self {
        self.general_name(0xa4, name_der)
    }

    /// Adds a registeredID.
    ///
    /// # Panics
    /// If `oid` is not an object identifier.
    pub fn registered_id(self, oid: &str) -> Self {
        self.general_name(0x88, &der::oid_content(oid))
    }

    /// Adds a GeneralName of any tag and content, such as a URI with a constructed tag (`0xA6`).
    pub fn general_name(mut self, tag: u8, content: &[u8]) -> Self {
        self.names.push(der::tlv(tag, content));
        self
    }

    /// Sets whether the subject alternative names are critical. Default: critical if the subject is empty,
    /// as RFC 5280 requires.
    pub fn san_critical(mut self, critical: bool) -> Self {
        self.san_critical = Some(critical);
        self
    }

    /// Replaces the value of the subject alternative name extension by these bytes.
    pub fn san_der(mut self, der: Vec<u8>) -> Self {
        self.san_der = Some(der);
        self
    }

    pub(super) fn encoded_subject(&self) -> Vec<u8> {
        self.subject_der
            .clone()
            .unwrap_or_else(|| der::sequence(&self.subject))
    }

    /// The extension; `None` without a name.
    pub(super) fn encoded_san(&self) -> Option<Vec<u8>> {
        let value = match &self.san_der {
            Some(der) => der.clone(),
            None if self.names.is_empty() => return None,
            None => der::sequence(&self.names),
        };
        let critical = self
            .san_critical
            .unwrap_or_else(|| self.encoded_subject() == [0x30, 0x00]);
        Some(der::extension("2.5.29.17", critical, &value))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestCa, der};

    #[test]
    fn each_attribute_has_its_usual_string_type() {
        let leaf = TestCa::new("Root")
            .leaf()
            .country("DE")
            .state("Hessen")
            .locality("Gießen")
            .organization("Müller & Söhne")
            .organizational_unit("dev")
            .organization_identifier("VATDE-1")
            .domain_component("example")
            .user_id("u1")
            .subject_serial_number("42")
            .subject_email("a@example.org")
            .common_name("pump")
            .issue();
        let certificate = leaf.certificate();
        let subject = certificate.subject();
        assert_eq!(
            subject.to_string(),
            "CN=pump,1.2.840.113549.1.9.1=a@example.org,2.5.4.5=42,UID=u1,DC=example,2.5.4.97=VATDE-1,\
             OU=dev,O=Müller & Söhne,L=Gießen,ST=Hessen,C=DE"
        );
        let tags: Vec<u8> = subject
            .attributes()
            .iter()
            .map(|attribute| attribute.tag())
            .collect();
        let (utf8, printable, ia5) = (der::UTF8_STRING, der::PRINTABLE_STRING, der::IA5_STRING);
        assert_eq!(
            tags,
            [
                printable, utf8, utf8, utf8, utf8, utf8, ia5, utf8, printable, ia5, utf8
            ]
        );
    }
}
