//! Rules of the repository: layers, dependencies, auto traits, words, examples, and pages that name tests.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod autotraits;
mod dependencies;
mod diagnostics;
mod examples;
mod layering;
mod remedies;
mod source;
mod structure;
mod threat_model;
mod words;
