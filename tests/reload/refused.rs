//! Bad sets: none is applied, each is reported, once.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::reload::{Handle, Reload, Source};
use countersign::testing::der::pem;
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::{Acceptor, ConnectionInfo, TrustStore};
use tokio::time::{Instant, sleep};

use crate::material::{Folder, Material, Way, applied, at, connects, every_second, own_number};

/// A service with every kind of source, and what makes its loader panic.
struct Service {
    material: Material,
    files: Vec<(&'static str, String)>,
    folder: Folder,
    acceptor: Acceptor<DnsName>,
    denied: DenyList<DnsName>,
    panics: Arc<AtomicBool>,
}

impl Service {
    fn new() -> Self {
        let material = Material::new(0);
        let mut files = material.files();
        files.push(("policy.txt", "client.example\n".to_owned()));
        files.push(("deny.txt", "other.example\n".to_owned()));
        let folder = Folder::new(Way::Rename);
        folder.write(&files);
        let denied = DenyList::new();
        let acceptor = Acceptor::builder()
            .credentials(material.server.credentials())
            .trust(material.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .deny_list(&denied)
            .build()
            .unwrap();
        Self {
            material,
            files,
            folder,
            acceptor,
            denied,
            panics: Arc::default(),
        }
    }

    fn reload(&self) -> Reload<DnsName> {
        let panics = self.panics.clone();
        let path = |name| self.folder.path(name);
        self.folder
            .reload(&self.acceptor)
            .trust(
                Source::<TrustStore>::pem_file(path("ca.pem")).map(move |trust| {
                    assert!(!panics.load(Ordering::SeqCst), "a loader that panics");
                    trust
                }),
            )
            .policy(
                Source::text_file(path("policy.txt"))
                    .try_map(|text| policy::dns_patterns(text.lines())),
            )
            .deny_list(
                &self.denied,
                Source::text_file(path("deny.txt")).try_map(|text| {
                    let entries = (1..).zip(text.lines()).map(|(number, line)| {
                        let name = line.parse::<DnsName>();
                        name.map(DenyEntry::Identity)
                            .map_err(|error| format!("line {number}: {error}"))
                    });
                    entries.collect::<Result<Vec<_>, _>>()
                }),
            )
    }

    /// Files as they should be: nothing to reload.
    fn restore(&self) {
        self.panics.store(false, Ordering::SeqCst);
        for (name, content) in &self.files {
            self.clear(name);
            self.folder.replace(name, content);
        }
    }

    fn clear(&self, name: &str) {
        let path = self.folder.path(name);
        fs::remove_file(&path)
            .or_else(|_| fs::remove_dir(&path))
            .ok();
    }

    /// Makes the set a bad one, different each time; returns the reason and words of the report.
    fn spoil(&self, kind: usize, round: usize) -> (&'static str, &'static str) {
        let ca = &self.material.ca;
        let write = |name: &str, content: &str| self.folder.replace(name, content);
        let cut = |text: &str| text[..text.len() - 30 - round].to_owned();
        let other = || ca.leaf().dns("other.example").issue();
        let pair = |issued: &Issued| {
            write("tls.crt", &issued.chain_pem());
            write("tls.key", &issued.key_pem());
        };
        let [certificate, key, crl] = [0, 1, 3].map(|index: usize| self.files[index].1.as_str());
        match kind {
            0 => {
                write("tls.crt", &cut(certificate));
                ("pem_cut_off", "tls.crt, block 1 (line 1)")
            }
            1 => {
                write("tls.key", &cut(key));
                ("pem_cut_off", "tls.key, block 1 (line 1)")
            }
            2 => {
                write("tls.key", &other().key_pem());
                ("key_mismatch", "does not match certificate")
            }
            3 => {
                write("tls.crt", &other().chain_pem());
                ("key_mismatch", "does not match certificate")
            }
            4 => {
                write("tls.crt", &" ".repeat(round));
                ("no_pem_block", "tls.crt holds no PEM block")
            }
            5 => {
                write("tls.key", &"garbage ".repeat(round + 1));
                ("no_pem_block", "tls.key holds no PEM block")
            }
            6 => {
                write(
                    "tls.crt",
                    &certificate.replacen("MI", &format!("M!{round}"), 1),
                );
                ("pem_damaged", "tls.crt, block 1 (line 1) is damaged")
            }
            7 => {
                write("tls.crt", &pem("CERTIFICATE", &[0x30, round as u8]));
                ("malformed_certificate", "certificate 1 of the chain")
            }
            8 => {
                self.clear("tls.crt");
                ("unreadable_file", "tls.crt: No such file")
            }
            9 => {
                self.clear("tls.key");
                fs::create_dir(self.folder.path("tls.key")).unwrap();
                ("unreadable_file", "tls.key: Is a directory")
            }
            10 => {
                self.clear("ca.pem");
                symlink(format!("nowhere {round}"), self.folder.path("ca.pem")).unwrap();
                ("unreadable_file", "ca.pem: No such file")
            }
            11 => {
                pair(&ca.leaf().dns("server.example").expired().issue());
                ("own_certificate_expired", "expired at")
            }
            12 => {
                pair(&ca.leaf().dns("server.example").not_yet_valid().issue());
                ("own_certificate_not_yet_valid", "is not valid before")
            }
            13 => {
                let stale = TestCa::builder("Middle")
                    .validity(at(1000), at(2000))
                    .signed_by(ca);
                pair(&stale.leaf().dns("server.example").issue());
                ("own_certificate_expired", "\"CN=Middle\"")
            }
            14 => {
                write("ca.pem", &" ".repeat(round));
                ("no_pem_block", "ca.pem holds no PEM block")
            }
            15 => {
                write("ca.pem", &other().chain_pem());
                ("not_an_issuer", "may not issue certificates")
            }
            16 => {
                write(
                    "ca.pem",
                    &format!("{}{}", TestCa::new("New").pem(), cut(&ca.pem())),
                );
                ("pem_cut_off", "ca.pem, block 2 (line ")
            }
            17 => {
                // The root goes, its CRL stays, without an issuer.
                write("ca.pem", &ca.same_name_other_key().pem());
                ("crl_not_by_issuer", "is signed by no authority")
            }
            18 => {
                write("ca.crl", &ca.same_name_other_key().crl().pem());
                ("crl_not_by_issuer", "is signed by no authority")
            }
            19 => {
                // The good one, and one that is newer and forged.
                let forged = ca.crl().number(9).signature(vec![round as u8; 70]).pem();
                write("ca.crl", &format!("{crl}{forged}"));
                ("crl_not_by_issuer", "CRL 09 of \"CN=Root\"")
            }
            20 => {
                write("ca.crl", &cut(crl));
                ("pem_cut_off", "ca.crl, block 1 (line 1)")
            }
            21 => {
                write("policy.txt", &format!("a{round}.example\n*.*.example\n"));
                ("wildcard_not_leftmost", "policy.txt: \"*.*.example\"")
            }
            22 => {
                write("deny.txt", &format!("a{round}.example\nnot a name\n"));
                ("load_failed", "deny.txt: line 2: ")
            }
            23 => {
                self.folder.replace("deny.txt", b"a.example\n\xff\n");
                ("not_text", "deny.txt, line 2: not UTF-8")
            }
            24 => {
                self.clear("ca.crl");
                drop(UnixListener::bind(self.folder.path("ca.crl")).unwrap());
                ("not_a_file", "ca.crl is neither a file nor a folder")
            }
            25 => {
                self.clear("ca.crl");
                let file = fs::File::create(self.folder.path("ca.crl")).unwrap();
                file.set_len((256 << 20) + 1 + round as u64).unwrap();
                ("too_large", "ca.crl is larger than 268435456 bytes")
            }
            26 => {
                write("ca.pem", &format!("{}{}", ca.pem(), "\n".repeat(round + 1)));
                self.panics.store(true, Ordering::SeqCst);
                ("panicked", "trust: the loader panicked")
            }
            _ => {
                let path = self.folder.path("tls.key");
                write("tls.key", &other().key_pem());
                fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
                match fs::read(&path) {
                    Err(_) => ("unreadable_file", "tls.key: Permission denied"),
                    // Nothing is forbidden to root.
                    Ok(_) => ("key_mismatch", "does not match certificate"),
                }
            }
        }
    }
}

const KINDS: usize = 28;

/// Says nothing of the panics that are made.
fn expect_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload().downcast_ref::<&str>();
        let expected = payload == Some(&"a loader that panics");
        if !expected {
            hook(panic);
        }
    }));
}

