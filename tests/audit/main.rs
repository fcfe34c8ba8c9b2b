//! What the audit trail says of an outcome, and what happens when it cannot be said.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod attempts;
mod bounds;
mod clients;
mod doors;
mod exported;
mod figures;
mod forged;
mod hostile;
mod open;
mod outcomes;
mod queue;
mod reloads;
mod sinks;
mod strangers;

use std::sync::Arc;

use countersign::audit::{AuditEvent, Memory};
use support::schema;

/// The only event since the last time, which the schema allows.
fn only(trail: &Memory) -> Arc<AuditEvent> {
    let events = trail.take();
    assert_eq!(events.len(), 1, "{events:#?}");
    schema::assert_valid(&schema::of_events(), &events[0]);
    events[0].clone()
}

/// The event's identity, and what it is worth.
fn identity(event: &AuditEvent) -> Option<(&str, &str)> {
    let who = event.identity.as_ref()?;
    Some((&who.text, who.proof.as_str()))
}
