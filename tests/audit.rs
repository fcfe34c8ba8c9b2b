//! What the audit trail says of an outcome, and what happens when it cannot be said.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "audit/bounds.rs"]
mod bounds;
#[path = "audit_outcomes/clients.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod clients;
mod common;
#[path = "audit/doors.rs"]
mod doors;
#[path = "audit/exported.rs"]
mod exported;
#[path = "audit/forged.rs"]
mod forged;
#[path = "audit/hostile.rs"]
mod hostile;
#[path = "audit/open.rs"]
mod open;
#[path = "audit/outcomes.rs"]
mod outcomes;
#[path = "audit/queue.rs"]
mod queue;
#[path = "audit/reloads.rs"]
mod reloads;
#[path = "common/schema.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod schema;
#[path = "common/sent.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod sent;
#[path = "audit/sinks.rs"]
mod sinks;
#[path = "audit/strangers.rs"]
mod strangers;

use std::sync::Arc;

use countersign::audit::{AuditEvent, Memory};

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
