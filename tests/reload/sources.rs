//! Sources that the builder is given: loaded once there, and followed by a reload without repeating them.

use std::fs;
use std::path::{Path, PathBuf};

use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList, PatternSet, dns_patterns};
use countersign::reload::{Reload, ReloadError, Source};
use countersign::testing::{Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, ConnectionInfo, TrustStore};

struct Files {
    folder: tempfile::TempDir,
    ca: TestCa,
    client: Issued,
}

impl Files {
    fn new() -> Self {
        let (folder, ca) = (tempfile::tempdir().unwrap(), TestCa::new("Root"));
        let server = ca.leaf().dns("server.example").issue();
        let client = ca.leaf().dns("client.example").issue();
        let files = Self { folder, ca, client };
        files.write("tls.crt", &server.chain_pem());
        files.write("tls.key", &server.key_pem());
        files.write("ca.crt", &files.ca.pem());
        files.write("ca.crl", &files.ca.crl().pem());
        files.write("policy.txt", "*.example\n");
        files.write("deny.txt", "mallory.example\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn acceptor(&self, list: &DenyList<DnsName>) -> Result<Acceptor<DnsName>, ReloadError> {
        let builder = Acceptor::builder()
            .credentials_from(Source::pem_files(
                self.path("tls.crt"),
                self.path("tls.key"),
            ))?
            .trust_from(Source::<TrustStore>::pem_file(self.path("ca.crt")))?
            .identify(DnsName::extractor())
            .authorize_from(policy(&self.path("policy.txt")))?
            .revocation_from(Source::<Crls>::file(self.path("ca.crl")))?
            .deny_list_from(list, denied(&self.path("deny.txt")))?;
        Ok(builder.build().unwrap())
    }

    fn decision(&self, acceptor: &Acceptor<DnsName>) -> Result<(), &'static str> {
        let info = ConnectionInfo::default();
        let admitted = acceptor.control().admit_chain(self.client.chain(), info);
        admitted.map(drop).map_err(|error| error.reason())
    }
}

fn policy(path: &Path) -> Source<PatternSet<countersign::policy::DnsPattern>> {
    Source::<String>::text_file(path).try_map(|text| dns_patterns(text.lines()))
}

fn denied(path: &Path) -> Source<Vec<DenyEntry<DnsName>>> {
    Source::<String>::text_file(path).try_map(|text| DenyEntry::parse_list(&text))
}

#[tokio::test(start_paused = true)]
async fn a_reload_follows_the_sources_of_the_builder() {
    let (files, list) = (Files::new(), DenyList::new());
    let acceptor = files.acceptor(&list).unwrap();
    assert_eq!(acceptor.control().generation(), 1);
    assert_eq!((files.decision(&acceptor), list.len()), (Ok(()), 1));

    let handle = Reload::of(&acceptor).start().await.unwrap();
    assert_eq!(handle.status().applied, 1);
    files.write("policy.txt", "other.example\n");
    handle.reload_now().await.unwrap();
    assert_eq!(files.decision(&acceptor), Err("denied"));
    files.write("policy.txt", "*.example\n");
    files.write("deny.txt", "client.example\n");
    handle.reload_now().await.unwrap();
    assert_eq!(files.decision(&acceptor), Err("deny_listed"));
    files.write("deny.txt", "");
    let other = TestCa::new("Other");
    files.write("ca.crt", &other.pem());
    files.write("ca.crl", &other.crl().pem());
    handle.reload_now().await.unwrap();
    assert_eq!(files.decision(&acceptor), Err("unknown_issuer"));
}

#[tokio::test(start_paused = true)]
async fn a_source_of_the_reload_replaces_that_of_the_builder() {
    let (files, list) = (Files::new(), DenyList::new());
    let acceptor = files.acceptor(&list).unwrap();
    files.write("strict.txt", "other.example\n");
    let reload = Reload::of(&acceptor).policy(policy(&files.path("strict.txt")));
    let _handle = reload.start().await.unwrap();
    assert_eq!(files.decision(&acceptor), Err("denied"));
}

