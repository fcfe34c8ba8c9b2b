//! Every identity as its text form. Deserialization applies the same grammar as `FromStr`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    CommonName, DnsName, Email, ExtensionValue, Fingerprint, IpAddress, KubernetesUser,
    OrganizationalUnit, Psd2, Psd2Role, SerialAndIssuer, SpiffeId, Subject, TrustDomain, Upn, Uri,
    WorkloadId,
};

macro_rules! as_text {
    ($($identity:ty),+ $(,)?) => {$(
        impl Serialize for $identity {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $identity {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    )+};
}

as_text!(
    CommonName,
    DnsName,
    Email,
    ExtensionValue,
    Fingerprint,
    IpAddress,
    KubernetesUser,
    OrganizationalUnit,
    Psd2,
    Psd2Role,
    SerialAndIssuer,
    SpiffeId,
    Subject,
    TrustDomain,
    Upn,
    Uri,
    WorkloadId,
);
