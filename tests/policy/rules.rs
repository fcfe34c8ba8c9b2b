//! The rules that look up one value (trust domains, fingerprints, exact sets), and shared policies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{self, Policy};
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, ConnectionInfo, Connector, Decision, Peer};

fn workload(id: &str) -> Peer<SpiffeId> {
    testing::peer(id.parse().unwrap())
}

#[test]
fn trust_domains_are_whole_names() {
    let one = policy::trust_domain("example.org".parse().unwrap());
    let two =
        policy::trust_domains(["example.org", "example.com"].map(|name| name.parse().unwrap()));
    for (id, by_one, by_two) in [
        ("spiffe://example.org/a", true, true),
        ("spiffe://example.com/a", false, true),
        ("spiffe://sub.example.org/a", false, false),
        ("spiffe://example.org.evil/a", false, false),
        ("spiffe://evil/example.org", false, false),
        ("spiffe://example.org", false, false),
    ] {
        let peer = workload(id);
        assert_eq!(one.authorize(&peer).is_allowed(), by_one, "{id}");
        assert_eq!(two.authorize(&peer).is_allowed(), by_two, "{id}");
    }

    let decision = two.authorize(&workload("spiffe://example.com/a"));
    assert_eq!(decision.rule(), Some("trust domain example.com"));
    let named = two.clone().named("family");
    let decision = named.authorize(&workload("spiffe://example.com/a"));
    assert_eq!(decision.rule(), Some("family"));
    assert_eq!(
        one.authorize(&workload("spiffe://example.com/a")).reason(),
        Some("spiffe://example.com/a is not a workload of the trust domain example.org")
    );
    assert_eq!(
        two.authorize(&workload("spiffe://example.net/a")).reason(),
        Some("spiffe://example.net/a is not a workload of the 2 allowed trust domains")
    );
    let none = policy::trust_domains([]);
    assert_eq!(
        none.authorize(&workload("spiffe://example.net/a")).reason(),
        Some("no trust domain is allowed")
    );
}

#[test]
fn fingerprints_of_certificates_and_of_keys() {
    let ca = TestCa::new("Root");
    let known = ca.leaf().dns("a.example").issue();
    // Another certificate for the same key, as after a renewal.
    let renewed = ca
        .leaf()
        .dns("a.example")
        .spki_der(known.certificate().spki().to_vec())
        .issue();
    let other = ca.leaf().dns("a.example").issue();

    let certificates = policy::certificates([known.certificate().sha256()]);
    let keys = policy::public_keys([known.certificate().spki_sha256()]).named("our bank");
    // The digest of one thing must not be taken for that of the other.
    let mixed_up = policy::public_keys([known.certificate().sha256()]);
    let name: DnsName = "a.example".parse().unwrap();
    for (issued, by_certificate, by_key) in [
        (&known, Some("certificates"), Some("our bank")),
        (&renewed, None, Some("our bank")),
        (&other, None, None),
    ] {
        let peer = testing::peer_of(name.clone(), &ca, issued, ConnectionInfo::default());
        assert_eq!(certificates.authorize(&peer).rule(), by_certificate);
        assert_eq!(keys.authorize(&peer).rule(), by_key);
        assert!(!mixed_up.authorize(&peer).is_allowed());
        let explained = policy::explain(&certificates, &peer).to_string();
        assert_eq!(
            explained,
            match by_certificate {
                Some(_) => "allowed by certificates: rule \"certificates\"",
                None =>
                    "denied by certificates: the certificate's fingerprint is not the one that rule \"certificates\" allows",
            }
        );
    }
    let peer = testing::peer_of((), &ca, &other, ConnectionInfo::default());
    assert_eq!(
        keys.authorize(&peer).reason(),
        Some("the public key's fingerprint is not the one that rule \"our bank\" allows")
    );
}

/// An exact set has the identities that it allows, and is asked with what they borrow as.
#[test]
fn an_exact_set_contains_what_it_allows() {
    let set = policy::exact(["alice", "bob"].map(String::from));
    for (name, allowed) in [("alice", true), ("Alice", false), ("alice ", false)] {
        assert_eq!(set.contains(name), allowed, "{name}");
        let peer = testing::peer(name.to_owned());
        assert_eq!(set.authorize(&peer).is_allowed(), allowed, "{name}");
    }
    assert!(!policy::exact([(); 0]).contains(&()), "an empty set");
}

/// Behind an `Arc` or a `Box`, a policy decides and explains itself as before.
#[test]
fn policies_behind_pointers() {
    let shared = Arc::new(policy::trust_domain("example.org".parse().unwrap()));
    let boxed: Vec<Box<dyn Policy<SpiffeId>>> = vec![
        Box::new(Arc::clone(&shared)),
        Box::new(|_: &Peer<SpiffeId>| Decision::deny("never")),
    ];
    let either = policy::any_of(boxed);
    for (id, allowed) in [
        ("spiffe://example.org/a", true),
        ("spiffe://example.com/a", false),
    ] {
        let peer = workload(id);
        assert_eq!(shared.authorize(&peer).is_allowed(), allowed);
        assert_eq!(either.authorize(&peer).is_allowed(), allowed);
        let direct = policy::explain(&policy::trust_domain("example.org".parse().unwrap()), &peer);
        assert_eq!(policy::explain(&shared, &peer), direct);
        let part = policy::explain(&either, &peer).parts().next().cloned();
        assert_eq!(part, Some(direct));
    }
}

/// A cached policy is shared between the application and its acceptor. Two connections of the same client
/// cause one call.
#[tokio::test(start_paused = true)]
async fn a_cached_policy_behind_an_acceptor() {
    const SECOND: Duration = Duration::from_secs(1);

    let ca = TestCa::new("Root");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let once = move |_: Peer<DnsName>| {
        let before = count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(match before {
            0 => Decision::allow("known"),
            _ => Decision::deny("unknown by now"),
        })
    };
    let remembered = Arc::new(policy::cached(once, 60 * SECOND, 100));
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize_async(remembered.clone(), SECOND)
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connect = || testing::handshake(&acceptor, &connector, "server.example");
    for _ in 0..2 {
        let (server, client) = connect().await;
        assert_eq!(server.unwrap().rule(), "known");
        client.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    remembered.forget();
    let (server, _) = connect().await;
    assert_eq!(server.unwrap_err().reason(), "denied");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
