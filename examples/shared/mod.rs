//! What the command lines of the server and the client have in common.

mod allow;
mod material;

pub(crate) use allow::{AllowList, Named};
pub(crate) use material::Material;

use clap::ValueEnum;

/// Which field of a certificate says who its holder is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum IdentityKind {
    /// The only URI SAN, a SPIFFE ID.
    Spiffe,
    /// The only DNS SAN.
    Dns,
    /// The subject's only common name.
    Cn,
}
