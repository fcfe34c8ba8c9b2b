//! What follows for connections that are open, part by part, on both sides.

use countersign::identity::{DnsName, SpiffeId, TrustDomain};
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::reload::{Part, Reload, Source};
use countersign::trust::{Crls, Revocation, TrustBundles, UnknownStatus};
use countersign::{Acceptor, ConnectionInfo, Decision, Peer, TrustStore, testing};
use tokio::io::AsyncReadExt as _;

use crate::material::{Folder, Material, NEVER, Way, number_of, own_number};
use support::{SERVER, acceptor, connector, handshake};

/// Why a stream was closed.
async fn why(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let error = stream.read_u8().await.expect_err("cut");
    let ended = error.downcast::<countersign::live::CloseReason>();
    ended.expect("it says why").reason().to_owned()
}

#[tokio::test(start_paused = true)]
async fn policy_and_deny_list_reach_open_connections() {
    let material = Material::new(0);
    let folder = Folder::new(Way::Rename);
    folder.replace("policy.txt", "*.example");
    folder.replace("deny.txt", "");
    let denied = DenyList::new();
    let acceptor = acceptor(&material.ca, policy::allow_any())
        .deny_list(&denied)
        .build()
        .unwrap();
    let deny = Source::text_file(folder.path("deny.txt")).try_map(|text| {
        let names = text.lines().map(|line| line.parse::<DnsName>());
        names
            .map(|name| name.map(DenyEntry::Identity))
            .collect::<Result<Vec<_>, _>>()
    });
    let policy = Source::text_file(folder.path("policy.txt"))
        .try_map(|text| policy::dns_patterns(text.lines()));
    let handle = Reload::of(&acceptor)
        .policy(policy)
        .deny_list(&denied, deny)
        .every(NEVER)
        .start()
        .await
        .unwrap();
    let open = async |name: &str| {
        let connector = connector(&material.ca, name).build().unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        (server.unwrap(), client.unwrap())
    };
    let (mut a, _a) = open("a.example").await;
    let (mut b, _b) = open("b.example").await;
    let (_c, _client) = open("c.example").await;

    folder.replace("deny.txt", "a.example\n");
    let applied = handle.reload_now().await.unwrap();
    assert_eq!(applied.changed, [Part::DenyList]);
    assert_eq!(why(&mut a).await, "deny_listed");
    folder.replace("policy.txt", "c.example");
    let mut generations = handle.generations();
    let applied = handle.reload_now().await.unwrap();
    assert_eq!(applied.changed, [Part::Policy]);
    assert_eq!(applied.generation, 1, "the trust is that of the beginning");
    assert!(generations.has_changed().unwrap(), "it is notified anyway");
    assert_eq!(*generations.borrow_and_update(), 1);
    assert_eq!(why(&mut b).await, "denied");
    drop((a, b));
    let left = acceptor.control().connections();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].peer().identity().as_str(), "c.example");
}

/// The old set admits the peer, and so does the new one; a mixture would not, and no peer is
/// authorized by one.
#[tokio::test(start_paused = true)]
async fn open_connections_are_authorized_by_the_whole_set() {
    let material = Material::new(0);
    let folder = Folder::new(Way::Rename);
    folder.replace("ca.pem", material.ca.pem());
    folder.replace("policy.txt", "2");
    let acceptor = acceptor(&material.ca, policy::allow_any()).build().unwrap();
    let gate = acceptor.control().clone();
    // Each policy goes with one generation of trust.
    let policy = Source::text_file(folder.path("policy.txt")).try_map(move |text| {
        let (gate, generation) = (gate.clone(), text.parse::<u64>()?);
        Ok::<_, std::num::ParseIntError>(move |_: &Peer<DnsName>| {
            if gate.generation() == generation {
                Decision::allow("they go together")
            } else {
                Decision::deny("a mixture")
            }
        })
    });
    let handle = Reload::of(&acceptor)
        .trust(Source::<TrustStore>::pem_file(folder.path("ca.pem")))
        .policy(policy)
        .every(NEVER)
        .start()
        .await
        .unwrap();
    let connector = connector(&material.ca, "client.example").build().unwrap();
    let (server, _client) = handshake(&acceptor, &connector).await;
    let mut server = server.unwrap();

    let another = Material::new(1).ca.pem();
    folder.replace("ca.pem", format!("{}{another}", material.ca.pem()));
    folder.replace("policy.txt", "3");
    let applied = handle.reload_now().await.unwrap();
    assert_eq!(applied.generation, 3);
    assert_eq!(acceptor.control().connections().len(), 1);
    // The twin: trust alone makes a mixture.
    folder.replace("ca.pem", material.ca.pem());
    handle.reload_now().await.unwrap();
    assert_eq!(why(&mut server).await, "denied");
}

