//! A module imports only from rows above its own.
//!
//! The checker reads tokens, not types: `crate::…` and `super::…` paths. What `lib.rs` re-exports counts
//! as the module it comes from. Comments, strings and `mod tests` do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Token, is_word, rust_files, tokens, without_tests};

/// The top-level modules, the lowest layer first. Those of one row do not know each other.
///
/// manual/architecture.md shows the same table.
const ROWS: &[&[&str]] = &[
    &["diagnostic", "side"],
    &["pki"],
    &["identity"],
    &["trust"],
    &["peer"],
    &["policy"],
    &["audit"],
    &["gate"],
    &["tls"],
    &["live"],
    &["endpoint"],
    &["stream"],
    &["server", "client"],
    &["reload"],
    &["integration", "diagnose"],
    &["manual"], // pages to read
];

/// Stands aside: it may import everything, and nothing imports it.
const ASIDE: &str = "testing";

/// What a module may not import although it is in a row above.
struct Forbidden {
    importer: &'static str,
    imported: &'static str,
    /// Names that one file may import nevertheless.
    except: &'static [(&'static str, &'static str)],
}

const FORBIDDEN: &[Forbidden] = &[
    // The gate decides and records nothing. Its error has a variant for a sink that fails.
    Forbidden {
        importer: "gate",
        imported: "audit",
        except: &[("gate/error.rs", "RecordError")],
    },
    // A chain is examined as the peer would verify it, without an acceptor or a connector.
    unconditionally("diagnose", "gate"),
    unconditionally("diagnose", "tls"),
    unconditionally("diagnose", "endpoint"),
    unconditionally("diagnose", "server"),
    unconditionally("diagnose", "client"),
];

const fn unconditionally(importer: &'static str, imported: &'static str) -> Forbidden {
    Forbidden {
        importer,
        imported,
        except: &[],
    }
}

type IsReserved = fn(&str) -> bool;

/// Words that occur only in some modules or files.
const RESERVED: &[(IsReserved, &[&str])] = &[
    // Code that bypasses rustls' own checks is next to the check that replaces them.
    (|word| word.starts_with("danger"), &["tls/"]),
    // Everything else works for blocking rustls and for QUIC too.
    (
        |word| matches!(word, "tokio" | "tokio_rustls"),
        &[
            "pki/lane.rs",          // a semaphore, which needs no runtime
            "policy/asynchronous/", // time limits
            "live/timers.rs",
            "stream/",
            "server/accept.rs",
            "server/listener/",
            "client/connect.rs",
            "reload/",
            "integration/hyper/",
            "integration/axum.rs",
            "integration/tonic/",
            "integration/spiffe/",
            "integration/tokio_postgres.rs",
            "integration/quinn/",
            "testing/connection.rs",
            "testing/tests/reads.rs",
        ],
    ),
    // Sockets belong to the listener or to the caller. (`stream/info.rs` recognizes one, to read the
    // peer's address.)
    (
        |word| matches!(word, "TcpStream" | "TcpListener" | "UdpSocket"),
        &["stream/info.rs", "server/listener/", "integration/quinn/"],
    ),
    // rustls' configurations are built in one place, and customized or handed out in three.
    (
        |word| matches!(word, "ServerConfig" | "ClientConfig"),
        &[
            "tls/",
            "endpoint/",
            "server/",
            "client/",
            "integration/quinn/",
        ],
    ),
    // The gate reads a finished connection; what drives one is above it.
    (
        |word| matches!(word, "ServerConnection" | "ClientConnection"),
        &["gate/handshaken.rs", "tls/", "server/", "client/"],
    ),
    // One snapshot is in force; nothing else is swapped. (The rules for requests are the layer's.)
    (
        |word| word.starts_with("ArcSwap"),
        &["endpoint/mod.rs", "integration/tower/layer.rs"],
    ),
    // Identities and policies are about certificates and peers, not about what carried them.
    (
        |word| word == "rustls",
        &[
            "pki/",
            "trust/",
            "diagnose/",
            "peer.rs",
            "gate/",
            "tls/",
            "live/",
            "endpoint/",
            "stream/",
            "server/",
            "client/",
            "integration/quinn/", // its close codes are alerts
            "testing/",
        ],
    ),
];