/// The last report of a refusal, and how many there were.
fn report(handle: &Handle) -> (u64, &'static str, String) {
    let status = handle.status();
    let refusal = status.last_error.expect("reported");
    (
        status.refused,
        refusal.error.reason(),
        refusal.error.to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn two_hundred_bad_sets_are_reported_and_none_is_applied() {
    expect_panics();
    let service = Service::new();
    let (handle, mut generations) = every_second(service.reload()).await;
    let mut refused = 0;
    for round in 0..8 {
        for kind in 0..KINDS {
            let (reason, words) = service.spoil(kind, round);
            // By hand, and by the interval, where it stays bad for many looks.
            if round % 2 == 0 {
                let error = handle.reload_now().await.unwrap_err();
                assert_eq!(error.reason(), reason, "kind {kind}: {error}");
            } else {
                sleep(Duration::from_secs(10)).await;
            }
            refused += 1;
            let (count, reported, text) = report(&handle);
            assert_eq!((count, reported), (refused, reason), "kind {kind}: {text}");
            assert!(text.contains(words), "kind {kind}: {text}");

            let info = ConnectionInfo::default();
            let admitted = service
                .acceptor
                .control()
                .admit_chain(service.material.client.chain(), info);
            assert!(admitted.is_ok(), "kind {kind}: {admitted:?}");
            service.restore();
            sleep(Duration::from_secs(2)).await;
            assert!(handle.status().last_error.is_none(), "kind {kind}");
        }
    }
    assert_eq!(refused, 224);
    let status = handle.status();
    assert_eq!((status.applied, status.refused), (1, refused));
    assert_eq!(status.generation, 2, "that of the start");
    assert!(!generations.has_changed().unwrap());
    assert_eq!(connects(&service.acceptor, &service.material).await, Ok(0));
    // The positive twin: a good one is applied.
    service.folder.replace("policy.txt", "*.example\n");
    applied(&mut generations).await;
    assert_eq!(handle.status().applied, 2);
}

/// An error at the start is given back, and nothing goes on.
#[tokio::test(start_paused = true)]
async fn nothing_starts_with_a_bad_set() {
    expect_panics();
    let service = Service::new();
    for kind in 0..KINDS {
        let (reason, words) = service.spoil(kind, 0);
        let error = service.reload().start().await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        service.restore();
    }
    assert_eq!(service.acceptor.control().generation(), 1);
    let _handle = service.reload().start().await.unwrap();
    assert_eq!(service.acceptor.control().generation(), 2);
}

/// A certificate that is not valid yet waits for its time, without another word.
#[tokio::test(start_paused = true)]
async fn a_rejected_set_may_become_good_without_a_change() {
    let material = Material::new(0);
    let clock = FixedClock::now();
    let folder = Folder::with(Way::Rename, &material);
    let acceptor = support::acceptor(&material.ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
    let now = clock.time().as_secs();
    let soon = material
        .ca
        .leaf()
        .common_name("set 1")
        .dns("server.example")
        .validity(at(now + 60), at(now + 3600))
        .issue();
    folder.replace("tls.crt", soon.chain_pem());
    folder.replace("tls.key", soon.key_pem());
    sleep(Duration::from_secs(300)).await;
    let (count, reason, _) = report(&handle);
    assert_eq!((count, reason), (1, "own_certificate_not_yet_valid"));
    clock.advance(Duration::from_secs(60));
    applied(&mut generations).await;
    let status = handle.status();
    assert_eq!(own_number(&status), 1);
    assert!(status.last_error.is_none());
    assert_eq!(status.refused, 1);
}

#[tokio::test(start_paused = true)]
async fn files_that_change_constantly_are_reported_once() {
    let material = Material::new(0);
    let folder = Arc::new(Folder::with(Way::Rename, &material));
    let acceptor = material.acceptor();
    let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
    let busy = {
        let folder = folder.clone();
        let root = material.ca.pem();
        tokio::spawn(async move {
            for number in 0.. {
                folder.replace("ca.pem", format!("{root}# {number}\n"));
                sleep(Duration::from_millis(60)).await;
            }
        })
    };
    sleep(Duration::from_secs(60)).await;
    let (count, reason, text) = report(&handle);
    assert_eq!((count, reason), (1, "keeps_changing"), "{text}");
    assert!(text.contains("each of 11 reads"), "{text}");
    assert_eq!(handle.status().applied, 1);
    busy.abort();
    applied(&mut generations).await;
    assert!(handle.status().last_error.is_none());
}

/// A bad set that stays as it is is loaded once, and again after a whole interval.
#[tokio::test(start_paused = true)]
async fn a_stable_bad_set_is_rejected_at_once_and_tried_again_after_an_interval() {
    let material = Material::new(0);
    let folder = Folder::with(Way::Rename, &material);
    let acceptor = material.acceptor();
    let (handle, _generations) = every_second(folder.reload(&acceptor)).await;
    sleep(Duration::from_millis(500)).await;
    let before = handle.status().attempts;
    folder.replace("tls.key", "garbage");
    let start = Instant::now();
    let error = handle.reload_now().await.unwrap_err();
    assert_eq!(error.reason(), "no_pem_block");
    assert!(start.elapsed() < Duration::from_secs(1), "not ten times");
    let attempts = || handle.status().attempts - before;
    let first = attempts();
    assert_eq!(first, 1);
    // The worker looks at the files, finds the same, and does not load them.
    sleep(Duration::from_millis(700)).await;
    assert_eq!(attempts(), first);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(attempts(), first + 1);
    assert_eq!(handle.status().refused, 1);
}

/// A list that no gate consults would deny no peer.
#[tokio::test(start_paused = true)]
async fn the_deny_list_must_be_the_acceptors() {
    let service = Service::new();
    let entries = || Source::fixed(vec![DenyEntry::Identity("a.example".parse().unwrap())]);
    let other = Reload::of(&service.acceptor).deny_list(&DenyList::new(), entries());
    let error = other.start().await.unwrap_err();
    assert_eq!(error.reason(), "other_deny_list");
    let own = Reload::of(&service.acceptor).deny_list(&service.denied, entries());
    let _handle = own.start().await.unwrap();
    assert_eq!(service.denied.len(), 1);
}
