//! The audit trail: who connected, who was refused, and why.
//!
//! Every attempt to accept or to connect has **exactly one** event with its outcome (under a flood, see
//! [below](#refusals-of-strangers)), and every later change of an open connection has one too: asked to drain, cut, closed. So have reloads, and
//! certificates of ours that are about to expire. An [`AuditEvent`] names the connection, the
//! stage that was reached, a stable reason code, the policy's rule, the identity, the TLS
//! parameters and every certificate that was presented, also where the handshake failed.
//!
//! A sink takes them:
//!
//! | sink | writes |
//! |---|---|
//! | [`Tracing`] | an event of [`tracing`] each; the default |
//! | `Json` (feature `audit-json`) | a line of JSON each, in the Elastic Common Schema, to a writer or a [`RotatingFile`] |
//! | [`Memory`] | nothing: it keeps them, for tests |
//! | [`FanOut`], [`Filter`] | to several sinks; only some events |
//! | [`Queue`] | to another sink, on a thread of its own, off the handshake's path |
//! | a closure | what it likes |
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
//! // … somebody connects …
//! let [event] = &trail.events()[..] else { panic!("one outcome, one event") };
//! assert_eq!(event.action, Action::Denied);
//! assert_eq!(event.identity.as_ref().map(|who| who.text.as_str()), Some("mallory.example"));
//! # Ok(())
//! # }
//! ```
//!
//! # What an identity is worth
//! An identity in an event is [`Proven`](Proof::Proven) only when the chain was verified **and**
//! the handshake has shown that the peer owns the leaf's key. Before, it is
//! [`Claimed`](Proof::Claimed): it stands in a certificate, which anybody can show. So is that of
//! a chain that is not trusted. For claimed ones, the extractor reads a certificate that nobody
//! vouches for; that happens only when a sink was given and wants the event.
//!
//! # What is not told
//! Of rustls connections that you drive yourself (`Acceptor::unauthorized_rustls_config`), the trail begins when you
//! ask [`Gate::admit`](crate::Gate::admit): that a handshake failed before, only you know. They are not
//! told of when they end, either. A handshake that fails knows no ALPN protocol, and what the server had
//! not chosen yet.
//!
//! # Refusals of strangers
//! Until a peer has proven its key, it costs it nothing to be refused, so its refusals must not fill a disk
//! or push other events out of a [`RotatingFile`]:
//!
//! * **Size.** Whatever a certificate holds, an event has at most [`AuditEvent::MAX_JSON`] bytes of JSON
//!   and [`AuditEvent::MAX_TEXT`] of text. Each name in it is cut after 256 bytes, visibly.
//! * **Rate.** Of refusals before the proof of a key
//!   ([`is_unauthenticated`](AuditEvent::is_unauthenticated)), 20 per second of each outcome and reason
//!   are recorded singly, and bursts of up to ten seconds' worth. The rest is counted, and a summary
//!   ([`Action::RefusalsSuppressed`]) reports how many there were, once per second and reason. It also
//!   comes when no refusal follows: from a thread of its own, when a listener has shut down, and at the
//!   latest when the last clone of the acceptor or connector is dropped. The builder's `audit_refusals_per_second` sets another rate, or none. Counts and metrics have
//!   every attempt. Admissions, denials, and what happens to open connections are always recorded singly.
//! * **Room.** In a [`Queue`] they take at most half of the room.
//!
//! At the default rate, a stranger with one reason writes at most 480 kB per second of JSON, and 50 kB if
//! its certificates are of the usual size. Where files are rotated and admissions have to be kept for long,
//! write refusals of strangers to files of their own:
//!
//! ```no_run
//! # #[cfg(feature = "audit-json")]
//! # fn f() -> std::io::Result<()> {
//! use countersign::audit::{AuditEvent, FanOut, Filter, Json, Queue};
//!
//! let known = Json::to_file("/var/log/orders/audit.jsonl")?;
//! let strangers = Json::to_file("/var/log/orders/strangers.jsonl")?;
//! let trail = Queue::builder(
//!     FanOut::new()
//!         .and(Filter::new(known, |event: &AuditEvent| !event.is_unauthenticated()))
//!         .and(Filter::new(strangers, AuditEvent::is_unauthenticated)),
//! )
//! .start();
//! # Ok(())
//! # }
//! ```
//!
//! # When a record cannot be made
//! A sink that cannot record says so, and then nobody is admitted: no record, no session
//! ([`AdmitError::NotAudited`](crate::gate::AdmitError::NotAudited)). [`Queue`] lets you choose:
//! with [`Overflow::Count`], what does not fit is counted and told of, and connections go on.
//!
//! # Counts
//! `Acceptor::stats` and `Connector::stats` count without any sink. With the feature `metrics`,
//! the same goes to the `metrics` facade: see the module `metrics`.

mod auditor;
mod bounds;
#[cfg(feature = "audit-json")]
mod ecs;
mod event;
mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
mod sampling;
mod sink;
mod stats;
mod text;
mod witness;

pub use event::{
    Action, Alert, AuditEvent, AuditedIdentity, AuditedRequest, EventId, Outcome,
    PresentedCertificate, Proof, Side, Stage, Suppressed, Traffic,
};
#[cfg(feature = "audit-json")]
pub use sink::Json;
pub use sink::{
    AuditSink, FanOut, Filter, Memory, Overflow, Queue, QueueBuilder, RecordError, RotatingFile,
    Tracing,
};
pub use stats::Stats;

pub(crate) use auditor::{Auditor, Describe};
pub(crate) use log::{Log, REFUSALS_PER_SECOND};
pub(crate) use witness::Witness;

/// The JSON Schema (draft 2020-12) of the lines that the sink `Json` writes.
#[cfg(feature = "audit-json")]
pub const JSON_SCHEMA: &str = include_str!("event.schema.json");