/// The table of the manual's page about the architecture is the one that is checked.
#[test]
fn the_manual_shows_these_layers() {
    let page = support::workspace().join("manual/architecture.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let shown = layers_of(&page);
    let expected: Vec<Vec<&str>> = ROWS.iter().map(|row| row.to_vec()).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_table_is_read_row_by_row() {
    let page = "| layer | modules |\n|---|---|\n| 1 | `diagnostic` · `side`: shared |\n\
        | 2 | `pki/`: certificates, `x/` |\n| aside | `testing/` |\n\n| 9 | `other/` |\n";
    assert_eq!(layers_of(page), [vec!["diagnostic", "side"], vec!["pki"]]);
}

/// The modules of each numbered row of the table, in its order.
fn layers_of(page: &str) -> Vec<Vec<&str>> {
    page.lines()
        .skip_while(|line| *line != "| layer | modules |")
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(layer, _)| layer.parse::<usize>().is_ok())
        .map(|(_, modules)| {
            let modules = modules.split(" · ");
            let names = modules.filter_map(|module| module.strip_prefix('`')?.split_once('`'));
            names.map(|(name, _)| name.trim_end_matches('/')).collect()
        })
        .collect()
}

#[test]
fn modules_import_only_from_rows_above() {
    let tree = Tree::of_this_crate();
    assert!(tree.files.len() > 30, "the source was not found");
    assert_eq!(tree.violations(), Vec::<String>::new());
}

/// The checker's rules, each with a line that keeps it and one that breaks it.
#[test]
fn the_checker_sees_what_it_must() {
    const LIB: &str = "mod diagnostic; mod side; pub mod pki; pub mod identity; pub mod trust; pub mod diagnose; \
        mod peer; pub mod policy; pub mod audit; pub mod gate; mod tls; pub mod live; mod endpoint; \
        mod stream; mod server; mod client; pub mod reload; \
        pub mod integration; pub mod manual; pub mod testing; \
        pub use peer::{ConnectionInfo, Peer}; pub use server::Acceptor; pub use tls::{builder, \
        BuildError as Built};";
    let violations = |path: &str, source: &str| {
        let sources = [("lib.rs", LIB), (path, source)];
        Tree::new(sources.map(|(path, source)| (path.to_owned(), source.to_owned()))).violations()
    };
    for (path, good, bad, says) in [
        // Upwards only.
        (
            "gate/mod.rs",
            "use crate::policy::Policy;",
            "use crate::tls::Capture;",
            "gate/mod.rs: imports `tls`",
        ),
        // The modules of one row do not know each other; a module knows itself.
        (
            "identity/dns.rs",
            "use crate::identity::SpiffeId;",
            "use crate::trust::TrustStore;",
            "imports `trust`",
        ),
        (
            "server/mod.rs",
            "use crate::stream::Wire;",
            "use crate::client::Connector;",
            "imports `client`",
        ),
        (
            "reload/mod.rs",
            "use crate::Acceptor;",
            "use crate::testing::TestCa;",
            "imports `testing`",
        ),
        (
            "client/mod.rs",
            "use crate::tls::Update;",
            "use crate::reload::Source;",
            "imports `reload`",
        ),
        // Groups, with and without nesting.
        (
            "trust/path.rs",
            "use crate::{pki::{Certificate, text}};",
            "use crate::{pki::{Certificate, text}, gate::Gate};",
            "imports `gate`",
        ),
        // In the middle of code.
        (
            "trust/path.rs",
            "fn f(_: crate::pki::Certificate) {}",
            "fn f(_: crate :: peer :: Peer) {}",
            "imports `peer`",
        ),
        // What lib.rs re-exports is its module's, renamed or not.
        (
            "policy/mod.rs",
            "use crate::Peer;",
            "use crate::{Peer, Acceptor};",
            "imports `server`",
        ),
        (
            "policy/mod.rs",
            "use crate::ConnectionInfo;",
            "use crate::Built;",
            "imports `tls`",
        ),
        // By way of `super`.
        (
            "gate/error.rs",
            "use super::tls; use super::super::trust::ChainError;",
            "use super::super::tls::HandshakeError;",
            "imports `tls`",
        ),
        (
            "peer.rs",
            "use super::pki::Certificate;",
            "use super::gate::Gate;",
            "imports `gate`",
        ),
        (
            "gate/mod.rs",
            "fn f() {} mod inner { use super::tls; }",
            "fn f() {} mod inner { use super::super::tls; }",
            "imports `tls`",
        ),
        // Comments, strings and tests do not count; what follows the tests does.
        (
            "pki/mod.rs",
            "/// [`x`](crate::trust::X)\nconst A: &str = \"crate::gate\"; /* crate::tls */",
            "const A: &str = \"\\\"\"; use crate::gate::Gate; const B: &str = \"\";",
            "imports `gate`",
        ),
        (
            "pki/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::testing::TestCa;\n}\n",
            "#[cfg(test)]\nmod tests {\n}\nuse crate::gate::Gate;\n",
            "imports `gate`",
        ),
        (
            "pki/mod.rs",
            "const QUOTE: char = '\"'; use crate::pki::x;",
            "const QUOTE: char = '\"'; use crate::gate::x;",
            "imports `gate`",
        ),
        // No module depends on what is made for tests, which may use every module.
        (
            "testing/connection.rs",
            "use crate::Acceptor;",
            "use crate::nowhere::X;",
            "`nowhere`, which lib.rs does not have",
        ),
        (
            "gate/mod.rs",
            "mod testing_only {}",
            "use crate::testing::TestCa;",
            "imports `testing`",
        ),
        // Nor does anything depend on the tool that explains chains.
        (
            "tls/alert.rs",
            "use crate::pki::Certificate;",
            "use crate::diagnose::Report;",
            "imports `diagnose`",
        ),
        // A new module needs a row.
        (
            "peer.rs",
            "",
            "use crate::nowhere::Event;",
            "`nowhere`, which lib.rs does not have",
        ),
        (
            "stream/wire.rs",
            "",
            "use crate::*;",
            "imports everything of the crate",
        ),
        (
            "live/mod.rs",
            "use crate::tls::Current;",
            "use crate::endpoint::Endpoint;",
            "imports `endpoint`",
        ),
        (
            "endpoint/mod.rs",
            "use crate::live::Live;",
            "use crate::stream::TlsStream;",
            "imports `stream`",
        ),
        // Some rows above are forbidden, with exceptions by name and file.
        (
            "gate/error.rs",
            "use crate::audit::RecordError; fn f(_: crate::audit::RecordError) {}",
            "use crate::audit::{RecordError, Recorder};",
            "imports `Recorder` of `audit`, which is forbidden",
        ),
        (
            "gate/decide.rs",
            "use crate::policy::Policy;",
            "fn f(_: &super::super::audit::RecordError) {}",
            "imports `RecordError` of `audit`, which is forbidden",
        ),
        (
            "diagnose/mod.rs",
            "use crate::trust::TrustStore;",
            "use crate::Acceptor;",
            "imports `Acceptor` of `server`, which is forbidden",
        ),
        // Reserved words.
        (
            "live/timers.rs",
            "use tokio::time::sleep;",
            "use arc_swap::ArcSwapOption;",
            "says `ArcSwapOption`",
        ),
        (
            "gate/mod.rs",
            "use rustls::AlertDescription;",
            "use tokio::task::spawn;",
            "says `tokio`",
        ),
        (
            "gate/decide.rs",
            "fn f() {}",
            "fn f(_: &rustls::ServerConnection) {}",
            "says `ServerConnection`",
        ),
        (
            "policy/authorizer.rs",
            "#[cfg(feature = \"tokio\")]\nuse std::time::Duration;",
            "use tokio::time::timeout;",
            "says `tokio`",
        ),
        (
            "tls/verifier.rs",
            "use rustls::client::danger::X;",
            "use tokio::io::AsyncRead;",
            "says `tokio`",
        ),
        (
            "server/accept.rs",
            "use tokio::io::AsyncRead;",
            "fn f() { config.dangerous(); }",
            "says `dangerous`",
        ),
        (
            "client/blocking.rs",
            "//! without tokio",
            "async fn f() { tokio_rustls::x() }",
            "says `tokio_rustls`",
        ),
        (
            "tls/config.rs",
            "use std::net::SocketAddr;",
            "use std::net::TcpStream;",
            "says `TcpStream`",
        ),
        (
            "identity/mod.rs",
            "use rustls_pki_types::UnixTime;",
            "use rustls::Error;",
            "says `rustls`",
        ),
        (
            "trust/store.rs",
            "use rustls::RootCertStore;",
            "use rustls::ServerConfig;",
            "says `ServerConfig`",
        ),
    ] {
        assert_eq!(violations(path, good), Vec::<String>::new(), "{good}");
        let found = violations(path, bad);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        assert!(found[0].contains(says), "{bad}: {found:?}");
    }

    // lib.rs and the table name the same modules.
    let with_lib = |lib: String| Tree::new([("lib.rs".to_owned(), lib)]).violations();
    assert_eq!(with_lib(LIB.into()), Vec::<String>::new());
    let found = with_lib(format!("{LIB} mod elsewhere;"));
    assert!(found[0].contains("`elsewhere` has no row"), "{found:?}");
    let found = with_lib(LIB.replace("mod stream;", ""));
    assert!(found[0].contains("`stream` is in the table"), "{found:?}");
    let found = with_lib(format!("{LIB} pub use gate::*;"));
    assert!(found[0].contains("by name"), "{found:?}");
}

/// The source files, by their paths below `src/`.
struct Tree {
    files: BTreeMap<String, Vec<Token>>,
    modules: BTreeSet<String>,
    /// Names that `lib.rs` re-exports, and the modules that they are from.
    re_exports: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Tree {
    fn of_this_crate() -> Self {
        let src = support::workspace().join("src");
        Self::new(rust_files(&src).into_iter().map(|file| {
            let name = file.strip_prefix(&src).expect("below src");
            let name = name.to_str().expect("UTF-8");
            (
                name.replace('\\', "/"),
                std::fs::read_to_string(&file).expect("the source is text"),
            )
        }))
    }

    fn new(sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut tree = Self {
            files: sources
                .into_iter()
                .map(|(path, source)| (path, tokens(without_tests(&source))))
                .collect(),
            modules: BTreeSet::new(),
            re_exports: BTreeMap::new(),
            problems: Vec::new(),
        };
        tree.read_lib();
        tree
    }

    fn read_lib(&mut self) {
        let lib = self.files.remove("lib.rs").expect("src/lib.rs");
        for (at, token) in lib.iter().enumerate() {
            match (token.as_str(), lib.get(at + 1)) {
                ("mod", Some(name)) => {
                    self.modules.insert(name.clone());
                }
                ("use", Some(_)) => {
                    for path in use_tree(&lib[at + 1..]) {
                        let path: Vec<&str> = path
                            .iter()
                            .map(String::as_str)
                            .skip_while(|part| matches!(*part, "crate" | "self"))
                            .collect();
                        match (path.first(), path.last()) {
                            (_, None | Some(&"*")) => self.problems.push(
                                "lib.rs: re-export by name, so that it is known what is whose"
                                    .into(),
                            ),
                            (Some(&module), Some(&name)) => {
                                self.re_exports.insert(name.to_owned(), module.to_owned());
                            }
                            (None, _) => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn violations(&self) -> Vec<String> {
        let mut found = self.problems.clone();
        let in_table: BTreeSet<&str> = ROWS.iter().copied().flatten().copied().collect();
        for module in &self.modules {
            if row_of(module).is_none() && module != ASIDE {
                found.push(format!(
                    "lib.rs: `{module}` has no row: add it to the table"
                ));
            }
        }
        for module in in_table {
            if !self.modules.contains(module) {
                found.push(format!(
                    "lib.rs: `{module}` is in the table and not in lib.rs"
                ));
            }
        }
        for (path, tokens) in &self.files {
            let mut add = |what: String| found.push(format!("{path}: {what}"));
            let own = top_level(path);
            let paths = crate_paths(path, tokens);
            for (module, name) in self.forbidden(path, &paths) {
                add(format!(
                    "imports `{name}` of `{module}`, which is forbidden"
                ));
            }
            let imports: BTreeSet<String> =
                paths.into_iter().map(|mut it| it.swap_remove(0)).collect();
            for name in imports {
                if name == "*" {
                    add("imports everything of the crate".into());
                    continue;
                }
                let module = self.re_exports.get(&name).unwrap_or(&name);
                if !self.modules.contains(module) {
                    add(format!("imports `{module}`, which lib.rs does not have"));
                } else if !may_import(own, module) {
                    add(format!(
                        "imports `{module}`, which is not in a row above `{own}`"
                    ));
                }
            }
            let words: BTreeSet<&str> = tokens.iter().map(String::as_str).collect();
            for word in words {
                for (is_reserved, places) in RESERVED {
                    let reserved = is_reserved(word);
                    if reserved && !places.iter().any(|place| path.starts_with(place)) {
                        add(format!("says `{word}`, which is for {places:?}"));
                    }
                }
            }
        }
        found
    }
}

impl Tree {
    /// The imports of a file that its module may not have, as module and last name.
    fn forbidden(&self, file: &str, paths: &[Vec<String>]) -> BTreeSet<(String, String)> {
        let own = top_level(file);
        let imports = paths.iter().filter_map(|path| {
            let (first, last) = (path.first()?, path.last()?);
            let module = self.re_exports.get(first).unwrap_or(first);
            Some((module.clone(), last.clone()))
        });
        let is_forbidden = |(module, name): &(String, String)| {
            FORBIDDEN.iter().any(|rule| {
                let is_excepted = rule.except.contains(&(file, name));
                own == rule.importer && module == rule.imported && !is_excepted
            })
        };
        imports.filter(is_forbidden).collect()
    }
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn may_import(own: &str, module: &str) -> bool {
    if own == ASIDE || own == module {
        return true;
    }
    match (row_of(own), row_of(module)) {
        (Some(own), Some(module)) => module < own,
        _ => false,
    }
}

/// `gate/error.rs` and `gate.rs` belong to `gate`.
fn top_level(path: &str) -> &str {
    path.split('/')
        .next()
        .and_then(|first| first.split('.').next())
        .unwrap_or(path)
}

/// Each path from the crate's root, without the root.
fn crate_paths(file: &str, tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // How deep below the root the code is: by its file, and by the inline modules around it.
    let in_files = file
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs")
        .split('/')
        .count();
    let mut braces: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].as_str());
        match token.as_str() {
            "{" => braces.push(before(2) == "mod"),
            "}" => {
                braces.pop();
            }
            "crate" | "super" if before(1) != "::" => {
                let depth = in_files + braces.iter().filter(|is_module| **is_module).count();
                let mut rest = &tokens[at..];
                let mut levels = 0;
                while let [step, separator, after @ ..] = rest {
                    match (step.as_str(), separator.as_str()) {
                        ("crate", "::") => levels = depth,
                        ("super", "::") => levels += 1,
                        _ => break,
                    }
                    rest = after;
                }
                if levels >= depth {
                    found.extend(use_tree(rest));
                }
            }
            _ => {}
        }
    }
    found
}

/// The paths of a use tree, of which a plain path is the simplest; `as` gives the last name.
fn use_tree(tokens: &[Token]) -> Vec<Vec<String>> {
    fn tree(tokens: &mut &[Token], prefix: &[String], found: &mut Vec<Vec<String>>) {
        let mut path = prefix.to_vec();
        while let Some((first, rest)) = tokens.split_first() {
            match first.as_str() {
                "::" => *tokens = rest,
                "{" => {
                    *tokens = rest;
                    loop {
                        tree(tokens, &path, found);
                        let Some((end, rest)) = tokens.split_first() else {
                            return;
                        };
                        *tokens = rest;
                        if end != "," {
                            return;
                        }
                    }
                }
                "as" => {
                    path.pop();
                    *tokens = rest;
                }
                name if is_word(name) || name == "*" => {
                    path.push(name.to_owned());
                    *tokens = rest;
                    // A word that no separator follows is the path's last.
                    if !rest
                        .first()
                        .is_some_and(|next| next == "::" || next == "as")
                    {
                        break;
                    }
                }
                _ => break,
            }
        }
        if path.len() > prefix.len() {
            found.push(path);
        }
    }
    let mut found = Vec::new();
    tree(&mut &*tokens, &[], &mut found);
    found
}
