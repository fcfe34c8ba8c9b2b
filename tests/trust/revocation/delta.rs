//! Delta CRLs (RFC 5280 section 5.2.4), and what a loader can be told to skip.

use countersign::audit::{Action, Memory};
use countersign::identity::DnsName;
use countersign::testing::{CrlBuilder, TestCa, der};
use countersign::trust::{Crls, DeltaCrls, UnusableFiles};
use countersign::{Acceptor, policy};

use super::number::update_all;
use super::scope::{ONLY_AUTHORITIES, with_scope};
use super::support::{crls, hours, says, verifier};

/// A delta of this number, with the changes since the base.
fn delta(ca: &TestCa, base: u64, number: u64) -> CrlBuilder {
    let list = ca.crl().this_update(hours(-1)).number(number);
    list.extension("2.5.29.27", true, &der::integer(base))
}

fn complete(ca: &TestCa, number: u64) -> CrlBuilder {
    ca.crl().this_update(hours(-2)).number(number)
}

fn removed() -> Vec<Vec<u8>> {
    vec![der::extension("2.5.29.21", false, &[10, 1, 8])]
}

#[test]
fn a_delta_adds_to_the_complete_list_and_removes_from_it() {
    let ca = TestCa::new("Root");
    let [good, old, new, held] = [(); 4].map(|()| ca.leaf().issue());
    let base = complete(&ca, 5).revoke(old.serial()).revoke(held.serial());
    let changes = delta(&ca, 5, 6)
        .revoke(new.serial())
        .revoke_with(held.serial(), &removed());
    for lists in [
        [base.clone(), changes.clone()],
        [changes.clone(), base.clone()],
    ] {
        let both = verifier(ca.trust(), crls(lists));
        for (peer, verdict) in [
            (&good, "good"),
            (&old, "revoked"),
            (&new, "revoked"),
            (&held, "good"),
        ] {
            assert_eq!(says(&both, peer), verdict);
        }
    }
    // A later complete list replaces both.
    let later = complete(&ca, 7).this_update(hours(0));
    let three = verifier(ca.trust(), crls([base, changes, later]));
    for peer in [&good, &old, &new, &held] {
        assert_eq!(says(&three, peer), "good");
    }
}

/// A removal needs a delta that applies. An entry that revokes does not.
#[test]
fn a_delta_that_does_not_apply_removes_nothing() {
    let ca = TestCa::new("Root");
    let (held, new) = (ca.leaf().issue(), ca.leaf().issue());
    let base = complete(&ca, 5).revoke(held.serial());
    let changes = |base, number| {
        let list = delta(&ca, base, number).revoke(new.serial());
        list.revoke_with(held.serial(), &removed())
    };
    let of_newer_base = changes(6, 7);
    let of_others = with_scope(changes(5, 6), &[ONLY_AUTHORITIES]);
    let by_other_key = delta(&ca.same_name_other_key(), 5, 6).revoke(new.serial());
    let earlier = changes(3, 4);
    for (delta, of_new) in [
        (of_newer_base, "revoked"),
        (of_others, "good"),
        (by_other_key, "good"),
        (earlier, "good"),
    ] {
        let both = verifier(ca.trust(), crls([base.clone(), delta]));
        assert_eq!(says(&both, &held), "revoked");
        assert_eq!(says(&both, &new), of_new);
    }
    // In a complete list, the reason is not allowed, and the entry revokes.
    let complete = complete(&ca, 5).revoke_with(held.serial(), &removed());
    assert_eq!(
        says(&verifier(ca.trust(), crls([complete])), &held),
        "revoked"
    );
}

#[test]
fn a_delta_alone_gives_no_status_and_an_expired_one_is_no_answer() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().issue();
    let alone = verifier(ca.trust(), crls([delta(&ca, 5, 6)]));
    assert_eq!(says(&alone, &peer), "unknown_revocation_status");
    let error = super::support::error(&alone, &peer).to_string();
    assert!(error.contains("only a delta CRL"), "{error}");
    let expired = delta(&ca, 5, 6)
        .this_update(hours(-2))
        .next_update(hours(-1));
    let both = verifier(ca.trust(), crls([complete(&ca, 5), expired]));
    assert_eq!(says(&both, &peer), "crl_expired");
}

#[test]
fn an_update_that_leaves_out_a_delta_is_a_rollback() {
    let ca = TestCa::new("Root");
    let base = || complete(&ca, 5);
    let expired = || {
        delta(&ca, 5, 6)
            .this_update(hours(-2))
            .next_update(hours(-1))
    };
    for (before, after, outcome) in [
        (
            vec![base(), delta(&ca, 5, 6)],
            vec![base()],
            Err("crl_rolled_back"),
        ),
        (
            vec![base(), delta(&ca, 5, 7)],
            vec![base(), delta(&ca, 5, 6)],
            Err("crl_rolled_back"),
        ),
        (
            vec![base(), delta(&ca, 5, 6)],
            vec![base(), delta(&ca, 5, 7)],
            Ok(()),
        ),
        (
            vec![base(), delta(&ca, 5, 6)],
            vec![complete(&ca, 7).this_update(hours(0))],
            Ok(()),
        ),
        (vec![base(), expired()], vec![base()], Ok(())),
    ] {
        assert_eq!(update_all(&ca, before, after), outcome);
    }
}

#[test]
fn what_a_loader_skips_is_listed_and_recorded() {
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let new = ca.leaf().issue();
    write("ca.crl", &complete(&ca, 5).build());
    write("ca+.crl", &delta(&ca, 5, 6).revoke(new.serial()).build());
    let applied = verifier(ca.trust(), Crls::from_dir(folder.path()).unwrap());
    assert_eq!(says(&applied, &new), "revoked");
    write("index.crl", b"<html>not found</html>");
    let error = Crls::from_dir(folder.path()).unwrap_err();
    assert!(error.to_string().contains("index.crl"), "{error}");

    let loader = Crls::loader().delta(DeltaCrls::Skip);
    assert!(loader.from_dir(folder.path()).is_err());
    let loader = loader.unusable_files(UnusableFiles::Skip);
    let crls = loader.from_dir(folder.path()).unwrap();
    let skipped: Vec<_> = crls
        .skipped()
        .iter()
        .map(|it| (it.reason(), it.place().to_owned()))
        .collect();
    assert_eq!(crls.lists().len(), 1);
    assert_eq!(skipped[0].0, "delta_crl_skipped");
    assert!(skipped[0].1.contains("ca+.crl"), "{skipped:?}");
    assert!(skipped[1].1.contains("index.crl"), "{skipped:?}");
    assert_eq!(says(&verifier(ca.trust(), crls.clone()), &new), "good");

    let trail = Memory::new();
    Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(crls)
        .audit(trail.clone())
        .build()
        .unwrap();
    let events = trail.take();
    assert_eq!(events.len(), 2, "{events:?}");
    for (event, place) in events.iter().zip(["ca+.crl", "index.crl"]) {
        assert_eq!(event.action, Action::CrlSkipped);
        assert!(
            event.detail.as_deref().unwrap().contains(place),
            "{event:?}"
        );
    }

    // A folder without a usable file, and a file of deltas only, are errors still.
    std::fs::remove_file(folder.path().join("ca.crl")).unwrap();
    std::fs::remove_file(folder.path().join("ca+.crl")).unwrap();
    assert!(loader.from_dir(folder.path()).is_err());
    let only_delta = loader.from_bytes(delta(&ca, 5, 6).build().to_vec());
    assert_eq!(only_delta.unwrap_err().reason(), "no_crl");
}
