//! Files and folders of CRLs: all or nothing.

use countersign::testing::{TestCa, der};
use countersign::trust::{CrlError, Crls, UnusableFiles};
use tempfile::TempDir;

use super::support::{says, verifier};

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[track_caller]
fn assert_refused(loaded: Result<Crls, CrlError>, reason: &str, words: &[&str]) {
    let error = loaded.map(drop).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    for words in words {
        assert!(
            error.to_string().contains(words),
            "{words:?} is not in: {error}"
        );
    }
}

#[test]
fn pem_der_and_folders_load() {
    let one = TestCa::new("One");
    let two = TestCa::new("Two");
    let three = TestCa::new("Three");
    let der = one.crl().build();
    let pem = format!(
        "# of two and three, für alle\n{}{}",
        two.crl().pem(),
        three.crl().pem()
    );
    let folder = folder(&[
        ("one.der", &der),
        ("others.pem", pem.as_bytes()),
        ("again.crl", &der),
        // What is not looked at.
        ("README.txt", b"no list"),
        (".hidden.crl", b"no list"),
        ("crl", b"no list"),
    ]);
    std::fs::create_dir(folder.path().join("subfolder.crl")).unwrap();
    let issuers = |lists: &Crls| {
        let lists = lists.lists().iter();
        lists
            .map(|list| list.issuer().to_string())
            .collect::<Vec<_>>()
    };
    let load = |name: &str| Crls::from_file(folder.path().join(name)).unwrap();
    assert_eq!(issuers(&load("one.der")), ["CN=One"]);
    assert_eq!(issuers(&load("others.pem")), ["CN=Two", "CN=Three"]);
    assert_eq!(
        issuers(&Crls::from_bytes(pem).unwrap()),
        ["CN=Two", "CN=Three"]
    );
    assert_eq!(
        issuers(&Crls::from_bytes(der.to_vec()).unwrap()),
        ["CN=One"]
    );
    let all = Crls::from_dir(folder.path()).unwrap();
    assert_eq!(issuers(&all), ["CN=One", "CN=One", "CN=Two", "CN=Three"]);
    let trust = one.trust().and(two.trust()).and(three.trust());
    let verifier = verifier(trust, all);
    for ca in [one, two, three] {
        assert_eq!(says(&verifier, &ca.leaf().issue()), "good");
    }
}

/// Asking for revocation and giving nothing to go by is a mistake, not "off".
#[test]
fn no_list_is_an_error() {
    assert_refused(Crls::new([]), "no_crl", &["no CRL was given"]);
    assert_refused(
        Crls::from_bytes([]),
        "no_pem_block",
        &["holds no PEM block"],
    );
    let empty = folder(&[]);
    let words = [
        "holds no *.crl, *.pem or *.der file",
        "revocation was asked for",
    ];
    assert_refused(Crls::from_dir(empty.path()), "empty_folder", &words);
    let others = folder(&[("ca.crt", b"x"), (".a.crl", b"x"), ("b.crl.bak", b"x")]);
    assert_refused(Crls::from_dir(others.path()), "empty_folder", &words);

    let blank = folder(&[("clients.crl", b"")]);
    let file = blank.path().join("clients.crl");
    let words = ["clients.crl holds no PEM block"];
    assert_refused(Crls::from_file(&file), "no_pem_block", &words);
    assert_refused(Crls::from_dir(blank.path()), "no_pem_block", &words);
    let skipping = Crls::loader().unusable_files(UnusableFiles::Skip);
    assert_refused(skipping.from_dir(blank.path()), "no_pem_block", &words);
    std::fs::write(&file, "just words\n").unwrap();
    assert_refused(Crls::from_file(&file), "no_pem_block", &words);

    let missing = blank.path().join("missing");
    let words = ["cannot read", "missing"];
    assert_refused(Crls::from_file(&missing), "unreadable_file", &words);
    assert_refused(Crls::from_dir(&missing), "unreadable_file", &words);
    assert_refused(Crls::from_dir(&file), "unreadable_file", &["clients.crl"]);
}

