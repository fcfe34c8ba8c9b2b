//! HTTP/3 with h3, over the QUIC connections of countersign: an example, to copy.
//!
//! h3 speaks to QUIC through traits, which [`quic`] implements. Its versions are 0.0, so countersign does not have it
//! in its API.

pub mod quic;

/// The name of HTTP/3 in ALPN.
pub const ALPN: &str = "h3";
