//! countersign beside other implementations of the same rules, over generated inputs and published
//! vectors.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod cases;
mod identity;
mod limbo;
mod listed_serials;
mod pem;
mod pkits;
mod rfc4514;
mod verification_cache;
