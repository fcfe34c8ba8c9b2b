//! Every way to replace files is noticed within two intervals.
//!
//! The clock is tokio's, and is stopped while work is done, so that the times are exact.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::TrustStore;
use countersign::reload::{Reload, Source};
use countersign::trust::Crls;
use tokio::time::{Instant, sleep};

use crate::material::{Folder, Material, WAYS, Way, applied, connects, every_second, own_number};

const TWO_SECONDS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn every_way_is_noticed_within_two_seconds() {
    for way in WAYS {
        let first = Material::new(0);
        let folder = Folder::with(way, &first);
        let acceptor = first.acceptor();
        let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
        for number in 1..=20 {
            // At any moment between two looks.
            sleep(Duration::from_millis(number as u64 * 137)).await;
            let next = Material::new(number);
            folder.write(&next.files());
            let start = Instant::now();
            let generation = applied(&mut generations).await;
            assert!(start.elapsed() <= TWO_SECONDS, "{way:?}: {number}");
            assert_eq!(generation, number as u64 + 2, "{way:?}");
            assert_eq!(own_number(&handle.status()), number, "{way:?}");
            assert_eq!(connects(&acceptor, &next).await, Ok(number), "{way:?}");
        }
        assert_eq!(first.refused_by(&acceptor), Some("bad_signature"));
        let status = handle.status();
        assert_eq!((status.applied, status.refused), (21, 0), "{way:?}");
    }
}

/// What is half-written is neither applied nor reported. With a pause in which files stand still
/// for long enough, what is whole by then is applied: a pair, or a root with its CRL.
#[tokio::test(start_paused = true)]
async fn a_slow_writer_is_waited_for() {
    let first = Material::new(0);
    let folder = Folder::with(Way::Rewrite, &first);
    let acceptor = first.acceptor();
    let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
    for (number, pause) in (1..).zip([50, 150, 400, 900]) {
        let next = Material::new(number);
        for (name, content) in next.files() {
            let mut file = OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(folder.path(name))
                .unwrap();
            for chunk in content.as_bytes().chunks(content.len() / 5) {
                sleep(Duration::from_millis(pause)).await;
                let early = pause < 200 && generations.has_changed().unwrap();
                assert!(!early, "{name}, {pause} ms");
                file.write_all(chunk).unwrap();
            }
        }
        let start = Instant::now();
        while next.refused_by(&acceptor).is_some() {
            applied(&mut generations).await;
        }
        assert!(start.elapsed() <= TWO_SECONDS, "{pause} ms");
        assert_eq!(connects(&acceptor, &next).await, Ok(number));
    }
    let status = handle.status();
    assert!(status.attempts > status.applied, "{status:?}");
    assert_eq!(status.refused, 0, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn files_of_a_folder_come_and_go() {
    let (one, two) = (Material::new(1), Material::new(2));
    let roots = Folder::new(Way::Rename);
    let crls = Folder::new(Way::Rename);
    roots.replace("1.pem", one.ca.pem());
    crls.replace("1.crl", one.ca.crl().pem());
    let acceptor = one.acceptor();
    let reload = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_dir(roots.path("")))
        .revocation(Source::<Crls>::dir(crls.path("")));
    let (handle, mut generations) = every_second(reload).await;
    assert_eq!(one.refused_by(&acceptor), None);

    roots.replace("2.pem", two.ca.pem());
    applied(&mut generations).await;
    let status = two.refused_by(&acceptor);
    assert_eq!(status, Some("unknown_revocation_status"), "not yet its CRL");
    crls.replace("2.crl", two.ca.crl().pem());
    applied(&mut generations).await;
    assert_eq!(two.refused_by(&acceptor), None);
    // A root and its CRL go together: a CRL in its name would have no issuer.
    fs::remove_file(crls.path("1.crl")).unwrap();
    fs::remove_file(roots.path("1.pem")).unwrap();
    applied(&mut generations).await;
    assert_eq!(one.refused_by(&acceptor), Some("bad_signature"));
    assert_eq!(two.refused_by(&acceptor), None);

    // What the loaders do not read changes nothing.
    roots.replace("README", "roots of our clients");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(handle.status().refused, 0);
}

/// The same content, written anew, is no change; and only the part that changes is replaced.
#[tokio::test(start_paused = true)]
async fn only_what_has_changed_is_replaced() {
    for way in WAYS {
        let first = Material::new(0);
        let mut files = first.files();
        let folder = Folder::new(way);
        folder.write(&files);
        let acceptor = first.acceptor();
        let loaded = Arc::new(AtomicUsize::new(0));
        let count = loaded.clone();
        let trust = Source::<TrustStore>::pem_file(folder.path("ca.pem")).map(move |trust| {
            count.fetch_add(1, Ordering::SeqCst);
            trust
        });
        let reload = folder.reload(&acceptor).trust(trust);
        let (handle, mut generations) = every_second(reload).await;
        assert_eq!(handle.status().generation, 2);
        for _ in 0..3 {
            folder.write(&files);
            sleep(Duration::from_secs(5)).await;
        }
        let nothing = handle.reload_now().await.unwrap();
        assert_eq!((nothing.generation, nothing.changed.len()), (2, 0));
        assert!(!generations.has_changed().unwrap());
        assert_eq!(handle.status().attempts, 1, "{way:?}: loaded once");

        files[3].1 = first.ca.crl().number(2).revoke(first.client.serial()).pem();
        folder.write(&files);
        assert_eq!(applied(&mut generations).await, 3);
        assert_eq!(loaded.load(Ordering::SeqCst), 1, "{way:?}: only the CRL");
        assert_eq!(first.refused_by(&acceptor), Some("revoked"));
    }
}
