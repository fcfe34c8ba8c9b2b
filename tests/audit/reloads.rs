//! Reloads, and the age of our own certificate.

use std::time::Duration;

use countersign::audit::{Action, Memory};
use countersign::pki::OwnCertificateChecks;
use countersign::reload::{Reload, Source};
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::{CrlRollback, Crls, Revocation};
use countersign::{Acceptor, Credentials, Update, policy};
use rustls_pki_types::UnixTime;
use tokio::time::sleep;

use crate::{only, schema};
use support::SERVER;

const DAY: u64 = 86_400;

#[tokio::test(start_paused = true)]
async fn what_was_taken_what_was_not_and_what_runs_out() {
    let clock = FixedClock::now();
    let now = clock.time().as_secs();
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let ca = TestCa::new("Root");
    let leaf = ca
        .leaf()
        .dns(SERVER)
        .validity(at(now), at(now + 90 * DAY))
        .issue();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tls.pem");
    std::fs::write(&path, leaf.chain_pem() + &leaf.key_pem()).unwrap();
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(leaf.credentials())
        .trust(ca.trust())
        .identify(countersign::identity::DnsName::extractor())
        .authorize(policy::allow_any())
        .clock(clock.clone())
        .audit(trail.clone())
        .build()
        .unwrap();
    let handle = Reload::of(&acceptor)
        .credentials(Source::pem_files(&path, &path))
        .every(Duration::from_secs(1))
        .start()
        .await
        .unwrap();
    let event = only(&trail);
    assert_eq!((event.action, event.generation), (Action::ReloadApplied, 2));
    assert_eq!(event.reloaded, ["credentials"]);

    std::fs::write(&path, "garbage").unwrap();
    handle.reload_now().await.unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ReloadRefused, Some("no_pem_block"))
    );
    assert!(event.detail.as_ref().unwrap().contains("tls.pem"));
    assert_eq!(event.generation, 2, "what was in force still is");

    std::fs::write(&path, leaf.chain_pem() + &leaf.key_pem()).unwrap();
    let applied = handle.reload_now().await.unwrap();
    assert!(applied.changed.is_empty());
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ReloadRecovered, Some("no_pem_block"))
    );

    for (days, reason) in [
        (61, "own_certificate_expiring"),
        (30, "own_certificate_expired"),
    ] {
        clock.advance(Duration::from_secs(days * DAY));
        sleep(Duration::from_secs(5)).await;
        let event = only(&trail);
        assert_eq!(
            (event.action, event.reason),
            (Action::CertificateExpiring, Some(reason))
        );
        assert_eq!(event.own_certificate.as_ref().unwrap(), &leaf.certificate());
    }
    let stats = acceptor.control().stats();
    assert_eq!(stats.own_certificate_left, Some(Duration::ZERO));
    assert_eq!((stats.crl_age, stats.generation), (None, 2));
}

#[test]
fn stats_have_the_age_of_the_oldest_crl_in_force() {
    let clock = FixedClock::now();
    let made = |days: u64| {
        let time = clock.time().as_secs() - days * DAY;
        UnixTime::since_unix_epoch(Duration::from_secs(time))
    };
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let crl = |ca: &TestCa, number, days| {
        let crl = ca.crl().number(number).this_update(made(days));
        countersign::pki::Crl::from_der(&crl.build()).unwrap()
    };
    let leaf = ca.leaf().dns(SERVER).issue();
    let acceptor = |crls: Vec<countersign::pki::Crl>| {
        Acceptor::builder()
            .credentials(leaf.credentials())
            .trust(ca.trust())
            .identify(countersign::identity::DnsName::extractor())
            .authorize(policy::allow_any())
            .clock(clock.clone())
            .revocation(Crls::new(crls).unwrap())
            .build()
            .unwrap()
    };
    let age = |crls| acceptor(crls).control().stats().crl_age.unwrap().as_secs() / DAY;
    assert_eq!(age(vec![crl(&ca, 1, 3)]), 3);
    // One that was replaced does not count; one of another authority does.
    assert_eq!(age(vec![crl(&ca, 1, 9), crl(&ca, 2, 3)]), 3);
    assert_eq!(age(vec![crl(&ca, 2, 3), crl(&other, 1, 5)]), 5);
    // Nor does one that is not in force yet, nor does it replace another.
    let future = UnixTime::since_unix_epoch(Duration::from_secs(clock.time().as_secs() + DAY));
    let future = ca.crl().number(9).this_update(future).build();
    let future = countersign::pki::Crl::from_der(&future).unwrap();
    assert_eq!(age(vec![crl(&ca, 1, 9), future]), 9);
}

