//! Numbered sets of certificates, keys, roots and CRLs, and the ways in which files are replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::reload::{Handle, Reload, Source, Status};
use countersign::testing::{Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Certificate, ConnectionInfo, TrustStore, policy};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tokio::time::timeout;

use support::{self, SERVER};

/// Everything of one set has its number, or fits only to what has.
pub struct Material {
    pub ca: TestCa,
    pub server: Issued,
    pub client: Issued,
}

impl Material {
    /// The authorities of all sets have the same name, so that nothing fits by its name alone.
    pub fn new(number: usize) -> Self {
        let ca = TestCa::new("Root");
        let name = format!("set {number}");
        Self {
            server: ca.leaf().common_name(&name).dns(SERVER).issue(),
            client: ca.leaf().common_name(&name).dns("client.example").issue(),
            ca,
        }
    }

    pub fn files(&self) -> Vec<(&'static str, String)> {
        vec![
            ("tls.crt", self.server.chain_pem()),
            ("tls.key", self.server.key_pem()),
            ("ca.pem", self.ca.pem()),
            ("ca.crl", self.ca.crl().pem()),
        ]
    }

    /// An acceptor with this material.
    pub fn acceptor(&self) -> Acceptor<DnsName> {
        Acceptor::builder()
            .credentials(self.server.credentials())
            .trust(self.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap()
    }

    /// Why the acceptor would reject this set's client.
    pub fn refused_by(&self, acceptor: &Acceptor<DnsName>) -> Option<&'static str> {
        let info = ConnectionInfo::default();
        let admitted = acceptor.control().admit_chain(self.client.chain(), info);
        admitted.err().map(|error| error.reason())
    }
}

/// The number of the set that a certificate is of.
pub fn number_of(certificate: &Certificate) -> usize {
    let subject = certificate.subject().to_string();
    subject.strip_prefix("CN=set ").unwrap().parse().unwrap()
}

pub fn own_number(status: &Status) -> usize {
    number_of(&status.certificates[0].certificate)
}

/// The time so many seconds after 1970.
pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A way to replace files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All at once: each file is a symlink through `..data`, which is swapped.
    Kubernetes,
    /// One after the other, each by a rename.
    Rename,
    /// One after the other, each truncated and written anew.
    Rewrite,
}

pub const WAYS: [Way; 3] = [Way::Kubernetes, Way::Rename, Way::Rewrite];

/// A folder whose files are replaced in one of the ways.
pub struct Folder {
    folder: tempfile::TempDir,
    pub way: Way,
}

impl Folder {
    pub fn new(way: Way) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            way,
        }
    }

    pub fn with(way: Way, material: &Material) -> Self {
        let folder = Self::new(way);
        folder.write(&material.files());
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, files: &[(&str, String)]) {
        match self.way {
            Way::Kubernetes => self.swap(files),
            Way::Rename => {
                for (name, content) in files {
                    self.replace(name, content);
                }
            }
            Way::Rewrite => {
                for (name, content) in files {
                    fs::write(self.path(name), content).unwrap();
                }
            }
        }
    }

    /// Replaces one file by a rename.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let new = self.path(&format!(".{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// As the kubelet does it: a new folder, a new symlink, a rename over the old one.
    fn swap(&self, files: &[(&str, String)]) {
        let old = fs::read_link(self.path("..data")).ok();
        let new = match &old {
            Some(old) if old == Path::new("..1") => "..2",
            _ => "..1",
        };
        fs::create_dir(self.path(new)).unwrap();
        for (name, content) in files {
            fs::write(self.path(new).join(name), content).unwrap();
        }
        symlink(new, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        for (name, _) in files {
            if !fs::exists(self.path(name)).unwrap() {
                symlink(format!("..data/{name}"), self.path(name)).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(self.path(old.to_str().unwrap())).unwrap();
        }
    }

    /// A reload of everything in the folder.
    pub fn reload(&self, acceptor: &Acceptor<DnsName>) -> Reload<DnsName> {
        Reload::of(acceptor)
            .credentials(Source::pem_files(
                self.path("tls.crt"),
                self.path("tls.key"),
            ))
            .trust(Source::<TrustStore>::pem_file(self.path("ca.pem")))
            .revocation(Source::<Crls>::file(self.path("ca.crl")))
    }
}

/// An interval that does not end in a test, which asks for what it wants to see.
pub const NEVER: Duration = Duration::from_secs(86_400);

/// Waits until the reload has applied something.
pub async fn applied(generations: &mut watch::Receiver<u64>) -> u64 {
    let changed = timeout(Duration::from_secs(60), generations.changed()).await;
    changed.expect("something is applied").unwrap();
    *generations.borrow_and_update()
}

/// A reload once a second, on a clock that is stopped while work is done.
pub async fn every_second(reload: Reload<DnsName>) -> (Handle, watch::Receiver<u64>) {
    let handle = reload.every(Duration::from_secs(1)).start().await.unwrap();
    let generations = handle.generations();
    (handle, generations)
}

/// The set of the server's certificate, as the set's client sees it; or why there is no connection.
pub async fn connects(acceptor: &Acceptor<DnsName>, material: &Material) -> Result<usize, String> {
    let connector = countersign::Connector::builder()
        .credentials(material.client.credentials())
        .trust(material.ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, client) = support::handshake(acceptor, &connector).await;
    server.map_err(|error| error.reason().to_owned())?;
    let client = client.map_err(|error| error.reason().to_owned())?;
    Ok(number_of(client.peer().certificate()))
}
