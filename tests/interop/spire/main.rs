//! SPIFFE: agents in this process, in Python and SPIRE's own, and peers of other libraries.
#![cfg(unix)] // the agent's socket
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod agent;
mod faults;
mod messages;
mod peers;
mod real;
mod tool;
mod workload;
