//! What several programs of this package use.
#![allow(missing_docs, reason = "the API is not for other packages")]

pub mod callers;
pub mod invoices;