/// A new CRL is no reason to connect anew; new credentials are.
#[tokio::test(start_paused = true)]
async fn a_connector_reloads_part_by_part() {
    let material = Material::new(0);
    let folder = Folder::new(Way::Rename);
    folder.replace("tls.crt", material.client.chain_pem());
    folder.replace("tls.key", material.client.key_pem());
    folder.replace("ca.pem", material.ca.pem());
    folder.replace("ca.crl", material.ca.crl().pem());
    let acceptor = material.acceptor();
    let connector = connector(&material.ca, "client.example").build().unwrap();
    let source = || Source::pem_files(folder.path("tls.crt"), folder.path("tls.key"));
    let reload = || {
        Reload::of(&connector)
            .credentials(source())
            .trust(Source::<TrustStore>::pem_file(folder.path("ca.pem")))
            .revocation(Source::<Crls>::file(folder.path("ca.crl")))
    };
    let error = reload()
        .credentials_for("a.example", source())
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "named_by_client");
    let handle = reload().every(NEVER).start().await.unwrap();

    let (server, client) = handshake(&acceptor, &connector).await;
    let (_server, mut client) = (server.unwrap(), client.unwrap());
    folder.replace("ca.crl", material.ca.crl().number(2).pem());
    let applied = handle.reload_now().await.unwrap();
    assert_eq!(applied.changed, [Part::Revocation]);
    assert!(futures_pending(client.draining()), "left alone");
    let new = material.ca.leaf().common_name("set 1").dns("new.example");
    let new = new.issue();
    folder.replace("tls.crt", new.chain_pem());
    folder.replace("tls.key", new.key_pem());
    let applied = handle.reload_now().await.unwrap();
    assert_eq!(applied.changed, [Part::Credentials]);
    assert_eq!(own_number(&handle.status()), 1);
    assert_eq!(client.draining().await.reason(), "credentials_replaced");
    assert_eq!(why(&mut client).await, "credentials_replaced");
    let (server, _client) = handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap().peer().identity().as_str(), "new.example");

    let revoked = material.ca.crl().number(3);
    let revoked = revoked.revoke(material.server.serial()).pem();
    folder.replace("ca.crl", revoked);
    handle.reload_now().await.unwrap();
    let (_server, client) = handshake(&acceptor, &connector).await;
    assert_eq!(client.unwrap_err().reason(), "revoked");
}

/// Whether the future is not ready yet.
fn futures_pending(future: impl Future) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_pending()
}

