//! The audit trail: which peers connected, which were refused, and why.
//!
//! Every attempt to accept or to connect has **exactly one** event with its outcome (for floods, see
//! [below](#refusals-of-unauthenticated-peers)). Every later change of an open connection has one event
//! too: drained, cut, closed. So have reloads, and our certificates that expire soon. An [`AuditEvent`] has
//! the connection, the stage that was reached, a stable reason code, the policy's rule, the identity, the
//! TLS parameters and every certificate that was presented, also for a failed handshake.
//!
//! Events go to a sink:
//!
//! | sink | writes |
//! |---|---|
//! | [`Tracing`] | events of [`tracing`]; the default |
//! | `Json` (feature `audit-json`) | lines of JSON in the Elastic Common Schema, to a writer or a [`RotatingFile`] |
//! | [`Memory`] | nothing: it keeps the events, for tests |
//! | [`FanOut`], [`Filter`] | to several sinks; only some events |
//! | [`Queue`] | to another sink on its own thread, outside of the handshake |
//! | a closure | as you choose |
//!
//! ```
//! use countersign::audit::{Action, AuditEvent, Memory};
//! use countersign::identity::DnsName;
//! use countersign::testing::{self, TestCa};
//! use countersign::{Acceptor, Connector, policy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ca = TestCa::new("Root");
//! let trail = Memory::new();
//! let acceptor = Acceptor::builder()
//!     .credentials(ca.leaf().dns("server.example").issue().credentials())
//!     .trust(ca.trust())
//!     .identify(DnsName::extractor())
//!     .authorize(policy::dns_patterns(["client.example"])?)
//!     .audit(trail.clone())
//!     .build()?;
//! # let connector = Connector::builder()
//! #     .credentials(ca.leaf().dns("mallory.example").issue().credentials())
//! #     .trust(ca.trust())
//! #     .identify(DnsName::extractor())
//! #     .authorize(policy::allow_any())
//! #     .build()?;
//! # let (near, far) = tokio::io::duplex(65536);
//! # let _both = tokio::join!(acceptor.accept(near), connector.connect("server.example", far));
//! // … a client connects …
//! let [event] = &trail.events()[..] else { panic!("one outcome, one event") };
//! assert_eq!(event.action, Action::Denied);
//! assert_eq!(event.identity.as_ref().map(|identity| identity.text.as_str()), Some("mallory.example"));
//! # Ok(())
//! # }
//! ```
//!
//! # Proven and claimed identities
//! An identity in an event is [`Proven`](Proof::Proven) only if the chain was verified **and** the
//! handshake has shown that the peer owns the leaf's key. Otherwise it is [`Claimed`](Proof::Claimed): it
//! is in a certificate, and any peer can present any certificate. The identity of an untrusted chain is
//! claimed too. The extractor reads untrusted certificates for claimed identities only if a sink was given
//! to the builder and wants the event.
//!
//! # What is not recorded
//! For rustls connections that you drive yourself (`Acceptor::unauthorized_rustls_config`), the trail
//! begins with your call of [`Control::admit`](crate::Control::admit). It has no event for a handshake that
//! failed before, nor for the close of such a connection. The event of a failed handshake has no ALPN
//! protocol, and no parameter that the server had not chosen yet.
//!
//! # Refusals of unauthenticated peers
//! Until a peer has proven its key, a refusal costs it nothing. Such refusals must not fill a disk or push
//! other events out of a [`RotatingFile`], so they are limited:
//!
//! * **Size.** For any certificate, an event has at most [`AuditEvent::MAX_JSON`] bytes of JSON and
//!   [`AuditEvent::MAX_TEXT`] of text. Each name in it is cut visibly after 256 bytes.
//! * **Rate.** Of refusals before the proof of a key
//!   ([`is_unauthenticated`](AuditEvent::is_unauthenticated)), 20 per second of each outcome and reason are
//!   recorded individually, with bursts of up to ten seconds of that rate. Further refusals are counted,
//!   and a summary ([`Action::RefusalsSuppressed`]) reports their number once per second and reason. The
//!   summary does not need a further refusal: a separate thread records it, a listener records it when it
//!   shuts down, and so does the last clone of the acceptor or connector when it is dropped. The builder's
//!   `audit_refusals_per_second` sets another rate, or none. Counters and metrics include every attempt.
//!   Admissions, denials and changes of open connections are always recorded individually.
//! * **Room.** In a [`Queue`] they take at most half of the room.
//!
//! At the default rate, unauthenticated peers with one reason cause at most 480 kB per second of JSON, and
//! 50 kB with certificates of usual size. If files are rotated and admissions must be kept for long, write
//! such refusals to separate files:
//!
//! ```no_run
//! # #[cfg(feature = "audit-json")]
//! # fn f() -> std::io::Result<()> {
//! use countersign::audit::{AuditEvent, FanOut, Filter, Json, Queue};
//!
//! let authenticated = Json::to_file("/var/log/orders/audit.jsonl")?;
//! let unauthenticated = Json::to_file("/var/log/orders/unauthenticated.jsonl")?;
//! let trail = Queue::builder(
//!     FanOut::new()
//!         .and(Filter::new(authenticated, |event: &AuditEvent| !event.is_unauthenticated()))
//!         .and(Filter::new(unauthenticated, AuditEvent::is_unauthenticated)),
//! )
//! .start();
//! # Ok(())
//! # }
//! ```
//!
//! # Failing sinks
//! If a sink cannot record an admission, the peer is denied: no record, no session
//! ([`AdmitError::NotAudited`](crate::gate::AdmitError::NotAudited)). With a [`Queue`] you choose: with
//! [`Overflow::Count`], events that do not fit are counted and reported, and connections continue.
//!
//! # Counters
//! `Control::stats` counts without any sink. With the feature `metrics`, the same
//! values go to the `metrics` facade: see the module `metrics`.

mod bounds;
#[cfg(feature = "audit-json")]
mod ecs;
mod event;
#[cfg(feature = "metrics")]
pub mod metrics;
mod recorder;
mod sampling;
mod sink;
mod stats;
mod text;

pub use event::{
    Action, Alert, AuditEvent, AuditedIdentity, AuditedRequest, EventId, Outcome,
    PresentedCertificate, Proof, Stage, Suppressed, Traffic,
};
#[cfg(feature = "audit-json")]
pub use sink::Json;
pub use sink::{
    AuditSink, FanOut, Filter, Memory, Overflow, Queue, QueueBuilder, RecordError, RotatingFile,
    Tracing,
};
pub use stats::Stats;

pub(crate) use bounds::is_unauthenticated;
pub(crate) use recorder::{AttemptOutcome, Describe, REFUSALS_PER_SECOND, Recorder};

/// The JSON Schema (draft 2020-12) of the lines that the sink `Json` writes.
#[cfg(feature = "audit-json")]
pub const JSON_SCHEMA: &str = include_str!("event.schema.json");
