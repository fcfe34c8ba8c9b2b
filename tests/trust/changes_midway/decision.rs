//! After the handshake, while the extractor or the policy is at it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::{DnsName, IdentityExtractor as _};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{FixedClock, TestCa};
use countersign::{Acceptor, Certificate, Connector, Decision, Peer, Update};
use rustls::{AlertDescription, Error};
use rustls_pki_types::UnixTime;
use tokio::time::sleep;

use support::raw::RawClient;
use support::raw_server::RawServer;
use support::{SERVER, VERSIONS, Version, provider};

/// Who is at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Extractor,
    Policy,
    /// It comes to its answer a second later.
    AsyncPolicy,
}

const STEPS: [Step; 3] = [Step::Extractor, Step::Policy, Step::AsyncPolicy];

#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Trust,
    DenyList,
    Expiry,
}

/// What a step does on the side, once it is known.
type Aside = Arc<Mutex<Option<Box<dyn Fn() + Send>>>>;

#[tokio::test(start_paused = true)]
async fn an_acceptor_decides_by_what_holds_in_the_end() {
    for version in VERSIONS {
        for resumes in [false, true] {
            for step in STEPS {
                for change in [
                    Change::Nothing,
                    Change::Trust,
                    Change::DenyList,
                    Change::Expiry,
                ] {
                    one_client(version, resumes, step, change).await;
                }
            }
        }
    }
}

async fn one_client(version: Version, resumes: bool, step: Step, change: Change) {
    let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
    let (aside, denied) = (Aside::default(), DenyList::new());
    let issued = ca
        .leaf()
        .dns("client.example")
        .validity(clock.time(), an_hour_after(&clock))
        .issue();
    let builder = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust());
    let builder = builder.identify(extractor(step, &aside));
    let builder = match step {
        Step::AsyncPolicy => {
            let aside = aside.clone();
            let policy = move |_: Peer<DnsName>| slow(aside.clone());
            builder.authorize_async(policy, Duration::from_secs(5))
        }
        _ => builder.authorize(policy(step, &aside)),
    };
    let acceptor = builder
        .allow_tls12()
        .clock(clock.clone())
        .deny_list(&denied)
        .verification_cache(0) // or the extractor would not be asked again
        .build()
        .unwrap();
    let client = RawClient::new(&ca, version, Some(&issued));
    if resumes {
        client.sessions.collect();
        client.call(&acceptor).await.0.unwrap();
        client.sessions.spend();
    }

    let other = TestCa::new("Another Root");
    let changed = acceptor.clone();
    *aside.lock().unwrap() = Some(Box::new(move || match change {
        Change::Nothing => {}
        Change::Trust => {
            changed
                .control()
                .update(Update::new().trust(other.trust()))
                .unwrap();
        }
        Change::DenyList => {
            denied.insert(DenyEntry::Identity("client.example".parse().unwrap()));
        }
        Change::Expiry => clock.advance(Duration::from_secs(3601)),
    }));
    let (server, seen) = client.call(&acceptor).await;
    let (reason, alert) = match change {
        Change::Nothing => {
            assert_eq!(server.unwrap(), resumes);
            return;
        }
        Change::Trust => ("unknown_issuer", AlertDescription::UnknownCA),
        Change::DenyList => ("deny_listed", AlertDescription::AccessDenied),
        Change::Expiry => ("expired", AlertDescription::CertificateExpired),
    };
    let at = format!("{version:?}, resumes: {resumes}, {step:?}, {change:?}");
    assert_eq!(server.unwrap_err().reason(), reason, "{at}");
    assert_eq!(seen.end, Err(Error::AlertReceived(alert)), "{at}");
}

#[tokio::test(start_paused = true)]
async fn a_connector_does_too() {
    for version in VERSIONS {
        for resumes in [false, true] {
            for step in [Step::Extractor, Step::Policy] {
                for changes in [false, true] {
                    let ca = TestCa::new("Root");
                    let aside = Aside::default();
                    let server = RawServer::new(&ca, &ca.leaf().dns(SERVER).issue());
                    let connector = Connector::builder()
                        .credentials(ca.leaf().dns("client.example").issue().credentials())
                        .trust(ca.trust())
                        .identify(extractor(step, &aside))
                        .authorize(policy(step, &aside))
                        .allow_tls12()
                        .crypto_provider(provider(version))
                        .verification_cache(0)
                        .build()
                        .unwrap();
                    if resumes {
                        assert!(!server.serve(&connector, SERVER).await.unwrap());
                    }
                    if changes {
                        let other = TestCa::new("Another Root");
                        let changed = connector.clone();
                        *aside.lock().unwrap() = Some(Box::new(move || {
                            changed
                                .control()
                                .update(Update::new().trust(other.trust()))
                                .unwrap();
                        }));
                    }
                    let result = server.serve(&connector, SERVER).await;
                    let result = result.map_err(|error| error.reason());
                    let expected = if changes {
                        Err("unknown_issuer")
                    } else {
                        Ok(resumes)
                    };
                    assert_eq!(result, expected, "{version:?}, {step:?}");
                }
            }
        }
    }
}

fn extractor(
    step: Step,
    aside: &Aside,
) -> impl Fn(&Certificate) -> Result<DnsName, countersign::identity::IdentityError> + use<> {
    let aside = aside.clone();
    move |certificate| {
        if step == Step::Extractor {
            run(&aside);
        }
        DnsName::extractor().extract(certificate)
    }
}

fn policy(step: Step, aside: &Aside) -> impl Fn(&Peer<DnsName>) -> Decision + use<> {
    let aside = aside.clone();
    move |_| {
        if step == Step::Policy {
            run(&aside);
        }
        Decision::allow("any peer")
    }
}

async fn slow(aside: Aside) -> Decision {
    sleep(Duration::from_secs(1)).await;
    run(&aside);
    Decision::allow("any peer before")
}

fn run(aside: &Aside) {
    if let Some(aside) = &*aside.lock().unwrap() {
        aside();
    }
}

fn an_hour_after(clock: &FixedClock) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(clock.time().as_secs() + 3600))
}
