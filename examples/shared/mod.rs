//! What the command lines of the examples have in common.

#![allow(dead_code, unused_imports, reason = "no example uses everything")]

mod allow;
mod identity;
pub(crate) mod material;
mod stop;

pub(crate) use allow::AllowList;
pub(crate) use identity::{Identity, IdentityKind};
pub(crate) use material::Material;
pub(crate) use stop::stop_signal;
