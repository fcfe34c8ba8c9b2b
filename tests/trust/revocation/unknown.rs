//! Unknown status: the whole chain, one issuer's declaration, and where it is allowed.

use countersign::testing::{Issued, TestCa};
use countersign::trust::{ChainError, Revocation, RevocationDepth, StatusError, UnknownStatus};

use super::support::{certificate, crls, error, hours, says, verifier};

/// A root, an authority below it, and a leaf of that one.
struct Chain {
    root: TestCa,
    issuing: TestCa,
    leaf: Issued,
}

impl Chain {
    fn new() -> Self {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing");
        let leaf = issuing.leaf().issue();
        Self {
            root,
            issuing,
            leaf,
        }
    }

    /// Only the issuing authority's list is loaded: the root publishes none.
    fn without_root_list(&self) -> Revocation {
        Revocation::new(crls([self.issuing.crl()]))
    }

    fn says(&self, choices: Revocation) -> &'static str {
        says(&verifier(self.root.trust(), choices), &self.leaf)
    }
}

#[test]
fn the_whole_chain_needs_lists() {
    let chain = Chain::new();
    let missing = verifier(chain.root.trust(), chain.without_root_list());
    let ChainError::UnknownRevocationStatus {
        certificate: of,
        cause,
    } = error(&missing, &chain.leaf)
    else {
        panic!("another refusal")
    };
    assert_eq!(of, certificate(&chain.issuing), "it is the intermediate's");
    assert_eq!(cause, StatusError::NoCrl);
    let message = error(&missing, &chain.leaf).to_string();
    assert!(
        message.contains("no_crl_from that \"CN=Root\" publishes none"),
        "{message}"
    );

    let both = crls([chain.issuing.crl(), chain.root.crl()]);
    assert_eq!(chain.says(both.into()), "good");
    let only_root = crls([chain.root.crl()]);
    assert_eq!(chain.says(only_root.into()), "unknown_revocation_status");
}

#[test]
fn end_entity_depth_checks_the_leaf_alone() {
    let chain = Chain::new();
    let leaf_only = |choices: Revocation| choices.depth(RevocationDepth::EndEntity);
    assert_eq!(chain.says(leaf_only(chain.without_root_list())), "good");
    let only_root = Revocation::new(crls([chain.root.crl()]));
    assert_eq!(
        chain.says(leaf_only(only_root)),
        "unknown_revocation_status"
    );
    let revoked = crls([chain.issuing.crl().revoke(chain.leaf.serial())]);
    assert_eq!(chain.says(leaf_only(revoked.into())), "revoked");
}

#[test]
fn an_issuer_that_publishes_none_is_declared() {
    let chain = Chain::new();
    let root = certificate(&chain.root);
    let namesake = certificate(&chain.root.same_name_other_key());
    let exempt = chain.without_root_list().no_crl_from(&root);
    assert_eq!(chain.says(exempt), "good");
    // By the key: the name is not enough, and another issuer's word is not meant.
    for other in [namesake, certificate(&chain.issuing)] {
        let not_it = chain.without_root_list().no_crl_from(&other);
        assert_eq!(chain.says(not_it), "unknown_revocation_status");
    }
    // The same authority under a renewed certificate.
    let renewed = chain.root.cross_signed_by(&TestCa::new("Older Root"));
    let by_renewed = chain
        .without_root_list()
        .no_crl_from(&certificate(&renewed));
    assert_eq!(chain.says(by_renewed), "good");
    // The declaration is about the root only.
    let only_root = Revocation::new(crls([chain.root.crl()])).no_crl_from(&root);
    assert_eq!(chain.says(only_root), "unknown_revocation_status");
}

#[test]
fn an_issuer_that_publishes_none_is_declared_by_name() {
    let chain = Chain::new();
    let by_name = |name: &str| chain.says(chain.without_root_list().no_crl_from_name(name));
    assert_eq!(by_name("CN=Root"), "good");
    for other in [
        "CN=root",
        "Root",
        "CN=Roo",
        "CN=Root,O=Other",
        "CN=Issuing",
        "",
    ] {
        assert_eq!(by_name(other), "unknown_revocation_status", "{other}");
    }
}

/// Should it publish a list after all, that counts: revoked is revoked, and stale is stale.
#[test]
fn a_declared_issuers_list_counts_nevertheless() {
    let chain = Chain::new();
    let serial = super::support::serial(&chain.issuing);
    let stale = chain
        .root
        .crl()
        .this_update(hours(-9))
        .next_update(hours(-8));
    for (list, verdict) in [
        (chain.root.crl(), "good"),
        (chain.root.crl().revoke(&serial), "revoked"),
        (stale, "crl_expired"),
    ] {
        let exempt = Revocation::new(crls([chain.issuing.crl(), list]))
            .no_crl_from(&certificate(&chain.root))
            .no_crl_from_name("CN=Root");
        assert_eq!(chain.says(exempt), verdict);
    }
}

/// `Allow` is about unknown status, and not about what a list says.
#[test]
fn unknown_can_be_allowed_and_revoked_cannot() {
    let chain = Chain::new();
    let allowing = |choices: Revocation| choices.unknown_status(UnknownStatus::Allow);
    assert_eq!(chain.says(allowing(chain.without_root_list())), "good");
    let strangers = Revocation::new(crls([TestCa::new("Stranger").crl()]));
    assert_eq!(chain.says(strangers.clone()), "unknown_revocation_status");
    assert_eq!(chain.says(allowing(strangers)), "good");

    let stale = chain
        .issuing
        .crl()
        .this_update(hours(-9))
        .next_update(hours(-8));
    for (list, verdict) in [
        (chain.issuing.crl().revoke(chain.leaf.serial()), "revoked"),
        (stale, "crl_expired"),
    ] {
        assert_eq!(chain.says(allowing(crls([list]).into())), verdict);
    }
}

/// A pin has no issuer that could revoke it.
#[test]
fn pins_are_not_looked_up() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().issue();
    let revoking = crls([ca.crl().revoke(leaf.serial())]);
    let pinned = ca.trust().pin(&leaf.certificate());
    assert_eq!(says(&verifier(pinned, revoking.clone()), &leaf), "good");
    assert_eq!(says(&verifier(ca.trust(), revoking), &leaf), "revoked");
}