#[test]
fn our_own_credentials_are_checked_when_they_are_put_in_use() {
    let ca = TestCa::new("Root");
    let good = ca.leaf().dns(SERVER).issue();
    let of_client = ca.leaf().dns(SERVER).client_only().issue();
    let build = |credentials, checks| {
        let trail = Memory::new();
        let acceptor = Acceptor::builder()
            .credentials(credentials)
            .trust(ca.trust())
            .identify(countersign::identity::DnsName::extractor())
            .authorize(policy::allow_any())
            .own_certificate_checks(checks)
            .audit(trail.clone())
            .build();
        acceptor.map(|acceptor| (acceptor, trail))
    };
    let (enforce, report) = (OwnCertificateChecks::Enforce, OwnCertificateChecks::Report);
    let (acceptor, trail) = build(good.credentials(), enforce).unwrap();
    assert!(trail.take().is_empty());

    // What every peer rejects is an error, and changes nothing.
    let error = build(of_client.credentials(), enforce).unwrap_err();
    assert_eq!(error.reason(), "own_certificate_purpose");
    let update = |acceptor: &Acceptor<_>, credentials| {
        let update = Update::new().credentials(credentials);
        acceptor.control().update(update)
    };
    let error = update(&acceptor, of_client.credentials()).unwrap_err();
    assert_eq!(error.reason(), "own_certificate_purpose");
    assert_eq!(acceptor.control().generation(), 1);

    // Or a warning, by choice.
    let (reporting, trail) = build(of_client.credentials(), report).unwrap();
    let event = only(&trail);
    let purpose = Some("own_certificate_purpose");
    assert_eq!(
        (event.action, event.reason),
        (Action::CredentialsWarning, purpose)
    );
    assert_eq!(event.own_certificate, Some(of_client.certificate()));
    update(&reporting, of_client.credentials()).unwrap();
    let event = only(&trail);
    assert_eq!((event.reason, event.generation), (purpose, 2));

    // A file that is unusual.
    let marked = format!("\u{feff}{}", good.chain_pem());
    let marked = Credentials::from_pem(marked, good.key_pem()).unwrap();
    let (_, trail) = build(marked, enforce).unwrap();
    assert_eq!(only(&trail).reason, Some("byte_order_mark"));
}

/// A process can start with an expired certificate, and say so; it does not replace a valid one with it.
#[test]
fn an_expired_certificate_is_a_warning_at_the_start_and_an_error_later() {
    let ca = TestCa::new("Root");
    let (good, expired) = (
        ca.leaf().dns(SERVER).issue(),
        ca.leaf().dns(SERVER).expired().issue(),
    );
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(expired.credentials())
        .trust(ca.trust())
        .identify(countersign::identity::DnsName::extractor())
        .authorize(policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::CredentialsWarning, Some("own_certificate_expired"))
    );
    let update = |credentials| {
        let update = Update::new().credentials(credentials);
        acceptor.control().update(update)
    };
    let error = update(expired.credentials()).unwrap_err();
    assert_eq!(error.reason(), "own_certificate_expired");
    update(good.credentials()).unwrap();
    assert!(trail.take().is_empty());
}

/// A reload records its refusal, and the update that it tried does not record it again.
#[tokio::test(start_paused = true)]
async fn a_reload_to_an_earlier_crl_is_rejected_in_one_event() {
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crl");
    let write = |number| std::fs::write(&path, ca.crl().number(number).pem()).unwrap();
    write(2);
    let trail = Memory::new();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(countersign::identity::DnsName::extractor())
        .authorize(policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let handle = Reload::of(&acceptor)
        .revocation(Source::<Crls>::file(&path).map(Revocation::new))
        .start()
        .await
        .unwrap();
    assert_eq!(only(&trail).action, Action::ReloadApplied);
    write(1);
    handle.reload_now().await.unwrap_err();
    let event = only(&trail);
    let reason = Some("crl_rolled_back");
    assert_eq!(
        (event.action, event.reason),
        (Action::ReloadRefused, reason)
    );
    assert_eq!(acceptor.control().generation(), 2);
    write(3);
    handle.reload_now().await.unwrap();
    let [applied, recovered] = &trail.take()[..] else {
        panic!("two events are expected");
    };
    assert_eq!(applied.action, Action::ReloadApplied);
    assert_eq!(
        (recovered.action, recovered.reason),
        (Action::ReloadRecovered, reason)
    );
    let json = schema::assert_valid(&schema::of_events(), recovered);
    assert_eq!(json["event"]["action"], "reload_recovered");
    assert_eq!(json["event"]["outcome"], "success");

    // Allowed, it is an event that a log reader can alert on.
    let crls = Crls::from_bytes(ca.crl().number(1).pem()).unwrap();
    let allowed = Revocation::new(crls).rollback(CrlRollback::Allow);
    acceptor
        .control()
        .update(Update::new().revocation(allowed))
        .unwrap();
    let event = only(&trail);
    assert_eq!(event.action, Action::CrlRolledBack);
    let json = schema::assert_valid(&schema::of_events(), &event);
    assert_eq!(json["event"]["action"], "crl_rolled_back");
    assert_eq!(json["event"]["category"][0], "configuration");
    assert_eq!(json["log"]["level"], "warn");
}
