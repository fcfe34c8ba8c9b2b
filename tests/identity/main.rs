//! Identities: what an extractor reads from a certificate, and what it rejects.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod certificate_structure;
mod san;
mod subject;