#[test]
fn a_source_that_cannot_be_loaded_names_its_part() {
    for (file, content, reason, part) in [
        ("tls.crt", "garbage", "no_pem_block", "credentials: "),
        ("ca.crt", "garbage", "no_pem_block", "trust: "),
        (
            "policy.txt",
            "*.*.example",
            "wildcard_not_leftmost",
            "policy: ",
        ),
        ("ca.crl", "garbage", "no_pem_block", "revocation: "),
        ("deny.txt", "spki:0", "invalid_fingerprint", "deny list: "),
    ] {
        let (files, list) = (Files::new(), DenyList::new());
        files.write(file, content);
        let error = files.acceptor(&list).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().starts_with(part), "{error}");
        assert!(list.is_empty(), "{file}");
    }
}

#[test]
fn a_text_file_that_cannot_be_read_is_named_with_its_cause() {
    use std::os::unix::net::UnixListener;

    use countersign::Diagnostic as _;

    type Spoil = fn(&Path);
    let spoil: [(Spoil, &str, &str, &str); 4] = [
        (
            |_| (),
            "unreadable_file",
            "cannot read ",
            "check the path and its permissions",
        ),
        (
            |path| drop(UnixListener::bind(path).unwrap()),
            "not_a_file",
            "is not a regular file",
            "put a file there",
        ),
        (
            |path| {
                let file = fs::File::create(path).unwrap();
                file.set_len((256 << 20) + 1).unwrap();
            },
            "too_large",
            "is larger than 268435456 bytes",
            "check whether it is the intended file",
        ),
        (
            |path| fs::write(path, b"a.example\n\xff\n").unwrap(),
            "not_text",
            "policy.txt, line 2: not UTF-8",
            "save it in UTF-8",
        ),
    ];
    for (spoil, reason, cause, remedy) in spoil {
        let files = Files::new();
        let path = files.path("policy.txt");
        fs::remove_file(&path).unwrap();
        spoil(&path);
        let error = files.acceptor(&DenyList::new()).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(cause) && text.contains("policy.txt"),
            "{text}"
        );
        assert!(error.remedy().contains(remedy), "{}", error.remedy());
    }
}

