//! Identities: what an extractor reads from a certificate, and what it rejects.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod certificate_structure;
mod extractors;
mod san;
mod subject;
mod values;
