//! Somebody writes all the time: what is applied is always one set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::reload::{Handle, Reload, Source};
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, TrustStore, policy};
use tokio::time::sleep;

use crate::material::{Folder, Material, WAYS, Way, applied, every_second, own_number};

/// Small steps that look random and are the same each time.
struct Steps(u64);

impl Steps {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// The sets that are in force: of the credentials, and of trust and CRLs.
fn in_force(
    acceptor: &Acceptor<DnsName>,
    handle: &Handle,
    sets: &[Material; 2],
) -> (usize, Vec<usize>) {
    let credentials = own_number(&handle.status());
    // A set's client is admitted by its root and its CRL together, or not at all.
    let trust = (0..2).filter(|number| sets[*number].refused_by(acceptor).is_none());
    (credentials, trust.collect())
}

/// Between the files of a set there are moments, and the reload looks in such moments, too.
#[tokio::test(start_paused = true)]
async fn a_set_that_is_written_file_by_file_is_applied_whole() {
    for way in WAYS {
        let sets = [0, 1].map(Material::new);
        let folder = Folder::with(way, &sets[0]);
        let acceptor = sets[0].acceptor();
        let (handle, mut generations) = every_second(folder.reload(&acceptor)).await;
        let mut steps = Steps(1);
        let mut seen = BTreeSet::new();
        for round in 1..400 {
            let files = sets[round % 2].files();
            if way == Way::Kubernetes {
                folder.write(&files);
            } else {
                // In any order, within the 200 ms for which a reload waits.
                let first = steps.below(4) as usize;
                for index in 0..4 {
                    let file = &files[(first + index) % 4];
                    folder.write(std::slice::from_ref(file));
                    sleep(Duration::from_millis(steps.below(60))).await;
                }
            }
            sleep(Duration::from_millis(steps.below(1500))).await;
            if generations.has_changed().unwrap() {
                generations.mark_unchanged();
                let (credentials, trust) = in_force(&acceptor, &handle, &sets);
                assert_eq!(trust, [credentials], "{way:?}, round {round}");
                seen.insert(credentials);
            }
        }
        let status = handle.status();
        assert_eq!(seen.len(), 2, "{way:?}: both were applied");
        assert!(status.applied > 50, "{way:?}: {status:?}");
        assert_eq!(status.refused, 0, "{way:?}: {:?}", status.last_error);
    }
}

/// A set that is replaced after its first file was loaded and before the last one is not applied.
#[tokio::test(start_paused = true)]
async fn files_that_change_while_they_are_loaded_are_loaded_again() {
    let [old, new] = ["Old", "New"].map(TestCa::new);
    let folder = tempfile::tempdir().unwrap();
    let [ca, rules] = ["ca.pem", "policy.txt"].map(|name| folder.path().join(name));
    std::fs::write(&ca, old.pem()).unwrap();
    std::fs::write(&rules, "*.example").unwrap();
    let acceptor = support::acceptor(&old, policy::allow_any())
        .build()
        .unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&loads);
    let (next, path) = (new.pem(), ca.clone());
    let _handle = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_file(ca))
        .policy(Source::text_file(rules).try_map(move |text| {
            // The parts are loaded in their order: the trust is first.
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                std::fs::write(&path, &next).unwrap();
            }
            policy::dns_patterns(text.lines())
        }))
        .every(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    let reason = |ca: &TestCa| {
        let client = ca.leaf().dns("client.example").issue();
        let admitted = acceptor
            .control()
            .admit_chain(client.chain(), ConnectionInfo::default());
        admitted.map_or_else(|error| error.reason(), |_| "admitted")
    };
    assert_eq!(
        [&old, &new].map(reason),
        ["unknown_issuer", "admitted"],
        "what was loaded first is not applied"
    );
}

/// A thread swaps whole sets at any moment, also while one is being read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_that_are_swapped_while_they_are_read_never_mix() {
    let sets = [0, 1].map(Material::new);
    let folder = Folder::with(Way::Kubernetes, &sets[0]);
    let acceptor = sets[0].acceptor();
    let handle = folder
        .reload(&acceptor)
        .every(Duration::from_millis(8)) // which lets files stand still for 2 ms
        .start()
        .await
        .unwrap();
    let mut generations = handle.generations();
    let (done, files) = (AtomicBool::new(false), [sets[0].files(), sets[1].files()]);
    let work = async {
        let mut seen = BTreeSet::new();
        let mut looked = 0;
        while looked < 100 {
            let generation = applied(&mut generations).await;
            // The files must not change while they are read.
            if handle.status().generation != generation {
                continue;
            }
            let (credentials, trust) = in_force(&acceptor, &handle, &sets);
            if handle.status().generation != generation {
                continue;
            }
            assert_eq!(trust, [credentials], "generation {generation}");
            seen.insert(credentials);
            looked += 1;
        }
        assert_eq!(seen.len(), 2);
    };
    // The writer ends, whatever becomes of the work.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut steps = Steps(1);
                for round in 1.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    folder.write(&files[round % 2]);
                    std::thread::sleep(Duration::from_micros(steps.below(24_000)));
                }
            });
            let _stop = Stop(&done);
            tokio::runtime::Handle::current().block_on(work);
        });
    });
}
