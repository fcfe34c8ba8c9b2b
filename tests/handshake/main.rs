//! Handshakes of both sides: options, rejections and their alerts, and the listener.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod alerts;
mod bytes;
mod cipher_order;
mod closures;
mod compression;
mod doors;
mod extremes;
mod fips;
mod known_bugs;
mod listener;
mod listener_places;
mod listener_refusals;
mod options;
mod post_quantum;
mod preamble;
mod proof;
mod proxy_protocol;
mod refusals;
mod root_hints;
mod stalled;
mod tls12;
