//! What the command lines of the examples have in common.

mod allow;
mod identity;
pub(crate) mod material;

pub(crate) use allow::AllowList;
pub(crate) use identity::IdentityKind;
pub(crate) use material::Material;
