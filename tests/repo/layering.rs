//! Holds the source to the layers of the design: a module imports only from rows above its own.
//!
//! The checker reads tokens, not types: `crate::…` and `super::…` paths, with what `lib.rs`
//! re-exports counted as the module it comes from. Comments, strings and `mod tests` do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The top-level modules, the lowest layer first. Those of one row do not know each other.
const ROWS: &[&[&str]] = &[
    &["diagnostic"],
    &["pki"],
    &["identity"],
    &["trust"],
    &["peer"],
    &["policy"],
    &["audit"],
    &["gate"],
    &["tls"],
    &["stream"],
    &["server", "client"],
    &["reload"],
    &["integration", "diagnose"],
    &["manual"], // pages to read
];

/// Stands aside: it may import everything, and nothing imports it.
const ASIDE: &str = "testing";

type IsReserved = fn(&str) -> bool;

/// Words that only some modules or files may say; the rest "knows nothing of" them.
const RESERVED: &[(IsReserved, &[&str])] = &[
    // Whoever bypasses rustls' own checks does it in sight of the one that replaces them.
    (|word| word.starts_with("danger"), &["tls/"]),
    // Below, everything works for blocking rustls and for QUIC too.
    (
        |word| matches!(word, "tokio" | "tokio_rustls"),
        &[
            "policy/asynchronous/", // time limits
            "stream/",
            "server/",
            "client/mod.rs",
            "reload/",
            "integration/hyper/",
            "integration/axum.rs",
            "integration/tonic/",
            "testing/connection.rs",
            "testing/tests/reads.rs",
        ],
    ),
    // Sockets are the listener's or the caller's. (To take the peer's address from one, it must be
    // recognised.)
    (
        |word| matches!(word, "TcpStream" | "TcpListener" | "UdpSocket"),
        &["stream/info.rs", "server/listener/"],
    ),
    // The live connection is for the gate and all rows below.
    (
        |word| {
            matches!(
                word,
                "ServerConnection" | "ClientConnection" | "ServerConfig" | "ClientConfig"
            )
        },
        &["gate/", "tls/", "stream/", "server/", "client/", "testing/"],
    ),
    // Identities and policies are about certificates and peers, whatever carried them.
    (
        |word| word == "rustls",
        &[
            "pki/",
            "trust/",
            "diagnose/",
            "peer.rs",
            "gate/",
            "tls/",
            "stream/",
            "server/",
            "client/",
            "testing/",
        ],
    ),
];

#[test]
fn modules_import_only_from_rows_above() {
    let tree = Tree::of_this_crate();
    assert!(tree.files.len() > 30, "the source was not found");
    assert_eq!(tree.violations(), Vec::<String>::new());
}

/// The checker's rules, each with a line that keeps it and one that breaks it.
#[test]
fn the_checker_sees_what_it_must() {
    const LIB: &str = "mod diagnostic; pub mod pki; pub mod identity; pub mod trust; pub mod diagnose; mod peer; pub mod policy; \
        pub mod audit; pub mod gate; mod tls; mod stream; mod server; mod client; pub mod reload; \
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
        // Reserved words.
        (
            "tls/verifier.rs",
            "use rustls::client::danger::X;",
            "use tokio::io::AsyncRead;",
            "says `tokio`",
        ),
        (
            "server/mod.rs",
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
            let imports: BTreeSet<String> =
                crate_paths(path, tokens).into_iter().flatten().collect();
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

/// For each path that leads to the crate's root, the names that follow there.
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
                    found.push(
                        use_tree(rest)
                            .into_iter()
                            .filter_map(|path| path.into_iter().next())
                            .collect(),
                    );
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

/// Everything but the `mod tests` at the end of the file.
fn without_tests(source: &str) -> &str {
    const TESTS: &str = "#[cfg(test)]\nmod tests {";
    const END: &str = "\n}\n";
    match source.split_once(TESTS) {
        Some((code, tests))
            if tests
                .find(END)
                .is_none_or(|at| at + END.len() == tests.len()) =>
        {
            code
        }
        _ => source,
    }
}

type Token = String;

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Words, `::` and single characters, without comments, strings and spaces.
fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string_length(rest)
        } else if first == '\'' {
            char_length(rest)
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else if is_word(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let length = end.unwrap_or(rest.len());
            found.push(rest[..length].to_owned());
            length
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// A character, or only the apostrophe of a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars.find(|&(_, c)| c == '\'').map_or(1, |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
