//! Sinks and what they are made of.

use std::fmt;
use std::sync::Arc;

use countersign::audit::{
    Action, AuditEvent, AuditSink, FanOut, Filter, Memory, Outcome, RecordError,
};
use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, policy};

use crate::{identity, only};
use support::acceptor;

/// Fails, or panics, at each admission.
struct Broken {
    panics: bool,
}

impl AuditSink for Broken {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        match event.action {
            Action::Admitted if self.panics => panic!("a sink with a bug"),
            Action::Admitted => Err(RecordError::new("no space left on device")),
            _ => Ok(()),
        }
    }
}

/// What a gate with this sink makes of a good client.
fn admit(
    builder: Builder<ServerSide, DnsName>,
    ca: &TestCa,
) -> (Acceptor<DnsName>, Option<&'static str>) {
    let acceptor = builder.build().unwrap();
    let leaf = ca.leaf().dns("client.example").issue();
    let decided = acceptor
        .control()
        .admit_chain(leaf.chain(), ConnectionInfo::default());
    let reason = decided.err().map(|error| error.reason());
    (acceptor, reason)
}

#[test]
fn without_a_record_there_is_no_session() {
    let ca = TestCa::new("Root");
    for panics in [false, true] {
        let trail = Memory::new();
        let sink = FanOut::new().and(Broken { panics }).and(trail.clone());
        let (acceptor, refused) = admit(acceptor(&ca, policy::allow_any()).audit(sink), &ca);
        assert_eq!(refused, Some("not_audited"));
        let event = only(&trail);
        assert_eq!(
            (event.action, event.reason),
            (Action::Denied, Some("not_audited"))
        );
        assert_eq!(identity(&event), Some(("client.example", "proven")));
        let stats = acceptor.control().stats();
        assert_eq!(
            (stats.admitted, stats.denied, stats.audit_dropped),
            (0, 1, 1)
        );
    }
    let good = acceptor(&ca, policy::allow_any()).audit(Memory::new());
    assert_eq!(admit(good, &ca).1, None);
}

#[tokio::test]
async fn a_stream_without_a_record_is_rejected_with_an_alert() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(Broken { panics: false })
        .build()
        .unwrap();
    let connector = support::connector(&ca, "client.example").build().unwrap();
    let (server, client) = support::handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err().reason(), "not_audited");
    let alert = support::alert_seen(client).await;
    assert_eq!(alert, rustls::AlertDescription::InternalError);
    assert_eq!(acceptor.control().connections().len(), 0);
    assert_eq!(acceptor.control().stats().open, 0);
}

#[test]
fn a_fan_out_reaches_all_sinks_and_a_filter_some() {
    let ca = TestCa::new("Root");
    let (all, failures, some) = (Memory::new(), Memory::new(), Memory::new());
    let sink = FanOut::new()
        .and(all.clone())
        .and(Filter::new(failures.clone(), |event: &AuditEvent| {
            event.outcome() == Some(Outcome::Failure)
        }))
        .and({
            let some = some.clone();
            move |event: &AuditEvent| drop(some.record(&Arc::new(event.clone())))
        });
    let acceptor = acceptor(&ca, policy::exact(["client.example".parse().unwrap()])).audit(sink);
    let acceptor = acceptor.build().unwrap();
    for name in ["client.example", "mallory.example"] {
        let leaf = ca.leaf().dns(name).issue();
        drop(
            acceptor
                .control()
                .admit_chain(leaf.chain(), ConnectionInfo::default()),
        );
    }
    assert_eq!(all.events().len(), 2);
    assert_eq!(some.events().len(), 2);
    assert_eq!(
        identity(&only(&failures)),
        Some(("mallory.example", "proven"))
    );
}

/// A sink that panics when it is only asked is no better, and ends nothing.
#[tokio::test]
async fn a_sink_that_panics_admits_no_peer() {
    struct Asked;
    impl AuditSink for Asked {
        fn record(&self, _: &Arc<AuditEvent>) -> Result<(), RecordError> {
            Ok(())
        }

        fn wants(&self, _: Action) -> bool {
            panic!("a sink with a bug")
        }
    }
    let ca = TestCa::new("Root");
    let (acceptor, refused) = admit(acceptor(&ca, policy::allow_any()).audit(Asked), &ca);
    assert_eq!(refused, Some("not_audited"));
    // Given up, it is asked while the future is dropped.
    let (near, _far) = tokio::io::duplex(1024);
    let accepting = acceptor.accept(near);
    let gone = tokio::time::timeout(std::time::Duration::from_millis(10), accepting);
    assert!(gone.await.is_err());
    assert_eq!(acceptor.control().stats().abandoned, 1);
}

/// An event that no sink wants is not built: the identity is not even formatted.
#[test]
fn an_event_without_a_sink_is_not_built() {
    struct Uninterested;
    impl AuditSink for Uninterested {
        fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
            panic!("{event}");
        }

        fn wants(&self, _: Action) -> bool {
            false
        }
    }
    let ca = TestCa::new("Root");
    let describe = |_: &DnsName| -> String { panic!("not needed") };
    let quiet = acceptor(&ca, policy::allow_any()).audit_as(Uninterested, describe);
    let (acceptor, refused) = admit(quiet, &ca);
    assert_eq!(
        (refused, acceptor.control().stats().admitted),
        (None, 1),
        "and counted all the same"
    );
}

/// The application's `Display` may have a bug, which is no reason to lose the event.
#[test]
fn an_identity_that_cannot_be_written_closes_no_connection() {
    struct Unspeakable;
    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("a bug")
        }
    }
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(|_: &countersign::Certificate| Ok(Unspeakable))
        .authorize(policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let leaf = ca.leaf().issue();
    acceptor
        .control()
        .admit_chain(leaf.chain(), ConnectionInfo::default())
        .unwrap();
    let event = only(&trail);
    assert_eq!((event.action, &event.identity), (Action::Admitted, &None));
}
