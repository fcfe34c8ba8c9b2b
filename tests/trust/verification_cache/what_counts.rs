//! What makes a chain a known one, and what is asked about a known one nevertheless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign::identity::{DnsName, IdentityError, IdentityErrorKind, IdentityExtractor as _};
use countersign::pki::{Certificate, Crl};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::TestCa;
use countersign::trust::Crls;
use countersign::{Decision, Peer, Update, policy};

use super::support::{Asked, acceptor, acceptor_with, connector, says};
use support::{Recording, SERVER, deny_all};

fn no_crl_lists(ca: &TestCa) -> Crls {
    Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap()
}

#[test]
fn every_certificate_of_a_chain_counts() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let namesake = root.intermediate("Issuing");
    let unrelated = TestCa::new("Unrelated").certificate_der();
    let leaf = issuing.leaf().dns("client.example").issue();
    let (alone, issuing) = (leaf.leaf_der().clone(), issuing.certificate_der());
    let whole = [alone.clone(), issuing.clone()];
    let asked = Asked::default();
    let known = acceptor(&root, &asked).build().unwrap();
    assert_eq!(says(known.control(), &whole), "good");
    assert_eq!(asked.take(), 1);
    // That the leaf is known, and the intermediate, says nothing of other chains.
    for (chain, verdict) in [
        (vec![alone.clone()], "unknown_issuer"),
        (
            vec![alone.clone(), namesake.certificate_der()],
            "bad_signature",
        ),
        (vec![alone.clone(), unrelated.clone()], "unknown_issuer"),
        (vec![issuing.clone()], "ca_as_end_entity"),
        (vec![issuing.clone(), alone.clone()], "ca_as_end_entity"),
        (vec![], "no_certificate"),
    ] {
        assert_eq!(says(known.control(), &chain), verdict);
        assert_eq!(asked.take(), 0);
    }
    // What else the peer sends is part of what it presented: another entry, of the same verdict.
    let also = [
        vec![alone.clone(), issuing.clone(), unrelated.clone()],
        vec![alone.clone(), unrelated, issuing.clone()],
        vec![alone, issuing.clone(), issuing],
    ];
    for chain in &also {
        assert_eq!(says(known.control(), chain), "good");
        assert_eq!(asked.take(), 1);
    }
    for chain in also.iter().map(Vec::as_slice).chain([&whole[..]]) {
        assert_eq!(says(known.control(), chain), "good");
        assert_eq!(asked.take(), 0);
    }
}

#[test]
fn the_policy_decides_every_time() {
    let ca = TestCa::new("Root");
    let asked = Asked::default();
    let seen = Recording::new(policy::allow_any());
    let acceptor = acceptor_with(&ca, &asked, seen.clone()).build().unwrap();
    let leaf = ca.leaf().dns("client.example").issue();
    for count in 1..=3 {
        assert_eq!(says(acceptor.control(), leaf.chain()), "good");
        assert_eq!(seen.count(), count);
    }
    acceptor.control().set_policy(deny_all);
    assert_eq!(says(acceptor.control(), leaf.chain()), "denied");
    acceptor.control().set_policy(policy::allow_any());
    assert_eq!(says(acceptor.control(), leaf.chain()), "good");
    assert_eq!(asked.take(), 1, "another policy costs no verification");
    assert_eq!(acceptor.control().generation(), 1);
}

#[test]
fn the_deny_list_is_consulted_every_time() {
    let ca = TestCa::new("Root");
    let asked = Asked::default();
    let list = DenyList::new();
    let acceptor = acceptor(&ca, &asked).deny_list(&list).build().unwrap();
    let leaf = ca.leaf().dns("client.example").issue();
    let key = DenyEntry::Key(leaf.certificate().spki_sha256());
    for _ in 0..3 {
        assert_eq!(says(acceptor.control(), leaf.chain()), "good");
        list.insert(key.clone());
        assert_eq!(says(acceptor.control(), leaf.chain()), "deny_listed");
        list.remove(&key);
    }
    assert_eq!(asked.take(), 1);
}

