//! countersign under the crates that people serve and call HTTP by, each the real one.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod axum_serve;
mod bindings;
mod bypass;
mod conditions;
mod denied;
mod denied_event;
mod drain;
mod ended;
mod forward;
mod hyper_both;
mod known_bugs;
mod paths;
mod proxied;
mod proxy_headers;
mod reqwest_client;
mod rotation;
mod rules;
mod slow;
mod tokens;
mod windows;
