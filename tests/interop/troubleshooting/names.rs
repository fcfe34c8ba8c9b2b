//! What is wrong with the name in a trusted certificate.

use countersign::identity::{CommonName, DnsName, IdentityExtractor as _};
use countersign::pki::Certificate;
use countersign::testing::LeafBuilder;

use super::cases::{Case, Situation};
use super::world::{World, built};
use support::interop::name;

pub(crate) fn cases(world: &World, good: &Situation) -> Vec<Case> {
    let named = |change: fn(LeafBuilder) -> LeafBuilder| {
        let issued = change(world.nameless(&world.root)).issue();
        good.with(|call| call.client = Some(world.files(&issued)))
    };
    let by_dns = |change| {
        let read = DnsName::extractor().try_map(|dns| dns.as_str().parse::<CommonName>());
        named(change).with(|call| call.acceptor = built(world.acceptor_by(read)))
    };
    let mended = |_: &Certificate| Ok(name("alice"));

    vec![
        Case::new(
            "An identity that is malformed",
            by_dns(|leaf| leaf.dns("https://alice.example/")),
            by_dns(|leaf| leaf.dns("alice.example")),
            "Issue it with a value in the syntax of the field. A DNS name is not a URL and has no \
             port, an internationalised one is written in A-labels (`xn--`), and no value has \
             control characters.",
        ),
        Case::new(
            "An identity for many hosts",
            by_dns(|leaf| leaf.dns("*.example")),
            by_dns(|leaf| leaf.dns("alice.example")),
            "Issue the client a certificate of its own: a wildcard is for servers, and identifies \
             no client. Invisible characters in a name are rejected as well.",
        ),
        Case::new(
            "An identity that is too long",
            named(|leaf| leaf.common_name(&"alice".repeat(13))),
            good.clone(),
            "Shorten it: a common name has 64 characters at most (RFC 5280, `ub-common-name`); or \
             put it into a subject alternative name, and use an extractor of that.",
        ),
        Case::new(
            "An identity in an old encoding",
            // A T61String with a Latin-1 letter, as OpenSSL before 1.1 made it.
            named(|leaf| leaf.attribute("2.5.4.3", 0x14, b"Andr\xe9")),
            good.clone(),
            "Issue it with a UTF8String or a PrintableString (`string_mask = utf8only` in OpenSSL's \
             configuration).",
        ),
        Case::new(
            "The extractor panics",
            good.with(|call| {
                let broken = |certificate: &Certificate| -> Result<CommonName, _> {
                    let names = certificate.subject_alternative_names().unwrap_or_default();
                    Ok(name(&format!("{:?}", names[0])))
                };
                call.acceptor = built(world.acceptor_by(broken));
            }),
            good.with(|call| call.acceptor = built(world.acceptor_by(mended))),
            "The error is in the server: its extractor has a bug. See the panic message on its \
             standard error. An extractor must return an error for unexpected input.",
        ),
    ]
}
