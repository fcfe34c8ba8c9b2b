//! The field of a certificate that is its identity: `--identity KIND`.

use std::fmt;

use clap::ValueEnum;
use countersign::identity::{
    CommonName, DnsName, Email, Fingerprint, IdentityError, IdentityExtractor as _, IpAddress,
    KubernetesUser, OrganizationalUnit, Psd2, SerialAndIssuer, SpiffeId, Subject, Upn, Uri,
};
use countersign::{Certificate, Diagnostic as _};

/// One line for each kind: its name, its type, and what reads it from a certificate.
///
/// A program with one kind of identity passes that extractor to the builder instead.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident($type:ty) = $extractor:expr;)+) => {
        /// The field of a certificate that is its identity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub enum IdentityKind {
            $($(#[$doc])+ $kind,)+
        }

        /// The value of that field.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Identity {
            $($kind($type),)+
        }

        impl IdentityKind {
            /// Reads the field.
            pub fn extract(self, certificate: &Certificate) -> Result<Identity, IdentityError> {
                match self {
                    $(Self::$kind => $extractor.extract(certificate).map(Identity::$kind),)+
                }
            }

            /// Reads what `Display` prints.
            ///
            /// A value that no certificate is read as is an error: a deny list with it would deny no peer.
            pub fn parse(self, text: &str) -> Result<Identity, String> {
                let identity = match self {
                    $(Self::$kind => text
                        .parse::<$type>()
                        .map(Identity::$kind)
                        .map_err(|error| error.cause().into_owned())?,)+
                };
                match identity {
                    Identity::Spiffe(id) if id.path().is_empty() => {
                        Err("it is the ID of a trust domain, which no workload has".into())
                    }
                    identity => Ok(identity),
                }
            }
        }

        impl fmt::Display for Identity {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind(identity) => identity.fmt(f),)+
                }
            }
        }
    };
}

impl Identity {
    /// The distinguished name inside an identity whose text has it in hexadecimal, for people (RFC 4514).
    pub fn readable_name(&self) -> Option<String> {
        match self {
            Self::Dn(subject) => Some(subject.rfc4514()),
            Self::Serial(serial) => Some(serial.issuer().to_string()),
            _ => None,
        }
    }
}

kinds! {
    /// The only URI SAN, a SPIFFE ID
    Spiffe(SpiffeId) = SpiffeId::extractor();
    /// The only DNS SAN
    Dns(DnsName) = DnsName::extractor();
    /// The only URI SAN
    Uri(Uri) = Uri::extractor();
    /// The only e-mail SAN
    Email(Email) = Email::extractor();
    /// The only IP SAN
    Ip(IpAddress) = IpAddress::extractor();
    /// The subject's only common name
    Cn(CommonName) = CommonName::extractor();
    /// The subject's only organizational unit
    Ou(OrganizationalUnit) = OrganizationalUnit::extractor();
    /// The whole subject
    Dn(Subject) = Subject::extractor();
    /// The certificate's serial number and issuer
    Serial(SerialAndIssuer) = SerialAndIssuer::extractor();
    /// The SHA-256 of the certificate
    Fingerprint(Fingerprint) = Fingerprint::certificate_extractor();
    /// The SHA-256 of the public key (SubjectPublicKeyInfo)
    Spki(Fingerprint) = Fingerprint::spki_extractor();
    /// The only Microsoft user principal name among the SANs
    Upn(Upn) = Upn::extractor();
    /// The subject's common name as user, its organizations as groups
    Kubernetes(KubernetesUser) = KubernetesUser::extractor();
    /// The subject's organizationIdentifier, and the PSD2 QCStatement
    Psd2(Psd2) = Psd2::extractor();
}
