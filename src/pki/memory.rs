//! How much memory a parsed certificate takes.
//!
//! A subjectAltName of three bytes becomes a value of about fifty bytes and an allocation. A certificate
//! with ten thousand short names takes twenty times its encoded size, so limits on the memory that peers
//! can fill count parsed sizes.

use super::{Certificate, Extension, GeneralName, PublicKeyKind};

/// About how many bytes of memory a certificate takes, with the overhead of the allocator. Clones share
/// them.
pub(crate) fn of_certificate(certificate: &Certificate) -> usize {
    /// The fields that have a fixed size, and the counters of the shared pointer.
    const FIXED: usize = 512;

    let names = certificate.subject_alternative_names().unwrap_or_default();
    let purposes = certificate.extended_key_usage().unwrap_or_default();
    let algorithm = match certificate.public_key() {
        PublicKeyKind::Other { algorithm } => algorithm.len(),
        PublicKeyKind::Rsa { .. } => 0,
    };
    let parts = [
        certificate.der().len(),
        certificate.serial().as_bytes().len(),
        certificate.issuer().der().len(),
        certificate.subject().der().len(),
        certificate.spki().len(),
        algorithm,
        // A vector that has grown may have twice the capacity that it needs.
        2 * size_of_val(certificate.extensions()),
        2 * size_of_val(names),
        2 * size_of_val(purposes),
    ];
    FIXED
        + parts.map(allocated).iter().sum::<usize>()
        + certificate
            .extensions()
            .iter()
            .map(of_extension)
            .sum::<usize>()
        + names.iter().map(of_name).sum::<usize>()
        + purposes
            .iter()
            .map(|oid| allocated(oid.len()))
            .sum::<usize>()
}

/// The allocations of an extension, without its entry in the list.
fn of_extension(extension: &Extension) -> usize {
    allocated(extension.oid().len()) + allocated(extension.value().len())
}

/// The allocations of a name, without its entry in the list.
fn of_name(name: &GeneralName) -> usize {
    match name {
        GeneralName::Email(bytes)
        | GeneralName::Dns(bytes)
        | GeneralName::Uri(bytes)
        | GeneralName::Ip(bytes)
        | GeneralName::Unreadable { content: bytes, .. } => allocated(bytes.len()),
        GeneralName::DirectoryName(name) => allocated(name.der().len()),
        GeneralName::RegisteredId(oid) => allocated(oid.len()),
        GeneralName::OtherName { oid, value } => allocated(oid.len()) + allocated(value.len()),
    }
}

/// The size of an allocation with its overhead: a header of 8 bytes, rounded up to 16, at least 32.
pub(crate) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    }
}
