//! Pages to read, which hold no code.

#[doc = include_str!("../manual/troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("../manual/threat_model.md")]
pub mod threat_model {}
