//! The names of authorities that a server sends to its clients.

use std::collections::HashSet;

use rustls::DistinguishedName;

use crate::trust::Trust;

/// Which names of authorities an acceptor sends with its request for a certificate
/// (`certificate_authorities`, RFC 9846 section 4.2.4).
///
/// A client that has several certificates chooses by these names. OpenSSL, curl, rustls and the connector of
/// this crate present the certificate that they are configured with, whatever the names are. Go, Java and
/// GnuTLS hold back a certificate whose issuer is not among them. Without names, these three present their
/// certificate too, Java the first whose key fits, and a browser offers all certificates of its user.
///
/// The names are those of the trusted roots and of the intermediates that the trust store has, each once.
/// With a pinned certificate or key there are never any, because no name stands for it. A part of the names is
/// never sent: a client would hold back a certificate of the others.
///
/// ```
/// use countersign::RootHints;
/// use countersign::builder::{Builder, ServerSide};
/// use countersign::identity::Email;
///
/// /// For clients that choose among several certificates, such as browsers.
/// fn for_browsers(builder: Builder<ServerSide, Email>) -> Builder<ServerSide, Email> {
///     builder.root_hints(RootHints::All)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootHints {
    /// All names if they fit in 4 KiB, which some 60 usual names do, and none if not. More would take a
    /// further round trip: a server may send about 14 KiB before the client answers (RFC 6928).
    #[default]
    IfShort,
    /// All names if they fit in 32 KiB, and none if not. A handshake message has 64 KiB at most.
    All,
    /// None, so that the names of the authorities are not shown to each client that connects.
    Off,
}

impl RootHints {
    /// How many bytes the names may take.
    const fn limit(self) -> usize {
        match self {
            Self::IfShort => 4 * 1024,
            Self::All => 32 * 1024,
            Self::Off => 0,
        }
    }

    /// The names for this trust. Intermediates are named for clients that send, and so match, only their
    /// leaf.
    pub(super) fn names(self, trust: &Trust) -> Vec<DistinguishedName> {
        if trust.has_pins() {
            return Vec::new();
        }
        let subjects = trust.stores().flat_map(|store| {
            let roots = store.anchors().iter().map(|anchor| anchor.subject.as_ref());
            let intermediates = store.intermediate_subjects();
            roots.chain(intermediates.map(|subject| subject.rdn_sequence()))
        });
        let mut left = self.limit();
        let (mut known, mut names) = (HashSet::new(), Vec::new());
        for subject in subjects.filter(|&subject| known.insert(subject)) {
            let name = DistinguishedName::in_sequence(subject);
            match left.checked_sub(name.as_ref().len() + 2) {
                Some(rest) => left = rest,
                None => return Vec::new(),
            }
            names.push(name);
        }
        names
    }
}
