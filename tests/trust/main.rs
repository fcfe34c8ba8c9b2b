//! Chains: trust stores, revocation, trust domains, the verification cache and diagnoses.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod causes;
mod changes_midway;
mod counting;
mod diagnose;
mod domains;
mod hostile_chains;
mod known_bugs;
mod loading;
mod path_rules;
mod printed;
mod profile;
mod revocation;
mod verification_cache;
