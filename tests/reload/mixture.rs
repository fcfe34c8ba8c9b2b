//! A peer that neither the old rules admit as a whole nor the new ones, while one takes the place
//! of the other again and again: a part of each would admit it, and no part is ever in force alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use countersign::policy;
use countersign::reload::{Reload, Source};
use countersign::testing::TestCa;
use countersign::{ConnectionInfo, TrustStore};

use crate::material::{Folder, Way};
use support::acceptor;

const TURNS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_peer_is_admitted_by_new_trust_under_an_old_policy() {
    let [ca, partner] = ["Root", "Partner"].map(TestCa::new);
    let client = partner.leaf().dns("partner.example").issue();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let folder = Folder::new(Way::Kubernetes);
    // The partner is trusted, and none of its clients allowed; or it is not trusted, and all are allowed.
    let write = |is_trusted: bool| {
        let more = if is_trusted {
            partner.pem()
        } else {
            String::new()
        };
        let rule = if is_trusted {
            "root.example"
        } else {
            "*.example"
        };
        // Both at once.
        folder.write(&[
            ("ca.pem", format!("{}{more}", ca.pem())),
            ("policy.txt", rule.to_owned()),
        ]);
    };
    write(false);
    let handle = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_file(folder.path("ca.pem")))
        .policy(
            Source::text_file(folder.path("policy.txt"))
                .try_map(|text| policy::dns_patterns(text.lines())),
        )
        .every(Duration::from_millis(1))
        .start()
        .await
        .unwrap();
    let (over, seen) = (
        Arc::new(AtomicBool::new(false)),
        [0, 0].map(AtomicUsize::new),
    );
    let seen = Arc::new(seen);
    let knocking: Vec<_> = (0..2)
        .map(|_| {
            let (gate, over, seen) = (acceptor.control().clone(), over.clone(), seen.clone());
            let chain = client.chain().to_vec();
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let admitted = gate.admit_chain(&chain, ConnectionInfo::default());
                    match admitted.map_err(|error| error.reason()) {
                        Err("unknown_issuer") => seen[0].fetch_add(1, Ordering::SeqCst),
                        Err("denied") => seen[1].fetch_add(1, Ordering::SeqCst),
                        other => panic!("by a mixture: {other:?}"),
                    };
                }
            })
        })
        .collect();
    for turn in 1..=TURNS {
        write(turn % 2 == 1);
        handle.reload_now().await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for thread in knocking {
        thread.join().expect("no mixture");
    }
    let [unknown, denied] = [0, 1].map(|index: usize| seen[index].load(Ordering::SeqCst));
    assert!(
        unknown > 0 && denied > 0,
        "{unknown} unknown, {denied} denied"
    );
    assert_eq!(handle.status().refused, 0);
}
