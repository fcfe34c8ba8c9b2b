//! A trust domain vouches only for itself.

mod at_run_time;
mod bundles;
mod handshake;
mod hints;
mod support;
