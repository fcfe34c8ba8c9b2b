//! Policies: ready-made rules, combinators, caches, shadows, explanations and deny lists.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod cache;
mod combinators;
mod deny_list;
mod explain;
mod kinds;
mod patterns;
mod printed;
mod rules;
mod sets;
mod shadow;
