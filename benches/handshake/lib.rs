//! Handshakes of countersign, raw rustls and others, compared in one run: what the benches
//! `handshake`, `instructions` and `audit` share.

pub mod blocking;
pub mod case;
pub mod clock;
pub mod comparison;
pub mod fixture;
mod floor;
pub mod lists;
pub mod no_verify;
pub mod report;
pub mod streams;
