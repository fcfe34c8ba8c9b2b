//! QUIC connections behind the gate: our listener called by our client, by quinn without this crate and by aioquic,
//! and our client with servers of quinn and of aioquic.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod clients;
mod hostile;
mod live;
mod refusals;
mod resumption;
mod scale;
mod servers;
mod world;