/// A half-written file, of which the first lists are whole.
#[test]
fn a_cut_off_file_is_named_with_its_block() {
    let ca = TestCa::new("Root");
    let pem = ca.crl().pem();
    let two = format!("{pem}{pem}");
    let second = pem.len();
    let footer = "-----END X509 CRL-----\n".len();
    let folder = folder(&[]);
    let path = folder.path().join("clients.pem");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Crls::from_file(&path)
    };
    assert_eq!(load(&two).unwrap().lists().len(), 2);
    assert_eq!(
        load(&two[..two.len() - 1]).unwrap().lists().len(),
        2,
        "a newline"
    );
    // Wherever the second block breaks off, after its BEGIN line and before the end of its END.
    let begin = second + "-----BEGIN X509 CRL-----\n".len();
    for end in begin..two.len() - 1 {
        let place = "clients.pem, block 2 (line ";
        let words = [place, "cut off or damaged"];
        assert_refused(load(&two[..end]), "pem_cut_off", &words);
        assert_refused(Crls::from_dir(folder.path()), "pem_cut_off", &[place]);
    }
    // One that lost its END line, with another after it.
    let first = format!("{}{pem}", &pem[..pem.len() - footer]);
    assert_refused(
        load(&first),
        "pem_cut_off",
        &["clients.pem, block 1 (line 1)"],
    );
    let damaged = pem.replacen("MI", "M!", 1);
    assert_refused(
        load(&damaged),
        "pem_damaged",
        &["clients.pem, block 1 (line 1)"],
    );
}

#[test]
fn what_is_no_list_is_named() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let der_list = ca.crl().build();
    let with_trailing = [&der_list[..], &[0]].concat();
    let cut_off = &der_list[..der_list.len() - 1];
    let two_lists = [&der_list[..], &der_list[..]].concat();
    let mixed = ca.crl().pem() + &leaf.chain_pem();
    let garbage = ca.crl().pem() + &der::pem("X509 CRL", &[0x30, 0]);
    let folder = folder(&[]);
    let path = folder.path().join("clients.crl");
    let cases: [(&[u8], &str, &str); 8] = [
        (leaf.leaf_der(), "malformed_crl", "clients.crl: not a CRL"),
        (&with_trailing, "malformed_crl", "clients.crl: not a CRL"),
        (cut_off, "malformed_crl", "clients.crl: not a CRL"),
        (&two_lists, "malformed_crl", "clients.crl: not a CRL"),
        (mixed.as_bytes(), "unexpected_pem_block", "block 2 (line"),
        (
            garbage.as_bytes(),
            "malformed_crl",
            "clients.crl, block 2 (line",
        ),
        (
            b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n",
            "malformed_crl",
            "clients.crl, block 1 (line 1)",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "unexpected_pem_block",
            "is a CERTIFICATE, where only an X509 CRL is expected",
        ),
    ];
    for (bytes, reason, words) in cases {
        std::fs::write(&path, bytes).unwrap();
        assert_refused(Crls::from_file(&path), reason, &[words]);
        assert_refused(Crls::from_dir(folder.path()), reason, &[words]);
    }
    std::fs::write(&path, &der_list).unwrap();
    Crls::from_dir(folder.path()).unwrap();
}

/// Kubernetes mounts a folder of links through `..data`, a link to a folder with a date in its
/// name, and changes what is in it by changing that one link.
#[cfg(unix)]
#[test]
fn a_folder_as_kubernetes_mounts_it() {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let mount = tempfile::tempdir().unwrap();
    let publish = |name: &str, content: &str| {
        let dated = mount.path().join(name);
        std::fs::create_dir(&dated).unwrap();
        std::fs::write(dated.join("clients.crl"), content).unwrap();
        let fresh = mount.path().join("..data_tmp");
        symlink(name, &fresh).unwrap();
        std::fs::rename(&fresh, mount.path().join("..data")).unwrap();
    };
    publish("..2026_01_01", &ca.crl().pem());
    let linked = mount.path().join("clients.crl");
    symlink(Path::new("..data/clients.crl"), &linked).unwrap();
    let loaded = || Crls::from_dir(mount.path());
    assert_eq!(loaded().unwrap().lists().len(), 1, "each list once");
    assert_eq!(
        says(&verifier(ca.trust(), loaded().unwrap()), &leaf),
        "good"
    );

    publish(
        "..2026_01_02",
        &ca.crl().number(2).revoke(leaf.serial()).pem(),
    );
    let revoking = verifier(ca.trust(), loaded().unwrap());
    assert_eq!(says(&revoking, &leaf), "revoked");
    assert_eq!(loaded().unwrap().lists().len(), 1);

    // A link that leads nowhere is a list that cannot be read, and not one less.
    std::fs::remove_dir_all(mount.path().join("..2026_01_02")).unwrap();
    assert_refused(loaded(), "unreadable_file", &["clients.crl"]);
}
