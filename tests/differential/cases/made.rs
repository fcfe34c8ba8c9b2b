//! The cases that the test makes: one of each kind that is found in the wild.

mod chains;
mod files;
mod lists;
mod names;

use countersign::pki_types::{CertificateDer, UnixTime};
use countersign::testing::{CrlBuilder, Issued, LeafBuilder, TestCa, der};

use super::ours::{Attempt, Choice, Verdict, decide};

/// Files as an operator has them.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) what: String,
    files: Vec<(String, Vec<u8>)>,
    identity: &'static str,
    choice: Choice,
}

pub(crate) fn cases() -> Vec<Made> {
    [
        names::cases(),
        chains::cases(),
        lists::cases(),
        files::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Made {
    /// A chain of this CA, with its key.
    fn new(name: &str, what: &str, root: &TestCa, client: &Issued) -> Self {
        let made = Self {
            name: name.to_owned(),
            what: what.to_owned(),
            files: Vec::new(),
            identity: "",
            choice: Choice::NONE,
        };
        made.file("roots.pem", root.pem())
            .file("chain.pem", client.chain_pem())
            .file("key.pem", client.key_pem())
    }

    /// Sets a file, also in place of one that is there.
    fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(file, _)| file != name);
        self.files.push((name.to_owned(), content.into()));
        self
    }

    fn chain<'a>(self, chain: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        let pem: String = chain
            .into_iter()
            .map(|der| der::pem("CERTIFICATE", der))
            .collect();
        self.file("chain.pem", pem)
    }

    fn crl(self, crl: CrlBuilder) -> Self {
        let number = self
            .files
            .iter()
            .filter(|(file, _)| file.starts_with("crl"))
            .count()
            + 1;
        self.file(&format!("crl{number}.pem"), crl.pem())
    }

    fn identity(mut self, identity: &'static str) -> Self {
        self.identity = identity;
        self
    }

    fn choice(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in &self.files {
            std::fs::write(folder.path().join(file), content).unwrap();
        }
        let attempt = Attempt::new(&self.choice, self.identity);
        decide(folder.path(), &attempt, UnixTime::now())
    }
}

/// The CA of most cases.
fn root() -> TestCa {
    TestCa::new("Example Root CA")
}

/// A client's certificate, as most cases have it. Its serial number is the same in every run.
fn client(ca: &TestCa) -> LeafBuilder {
    ca.leaf()
        .common_name("worker-7")
        .serial(&SERIAL)
        .client_only()
}

const SERIAL: [u8; 2] = [0x10, 0x01];

/// A time this number of seconds from now.
fn from_now(seconds: i64) -> UnixTime {
    let seconds = UnixTime::now().as_secs().saturating_add_signed(seconds);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The elements of a constructed value, each with its tag.
fn elements(value: &[u8]) -> Vec<Vec<u8>> {
    let (_, mut content, rest) = split(value);
    assert!(rest.is_empty());
    let mut elements = Vec::new();
    while !content.is_empty() {
        let (element, _, rest) = split(content);
        elements.push(element.to_vec());
        content = rest;
    }
    elements
}

/// The first value, its content, and what follows it.
fn split(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (header, length) = match bytes[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = &bytes[2..2 + octets];
            let length = length
                .iter()
                .fold(0, |length, &octet| length << 8 | usize::from(octet));
            (2 + octets, length)
        }
    };
    let (value, rest) = bytes.split_at(header + length);
    (value, &value[header..], rest)
}

/// A TBSCertificate with another element at this place: 0 version, 1 serial, 2 algorithm, 3 issuer,
/// 4 validity, 5 subject, 6 key, 7 extensions.
fn with_element(
    place: usize,
    element: Vec<u8>,
) -> impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static {
    move |tbs| {
        let mut all = elements(&tbs);
        all[place] = element;
        der::sequence(&all)
    }
}
