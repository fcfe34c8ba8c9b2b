//! How much memory a certificate takes once it is read.
//!
//! A subjectAltName of three bytes becomes a value of some fifty and an allocation, so that the bytes
//! of a certificate say little: one with ten thousand short names takes twenty times its size. Whatever
//! bounds the memory that peers can fill counts by this.

use super::{Certificate, Extension, GeneralName, PublicKeyKind};

/// About how many bytes of memory a certificate takes, with what the allocator adds. Its clones share
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
        // A vector that has grown has room for up to twice what it holds.
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

/// What an extension holds beside its own place in a list.
fn of_extension(extension: &Extension) -> usize {
    allocated(extension.oid().len()) + allocated(extension.value().len())
}

/// What a name holds beside its own place in a list.
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

/// What an allocation of so many bytes takes: a header of eight, rounded up to sixteen, at least 32.
pub(crate) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    }
}
