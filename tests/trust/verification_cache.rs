//! What a remembered chain spares, and what it never does.

mod bounds;
mod handshake;
mod known_issuers;
mod support;
mod time;
mod what_counts;
