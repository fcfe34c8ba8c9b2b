//! With events, no change waits for the interval.

use std::fs;
use std::time::Duration;

use countersign::TrustStore;
use countersign::reload::{Reload, Source};

use crate::material::{Folder, Material, NEVER, WAYS, Way, applied, own_number};

#[tokio::test]
async fn every_way_of_writing_is_noticed() {
    for way in WAYS {
        let first = Material::new(0);
        let folder = Folder::with(way, &first);
        let acceptor = first.acceptor();
        let reload = folder.reload(&acceptor).every(NEVER).file_events();
        let handle = reload.start().await.unwrap();
        let mut generations = handle.generations();
        // Several times, because what is watched is replaced, too.
        for number in 1..=4 {
            folder.write(&Material::new(number).files());
            while own_number(&handle.status()) != number {
                applied(&mut generations).await;
            }
        }
        assert_eq!(handle.status().refused, 0, "{way:?}");
    }
}

#[tokio::test]
async fn a_folder_and_the_targets_of_its_links_are_watched() {
    let sets: Vec<_> = (0..4).map(Material::new).collect();
    let folder = Folder::new(Way::Rename);
    let elsewhere = Folder::new(Way::Rename);
    folder.replace("0.pem", sets[0].ca.pem());
    let acceptor = sets[0].acceptor();
    let handle = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_dir(folder.path("")))
        .every(NEVER)
        .file_events()
        .start()
        .await
        .unwrap();
    let mut generations = handle.generations();
    let mut noticed = async |number: usize| {
        while sets[number].refused_by(&acceptor).is_some() {
            applied(&mut generations).await;
        }
    };
    folder.replace("1.pem", sets[1].ca.pem());
    noticed(1).await;
    elsewhere.replace("root.pem", sets[2].ca.pem());
    std::os::unix::fs::symlink(elsewhere.path("root.pem"), folder.path("2.pem")).unwrap();
    noticed(2).await;
    fs::write(elsewhere.path("root.pem"), sets[3].ca.pem()).unwrap();
    noticed(3).await;
    assert_eq!(sets[2].refused_by(&acceptor), Some("bad_signature"));
}

/// inotify watches a folder and not its name.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_with_the_name_of_one_that_was_replaced_is_watched() {
    let sets: Vec<_> = (0..3).map(Material::new).collect();
    let place = tempfile::tempdir().unwrap();
    let [folder, old, new] = ["tls", "old", "new"].map(|name| place.path().join(name));
    for (folder, set) in [(&folder, &sets[0]), (&new, &sets[1])] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("ca.pem"), set.ca.pem()).unwrap();
    }
    let acceptor = sets[0].acceptor();
    let handle = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_file(folder.join("ca.pem")))
        .every(NEVER)
        .file_events()
        .start()
        .await
        .unwrap();
    let mut generations = handle.generations();
    fs::rename(&folder, &old).unwrap();
    fs::rename(&new, &folder).unwrap();
    // The application knows of the new folder, and the reload finds it by that.
    handle.reload_now().await.unwrap();
    assert_eq!(sets[1].refused_by(&acceptor), None);
    fs::write(folder.join("ca.pem"), sets[2].ca.pem()).unwrap();
    while sets[2].refused_by(&acceptor).is_some() {
        applied(&mut generations).await;
    }
}

/// A bad set is reported soon, too, and not at the next interval.
#[tokio::test]
async fn a_bad_set_is_reported_without_the_interval() {
    let first = Material::new(0);
    let folder = Folder::with(Way::Rename, &first);
    let acceptor = first.acceptor();
    let reload = folder.reload(&acceptor).every(NEVER).file_events();
    let handle = reload.start().await.unwrap();
    folder.replace("tls.key", "garbage");
    let reported = async {
        while handle.status().refused == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reported = tokio::time::timeout(Duration::from_secs(60), reported).await;
    reported.expect("reported");
    let status = handle.status();
    assert_eq!(status.last_error.unwrap().error.reason(), "no_pem_block");
}
