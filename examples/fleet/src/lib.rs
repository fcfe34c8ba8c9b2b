//! A fleet: servers that take their deny list, their rules and their CRLs from a broker, and send their audit
//! trail to a collector.
//!
//! This library exists for the program `fleet` and its test. It has no stable API.
#![allow(missing_docs, reason = "the API is not for other packages")]

pub mod broker;
pub mod node;
pub mod otlp;
pub mod parts;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
