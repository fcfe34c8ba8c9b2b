//! The CA and its certificates.

use std::net::{IpAddr, Ipv4Addr};

use countersign::testing::{Issued, LeafBuilder, TestCa};

use super::files::File;

/// A CA, and certificates that it issued.
pub(super) struct Certificates {
    ca: TestCa,
    issued: Vec<Named>,
}

struct Named {
    name: &'static str,
    /// The names in it, and its purpose.
    content: &'static str,
    issued: Issued,
}

const CA: &str = "countersign development CA";

impl Certificates {
    pub(super) fn new() -> Self {
        let ca = TestCa::new(CA);
        let named = |name, content, leaf: LeafBuilder| Named {
            name,
            content,
            issued: leaf.common_name(name).issue(),
        };
        let client = || ca.leaf().client_only();
        let server = ca.leaf().server_only().dns("localhost");
        let issued = vec![
            named(
                "server",
                "server  spiffe://example.org/ns/orders, DNS localhost, IP 127.0.0.1",
                server
                    .ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
                    .spiffe("spiffe://example.org/ns/orders"),
            ),
            named(
                "billing",
                "client  spiffe://example.org/ns/billing/worker",
                client().spiffe("spiffe://example.org/ns/billing/worker"),
            ),
            named(
                "worker",
                "client  DNS worker.example",
                client().dns("worker.example"),
            ),
            named(
                "shipping",
                "client  spiffe://example.org/ns/shipping/worker (the commands below deny it)",
                client().spiffe("spiffe://example.org/ns/shipping/worker"),
            ),
            named(
                "expired",
                "client  spiffe://example.org/ns/billing/worker (expired)",
                client()
                    .spiffe("spiffe://example.org/ns/billing/worker")
                    .expired(),
            ),
        ];
        Self { ca, issued }
    }

    pub(super) fn files(&self) -> Vec<File> {
        let mut files = vec![File::public("ca.crt", self.ca.pem())];
        for Named { name, issued, .. } in &self.issued {
            files.push(File::public(format!("{name}.crt"), issued.chain_pem()));
            files.push(File::secret(format!("{name}.key"), issued.key_pem()));
        }
        files
    }

    /// Each certificate's file and content.
    pub(super) fn descriptions(&self) -> impl Iterator<Item = (String, String)> {
        let ca = ("ca.crt".to_owned(), format!("CA      {CA}"));
        let issued = self.issued.iter();
        std::iter::once(ca)
            .chain(issued.map(|named| (format!("{}.crt", named.name), named.content.to_owned())))
    }
}
