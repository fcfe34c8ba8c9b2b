//! What the command lines of the examples have in common.

#![allow(dead_code, unused_imports, reason = "no example uses everything")]

mod allow;
mod identity;
pub(crate) mod material;

pub(crate) use allow::AllowList;
pub(crate) use identity::{Identity, IdentityKind};
pub(crate) use material::Material;