/// Each update starts anew, whatever it is about, on both sides.
#[test]
fn after_an_update_everything_is_looked_at_anew() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().dns(SERVER).issue();
    let updates = || {
        [
            Update::new().trust(root.trust()),
            Update::new().revocation(no_crl_lists(&root)),
            Update::new().credentials(leaf.credentials()),
            Update::new(),
        ]
    };
    let asked = Asked::default();
    let acceptor = acceptor(&root, &asked).build().unwrap();
    let twice = || {
        for expected in [1, 0] {
            assert_eq!(says(acceptor.control(), leaf.chain()), "good");
            assert_eq!(asked.take(), expected);
        }
    };
    twice();
    for (update, generation) in updates().into_iter().zip(2..) {
        assert_eq!(acceptor.control().update(update).unwrap(), generation);
        twice();
    }
    // An update that is refused changes nothing.
    let empty = Update::new().trust(countersign::TrustStore::empty());
    assert_eq!(
        acceptor.control().update(empty).unwrap_err().reason(),
        "empty_trust"
    );
    assert_eq!(says(acceptor.control(), leaf.chain()), "good");
    assert_eq!(asked.take(), 0);
    // Nor does the acceptor beside it know what this one knows.
    let beside = super::support::acceptor(&root, &asked).build().unwrap();
    assert_eq!(says(beside.control(), leaf.chain()), "good");
    assert_eq!(asked.take(), 1);

    let connector = connector(&root, &asked).build().unwrap();
    let info = || countersign::ConnectionInfo::default().with_server_name(SERVER);
    let twice = || {
        for expected in [1, 0] {
            connector
                .control()
                .admit_chain(leaf.chain(), info())
                .unwrap();
            assert_eq!(asked.take(), expected);
        }
    };
    twice();
    for update in updates() {
        connector.control().update(update).unwrap();
        twice();
    }
}

/// What a removed root vouched for is not remembered to be good.
#[test]
fn an_update_ends_what_was_known() {
    let (root, successor) = (TestCa::new("Root"), TestCa::new("Successor"));
    let leaf = root.leaf().dns("client.example").issue();
    let new_leaf = successor.leaf().dns("client.example").issue();
    let revoking = Crl::from_der(&successor.crl().revoke(new_leaf.serial()).build()).unwrap();
    let acceptor = acceptor(&root, &Asked::default()).build().unwrap();
    let verdicts = || {
        [
            says(acceptor.control(), leaf.chain()),
            says(acceptor.control(), new_leaf.chain()),
        ]
    };
    assert_eq!(verdicts(), ["good", "unknown_issuer"]);
    let update = |update| acceptor.control().update(update).unwrap();
    update(Update::new().trust(successor.trust()));
    assert_eq!(verdicts(), ["unknown_issuer", "good"]);
    update(Update::new().revocation(Crls::new([revoking]).unwrap()));
    assert_eq!(verdicts(), ["unknown_issuer", "revoked"]);
    update(
        Update::new()
            .trust(root.trust())
            .revocation(no_crl_lists(&root)),
    );
    assert_eq!(verdicts(), ["good", "unknown_issuer"]);
}

/// What was refused once may be good the next time.
#[test]
fn refusals_are_not_remembered() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().dns("client.example").issue();
    let asked = Asked::default();
    let unknown = acceptor(&ca, &asked)
        .revocation(no_crl_lists(&TestCa::new("Stranger")))
        .build()
        .unwrap();
    for _ in 0..2 {
        assert_eq!(
            says(unknown.control(), leaf.chain()),
            "unknown_revocation_status"
        );
    }
    unknown
        .control()
        .update(Update::new().revocation(no_crl_lists(&ca)))
        .unwrap();
    assert_eq!(says(unknown.control(), leaf.chain()), "good");
    assert_eq!(asked.take(), 1);
}

/// An extractor that could not say is asked again; that the chain was good is remembered.
#[test]
fn the_failure_of_an_extractor_is_not_remembered() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().dns("client.example").issue();
    let fails = Arc::new(AtomicBool::new(true));
    let moody = {
        let fails = fails.clone();
        move |certificate: &Certificate| match fails.load(Ordering::SeqCst) {
            true => Err(IdentityError::new(IdentityErrorKind::Missing, "not now")),
            false => DnsName::extractor().extract(certificate),
        }
    };
    let acceptor = countersign::Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(moody)
        .authorize(|_: &Peer<DnsName>| Decision::allow("any peer"))
        .build()
        .unwrap();
    for _ in 0..2 {
        assert_eq!(says(acceptor.control(), leaf.chain()), "identity_missing");
    }
    fails.store(false, Ordering::SeqCst);
    assert_eq!(says(acceptor.control(), leaf.chain()), "good");
    // What it said of the certificate is, as documented.
    fails.store(true, Ordering::SeqCst);
    assert_eq!(says(acceptor.control(), leaf.chain()), "good");
}
