//! Every reason for which an acceptor rejects is in the page, or no client there can cause it.

use std::collections::BTreeSet;

use super::UPDATE;
use super::page;

/// Codes that no case can have, and why.
const NOT_MET: &[(&str, &str)] = &[
    (
        "key_not_proven",
        "the programs do not start with a key that does not belong to the certificate",
    ),
    (
        "name_mismatch",
        "of servers' certificates: no name is expected of a client",
    ),
    (
        "unsupported_algorithm",
        "the programs do not present a chain that they cannot verify either; `manual/refusals.md` has one",
    ),
    (
        "unsupported_key",
        "the programs do not sign with such a key; `manual/refusals.md` has one",
    ),
    (
        "not_post_quantum",
        "the servers of the page accept classical certificates; the test `post_quantum` has it",
    ),
    ("not_fips", "the servers of the page do not require FIPS"),
    (
        "message_too_large",
        "the programs do not present a chain of 64 KiB",
    ),
    (
        "too_many_candidates",
        "the authorities of the page have names of their own: no chain needs so many signatures",
    ),
    (
        "unknown_server_name",
        "of a connector's gate: an acceptor connects to no server",
    ),
    (
        "handshake_incomplete",
        "of a gate that is asked too early, and `accept` asks when the handshake is over",
    ),
    (
        "policy_is_async",
        "of a gate that is asked synchronously, and `accept` does not",
    ),
    (
        "policy_not_asked",
        "of a connection that is open, whose runtime has ended",
    ),
    (
        "authorization_panicked",
        "of an application's code that panics, such as the `Hash` of an identity",
    ),
    (
        "no_clock",
        "of a clock without time, and the servers of the page have the system's",
    ),
    (
        "suspended",
        "of a source that fails closed, and the servers of the page have none",
    ),
    (
        "displaced",
        "of a handshake that stalls while a listener has no place left, and the programs do not stall",
    ),
    (
        "io",
        "of a network that fails; a connection that the client resets is `closed`",
    ),
    (
        "signing_failed",
        "of a key in a token or a service, and the servers of the page have their keys in files",
    ),
    (
        "signing_timed_out",
        "of a key in a token or a service, and the servers of the page have their keys in files",
    ),
    (
        "proxy_header_missing",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_malformed",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_too_long",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_bad_checksum",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_closed",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_timed_out",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_io",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
    (
        "proxy_header_not_trusted",
        "of a connection of a proxy with a PROXY header, and the programs here send none",
    ),
];

/// The `reason()` functions that an `AcceptError`'s is made of: file, type, and to whose it refers.
const SOURCES: &[(&str, &str, &[&str])] = &[
    (
        include_str!("../../../src/server/error.rs"),
        "AcceptError",
        &[
            "Self::NotAdmitted(error)",
            "Self::Handshake(error)",
            "Self::Shed(shed)",
            "Self::Preamble(error)",
        ],
    ),
    (
        include_str!("../../../src/server/proxy_protocol/error.rs"),
        "HeaderError",
        &[],
    ),
    (
        include_str!("../../../src/server/error.rs"),
        "ShedReason",
        &[],
    ),
    (
        include_str!("../../../src/gate/error.rs"),
        "AdmitError",
        &["Self::Chain(error)"],
    ),
    (
        include_str!("../../../src/trust/error/chain.rs"),
        "ChainError",
        &[],
    ),
    (
        include_str!("../../../src/tls/error.rs"),
        "HandshakeError",
        &[],
    ),
];

#[test]
fn every_reason_is_in_the_page_or_cannot_be_met() {
    if std::env::var_os(UPDATE).is_some() {
        return; // the page is being written
    }
    let all: BTreeSet<&str> = SOURCES.iter().flat_map(codes).collect();
    let page = page::text();
    let shown = shown(&page);
    let not_met: BTreeSet<&str> = NOT_MET.iter().map(|(code, _)| *code).collect();
    assert_eq!(not_met.len(), NOT_MET.len(), "one is listed twice");

    let names = |codes: BTreeSet<&str>| codes.into_iter().collect::<Vec<_>>().join(", ");
    let either = &shown | &not_met;
    assert_eq!(
        names(&all - &either),
        "",
        "neither in a case nor in NOT_MET"
    );
    assert_eq!(names(&shown & &not_met), "", "in a case, and in NOT_MET");
    assert_eq!(names(&either - &all), "", "no reason of an AcceptError");
}

/// The codes in a type's `reason()`. Panics at what it cannot read.
fn codes((source, of, refers): &(&'static str, &str, &[&str])) -> Vec<&'static str> {
    let after = |text: &'static str, start: &str| -> &'static str {
        let found = text.split_once(start);
        found.unwrap_or_else(|| panic!("{of}: no {start}")).1
    };
    let implementation = after(source, &format!("\nimpl {of} {{\n"));
    let function = after(implementation, "pub const fn reason(");
    let body = function.split_once("\n    }\n").expect("its end").0;
    let (mut codes, mut referred) = (Vec::new(), Vec::new());
    for line in body.lines() {
        let Some((pattern, value)) = line.trim().split_once(" => ") else {
            continue;
        };
        if let Some(code) = value.strip_prefix('"') {
            codes.push(code.strip_suffix("\",").expect("a code alone"));
        } else if value.ends_with(".reason(),") {
            referred.push(pattern);
        } else {
            assert_eq!(value, "match error.kind() {", "{of}: {line}");
        }
    }
    assert_eq!(referred, *refers, "{of} refers to others");
    let arms = body.matches("=>").count() - body.matches("match error.kind()").count();
    assert_eq!(
        codes.len() + referred.len(),
        arms,
        "{of}: an arm of several lines"
    );
    codes
}

/// What the page says of our side, for all programs or for one.
fn shown(page: &str) -> BTreeSet<&str> {
    ["* **Server**: `", "(the server: `"]
        .iter()
        .flat_map(|start| page.split(start).skip(1))
        .map(|rest| rest.split_once('`').expect("its end").0)
        // A message instead of a code.
        .filter(|code| !code.contains(' '))
        .collect()
}

#[test]
fn codes_are_found_in_both_places() {
    let page = "| curl | `no` (the server: `io`) |\n| Go | `no` (the server: `a b`) |\n\
                * **Server**: `tls`: `TLS failed`\n";
    assert_eq!(shown(page), BTreeSet::from(["io", "tls"]));
    let source = "\nimpl E {\n    pub const fn reason(&self) -> &'static str {\n        match self {\n            \
                  Self::A => \"a\",\n            Self::B(error) => error.reason(),\n        }\n    }\n";
    assert_eq!(codes(&(source, "E", &["Self::B(error)"])), ["a"]);
}