#[tokio::test(start_paused = true)]
async fn names_have_their_own_certificates() {
    let material = Material::new(0);
    let folder = Folder::with(Way::Rename, &material);
    let leaf = |number: usize| {
        let name = format!("set {number}");
        let leaf = material.ca.leaf().common_name(&name).dns("shop.example");
        leaf.issue()
    };
    let write = |number: usize| {
        let leaf = leaf(number);
        folder.replace("shop.pem", leaf.chain_pem() + &leaf.key_pem());
    };
    write(1);
    let acceptor = material.acceptor();
    let shop = || Source::pem_files(folder.path("shop.pem"), folder.path("shop.pem"));
    let handle = folder
        .reload(&acceptor)
        .credentials_for("Shop.Example", shop())
        .every(NEVER)
        .start()
        .await
        .unwrap();
    let connector = connector(&material.ca, "client.example").build().unwrap();
    let seen = async |name: &str| {
        let (_server, client) = testing::handshake(&acceptor, &connector, name).await;
        number_of(client.unwrap().peer().certificate())
    };
    assert_eq!((seen(SERVER).await, seen("shop.example").await), (0, 1));
    write(2);
    let applied = handle.reload_now().await.unwrap();
    let name = "shop.example".to_owned();
    assert_eq!(
        applied.changed,
        [Part::CredentialsFor { name: name.clone() }]
    );
    assert_eq!((seen(SERVER).await, seen("shop.example").await), (0, 2));
    let names: Vec<_> = handle
        .status()
        .certificates
        .into_iter()
        .map(|own| own.name)
        .collect();
    assert_eq!(names, [None, Some(name)]);

    // A certificate for another name is a bad one.
    folder.replace(
        "shop.pem",
        material.server.chain_pem() + &material.server.key_pem(),
    );
    let error = handle.reload_now().await.unwrap_err();
    assert_eq!(error.reason(), "name_not_covered");
    assert_eq!(seen("shop.example").await, 2);
}

#[tokio::test(start_paused = true)]
async fn trust_domains_and_choices_reload_too() {
    let (prod, partner) = (Material::new(1), Material::new(2));
    let folder = Folder::new(Way::Rename);
    folder.replace("prod.pem", prod.ca.pem());
    folder.replace("partner.pem", partner.ca.pem());
    folder.replace("prod.crl", prod.ca.crl().pem());
    let acceptor = Acceptor::builder()
        .credentials(prod.server.credentials())
        .trust(
            TrustStore::by_trust_domain()
                .with("prod.example".parse().unwrap(), prod.ca.trust())
                .unwrap(),
        )
        .identify(SpiffeId::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let pem = |name| Source::<TrustStore>::pem_file(folder.path(name));
    let domains: [TrustDomain; 2] =
        ["prod.example", "partner.example"].map(|name| name.parse().unwrap());
    let trust: Source<TrustBundles> =
        pem("prod.pem")
            .and(pem("partner.pem"))
            .try_map(move |(prod, partner)| {
                TrustStore::by_trust_domain()
                    .with(domains[0].clone(), prod)?
                    .with(domains[1].clone(), partner)
            });
    let crls = Source::<Crls>::file(folder.path("prod.crl"))
        .map(|crls| Revocation::new(crls).unknown_status(UnknownStatus::Allow));
    let handle = Reload::of(&acceptor)
        .trust(trust)
        .revocation(crls)
        .every(NEVER)
        .start()
        .await
        .unwrap();
    let refused = |ca: &testing::TestCa, id: &str| {
        let leaf = ca.leaf().spiffe(id).issue();
        let admitted = acceptor
            .control()
            .admit_chain(leaf.chain(), ConnectionInfo::default());
        admitted.err().map(|error| error.reason())
    };
    assert_eq!(refused(&prod.ca, "spiffe://prod.example/a"), None);
    assert_eq!(refused(&partner.ca, "spiffe://partner.example/a"), None);
    assert_eq!(
        refused(&partner.ca, "spiffe://prod.example/a"),
        Some("bad_signature")
    );
    let next = Material::new(3);
    folder.replace("partner.pem", next.ca.pem());
    assert_eq!(handle.reload_now().await.unwrap().changed, [Part::Trust]);
    assert_eq!(
        refused(&partner.ca, "spiffe://partner.example/a"),
        Some("bad_signature")
    );
    assert_eq!(refused(&next.ca, "spiffe://partner.example/a"), None);

    // A domain can be shut out at once, though its CRL is left, in the name of another's root.
    acceptor
        .control()
        .remove_trust_domain(&"prod.example".parse().unwrap())
        .unwrap();
    assert_eq!(
        refused(&prod.ca, "spiffe://prod.example/a"),
        Some("unknown_trust_domain")
    );
}
