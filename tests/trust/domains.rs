//! A trust domain vouches for itself, and for nobody else.

mod at_run_time;
mod bundles;
mod handshake;
mod hints;
mod support;