/// A bundle as SPIRE serves it, and a file with those of several trust domains.
#[tokio::test(start_paused = true)]
async fn spiffe_bundles_are_loaded_again() {
    use countersign::identity::SpiffeId;
    use countersign::trust::TrustBundles;

    let folder = tempfile::tempdir().unwrap();
    let [bundle, map] = ["bundle.json", "map.json"].map(|name| folder.path().join(name));
    let write = |ca: &TestCa| {
        let pem = ca.pem();
        let x5c: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let one = format!(r#"{{"keys":[{{"kty":"EC","use":"x509-svid","x5c":["{x5c}"]}}]}}"#);
        fs::write(&bundle, &one).unwrap();
        fs::write(
            &map,
            format!(r#"{{"trust_domains":{{"one.example":{one}}}}}"#),
        )
        .unwrap();
    };
    let (old, new) = (TestCa::new("Old"), TestCa::new("New"));
    write(&old);
    let builder = || Acceptor::builder().credentials(old.leaf().dns("a").issue().credentials());
    let acceptors = [
        builder().trust_from(Source::<TrustStore>::spiffe_bundle(&bundle)),
        builder().trust_from(Source::<TrustBundles>::spiffe_bundle_map(&map)),
    ]
    .map(|builder| {
        let builder = builder.unwrap().identify(SpiffeId::extractor());
        let acceptor = builder.authorize(countersign::policy::allow_any()).build();
        acceptor.unwrap()
    });
    for acceptor in &acceptors {
        write(&old);
        let handle = Reload::of(acceptor).start().await.unwrap();
        let decisions = || {
            [&old, &new].map(|ca| {
                let issued = ca.leaf().spiffe("spiffe://one.example/a").issue();
                let info = ConnectionInfo::default();
                let admitted = acceptor.control().admit_chain(issued.chain(), info);
                admitted.map_or_else(|error| error.reason(), |_| "admitted")
            })
        };
        assert_eq!(decisions(), ["admitted", "unknown_issuer"]);
        write(&new);
        handle.reload_now().await.unwrap();
        assert_eq!(decisions(), ["unknown_issuer", "admitted"]);
        for file in [&bundle, &map] {
            fs::write(file, "{}").unwrap();
        }
        let error = handle.reload_now().await.unwrap_err();
        assert_eq!(error.reason(), "malformed_certificate", "{error}");
        assert_eq!(decisions(), ["unknown_issuer", "admitted"]);
    }
}

/// The layout of SPIFFE's files, of Pod Certificates and of ClusterTrustBundles: the key is first.
#[tokio::test]
async fn a_folder_of_spiffe_files() {
    use countersign::Credentials;
    use countersign::identity::SpiffeId;
    use countersign::trust::TrustBundles;

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
    let own = || {
        let own = one.leaf().spiffe("spiffe://one.example/orders").issue();
        write(
            "credential-bundle.pem",
            &format!("{}{}", own.key_pem(), own.chain_pem()),
        );
        own.certificate().sha256()
    };
    let first = own();
    write("one.example.trust-bundle.pem", &one.pem());
    write("notes.pem", "not a bundle");
    let acceptor = Acceptor::builder()
        .credentials_from(Source::<Credentials>::spiffe_dir(folder.path()))
        .unwrap()
        .trust_from(Source::<TrustBundles>::spiffe_dir(folder.path()))
        .unwrap()
        .identify(SpiffeId::extractor())
        .authorize(countersign::policy::allow_any())
        .build()
        .unwrap();
    let handle = Reload::of(&acceptor).start().await.unwrap();
    let decision = |ca: &TestCa, id: &str| {
        let issued = ca.leaf().spiffe(id).issue();
        let admitted = acceptor
            .control()
            .admit_chain(issued.chain(), ConnectionInfo::default());
        admitted.map_or_else(|error| error.reason(), |_| "admitted")
    };
    assert_eq!(decision(&one, "spiffe://one.example/a"), "admitted");
    assert_eq!(
        decision(&two, "spiffe://two.example/a"),
        "unknown_trust_domain"
    );

    write("two.example.trust-bundle.pem", &two.pem());
    let renewed = own();
    handle.reload_now().await.unwrap();
    let in_force = handle.status().certificates[0].certificate.sha256();
    assert!(in_force == renewed && in_force != first);
    assert_eq!(decision(&two, "spiffe://two.example/a"), "admitted");
    assert_eq!(decision(&two, "spiffe://one.example/a"), "unknown_issuer");

    // A bad name, or a bundle without a root, changes nothing.
    write("Three.trust-bundle.pem", &two.pem());
    let error = handle.reload_now().await.unwrap_err();
    assert_eq!(error.reason(), "malformed_certificate", "{error}");
    fs::remove_file(folder.path().join("Three.trust-bundle.pem")).unwrap();
    write("two.example.trust-bundle.pem", "");
    assert_eq!(
        handle.reload_now().await.unwrap_err().reason(),
        "no_pem_block"
    );
    assert_eq!(decision(&two, "spiffe://two.example/a"), "admitted");
    let error = TrustBundles::from_spiffe_dir(std::env::temp_dir().join("missing")).unwrap_err();
    assert_eq!(error.reason(), "unreadable_file");
    let empty = tempfile::tempdir().unwrap();
    let error = TrustBundles::from_spiffe_dir(empty.path()).unwrap_err();
    assert_eq!(error.reason(), "empty_folder");
}
