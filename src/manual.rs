//! Pages to read, which hold no code.

#[doc = include_str!("../manual/troubleshooting.md")]
pub mod troubleshooting {}
