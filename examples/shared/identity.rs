//! The identity that the command line asks for: `--identity KIND`.

use std::fmt;

use clap::ValueEnum;
use countersign::Certificate;
use countersign::identity::{
    CommonName, DnsName, Email, Fingerprint, IdentityError, IdentityExtractor as _, IpAddress,
    KubernetesUser, OrganizationalUnit, Psd2, SerialAndIssuer, SpiffeId, Subject, Upn, Uri,
};

/// One line for each kind: its name, its type, and what reads it from a certificate.
///
/// A program of one's own knows its kind when it is written, and hands that extractor to the
/// builder.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident($type:ty) = $extractor:expr;)+) => {
        /// Which field of a certificate says who its holder is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(crate) enum IdentityKind {
            $($(#[$doc])+ $kind,)+
        }

        /// Who a certificate's holder is, by the field that was asked for.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Identity {
            $($kind($type),)+
        }

        impl IdentityKind {
            /// Reads the field.
            pub(crate) fn extract(self, certificate: &Certificate) -> Result<Identity, IdentityError> {
                match self {
                    $(Self::$kind => $extractor.extract(certificate).map(Identity::$kind),)+
                }
            }

            /// Reads what `Display` prints.
            pub(crate) fn parse(self, text: &str) -> Result<Identity, String> {
                match self {
                    $(Self::$kind => text
                        .parse::<$type>()
                        .map(Identity::$kind)
                        .map_err(|error| error.to_string()),)+
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
