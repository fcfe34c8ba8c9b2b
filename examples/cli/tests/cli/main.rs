//! The commands of `countersign`, run as programs, and their parts where a test looks inside.
#![cfg(unix)] // signals
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod arguments;
mod dev_certs;
mod example;
mod failure;
mod flow;
mod gateway;
mod goaway;
mod http3;
mod identity;
mod inspect;
mod lifecycle;
mod output;
mod patterns;
mod reloading;
mod revocation;
mod tutorials;

use support::{identities, interop, programs, running};

use support::log;
