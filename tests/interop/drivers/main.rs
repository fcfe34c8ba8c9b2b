//! Drivers of databases and brokers over our connector: allowed and denied, a server that does not ask for our
//! certificate, and new credentials while requests are in progress. The page is `manual/drivers.md`.
//!
//! PostgreSQL, NATS, Mosquitto and Redis are the real servers. The others speak as much of their protocol as
//! the drivers need, behind our own acceptor.
#![cfg(unix)] // as the servers are
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod dns;
mod kafka;
mod mqtt;
mod nats;
mod postgres;
mod real;
mod redis;
mod reqwest;
mod scylla;
mod websocket;
mod world;
