//! Pushes, status, warnings, and the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::reload::{Part, Reload, Source};
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, TrustStore, Update, policy};
use tokio::time::{sleep, timeout};

use crate::material::{Folder, Material, Way, applied, at, connects, every_second, own_number};
use support::SERVER;

#[tokio::test(start_paused = true)]
async fn what_the_application_pushes_is_proved_and_counted() {
    let (old, new) = (Material::new(0), Material::new(1));
    let acceptor = old.acceptor();
    // Nothing but pushes.
    let (handle, mut generations) = every_second(Reload::of(&acceptor)).await;
    assert_eq!(handle.status().generation, 1);
    let crls = |material: &Material| Crls::from_bytes(material.ca.crl().pem()).unwrap();
    let whole = Update::new()
        .credentials(new.server.credentials())
        .trust(new.ca.trust())
        .revocation(crls(&new));
    let done = handle.update(whole).await.unwrap();
    assert_eq!((done.generation, done.changed), (2, vec![Part::Pushed]));
    assert_eq!(applied(&mut generations).await, 2);
    assert_eq!(connects(&acceptor, &new).await, Ok(1));
    assert_eq!(own_number(&handle.status()), 1);

    let expired = new.ca.leaf().dns(SERVER).expired().issue();
    let early = new.ca.leaf().dns(SERVER).not_yet_valid().issue();
    for (update, reason) in [
        (Update::new().trust(TrustStore::empty()), "empty_trust"),
        (Update::new().revocation(crls(&old)), "crl_not_by_issuer"),
        (Update::new().trust(old.ca.trust()), "crl_not_by_issuer"),
        (
            Update::new().credentials(expired.credentials()),
            "own_certificate_expired",
        ),
        (
            Update::new().credentials_for(SERVER, early.credentials()),
            "own_certificate_not_yet_valid",
        ),
    ] {
        let error = handle.update(update).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        let refusal = handle.status().last_error.unwrap();
        assert_eq!(refusal.error.reason(), reason);
        // That the files are as they were is no answer to it.
        handle.reload_now().await.unwrap();
        assert!(handle.status().last_error.is_some());
    }
    // The same proofs without a reload.
    let error = acceptor
        .control()
        .update(Update::new().trust(old.ca.trust()));
    assert_eq!(error.unwrap_err().reason(), "crl_not_by_issuer");

    let status = handle.status();
    assert_eq!((status.attempts, status.applied, status.refused), (6, 1, 5));
    assert_eq!(status.generation, 2);
    assert!(!generations.has_changed().unwrap());
    // CRLs of strangers are no concern, as their certificates may come with a peer.
    let strangers = Crls::from_bytes(TestCa::new("Stranger").crl().pem()).unwrap();
    let both = Update::new().revocation(crls(&new).and(strangers));
    handle.update(both).await.unwrap();
    assert!(handle.status().last_error.is_none());
}

/// What is pushed holds until its file changes.
#[tokio::test(start_paused = true)]
async fn a_push_holds_until_the_file_changes() {
    let sets: Vec<_> = (0..3).map(Material::new).collect();
    let folder = Folder::with(Way::Rename, &sets[0]);
    let acceptor = sets[0].acceptor();
    let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
    let pushed = Update::new().credentials(sets[1].server.credentials());
    handle.update(pushed).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(own_number(&handle.status()), 1);
    generations.mark_unchanged();
    folder.write(&sets[2].files());
    applied(&mut generations).await;
    assert_eq!(own_number(&handle.status()), 2);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_handle() {
    let sets: Vec<_> = (0..3).map(Material::new).collect();
    let folder = Folder::with(Way::Rename, &sets[0]);
    let acceptor = sets[0].acceptor();
    let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
    let clone = handle.clone();
    drop(handle);
    folder.write(&sets[1].files());
    applied(&mut generations).await;
    drop(clone);
    let ended = timeout(Duration::from_secs(10), generations.changed()).await;
    assert!(ended.expect("it ends").is_err());
    folder.write(&sets[2].files());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(connects(&acceptor, &sets[1]).await, Ok(1), "as it was left");
}

/// Whoever asks for a reload and does not wait for it gets it nevertheless.
#[tokio::test(start_paused = true)]
async fn a_reload_is_not_cancelled() {
    let (old, new) = (Material::new(0), Material::new(1));
    let folder = Folder::with(Way::Rename, &old);
    let acceptor = old.acceptor();
    let handle = folder
        .reload(&acceptor)
        .every(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    let mut generations = handle.generations();
    folder.write(&new.files());
    let impatient = timeout(Duration::from_millis(100), handle.reload_now()).await;
    assert!(impatient.is_err());
    let waited = timeout(Duration::from_secs(60), generations.changed()).await;
    waited.expect("applied").unwrap();
    assert_eq!(own_number(&handle.status()), 1);
}

#[tokio::test]
async fn without_its_runtime_it_reports_that() {
    let material = Material::new(0);
    let acceptor = material.acceptor();
    let reload = Reload::of(&acceptor);
    let handle = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(reload.start()).unwrap()
    })
    .join()
    .unwrap();
    let error = handle.reload_now().await.unwrap_err();
    assert_eq!(error.reason(), "stopped");
    assert_eq!(handle.status().certificates.len(), 1);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines since the last time: those of the audit trail, and the reload's own.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let ours = ["countersign::audit", "countersign::reload"];
        let lines = text
            .lines()
            .filter(|line| ours.iter().any(|target| line.contains(target)));
        lines.map(str::to_owned).collect()
    }

    /// The only line since the last time.
    fn only(&self) -> String {
        let lines = self.take();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines[0].clone()
    }
}

/// All events in one test, because tracing caches which events have a subscriber.
#[tokio::test(start_paused = true)]
async fn events_and_warnings() {
    support::in_own_process!(events_and_warnings);
    let log = Log::default();
    // With a single subscriber, tracing asks that of the thread on which an event occurs first. In
    // another test's thread there is none, and the event would be off for this test too.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer({
                let log = log.clone();
                move || log.clone()
            })
            .finish(),
    );
    let clock = FixedClock::now();
    let now = clock.time().as_secs();
    let ca = TestCa::new("Root");
    // A lifetime of 90 days, which begins now.
    const DAY: u64 = 86_400;
    let leaf = |number: usize, start: u64| {
        ca.leaf()
            .common_name(&format!("set {number}"))
            .dns(SERVER)
            .validity(at(start), at(start + 90 * DAY))
            .issue()
    };
    let folder = Folder::new(Way::Rename);
    let write = |leaf: &Issued| {
        folder.replace("tls.crt", leaf.chain_pem() + &leaf.key_pem());
    };
    write(&leaf(0, now));
    let acceptor: Acceptor<DnsName> = Acceptor::builder()
        .credentials(leaf(0, now).credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let path = || folder.path("tls.crt");
    let source = Source::pem_files(path(), path());
    let (handle, mut generations) = every_second(Reload::of(&acceptor).credentials(source)).await;
    let started = log.only();
    assert!(started.contains("INFO"), "{started}");
    assert!(started.contains("reload applied"), "{started}");
    assert!(started.contains("generation=2"), "{started}");
    assert!(started.contains("changed=credentials"), "{started}");
    let left = |days: u64| Duration::from_secs(days * DAY);
    assert_eq!(handle.status().certificates[0].left, left(90));

    // A third, a tenth, and none of its lifetime is left: each is logged once.
    clock.advance(left(59));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(log.take(), Vec::<String>::new());
    for (days, level, words, remains) in [
        (1, "WARN", "expires soon", 30),
        (21, "WARN", "expires soon", 9),
        (10, "ERROR", "has expired", 0),
    ] {
        clock.advance(left(days));
        sleep(Duration::from_secs(5)).await;
        let logged = log.only();
        assert!(logged.contains(level) && logged.contains(words), "{logged}");
        assert!(logged.contains("CN=set 0"), "{logged}");
        assert_eq!(handle.status().certificates[0].left, left(remains));
    }

    // A bad file is logged once, with its name; so is its return.
    folder.replace("tls.crt", "garbage");
    sleep(Duration::from_secs(30)).await;
    let logged = log.only();
    assert!(
        logged.contains("WARN") && logged.contains("reload refused"),
        "{logged}"
    );
    assert!(logged.contains("reason=\"no_pem_block\""), "{logged}");
    assert!(logged.contains("tls.crt holds no PEM block"), "{logged}");
    write(&leaf(1, now + 90 * DAY));
    applied(&mut generations).await;
    let [taken, recovered] = &log.take()[..] else {
        panic!("two lines are expected");
    };
    assert!(taken.contains("reload applied"), "{taken}");
    assert!(recovered.contains("INFO"), "{recovered}");
    assert!(recovered.contains("has recovered"), "{recovered}");
    assert!(recovered.contains("no_pem_block"), "{recovered}");
    assert!(handle.status().last_error.is_none());
    assert_eq!(handle.status().last_success, clock.time());

    // The next one warns for itself: here of two stages at once, the last one only.
    clock.advance(left(82));
    sleep(Duration::from_secs(5)).await;
    let logged = log.only();
    assert!(
        logged.contains("CN=set 1") && logged.contains("WARN"),
        "{logged}"
    );
    drop(handle);
    let ended = timeout(Duration::from_secs(5), generations.changed()).await;
    assert!(ended.unwrap().is_err());
    assert!(log.only().contains("the reload stopped"));
}
